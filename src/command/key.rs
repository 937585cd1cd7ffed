//! Keys of any type.

use bytes::Bytes;

use crate::data::{self, class};
use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Run};

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).flags(Flags::KEYSPACE)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("del", -2, Run::Write(del)).keys(1, -1, 1).access("RM delete").syntax("key ...").docs(
        "1.0.0",
        "O(N) with the number of keys, whatever their size",
        "Removes keys",
    ),
    row("exists", -2, Run::Read(exists))
        .flags(Flags::FAST)
        .keys(1, -1, 1)
        .access("RO")
        .syntax("key ...")
        .docs("1.0.0", "O(N) with the number of keys", "Counts which of the keys are there"),
    row("randomkey", 1, Run::Read(randomkey)).docs("1.0.0", "O(1)", "Returns some key"),
    row("rename", 3, Run::Write(rename))
        .keys(1, 2, 1)
        .access("RW access delete, OW update")
        .syntax("key newkey:key")
        .docs("1.0.0", "O(1)", "Gives a key another name, in place of what had that name"),
    row("renamenx", 3, Run::Write(renamenx))
        .flags(Flags::FAST)
        .keys(1, 2, 1)
        .access("RW access delete, OW insert")
        .syntax("key newkey:key")
        .docs("1.0.0", "O(1)", "Gives a key another name if nothing has it"),
    row("touch", -2, Run::Read(exists))
        .flags(Flags::FAST)
        .keys(1, -1, 1)
        .access("RO")
        .syntax("key ...")
        .docs("3.2.1", "O(N) with the number of keys", "Counts which of the keys are there"),
    row("type", 2, Run::Read(kind))
        .flags(Flags::FAST)
        .keys(1, 1, 1)
        .access("RO")
        .syntax("key")
        .docs("1.0.0", "O(1)", "Returns the type of a key's value"),
    row("unlink", -2, Run::Write(del))
        .flags(Flags::FAST)
        .keys(1, -1, 1)
        .access("RM delete")
        .syntax("key ...")
        .docs(
            "4.0.0",
            "O(N) with the number of keys, whatever their size",
            "Removes keys, as DEL does",
        ),
];

fn del(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], keys) = at_least(args)?;
    let mut removed = 0;
    for key in keys {
        if let Some(record) = context.db.lookup(key)? {
            context.db.remove(key, &record)?;
            context.db.notify(class::GENERIC, "del", key);
            removed += 1;
        }
    }
    out.integer(removed);
    Ok(())
}

fn exists(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], keys) = at_least(args)?;
    let mut found = 0;
    for key in keys {
        found += i64::from(context.db.read(key)?.is_some());
    }
    out.integer(found);
    Ok(())
}

fn kind(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    out.simple(context.db.read(key)?.map_or("none", |record| record.kind.name()));
    Ok(())
}

fn randomkey(context: &mut ReadContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    match data::random_key(&mut context.db)? {
        Some(key) => out.bulk(&key),
        None => out.null(),
    }
    Ok(())
}

fn rename(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, from, to] = exactly(args)?;
    move_key(context, from, to, false)?;
    out.ok();
    Ok(())
}

fn renamenx(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, from, to] = exactly(args)?;
    let moved = move_key(context, from, to, true)?;
    out.integer(i64::from(moved));
    Ok(())
}

/// Returns whether the key was moved.
fn move_key(
    context: &mut WriteContext<'_>,
    from: &Bytes,
    to: &Bytes,
    only_if_free: bool,
) -> Result<bool, Fail> {
    let record = context.db.lookup(from)?.ok_or(Fail::NO_SUCH_KEY)?;
    if from == to {
        return Ok(false);
    }
    let replaced = context.db.lookup(to)?;
    if only_if_free && replaced.is_some() {
        return Ok(false);
    }
    context.db.rename(from, &record, to, replaced.as_ref())?;
    context.db.notify(class::GENERIC, "rename_from", from);
    context.db.notify(class::GENERIC, "rename_to", to);
    Ok(true)
}
