//! Which members of a sorted set are meant: by their scores, by their names, or by their ranks.

use bytes::Bytes;
use pontoon_storage::KeyRange;
use pontoon_storage::engine::PageLimit;

use super::super::encoding::sorted_set as bytes_of;
use super::super::error::Result;
use super::super::reader::DbReader;
use super::{SKIPPED_MAX, SortedSet};

/// Members between two bounds.
#[derive(Debug, Clone, PartialEq)]
pub enum Interval {
    /// Every one.
    All,
    /// By score: the least and the greatest.
    Scores(ScoreBound, ScoreBound),
    /// By name: the first and the last. It is for sets whose members have one score; in others, as in Redis,
    /// it begins with the first member, in the order of scores, that is within the lower bound, and ends before
    /// the first behind that which is not within the upper: to find them the set is walked.
    Members(LexBound, LexBound),
}

/// One bound of an interval of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    /// The score; no NaN.
    pub score: f64,
    /// Whether the score itself is outside.
    pub exclusive: bool,
}

/// One bound of an interval of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LexBound {
    /// Before every name.
    Lowest,
    /// Behind every name.
    Highest,
    /// At this name.
    Member {
        /// The name.
        member: Bytes,
        /// Whether the name itself is outside.
        exclusive: bool,
    },
}

impl LexBound {
    /// Whether `member` is within it as the lower bound.
    fn lets_begin(&self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => true,
            LexBound::Highest => false,
            LexBound::Member { member: bound, exclusive: true } => member > bound,
            LexBound::Member { member: bound, exclusive: false } => member >= bound,
        }
    }

    /// Whether `member` is within it as the upper bound.
    fn lets_go_on(&self, member: &[u8]) -> bool {
        match self {
            LexBound::Lowest => false,
            LexBound::Highest => true,
            LexBound::Member { member: bound, exclusive: true } => member < bound,
            LexBound::Member { member: bound, exclusive: false } => member <= bound,
        }
    }
}

/// Some consecutive members of an interval, in order or in reverse.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Between which bounds.
    pub interval: Interval,
    /// Whether from the highest to the lowest.
    pub reverse: bool,
    /// Members of the interval to leave out at the beginning.
    pub offset: u64,
    /// The most members.
    pub limit: u64,
}

impl Slice {
    /// Every member, in order.
    pub const ALL: Slice =
        Slice { interval: Interval::All, reverse: false, offset: 0, limit: u64::MAX };
}

/// Some consecutive places, each bound some first bytes of a place. Without an `end` it is up to the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Bytes,
    pub(super) end: Option<Bytes>,
}

/// What is left of a walk over places.
pub(super) struct Rest {
    pub(super) range: Option<KeyRange>,
    pub(super) reverse: bool,
    pub(super) skip: u64,
    pub(super) limit: u64,
}

impl Span {
    pub(super) const ALL: Span = Span { start: Bytes::new(), end: None };

    pub(super) fn range(&self) -> KeyRange {
        bytes_of::places(&self.start, self.end.as_deref())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

impl SortedSet {
    /// The places of an interval.
    pub(super) fn span(&self, db: &mut DbReader<'_>, interval: &Interval) -> Result<Span> {
        Ok(match interval {
            Interval::All => Span::ALL,
            Interval::Scores(min, max) => Span {
                start: score_bound(min.score, min.exclusive),
                end: Some(score_bound(max.score, !max.exclusive)),
            },
            Interval::Members(min, max) => {
                let first = self.collection.page(db, &Span::ALL.range(), false, PageLimit::ONE)?;
                let Some((subkey, _)) = first.entries.first() else { return Ok(Span::ALL) };
                let (score, _) = bytes_of::split_place_subkey(subkey)?;
                let last = self.collection.page(db, &Span::ALL.range(), true, PageLimit::ONE)?;
                if let Some((subkey, _)) = last.entries.first()
                    && bytes_of::split_place_subkey(subkey)?.0 != score
                {
                    return self.walked_span(db, min, max);
                }
                let start = match min {
                    LexBound::Lowest => Bytes::new(),
                    LexBound::Highest => return Ok(NOTHING),
                    LexBound::Member { member, exclusive } => {
                        member_bound(score, member, *exclusive)
                    }
                };
                let end = match max {
                    LexBound::Lowest => return Ok(NOTHING),
                    LexBound::Highest => None,
                    LexBound::Member { member, exclusive } => {
                        Some(member_bound(score, member, !exclusive))
                    }
                };
                Span { start, end }
            }
        })
    }

    /// The places between two names where the members have different scores.
    fn walked_span(&self, db: &mut DbReader<'_>, min: &LexBound, max: &LexBound) -> Result<Span> {
        let (mut start, mut end) = (None, None);
        self.collection.for_each(db, Span::ALL.range(), false, |subkey, _| {
            let (_, member) = bytes_of::split_place_subkey(&subkey)?;
            // What comes before a place in its subkey says which index it is in.
            let place = subkey.slice(1..);
            if start.is_none() && min.lets_begin(&member) {
                start = Some(place.clone());
            }
            if start.is_some() && !max.lets_go_on(&member) {
                end = Some(place);
            }
            Ok(end.is_none())
        })?;
        Ok(start.map_or(NOTHING, |start| Span { start, end }))
    }

    /// Where a walk over `slice` begins; `None` if there is nothing in it.
    pub(super) fn aim(&self, db: &mut DbReader<'_>, slice: &Slice) -> Result<Option<Rest>> {
        let &Slice { reverse, offset: mut skip, limit, .. } = slice;
        if skip >= self.size() || limit == 0 {
            return Ok(None);
        }
        let mut span = self.span(db, &slice.interval)?;
        if span.is_empty() {
            return Ok(None);
        }
        if skip > SKIPPED_MAX {
            let Some(place) = self.skipped_to(db, &span, reverse, skip)? else { return Ok(None) };
            if reverse {
                span.end = Some([&place, &[0][..]].concat().into());
            } else {
                span.start = place;
            }
            skip = 0;
            if span.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(Rest { range: Some(span.range()), reverse, skip, limit }))
    }
}

const NOTHING: Span = Span { start: Bytes::new(), end: Some(Bytes::new()) };

/// Before every place of the score, or behind.
fn score_bound(score: f64, behind: bool) -> Bytes {
    let order = bytes_of::score_order(score).saturating_add(u64::from(behind));
    Bytes::copy_from_slice(&order.to_be_bytes())
}

/// Before the place of the member, or behind.
fn member_bound(score: f64, member: &[u8], behind: bool) -> Bytes {
    let zero: &[u8] = if behind { &[0] } else { &[] };
    [&bytes_of::score_order(score).to_be_bytes(), member, zero].concat().into()
}
