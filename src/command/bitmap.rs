//! Strings as sequences of bits. `BITFIELD` is in `bitfield`.

use std::ops::Range;

use bytes::Bytes;

use crate::data::bitfield::{self, Edit, Field};
use crate::data::bits::{self, Combined, Operation};
use crate::data::effects::class;
use crate::data::string::BYTES_MAX;
use crate::data::{Kind, Record};
use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, exactly, integer, is};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Prepared, Run};

/// So many bytes of a string are read, and looked through, in the time of an element of a collection.
const BYTES_PER_ELEMENT: u64 = 4 << 10;

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Bitmap).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("bitcount", -2, Run::Read(bitcount))
        .syntax("key [start:integer end:integer [BYTE | BIT]]")
        .docs(
            "2.6.0",
            "O(N) with what is stored of the range",
            "Returns how many bits of a string, or of a part of it, are 1",
        ),
    row("bitop", -4, Run::Write(bitop))
        .keys(2, -1, 1)
        .flags(Flags::DENYOOM)
        .prepare(prepare_bitop)
        .access("OW update, RO access")
        .syntax("<AND | OR | XOR | NOT> destkey:key key ...")
        .docs(
            "2.6.0",
            "O(N) with the length of the sources",
            "Sets a string to the bitwise AND, OR or XOR of strings, or the NOT of one",
        ),
    row("bitpos", -3, Run::Read(bitpos))
        .syntax("key bit:integer [start:integer [end:integer [BYTE | BIT]]]")
        .docs(
            "2.8.7",
            "O(N) with what is stored of the range",
            "Returns where the first 1 or the first 0 is in a string, or in a part of it",
        ),
    row("getbit", 3, Run::Read(getbit)).flags(Flags::FAST).syntax("key offset:integer").docs(
        "2.2.0",
        "O(1)",
        "Returns a bit of a string",
    ),
    row("setbit", 4, Run::Write(setbit))
        .flags(Flags::DENYOOM)
        .syntax("key offset:integer value:integer")
        .docs(
            "2.2.0",
            "O(1): only one chunk of the string is touched",
            "Sets a bit of a string and returns what it was",
        ),
];

fn getbit(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, offset] = exactly(args)?;
    let field = Field::bit(bit_offset(offset, 1)?);
    let record = context.db.read_kind(key, Kind::String)?;
    out.integer(bitfield::read(&mut context.db, record.as_ref(), field)?);
    Ok(())
}

fn setbit(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, offset, bit] = exactly(args)?;
    let field = Field::bit(bit_offset(offset, 1)?);
    let bit = parse_integer(bit)
        .filter(|bit| matches!(bit, 0 | 1))
        .ok_or(Fail::text("ERR bit is not an integer or out of range"))?;
    let old = context.db.lookup_kind(key, Kind::String)?;
    let mut edit = Edit::begin(key, old.as_ref(), [field])?;
    out.integer(edit.get(&mut context.db.reader(), field)?);
    edit.set(&mut context.db.reader(), field, bit)?;
    if edit.finish(&mut context.db)? {
        context.db.notify(class::STRING, "setbit", key);
    }
    Ok(())
}

fn bitcount(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], range) = at_least(args)?;
    // An absent key has no bits, whatever the rest of the request says.
    let Some(record) = context.db.read_kind(key, Kind::String)? else {
        out.integer(0);
        return Ok(());
    };
    let bits = match range {
        [] => 0..record.size * 8,
        [start, end, unit @ ..] if unit.len() <= 1 => {
            let (start, end) = (integer(start)?, integer(end)?);
            if start < 0 && end < 0 && start > end {
                0..0
            } else {
                absolute_range(start, end, Unit::parse(unit)?, record.size)
            }
        }
        _ => return Err(Fail::SYNTAX),
    };
    context.walk(cost(&bits))?;
    out.integer(bits::count(&mut context.db, &record, bits)? as i64);
    Ok(())
}

fn bitpos(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key, bit], range) = at_least(args)?;
    let bit = match integer(bit)? {
        0 => false,
        1 => true,
        _ => return Err(Fail::text("ERR The bit argument must be 1 or 0.")),
    };
    let record = context.db.read_kind(key, Kind::String)?;
    out.integer(match record {
        // It is zeros without end.
        None if bit => -1,
        None => 0,
        Some(record) => find(context, &record, bit, range)?.map_or(-1, |at| at as i64),
    });
    Ok(())
}

