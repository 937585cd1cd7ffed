//! Changing sorted sets.

use bytes::Bytes;

use super::super::collection::{Collection, ELEMENTS_PAGE};
use super::super::encoding::sorted_set as bytes_of;
use super::super::encoding::{Kind, MEMBER_BYTES_MAX, Record};
use super::super::error::{Error, Result};
use super::super::writer::{DbWriter, check_key};
use super::interval::Slice;
use super::segments::{self, Segments};
use super::{
    Interval, LISTPACK_MEMBER_BYTES_MAX, LISTPACK_MEMBERS_MAX, Scored, SortedSet, TRAIT_SKIPLIST,
    TRAIT_UNEVEN,
};

/// A sorted set that is being changed, with the key it belongs to.
#[derive(Debug)]
pub struct SortedSetEditor {
    key: Bytes,
    old: Option<Record>,
    set: SortedSet,
    segments: Segments,
}

impl SortedSetEditor {
    /// What is at `key`, or an empty set if nothing is.
    ///
    /// # Errors
    /// [`Error::WrongType`], [`Error::KeyTooLong`]; the storage's.
    pub fn open(db: &mut DbWriter<'_>, key: &Bytes) -> Result<Self> {
        check_key(key)?;
        let old = db.lookup_kind(key, Kind::SortedSet)?;
        Self::of(key, old)
    }

    /// What is at `key`; `None` if nothing is.
    ///
    /// # Errors
    /// [`Error::WrongType`]; the storage's.
    pub fn open_existing(db: &mut DbWriter<'_>, key: &Bytes) -> Result<Option<Self>> {
        let old = db.lookup_kind(key, Kind::SortedSet)?;
        old.map(|old| Self::of(key, Some(old))).transpose()
    }

    /// For the sorted set of `key` that `old` describes, or an empty one.
    ///
    /// # Errors
    /// The storage's, if the record is damaged.
    fn of(key: &Bytes, old: Option<Record>) -> Result<Self> {
        let collection = match &old {
            Some(record) => Collection::from_record(record)?,
            None => Collection::new(Kind::SortedSet),
        };
        let (set, segments) = (SortedSet { collection }, Segments::default());
        Ok(Self { key: key.clone(), old, set, segments })
    }

    /// The key.
    pub fn key(&self) -> &Bytes {
        &self.key
    }

    /// The set as it was opened and changed; what depends on ranks is true only before the first change.
    pub fn set(&self) -> &SortedSet {
        &self.set
    }

    /// The score of a member.
    ///
    /// # Errors
    /// The storage's.
    pub fn score(&self, db: &mut DbWriter<'_>, member: &[u8]) -> Result<Option<f64>> {
        self.set.score(&mut db.reader(), member)
    }

    /// Gives `member`, which had the score `old`, another; it becomes a member if it was none.
    ///
    /// # Errors
    /// [`Error::MemberTooLong`]; the storage's.
    pub fn put(
        &mut self,
        db: &mut DbWriter<'_>,
        member: &[u8],
        old: Option<f64>,
        score: f64,
    ) -> Result<()> {
        if member.len() > MEMBER_BYTES_MAX {
            return Err(Error::MemberTooLong);
        }
        let collection = &mut self.set.collection;
        let place = bytes_of::place_subkey(score, member);
        let old_place = old.map(|old| bytes_of::place_subkey(old, member));
        if let Some(old_place) = &old_place {
            collection.delete(db, old_place)?;
        }
        collection.put(db, &bytes_of::member_subkey(member), bytes_of::encode_score(score))?;
        collection.put(db, &place, Bytes::new())?;
        let place = bytes_of::place_of(&place);
        match &old_place {
            Some(old_place) => {
                let old_place = bytes_of::place_of(old_place);
                self.segments.moved(db, &mut self.set, old_place, place)
            }
            None => {
                collection.set_size(collection.size().saturating_add(1));
                if !is_listpack(collection.size(), member.len()) {
                    collection.add_traits(TRAIT_SKIPLIST);
                }
                self.segments.added(db, &mut self.set, place)
            }
        }
    }

    /// Removes `member`, which has this score.
    ///
    /// # Errors
    /// The storage's.
    pub fn remove(&mut self, db: &mut DbWriter<'_>, member: &[u8], score: f64) -> Result<()> {
        let place = bytes_of::place_subkey(score, member);
        let collection = &mut self.set.collection;
        collection.delete(db, &bytes_of::member_subkey(member))?;
        collection.delete(db, &place)?;
        collection.set_size(collection.size().saturating_sub(1));
        self.segments.removed(db, &mut self.set, bytes_of::place_of(&place))
    }

