//! Commands that take from a list and wait for one if there is none.

use bytes::Bytes;

use crate::data::collection::Editor;
use crate::data::list::End;
use crate::data::{self, Kind};
use crate::resp::{Args, Encoder};

use super::args::{at_least, blocking_timeout, exactly};
use super::context::WriteContext;
use super::fail::{Block, Fail, Nothing};
use super::list::{end, pop_one};
use super::list_move::{MultiPop, counted_keys, move_element};
use super::spec::{Command, Flags, Group, Run};

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::List).flags(Flags::BLOCKING)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("blmove", 6, Run::Write(blmove))
        .flags(Flags::DENYOOM.or(Flags::NOSCRIPT))
        .keys(1, 2, 1)
        .access("RW access delete, RW insert")
        .syntax(
            "source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT> \
             timeout:double",
        )
        .docs("6.2.0", "O(1)", "Does what LMOVE does, and waits for an element if there is none"),
    row("blmpop", -5, Run::Write(blmpop))
        .movable_keys(|args| counted_keys(args, 2))
        .access("RW access delete")
        .syntax(
            "timeout:double numkeys:integer key ... <LEFT | RIGHT> [COUNT \
             count:integer]",
        )
        .docs(
            "7.0.0",
            "O(N+M) with the number of keys and that of elements returned",
            "Does what LMPOP does, and waits for elements if there are none",
        ),
    row("blpop", -3, Run::Write(blpop))
        .flags(Flags::NOSCRIPT)
        .keys(1, -2, 1)
        .access("RW access delete")
        .syntax("key ... timeout:double")
        .docs(
            "2.0.0",
            "O(N) with the number of keys",
            "Removes the element at the left end of the first list that has any, or waits for one",
        ),
    row("brpop", -3, Run::Write(brpop))
        .flags(Flags::NOSCRIPT)
        .keys(1, -2, 1)
        .access("RW access delete")
        .syntax("key ... timeout:double")
        .docs(
            "2.0.0",
            "O(N) with the number of keys",
            "Removes the element at the right end of the first list that has any, or waits for one",
        ),
    row("brpoplpush", 4, Run::Write(brpoplpush))
        .flags(Flags::DENYOOM.or(Flags::NOSCRIPT))
        .keys(1, 2, 1)
        .access("RW access delete, RW insert")
        .syntax("source:key destination:key timeout:double")
        .docs(
            "2.2.0",
            "O(1)",
            "Does what RPOPLPUSH does, and waits for an element if there is none",
        ),
];

fn blpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    pop(context, args, End::Left, out)
}

fn brpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    pop(context, args, End::Right, out)
}

fn pop(
    context: &mut WriteContext<'_>,
    args: &Args,
    end: End,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_], rest) = at_least(args)?;
    let (timeout, keys) = rest.split_last().ok_or(Fail::SYNTAX)?;
    let timeout = blocking_timeout(timeout)?;
    for key in context.awaited(keys) {
        if let Some(editor) = source(context, key)? {
            let value = pop_one(context, editor, end)?.unwrap_or_default();
            out.array(2);
            out.bulk(key);
            out.bulk_bytes(value);
            return Ok(());
        }
    }
    Err(Fail::Block(Block { keys: keys.to_vec(), timeout, nothing: Nothing::Array }))
}

fn blmpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, timeout], rest) = at_least(args)?;
    let request = MultiPop::parse(rest)?;
    let timeout = blocking_timeout(timeout)?;
    for key in context.awaited(request.keys) {
        if let Some(editor) = source(context, key)? {
            return request.pop(context, editor, out);
        }
    }
    Err(Fail::Block(Block { keys: request.keys.to_vec(), timeout, nothing: Nothing::Array }))
}

fn blmove(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, from, to, from_end, to_end, timeout] = exactly(args)?;
    let ends = (end(from_end)?, end(to_end)?);
    move_when_there(context, from, to, ends, timeout, out)
}

fn brpoplpush(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, from, to, timeout] = exactly(args)?;
    move_when_there(context, from, to, (End::Right, End::Left), timeout, out)
}

fn move_when_there(
    context: &mut WriteContext<'_>,
    from: &Bytes,
    to: &Bytes,
    ends: (End, End),
    timeout: &Bytes,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let timeout = blocking_timeout(timeout)?;
    match source(context, from)? {
        Some(source) => move_element(context, source, to, ends, out),
        None => {
            Err(Fail::Block(Block { keys: vec![from.clone()], timeout, nothing: Nothing::Bulk }))
        }
    }
}

/// The list at `key`, if there is one.
fn source(context: &mut WriteContext<'_>, key: &Bytes) -> Result<Option<Editor>, Fail> {
    match Editor::open(&mut context.db, key, Kind::List) {
        Ok(editor) => Ok(Some(editor).filter(Editor::existed)),
        Err(data::Error::WrongType) if context.is_woken => Ok(None),
        Err(error) => Err(error.into()),
    }
}
