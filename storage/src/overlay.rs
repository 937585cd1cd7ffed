//! The overlay: the pending writes of one drain, over whatever an engine's snapshot says.
//!
//! Written once for every engine. Range deletes are merged intervals that hide what the snapshot
//! has; writes made after them override them. Every change leaves an undo record, so that one
//! operation, or a part of it, can be rolled back alone.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use bytes::Bytes;

use crate::engine::{Changes, KeyspaceChanges, Page, PageLimit, Snapshot};
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::range::KeyRange;
use crate::read::rest_after;

#[cfg(test)]
#[path = "overlay/tests.rs"] // said outright for the model, which includes this file
mod tests;

/// What one pending write costs in memory beside its key and value, roughly.
const WRITE_OVERHEAD_BYTES: usize = 64;

/// What is read at a time of what is below, where pending deletes hide the first of it: a page that begins
/// as short as was asked for grows up to this.
const GROWN_PAGE: PageLimit = PageLimit { entries: 256, bytes: 256 << 10 };

/// Pending changes with the way back.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    changes: Changes,
    undo: Vec<Undo>,
    bytes: usize,
}

/// A point to roll back to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    undo_len: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Undo {
    /// `before` is what the map held: nothing, or a pending write.
    Write { keyspace: KeyspaceId, key: Bytes, before: Option<Option<Bytes>> },
    /// The interval at `start` took the place of `replaced` and hid `hidden`.
    Range {
        keyspace: KeyspaceId,
        start: Bytes,
        replaced: Vec<(Bytes, Option<Bytes>)>,
        hidden: Vec<(Bytes, Option<Bytes>)>,
    },
}

