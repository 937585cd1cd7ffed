//! Unions, intersections and differences of sets. All sets have the same order, that of the hashes, so
//! each is a merge of ordered streams that holds a page of each; or, where one set is much smaller than
//! another, its members are looked up in the other, a page at a time.
//!
//! The results are elements: subkeys, in order, each once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::vec;

use bytes::Bytes;
use pontoon_storage::KeyRange;
use pontoon_storage::engine::PageLimit;

use super::collection::{Collection, ELEMENTS_PAGE, Element, narrow};
use super::encoding::hashed;
use super::error::Result;
use super::reader::DbReader;

/// Elements held in the pages of all sets of an operation together, and their bytes; but at least one
/// element of each.
const PAGES: PageLimit = PageLimit { entries: 8 << 10, bytes: 4 << 20 };

/// A set of so many times as many elements as there are to look for is not read, but asked for them: a
/// look-up costs about as much as reading as many in order.
const LOOKUP_READS: u64 = 4;

/// How many elements [`union`] reads.
pub fn union_cost(sets: &[Collection]) -> u64 {
    sets.iter().map(Collection::size).fold(0, u64::saturating_add)
}

/// How many elements [`intersection`] reads or looks up at the most.
pub fn intersection_cost(sets: &[Collection]) -> u64 {
    let smallest = sets.iter().map(Collection::size).min().unwrap_or(0);
    sift_cost(smallest, sets)
}

/// How many elements [`difference`] reads or looks up at the most.
pub fn difference_cost(first: &Collection, others: &[Collection]) -> u64 {
    first.size().saturating_add(sift_cost(first.size(), others))
}

fn sift_cost(size: u64, sets: &[Collection]) -> u64 {
    let of_one = |set: &Collection| set.size().min(size.saturating_mul(LOOKUP_READS));
    sets.iter().map(of_one).fold(0, u64::saturating_add)
}

/// Calls `visit` with what is in any of `sets`, until it returns `false`.
///
/// # Errors
/// The storage's; those of `visit`.
pub fn union(
    db: &mut DbReader<'_>,
    sets: &[Collection],
    mut visit: impl FnMut(Bytes) -> Result<bool>,
) -> Result<()> {
    let mut streams: Vec<Stream<'_>> =
        sets.iter().map(|set| Stream::new(set, sets.len())).collect();
    let mut heads = BinaryHeap::with_capacity(streams.len());
    for (index, stream) in streams.iter_mut().enumerate() {
        heads.extend(stream.next(db)?.map(|subkey| Reverse((subkey, index))));
    }
    let mut last: Option<Bytes> = None;
    while let Some(Reverse((subkey, index))) = heads.pop() {
        if let Some(stream) = streams.get_mut(index) {
            heads.extend(stream.next(db)?.map(|subkey| Reverse((subkey, index))));
        }
        if last.as_ref() != Some(&subkey) {
            last = Some(subkey.clone());
            if !visit(subkey)? {
                break;
            }
        }
    }
    Ok(())
}

/// Calls `visit` with what is in all of `sets`, until it returns `false`.
///
/// # Errors
/// The storage's; those of `visit`.
pub fn intersection(
    db: &mut DbReader<'_>,
    sets: &[Collection],
    visit: impl FnMut(Bytes) -> Result<bool>,
) -> Result<()> {
    let mut sets: Vec<&Collection> = sets.iter().collect();
    sets.sort_by_key(|set| set.size());
    let Some((smallest, others)) = sets.split_first() else { return Ok(()) };
    sift(db, smallest, others, true, visit)
}

/// Calls `visit` with what is in `first` and in none of `others`, until it returns `false`.
///
/// # Errors
/// The storage's; those of `visit`.
pub fn difference(
    db: &mut DbReader<'_>,
    first: &Collection,
    others: &[Collection],
    visit: impl FnMut(Bytes) -> Result<bool>,
) -> Result<()> {
    let mut others: Vec<&Collection> = others.iter().collect();
    // The larger a set, the more it takes away, and the less is left for the next.
    others.sort_by_key(|set| Reverse(set.size()));
    sift(db, first, &others, false, visit)
}

