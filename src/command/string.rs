//! Strings.

use bytes::Bytes;

use crate::data::string::{self, BYTES_MAX};
use crate::data::{DbReader, DbWriter, Kind, Record, class};
use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, exactly, integer};
use super::context::{ReadContext, WriteContext};
use super::decimal;
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Run};
use super::string_options::{Condition, Expiry, SetOptions, When};

const FAST: Flags = Flags::FAST;
const GROWS: Flags = Flags::DENYOOM;
const GROWS_FAST: Flags = Flags::DENYOOM.or(Flags::FAST);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::String).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] =
    &[
        row("append", 3, Run::Write(append))
            .flags(GROWS_FAST)
            .access("RW insert")
            .syntax("key value")
            .docs(
                "2.0.0",
                "O(1): only the end of the string is touched",
                "Appends to a string, which is created if it is not there",
            ),
        row("decr", 2, Run::Write(decr)).flags(GROWS_FAST).syntax("key").docs(
            "1.0.0",
            "O(1)",
            "Subtracts one from the integer a string holds",
        ),
        row("decrby", 3, Run::Write(decrby))
            .flags(GROWS_FAST)
            .syntax("key decrement:integer")
            .docs("1.0.0", "O(1)", "Subtracts from the integer a string holds"),
        row("get", 2, Run::Read(get)).flags(FAST).syntax("key").docs(
            "1.0.0",
            "O(1)",
            "Returns a string",
        ),
        row("getdel", 2, Run::Write(getdel))
            .flags(FAST)
            .access("RW access delete")
            .syntax("key")
            .docs("6.2.0", "O(1)", "Returns a string and removes it"),
        row("getex", -2, Run::Write(getex))
            .flags(FAST)
            .syntax(
                "key [EX seconds:integer | PX milliseconds:integer | EXAT \
                 unix-time-seconds:unix-time | PXAT unix-time-milliseconds:unix-time | \
                 PERSIST]",
            )
            .docs("6.2.0", "O(1)", "Returns a string and sets or clears its expiry"),
        row("getrange", 4, Run::Read(getrange)).syntax("key start:integer end:integer").docs(
            "2.4.0",
            "O(N) with the length returned",
            "Returns a part of a string",
        ),
        row("getset", 3, Run::Write(getset)).flags(GROWS_FAST).syntax("key value").docs(
            "1.0.0",
            "O(1)",
            "Sets a string and returns what it was",
        ),
        row("incr", 2, Run::Write(incr)).flags(GROWS_FAST).syntax("key").docs(
            "1.0.0",
            "O(1)",
            "Adds one to the integer a string holds",
        ),
        row("incrby", 3, Run::Write(incrby))
            .flags(GROWS_FAST)
            .syntax("key increment:integer")
            .docs("1.0.0", "O(1)", "Adds to the integer a string holds"),
        row("incrbyfloat", 3, Run::Write(incrbyfloat))
            .flags(GROWS_FAST)
            .syntax("key increment:double")
            .docs("2.6.0", "O(1)", "Adds to the decimal number a string holds"),
        row("mget", -2, Run::Read(mget)).flags(FAST).keys(1, -1, 1).syntax("key ...").docs(
            "1.0.0",
            "O(N) with the number of keys",
            "Returns several strings",
        ),
        row("mset", -3, Run::Write(mset))
            .flags(GROWS)
            .keys(1, -1, 2)
            .access("OW update")
            .syntax("(key value) ...")
            .docs("1.0.1", "O(N) with the number of keys", "Sets several strings at once"),
        row("msetnx", -3, Run::Write(msetnx))
            .flags(GROWS)
            .keys(1, -1, 2)
            .access("OW insert")
            .syntax("(key value) ...")
            .docs(
                "1.0.1",
                "O(N) with the number of keys",
                "Sets several strings at once, if none of the keys is there",
            ),
        row("psetex", 4, Run::Write(psetex))
            .flags(GROWS)
            .access("OW update")
            .syntax("key milliseconds:integer value")
            .docs("2.6.0", "O(1)", "Sets a string with an expiry in milliseconds"),
        row("set", -3, Run::Write(set))
            .flags(GROWS)
            .access("RW access update variable_flags")
            .access_of(access_of_set)
            .syntax(
                "key value [NX | XX] [GET] [EX seconds:integer | PX \
                 milliseconds:integer | EXAT unix-time-seconds:unix-time | PXAT \
                 unix-time-milliseconds:unix-time | KEEPTTL]",
            )
            .docs("1.0.0", "O(1)", "Sets a string, whatever the key held"),
        row("setex", 4, Run::Write(setex))
            .flags(GROWS)
            .access("OW update")
            .syntax("key seconds:integer value")
            .docs("2.0.0", "O(1)", "Sets a string with an expiry in seconds"),
        row("setnx", 3, Run::Write(setnx))
            .flags(GROWS_FAST)
            .access("OW insert")
            .syntax("key value")
            .docs("1.0.0", "O(1)", "Sets a string if the key is not there"),
        row("setrange", 4, Run::Write(setrange))
            .flags(GROWS)
            .access("RW update")
            .syntax("key offset:integer value")
            .docs("2.2.0", "O(N) with the length written", "Overwrites a part of a string"),
        row("strlen", 2, Run::Read(strlen)).flags(FAST).access("RO").syntax("key").docs(
            "2.2.0",
            "O(1)",
            "Returns the length of a string",
        ),
        row("substr", 4, Run::Read(getrange)).syntax("key start:integer end:integer").docs(
            "1.0.0",
            "O(N) with the length returned",
            "Returns a part of a string: the old name of GETRANGE",
        ),
    ];

