//! A view: one consistent snapshot, read inside a closure.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache::{Moment, RecordCache};
use crate::engine::{Page, PageLimit, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::{Keyspace, KeyspaceId};
use crate::range::KeyRange;
use crate::read::Reader;
use crate::shared::Shared;

/// One consistent snapshot of the store: what [`Store::view`](crate::Store::view) and
/// [`Snapshot::view`](crate::Snapshot::view) give to their closure. Read it through [`Reader`].
pub struct View {
    snapshot: Box<dyn Snapshot>,
    store: u64,
    /// Where to look first, and keep what was read, with a moment before the snapshot was taken.
    cache: Option<(Arc<Shared>, Moment)>,
}

impl View {
    pub(crate) fn new(
        snapshot: Box<dyn Snapshot>,
        store: u64,
        cache: Option<(Arc<Shared>, Moment)>,
    ) -> Self {
        Self { snapshot, store, cache }
    }

    fn cache(&self) -> Option<(&RecordCache, Moment)> {
        let (shared, moment) = self.cache.as_ref()?;
        Some((shared.cache.as_ref()?, *moment))
    }
}

impl Reader for View {
    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let keyspace = own(keyspace, self.store)?;
        let Some((cache, moment)) = self.cache() else { return self.snapshot.get(keyspace, key) };
        if let Some(value) = cache.look_again(moment, keyspace, key) {
            return Ok(value);
        }
        let value = self.snapshot.get(keyspace, key)?;
        cache.keep(moment, keyspace, key, value.as_ref());
        Ok(value)
    }

    fn get_many(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let keyspace = own(keyspace, self.store)?;
        let read = |keys: &[&[u8]]| get_many(self.snapshot.as_ref(), keyspace, keys);
        let Some((cache, moment)) = self.cache() else { return read(keys) };
        let known = |key: &[u8]| cache.look_again(moment, keyspace, key);
        get_unknown(keys, known, |unknown| {
            let values = read(unknown)?;
            for (key, value) in unknown.iter().zip(&values) {
                cache.keep(moment, keyspace, key, value.as_ref());
            }
            Ok(values)
        })
    }

    fn page(
        &self,
        keyspace: &Keyspace,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        page(self.snapshot.as_ref(), own(keyspace, self.store)?, range, reverse, limit)
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// Lookups that one closure over the record cache may make: it runs on the async thread, which others
/// wait for.
const LOOKUPS_MAX: u32 = 256;

/// What the record cache holds, as one consistent state: what [`Store::cached`](crate::Store::cached)
/// gives to its closure. A read of anything else fails with [`Error::NotCached`]; every page is such a read, and so is what goes beyond 256 keys.
pub struct Cached<'c> {
    cache: &'c RecordCache,
    moment: Moment,
    store: u64,
    missed: Cell<bool>,
    lookups: Cell<u32>,
}

impl<'c> Cached<'c> {
    pub(crate) fn new(cache: &'c RecordCache, store: u64) -> Self {
        let (missed, lookups) = (Cell::new(false), Cell::new(0));
        Self { cache, moment: cache.now(), store, missed, lookups }
    }

    /// Whether something has been read that is not there: what was computed since is void.
    pub fn has_missed(&self) -> bool {
        self.missed.get()
    }

    /// Whether it was not for what is there, but for how much was read: another closure may read on.
    pub fn is_exhausted(&self) -> bool {
        self.lookups.get() > LOOKUPS_MAX
    }

    fn miss<T>(&self) -> Result<T> {
        self.missed.set(true);
        Err(Error::NotCached)
    }
}

impl Reader for Cached<'_> {
    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        let keyspace = own(keyspace, self.store)?;
        self.lookups.set(self.lookups.get() + 1);
        if self.is_exhausted() {
            return self.miss();
        }
        match self.cache.look(self.moment, keyspace, key) {
            Some(value) => Ok(value),
            None => self.miss(),
        }
    }

    fn get_many(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        own(keyspace, self.store)?;
        keys.iter().map(|key| self.get(keyspace, key)).collect()
    }

    fn page(&self, _: &Keyspace, _: &KeyRange, _: bool, _: PageLimit) -> Result<Page> {
        self.miss()
    }
}

impl std::fmt::Debug for Cached<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").field("has_missed", &self.missed).finish_non_exhaustive()
    }
}

/// `keyspace`'s number, if it belongs to `store`: another store's would name another map here.
pub(crate) fn own(keyspace: &Keyspace, store: u64) -> Result<KeyspaceId> {
    if keyspace.store == store {
        Ok(keyspace.id)
    } else {
        Err(Error::InvalidArgument(format!("{keyspace:?} belongs to another store")))
    }
}

pub(crate) fn get_many(
    snapshot: &dyn Snapshot,
    keyspace: KeyspaceId,
    keys: &[&[u8]],
) -> Result<Vec<Option<Bytes>>> {
    let keys: Vec<_> = keys.iter().map(|key| (keyspace, *key)).collect();
    snapshot.get_many(&keys).into_iter().collect()
}

/// The values of `keys`, those that are not `known` from `read`, in one go.
pub(crate) fn get_unknown(
    keys: &[&[u8]],
    known: impl Fn(&[u8]) -> Option<Option<Bytes>>,
    read: impl FnOnce(&[&[u8]]) -> Result<Vec<Option<Bytes>>>,
) -> Result<Vec<Option<Bytes>>> {
    let mut places = Vec::new();
    let mut unknown = Vec::new();
    let mut values = Vec::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let value = known(key);
        if value.is_none() {
            places.push(place);
            unknown.push(*key);
        }
        values.push(value.flatten());
    }
    if !unknown.is_empty() {
        for (place, value) in places.into_iter().zip(read(&unknown)?) {
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        }
    }
    Ok(values)
}

/// A page of the snapshot; an empty range never reaches the engine.
pub(crate) fn page(
    snapshot: &dyn Snapshot,
    keyspace: KeyspaceId,
    range: &KeyRange,
    reverse: bool,
    limit: PageLimit,
) -> Result<Page> {
    if range.is_empty() {
        return Ok(Page::default());
    }
    snapshot.page(keyspace, range, reverse, limit)
}
