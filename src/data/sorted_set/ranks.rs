//! Ranks: how many members are before a place, and which place has so many before it.
//!
//! Both sum the counts of the segments before, from the nearer end, and walk inside one segment. There are
//! about as many segments as members in one, so both cost the square root of the set's size.

use bytes::Bytes;
use pontoon_storage::Error;

use super::super::encoding::sorted_set::{self as bytes_of, Directory};
use super::super::error::Result;
use super::super::reader::DbReader;
use super::interval::{Interval, Rest, Span};
use super::{SortedSet, TRAIT_UNEVEN};

impl SortedSet {
    /// How many members have a lower place than `member`, or if `reverse` a higher one; `None` if it is no
    /// member.
    ///
    /// # Errors
    /// The storage's.
    pub fn rank(&self, db: &mut DbReader<'_>, member: &[u8], reverse: bool) -> Result<Option<u64>> {
        let Some(score) = self.score(db, member)? else { return Ok(None) };
        let place = bytes_of::place_subkey(score, member);
        let before = self.count_before(db, bytes_of::place_of(&place))?;
        Ok(Some(if reverse { self.size().saturating_sub(before + 1) } else { before }))
    }

    /// How many members are in the interval.
    ///
    /// # Errors
    /// The storage's.
    pub fn count(&self, db: &mut DbReader<'_>, interval: &Interval) -> Result<u64> {
        let span = self.span(db, interval)?;
        if span.is_empty() { Ok(0) } else { self.count_span(db, &span) }
    }

    /// How many members a look for ranks may have to walk over, if that can be many.
    pub fn rank_walk_len(&self) -> u64 {
        if self.collection.traits() & TRAIT_UNEVEN == 0 { 0 } else { self.size() }
    }

    /// The place that comes behind `skip` others in the span.
    pub(super) fn skipped_to(
        &self,
        db: &mut DbReader<'_>,
        span: &Span,
        reverse: bool,
        skip: u64,
    ) -> Result<Option<Bytes>> {
        let rank = if reverse {
            let inside = match &span.end {
                Some(end) => self.count_before(db, end)?,
                None => self.size(),
            };
            match inside.checked_sub(skip + 1) {
                Some(rank) => rank,
                None => return Ok(None),
            }
        } else if span.start.is_empty() {
            skip
        } else {
            self.count_before(db, &span.start)?.saturating_add(skip)
        };
        self.place_at(db, rank)
    }

    /// The place with `rank` others before it; `None` if there are not so many.
    pub(super) fn place_at(&self, db: &mut DbReader<'_>, rank: u64) -> Result<Option<Bytes>> {
        if rank >= self.size() {
            return Ok(None);
        }
        let Some(directory) = self.directory(db)? else {
            return self.place_in(db, &Span::ALL, rank, self.size());
        };
        let reverse = rank >= self.size() / 2;
        // How many are before the segments seen so far, or before those not seen yet.
        let mut before = if reverse { self.size() } else { 0 };
        let mut found = None;
        let all = bytes_of::counts(0, directory.segments_len());
        self.collection.for_each(db, all, reverse, |subkey, stored| {
            let mut segments = bytes_of::split_counts(&subkey, &stored)?;
            if reverse {
                segments.reverse();
            }
            for (segment, count) in segments {
                if reverse {
                    before = before.saturating_sub(count);
                }
                if (before..before.saturating_add(count)).contains(&rank) {
                    found = Some((segment, rank - before, count));
                    return Ok(false);
                }
                if !reverse {
                    before = before.saturating_add(count);
                }
            }
            Ok(true)
        })?;
        let Some((segment, rank, count)) = found else { return Ok(None) };
        let Some(start) = directory.start(segment) else { return Ok(None) };
        let end = directory.start(segment + 1);
        self.place_in(db, &Span { start, end }, rank, count)
    }

