//! A RocksDB snapshot, with the families of its time, as a [`Snapshot`].

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;

use ::rocksdb::{DBPinnableSlice, ReadOptions, SnapshotWithThreadMode};
use bytes::Bytes;
use self_cell::self_cell;

use super::Db;
use super::failure::failed;
use super::families::Families;
use crate::engine::shared::fill_page;
use crate::engine::{Page, PageLimit, Snapshot};
use crate::error::Result;
use crate::keyspace::{KeyspaceId, KeyspaceNames};
use crate::range::KeyRange;

/// Keys of one keyspace from which on one batched read is faster than single ones.
const BATCH_KEYS_MIN: usize = 3;

/// A page that may hold this many bytes and [`BULK_PAGE_ENTRIES_MIN`] entries is part of a long scan,
/// which must not push the blocks of point reads out of the cache.
const BULK_PAGE_BYTES_MIN: usize = 1 << 20;
const BULK_PAGE_ENTRIES_MIN: usize = 1024;

/// How far a long scan reads ahead, in bytes.
const BULK_READAHEAD_BYTES: usize = 256 << 10;

/// Dropping it releases the snapshot, which takes RocksDB's own lock: an engine call.
pub(super) struct RocksSnapshot {
    pinned: Pinned,
    families: Arc<Families>,
    names: Arc<KeyspaceNames>,
}

self_cell! {
    struct Pinned {
        owner: Arc<Db>,
        #[covariant]
        dependent: View,
    }
}

struct View<'db> {
    /// For point reads: names the snapshot, made once for all of them.
    options: ReadOptions,
    snapshot: SnapshotWithThreadMode<'db, Db>,
}

impl RocksSnapshot {
    pub(super) fn take(db: &Arc<Db>, families: Arc<Families>, names: Arc<KeyspaceNames>) -> Self {
        let pinned = Pinned::new(Arc::clone(db), |db| {
            let snapshot = db.snapshot();
            let mut options = ReadOptions::default();
            options.set_snapshot(&snapshot);
            View { options, snapshot }
        });
        Self { pinned, families, names }
    }

    fn points(&self) -> Points<'_> {
        let options = &self.pinned.borrow_dependent().options;
        Points { families: &self.families, names: &self.names, options }
    }
}

/// Point reads, as `options` say: of a snapshot, or of the newest state.
pub(super) struct Points<'e> {
    pub(super) families: &'e Families,
    pub(super) names: &'e KeyspaceNames,
    pub(super) options: &'e ReadOptions,
}

impl Points<'_> {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        self.families.with(self.names, keyspace, |db, family| {
            let Some(family) = family else { return Ok(None) };
            db.get_pinned_cf_opt(family, key, self.options).map(owned).map_err(failed)
        })
    }

    pub(super) fn get_many(&self, keys: &[(KeyspaceId, &[u8])]) -> Vec<Result<Option<Bytes>>> {
        let first = keys.first().map(|(keyspace, _)| *keyspace);
        if let Some(keyspace) = first.filter(|first| keys.iter().all(|(other, _)| other == first)) {
            return self.get_of_one(keyspace, keys.iter().map(|(_, key)| *key).collect());
        }
        let mut of_keyspace: BTreeMap<KeyspaceId, (Vec<usize>, Vec<&[u8]>)> = BTreeMap::new();
        for (position, (keyspace, key)) in keys.iter().enumerate() {
            let (positions, keys) = of_keyspace.entry(*keyspace).or_default();
            positions.push(position);
            keys.push(key);
        }
        let mut answers: Vec<Result<Option<Bytes>>> = vec![Ok(None); keys.len()];
        for (keyspace, (positions, keys)) in of_keyspace {
            let found = self.get_of_one(keyspace, keys);
            for (position, value) in positions.into_iter().zip(found) {
                if let Some(answer) = answers.get_mut(position) {
                    *answer = value;
                }
            }
        }
        answers
    }

    fn get_of_one(&self, keyspace: KeyspaceId, keys: Vec<&[u8]>) -> Vec<Result<Option<Bytes>>> {
        if keys.len() < BATCH_KEYS_MIN {
            keys.iter().map(|key| self.get(keyspace, key)).collect()
        } else {
            self.get_batch(keyspace, &keys)
        }
    }

    fn get_batch(&self, keyspace: KeyspaceId, keys: &[&[u8]]) -> Vec<Result<Option<Bytes>>> {
        let found = self.families.with(self.names, keyspace, |db, family| {
            let Some(family) = family else { return Ok(vec![Ok(None); keys.len()]) };
            let keys = keys.iter().copied();
            // Not sorted by us: RocksDB sorts pointers faster than we could.
            let values = db.batched_multi_get_cf_opt(family, keys, false, self.options);
            Ok(values.into_iter().map(|value| value.map(owned).map_err(failed)).collect())
        });
        found.unwrap_or_else(|error| vec![Err(error); keys.len()])
    }
}

impl Snapshot for RocksSnapshot {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        self.points().get(keyspace, key)
    }

    fn get_many(&self, keys: &[(KeyspaceId, &[u8])]) -> Vec<Result<Option<Bytes>>> {
        self.points().get_many(keys)
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        if range.is_empty() {
            return Ok(Page::default());
        }
        let snapshot = &self.pinned.borrow_dependent().snapshot;
        self.families.with(&self.names, keyspace, |_, family| {
            let Some(family) = family else { return Ok(Page::default()) };
            let mut cursor = snapshot.raw_iterator_cf_opt(family, scan_options(range, limit));
            let mut begun = false;
            let entries = iter::from_fn(|| {
                match (begun, reverse) {
                    (false, false) => cursor.seek_to_first(),
                    (false, true) => cursor.seek_to_last(),
                    (true, false) => cursor.next(),
                    (true, true) => cursor.prev(),
                }
                begun = true;
                match cursor.item() {
                    Some((key, value)) => {
                        Some(Ok((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))))
                    }
                    // An iterator that fails looks like one that is at its end.
                    None => cursor.status().err().map(|error| Err(failed(error))),
                }
            });
            fill_page(entries, limit)
        })
    }
}

fn scan_options(range: &KeyRange, limit: PageLimit) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(&*range.start);
    if let Some(end) = &range.end {
        options.set_iterate_upper_bound(&**end);
    }
    if limit.bytes >= BULK_PAGE_BYTES_MIN && limit.entries >= BULK_PAGE_ENTRIES_MIN {
        options.fill_cache(false);
        options.set_readahead_size(BULK_READAHEAD_BYTES);
    }
    options
}

/// Copied, since the slice pins a block of the cache for as long as it lives.
fn owned(value: Option<DBPinnableSlice<'_>>) -> Option<Bytes> {
    value.map(|value| Bytes::copy_from_slice(&value))
}
