//! Sorted sets: members with scores, ordered by score and, where that is equal, by the members' bytes.
//!
//! Here is what reads; `change` has what writes, `segments` keeps the counts by which ranks are found,
//! `ranks` finds them, `interval` says which members are meant, and `algebra` combines several sets.

use bytes::Bytes;
use pontoon_storage::engine::PageLimit;

use super::collection::{self, Collection, ELEMENTS_PAGE, Element};
use super::encoding::sorted_set as bytes_of;
use super::encoding::{Kind, MEMBER_BYTES_MAX, Record, hashed};
use super::error::Result;
use super::reader::{DbReader, expect_kind};

mod algebra;
mod change;
mod interval;
mod ranks;
mod segments;
#[cfg(test)]
mod tests;

pub use algebra::{Aggregate, Operand, difference, intersection, intersection_len, union};
pub use bytes_of::MEMBER_PREFIX;
pub use change::{SortedSetEditor, store};
pub use interval::{Interval, LexBound, ScoreBound, Slice};

/// A member and its score.
pub type Scored = (Bytes, f64);

/// Redis would have given up its compact form: what `OBJECT ENCODING` shows.
const TRAIT_SKIPLIST: u8 = 1;
/// There may be a segment of any length: its members' names begin alike for too long.
const TRAIT_UNEVEN: u8 = 1 << 1;

/// The most members of what Redis calls a listpack, unless told otherwise.
const LISTPACK_MEMBERS_MAX: u64 = 128;
/// The longest member of it, in bytes.
const LISTPACK_MEMBER_BYTES_MAX: usize = 64;

/// Members that are skipped by walking over them; the counts are asked for the place behind more of them.
const SKIPPED_MAX: u64 = 128;

/// The member that an element under [`MEMBER_PREFIX`] is, with its score.
///
/// # Errors
/// The storage's, if it is damaged.
pub fn scored((subkey, value): Element) -> Result<Scored> {
    let (_, member) = hashed::split(MEMBER_PREFIX.len(), &subkey)?;
    Ok((member, score_of(&value)?))
}

/// The score that the value of such an element is.
///
/// # Errors
/// As for [`scored`].
pub fn score_of(value: &[u8]) -> Result<f64> {
    Ok(bytes_of::decode_score(value)?)
}

/// The sorted set of a key, for reading.
#[derive(Debug, Clone)]
pub struct SortedSet {
    collection: Collection,
}

impl SortedSet {
    /// The one at `key`; counts a hit or a miss.
    ///
    /// # Errors
    /// [`Error::WrongType`](super::Error::WrongType); the storage's.
    pub fn read(db: &mut DbReader<'_>, key: &[u8]) -> Result<Option<Self>> {
        let collection = collection::read(db, key, Kind::SortedSet)?;
        Ok(collection.map(|collection| Self { collection }))
    }

    /// What `record` describes, if it is there.
    ///
    /// # Errors
    /// [`Error::WrongType`](super::Error::WrongType); the storage's, if the record is damaged.
    pub fn from_record(record: Option<Record>) -> Result<Option<Self>> {
        let record = expect_kind(record, Kind::SortedSet)?;
        let collection = record.as_ref().map(Collection::from_record).transpose()?;
        Ok(collection.map(|collection| Self { collection }))
    }

    /// Its elements as they are stored: for what goes over collections of any type.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// How many members it has.
    pub fn size(&self) -> u64 {
        self.collection.size()
    }

    /// What Redis calls the form that it would have in memory.
    pub fn encoding(&self) -> &'static str {
        if self.collection.traits() & TRAIT_SKIPLIST == 0 { "listpack" } else { "skiplist" }
    }

    /// The score of a member.
    ///
    /// # Errors
    /// The storage's.
    pub fn score(&self, db: &mut DbReader<'_>, member: &[u8]) -> Result<Option<f64>> {
        if member.len() > MEMBER_BYTES_MAX {
            return Ok(None);
        }
        let stored = self.collection.get(db, &bytes_of::member_subkey(member))?;
        stored.map(|stored| score_of(&stored)).transpose()
    }

    /// The scores of several members, in their order, read as one batch.
    ///
    /// # Errors
    /// The storage's.
    pub fn scores(
        &self,
        db: &mut DbReader<'_>,
        members: &[impl AsRef<[u8]>],
    ) -> Result<Vec<Option<f64>>> {
        let subkeys: Vec<_> = members
            .iter()
            .map(|member| match member.as_ref() {
                // What is too long to be stored is not there, under whatever subkey.
                member if member.len() > MEMBER_BYTES_MAX => Bytes::new(),
                member => bytes_of::member_subkey(member),
            })
            .collect();
        let found = self.collection.get_many(db, &subkeys)?;
        found.into_iter().map(|found| found.map(|found| score_of(&found)).transpose()).collect()
    }

    /// Calls `visit` with the members of `slice`, in its order, until it returns `false`.
    ///
    /// # Errors
    /// The storage's; those of `visit`.
    pub fn for_each(
        &self,
        db: &mut DbReader<'_>,
        slice: &Slice,
        mut visit: impl FnMut(f64, Bytes) -> Result<bool>,
    ) -> Result<()> {
        let Some(mut rest) = self.aim(db, slice)? else { return Ok(()) };
        while let Some(page) = self.next_page(db, &mut rest)? {
            for subkey in page {
                let (score, member) = bytes_of::split_place_subkey(&subkey)?;
                if !visit(score, member)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The places that `rest` still has, a page of them; `None` at the end.
    fn next_page(
        &self,
        db: &mut DbReader<'_>,
        rest: &mut interval::Rest,
    ) -> Result<Option<Vec<Bytes>>> {
        while let Some(range) = rest.range.take() {
            let wanted = usize::try_from(rest.skip.saturating_add(rest.limit));
            let entries = wanted.unwrap_or(usize::MAX).min(ELEMENTS_PAGE.entries);
            let limit = PageLimit { entries, ..ELEMENTS_PAGE };
            let page = self.collection.page(db, &range, rest.reverse, limit)?;
            let mut subkeys: Vec<Bytes> =
                page.entries.into_iter().map(|(subkey, _)| subkey).collect();
            let last = subkeys.last().cloned();
            let skipped = subkeys.len().min(usize::try_from(rest.skip).unwrap_or(usize::MAX));
            subkeys.drain(..skipped);
            rest.skip -= skipped as u64;
            subkeys.truncate(usize::try_from(rest.limit).unwrap_or(usize::MAX));
            rest.limit -= subkeys.len() as u64;
            if let Some(last) = last.filter(|_| page.more && rest.limit > 0) {
                let mut range = range;
                collection::narrow(&mut range, &last, rest.reverse);
                rest.range = Some(range);
            }
            if !subkeys.is_empty() {
                return Ok(Some(subkeys));
            }
        }
        Ok(None)
    }
}
