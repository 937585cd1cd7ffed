//! Taking the lowest or the highest members, and waiting for some.

use bytes::Bytes;

use crate::data::sorted_set::{Interval, Slice};
use crate::data::{Error, SortedSetEditor};
use crate::resp::{Args, Encoder, Protocol};

use super::super::args::{at_least, blocking_timeout, integer, is};
use super::super::context::WriteContext;
use super::super::fail::{Block, Fail, Nothing};
use super::super::spec::{Command, Flags, Run};
use super::{FAST, counted_keys, notify_removal, row};

const WAITS_FAST: Flags = Flags::BLOCKING.or(Flags::FAST).or(Flags::NOSCRIPT);
const COST: &str = "O(M) with the number of members returned";
const COST_OF_KEYS: &str = "O(K+M) with the number of keys and of members returned";

/// The table's rows.
pub(in super::super) const COMMANDS: &[Command] = &[
    row("bzmpop", -5, Run::Write(bzmpop))
        .keys(0, 0, 0)
        .flags(Flags::BLOCKING)
        .movable_keys(|args| counted_keys(args, 2))
        .access("RW access delete")
        .syntax(
            "timeout:double numkeys:integer key ... <MIN | MAX> [COUNT \
             count:integer]",
        )
        .docs(
            "7.0.0",
            COST_OF_KEYS,
            "Removes the lowest or highest members of the first sorted set that is there, or waits",
        ),
    row("bzpopmax", -3, Run::Write(bzpopmax))
        .flags(WAITS_FAST)
        .keys(1, -2, 1)
        .access("RW access delete")
        .syntax("key ... timeout:double")
        .docs(
            "5.0.0",
            "O(K) with the number of keys",
            "Removes the highest member of the first sorted set that is there, or waits for one",
        ),
    row("bzpopmin", -3, Run::Write(bzpopmin))
        .flags(WAITS_FAST)
        .keys(1, -2, 1)
        .access("RW access delete")
        .syntax("key ... timeout:double")
        .docs(
            "5.0.0",
            "O(K) with the number of keys",
            "Removes the lowest member of the first sorted set that is there, or waits for one",
        ),
    row("zmpop", -4, Run::Write(zmpop))
        .keys(0, 0, 0)
        .movable_keys(|args| counted_keys(args, 1))
        .access("RW access delete")
        .syntax("numkeys:integer key ... <MIN | MAX> [COUNT count:integer]")
        .docs(
            "7.0.0",
            COST_OF_KEYS,
            "Removes the lowest or highest members of the first sorted set that is there",
        ),
    row("zpopmax", -2, Run::Write(zpopmax))
        .flags(FAST)
        .access("RW access delete")
        .syntax("key [count:integer]")
        .docs("5.0.0", COST, "Removes and returns the highest members"),
    row("zpopmin", -2, Run::Write(zpopmin))
        .flags(FAST)
        .access("RW access delete")
        .syntax("key [count:integer]")
        .docs("5.0.0", COST, "Removes and returns the lowest members"),
];

fn zpopmin(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    pop_of_one(context, args, End::Min, out)
}

fn zpopmax(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    pop_of_one(context, args, End::Max, out)
}

fn zmpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], rest) = at_least(args)?;
    let Several { keys, end, count } = Several::parse(rest)?;
    match find(context, keys, false)? {
        Some(editor) => pop(context, editor, end, count, Shape::KeyAndPairs, out)?,
        None => out.null_array(),
    }
    Ok(())
}

fn bzpopmin(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    wait_for_one(context, args, End::Min, out)
}

fn bzpopmax(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    wait_for_one(context, args, End::Max, out)
}

fn bzmpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, timeout], rest) = at_least(args)?;
    let Several { keys, end, count } = Several::parse(rest)?;
    wait(context, keys, timeout, end, count, Shape::KeyAndPairs, out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

/// What a reply looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Members and scores in turn.
    Flat,
    /// Each member and its score as an array.
    Pairs,
    /// The key, a member, its score.
    KeyAndOne,
    /// The key, and an array of pairs.
    KeyAndPairs,
}

/// What the commands for several keys are told.
struct Several<'a> {
    keys: &'a [Bytes],
    end: End,
    count: u64,
}

