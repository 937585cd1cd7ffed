//! Unions, intersections and differences: returned, counted, or stored as another sorted set.

use crate::data::sorted_set::{
    Aggregate, Operand, Scored, difference, intersection, intersection_len, union,
};
use crate::resp::{Args, Encoder, parse_double};

use super::super::args::{integer, is};
use super::super::context::{ReadContext, WriteContext};
use super::super::fail::Fail;
use super::super::spec::{Command, Flags, Prepare, Prepared, Run};
use super::{counted_keys, reply_count, reply_members, row, store_members};

const COST: &str = "O(N*log(N)) with the number of members of all sets";

const fn reading(name: &'static str, run: Run) -> Command {
    row(name, -3, run).keys(0, 0, 0).movable_keys(|args| counted_keys(args, 1))
}

const fn storing(name: &'static str, run: Run, prepare: Prepare) -> Command {
    let command = row(name, -4, run).movable_keys(|args| counted_keys(args, 2));
    command.flags(Flags::DENYOOM).prepare(prepare)
}

/// The table's rows.
pub(in super::super) const COMMANDS: &[Command] = &[
    reading("zdiff", Run::Read(zdiff)).syntax("numkeys:integer key ... [WITHSCORES]").docs(
        "6.2.0",
        COST,
        "Returns the members of the first of several sets that are in none of the others",
    ),
    storing("zdiffstore", Run::Write(zdiffstore), prepare_zdiffstore)
        .access("OW update, RO access")
        .syntax("destination:key numkeys:integer key ...")
        .docs(
            "6.2.0",
            COST,
            "Stores the members of the first of several sets that are in none of the others",
        ),
    reading("zinter", Run::Read(zinter))
        .syntax(
            "numkeys:integer key ... [WEIGHTS weight:integer ...] [AGGREGATE <SUM | \
             MIN | MAX>] [WITHSCORES]",
        )
        .docs(
            "6.2.0",
            "O(N*K) with the members of the smallest of K sets",
            "Returns the members that are in each of several sets",
        ),
    reading("zintercard", Run::Read(zintercard))
        .syntax("numkeys:integer key ... [LIMIT limit:integer]")
        .docs(
            "7.0.0",
            "O(N*K) with the members of the smallest of K sets",
            "Returns how many members are in each of several sets",
        ),
    storing("zinterstore", Run::Write(zinterstore), prepare_zinterstore)
        .access("OW update, RO access")
        .syntax(
            "destination:key numkeys:integer key ... [WEIGHTS weight:integer ...] \
             [AGGREGATE <SUM | MIN | MAX>]",
        )
        .docs(
            "2.0.0",
            "O(N*K) with the members of the smallest of K sets",
            "Stores the members that are in each of several sets",
        ),
    reading("zunion", Run::Read(zunion))
        .syntax(
            "numkeys:integer key ... [WEIGHTS weight:integer ...] [AGGREGATE <SUM | \
             MIN | MAX>] [WITHSCORES]",
        )
        .docs("6.2.0", COST, "Returns the members of several sets"),
    storing("zunionstore", Run::Write(zunionstore), prepare_zunionstore)
        .access("OW update, RO access")
        .syntax(
            "destination:key numkeys:integer key ... [WEIGHTS weight:integer ...] \
             [AGGREGATE <SUM | MIN | MAX>]",
        )
        .docs("2.0.0", COST, "Stores the members of several sets"),
];

fn zunion(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply(context, args, Operation::Union, out)
}

fn zinter(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply(context, args, Operation::Intersection, out)
}

fn zdiff(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply(context, args, Operation::Difference, out)
}

fn zintercard(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let query = Query::read(context, args, 1, Operation::Intersection, Form::Counted)?;
    context.walk(query.walk_len())?;
    reply_count(intersection_len(&mut context.db, &query.operands, query.limit)?, out);
    Ok(())
}

fn zunionstore(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let prepared = prepare_zunionstore(&mut context.reading(), args)?;
    prepared(context, out)
}

fn zinterstore(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let prepared = prepare_zinterstore(&mut context.reading(), args)?;
    prepared(context, out)
}

fn zdiffstore(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let prepared = prepare_zdiffstore(&mut context.reading(), args)?;
    prepared(context, out)
}

fn prepare_zunionstore(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    prepare(context, args, Operation::Union, "zunionstore")
}

fn prepare_zinterstore(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    prepare(context, args, Operation::Intersection, "zinterstore")
}

fn prepare_zdiffstore(context: &mut ReadContext<'_>, args: &Args) -> Result<Prepared, Fail> {
    prepare(context, args, Operation::Difference, "zdiffstore")
}

