//! Sorted sets: what reads single members, counts and ranks. The other commands are in the modules below,
//! each with its rows: `add`, `remove`, `range`, `algebra`, `pop` and `sample`.

use bytes::Bytes;

use crate::data::sorted_set::{Interval, Scored};
use crate::data::{DbWriter, SortedSet, effects::class, sorted_set};
use crate::resp::{Args, Encoder, Protocol, parse_integer};

use super::args::{at_least, exactly};
use super::context::{ReadContext, WriteContext};
use super::fail::Fail;
use super::spec::{Command, Flags, Group, Run};

pub(super) mod add;
pub(super) mod algebra;
mod bounds;
pub(super) mod pop;
pub(super) mod range;
pub(super) mod remove;
pub(super) mod sample;

const FAST: Flags = Flags::FAST;

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::SortedSet).keys(1, 1, 1)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("zcard", 2, Run::Read(zcard)).flags(FAST).access("RO").syntax("key").docs(
        "1.2.0",
        "O(1)",
        "Returns the number of members of a sorted set",
    ),
    row("zcount", 4, Run::Read(zcount)).flags(FAST).syntax("key min:double max:double").docs(
        "2.0.0",
        "O(sqrt(N)) with the number of members",
        "Returns how many members have scores between two",
    ),
    row("zlexcount", 4, Run::Read(zlexcount)).flags(FAST).syntax("key min max").docs(
        "2.8.9",
        "O(sqrt(N)) with the number of members",
        "Returns how many members, all of one score, are between two names",
    ),
    row("zmscore", -3, Run::Read(zmscore)).flags(FAST).syntax("key member ...").docs(
        "6.2.0",
        "O(N) with the number of members asked for",
        "Returns the scores of several members",
    ),
    row("zrank", 3, Run::Read(zrank)).flags(FAST).syntax("key member").docs(
        "2.0.0",
        "O(sqrt(N)) with the number of members",
        "Returns how many members are below a member",
    ),
    row("zrevrank", 3, Run::Read(zrevrank)).flags(FAST).syntax("key member").docs(
        "2.0.0",
        "O(sqrt(N)) with the number of members",
        "Returns how many members are above a member",
    ),
    row("zscore", 3, Run::Read(zscore)).flags(FAST).syntax("key member").docs(
        "1.2.0",
        "O(1)",
        "Returns the score of a member",
    ),
];

fn zcard(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key] = exactly(args)?;
    let set = SortedSet::read(&mut context.db, key)?;
    reply_count(set.map_or(0, |set| set.size()), out);
    Ok(())
}

fn zscore(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, member] = exactly(args)?;
    let score = match SortedSet::read(&mut context.db, key)? {
        Some(set) => set.score(&mut context.db, member)?,
        None => None,
    };
    reply_score(score, out);
    Ok(())
}

fn zmscore(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], members) = at_least(args)?;
    let scores = match SortedSet::read(&mut context.db, key)? {
        Some(set) => set.scores(&mut context.db, members)?,
        None => vec![None; members.len()],
    };
    out.array(scores.len());
    for score in scores {
        reply_score(score, out);
    }
    Ok(())
}

fn zrank(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_rank(context, args, false, out)
}

fn zrevrank(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_rank(context, args, true, out)
}

fn zcount(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, min, max] = exactly(args)?;
    let interval = bounds::scores(min, max)?;
    reply_count_of(context, key, &interval, out)
}

fn zlexcount(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, key, min, max] = exactly(args)?;
    let interval = bounds::members(min, max)?;
    reply_count_of(context, key, &interval, out)
}

fn reply_rank(
    context: &mut ReadContext<'_>,
    args: &Args,
    reverse: bool,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, key, member] = exactly(args)?;
    let rank = match SortedSet::read(&mut context.db, key)? {
        Some(set) => {
            context.walk(set.rank_walk_len())?;
            set.rank(&mut context.db, member, reverse)?
        }
        None => None,
    };
    match rank {
        Some(rank) => reply_count(rank, out),
        None => out.null(),
    }
    Ok(())
}

fn reply_count_of(
    context: &mut ReadContext<'_>,
    key: &Bytes,
    interval: &Interval,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let count = match SortedSet::read(&mut context.db, key)? {
        Some(set) => {
            context.walk(set.rank_walk_len())?;
            set.count(&mut context.db, interval)?
        }
        None => 0,
    };
    reply_count(count, out);
    Ok(())
}

fn reply_count(count: u64, out: &mut Encoder) {
    out.integer(i64::try_from(count).unwrap_or(i64::MAX));
}

fn reply_score(score: Option<f64>, out: &mut Encoder) {
    match score {
        Some(score) => out.double(score),
        None => out.null(),
    }
}

/// Begins the reply of `len` members, with or without scores.
fn begin_members(len: usize, with_scores: bool, out: &mut Encoder) {
    let is_flat = with_scores && out.protocol() == Protocol::Resp2;
    out.array(if is_flat { len.saturating_mul(2) } else { len });
}

/// One member in such a reply: in RESP3 it and its score are an array of their own.
fn reply_member(member: Bytes, score: f64, with_scores: bool, out: &mut Encoder) {
    if with_scores && out.protocol() == Protocol::Resp3 {
        out.array(2);
    }
    out.bulk_bytes(member);
    if with_scores {
        out.double(score);
    }
}

fn reply_members(members: Vec<Scored>, with_scores: bool, out: &mut Encoder) {
    begin_members(members.len(), with_scores, out);
    for (member, score) in members {
        reply_member(member, score, with_scores, out);
    }
}

/// Stores what a command has found in place of whatever is at `key`, and says how much it is. The members
/// are in order.
fn store_members(
    context: &mut WriteContext<'_>,
    key: &Bytes,
    members: &[Scored],
    event: &'static str,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let existed = sorted_set::store(&mut context.db, key, members)?;
    if !members.is_empty() {
        context.db.notify(class::SORTED_SET, event, key);
    } else if existed {
        context.db.notify(class::GENERIC, "del", key);
    }
    reply_count(members.len() as u64, out);
    Ok(())
}

/// Tells of a removal of members, and of the key if none is left.
fn notify_removal(db: &mut DbWriter<'_>, key: &Bytes, event: &'static str, is_left: bool) {
    db.notify(class::SORTED_SET, event, key);
    if !is_left {
        db.notify(class::GENERIC, "del", key);
    }
}

/// The positions of the keys whose number stands at `position`, before them.
fn counted_keys(args: &Args, position: usize) -> Vec<usize> {
    let count = args.get(position).and_then(|count| parse_integer(count));
    let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    (position + 1..args.len()).take(count).collect()
}
