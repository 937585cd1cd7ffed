//! Lists: a sequence of elements that grows and shrinks at both ends.
//!
//! Each element is under its position, and the positions of a list are consecutive, so that an index leads
//! straight to its element. At the ends an element is added and removed by its position, which is known: no
//! scan, however many have come and gone before it. In the middle, those on the shorter side of the place
//! move: see [`Change`].

use std::ops::Range;

use bytes::Bytes;

use super::collection::Collection;
use super::encoding::Kind;
use super::encoding::list::{FIRST_POSITION, position_subkey, positions_range, split_position};
use super::error::{Error, Result};
use super::reader::{DbReader, expect_kind};
use super::writer::DbWriter;

/// Bytes of elements, with what each costs besides, that one change in the middle may move. It is one
/// transaction, which is in memory until it is committed.
pub const MOVED_BYTES_MAX: usize = 256 << 20;

/// What an element that moves costs in memory besides its value, roughly.
const MOVED_OVERHEAD_BYTES: usize = 128;

/// Up to so many neighbours are read each by itself, which the record cache can answer.
const READ_ONE_BY_ONE_MAX: u64 = 128;

/// Up to so many are removed each by itself, which leaves the others in the record cache.
const DELETED_ONE_BY_ONE_MAX: u64 = 4096;

/// Where more than that go, as many as this, and [so much of them](STORED_ANEW_BYTES_MAX), are rather stored
/// anew, and the sweep removes all that was.
const STORED_ANEW_MAX: u64 = 1024;

/// See [`STORED_ANEW_MAX`].
const STORED_ANEW_BYTES_MAX: usize = 1 << 20;

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Where index 0 is.
    Left,
    /// Where index -1 is.
    Right,
}

/// The list at `key`; counts neither a hit nor a miss.
///
/// # Errors
/// [`Error::WrongType`]; the storage's.
pub fn lookup(db: &mut DbReader<'_>, key: &[u8]) -> Result<Option<Collection>> {
    let record = expect_kind(db.lookup(key)?, Kind::List)?;
    record.as_ref().map(Collection::from_record).transpose()
}

/// The element at `index`, if there is one.
///
/// # Errors
/// The storage's.
pub fn get(list: &Collection, db: &mut DbReader<'_>, index: u64) -> Result<Option<Bytes>> {
    if index >= list.size() {
        return Ok(None);
    }
    element(list, db, positions(list)?.start + index).map(Some)
}

/// Calls `visit` with index and value of every element of `indices`, which is cut to the list's size, in order
/// or in reverse, until it returns `false`.
///
/// # Errors
/// The storage's.
pub fn for_each(
    list: &Collection,
    db: &mut DbReader<'_>,
    indices: Range<u64>,
    reverse: bool,
    mut visit: impl FnMut(u64, Bytes) -> Result<bool>,
) -> Result<()> {
    let first = positions(list)?.start;
    let end = indices.end.min(list.size());
    let indices = indices.start.min(end)..end;
    let (len, positions) = (end - indices.start, first + indices.start..first + end);
    if len == 0 {
        return Ok(());
    }
    let (mut visited, mut goes_on) = (0, true);
    let mut visit_next = |position: u64, value| {
        let offset = if reverse { (len - 1).saturating_sub(visited) } else { visited };
        if position != positions.start + offset {
            return Err(gap());
        }
        visited += 1;
        goes_on = visit(indices.start + offset, value)?;
        Ok(goes_on)
    };
    if len <= READ_ONE_BY_ONE_MAX && !list.is_packed() {
        let subkeys: Vec<_> = positions.clone().map(position_subkey).collect();
        let values = list.get_many(db, &subkeys)?;
        let mut found: Vec<_> = positions.clone().zip(values).collect();
        if reverse {
            found.reverse();
        }
        for (position, value) in found {
            if !visit_next(position, value.ok_or_else(gap)?)? {
                break;
            }
        }
    } else {
        list.for_each(db, positions_range(&positions), reverse, |subkey, value| {
            visit_next(split_position(&subkey)?, value)
        })?;
    }
    if goes_on && visited < len { Err(gap()) } else { Ok(()) }
}

/// Adds `value` at one end.
///
/// # Errors
/// The storage's.
pub fn push(list: &mut Collection, db: &mut DbWriter<'_>, end: End, value: &Bytes) -> Result<()> {
    let Range { start, end: behind } = positions(list)?;
    let (place, position) = match end {
        End::Left => {
            let place = start.checked_sub(1).ok_or_else(no_room)?;
            (place, place)
        }
        End::Right if behind == u64::MAX => return Err(no_room()),
        End::Right => (start, behind),
    };
    list.put(db, &position_subkey(position), value.clone())?;
    list.set_place(place);
    list.set_size(list.size() + 1);
    Ok(())
}

