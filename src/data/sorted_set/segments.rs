//! The segments of a large set as they are being changed: the directory and the counts.
//!
//! A change of one member costs a look into the directory and a block of counts read and written, never a walk; only
//! where a segment has grown too long is it walked over to find its middle. What is changed here is
//! written once, by [`write`](Segments::write), however many members a command adds or removes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;
use pontoon_storage::Error;

use super::super::encoding::sorted_set::{self as bytes_of, COUNTS_PER_BLOCK, Directory};
use super::super::error::Result;
use super::super::reader::DbReader;
use super::super::writer::DbWriter;
use super::interval::{Rest, Span};
use super::{SortedSet, TRAIT_UNEVEN};

/// A set is divided when it has so many members, and so are its segments while it is not much larger.
/// Smaller in tests, which else would need thousands of members to see anything.
pub(super) const SEGMENT_LEN_MIN: u64 = if cfg!(test) { 8 } else { 512 };

/// Sets that are divided say so in their record, since few are.
const DIVIDED: u64 = 1;

/// See the module. Nothing is read before it is needed.
#[derive(Debug, Default)]
pub(super) struct Segments {
    directory: Option<Directory>,
    is_changed: bool,
    /// The counts that were read or are to be written, by block.
    counts: BTreeMap<usize, Block>,
}

/// The counts of some segments; of none, if there is no such entry.
#[derive(Debug, Default)]
struct Block {
    now: Vec<u64>,
    stored: Vec<u64>,
}

/// At how many members a segment is divided, in a set of `size`: about twice the square root of the size, a
/// power of two, so that it changes seldom.
pub(super) fn len_max(size: u64) -> u64 {
    // The size up to which the least length is enough.
    const SMALL_SIZE: u64 = (SEGMENT_LEN_MIN / 2) * (SEGMENT_LEN_MIN / 2);
    let times_larger = size.div_ceil(SMALL_SIZE).max(1);
    SEGMENT_LEN_MIN << times_larger.next_power_of_two().ilog2().div_ceil(2)
}

/// Whether a segment is to be divided now. One that could not be is tried again once it has doubled.
fn is_due(count: u64, size: u64) -> bool {
    let len_max = len_max(size);
    count.is_multiple_of(len_max) && (count / len_max).is_power_of_two()
}

impl Segments {
    /// Takes note that a member came to be at `place`, and divides its segment if it has grown too long.
    /// The set is as it is now.
    pub(super) fn added(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &mut SortedSet,
        place: &[u8],
    ) -> Result<()> {
        if set.collection.is_packed() {
            return Ok(());
        }
        if !set.is_divided() {
            if is_due(set.size(), set.size()) {
                self.divide(db, set, 0, set.size())?;
            }
            return Ok(());
        }
        let segment = self.find(db, set, place)?;
        let count = self.count(db, set, segment)?;
        *count = count.saturating_add(1);
        let count = *count;
        if is_due(count, set.size()) {
            self.divide(db, set, segment, count)?;
        }
        Ok(())
    }

    /// Takes note that `place` has no member any more, and merges its segment with the one beside it if
    /// both are short. The set is as it is now.
    pub(super) fn removed(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &mut SortedSet,
        place: &[u8],
    ) -> Result<()> {
        if !set.is_divided() {
            return Ok(());
        }
        let segment = self.find(db, set, place)?;
        let count = self.count(db, set, segment)?;
        *count = count.saturating_sub(1);
        if *count < len_max(set.size()) / 8 {
            self.merge(db, set, segment.max(1))?;
        }
        Ok(())
    }

    /// Takes note that a member went from one place to another.
    pub(super) fn moved(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &mut SortedSet,
        from: &[u8],
        to: &[u8],
    ) -> Result<()> {
        if !set.is_divided() || self.find(db, set, from)? == self.find(db, set, to)? {
            return Ok(());
        }
        self.removed(db, set, from)?;
        self.added(db, set, to)
    }

    /// Takes note of segments that begin at `starts`, with so many members each; the first begins at
    /// nothing. For a set that was not divided.
    pub(super) fn build(&mut self, set: &mut SortedSet, starts: &[(Bytes, u64)]) {
        if let [_, others @ ..] = starts
            && !others.is_empty()
        {
            self.replace_directory(
                set,
                Some(Directory::new(others.iter().map(|(start, _)| &**start))),
            );
            self.put_counts(0, starts.iter().map(|(_, count)| *count).collect());
        }
    }

    /// Writes what has changed.
    pub(super) fn write(self, db: &mut DbWriter<'_>, set: &mut SortedSet) -> Result<()> {
        for (block, Block { now, stored }) in self.counts {
            let subkey = bytes_of::counts_subkey(block);
            if now.is_empty() && !stored.is_empty() {
                set.collection.delete(db, &subkey)?;
            } else if now != stored {
                set.collection.put(db, &subkey, bytes_of::encode_counts(&now))?;
            }
        }
        match self.directory {
            _ if !self.is_changed => Ok(()),
            Some(directory) => {
                set.collection.put(db, bytes_of::DIRECTORY_SUBKEY, directory.encode())
            }
            None => set.collection.delete(db, bytes_of::DIRECTORY_SUBKEY),
        }
    }