fn find(
    context: &mut ReadContext<'_>,
    record: &Record,
    bit: bool,
    range: &[Bytes],
) -> Result<Option<u64>, Fail> {
    let (bits, is_end_given) = match range {
        [] => (0..record.size * 8, false),
        [start] => (absolute_range(integer(start)?, -1, Unit::Byte, record.size), false),
        [start, end, unit @ ..] if unit.len() <= 1 => {
            let start = integer(start)?;
            let unit = Unit::parse(unit)?;
            (absolute_range(start, integer(end)?, unit, record.size), true)
        }
        _ => return Err(Fail::SYNTAX),
    };
    if bits.is_empty() {
        return Ok(None);
    }
    context.walk(cost(&bits))?;
    let found = bits::position(&mut context.db, record, bit, bits.clone())?;
    // Without an end the string is one that goes on with zeros.
    Ok(found.or((!bit && !is_end_given).then_some(bits.end)))
}

fn bitop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let combined = combine(&mut context.reading(), args)?;
    let ([_, _, _], sources) = at_least(args)?;
    for source in sources {
        // What has expired goes now, as with every command that writes.
        context.db.lookup(source)?;
    }
    store(context, args, combined, out)
}

fn prepare_bitop(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    let combined = combine(context, args)?;
    let args = args.clone();
    Ok(Box::new(move |context, out| store(context, &args, combined, out)))
}

/// What `BITOP` reads.
fn combine(context: &mut ReadContext<'_>, args: &Args) -> Result<Combined, Fail> {
    let ([_, operation, _], sources) = at_least(args)?;
    let operation = if is(operation, "and") {
        Operation::And
    } else if is(operation, "or") {
        Operation::Or
    } else if is(operation, "xor") {
        Operation::Xor
    } else if is(operation, "not") {
        Operation::Not
    } else {
        return Err(Fail::SYNTAX);
    };
    if operation == Operation::Not && sources.len() != 1 {
        return Err(Fail::text("ERR BITOP NOT must be called with a single source key."));
    }
    let mut records = Vec::with_capacity(sources.len());
    for source in sources {
        records.push(context.db.read_kind(source, Kind::String)?);
    }
    context.walk(records.iter().flatten().map(|record| cost(&(0..record.size * 8))).sum())?;
    Ok(bits::combine(&mut context.db, operation, &records)?)
}

/// What `BITOP` writes.
fn store(
    context: &mut WriteContext<'_>,
    args: &Args,
    combined: Combined,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _, key], _) = at_least(args)?;
    let db = &mut context.db;
    let old = db.lookup(key)?;
    let size = combined.size();
    combined.store(db, key, old.as_ref())?;
    if size > 0 {
        db.notify(class::STRING, "set", key);
    } else if old.is_some() {
        db.notify(class::GENERIC, "del", key);
    }
    out.integer(size as i64);
    Ok(())
}

/// What reading these bits of a string costs, in elements of a walk.
fn cost(bits: &Range<u64>) -> u64 {
    (bits.end - bits.start) / 8 / BYTES_PER_ELEMENT
}

/// The place that is said in units of `unit` bits.
pub(super) fn bit_offset(arg: &[u8], unit: u32) -> Result<u64, Fail> {
    parse_integer(arg)
        .and_then(|offset| u64::try_from(offset).ok()?.checked_mul(u64::from(unit)))
        .filter(|offset| offset / 8 < BYTES_MAX)
        .ok_or(Fail::text("ERR bit offset is not an integer or out of range"))
}

/// What a range is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(args: &[Bytes]) -> Result<Self, Fail> {
        match args {
            [] => Ok(Unit::Byte),
            [word] if is(word, "byte") => Ok(Unit::Byte),
            [word] if is(word, "bit") => Ok(Unit::Bit),
            _ => Err(Fail::SYNTAX),
        }
    }
}

/// The bits that `start` and `end`, both inclusive and counted from the end if negative, mean in a
/// string of `size` bytes.
fn absolute_range(start: i64, end: i64, unit: Unit, size: u64) -> Range<u64> {
    let width = if unit == Unit::Byte { 8 } else { 1 };
    let len = size * 8 / width;
    let place = |index: i64| match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => len.saturating_sub(index.unsigned_abs()),
    };
    let end = place(end).saturating_add(1).min(len);
    let start = place(start).min(end);
    start * width..end * width
}