impl<'a> Several<'a> {
    /// From the number of keys on.
    fn parse(args: &'a [Bytes]) -> Result<Self, Fail> {
        let [keys_len, rest @ ..] = args else { return Err(Fail::SYNTAX) };
        let keys_len = positive(keys_len, "ERR numkeys should be greater than 0")?;
        let split = usize::try_from(keys_len).ok().and_then(|len| rest.split_at_checked(len));
        let (keys, rest) = split.ok_or(Fail::SYNTAX)?;
        let [end, rest @ ..] = rest else { return Err(Fail::SYNTAX) };
        let end = match end {
            end if is(end, "min") => End::Min,
            end if is(end, "max") => End::Max,
            _ => return Err(Fail::SYNTAX),
        };
        let count = match rest {
            [] => 1,
            [option, count, behind @ ..] if is(option, "count") => {
                let count = positive(count, "ERR count should be greater than 0")?;
                if !behind.is_empty() {
                    return Err(Fail::SYNTAX);
                }
                count
            }
            _ => return Err(Fail::SYNTAX),
        };
        Ok(Self { keys, end, count })
    }
}

fn positive(arg: &[u8], complaint: &'static str) -> Result<u64, Fail> {
    let number = integer(arg).ok().and_then(|number| u64::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(Fail::text(complaint))
}

fn pop_of_one(
    context: &mut WriteContext<'_>,
    args: &Args,
    end: End,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, key], rest) = at_least(args)?;
    let count = match rest {
        [] => None,
        [count] => {
            let count = integer(count).ok().and_then(|count| u64::try_from(count).ok());
            Some(count.ok_or(Fail::text("ERR value is out of range, must be positive"))?)
        }
        _ => return Err(Fail::SYNTAX),
    };
    let is_nested = count.is_some() && out.protocol() == Protocol::Resp3;
    let shape = if is_nested { Shape::Pairs } else { Shape::Flat };
    match SortedSetEditor::open_existing(&mut context.db, key)? {
        Some(editor) if count != Some(0) => {
            pop(context, editor, end, count.unwrap_or(1), shape, out)
        }
        _ => {
            out.array(0);
            Ok(())
        }
    }
}

fn wait_for_one(
    context: &mut WriteContext<'_>,
    args: &Args,
    end: End,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_], rest) = at_least(args)?;
    let Some((timeout, keys)) = rest.split_last() else { return Err(Fail::SYNTAX) };
    wait(context, keys, timeout, end, 1, Shape::KeyAndOne, out)
}

/// Takes members of the first of `keys` that has some, or waits for one to have some.
fn wait(
    context: &mut WriteContext<'_>,
    keys: &[Bytes],
    timeout: &[u8],
    end: End,
    count: u64,
    shape: Shape,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let timeout = blocking_timeout(timeout)?;
    match find(context, context.awaited(keys), context.is_woken)? {
        Some(editor) => pop(context, editor, end, count, shape, out),
        None => Err(Fail::Block(Block { keys: keys.to_vec(), timeout, nothing: Nothing::Array })),
    }
}

/// The first of `keys` that is there. What holds another type is an error, or as good as absent.
fn find(
    context: &mut WriteContext<'_>,
    keys: &[Bytes],
    skips_others: bool,
) -> Result<Option<SortedSetEditor>, Fail> {
    for key in keys {
        match SortedSetEditor::open_existing(&mut context.db, key) {
            Ok(None) => {}
            Err(Error::WrongType) if skips_others => {}
            found => return Ok(found?),
        }
    }
    Ok(None)
}

fn pop(
    context: &mut WriteContext<'_>,
    mut editor: SortedSetEditor,
    end: End,
    count: u64,
    shape: Shape,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let db = &mut context.db;
    let reverse = end == End::Max;
    let slice = Slice { interval: Interval::All, reverse, offset: 0, limit: count };
    let mut popped = Vec::new();
    editor.remove_slice(db, &slice, |score, member| popped.push((member.clone(), score)))?;
    let key = editor.key().clone();
    let is_left = editor.save(db)?;
    notify_removal(db, &key, if reverse { "zpopmax" } else { "zpopmin" }, is_left);
    match shape {
        Shape::Flat => out.array(popped.len().saturating_mul(2)),
        Shape::Pairs => out.array(popped.len()),
        Shape::KeyAndOne => {
            out.array(3);
            out.bulk_bytes(key);
        }
        Shape::KeyAndPairs => {
            out.array(2);
            out.bulk_bytes(key);
            out.array(popped.len());
        }
    }
    for (member, score) in popped {
        if matches!(shape, Shape::Pairs | Shape::KeyAndPairs) {
            out.array(2);
        }
        out.bulk_bytes(member);
        out.double(score);
    }
    Ok(())
}