fn get(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let record = context.db.read_kind(key, Kind::String)?;
    reply_string(&mut context.db, record.as_ref(), out)
}

fn mget(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], keys) = at_least(args)?;
    out.array(keys.len());
    for key in keys {
        let record = context.db.read(key)?.filter(|record| record.kind == Kind::String);
        reply_string(&mut context.db, record.as_ref(), out)?;
    }
    Ok(())
}

fn strlen(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let record = context.db.read_kind(key, Kind::String)?;
    reply_size(record.map_or(0, |record| record.size), out);
    Ok(())
}

fn getrange(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, start, end] = exactly(args)?;
    let (start, end) = (integer(start)?, integer(end)?);
    let part = match context.db.read_kind(key, Kind::String)? {
        Some(record) => {
            let range = absolute_range(start, end, record.size);
            string::read_range(&mut context.db, &record, range)?
        }
        None => Bytes::new(),
    };
    out.bulk_bytes(part);
    Ok(())
}

/// Without `GET` what the key held does not matter.
fn access_of_set(request: &Args) -> &'static str {
    let is_get = |word: &Bytes| word.eq_ignore_ascii_case(b"get");
    if request.iter().skip(3).any(is_get) { "RW access update" } else { "OW update" }
}

fn set(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key, value], options) = at_least(args)?;
    let options = SetOptions::parse(options)?;
    let expires_at_ms = match &options.expiry {
        Expiry::At(when, arg) => Some(when.parse(arg, context.db.now_ms(), "set")?),
        _ => None,
    };
    let old = if options.get {
        let old = context.db.read_kind(key, Kind::String)?;
        reply_string(&mut context.db.reader(), old.as_ref(), out)?;
        old
    } else {
        context.db.lookup(key)?
    };
    if options.condition.is_some_and(|condition| !condition.holds(old.is_some())) {
        if !options.get {
            out.null();
        }
        return Ok(());
    }
    let kept = old.as_ref().filter(|_| options.expiry == Expiry::Keep);
    let kept_ms = kept.and_then(|old| old.expires_at_ms);
    set_string(&mut context.db, key, old.as_ref(), value, expires_at_ms.or(kept_ms))?;
    if expires_at_ms.is_some() {
        context.db.notify(class::GENERIC, "expire", key);
    }
    if !options.get {
        out.ok();
    }
    Ok(())
}

