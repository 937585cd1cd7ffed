//! Lists: their ends, their elements by index, and their length. `list_middle` searches and changes them in
//! between, `list_move` takes from one for another, `list_blocking` waits for one.

use std::ops::Range;

use bytes::Bytes;

use crate::data::collection::{self, Collection, Editor};
use crate::data::effects::class;
use crate::data::list::{self, End};
use crate::data::{DbReader, Kind};
use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly, integer, integer_from, is};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Run};

const FAST: Flags = Flags::FAST;
const GROWS: Flags = Flags::DENYOOM;
const GROWS_FAST: Flags = Flags::DENYOOM.or(Flags::FAST);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::List).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("lindex", 3, Run::Read(lindex)).syntax("key index:integer").docs(
        "1.0.0",
        "O(1)",
        "Returns the element at an index",
    ),
    row("llen", 2, Run::Read(llen)).flags(FAST).access("RO").syntax("key").docs(
        "1.0.0",
        "O(1)",
        "Returns a list's length",
    ),
    row("lpop", -2, Run::Write(lpop))
        .flags(FAST)
        .access("RW access delete")
        .syntax("key [count:integer]")
        .docs(
            "1.0.0",
            "O(N) with the number of elements returned",
            "Removes elements from the left end and returns them",
        ),
    row("lpush", -3, Run::Write(lpush))
        .flags(GROWS_FAST)
        .access("RW insert")
        .syntax("key element ...")
        .docs(
            "1.0.0",
            "O(N) with the number of elements added",
            "Adds elements at the left end of a list, which is created if it is not there",
        ),
    row("lpushx", -3, Run::Write(lpushx))
        .flags(GROWS_FAST)
        .access("RW insert")
        .syntax("key element ...")
        .docs(
            "2.2.0",
            "O(N) with the number of elements added",
            "Adds elements at the left end of a list that is there",
        ),
    row("lrange", 4, Run::Read(lrange)).syntax("key start:integer stop:integer").docs(
        "1.0.0",
        "O(N) with the number of elements returned, wherever they are",
        "Returns the elements between two indices",
    ),
    row("lset", 4, Run::Write(lset))
        .flags(GROWS)
        .access("RW update")
        .syntax("key index:integer element")
        .docs("1.0.0", "O(1)", "Sets the element at an index"),
    row("ltrim", 4, Run::Write(ltrim))
        .access("RW delete")
        .syntax("key start:integer stop:integer")
        .docs(
            "1.0.0",
            "O(N) with the number of elements removed",
            "Removes all elements but those between two indices",
        ),
    row("rpop", -2, Run::Write(rpop))
        .flags(FAST)
        .access("RW access delete")
        .syntax("key [count:integer]")
        .docs(
            "1.0.0",
            "O(N) with the number of elements returned",
            "Removes elements from the right end and returns them",
        ),
    row("rpush", -3, Run::Write(rpush))
        .flags(GROWS_FAST)
        .access("RW insert")
        .syntax("key element ...")
        .docs(
            "1.0.0",
            "O(N) with the number of elements added",
            "Adds elements at the right end of a list, which is created if it is not there",
        ),
    row("rpushx", -3, Run::Write(rpushx))
        .flags(GROWS_FAST)
        .access("RW insert")
        .syntax("key element ...")
        .docs(
            "2.2.0",
            "O(N) with the number of elements added",
            "Adds elements at the right end of a list that is there",
        ),
];

fn lpush(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    push(context, args, End::Left, false, out)
}

fn rpush(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    push(context, args, End::Right, false, out)
}

fn lpushx(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    push(context, args, End::Left, true, out)
}

fn rpushx(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    push(context, args, End::Right, true, out)
}

fn push(
    context: &mut WriteContext<'_>,
    args: &Args,
    end: End,
    must_be_there: bool,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, key], values) = at_least(args)?;
    let mut editor = Editor::open(&mut context.db, key, Kind::List)?;
    if must_be_there && !editor.existed() {
        out.integer(0);
        return Ok(());
    }
    for value in values {
        list::push(&mut editor.collection, &mut context.db, end, value)?;
    }
    reply_len(editor.collection.size(), out);
    save_longer(context, editor, end)
}

