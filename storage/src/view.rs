//! A view: one consistent snapshot, read inside a closure.

use bytes::Bytes;

use crate::engine::{Page, PageLimit, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::{Keyspace, KeyspaceId};
use crate::range::KeyRange;
use crate::read::Reader;

/// One consistent snapshot of the store: what [`Store::view`](crate::Store::view) and
/// [`Snapshot::view`](crate::Snapshot::view) give to their closure. Read it through [`Reader`].
pub struct View {
    snapshot: Box<dyn Snapshot>,
    store: u64,
}

impl View {
    pub(crate) fn new(snapshot: Box<dyn Snapshot>, store: u64) -> Self {
        Self { snapshot, store }
    }

    pub(crate) fn snapshot(&self) -> &dyn Snapshot {
        self.snapshot.as_ref()
    }
}

impl Reader for View {
    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>> {
        self.snapshot.get(own(keyspace, self.store)?, key)
    }

    fn get_many(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        get_many(self.snapshot(), own(keyspace, self.store)?, keys)
    }

    fn page(
        &self,
        keyspace: &Keyspace,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        page(self.snapshot(), own(keyspace, self.store)?, range, reverse, limit)
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
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
