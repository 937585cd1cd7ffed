//! `ZRANDMEMBER`, and `ZSCAN`.

use crate::data::sorted_set::{MEMBER_PREFIX, score_of, scored};
use crate::data::{Kind, Sampler, SortedSet};
use crate::resp::{Args, Encoder, Protocol, format_double};

use super::super::args::{at_least, is};
use super::super::context::ReadContext;
use super::super::fail::Fail;
use super::super::random::{Count, damaged};
use super::super::scan;
use super::super::spec::{Command, Run};
use super::{reply_member, row};

/// The table's rows.
pub(in super::super) const COMMANDS: &[Command] = &[
    row("zrandmember", -2, Run::Read(zrandmember)).syntax("key [count:integer [WITHSCORES]]").docs(
        "6.2.0",
        "O(N) with the number of members asked for",
        "Returns random members of a sorted set",
    ),
    row("zscan", -3, Run::Read(zscan))
        .syntax("key cursor:integer [MATCH pattern:pattern] [COUNT count:integer]")
        .docs(
            "2.8.0",
            "O(1) a call, O(N) with the number of members for a whole iteration",
            "Returns the members of a sorted set with their scores step by step",
        ),
];

fn zrandmember(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, key], options) = at_least(args)?;
    let (count, with_scores) = match options {
        [] => (None, false),
        [count, options @ ..] => {
            let count = Count::parse(count)?;
            let with_scores = match options {
                [] => false,
                [option] if is(option, "withscores") => true,
                _ => return Err(Fail::SYNTAX),
            };
            if with_scores {
                count.check_pairs()?;
            }
            (Some(count), with_scores)
        }
    };
    let Some(set) = SortedSet::read(&mut context.db, key)? else {
        match count {
            Some(_) => out.array(0),
            None => out.null(),
        }
        return Ok(());
    };
    let set = set.collection();
    let Some(count) = count else {
        let mut sampler = Sampler::new(set, MEMBER_PREFIX);
        let chosen = sampler.one(&mut context.db)?.ok_or_else(damaged)?;
        out.bulk_bytes(scored(chosen)?.0);
        return Ok(());
    };
    let parts = if with_scores && out.protocol() == Protocol::Resp2 { 2 } else { 1 };
    count.reply(context, set, MEMBER_PREFIX, parts, out, |element, out| {
        let (member, score) = scored(element)?;
        reply_member(member, score, with_scores, out);
        Ok(())
    })
}

fn zscan(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let kind = (Kind::SortedSet, MEMBER_PREFIX);
    scan::scan_members(context, args, kind, 2, out, |member, score, out| {
        out.bulk_bytes(member);
        // A string in both protocols.
        out.bulk(format_double(score_of(&score)?).as_bytes());
        Ok(())
    })
}