impl Overlay {
    /// The merged batch so far.
    pub(crate) fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Bytes that all writes so far have brought, those since replaced included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { undo_len: self.undo.len(), bytes: self.bytes }
    }

    /// Bytes brought since `mark`.
    pub(crate) fn bytes_since(&self, mark: Mark) -> usize {
        self.bytes.saturating_sub(mark.bytes)
    }

    /// Forgets the way back: what is pending now stays.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
    }

    /// Undoes everything since `mark`, newest first.
    pub(crate) fn rollback(&mut self, mark: Mark) {
        while self.undo.len() > mark.undo_len {
            let Some(undo) = self.undo.pop() else { break };
            match undo {
                Undo::Write { keyspace, key, before } => {
                    let writes = &mut self.keyspace_mut(keyspace).writes;
                    match before {
                        Some(write) => writes.insert(key, write),
                        None => writes.remove(&key),
                    };
                }
                Undo::Range { keyspace, start, replaced, hidden } => {
                    let pending = self.keyspace_mut(keyspace);
                    pending.ranges.remove(&start);
                    pending.ranges.extend(replaced);
                    pending.writes.extend(hidden);
                }
            }
        }
        // An engine creates every keyspace it is handed: undone writes must not leave one behind.
        let all = &mut self.changes.keyspaces;
        all.retain(|pending| !pending.ranges.is_empty() || !pending.writes.is_empty());
        self.bytes = mark.bytes;
    }

    pub(crate) fn put(&mut self, keyspace: KeyspaceId, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len() + WRITE_OVERHEAD_BYTES;
        let before = self.keyspace_mut(keyspace).writes.insert(key.clone(), Some(value));
        self.undo.push(Undo::Write { keyspace, key, before });
    }

    pub(crate) fn delete(&mut self, keyspace: KeyspaceId, key: Bytes) {
        self.bytes += key.len() + WRITE_OVERHEAD_BYTES;
        let pending = self.keyspace_mut(keyspace);
        let before = if hidden_by(&pending.ranges, &key).is_some() {
            pending.writes.remove(&key)
        } else {
            pending.writes.insert(key.clone(), None)
        };
        self.undo.push(Undo::Write { keyspace, key, before });
    }

    /// Makes the writes of `changes`, which delete no ranges, as `own` makes each key and value this overlay's, with
    /// no way back.
    #[cfg(feature = "redb")]
    pub(crate) fn absorb(&mut self, changes: &KeyspaceChanges, own: impl Fn(&Bytes) -> Bytes) {
        let writes = &mut self.keyspace_mut(changes.keyspace).writes;
        let mut bytes = 0;
        for (key, value) in &changes.writes {
            bytes += key.len() + value.as_ref().map_or(0, Bytes::len) + WRITE_OVERHEAD_BYTES;
            writes.insert(own(key), value.as_ref().map(&own));
        }
        self.bytes += bytes;
    }

    pub(crate) fn delete_range(&mut self, keyspace: KeyspaceId, range: KeyRange) {
        if range.is_empty() {
            return;
        }
        self.bytes += range.weight() + WRITE_OVERHEAD_BYTES;
        let pending = self.keyspace_mut(keyspace);
        let keys: Vec<Bytes> = writes_in(&pending.writes, &range).map(|(k, _)| k.clone()).collect();
        let hidden: Vec<_> =
            keys.iter().filter_map(|key| pending.writes.remove_entry(key)).collect();
        let KeyRange { mut start, mut end } = range;
        let mut replaced = Vec::new();
        while let Some((other_start, other_end)) = last_start_up_to(&pending.ranges, end.as_ref()) {
            if other_end.as_ref().is_some_and(|other_end| *other_end < start) {
                break;
            }
            pending.ranges.remove(&other_start);
            start = start.min(other_start.clone());
            end = later_end(end, other_end.clone());
            replaced.push((other_start, other_end));
        }
        pending.ranges.insert(start.clone(), end);
        self.undo.push(Undo::Range { keyspace, start, replaced, hidden });
    }

    /// What is pending for `key`, a deletion as `Some(None)`; `None` if nothing is, so that what is below knows.
    pub(crate) fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Option<Option<Bytes>> {
        let pending = self.keyspace(keyspace)?;
        match pending.writes.get(key) {
            Some(write) => Some(write.clone()),
            None => hidden_by(&pending.ranges, key).map(|_| None),
        }
    }

    /// A page of `base` with the pending writes merged in.
    pub(crate) fn page(
        &self,
        base: &dyn Snapshot,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        let Some(pending) = self.keyspace(keyspace) else {
            return base.page(keyspace, range, reverse, limit);
        };
        let mut below = Below {
            base,
            keyspace,
            ranges: &pending.ranges,
            reverse,
            limit,
            rest: Some(range.clone()),
            segment: None,
            read: VecDeque::new(),
        };
        let mut above: Box<dyn Iterator<Item = (&Bytes, &Option<Bytes>)>> = if reverse {
            Box::new(writes_in(&pending.writes, range).rev())
        } else {
            Box::new(writes_in(&pending.writes, range))
        };
        let mut next_above = above.next();
        let mut page = Page::default();
        let mut bytes = 0;
        loop {
            let next_below = below.peek()?;
            let from_above = match (next_above, next_below) {
                (None, None) => return Ok(page),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((a, _)), Some((b, _))) if a == b => {
                    below.read.pop_front();
                    continue;
                }
                (Some((a, _)), Some((b, _))) => (a < b) != reverse,
            };
            let entry = if from_above {
                let write = next_above.take();
                next_above = above.next();
                write.and_then(|(key, value)| Some((key.clone(), value.clone()?)))
            } else {
                below.read.pop_front()
            };
            let Some((key, value)) = entry else { continue };
            bytes += key.len() + value.len();
            page.entries.push((key, value));
            if limit.is_reached(page.entries.len(), bytes) {
                page.more = true;
                return Ok(page);
            }
        }
    }

    fn keyspace(&self, id: KeyspaceId) -> Option<&KeyspaceChanges> {
        self.changes.keyspaces.iter().find(|pending| pending.keyspace == id)
    }

    fn keyspace_mut(&mut self, id: KeyspaceId) -> &mut KeyspaceChanges {
        let all = &mut self.changes.keyspaces;
        let at = all.iter().position(|pending| pending.keyspace == id).unwrap_or_else(|| {
            all.push(KeyspaceChanges {
                keyspace: id,
                ranges: BTreeMap::new(),
                writes: BTreeMap::new(),
            });
            all.len() - 1
        });
        #[allow(clippy::indexing_slicing)] // `at` was found or pushed just above
        &mut all[at]
    }
}

/// What the snapshot has outside the deleted intervals, read page by page.
struct Below<'o> {
    base: &'o dyn Snapshot,
    keyspace: KeyspaceId,
    ranges: &'o BTreeMap<Bytes, Option<Bytes>>,
    reverse: bool,
    limit: PageLimit,
    /// What is left behind the segment being read.
    rest: Option<KeyRange>,
    /// What is left of a stretch without deleted intervals.
    segment: Option<KeyRange>,
    read: VecDeque<(Bytes, Bytes)>,
}

