//! Ranges of members, by rank, by score or by name: returned, or stored as another sorted set.

use bytes::Bytes;

use crate::data::SortedSet;
use crate::data::sorted_set::{Interval, Slice};
use crate::resp::{Args, Encoder};

use super::super::args::{at_least, integer, is};
use super::super::context::{ReadContext, WALK_ELEMENTS_MAX, WriteContext};
use super::super::fail::Fail;
use super::super::spec::{Command, Flags, Prepared, Run};
use super::{begin_members, bounds, reply_member, row, store_members};

const COST: &str = "O(sqrt(N)+M) with the number of members and of those returned";
const COST_WITHOUT_RANKS: &str = "O(M) with the number of members returned, O(sqrt(N)) more with a \
    large offset";

/// The table's rows.
pub(in super::super) const COMMANDS: &[Command] = &[
    row("zrange", -4, Run::Read(zrange))
        .syntax(
            "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset:integer \
             count:integer] [WITHSCORES]",
        )
        .docs("1.2.0", COST, "Returns members between two ranks, scores or names"),
    row("zrangebylex", -4, Run::Read(zrangebylex))
        .syntax("key min max [LIMIT offset:integer count:integer]")
        .docs(
            "2.8.9",
            COST_WITHOUT_RANKS,
            "Returns the members, all of one score, that are between two names",
        ),
    row("zrangebyscore", -4, Run::Read(zrangebyscore))
        .syntax(
            "key min:double max:double [WITHSCORES] [LIMIT offset:integer \
             count:integer]",
        )
        .docs("1.0.5", COST_WITHOUT_RANKS, "Returns the members with scores between two"),
    row("zrangestore", -5, Run::Write(zrangestore))
        .flags(Flags::DENYOOM)
        .keys(1, 2, 1)
        .prepare(prepare_zrangestore)
        .access("OW update, RO access")
        .syntax(
            "dst:key src:key min max [BYSCORE | BYLEX] [REV] [LIMIT offset:integer \
             count:integer]",
        )
        .docs(
            "6.2.0",
            "O(sqrt(N)+M) with the number of members and of those stored",
            "Stores members between two ranks, scores or names as another sorted set",
        ),
    row("zrevrange", -4, Run::Read(zrevrange))
        .syntax("key start:integer stop:integer [WITHSCORES]")
        .docs("1.2.0", COST, "Returns members between two ranks, counted from the highest"),
    row("zrevrangebylex", -4, Run::Read(zrevrangebylex))
        .syntax("key max min [LIMIT offset:integer count:integer]")
        .docs(
            "2.8.9",
            COST_WITHOUT_RANKS,
            "Returns the members, all of one score, that are between two names, the last first",
        ),
    row("zrevrangebyscore", -4, Run::Read(zrevrangebyscore))
        .syntax(
            "key max:double min:double [WITHSCORES] [LIMIT offset:integer \
             count:integer]",
        )
        .docs(
            "2.2.0",
            COST_WITHOUT_RANKS,
            "Returns the members with scores between two, the highest first",
        ),
];

fn zrange(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_range(context, args, Form::default(), out)
}

fn zrevrange(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_range(context, args, Form::fixed(By::Rank, true), out)
}

fn zrangebyscore(
    context: &mut ReadContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    reply_range(context, args, Form::fixed(By::Score, false), out)
}

fn zrevrangebyscore(
    context: &mut ReadContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    reply_range(context, args, Form::fixed(By::Score, true), out)
}

fn zrangebylex(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_range(context, args, Form::fixed(By::Name, false), out)
}

fn zrevrangebylex(
    context: &mut ReadContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    reply_range(context, args, Form::fixed(By::Name, true), out)
}

fn zrangestore(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let prepared = prepare_zrangestore(&mut context.reading(), args)?;
    prepared(context, out)
}

fn prepare_zrangestore(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    let ([_, to, from, min, max], options) = at_least(args)?;
    let query = Query::parse(min, max, options, Form { is_stored: true, ..Form::default() })?;
    let mut members = Vec::new();
    query.for_each(context, from, |member, score| members.push((member, score)))?;
    if query.reverse {
        members.reverse();
    }
    let to = to.clone();
    Ok(Box::new(move |context, out| store_members(context, &to, &members, "zrangestore", out)))
}

