//! `ZADD` and `ZINCRBY`.

use crate::data::SortedSetEditor;
use crate::data::effects::class;
use crate::resp::{Args, Encoder};

use super::super::args::{at_least, is};
use super::super::context::WriteContext;
use super::super::fail::Fail;
use super::super::spec::{Command, Flags, Run};
use super::{bounds, reply_count, reply_score, row};

const GROWS_FAST: Flags = Flags::DENYOOM.or(Flags::FAST);

/// The table's rows.
pub(in super::super) const COMMANDS: &[Command] = &[
    row("zadd", -4, Run::Write(zadd))
        .flags(GROWS_FAST)
        .access("RW update")
        .syntax("key [NX | XX] [GT | LT] [CH] [INCR] (score:double member) ...")
        .docs(
            "1.2.0",
            "O(1) for each member; now and then O(sqrt(N)) with the number of members",
            "Gives members their scores and adds those that are not there",
        ),
    row("zincrby", 4, Run::Write(zincrby))
        .flags(GROWS_FAST)
        .syntax("key increment:integer member")
        .docs(
            "1.2.0",
            "O(1); now and then O(sqrt(N)) with the number of members",
            "Adds to the score of a member, which is added if it is not there",
        ),
];

fn zadd(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    add(context, args, Rules::default(), out)
}

fn zincrby(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    add(context, args, Rules { incr: true, ..Rules::default() }, out)
}

/// What `ZADD` may be told besides scores and members.
#[derive(Debug, Default)]
struct Rules {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

impl Rules {
    /// Takes note of an option; whether it is one.
    fn take(&mut self, option: &[u8]) -> bool {
        let known = [
            ("nx", &mut self.nx),
            ("xx", &mut self.xx),
            ("gt", &mut self.gt),
            ("lt", &mut self.lt),
            ("ch", &mut self.ch),
            ("incr", &mut self.incr),
        ];
        let found = known.into_iter().find(|(word, _)| is(option, word));
        found.map(|(_, rule)| *rule = true).is_some()
    }

    fn check(&self, pairs_len: usize) -> Result<(), Fail> {
        let Self { nx, xx, gt, lt, incr, .. } = *self;
        if nx && xx {
            return Err(Fail::text("ERR XX and NX options at the same time are not compatible"));
        }
        if [gt, lt, nx].into_iter().filter(|given| *given).count() > 1 {
            return Err(Fail::text(
                "ERR GT, LT, and/or NX options at the same time are not compatible",
            ));
        }
        if incr && pairs_len > 1 {
            return Err(Fail::text("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The score that a member is to have, given the one it has; `None` if it is to stay as it is.
    fn score(&self, old: Option<f64>, given: f64) -> Result<Option<f64>, Fail> {
        let Some(old) = old else { return Ok((!self.xx).then_some(given)) };
        if self.nx {
            return Ok(None);
        }
        let score = if self.incr { old + given } else { given };
        if score.is_nan() {
            return Err(Fail::text("ERR resulting score is not a number (NaN)"));
        }
        let is_refused = (self.lt && score >= old) || (self.gt && score <= old);
        Ok((!is_refused).then_some(score))
    }
}

fn add(
    context: &mut WriteContext<'_>,
    args: &Args,
    mut rules: Rules,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, key], mut rest) = at_least(args)?;
    while let [option, behind @ ..] = rest
        && rules.take(option)
    {
        rest = behind;
    }
    let (pairs, []) = rest.as_chunks::<2>() else { return Err(Fail::SYNTAX) };
    if pairs.is_empty() {
        return Err(Fail::SYNTAX);
    }
    rules.check(pairs.len())?;
    let mut scores = Vec::with_capacity(pairs.len());
    for [score, _] in pairs {
        scores.push(bounds::score(score)?);
    }
    let db = &mut context.db;
    let mut editor = SortedSetEditor::open(db, key)?;
    let (mut added, mut updated, mut last) = (0, 0, None);
    for ([_, member], given) in pairs.iter().zip(scores) {
        let old = editor.score(db, member)?;
        last = rules.score(old, given)?;
        match last {
            Some(score) if old != last => {
                editor.put(db, member, old, score)?;
                if old.is_none() {
                    added += 1;
                } else {
                    updated += 1;
                }
            }
            _ => {}
        }
    }
    if added + updated > 0 {
        editor.save(db)?;
        db.notify(class::SORTED_SET, if rules.incr { "zincr" } else { "zadd" }, key);
    }
    if rules.incr {
        reply_score(last, out);
    } else {
        reply_count(if rules.ch { added + updated } else { added }, out);
    }
    Ok(())
}