impl Below<'_> {
    fn peek(&mut self) -> Result<Option<&(Bytes, Bytes)>> {
        while self.read.is_empty() {
            if self.segment.is_none() {
                match self.rest.take() {
                    Some(rest) => self.next_segment(rest),
                    None => return Ok(None),
                }
            }
            let Some(segment) = self.segment.take() else { continue };
            let page = self.base.page(self.keyspace, &segment, self.reverse, self.limit)?;
            self.segment = rest_after(segment, self.reverse, &page);
            self.read = page.entries.into();
            self.grow_limit();
        }
        Ok(self.read.front())
    }

    /// Whoever takes elements from one end of a range, one at a time, has deleted many there by the end of
    /// a drain.
    fn grow_limit(&mut self) {
        let PageLimit { entries, bytes } = self.limit;
        if entries < GROWN_PAGE.entries {
            let entries = entries.max(1).saturating_mul(2).min(GROWN_PAGE.entries);
            self.limit = PageLimit { entries, bytes: bytes.min(GROWN_PAGE.bytes) };
        }
    }

    /// Splits `rest` into the next stretch without deleted intervals and what is behind it.
    fn next_segment(&mut self, rest: KeyRange) {
        let KeyRange { mut start, mut end } = rest;
        if self.reverse {
            if let Some((hole_start, hole_end)) = last_start_before(self.ranges, end.as_ref())
                && hole_end.as_ref().is_none_or(|hole_end| Some(hole_end) >= end.as_ref())
                && (end.is_some() || hole_end.is_none())
            {
                end = Some(hole_start.clone());
            }
            let hole = last_start_before(self.ranges, end.as_ref());
            if let Some((hole_start, Some(hole_end))) = hole
                && *hole_end > start
            {
                self.rest = Some(KeyRange { start, end: Some(hole_start.clone()) });
                start = hole_end.clone();
            }
        } else {
            match hidden_by(self.ranges, &start) {
                Some(None) => return,
                Some(Some(hole_end)) => start = hole_end.clone(),
                None => {}
            }
            let next =
                self.ranges.range::<Bytes, _>((Bound::Excluded(&start), Bound::Unbounded)).next();
            if let Some((hole_start, hole_end)) = next
                && end.as_ref().is_none_or(|end| hole_start < end)
            {
                self.rest =
                    hole_end.clone().map(|hole_end| KeyRange { start: hole_end, end: end.clone() });
                end = Some(hole_start.clone());
            }
        }
        self.rest = self.rest.take().filter(|rest| !rest.is_empty());
        self.segment = Some(KeyRange { start, end }).filter(|segment| !segment.is_empty());
    }
}

type Ranges = BTreeMap<Bytes, Option<Bytes>>;

/// The end of the interval that `key` lies in, if it lies in one.
fn hidden_by<'r>(ranges: &'r Ranges, key: &[u8]) -> Option<&'r Option<Bytes>> {
    if ranges.is_empty() {
        return None;
    }
    let upto = (Bound::Unbounded, Bound::Included(key));
    let (_, end) = ranges.range::<[u8], _>(upto).next_back()?;
    end.as_ref().is_none_or(|end| key < &**end).then_some(end)
}

/// The last interval that starts at or before `end` (`None`: anywhere).
fn last_start_up_to(ranges: &Ranges, end: Option<&Bytes>) -> Option<(Bytes, Option<Bytes>)> {
    let upto = end.map_or(Bound::Unbounded, Bound::Included);
    let (start, end) = ranges.range::<Bytes, _>((Bound::Unbounded, upto)).next_back()?;
    Some((start.clone(), end.clone()))
}

/// The last interval that starts before `end` (`None`: anywhere).
fn last_start_before<'r>(
    ranges: &'r Ranges,
    end: Option<&Bytes>,
) -> Option<(&'r Bytes, &'r Option<Bytes>)> {
    let upto = end.map_or(Bound::Unbounded, Bound::Excluded);
    ranges.range::<Bytes, _>((Bound::Unbounded, upto)).next_back()
}

fn later_end(a: Option<Bytes>, b: Option<Bytes>) -> Option<Bytes> {
    Some(a?.max(b?))
}

fn writes_in<'w>(
    writes: &'w BTreeMap<Bytes, Option<Bytes>>,
    range: &KeyRange,
) -> std::collections::btree_map::Range<'w, Bytes, Option<Bytes>> {
    if range.is_empty() {
        // `BTreeMap::range` panics on a range that ends before it starts.
        return writes
            .range::<Bytes, _>((Bound::Excluded(&range.start), Bound::Included(&range.start)));
    }
    let end = range.end.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    writes.range::<Bytes, _>((Bound::Included(&range.start), end))
}
