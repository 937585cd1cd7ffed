//! `BITFIELD`: integers of any width inside strings.

use bytes::Bytes;

use crate::data::Kind;
use crate::data::bitfield::{self, Edit, Field, Overflow};
use crate::data::effects::class;
use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, integer, is};
use super::bitmap::bit_offset;
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Run};

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Bitmap).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("bitfield", -2, Run::Write(bitfield))
        .flags(Flags::DENYOOM)
        .reads_if(only_gets, bitfield_ro)
        .syntax(
            "key [GET encoding offset:integer | [OVERFLOW <WRAP | SAT | FAIL>] <SET \
             encoding offset:integer value:integer | INCRBY encoding offset:integer \
             increment:integer>] ...",
        )
        .docs(
            "3.2.0",
            "O(1) for each operation",
            "Returns, sets and adds to integers inside a string",
        ),
    row("bitfield_ro", -2, Run::Read(bitfield_ro))
        .flags(Flags::FAST)
        .syntax("key [(GET encoding offset:integer) ...]")
        .docs("6.0.0", "O(1) for each operation", "Returns integers inside a string"),
];

struct Operation {
    field: Field,
    /// `None`: it only returns the field's number.
    change: Option<Change>,
}

struct Change {
    /// Whether the number is added to the field's rather than put in its place.
    adds: bool,
    number: i64,
    overflow: Overflow,
}

impl Change {
    /// What becomes of `before`; `None` if nothing may.
    fn of(&self, field: Field, before: i64) -> Option<i64> {
        let number = if self.adds {
            i128::from(before) + i128::from(self.number)
        } else if field.signed {
            i128::from(self.number)
        } else {
            // As Redis has it, a negative number is the great one of the same 64 bits.
            i128::from(self.number as u64)
        };
        field.fit(number, self.overflow)
    }
}

fn bitfield(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], operations) = at_least(args)?;
    let operations = parse(operations)?;
    let db = &mut context.db;
    let old = db.lookup_kind(key, Kind::String)?;
    let changed = operations.iter().filter(|operation| operation.change.is_some());
    let fields = changed.map(|operation| operation.field);
    let mut edit = Edit::begin(key, old.as_ref(), fields)?;
    let mut is_set = false;
    out.array(operations.len());
    for Operation { field, change } in &operations {
        let before = edit.get(&mut db.reader(), *field)?;
        let Some(change) = change else {
            out.integer(before);
            continue;
        };
        match change.of(*field, before) {
            Some(after) => {
                is_set = true;
                edit.set(&mut db.reader(), *field, after)?;
                out.integer(if change.adds { after } else { before });
            }
            None => out.null(),
        }
    }
    // Redis tells nobody of a string that has only grown for what then overflowed.
    if edit.finish(db)? && is_set {
        db.notify(class::STRING, "setbit", key);
    }
    Ok(())
}

fn bitfield_ro(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], operations) = at_least(args)?;
    let operations = parse(operations)?;
    if operations.iter().any(|operation| operation.change.is_some()) {
        return Err(Fail::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    let record = context.db.read_kind(key, Kind::String)?;
    out.array(operations.len());
    for operation in &operations {
        out.integer(bitfield::read(&mut context.db, record.as_ref(), operation.field)?);
    }
    Ok(())
}

/// A mistake in the arguments is found, and answered, by whoever runs it.
fn only_gets(args: &Args) -> bool {
    let operations = args.get(2..).map(parse);
    operations.is_some_and(|operations| {
        operations.is_ok_and(|all| all.iter().all(|operation| operation.change.is_none()))
    })
}

fn parse(mut args: &[Bytes]) -> Result<Vec<Operation>, Fail> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    loop {
        args = match args {
            [] => return Ok(operations),
            [word, field, offset, rest @ ..] if is(word, "get") => {
                operations.push(Operation { field: parse_field(field, offset)?, change: None });
                rest
            }
            [word, field, offset, number, rest @ ..] if is(word, "set") || is(word, "incrby") => {
                let field = parse_field(field, offset)?;
                let change =
                    Change { adds: is(word, "incrby"), number: integer(number)?, overflow };
                operations.push(Operation { field, change: Some(change) });
                rest
            }
            [word, kind, rest @ ..] if is(word, "overflow") => {
                overflow = parse_overflow(kind)?;
                rest
            }
            _ => return Err(Fail::SYNTAX),
        }
    }
}

fn parse_overflow(kind: &[u8]) -> Result<Overflow, Fail> {
    if is(kind, "wrap") {
        Ok(Overflow::Wrap)
    } else if is(kind, "sat") {
        Ok(Overflow::Saturate)
    } else if is(kind, "fail") {
        Ok(Overflow::Fail)
    } else {
        Err(Fail::text("ERR Invalid OVERFLOW type specified"))
    }
}

/// A type such as `i16` and where it is: in bits, or behind `#` as many times its own width.
fn parse_field(kind: &[u8], offset: &[u8]) -> Result<Field, Fail> {
    const INVALID: Fail = Fail::text(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
         i64 is.",
    );
    let (signed, bits) = match kind {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return Err(INVALID),
    };
    let bits_max = if signed { 64 } else { 63 };
    let bits = parse_integer(bits).and_then(|bits| u32::try_from(bits).ok());
    let bits = bits.filter(|bits| (1..=bits_max).contains(bits)).ok_or(INVALID)?;
    let offset = match offset {
        [b'#', index @ ..] => bit_offset(index, bits)?,
        offset => bit_offset(offset, 1)?,
    };
    Ok(Field { offset, bits, signed })
}
