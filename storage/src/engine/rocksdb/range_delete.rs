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

/// A batch that has come to this many bytes gets range tombstones only: the keys that a range covers
/// were never counted when the size of its operation was checked.
const POINT_DELETES_BATCH_BYTES_MAX: usize = 4 << 20;

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
    if batch.size_in_bytes() < POINT_DELETES_BATCH_BYTES_MAX
        && let Some(keys) = few_keys(db, family, start, end)?
    {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn many_ranges_of_long_keys_make_no_huge_batch() {
        const RANGES: usize = 40;
        let dir = tempfile::tempdir().unwrap();
        let mut options = ::rocksdb::Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = Db::open_cf(&options, dir.path(), ["a"]).unwrap();
        let family = db.cf_handle("a").unwrap();
        for range in 0..RANGES {
            for key in 0..4 {
                db.put_cf(&family, format!("{range:02}/{key}{}", "x".repeat(60_000)), "v").unwrap();
            }
        }
        let mut batch = WriteBatch::default();
        for range in 0..RANGES {
            let (start, end) = (format!("{range:02}/"), format!("{range:02}0"));
            add(&db, &family, &start.into(), Some(&end.into()), &mut batch).unwrap();
        }
        let bytes = batch.size_in_bytes();
        assert!(bytes < POINT_DELETES_BATCH_BYTES_MAX + (1 << 20), "{bytes}");
        db.write(batch).unwrap();
        assert_eq!(last_key(&db, &family, &Bytes::new()).unwrap(), None);
    }
}