    /// The place with `rank` others before it in the span, which has `count` of them.
    fn place_in(
        &self,
        db: &mut DbReader<'_>,
        span: &Span,
        rank: u64,
        count: u64,
    ) -> Result<Option<Bytes>> {
        let reverse = rank >= count / 2;
        let skip = if reverse { count.saturating_sub(rank + 1) } else { rank };
        let mut rest = Rest { range: Some(span.range()), reverse, skip, limit: 1 };
        let page = self.next_page(db, &mut rest)?.unwrap_or_default();
        Ok(page.first().map(|subkey| subkey.slice(1..)))
    }

    /// How many members have a place before `place`.
    fn count_before(&self, db: &mut DbReader<'_>, place: &[u8]) -> Result<u64> {
        let Some(directory) = self.directory(db)? else {
            let end = Some(Bytes::copy_from_slice(place));
            return self.walk_span(db, &Span { end, ..Span::ALL });
        };
        let place = Bytes::copy_from_slice(place);
        if directory.find(&place) > directory.segments_len() / 2 {
            let behind = Span { start: place, end: None };
            return Ok(self.size().saturating_sub(self.count_divided(db, &directory, &behind)?));
        }
        self.count_divided(db, &directory, &Span { end: Some(place), ..Span::ALL })
    }

    fn count_span(&self, db: &mut DbReader<'_>, span: &Span) -> Result<u64> {
        if *span == Span::ALL {
            return Ok(self.size());
        }
        match self.directory(db)? {
            Some(directory) => self.count_divided(db, &directory, span),
            None => self.walk_span(db, span),
        }
    }

    /// Counts a span: the segments wholly inside by their counts, what is at its ends by walking.
    fn count_divided(
        &self,
        db: &mut DbReader<'_>,
        directory: &Directory,
        span: &Span,
    ) -> Result<u64> {
        let first = directory.find(&span.start);
        let first_whole =
            if directory.start(first).as_ref() == Some(&span.start) { first } else { first + 1 };
        // The last segment is whole only if nothing ends the span.
        let end_whole = match &span.end {
            Some(end) => directory.find_before(end),
            None => directory.segments_len(),
        };
        let Some(from) = directory.start(first_whole).filter(|_| first_whole <= end_whole) else {
            return self.walk_span(db, span);
        };
        let upto = directory.start(end_whole);
        let mut sum = self.sum(db, first_whole, end_whole)?;
        if first < first_whole {
            sum += self.walk_span(db, &Span { start: span.start.clone(), end: Some(from) })?;
        }
        if let Some(start) = upto {
            sum += self.walk_span(db, &Span { start, end: span.end.clone() })?;
        }
        Ok(sum)
    }

    /// The sum of the counts of the segments from `first` up to, and without, `end`.
    fn sum(&self, db: &mut DbReader<'_>, first: usize, end: usize) -> Result<u64> {
        let mut sum = 0u64;
        if first < end {
            let counts = bytes_of::counts(first, end);
            self.collection.for_each(db, counts, false, |subkey, stored| {
                for (segment, count) in bytes_of::split_counts(&subkey, &stored)? {
                    if (first..end).contains(&segment) {
                        sum = sum.saturating_add(count);
                    }
                }
                Ok(true)
            })?;
        }
        Ok(sum)
    }

    fn walk_span(&self, db: &mut DbReader<'_>, span: &Span) -> Result<u64> {
        let mut count = 0;
        if !span.is_empty() {
            self.collection.for_each(db, span.range(), false, |_, _| {
                count += 1;
                Ok(true)
            })?;
        }
        Ok(count)
    }

    /// Where the segments begin, if the set is divided into some.
    pub(super) fn directory(&self, db: &mut DbReader<'_>) -> Result<Option<Directory>> {
        if !self.is_divided() {
            return Ok(None);
        }
        let stored = self.collection.get(db, bytes_of::DIRECTORY_SUBKEY)?;
        let stored = stored.ok_or_else(|| Error::corrupted("a directory is missing"))?;
        Ok(Some(Directory::decode(stored)?))
    }

    pub(super) fn is_divided(&self) -> bool {
        self.collection.place() != 0
    }
}