fn reply(
    context: &mut ReadContext<'_>,
    args: &Args,
    operation: Operation,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let query = Query::read(context, args, 1, operation, Form::Returned)?;
    let members = query.result(context)?;
    reply_members(members, query.with_scores, out);
    Ok(())
}

fn prepare(
    context: &mut ReadContext<'_>,
    args: &Args,
    operation: Operation,
    event: &'static str,
) -> Result<Prepared, Fail> {
    let query = Query::read(context, args, 2, operation, Form::Stored)?;
    let members = query.result(context)?;
    let to = args.get(1).ok_or(Fail::SYNTAX)?.clone();
    Ok(Box::new(move |context, out| store_members(context, &to, &members, event, out)))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Returned,
    Stored,
    Counted,
}

/// What is to be combined, and how.
struct Query {
    operation: Operation,
    operands: Vec<(Operand, f64)>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: u64,
}

impl Query {
    /// From the arguments: the number of keys, which stands at `position`, the keys, and options. The keys'
    /// types are looked at before the options.
    fn read(
        context: &mut ReadContext<'_>,
        args: &Args,
        position: usize,
        operation: Operation,
        form: Form,
    ) -> Result<Self, Fail> {
        let [count, rest @ ..] = args.get(position..).unwrap_or_default() else {
            return Err(Fail::SYNTAX);
        };
        let count = integer(count)?;
        if count < 1 {
            let name = args.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
            let name = String::from_utf8_lossy(&name);
            let text = format!("ERR at least 1 input key is needed for '{name}' command");
            return Err(Fail::Reply(text.into()));
        }
        let split = usize::try_from(count).ok().and_then(|count| rest.split_at_checked(count));
        let (keys, mut rest) = split.ok_or(Fail::SYNTAX)?;
        let mut operands = Vec::with_capacity(keys.len());
        for key in keys {
            operands.push((Operand::from_record(context.db.read(key)?)?, 1.0));
        }
        let mut query = Self {
            operation,
            operands,
            aggregate: Aggregate::Sum,
            with_scores: false,
            limit: u64::MAX,
        };
        let is_weighted = operation != Operation::Difference && form != Form::Counted;
        while let [option, behind @ ..] = rest {
            rest = behind;
            if is_weighted
                && is(option, "weights")
                && let Some((weights, behind)) = behind.split_at_checked(query.operands.len())
            {
                for ((_, weight), arg) in query.operands.iter_mut().zip(weights) {
                    *weight =
                        parse_double(arg).ok_or(Fail::text("ERR weight value is not a float"))?;
                }
                rest = behind;
            } else if is_weighted
                && is(option, "aggregate")
                && let [aggregate, behind @ ..] = behind
            {
                query.aggregate = parse_aggregate(aggregate)?;
                rest = behind;
            } else if form == Form::Returned && is(option, "withscores") {
                query.with_scores = true;
            } else if form == Form::Counted
                && is(option, "limit")
                && let [limit, behind @ ..] = behind
            {
                query.limit = parse_limit(limit)?;
                rest = behind;
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        Ok(query)
    }

    fn result(&self, context: &mut ReadContext<'_>) -> Result<Vec<Scored>, Fail> {
        context.walk(self.walk_len())?;
        let db = &mut context.db;
        Ok(match self.operation {
            Operation::Union => union(db, &self.operands, self.aggregate)?,
            Operation::Intersection => intersection(db, &self.operands, self.aggregate)?,
            Operation::Difference => difference(db, &self.operands)?,
        })
    }

    /// How many members are read.
    fn walk_len(&self) -> u64 {
        let sizes = self.operands.iter().map(|(operand, _)| operand.size());
        let walked = match self.operation {
            Operation::Union => return sizes.fold(0, u64::saturating_add),
            Operation::Intersection => sizes.min(),
            Operation::Difference => sizes.take(1).next(),
        };
        walked.unwrap_or(0).saturating_mul(self.operands.len() as u64)
    }
}

fn parse_aggregate(arg: &[u8]) -> Result<Aggregate, Fail> {
    [("sum", Aggregate::Sum), ("min", Aggregate::Min), ("max", Aggregate::Max)]
        .into_iter()
        .find_map(|(word, aggregate)| is(arg, word).then_some(aggregate))
        .ok_or(Fail::SYNTAX)
}

/// 0 is no limit.
fn parse_limit(arg: &[u8]) -> Result<u64, Fail> {
    let limit = integer(arg).ok().and_then(|limit| u64::try_from(limit).ok());
    let limit = limit.ok_or(Fail::text("ERR LIMIT can't be negative"))?;
    Ok(if limit == 0 { u64::MAX } else { limit })
}
