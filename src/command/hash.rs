//! Hashes.

use bytes::Bytes;

use crate::data::effects::class;
use crate::data::encoding::hashed;
use crate::data::{Editor, Kind, Sampler, hash};
use crate::resp::{Args, Encoder, Protocol, parse_integer};

use super::args::{at_least, exactly, integer, is};
use super::context::{ReadContext, WriteContext};
use super::decimal;
use super::fail::Fail;
use super::random::{Count, damaged};
use super::scan;
use super::spec::{Command, Flags, Group, Run};

const FAST: Flags = Flags::FAST;
const GROWS_FAST: Flags = Flags::DENYOOM.or(Flags::FAST);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Hash).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("hdel", -3, Run::Write(hdel)).flags(FAST).access("RW delete").syntax("key field ...").docs(
        "2.0.0",
        "O(N) with the number of fields given",
        "Removes fields of a hash",
    ),
    row("hexists", 3, Run::Read(hexists)).flags(FAST).access("RO").syntax("key field").docs(
        "2.0.0",
        "O(1)",
        "Says whether a hash has a field",
    ),
    row("hget", 3, Run::Read(hget)).flags(FAST).syntax("key field").docs(
        "2.0.0",
        "O(1)",
        "Returns the value of a field",
    ),
    row("hgetall", 2, Run::Read(hgetall)).syntax("key").docs(
        "2.0.0",
        "O(N) with the number of fields",
        "Returns all fields of a hash with their values",
    ),
    row("hincrby", 4, Run::Write(hincrby))
        .flags(GROWS_FAST)
        .syntax("key field increment:integer")
        .docs("2.0.0", "O(1)", "Adds to the integer that a field holds"),
    row("hincrbyfloat", 4, Run::Write(hincrbyfloat))
        .flags(GROWS_FAST)
        .syntax("key field increment:double")
        .docs("2.6.0", "O(1)", "Adds to the decimal number that a field holds"),
    row("hkeys", 2, Run::Read(hkeys)).syntax("key").docs(
        "2.0.0",
        "O(N) with the number of fields",
        "Returns all fields of a hash",
    ),
    row("hlen", 2, Run::Read(hlen)).flags(FAST).access("RO").syntax("key").docs(
        "2.0.0",
        "O(1)",
        "Returns how many fields a hash has",
    ),
    row("hmget", -3, Run::Read(hmget)).flags(FAST).syntax("key field ...").docs(
        "2.0.0",
        "O(N) with the number of fields given",
        "Returns the values of several fields",
    ),
    row("hmset", -4, Run::Write(hmset))
        .flags(GROWS_FAST)
        .access("RW update")
        .syntax("key (field value) ...")
        .docs(
            "2.0.0",
            "O(N) with the number of fields given",
            "Sets fields of a hash: the old name of HSET",
        ),
    row("hrandfield", -2, Run::Read(hrandfield)).syntax("key [count:integer [WITHVALUES]]").docs(
        "6.2.0",
        "O(N) with the number of fields asked for",
        "Returns random fields of a hash",
    ),
    row("hscan", -3, Run::Read(hscan))
        .syntax("key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]")
        .docs(
            "2.8.0",
            "O(1) a call, O(N) with the number of fields for a whole iteration",
            "Returns the fields of a hash with their values step by step",
        ),
    row("hset", -4, Run::Write(hset))
        .flags(GROWS_FAST)
        .access("RW update")
        .syntax("key (field value) ...")
        .docs("2.0.0", "O(N) with the number of fields given", "Sets fields of a hash"),
    row("hsetnx", 4, Run::Write(hsetnx))
        .flags(GROWS_FAST)
        .access("RW insert")
        .syntax("key field value")
        .docs("2.0.0", "O(1)", "Sets a field of a hash if it is not there"),
    row("hstrlen", 3, Run::Read(hstrlen)).flags(FAST).access("RO").syntax("key field").docs(
        "3.2.0",
        "O(1)",
        "Returns the length of the value of a field",
    ),
    row("hvals", 2, Run::Read(hvals)).syntax("key").docs(
        "2.0.0",
        "O(N) with the number of fields",
        "Returns the values of all fields of a hash",
    ),
];