fn lpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    pop(context, args, End::Left, out)
}

fn rpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    pop(context, args, End::Right, out)
}

fn pop(
    context: &mut WriteContext<'_>,
    args: &Args,
    end: End,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, key], rest) = at_least(args)?;
    let count = match rest {
        [] => None,
        [count] => Some(integer_from(0, count, "ERR value is out of range, must be positive")?),
        _ => {
            return Err(Fail::arity(match end {
                End::Left => "lpop",
                End::Right => "rpop",
            }));
        }
    };
    let editor = Editor::open(&mut context.db, key, Kind::List)?;
    match count {
        None if !editor.existed() => out.null(),
        Some(_) if !editor.existed() => out.null_array(),
        None => match pop_one(context, editor, end)? {
            Some(value) => out.bulk_bytes(value),
            None => out.null(),
        },
        Some(0) => out.array(0),
        Some(count) => pop_many(context, editor, end, count, out)?,
    }
    Ok(())
}

/// Removes the element at one end.
pub(super) fn pop_one(
    context: &mut WriteContext<'_>,
    mut editor: Editor,
    end: End,
) -> Result<Option<Bytes>, Fail> {
    let value = list::pop(&mut editor.collection, &mut context.db, end)?;
    save_shorter(context, editor, pop_event(end))?;
    Ok(value)
}

/// Removes up to `count` elements at one end, and replies with them, the outermost first.
pub(super) fn pop_many(
    context: &mut WriteContext<'_>,
    mut editor: Editor,
    end: End,
    count: u64,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let size = editor.collection.size();
    let count = count.min(size);
    let (popped, kept) = match end {
        End::Left => (0..count, count..size),
        End::Right => (size - count..size, 0..size - count),
    };
    let reverse = end == End::Right;
    reply_elements(&editor.collection, &mut context.db.reader(), popped, reverse, out)?;
    list::trim(&mut editor.collection, &mut context.db, kept)?;
    save_shorter(context, editor, pop_event(end))
}

fn llen(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let list = collection::read(&mut context.db, key, Kind::List)?;
    reply_len(list.map_or(0, |list| list.size()), out);
    Ok(())
}

fn lindex(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, index] = exactly(args)?;
    let value = match collection::read(&mut context.db, key, Kind::List)? {
        None => None,
        Some(list) => match absolute(integer(index)?, list.size()) {
            Some(index) => list::get(&list, &mut context.db, index)?,
            None => None,
        },
    };
    match value {
        Some(value) => out.bulk_bytes(value),
        None => out.null(),
    }
    Ok(())
}

fn lset(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, index, value] = exactly(args)?;
    let mut editor = Editor::open(&mut context.db, key, Kind::List)?;
    if !editor.existed() {
        return Err(Fail::NO_SUCH_KEY);
    }
    let index = absolute(integer(index)?, editor.collection.size());
    let index = index.ok_or(Fail::text("ERR index out of range"))?;
    list::set(&mut editor.collection, &mut context.db, index, value)?;
    editor.save(&mut context.db)?;
    context.db.notify(class::LIST, "lset", key);
    out.ok();
    Ok(())
}

fn lrange(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, start, stop] = exactly(args)?;
    let (start, stop) = (integer(start)?, integer(stop)?);
    let Some(list) = collection::read(&mut context.db, key, Kind::List)? else {
        out.array(0);
        return Ok(());
    };
    let indices = absolute_range(start, stop, list.size());
    context.walk(indices.end - indices.start)?;
    reply_elements(&list, &mut context.db, indices, false, out)
}

