//! Lists between their ends: searching for elements, inserting beside one, removing some.
//!
//! What changes a list there searches it, and reads what has to move, over a snapshot if that is far, and then
//! writes in the write lane, unless the list's time has come by then: see [`Prepare`](super::Prepare).

use bytes::Bytes;

use crate::data::Kind;
use crate::data::collection::{self, Collection, Editor};
use crate::data::effects::class;
use crate::data::list::{self, Change, End};
use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly, integer, integer_from, is};
use super::context::{ReadContext, WALK_ELEMENTS_MAX, WriteContext};
use super::fail::Fail;
use super::list::{reply_len, save_shorter};
use super::spec::{Command, Flags, Group, Prepared, Run};

const RANK_ZERO: &str = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the \
    second ... or use negative to start from the end of the list";

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::List).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("linsert", 5, Run::Write(linsert)).flags(Flags::DENYOOM).prepare(prepare_linsert).access("RW insert").syntax("key <BEFORE | AFTER> pivot element").docs(
        "2.2.0",
        "O(N) with the number of elements before the pivot, and with that on the shorter side of it, \
         which move",
        "Inserts an element before or after another",
    ),
    row("lpos", -3, Run::Read(lpos)).syntax("key element [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN \
                                             len:integer]").docs(
        "6.0.6",
        "O(N) with the number of elements searched",
        "Returns the indices of elements that are equal to a value",
    ),
    row("lrem", 4, Run::Write(lrem)).prepare(prepare_lrem).access("RW delete").syntax("key count:integer element").docs(
        "1.0.0",
        "O(N) with the number of elements searched, and with that of elements which move: all but \
         the longest stretch in which none is removed",
        "Removes elements that are equal to a value",
    ),
];

fn lpos(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key, wanted], options) = at_least(args)?;
    let options = PosOptions::parse(options)?;
    let list = collection::read(&mut context.db, key, Kind::List)?;
    let count = options.count.unwrap_or(1);
    let (mut matches, mut found) = (0, Vec::new());
    if let Some(list) = &list {
        search(context, list, options.from, options.elements_max, |index, value| {
            if value == wanted {
                matches += 1;
                if matches >= options.rank {
                    found.push(index);
                }
            }
            count == 0 || (found.len() as u64) < count
        })?;
    }
    match (options.count, found.first()) {
        (Some(_), _) => {
            out.array(found.len());
            found.iter().for_each(|index| reply_len(*index, out));
        }
        (None, Some(index)) => reply_len(*index, out),
        (None, None) => out.null(),
    }
    Ok(())
}

/// What `LPOS` says besides.
struct PosOptions {
    from: End,
    /// The first match to return, counting from 1.
    rank: u64,
    /// How many to return, 0 being all; `None`: one, and not in an array.
    count: Option<u64>,
    /// How many elements to look at.
    elements_max: u64,
}

impl PosOptions {
    fn parse(mut args: &[Bytes]) -> Result<Self, Fail> {
        let mut options = Self { from: End::Left, rank: 1, count: None, elements_max: u64::MAX };
        while let [option, value, rest @ ..] = args {
            if is(option, "rank") {
                let rank = integer(value)?;
                if rank == 0 {
                    return Err(Fail::text(RANK_ZERO));
                }
                options.from = if rank < 0 { End::Right } else { End::Left };
                options.rank = rank.unsigned_abs();
            } else if is(option, "count") {
                options.count = Some(integer_from(0, value, "ERR COUNT can't be negative")?);
            } else if is(option, "maxlen") {
                options.elements_max = match integer_from(0, value, "ERR MAXLEN can't be negative")?
                {
                    0 => u64::MAX,
                    elements_max => elements_max,
                };
            } else {
                return Err(Fail::SYNTAX);
            }
            args = rest;
        }
        if args.is_empty() { Ok(options) } else { Err(Fail::SYNTAX) }
    }
}

fn linsert(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    prepare_linsert(&mut context.reading(), args)?(context, out)
}

fn prepare_linsert(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    let [_, key, place, pivot, value] = exactly(args)?;
    let is_after = if is(place, "after") {
        true
    } else if is(place, "before") {
        false
    } else {
        return Err(Fail::SYNTAX);
    };
    let Some(list) = list::lookup(&mut context.db, key)? else { return Ok(reply(0)) };
    let mut found = None;
    search(context, &list, End::Left, u64::MAX, |index, element| {
        found = (element == pivot).then_some(index);
        found.is_none()
    })?;
    let Some(index) = found else { return Ok(reply(-1)) };
    let index = index + u64::from(is_after);
    let change = Change::insert(&list, &mut context.db, index, value)?;
    let key = key.clone();
    Ok(Box::new(move |context, out| {
        let mut editor = Editor::open(&mut context.db, &key, Kind::List)?;
        if !editor.existed() {
            return reply(0)(context, out);
        }
        change.apply(&mut editor.collection, &mut context.db)?;
        reply_len(editor.collection.size(), out);
        editor.save(&mut context.db)?;
        context.db.notify(class::LIST, "linsert", &key);
        Ok(())
    }))
}

fn lrem(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    prepare_lrem(&mut context.reading(), args)?(context, out)
}

fn prepare_lrem(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    let [_, key, count, unwanted] = exactly(args)?;
    let count = integer(count)?;
    let (from, count) = if count < 0 {
        (End::Right, count.unsigned_abs())
    } else {
        (End::Left, count.unsigned_abs())
    };
    let Some(list) = list::lookup(&mut context.db, key)? else { return Ok(reply(0)) };
    let mut found = Vec::new();
    search(context, &list, from, u64::MAX, |index, element| {
        if element == unwanted {
            found.push(index);
        }
        count == 0 || (found.len() as u64) < count
    })?;
    if found.is_empty() {
        return Ok(reply(0));
    }
    if from == End::Right {
        found.reverse();
    }
    let change = Change::remove(&list, &mut context.db, &found)?;
    let key = key.clone();
    Ok(Box::new(move |context, out| {
        let mut editor = Editor::open(&mut context.db, &key, Kind::List)?;
        if !editor.existed() {
            return reply(0)(context, out);
        }
        change.apply(&mut editor.collection, &mut context.db)?;
        reply_len(found.len() as u64, out);
        save_shorter(context, editor, "lrem")
    }))
}

/// Nothing to write, and this to reply.
fn reply(number: i64) -> Prepared {
    Box::new(move |_, out| {
        out.integer(number);
        Ok(())
    })
}

/// Calls `visit` with index and value of elements, from one end on, until it returns `false` or there have been
/// `elements_max`. A match near that end is found wherever the command runs; what takes longer is a walk.
fn search(
    context: &mut ReadContext<'_>,
    list: &Collection,
    from: End,
    elements_max: u64,
    mut visit: impl FnMut(u64, &Bytes) -> bool,
) -> Result<(), Fail> {
    let size = list.size();
    let len = size.min(elements_max);
    let near = if context.may_walk { len } else { len.min(WALK_ELEMENTS_MAX) };
    let indices = match from {
        End::Left => 0..near,
        End::Right => size - near..size,
    };
    let mut goes_on = true;
    list::for_each(list, &mut context.db, indices, from == End::Right, |index, value| {
        goes_on = visit(index, &value);
        Ok(goes_on)
    })?;
    if goes_on { context.walk(len) } else { Ok(()) }
}