fn hget(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, field] = exactly(args)?;
    reply_value(value_of(context, key, field)?, out);
    Ok(())
}

fn hmget(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], fields) = at_least(args)?;
    context.walk(fields.len() as u64)?;
    let values = match hash::read(&mut context.db, key)? {
        Some(hash) => hash::get_many(&mut context.db, &hash, fields)?,
        None => vec![None; fields.len()],
    };
    out.array(values.len());
    values.into_iter().for_each(|value| reply_value(value, out));
    Ok(())
}

fn hexists(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, field] = exactly(args)?;
    out.integer(i64::from(value_of(context, key, field)?.is_some()));
    Ok(())
}

fn hstrlen(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, field] = exactly(args)?;
    let len = value_of(context, key, field)?.map_or(0, |value| value.len());
    out.integer(len as i64);
    Ok(())
}

fn hlen(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let size = hash::read(&mut context.db, key)?.map_or(0, |hash| hash.size());
    out.integer(size as i64);
    Ok(())
}

fn hgetall(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_all(context, args, Encoder::map, out, |field, value, out| {
        out.bulk_bytes(field);
        out.bulk_bytes(value);
    })
}

fn hkeys(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_all(context, args, Encoder::array, out, |field, _, out| out.bulk_bytes(field))
}

fn hvals(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_all(context, args, Encoder::array, out, |_, value, out| out.bulk_bytes(value))
}

fn hscan(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    scan::scan_members(context, args, (Kind::Hash, b""), 2, out, |field, value, out| {
        out.bulk_bytes(field);
        out.bulk_bytes(value);
        Ok(())
    })
}

fn hrandfield(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], options) = at_least(args)?;
    let (count, with_values) = match options {
        [] => (None, false),
        [count, options @ ..] => {
            let count = Count::parse(count)?;
            let with_values = match options {
                [] => false,
                [option] if is(option, "withvalues") => true,
                _ => return Err(Fail::SYNTAX),
            };
            if with_values {
                count.check_pairs()?;
            }
            (Some(count), with_values)
        }
    };
    let Some(hash) = hash::read(&mut context.db, key)? else {
        if count.is_some() {
            out.array(0);
        } else {
            out.null();
        }
        return Ok(());
    };
    let Some(count) = count else {
        let chosen = Sampler::new(&hash, b"").one(&mut context.db)?.ok_or_else(damaged)?;
        out.bulk_bytes(hashed::member(&chosen.0)?);
        return Ok(());
    };
    let nested = with_values && out.protocol() == Protocol::Resp3;
    let parts = if with_values && !nested { 2 } else { 1 };
    count.reply(context, &hash, b"", parts, out, |(subkey, value), out| {
        if nested {
            out.array(2);
        }
        out.bulk_bytes(hashed::member(&subkey)?);
        if with_values {
            out.bulk_bytes(value);
        }
        Ok(())
    })
}

fn hset(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let created = set_fields(context, args, "hset")?;
    out.integer(created);
    Ok(())
}

fn hmset(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    set_fields(context, args, "hmset")?;
    out.ok();
    Ok(())
}

fn hsetnx(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, field, value] = exactly(args)?;
    let mut editor = hash::open(&mut context.db, key)?;
    let is_new = hash::set_new(&mut context.db, &mut editor.collection, field, value)?;
    if is_new {
        save(context, editor, key, "hset")?;
    }
    out.integer(i64::from(is_new));
    Ok(())
}

fn hdel(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], fields) = at_least(args)?;
    let mut editor = hash::open(&mut context.db, key)?;
    let mut removed = 0;
    for field in fields {
        if editor.collection.size() == 0 {
            break;
        }
        removed += i64::from(hash::remove(&mut context.db, &mut editor.collection, field)?);
    }
    if removed > 0 {
        save(context, editor, key, "hdel")?;
    }
    out.integer(removed);
    Ok(())
}