fn reply_range(
    context: &mut ReadContext<'_>,
    args: &Args,
    form: Form,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, key, min, max], options) = at_least(args)?;
    let query = Query::parse(min, max, options, form)?;
    // How many members there are is known behind the last.
    let mut members = Encoder::new(out.protocol());
    let mut members_len = 0;
    query.for_each(context, key, |member, score| {
        members_len += 1;
        reply_member(member, score, query.with_scores, &mut members);
    })?;
    begin_members(members_len, query.with_scores, out);
    out.append(members);
    Ok(())
}

/// What a command says by its name.
#[derive(Debug, Clone, Copy, Default)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    is_stored: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Name,
}

impl Form {
    const fn fixed(by: By, reverse: bool) -> Self {
        Self { by: Some(by), reverse: Some(reverse), is_stored: false }
    }
}

/// Which members are asked for.
#[derive(Debug)]
struct Query {
    range: Range,
    reverse: bool,
    with_scores: bool,
    /// Negative: so many that nothing is left.
    offset: i64,
    /// Negative: without a limit.
    limit: i64,
}

#[derive(Debug)]
enum Range {
    Ranks(i64, i64),
    Interval(Interval),
}

impl Query {
    fn parse(min: &Bytes, max: &Bytes, options: &[Bytes], form: Form) -> Result<Self, Fail> {
        let Form { mut by, mut reverse, is_stored } = form;
        let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
        let mut rest = options;
        while let [option, behind @ ..] = rest {
            rest = behind;
            if !is_stored && is(option, "withscores") {
                with_scores = true;
            } else if is(option, "limit")
                && let [first, second, behind @ ..] = behind
            {
                (offset, limit) = (integer(first)?, integer(second)?);
                rest = behind;
            } else if reverse.is_none() && is(option, "rev") {
                reverse = Some(true);
            } else if by.is_none() && is(option, "bylex") {
                by = Some(By::Name);
            } else if by.is_none() && is(option, "byscore") {
                by = Some(By::Score);
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        let (by, reverse) = (by.unwrap_or(By::Rank), reverse.unwrap_or(false));
        if limit != -1 && by == By::Rank {
            return Err(Fail::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Name {
            return Err(Fail::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // In reverse, the greater bound of an interval comes first.
        let (low, high) = if reverse { (max, min) } else { (min, max) };
        let range = match by {
            By::Rank => Range::Ranks(integer(min)?, integer(max)?),
            By::Score => Range::Interval(bounds::scores(low, high)?),
            By::Name => Range::Interval(bounds::members(low, high)?),
        };
        Ok(Self { range, reverse, with_scores, offset, limit })
    }

    /// Calls `visit` with each member of the set at `key` that is asked for, unless they are too many for
    /// where this runs.
    fn for_each(
        &self,
        context: &mut ReadContext<'_>,
        key: &Bytes,
        mut visit: impl FnMut(Bytes, f64),
    ) -> Result<(), Fail> {
        let Some(set) = SortedSet::read(&mut context.db, key)? else { return Ok(()) };
        let Some(slice) = self.slice(set.size()) else { return Ok(()) };
        if let Range::Ranks(..) = self.range {
            context.walk(slice.limit)?;
        }
        if slice.offset > 0 {
            context.walk(set.rank_walk_len())?;
        }
        let may_walk = context.may_walk;
        let mut seen = 0;
        set.for_each(&mut context.db, &slice, |score, member| {
            seen += 1;
            visit(member, score);
            Ok(may_walk || seen <= WALK_ELEMENTS_MAX)
        })?;
        // How many are in an interval is seen only now.
        context.walk(seen)
    }

    fn slice(&self, size: u64) -> Option<Slice> {
        match &self.range {
            Range::Ranks(start, end) => bounds::ranks(*start, *end, self.reverse, size),
            Range::Interval(interval) => Some(Slice {
                interval: interval.clone(),
                reverse: self.reverse,
                offset: u64::try_from(self.offset).ok()?,
                limit: u64::try_from(self.limit).unwrap_or(u64::MAX),
            }),
        }
    }
}
