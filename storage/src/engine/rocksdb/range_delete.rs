//! Deleting a range: by its keys while they are few, else by a range tombstone.
//!
//! Each range tombstone costs every later read of its family a little until it is compacted away, so
//! that ten thousand small ones slow a store down for good. A few point deletes do not.

use ::rocksdb::{ErrorKind, ReadOptions, WriteBatch};
use bytes::Bytes;

use super::Db;
use super::failure::failed;
use super::families::Family;
use crate::error::Result;

/// Ranges with more keys than this get a range tombstone.
const POINT_DELETES_MAX: usize = 64;

/// Deleted or overwritten keys that the search for live ones steps over before it gives up.
const SKIPPED_KEYS_MAX: u64 = 4096;

/// Adds to `batch` what deletes all keys from `start` up to and without `end`.
///
/// Exact because nobody else writes meanwhile: the keys found are those that are there when the batch
/// is applied.
pub(super) fn add(
    db: &Db,
    family: &Family<'_>,
    start: &Bytes,
    end: Option<&Bytes>,
    batch: &mut WriteBatch,
) -> Result<()> {
    if let Some(keys) = few_keys(db, family, start, end)? {
        for key in keys {
            batch.delete_cf(family, key);
        }
        return Ok(());
    }
    if let Some(end) = end {
        batch.delete_range_cf(family, start, end);
    } else if let Some(last) = last_key(db, family, start)? {
        // RocksDB has no range without end, and no key is known to be after all others.
        batch.delete_range_cf(family, start, &last);
        batch.delete_cf(family, last);
    }
    Ok(())
}

/// The keys of the range, or `None` when they are many or hard to find.
fn few_keys(
    db: &Db,
    family: &Family<'_>,
    start: &Bytes,
    end: Option<&Bytes>,
) -> Result<Option<Vec<Bytes>>> {
    let mut options = bounded(start, end);
    options.set_max_skippable_internal_keys(SKIPPED_KEYS_MAX);
    let mut cursor = db.raw_iterator_cf_opt(family, options);
    let mut keys = Vec::new();
    cursor.seek_to_first();
    while let Some(key) = cursor.key() {
        if keys.len() == POINT_DELETES_MAX {
            return Ok(None);
        }
        keys.push(Bytes::copy_from_slice(key));
        cursor.next();
    }
    match cursor.status() {
        Ok(()) => Ok(Some(keys)),
        Err(error) if error.kind() == ErrorKind::Incomplete => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn last_key(db: &Db, family: &Family<'_>, start: &Bytes) -> Result<Option<Bytes>> {
    let mut cursor = db.raw_iterator_cf_opt(family, bounded(start, None));
    cursor.seek_to_last();
    let last = cursor.key().map(Bytes::copy_from_slice);
    cursor.status().map_err(failed)?;
    Ok(last)
}

fn bounded(start: &Bytes, end: Option<&Bytes>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(&**start);
    if let Some(end) = end {
        options.set_iterate_upper_bound(&**end);
    }
    options
}
