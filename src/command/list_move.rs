//! Commands that take from one list: `LMOVE` and its like for another, `LMPOP` for the first of several that
//! has something.

use bytes::Bytes;

use crate::data::Kind;
use crate::data::collection::Editor;
use crate::data::effects::class;
use crate::data::list::{self, End};
use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, exactly, integer_from, is};
use super::context::WriteContext;
use super::fail::Fail;
use super::list::{end, pop_event, pop_many, save_longer, save_shorter};
use super::spec::{Command, Flags, Group, Run};

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::List)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("lmove", 5, Run::Write(lmove))
        .flags(Flags::DENYOOM)
        .keys(1, 2, 1)
        .access("RW access delete, RW insert")
        .syntax("source:key destination:key <LEFT | RIGHT> <LEFT | RIGHT>")
        .docs(
            "6.2.0",
            "O(1)",
            "Moves an element from one end of a list to one of another, and returns it",
        ),
    row("lmpop", -4, Run::Write(lmpop))
        .movable_keys(|args| counted_keys(args, 1))
        .access("RW access delete")
        .syntax("numkeys:integer key ... <LEFT | RIGHT> [COUNT count:integer]")
        .docs(
            "7.0.0",
            "O(N+M) with the number of keys and that of elements returned",
            "Removes elements from an end of the first list that has any, and returns them",
        ),
    row("rpoplpush", 3, Run::Write(rpoplpush))
        .flags(Flags::DENYOOM)
        .keys(1, 2, 1)
        .access("RW access delete, RW insert")
        .syntax("source:key destination:key")
        .docs(
            "1.2.0",
            "O(1)",
            "Moves an element from the right end of a list to the left of another, and returns it",
        ),
];

fn lmove(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, from, to, from_end, to_end] = exactly(args)?;
    let ends = (end(from_end)?, end(to_end)?);
    move_or_nothing(context, from, to, ends, out)
}

fn rpoplpush(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, from, to] = exactly(args)?;
    move_or_nothing(context, from, to, (End::Right, End::Left), out)
}

fn move_or_nothing(
    context: &mut WriteContext<'_>,
    from: &Bytes,
    to: &Bytes,
    ends: (End, End),
    out: &mut Encoder,
) -> Result<(), Fail> {
    let source = Editor::open(&mut context.db, from, Kind::List)?;
    if source.existed() {
        return move_element(context, source, to, ends, out);
    }
    out.null();
    Ok(())
}

/// Moves an element from the first of the ends, of `source`, to the second, of the list at `to`, and replies
/// with it.
pub(super) fn move_element(
    context: &mut WriteContext<'_>,
    mut source: Editor,
    to: &Bytes,
    (from_end, to_end): (End, End),
    out: &mut Encoder,
) -> Result<(), Fail> {
    if source.key() == to {
        let Some(value) = list::pop(&mut source.collection, &mut context.db, from_end)? else {
            out.null();
            return Ok(());
        };
        list::push(&mut source.collection, &mut context.db, to_end, &value)?;
        save_longer(context, source, to_end)?;
        context.db.notify(class::LIST, pop_event(from_end), to);
        out.bulk_bytes(value);
        return Ok(());
    }
    let mut target = Editor::open(&mut context.db, to, Kind::List)?;
    let Some(value) = list::pop(&mut source.collection, &mut context.db, from_end)? else {
        out.null();
        return Ok(());
    };
    list::push(&mut target.collection, &mut context.db, to_end, &value)?;
    save_longer(context, target, to_end)?;
    save_shorter(context, source, pop_event(from_end))?;
    out.bulk_bytes(value);
    Ok(())
}

fn lmpop(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], rest) = at_least(args)?;
    let request = MultiPop::parse(rest)?;
    for key in request.keys {
        let editor = Editor::open(&mut context.db, key, Kind::List)?;
        if editor.existed() {
            return request.pop(context, editor, out);
        }
    }
    out.null_array();
    Ok(())
}

/// What `LMPOP` and `BLMPOP` say: `numkeys key [key ...] LEFT|RIGHT [COUNT count]`.
pub(super) struct MultiPop<'a> {
    pub(super) keys: &'a [Bytes],
    end: End,
    count: u64,
}

impl<'a> MultiPop<'a> {
    pub(super) fn parse(args: &'a [Bytes]) -> Result<Self, Fail> {
        let ([keys_len], rest) = args.split_first_chunk().ok_or(Fail::SYNTAX)?;
        let keys_len = integer_from(1, keys_len, "ERR numkeys should be greater than 0")?;
        let keys_len = usize::try_from(keys_len).unwrap_or(usize::MAX);
        let (keys, rest) = rest.split_at_checked(keys_len).ok_or(Fail::SYNTAX)?;
        let ([named_end], options) = rest.split_first_chunk().ok_or(Fail::SYNTAX)?;
        let end = end(named_end)?;
        let count = match options {
            [] => 1,
            [option, count, rest @ ..] if is(option, "count") => {
                let count = integer_from(1, count, "ERR count should be greater than 0")?;
                if !rest.is_empty() {
                    return Err(Fail::SYNTAX);
                }
                count
            }
            _ => return Err(Fail::SYNTAX),
        };
        Ok(Self { keys, end, count })
    }

    /// Removes elements of the list of `editor`, which there is, and replies with its key and them.
    pub(super) fn pop(
        &self,
        context: &mut WriteContext<'_>,
        editor: Editor,
        out: &mut Encoder,
    ) -> Result<(), Fail> {
        out.array(2);
        out.bulk(editor.key());
        pop_many(context, editor, self.end, self.count, out)
    }
}

/// Positions of the keys that are counted by the argument at `position`, before them.
pub(super) fn counted_keys(args: &Args, position: usize) -> Vec<usize> {
    let counted = args.get(position).and_then(|arg| parse_integer(arg));
    let keys_len = counted.and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
    let end = (position + 1).saturating_add(keys_len);
    // Behind them there is more.
    if end < args.len() { (position + 1..end).collect() } else { Vec::new() }
}