fn ltrim(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, start, stop] = exactly(args)?;
    let (start, stop) = (integer(start)?, integer(stop)?);
    let mut editor = Editor::open(&mut context.db, key, Kind::List)?;
    if editor.existed() {
        let indices = absolute_range(start, stop, editor.collection.size());
        list::trim(&mut editor.collection, &mut context.db, indices)?;
        save_shorter(context, editor, "ltrim")?;
    }
    out.ok();
    Ok(())
}

/// Saves a list to which elements were added at one end, and tells of it.
pub(super) fn save_longer(
    context: &mut WriteContext<'_>,
    editor: Editor,
    end: End,
) -> Result<(), Fail> {
    let key = editor.key().clone();
    editor.save(&mut context.db)?;
    context.db.notify(class::LIST, push_event(end), &key);
    Ok(())
}

/// Saves a list from which elements may have been removed, and tells of it: `event`, and that the key is gone
/// if none is left.
pub(super) fn save_shorter(
    context: &mut WriteContext<'_>,
    editor: Editor,
    event: &'static str,
) -> Result<(), Fail> {
    let key = editor.key().clone();
    let is_there = editor.save(&mut context.db)?;
    context.db.notify(class::LIST, event, &key);
    if !is_there {
        context.db.notify(class::GENERIC, "del", &key);
    }
    Ok(())
}

fn push_event(end: End) -> &'static str {
    match end {
        End::Left => "lpush",
        End::Right => "rpush",
    }
}

pub(super) fn pop_event(end: End) -> &'static str {
    match end {
        End::Left => "lpop",
        End::Right => "rpop",
    }
}

/// The end that an argument names.
pub(super) fn end(arg: &[u8]) -> Result<End, Fail> {
    if is(arg, "left") {
        Ok(End::Left)
    } else if is(arg, "right") {
        Ok(End::Right)
    } else {
        Err(Fail::SYNTAX)
    }
}

pub(super) fn reply_len(len: u64, out: &mut Encoder) {
    out.integer(i64::try_from(len).unwrap_or(i64::MAX));
}

fn reply_elements(
    list: &Collection,
    db: &mut DbReader<'_>,
    indices: Range<u64>,
    reverse: bool,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let len = indices.end.saturating_sub(indices.start);
    out.array(usize::try_from(len).unwrap_or(usize::MAX));
    list::for_each(list, db, indices, reverse, |_, value| {
        out.bulk_bytes(value);
        Ok(true)
    })?;
    Ok(())
}

/// The index that `index` means in a list of `size` elements, if it is one of them.
fn absolute(index: i64, size: u64) -> Option<u64> {
    let index = match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => size.checked_sub(index.unsigned_abs())?,
    };
    Some(index).filter(|index| *index < size)
}

/// What `start` to `stop`, both inclusive, mean in a list of `size` elements.
fn absolute_range(start: i64, stop: i64, size: u64) -> Range<u64> {
    let from_left = |index: i64| match u64::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => size.checked_sub(index.unsigned_abs()),
    };
    let start = from_left(start).unwrap_or(0);
    let end = from_left(stop).map_or(0, |stop| stop.saturating_add(1)).min(size);
    if start < end { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_count_from_either_end() {
        for (index, size, expected) in [
            (0, 3, Some(0)),
            (2, 3, Some(2)),
            (3, 3, None),
            (-1, 3, Some(2)),
            (-3, 3, Some(0)),
            (-4, 3, None),
            (i64::MIN, 3, None),
            (i64::MAX, 3, None),
        ] {
            assert_eq!(absolute(index, size), expected, "{index}");
        }
        for (start, stop, expected) in [
            (0, -1, 0..3),
            (0, 0, 0..1),
            (1, 1, 1..2),
            (-2, -1, 1..3),
            (-100, 100, 0..3),
            (2, 1, 0..0),
            (3, 5, 0..0),
            (0, -4, 0..0),
            (i64::MIN, i64::MAX, 0..3),
            (i64::MAX, i64::MIN, 0..0),
        ] {
            assert_eq!(absolute_range(start, stop, 3), expected, "{start} {stop}");
        }
    }
}