/// What is in `first` and, as `wanted` says, in all of `others` or in none.
fn sift(
    db: &mut DbReader<'_>,
    first: &Collection,
    others: &[&Collection],
    wanted: bool,
    mut visit: impl FnMut(Bytes) -> Result<bool>,
) -> Result<()> {
    let streams = others.len() + 1;
    let mut sieves: Vec<Sieve<'_>> = others
        .iter()
        .map(|set| {
            if set.size() > first.size().saturating_mul(LOOKUP_READS) {
                Sieve::Asked(set)
            } else {
                Sieve::Read { stream: Stream::new(set, streams), next: None, begun: false }
            }
        })
        .collect();
    let mut stream = Stream::new(first, streams);
    while let Some(mut subkeys) = stream.next_page(db)? {
        for sieve in &mut sieves {
            if subkeys.is_empty() {
                break;
            }
            subkeys = sieve.sift(db, subkeys, wanted)?;
        }
        for subkey in subkeys {
            if !visit(subkey)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A set that others are held against, in order.
enum Sieve<'c> {
    /// Each is looked up.
    Asked(&'c Collection),
    /// Its elements are read beside the others.
    Read { stream: Stream<'c>, next: Option<Bytes>, begun: bool },
}

impl Sieve<'_> {
    /// Those of `subkeys` that are in the set, or if not `wanted`, that are not.
    fn sift(
        &mut self,
        db: &mut DbReader<'_>,
        subkeys: Vec<Bytes>,
        wanted: bool,
    ) -> Result<Vec<Bytes>> {
        let mut kept = Vec::with_capacity(subkeys.len());
        match self {
            Sieve::Asked(set) => {
                let found = set.get_many(db, &subkeys)?;
                for (subkey, found) in subkeys.into_iter().zip(found) {
                    if found.is_some() == wanted {
                        kept.push(subkey);
                    }
                }
            }
            Sieve::Read { stream, next, begun } => {
                if !*begun {
                    *next = stream.next(db)?;
                    *begun = true;
                }
                for subkey in subkeys {
                    while next.as_ref().is_some_and(|next| *next < subkey) {
                        *next = stream.next(db)?;
                    }
                    if (next.as_ref() == Some(&subkey)) == wanted {
                        kept.push(subkey);
                    }
                }
            }
        }
        Ok(kept)
    }
}

/// The elements of a set in order, of which it holds a page.
struct Stream<'c> {
    set: &'c Collection,
    limit: PageLimit,
    rest: Option<KeyRange>,
    page: vec::IntoIter<Element>,
}

impl<'c> Stream<'c> {
    /// One of so many.
    fn new(set: &'c Collection, streams: usize) -> Self {
        let limit = PageLimit {
            entries: (PAGES.entries / streams.max(1)).clamp(1, ELEMENTS_PAGE.entries),
            bytes: (PAGES.bytes / streams.max(1)).min(ELEMENTS_PAGE.bytes),
        };
        Self { set, limit, rest: Some(hashed::range_from(&[], 0)), page: Vec::new().into_iter() }
    }

    fn next(&mut self, db: &mut DbReader<'_>) -> Result<Option<Bytes>> {
        if self.page.as_slice().is_empty() {
            self.page = self.read(db)?.into_iter();
        }
        Ok(self.page.next().map(|(subkey, _)| subkey))
    }

    /// A whole page, never an empty one.
    fn next_page(&mut self, db: &mut DbReader<'_>) -> Result<Option<Vec<Bytes>>> {
        let page = self.read(db)?;
        Ok((!page.is_empty()).then(|| page.into_iter().map(|(subkey, _)| subkey).collect()))
    }

    fn read(&mut self, db: &mut DbReader<'_>) -> Result<Vec<Element>> {
        let Some(mut rest) = self.rest.take() else { return Ok(Vec::new()) };
        let page = self.set.page(db, &rest, false, self.limit)?;
        if let Some((last, _)) = page.entries.last().filter(|_| page.more) {
            narrow(&mut rest, last, false);
            self.rest = Some(rest);
        }
        Ok(page.entries)
    }
}