fn setnx(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, value] = exactly(args)?;
    let old = context.db.lookup(key)?;
    if old.is_none() {
        set_string(&mut context.db, key, None, value, None)?;
    }
    out.integer(i64::from(old.is_none()));
    Ok(())
}

fn setex(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    set_with_expiry(context, args, When::EX, "setex", out)
}

fn psetex(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    set_with_expiry(context, args, When::PX, "psetex", out)
}

fn getset(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, value] = exactly(args)?;
    let old = context.db.read_kind(key, Kind::String)?;
    reply_string(&mut context.db.reader(), old.as_ref(), out)?;
    set_string(&mut context.db, key, old.as_ref(), value, None)
}

fn getdel(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let old = context.db.read_kind(key, Kind::String)?;
    reply_string(&mut context.db.reader(), old.as_ref(), out)?;
    if let Some(old) = old {
        context.db.remove(key, &old)?;
        context.db.notify(class::GENERIC, "del", key);
    }
    Ok(())
}

fn getex(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], options) = at_least(args)?;
    let expiry = Expiry::parse(options)?;
    let Some(old) = context.db.read_kind(key, Kind::String)? else {
        out.null();
        return Ok(());
    };
    let now_ms = context.db.now_ms();
    let expires_at_ms = match &expiry {
        Expiry::At(when, arg) => Some(when.parse(arg, now_ms, "getex")?),
        Expiry::Persist => None,
        Expiry::Unsaid | Expiry::Keep => old.expires_at_ms,
    };
    reply_string(&mut context.db.reader(), Some(&old), out)?;
    let event = match expires_at_ms {
        Some(at_ms) if matches!(expiry, Expiry::At(..)) => {
            if at_ms <= now_ms {
                context.db.remove(key, &old)?;
                context.db.notify(class::GENERIC, "del", key);
                return Ok(());
            }
            "expire"
        }
        None if old.expires_at_ms.is_some() => "persist",
        _ => return Ok(()),
    };
    let new = Record { expires_at_ms, ..old.clone() };
    context.db.store(key, Some(&old), &new)?;
    context.db.notify(class::GENERIC, event, key);
    Ok(())
}

fn mset(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    for (key, value) in pairs(args, "mset")? {
        let old = context.db.lookup(key)?;
        set_string(&mut context.db, key, old.as_ref(), value, None)?;
    }
    out.ok();
    Ok(())
}

fn msetnx(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    for (key, _) in pairs(args, "msetnx")? {
        if context.db.lookup(key)?.is_some() {
            out.integer(0);
            return Ok(());
        }
    }
    for (key, value) in pairs(args, "msetnx")? {
        // The same key may come twice, so what was absent above may be there now.
        let old = context.db.lookup(key)?;
        set_string(&mut context.db, key, old.as_ref(), value, None)?;
    }
    out.integer(1);
    Ok(())
}

fn append(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, value] = exactly(args)?;
    let old = context.db.lookup_kind(key, Kind::String)?;
    let size = string::append(&mut context.db, key, old.as_ref(), value)?;
    context.db.notify(class::STRING, "append", key);
    reply_size(size, out);
    Ok(())
}

fn setrange(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, offset, value] = exactly(args)?;
    let offset =
        u64::try_from(integer(offset)?).map_err(|_| Fail::text("ERR offset is out of range"))?;
    let old = context.db.lookup_kind(key, Kind::String)?;
    let size = if value.is_empty() {
        old.map_or(0, |old| old.size)
    } else {
        let size = string::set_range(&mut context.db, key, old.as_ref(), offset, value)?;
        context.db.notify(class::STRING, "setrange", key);
        size
    };
    reply_size(size, out);
    Ok(())
}

fn incr(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    add_integer(&mut context.db, key, 1, out)
}

fn decr(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    add_integer(&mut context.db, key, -1, out)
}

fn incrby(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, increment] = exactly(args)?;
    add_integer(&mut context.db, key, integer(increment)?, out)
}

fn decrby(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, decrement] = exactly(args)?;
    let increment =
        integer(decrement)?.checked_neg().ok_or(Fail::text("ERR decrement would overflow"))?;
    add_integer(&mut context.db, key, increment, out)
}