/// Removes the element at one end and returns it; `None`: the list is empty.
///
/// # Errors
/// The storage's.
pub fn pop(list: &mut Collection, db: &mut DbWriter<'_>, end: End) -> Result<Option<Bytes>> {
    let positions = positions(list)?;
    if positions.is_empty() {
        return Ok(None);
    }
    let position = match end {
        End::Left => positions.start,
        End::Right => positions.end - 1,
    };
    let value = element(list, &mut db.reader(), position)?;
    list.delete(db, &position_subkey(position))?;
    keep(
        list,
        match end {
            End::Left => positions.start + 1..positions.end,
            End::Right => positions.start..positions.end - 1,
        },
    );
    if list.size() == 0 {
        list.set_bare();
    }
    Ok(Some(value))
}

/// Sets the element at `index`; `false`: there is none.
///
/// # Errors
/// The storage's.
pub fn set(
    list: &mut Collection,
    db: &mut DbWriter<'_>,
    index: u64,
    value: &Bytes,
) -> Result<bool> {
    if index >= list.size() {
        return Ok(false);
    }
    let position = positions(list)?.start + index;
    list.put(db, &position_subkey(position), value.clone())?;
    Ok(true)
}

/// Removes all but the elements of `indices`, which is cut to the list's size. The cost is that of what is
/// removed, or of what is left if that is much less: then the sweep does the rest.
///
/// # Errors
/// The storage's.
pub fn trim(list: &mut Collection, db: &mut DbWriter<'_>, indices: Range<u64>) -> Result<()> {
    let positions = positions(list)?;
    let end = indices.end.min(list.size());
    let indices = indices.start.min(end)..end;
    let kept = positions.start + indices.start..positions.start + indices.end;
    let kept_len = indices.end - indices.start;
    let are_many = list.size() - kept_len > DELETED_ONE_BY_ONE_MAX;
    if are_many && kept_len <= STORED_ANEW_MAX && store_anew(list, db, indices)? {
        return Ok(());
    }
    delete(list, db, positions.start..kept.start)?;
    delete(list, db, kept.end..positions.end)?;
    keep(list, kept);
    if kept_len == 0 {
        list.set_bare();
    }
    Ok(())
}

/// Makes a new list of the elements of `indices`; `false`: they are too large.
fn store_anew(list: &mut Collection, db: &mut DbWriter<'_>, indices: Range<u64>) -> Result<bool> {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for_each(list, &mut db.reader(), indices, false, |_, value| {
        bytes += value.len();
        kept.push(value);
        Ok(bytes <= STORED_ANEW_BYTES_MAX)
    })?;
    if bytes > STORED_ANEW_BYTES_MAX {
        return Ok(false);
    }
    let mut anew = Collection::new(Kind::List);
    anew.set_expires_at_ms(list.expires_at_ms());
    for value in &kept {
        push(&mut anew, db, End::Right, value)?;
    }
    *list = anew;
    Ok(true)
}

/// A change in the middle of a list, worked out before anything is written: which elements move to which
/// positions, and where the list begins and ends then. One stretch of the list stays where it is, as long a
/// one as possible.
#[derive(Debug, Clone, Default)]
pub struct Change {
    moved: Vec<(u64, Bytes)>,
    moved_bytes: usize,
    before: Range<u64>,
    after: Range<u64>,
}

impl Change {
    /// Inserts `value` before the element at `index`, or at the end if that is the list's size.
    ///
    /// # Errors
    /// [`Error::TooManyMoved`]; the storage's.
    pub fn insert(
        list: &Collection,
        db: &mut DbReader<'_>,
        index: u64,
        value: &Bytes,
    ) -> Result<Self> {
        let before = positions(list)?;
        let mut change = Self { before: before.clone(), ..Self::default() };
        let first = before.start;
        if index <= list.size() / 2 {
            let start = first.checked_sub(1).ok_or_else(no_room)?;
            for_each(list, db, 0..index, false, |index, value| change.place(start + index, value))?;
            change.place(start + index, value.clone())?;
            change.after = start..before.end;
        } else {
            let end = before.end.checked_add(1).ok_or_else(no_room)?;
            for_each(list, db, index..list.size(), true, |index, value| {
                change.place(first + index + 1, value)
            })?;
            change.place(first + index, value.clone())?;
            change.after = first..end;
        }
        Ok(change)
    }

