//! Removing members by name, rank or score.

use bytes::Bytes;

use crate::data::SortedSetEditor;
use crate::data::sorted_set::{Interval, Slice};
use crate::resp::{Args, Encoder};

use super::super::args::{at_least, exactly, integer};
use super::super::context::WriteContext;
use super::super::fail::Fail;
use super::super::spec::{Command, Run};
use super::{FAST, bounds, notify_removal, reply_count, row};

/// The table's rows.
pub(in super::super) const COMMANDS: &[Command] = &[
    row("zrem", -3, Run::Write(zrem))
        .flags(FAST)
        .access("RW delete")
        .syntax("key member ...")
        .docs(
            "1.2.0",
            "O(N) with the number of members to remove",
            "Removes members from a sorted set",
        ),
    row("zremrangebylex", 4, Run::Write(zremrangebylex))
        .access("RW delete")
        .syntax("key min max")
        .docs(
            "2.8.9",
            "O(N) with the number of members removed",
            "Removes the members, all of one score, that are between two names",
        ),
    row("zremrangebyrank", 4, Run::Write(zremrangebyrank))
        .access("RW delete")
        .syntax("key start:integer stop:integer")
        .docs(
            "2.0.0",
            "O(sqrt(N)+M) with the number of members and of those removed",
            "Removes the members between two ranks",
        ),
    row("zremrangebyscore", 4, Run::Write(zremrangebyscore))
        .access("RW delete")
        .syntax("key min:double max:double")
        .docs(
            "1.2.0",
            "O(N) with the number of members removed",
            "Removes the members with scores between two",
        ),
];

fn zrem(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], members) = at_least(args)?;
    let db = &mut context.db;
    let mut removed = 0;
    if let Some(mut editor) = SortedSetEditor::open_existing(db, key)? {
        for member in members {
            if editor.set().size() == 0 {
                break;
            }
            if let Some(score) = editor.score(db, member)? {
                editor.remove(db, member, score)?;
                removed += 1;
            }
        }
        if removed > 0 {
            let is_left = editor.save(db)?;
            notify_removal(db, key, "zrem", is_left);
        }
    }
    reply_count(removed, out);
    Ok(())
}

fn zremrangebyrank(
    context: &mut WriteContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, key, start, end] = exactly(args)?;
    let (start, end) = (integer(start)?, integer(end)?);
    let slice = |size| bounds::ranks(start, end, false, size);
    remove(context, key, slice, "zremrangebyrank", out)
}

fn zremrangebyscore(
    context: &mut WriteContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, key, min, max] = exactly(args)?;
    let interval = bounds::scores(min, max)?;
    remove(context, key, |_| Some(whole(interval)), "zremrangebyscore", out)
}

fn zremrangebylex(
    context: &mut WriteContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, key, min, max] = exactly(args)?;
    let interval = bounds::members(min, max)?;
    remove(context, key, |_| Some(whole(interval)), "zremrangebylex", out)
}

fn whole(interval: Interval) -> Slice {
    Slice { interval, ..Slice::ALL }
}

/// Removes what `slice` says of a set of the size it is given.
fn remove(
    context: &mut WriteContext<'_>,
    key: &Bytes,
    slice: impl FnOnce(u64) -> Option<Slice>,
    event: &'static str,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let db = &mut context.db;
    let mut removed = 0;
    if let Some(mut editor) = SortedSetEditor::open_existing(db, key)?
        && let Some(slice) = slice(editor.set().size())
    {
        removed = editor.drop_slice(db, &slice)?;
        if removed > 0 {
            let is_left = editor.save(db)?;
            notify_removal(db, key, event, is_left);
        }
    }
    reply_count(removed, out);
    Ok(())
}