fn incrbyfloat(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, increment] = exactly(args)?;
    let old = context.db.lookup_kind(key, Kind::String)?;
    let sum = match &old {
        Some(old) => decimal::add(inline_number(old).ok_or(Fail::NOT_A_FLOAT)?, increment)?,
        None => decimal::add(b"0", increment)?,
    };
    out.bulk(sum.as_bytes());
    replace_number(&mut context.db, key, old.as_ref(), sum.into())?;
    context.db.notify(class::STRING, "incrbyfloat", key);
    Ok(())
}

impl Condition {
    fn holds(self, is_present: bool) -> bool {
        match self {
            Condition::IfAbsent => !is_present,
            Condition::IfPresent => is_present,
        }
    }
}

fn set_with_expiry(
    context: &mut WriteContext<'_>,
    args: &Args,
    when: When,
    name: &str,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, key, time, value] = exactly(args)?;
    let expires_at_ms = when.parse(time, context.db.now_ms(), name)?;
    let old = context.db.lookup(key)?;
    set_string(&mut context.db, key, old.as_ref(), value, Some(expires_at_ms))?;
    context.db.notify(class::GENERIC, "expire", key);
    out.ok();
    Ok(())
}

fn add_integer(
    db: &mut DbWriter<'_>,
    key: &Bytes,
    increment: i64,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let old = db.lookup_kind(key, Kind::String)?;
    let number = match &old {
        Some(old) => inline_number(old).and_then(parse_integer).ok_or(Fail::NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = number
        .checked_add(increment)
        .ok_or(Fail::text("ERR increment or decrement would overflow"))?;
    out.integer(sum);
    let digits = Bytes::copy_from_slice(itoa::Buffer::new().format(sum).as_bytes());
    replace_number(db, key, old.as_ref(), digits)?;
    db.notify(class::STRING, "incrby", key);
    Ok(())
}

/// Sets `key`, where `old` is, to `value`, and says so.
fn set_string(
    db: &mut DbWriter<'_>,
    key: &Bytes,
    old: Option<&Record>,
    value: &Bytes,
    expires_at_ms: Option<u64>,
) -> Result<(), Fail> {
    string::set(db, key, old, value.clone(), expires_at_ms)?;
    db.notify(class::STRING, "set", key);
    Ok(())
}

fn replace_number(
    db: &mut DbWriter<'_>,
    key: &Bytes,
    old: Option<&Record>,
    digits: Bytes,
) -> Result<(), Fail> {
    let expires_at_ms = old.and_then(|old| old.expires_at_ms);
    Ok(string::set(db, key, old, digits, expires_at_ms)?)
}

/// The text that may be a number: one that is not in its record is far too long to be.
fn inline_number(record: &Record) -> Option<&[u8]> {
    record.version.is_none().then_some(&*record.payload)
}

fn pairs<'a>(
    args: &'a Args,
    name: &str,
) -> Result<impl Iterator<Item = (&'a Bytes, &'a Bytes)> + use<'a>, Fail> {
    if args.len().is_multiple_of(2) {
        return Err(Fail::arity(name));
    }
    Ok(args.iter().skip(1).step_by(2).zip(args.iter().skip(2).step_by(2)))
}

/// The bytes that `start` and `end`, both inclusive and counted from the end if negative, mean in a
/// string of `size`.
fn absolute_range(start: i64, end: i64, size: u64) -> std::ops::Range<u64> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let place = |index: i64| match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => size.saturating_sub(index.unsigned_abs()),
    };
    place(start)..place(end).saturating_add(1).min(size)
}

fn reply_string(
    db: &mut DbReader<'_>,
    record: Option<&Record>,
    out: &mut Encoder,
) -> Result<(), Fail> {
    match record {
        Some(record) => out.bulk_bytes(string::read(db, record)?),
        None => out.null(),
    }
    Ok(())
}

/// Sizes are at the most [`BYTES_MAX`], so they fit.
fn reply_size(size: u64, out: &mut Encoder) {
    debug_assert!(size <= BYTES_MAX);
    out.integer(size as i64);
}