    /// Divides a segment of `count` members near its middle, or if it is far too long, near the beginning.
    fn divide(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &mut SortedSet,
        segment: usize,
        count: u64,
    ) -> Result<()> {
        let directory = self.directory.clone().unwrap_or(Directory::new([].into_iter()));
        let Some(start) = directory.start(segment) else { return Ok(()) };
        let span = Span { start: start.clone(), end: directory.start(segment + 1) };
        let Some((before, divide_at)) = find_middle(&mut db.reader(), set, &span)? else {
            set.collection.add_traits(TRAIT_UNEVEN);
            return Ok(());
        };
        let mut counts = self.counts_from(db, set, segment, directory.segments_len())?;
        // Its own count, if there was but one segment, which needs none.
        counts.splice(..counts.len().min(1), [before, count.saturating_sub(before)]);
        self.put_counts(segment, counts);
        self.replace_directory(set, Some(directory.with(segment, &divide_at)));
        Ok(())
    }

    /// Merges a segment with the one before it, if one is empty or they are short together.
    fn merge(&mut self, db: &mut DbWriter<'_>, set: &mut SortedSet, segment: usize) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let segments_len = directory.segments_len();
        if segment >= segments_len {
            return Ok(());
        }
        let merged = directory.without(segment);
        let (left, right) = (*self.count(db, set, segment - 1)?, *self.count(db, set, segment)?);
        let sum = left.saturating_add(right);
        if left > 0 && right > 0 && sum > len_max(set.size()) / 2 {
            return Ok(());
        }
        let mut counts = self.counts_from(db, set, segment - 1, segments_len)?;
        if merged.is_single() {
            counts.clear();
        } else {
            counts.splice(..counts.len().min(2), [sum]);
        }
        self.put_counts(segment - 1, counts);
        self.replace_directory(set, Some(merged).filter(|directory| !directory.is_single()));
        Ok(())
    }

    fn replace_directory(&mut self, set: &mut SortedSet, directory: Option<Directory>) {
        set.collection.set_place(if directory.is_some() { DIVIDED } else { 0 });
        self.directory = directory;
        self.is_changed = true;
    }

    /// The segment of a place.
    fn find(&mut self, db: &mut DbWriter<'_>, set: &SortedSet, place: &[u8]) -> Result<usize> {
        if self.directory.is_none() {
            self.directory = set.directory(&mut db.reader())?;
        }
        Ok(self.directory.as_ref().map_or(0, |directory| directory.find(place)))
    }

    /// The count of a segment, to be changed.
    fn count(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &SortedSet,
        segment: usize,
    ) -> Result<&mut u64> {
        let block = self.block(db, set, segment / COUNTS_PER_BLOCK)?;
        let count = block.now.get_mut(segment % COUNTS_PER_BLOCK);
        Ok(count.ok_or_else(|| Error::corrupted("a segment has no count"))?)
    }

    fn block(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &SortedSet,
        block: usize,
    ) -> Result<&mut Block> {
        match self.counts.entry(block) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let subkey = bytes_of::counts_subkey(block);
                let stored = set.collection.get(&mut db.reader(), &subkey)?;
                let stored =
                    stored.map_or(Ok(Vec::new()), |stored| bytes_of::decode_counts(&stored))?;
                Ok(place.insert(Block { now: stored.clone(), stored }))
            }
        }
    }

    /// The counts of the segments from `first` on, of `segments_len`.
    fn counts_from(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &SortedSet,
        first: usize,
        segments_len: usize,
    ) -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        for block in first / COUNTS_PER_BLOCK..segments_len.div_ceil(COUNTS_PER_BLOCK) {
            counts.extend_from_slice(&self.block(db, set, block)?.now);
        }
        counts.drain(..counts.len().min(first % COUNTS_PER_BLOCK));
        Ok(counts)
    }

    /// Makes these the counts of the segments from `first` on; all that are known and begin there or behind
    /// are replaced.
    fn put_counts(&mut self, first: usize, counts: Vec<u64>) {
        let (first_block, before) = (first / COUNTS_PER_BLOCK, first % COUNTS_PER_BLOCK);
        let mut rest = counts;
        if let Some(block) = self.counts.get(&first_block) {
            let kept = block.now.get(..before).unwrap_or(&block.now);
            rest.splice(..0, kept.iter().copied());
        }
        self.counts.range_mut(first_block..).for_each(|(_, block)| block.now.clear());
        for (block, counts) in (first_block..).zip(rest.chunks(COUNTS_PER_BLOCK)) {
            self.counts.entry(block).or_default().now = counts.to_vec();
        }
    }
}

/// A place near the middle of a segment that has just become too long, where another may begin, and how many
/// members are before it. `None` if there is none in the half around the middle.
fn find_middle(
    db: &mut DbReader<'_>,
    set: &SortedSet,
    span: &Span,
) -> Result<Option<(u64, Bytes)>> {
    let len_max = len_max(set.size());
    let middle = len_max / 2;
    let first = middle / 2 - 1;
    let mut rest =
        Rest { range: Some(span.range()), reverse: false, skip: first, limit: middle + 2 };
    let mut index = first;
    let mut before: Option<Bytes> = None;
    let mut best: Option<(u64, Bytes)> = None;
    while let Some(page) = set.next_page(db, &mut rest)? {
        for subkey in page {
            let is_farther = |best: &(u64, Bytes)| index.saturating_sub(middle) > middle - best.0;
            if best.as_ref().is_some_and(is_farther) {
                return Ok(best);
            }
            let left = before.as_deref().map(bytes_of::place_of);
            let right = bytes_of::place_of(&subkey);
            if let Some(start) = left.and_then(|left| bytes_of::segment_start(left, right)) {
                best = Some((index, Bytes::copy_from_slice(start)));
                if index >= middle {
                    return Ok(best);
                }
            }
            before = Some(subkey);
            index += 1;
        }
    }
    Ok(best)
}