    /// Removes the elements at `indices`, which are in ascending order.
    ///
    /// # Errors
    /// [`Error::TooManyMoved`]; the storage's.
    pub fn remove(list: &Collection, db: &mut DbReader<'_>, indices: &[u64]) -> Result<Self> {
        let before = positions(list)?;
        let first = before.start;
        let mut change = Self { before: before.clone(), ..Self::default() };
        let staying = longest_stretch(indices, list.size());
        let is_removed = |index: u64| indices.binary_search(&index).is_ok();
        let mut start = first + staying.start;
        for_each(list, db, 0..staying.start, true, |index, value| {
            if is_removed(index) {
                return Ok(true);
            }
            start -= 1;
            change.place(start, value)
        })?;
        let mut end = first + staying.end;
        for_each(list, db, staying.end..list.size(), false, |index, value| {
            if is_removed(index) {
                return Ok(true);
            }
            end += 1;
            change.place(end - 1, value)
        })?;
        change.after = start..end;
        Ok(change)
    }

    /// Makes the change to the list that it was worked out for, which has not changed since.
    ///
    /// # Errors
    /// The storage's.
    pub fn apply(self, list: &mut Collection, db: &mut DbWriter<'_>) -> Result<()> {
        let Self { moved, before, after, .. } = self;
        if positions(list)? != before {
            return Err(corrupted("a list is not where it was"));
        }
        if after.is_empty() {
            return trim(list, db, 0..0);
        }
        delete(list, db, before.start..after.start)?;
        delete(list, db, after.end..before.end)?;
        if list.is_packed() {
            // Else what moves would for a moment be there twice, and might be too much for a record.
            for (position, _) in &moved {
                list.delete(db, &position_subkey(*position))?;
            }
        }
        for (position, value) in moved {
            list.put(db, &position_subkey(position), value)?;
        }
        keep(list, after);
        Ok(())
    }

    fn place(&mut self, position: u64, value: Bytes) -> Result<bool> {
        self.moved_bytes += value.len() + MOVED_OVERHEAD_BYTES;
        if self.moved_bytes > MOVED_BYTES_MAX {
            return Err(Error::TooManyMoved);
        }
        self.moved.push((position, value));
        Ok(true)
    }
}

/// The longest stretch below `size` in which none of `indices` is, which are in ascending order.
fn longest_stretch(indices: &[u64], size: u64) -> Range<u64> {
    let mut longest = 0..0;
    let mut start = 0;
    for end in indices.iter().copied().chain([size]) {
        let stretch = start..end;
        if end.saturating_sub(start) > longest.end - longest.start {
            longest = stretch;
        }
        start = end.saturating_add(1);
    }
    longest
}

/// The positions of its elements.
fn positions(list: &Collection) -> Result<Range<u64>> {
    if list.size() == 0 {
        return Ok(FIRST_POSITION..FIRST_POSITION);
    }
    let (start, size) = (list.place(), list.size());
    let end = start.checked_add(size);
    end.map(|end| start..end).ok_or_else(|| corrupted("a list goes beyond the last position"))
}

/// Says that its elements are those at `positions`.
fn keep(list: &mut Collection, positions: Range<u64>) {
    list.set_place(positions.start);
    list.set_size(positions.end.saturating_sub(positions.start));
}

fn element(list: &Collection, db: &mut DbReader<'_>, position: u64) -> Result<Bytes> {
    list.get(db, &position_subkey(position))?.ok_or_else(gap)
}

fn delete(list: &mut Collection, db: &mut DbWriter<'_>, positions: Range<u64>) -> Result<()> {
    if positions.end.saturating_sub(positions.start) > DELETED_ONE_BY_ONE_MAX {
        return list.delete_range(db, &positions_range(&positions));
    }
    for position in positions {
        list.delete(db, &position_subkey(position))?;
    }
    Ok(())
}

fn gap() -> Error {
    corrupted("a list has a gap")
}

fn no_room() -> Error {
    corrupted("a list has no position left")
}

fn corrupted(why: &'static str) -> Error {
    Error::Storage(pontoon_storage::Error::corrupted(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stretch_stays() {
        for (indices, size, expected) in [
            (&[][..], 0, 0..0),
            (&[], 5, 0..5),
            (&[0], 5, 1..5),
            (&[4], 5, 0..4),
            (&[1], 5, 2..5),
            (&[3], 5, 0..3),
            (&[1, 6], 8, 2..6),
            (&[0, 1, 2], 3, 0..0),
            (&[0, 2, 4], 5, 1..2),
        ] {
            assert_eq!(longest_stretch(indices, size), expected, "{indices:?} of {size}");
        }
    }
}
