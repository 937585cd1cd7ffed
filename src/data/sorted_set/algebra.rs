//! Unions, intersections and differences of sorted sets and sets, whose members count with score 1.

use std::cmp::Ordering;
use std::collections::HashMap;

use bytes::Bytes;
use pontoon_storage::KeyRange;

use super::super::collection::{self, Collection, ELEMENTS_PAGE};
use super::super::encoding::{Kind, Record, hashed, sorted_set as bytes_of};
use super::super::error::Result;
use super::super::reader::DbReader;
use super::interval::Span;
use super::{Scored, SortedSet};

/// Members of other operands that are loaded into memory whatever is looked up in them.
const LOADED_MIN: u64 = 4096;

/// What is combined: the value of a key.
#[derive(Debug, Clone)]
pub enum Operand {
    /// Nothing is there.
    Absent,
    /// A sorted set.
    Sorted(SortedSet),
    /// A set.
    Plain(Collection),
}

/// How the scores of a member of several sets become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl Aggregate {
    /// Infinities of both signs are 0 together; a weighted score that is no number counts for nothing.
    fn combine(self, one: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => number(one + other),
            Aggregate::Min => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Aggregate::Max => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

impl Operand {
    /// What `record` describes.
    ///
    /// # Errors
    /// [`Error::WrongType`](super::super::Error::WrongType); the storage's, if the record is damaged.
    pub fn from_record(record: Option<Record>) -> Result<Self> {
        match record {
            None => Ok(Operand::Absent),
            Some(record) if record.kind == Kind::Set => {
                Ok(Operand::Plain(Collection::from_record(&record)?))
            }
            record => Ok(SortedSet::from_record(record)?.map_or(Operand::Absent, Operand::Sorted)),
        }
    }

    /// How many members it has.
    pub fn size(&self) -> u64 {
        match self {
            Operand::Absent => 0,
            Operand::Sorted(set) => set.size(),
            Operand::Plain(set) => set.size(),
        }
    }

    fn is_packed(&self) -> bool {
        match self {
            Operand::Absent => true,
            Operand::Sorted(set) => set.collection.is_packed(),
            Operand::Plain(set) => set.is_packed(),
        }
    }

    /// Its elements, as they are stored.
    fn elements(&self) -> Option<(&Collection, KeyRange)> {
        match self {
            Operand::Absent => None,
            Operand::Sorted(set) => Some((&set.collection, Span::ALL.range())),
            Operand::Plain(set) => Some((set, KeyRange::ALL)),
        }
    }

    /// Calls `visit` with its members, a page at a time, until it returns `false`.
    fn for_each_page(
        &self,
        db: &mut DbReader<'_>,
        mut visit: impl FnMut(&mut DbReader<'_>, Vec<Scored>) -> Result<bool>,
    ) -> Result<()> {
        let Some((collection, mut rest)) = self.elements() else { return Ok(()) };
        loop {
            let page = collection.page(db, &rest, false, ELEMENTS_PAGE)?;
            let last = page.entries.last().map(|(subkey, _)| subkey.clone());
            let members = page.entries.iter().map(|(subkey, _)| self.member(subkey));
            let members = members.collect::<Result<Vec<Scored>>>()?;
            if !visit(db, members)? {
                return Ok(());
            }
            match last.filter(|_| page.more) {
                Some(last) => collection::narrow(&mut rest, &last, false),
                None => return Ok(()),
            }
        }
    }

    fn member(&self, subkey: &Bytes) -> Result<Scored> {
        if let Operand::Plain(_) = self {
            return Ok((hashed::member(subkey)?, 1.0));
        }
        let (score, member) = bytes_of::split_place_subkey(subkey)?;
        Ok((member, score))
    }

    fn scores(&self, db: &mut DbReader<'_>, members: &[Scored]) -> Result<Vec<Option<f64>>> {
        match self {
            Operand::Absent => Ok(vec![None; members.len()]),
            Operand::Sorted(set) => {
                let members: Vec<_> = members.iter().map(|(member, _)| member).collect();
                set.scores(db, &members)
            }
            Operand::Plain(set) => {
                let subkeys: Vec<_> =
                    members.iter().map(|(member, _)| hashed::subkey(member)).collect();
                let found = set.get_many(db, &subkeys)?;
                Ok(found.into_iter().map(|found| found.map(|_| 1.0)).collect())
            }
        }
    }
}

/// The members of any of the operands, each with the weight of its scores, in order.
///
/// # Errors
/// The storage's.
pub fn union(
    db: &mut DbReader<'_>,
    operands: &[(Operand, f64)],
    aggregate: Aggregate,
) -> Result<Vec<Scored>> {
    let mut sum: HashMap<Bytes, f64> = HashMap::new();
    for (operand, weight) in smallest_first(operands) {
        operand.for_each_page(db, |_, members| {
            for (member, score) in members {
                let score = number(weight * score);
                sum.entry(member)
                    .and_modify(|sum| *sum = aggregate.combine(*sum, score))
                    .or_insert(score);
            }
            Ok(true)
        })?;
    }
    Ok(in_order(sum.into_iter().collect()))
}

/// The members of all of the operands, in order.
///
/// # Errors
/// The storage's.
pub fn intersection(
    db: &mut DbReader<'_>,
    operands: &[(Operand, f64)],
    aggregate: Aggregate,
) -> Result<Vec<Scored>> {
    let mut common = Vec::new();
    intersect(db, operands, aggregate, |members| {
        common.extend(members);
        true
    })?;
    Ok(in_order(common))
}

/// How many members are in all of the operands, counted up to `limit`.
///
/// # Errors
/// The storage's.
pub fn intersection_len(
    db: &mut DbReader<'_>,
    operands: &[(Operand, f64)],
    limit: u64,
) -> Result<u64> {
    let mut len = 0;
    intersect(db, operands, Aggregate::Sum, |members| {
        len += members.len() as u64;
        len < limit
    })?;
    Ok(len.min(limit))
}

/// The members of the first operand that are in none of the others, in order.
///
/// # Errors
/// The storage's.
pub fn difference(db: &mut DbReader<'_>, operands: &[(Operand, f64)]) -> Result<Vec<Scored>> {
    let Some(((first, _), others)) = operands.split_first() else { return Ok(Vec::new()) };
    let others = lookups(db, others.iter().collect(), first.size())?;
    let mut left = Vec::new();
    first.for_each_page(db, |db, mut members| {
        for (other, _) in &others {
            let found = other.find(db, &members)?;
            keep_by(&mut members, found, |_, found| found.is_none());
        }
        left.extend(members);
        Ok(true)
    })?;
    Ok(in_order(left))
}

fn intersect(
    db: &mut DbReader<'_>,
    operands: &[(Operand, f64)],
    aggregate: Aggregate,
    mut take: impl FnMut(Vec<Scored>) -> bool,
) -> Result<()> {
    let sorted = smallest_first(operands);
    let Some((&(first, weight), others)) = sorted.split_first() else { return Ok(()) };
    let others = lookups(db, others.to_vec(), first.size())?;
    first.for_each_page(db, |db, mut members| {
        for (_, score) in &mut members {
            *score = number(weight * *score);
        }
        for (other, weight) in &others {
            let found = other.find(db, &members)?;
            keep_by(&mut members, found, |score, found| {
                let Some(found) = found else { return false };
                *score = aggregate.combine(*score, found * weight);
                true
            });
        }
        Ok(take(members))
    })
}

/// Where members are looked up: the set as it is stored, or a smaller one in memory.
enum Lookup<'o> {
    Stored(&'o Operand),
    Loaded(HashMap<Bytes, f64>),
}

impl Lookup<'_> {
    fn find(&self, db: &mut DbReader<'_>, members: &[Scored]) -> Result<Vec<Option<f64>>> {
        match self {
            Lookup::Stored(operand) => operand.scores(db, members),
            Lookup::Loaded(scores) => {
                Ok(members.iter().map(|(member, _)| scores.get(member).copied()).collect())
            }
        }
    }
}

/// How to look up as many as `wanted` members in each of the operands. What is held in memory is not much
/// more than they are, however many operands there are.
fn lookups<'o>(
    db: &mut DbReader<'_>,
    operands: Vec<&'o (Operand, f64)>,
    wanted: u64,
) -> Result<Vec<(Lookup<'o>, f64)>> {
    let mut budget = wanted.saturating_mul(2).max(LOADED_MIN);
    let mut lookups = Vec::with_capacity(operands.len());
    for (operand, weight) in operands {
        let is_small = operand.is_packed() || operand.size() <= wanted;
        let lookup = match budget.checked_sub(operand.size()).filter(|_| is_small) {
            None => Lookup::Stored(operand),
            Some(left) => {
                budget = left;
                let mut scores = HashMap::new();
                operand.for_each_page(db, |_, members| {
                    scores.extend(members);
                    Ok(true)
                })?;
                Lookup::Loaded(scores)
            }
        };
        lookups.push((lookup, *weight));
    }
    Ok(lookups)
}

/// Leaves those of which `keep` is true, given their scores and what was found elsewhere.
fn keep_by(
    members: &mut Vec<Scored>,
    found: Vec<Option<f64>>,
    keep: impl Fn(&mut f64, Option<f64>) -> bool,
) {
    let mut found = found.into_iter();
    members.retain_mut(|(_, score)| keep(score, found.next().flatten()));
}

/// Sums of floating point numbers depend on their order, and this is Redis's.
fn smallest_first(operands: &[(Operand, f64)]) -> Vec<&(Operand, f64)> {
    let mut sorted: Vec<_> = operands.iter().collect();
    sorted.sort_by_key(|(operand, _)| operand.size());
    sorted
}

fn in_order(mut members: Vec<Scored>) -> Vec<Scored> {
    members.sort_unstable_by(|one, other| {
        let by_score = one.1.partial_cmp(&other.1).unwrap_or(Ordering::Equal);
        by_score.then_with(|| one.0.cmp(&other.0))
    });
    members
}

/// 0 for what is no number, such as an infinity of nothing.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}