fn hincrby(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, field, increment] = exactly(args)?;
    let increment = integer(increment)?;
    let editor = hash::open(&mut context.db, key)?;
    let number = match hash::get(&mut context.db.reader(), &editor.collection, field)? {
        Some(value) => {
            parse_integer(&value).ok_or(Fail::text("ERR hash value is not an integer"))?
        }
        None => 0,
    };
    let sum = number
        .checked_add(increment)
        .ok_or(Fail::text("ERR increment or decrement would overflow"))?;
    let digits = Bytes::copy_from_slice(itoa::Buffer::new().format(sum).as_bytes());
    set_number(context, editor, (key, field), digits, "hincrby")?;
    out.integer(sum);
    Ok(())
}

fn hincrbyfloat(
    context: &mut WriteContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, key, field, increment] = exactly(args)?;
    decimal::check_finite(increment)?;
    let editor = hash::open(&mut context.db, key)?;
    let sum = match hash::get(&mut context.db.reader(), &editor.collection, field)? {
        Some(value) if decimal::is_number(&value) => decimal::add(&value, increment)?,
        Some(_) => return Err(Fail::text("ERR hash value is not a float")),
        None => decimal::add(b"0", increment)?,
    };
    out.bulk(sum.as_bytes());
    set_number(context, editor, (key, field), sum.into(), "hincrbyfloat")
}

fn value_of(
    context: &mut ReadContext<'_>,
    key: &[u8],
    field: &[u8],
) -> Result<Option<Bytes>, Fail> {
    let Some(hash) = hash::read(&mut context.db, key)? else { return Ok(None) };
    Ok(hash::get(&mut context.db, &hash, field)?)
}

fn reply_value(value: Option<Bytes>, out: &mut Encoder) {
    match value {
        Some(value) => out.bulk_bytes(value),
        None => out.null(),
    }
}

fn reply_all(
    context: &mut ReadContext<'_>,
    args: &Args,
    begin: fn(&mut Encoder, usize),
    out: &mut Encoder,
    reply: fn(Bytes, Bytes, &mut Encoder),
) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let Some(hash) = hash::read(&mut context.db, key)? else {
        begin(out, 0);
        return Ok(());
    };
    context.walk(hash.size())?;
    begin(out, usize::try_from(hash.size()).unwrap_or(usize::MAX));
    let mut left = hash.size();
    hash::for_each(&mut context.db, &hash, |field, value| {
        reply(field, value, out);
        left = left.wrapping_sub(1);
        Ok(())
    })?;
    // A reply must have as many parts as it says.
    if left == 0 { Ok(()) } else { Err(damaged()) }
}

/// How many of the fields are new.
fn set_fields(context: &mut WriteContext<'_>, args: &Args, name: &str) -> Result<i64, Fail> {
    let ([_, key], pairs) = at_least(args)?;
    let (pairs, []) = pairs.as_chunks::<2>() else { return Err(Fail::arity(name)) };
    let mut editor = hash::open(&mut context.db, key)?;
    let mut created = 0;
    for [field, value] in pairs {
        created += i64::from(hash::set(&mut context.db, &mut editor.collection, field, value)?);
    }
    save(context, editor, key, "hset")?;
    Ok(created)
}

fn set_number(
    context: &mut WriteContext<'_>,
    mut editor: Editor,
    (key, field): (&Bytes, &Bytes),
    digits: Bytes,
    event: &'static str,
) -> Result<(), Fail> {
    hash::set(&mut context.db, &mut editor.collection, field, &digits)?;
    save(context, editor, key, event)
}

fn save(
    context: &mut WriteContext<'_>,
    editor: Editor,
    key: &[u8],
    event: &'static str,
) -> Result<(), Fail> {
    let is_there = editor.save(&mut context.db)?;
    context.db.notify(class::HASH, event, key);
    if !is_there {
        context.db.notify(class::GENERIC, "del", key);
    }
    Ok(())
}