    /// Removes the members of `slice`, after showing each to `visit`, and returns how many they are. Call
    /// it before any other change.
    ///
    /// # Errors
    /// The storage's; those of `visit`.
    pub fn remove_slice(
        &mut self,
        db: &mut DbWriter<'_>,
        slice: &Slice,
        mut visit: impl FnMut(f64, &Bytes),
    ) -> Result<u64> {
        let mut count = 0;
        let Some(mut rest) = self.set.aim(&mut db.reader(), slice)? else { return Ok(0) };
        // What is left of nothing is swept as garbage, whatever its size.
        let all = self.has_only(db, slice)?;
        while let Some(page) = self.set.next_page(&mut db.reader(), &mut rest)? {
            for subkey in page {
                let (score, member) = bytes_of::split_place_subkey(&subkey)?;
                visit(score, &member);
                count += 1;
                if !all {
                    self.remove(db, &member, score)?;
                }
            }
        }
        if all {
            self.set.collection.set_size(0);
        }
        Ok(count)
    }

    /// Removes the members of `slice` and returns how many they are. Call it before any other change.
    ///
    /// # Errors
    /// The storage's.
    pub fn drop_slice(&mut self, db: &mut DbWriter<'_>, slice: &Slice) -> Result<u64> {
        if self.has_only(db, slice)? {
            let size = self.set.size();
            self.set.collection.set_size(0);
            return Ok(size);
        }
        self.remove_slice(db, slice, |_, _| {})
    }

    /// Writes what there is now; an empty set is no value, so that the key is gone. Returns whether it is
    /// there.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`]; the storage's.
    pub fn save(mut self, db: &mut DbWriter<'_>) -> Result<bool> {
        if self.set.size() > 0 {
            self.segments.write(db, &mut self.set)?;
        }
        self.set.collection.save(db, &self.key, self.old.as_ref())
    }

    /// Whether every member is in `slice`. Small sets are not asked: they are quickly walked over.
    fn has_only(&self, db: &mut DbWriter<'_>, slice: &Slice) -> Result<bool> {
        let size = self.set.size();
        if slice.offset > 0 || slice.limit < size || size <= ELEMENTS_PAGE.entries as u64 {
            return Ok(false);
        }
        let mut db = db.reader();
        let range = self.set.span(&mut db, &slice.interval)?.range();
        for reverse in [false, true] {
            let mut is_inside = false;
            let end = Slice { interval: Interval::All, reverse, offset: 0, limit: 1 };
            let Some(mut rest) = self.set.aim(&mut db, &end)? else { return Ok(false) };
            for subkey in self.set.next_page(&mut db, &mut rest)?.unwrap_or_default() {
                is_inside = range.contains(&subkey);
            }
            if !is_inside {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Stores a set of `members`, each of which is there once, in place of whatever is at `key`; without any,
/// the key is gone. They are in order of score and name. Returns whether something was at the key.
///
/// # Errors
/// [`Error::KeyTooLong`]; the storage's.
pub fn store(db: &mut DbWriter<'_>, key: &Bytes, members: &[Scored]) -> Result<bool> {
    check_key(key)?;
    let old = db.lookup(key)?;
    let existed = old.is_some();
    let mut editor = SortedSetEditor::of(key, None)?;
    editor.old = old;
    let size = members.len() as u64;
    let collection = &mut editor.set.collection;
    let len_max = segments::len_max(size);
    // Room to grow in each.
    let wanted = if size < len_max { size } else { len_max / 4 * 3 };
    let mut starts = vec![(Bytes::new(), 0)];
    let mut before = Vec::new();
    for (member, score) in members {
        let place = bytes_of::place_subkey(*score, member);
        collection.put(db, &bytes_of::member_subkey(member), bytes_of::encode_score(*score))?;
        collection.put(db, &place, Bytes::new())?;
        if !is_listpack(size, member.len()) {
            collection.add_traits(TRAIT_SKIPLIST);
        }
        if let Some((_, count)) = starts.last_mut() {
            if *count < wanted {
                *count += 1;
            } else if let Some(start) =
                bytes_of::segment_start(bytes_of::place_of(&before), bytes_of::place_of(&place))
            {
                let start = Bytes::copy_from_slice(start);
                starts.push((start, 1));
            } else {
                collection.add_traits(TRAIT_UNEVEN);
                *count += 1;
            }
        }
        before = place;
    }
    collection.set_size(size);
    if !collection.is_packed() {
        editor.segments.build(&mut editor.set, &starts);
    }
    editor.save(db)?;
    Ok(existed)
}

fn is_listpack(size: u64, member_len: usize) -> bool {
    size <= LISTPACK_MEMBERS_MAX && member_len <= LISTPACK_MEMBER_BYTES_MAX
}
