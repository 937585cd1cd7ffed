//! Scores, and the bounds of intervals of scores and of names, as clients write them.

use bytes::Bytes;

use crate::data::sorted_set::{Interval, LexBound, ScoreBound, Slice};
use crate::resp::{parse_double, parse_double_leniently};

use super::super::fail::Fail;

/// The score that an argument must be.
pub(super) fn score(arg: &[u8]) -> Result<f64, Fail> {
    parse_double(arg).ok_or(Fail::NOT_A_FLOAT)
}

/// The scores from `min` to `max`.
pub(super) fn scores(min: &[u8], max: &[u8]) -> Result<Interval, Fail> {
    score_bound(min)
        .zip(score_bound(max))
        .map(|(min, max)| Interval::Scores(min, max))
        .ok_or(Fail::text("ERR min or max is not a float"))
}

/// The names from `min` to `max`.
pub(super) fn members(min: &Bytes, max: &Bytes) -> Result<Interval, Fail> {
    lex_bound(min)
        .zip(lex_bound(max))
        .map(|(min, max)| Interval::Members(min, max))
        .ok_or(Fail::text("ERR min or max not valid string range item"))
}

/// The ranks from `start` to `end`, both inclusive and counted from the end if negative, in a set of
/// `size`; `None` if there are none.
pub(super) fn ranks(start: i64, end: i64, reverse: bool, size: u64) -> Option<Slice> {
    let place = |rank: i64| match u64::try_from(rank) {
        Ok(rank) => Some(rank),
        Err(_) => size.checked_sub(rank.unsigned_abs()),
    };
    let start = place(start).unwrap_or(0);
    let end = place(end)?.min(size.checked_sub(1)?);
    let limit = end.checked_sub(start)?.saturating_add(1);
    Some(Slice { interval: Interval::All, reverse, offset: start, limit })
}

fn score_bound(arg: &[u8]) -> Option<ScoreBound> {
    let (exclusive, text) = match arg {
        [b'(', text @ ..] => (true, text),
        text => (false, text),
    };
    Some(ScoreBound { score: parse_double_leniently(text)?, exclusive })
}

fn lex_bound(arg: &Bytes) -> Option<LexBound> {
    match &arg[..] {
        b"-" => Some(LexBound::Lowest),
        b"+" => Some(LexBound::Highest),
        [mark @ (b'(' | b'['), ..] => {
            Some(LexBound::Member { member: arg.slice(1..), exclusive: *mark == b'(' })
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_counted_from_both_ends() {
        for (start, end, size, expected) in [
            (0, -1, 5, Some((0, 5))),
            (0, 0, 5, Some((0, 1))),
            (1, 2, 5, Some((1, 2))),
            (-2, -1, 5, Some((3, 2))),
            (-100, 1, 5, Some((0, 2))),
            (3, 100, 5, Some((3, 2))),
            (5, 6, 5, None),
            (2, 1, 5, None),
            (0, -6, 5, None),
            (-1, -2, 5, None),
            (i64::MIN, i64::MAX, 5, Some((0, 5))),
            (0, -1, 0, None),
        ] {
            let found = ranks(start, end, false, size).map(|slice| (slice.offset, slice.limit));
            assert_eq!(found, expected, "{start} to {end} of {size}");
        }
    }
}
