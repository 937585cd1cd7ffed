//! The segments of a large set as they are being changed: the directory and the counts.
//!
//! A change of one member costs a look into the directory and a count read and written, never a walk; only
//! where a segment has grown too long is it walked over to find its middle. What is changed here is
//! written once, by [`write`](Segments::write), however many members a command adds or removes.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::encoding::sorted_set::{self as bytes_of, Directory};
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
    /// By where the segments begin.
    counts: BTreeMap<Bytes, Count>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    now: Option<u64>,
    stored: Option<u64>,
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
        let (segment, start) = self.find(db, set, place)?;
        let count = self.count(db, set, &start)?.saturating_add(1);
        self.set_count(&start, Some(count));
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
        let (segment, start) = self.find(db, set, place)?;
        let count = self.count(db, set, &start)?.saturating_sub(1);
        self.set_count(&start, Some(count));
        if count < len_max(set.size()) / 8 {
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
        if !set.is_divided() || self.find(db, set, from)?.0 == self.find(db, set, to)?.0 {
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
            for (start, count) in starts {
                self.set_count(start, Some(*count));
            }
        }
    }

    /// Writes what has changed.
    pub(super) fn write(self, db: &mut DbWriter<'_>, set: &mut SortedSet) -> Result<()> {
        for (start, Count { now, stored }) in self.counts {
            if now == stored {
                continue;
            }
            let subkey = bytes_of::count_subkey(&start);
            match now {
                Some(count) => set.collection.put(db, &subkey, bytes_of::encode_count(count))?,
                None => set.collection.delete(db, &subkey)?,
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
        self.replace_directory(set, Some(directory.with(segment, &divide_at)));
        self.set_count(&start, Some(before));
        self.set_count(&divide_at, Some(count.saturating_sub(before)));
        Ok(())
    }

    /// Merges a segment with the one before it, if one is empty or they are short together.
    fn merge(&mut self, db: &mut DbWriter<'_>, set: &mut SortedSet, segment: usize) -> Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let starts = directory.start(segment - 1).zip(directory.start(segment));
        let Some((left, right)) = starts else { return Ok(()) };
        let counts = (self.count(db, set, &left)?, self.count(db, set, &right)?);
        let sum = counts.0.saturating_add(counts.1);
        if counts.0 > 0 && counts.1 > 0 && sum > len_max(set.size()) / 2 {
            return Ok(());
        }
        let merged = self.directory.as_ref().map(|directory| directory.without(segment));
        let merged = merged.filter(|directory| !directory.is_single());
        self.set_count(&left, merged.is_some().then_some(sum));
        self.set_count(&right, None);
        self.replace_directory(set, merged);
        Ok(())
    }

    fn replace_directory(&mut self, set: &mut SortedSet, directory: Option<Directory>) {
        set.collection.set_place(if directory.is_some() { DIVIDED } else { 0 });
        self.directory = directory;
        self.is_changed = true;
    }

    /// The segment of a place, and where it begins.
    fn find(
        &mut self,
        db: &mut DbWriter<'_>,
        set: &SortedSet,
        place: &[u8],
    ) -> Result<(usize, Bytes)> {
        if self.directory.is_none() {
            self.directory = set.directory(&mut db.reader())?;
        }
        let Some(directory) = &self.directory else { return Ok((0, Bytes::new())) };
        let segment = directory.find(place);
        Ok((segment, directory.start(segment).unwrap_or_default()))
    }

    fn count(&mut self, db: &mut DbWriter<'_>, set: &SortedSet, start: &Bytes) -> Result<u64> {
        if let Some(count) = self.counts.get(start) {
            return Ok(count.now.unwrap_or(0));
        }
        let stored = set.collection.get(&mut db.reader(), &bytes_of::count_subkey(start))?;
        let stored = stored.map(|stored| bytes_of::decode_count(&stored)).transpose()?;
        self.counts.insert(start.clone(), Count { now: stored, stored });
        Ok(stored.unwrap_or(0))
    }

    /// Sets a count that has been read before or is of a segment that is not stored.
    fn set_count(&mut self, start: &Bytes, now: Option<u64>) {
        self.counts
            .entry(start.clone())
            .and_modify(|count| count.now = now)
            .or_insert(Count { now, stored: None });
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
