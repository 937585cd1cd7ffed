//! Changes that were applied without sync and are not in redb yet.
//!
//! A commit costs redb a copy of each page that it touches, and more for each table and each commit,
//! so that those of many small batches are better made as one. What is not synced dies with the process in
//! any case, in redb's memory as in this; so it can wait here, where point reads find it, until there
//! is enough of it, or until somebody wants a sync or a snapshot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::engine::Changes;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::overlay::{self, Overlay};
use crate::range::KeyRange;

/// So many changed keys are committed, and so many bytes of changes: few enough that nobody waits long for
/// that, be it the write lane or a reader that wants a snapshot.
const KEYS_MAX: usize = 4096;
const BYTES_MAX: usize = 4 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    layers: RwLock<Layers>,
    /// Held while the lower layer is committed.
    committing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Layers {
    /// Grows.
    upper: Overlay,
    /// Being committed, and still to be found here until it can be found there.
    lower: Option<Arc<Overlay>>,
    /// Why `lower` could not be committed: nothing can be any more.
    failed: Option<Error>,
}

impl Pending {
    /// Takes `changes` over and returns whether there is enough now to be committed. `None` if they cannot
    /// wait: they create a keyspace and put nothing into it.
    ///
    /// # Errors
    /// That of a commit that has failed.
    pub(super) fn add(&self, changes: &Changes) -> Result<Option<bool>> {
        let is_empty = |keyspace: &crate::engine::KeyspaceChanges| {
            keyspace.ranges.is_empty() && keyspace.writes.is_empty()
        };
        if changes.keyspaces.iter().any(is_empty) {
            return Ok(None);
        }
        let mut layers = self.write();
        layers.check()?;
        let upper = &mut layers.upper;
        for changes in &changes.keyspaces {
            for (start, end) in &changes.ranges {
                let range = KeyRange { start: start.clone(), end: end.clone() };
                upper.delete_range(changes.keyspace, range);
            }
            for (key, value) in &changes.writes {
                match value {
                    Some(value) => upper.put(changes.keyspace, key.clone(), value.clone()),
                    None => upper.delete(changes.keyspace, key.clone()),
                }
            }
        }
        upper.keep();
        let keys: usize =
            upper.changes().keyspaces.iter().map(|changes| changes.writes.len()).sum();
        Ok(Some(keys >= KEYS_MAX || upper.bytes() >= BYTES_MAX))
    }

    /// Has `commit` make what is pending visible in redb. When this returns, everything is that was
    /// pending when it was called.
    ///
    /// # Errors
    /// Those of `commit`, from then on.
    pub(super) fn commit(&self, commit: impl FnOnce(&Changes) -> Result<()>) -> Result<()> {
        {
            let layers = self.read();
            layers.check()?;
            if layers.lower.is_none() && layers.upper.changes().is_empty() {
                return Ok(());
            }
        }
        let _committing = self.committing();
        let lower = {
            let mut layers = self.write();
            layers.check()?;
            let lower = Arc::new(std::mem::take(&mut layers.upper));
            layers.lower = Some(Arc::clone(&lower));
            lower
        };
        let committed = if lower.changes().is_empty() { Ok(()) } else { commit(lower.changes()) };
        let mut layers = self.write();
        match &committed {
            Ok(()) => layers.lower = None,
            Err(error) => layers.failed = Some(error.clone()),
        }
        committed
    }

    /// What is pending for each of `keys`, at one moment: `None` if nothing is, so that redb knows.
    pub(super) fn get_many(&self, keys: &[(KeyspaceId, &[u8])]) -> Vec<Option<Option<Bytes>>> {
        let layers = self.read();
        let get = |(keyspace, key): &(KeyspaceId, &[u8])| {
            let of = |layer: &Overlay| match layer.get(*keyspace, key) {
                overlay::Pending::Value(value) => Some(Some(value.clone())),
                overlay::Pending::Deleted => Some(None),
                overlay::Pending::Unknown => None,
            };
            of(&layers.upper).or_else(|| of(layers.lower.as_deref()?))
        };
        keys.iter().map(get).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn committing(&self) -> MutexGuard<'_, ()> {
        self.committing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layers {
    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }
}
