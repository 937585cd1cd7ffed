//! Changes that were applied without sync and are not in redb yet.
//!
//! A commit costs redb a copy of each page that it touches, and more for each table and each commit,
//! so that those of many small batches are better made as one. What is not synced dies with the process in
//! any case, in redb's memory as in this; so it can wait here, where point reads find it, until there
//! is enough of it, or until somebody wants a sync or a snapshot.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use super::failure::guarded;
use crate::engine::{Changes, KeyspaceChanges};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::overlay::{self, Overlay};

/// So many changed keys are committed, and so many bytes of changes: few enough that nobody waits long for
/// that, be it the write lane or a reader that wants a snapshot. Fewer in tests, which else would not see it.
const KEYS_MAX: usize = if cfg!(test) { 64 } else { 4096 };
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
    /// wait: they create a keyspace and put nothing into it, or delete ranges, which takes redb long if there
    /// is much in them, and must not fall to a reader.
    ///
    /// # Errors
    /// That of a commit that has failed.
    pub(super) fn add(&self, changes: &Changes) -> Result<Option<bool>> {
        let can_wait =
            |keyspace: &KeyspaceChanges| keyspace.ranges.is_empty() && !keyspace.writes.is_empty();
        if !changes.keyspaces.iter().all(can_wait) {
            return Ok(None);
        }
        let mut layers = self.write();
        layers.check()?;
        let upper = &mut layers.upper;
        for changes in &changes.keyspaces {
            for (key, value) in &changes.writes {
                // Copies: these may be small parts of large buffers, which would be kept as long.
                let key = Bytes::copy_from_slice(key);
                match value {
                    Some(value) => {
                        upper.put(changes.keyspace, key, Bytes::copy_from_slice(value));
                    }
                    None => upper.delete(changes.keyspace, key),
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
        let committed = guarded(|| match lower.changes() {
            changes if changes.is_empty() => Ok(()),
            changes => commit(changes),
        });
        let mut layers = self.write();
        match &committed {
            Ok(()) => layers.lower = None,
            Err(error) => {
                // Whoever commits next, the write lane at its next write or sync, fails and so latches.
                tracing::error!(%error, "a commit failed; nothing more is written until reopened");
                layers.failed = Some(error.clone());
            }
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::keyspace::KeyspaceNames;

    fn keyspace() -> KeyspaceId {
        KeyspaceNames::new(1, 4).intern("a").unwrap().id
    }

    fn put(key: &'static str, value: &'static str) -> Changes {
        let writes = [(key.into(), Some(value.into()))].into();
        let ranges = [].into();
        Changes { keyspaces: vec![KeyspaceChanges { keyspace: keyspace(), ranges, writes }] }
    }

    fn get(pending: &Pending, key: &str) -> Option<Option<Bytes>> {
        pending.get_many(&[(keyspace(), key.as_bytes())]).pop().unwrap()
    }

    #[test]
    fn what_is_being_committed_is_found_until_it_is() {
        let pending = Pending::default();
        assert_eq!(pending.add(&put("k", "1")).unwrap(), Some(false));
        pending.add(&put("k", "2")).unwrap();
        let commit = |changes: &Changes| {
            assert_eq!(changes, &put("k", "2"), "the older value need not be written");
            assert_eq!(get(&pending, "k"), Some(Some("2".into())));
            pending.add(&put("k", "3")).unwrap();
            assert_eq!(get(&pending, "k"), Some(Some("3".into())));
            Ok(())
        };
        pending.commit(commit).unwrap();
        assert_eq!(get(&pending, "k"), Some(Some("3".into())), "it came later");
        let commit = |changes: &Changes| {
            assert_eq!(changes, &put("k", "3"));
            Ok(())
        };
        pending.commit(commit).unwrap();
        assert_eq!(get(&pending, "k"), None);
        pending.commit(|_| panic!("there is nothing to commit")).unwrap();
    }

    #[test]
    fn a_failed_commit_is_the_last_and_loses_nothing_that_was_visible() {
        let pending = Pending::default();
        pending.add(&put("k", "1")).unwrap();
        let failed = RefCell::new(0);
        let commit = |_: &Changes| {
            *failed.borrow_mut() += 1;
            Err(Error::engine("the disk is gone"))
        };
        pending.commit(commit).unwrap_err();
        pending.commit(commit).unwrap_err();
        assert_eq!(*failed.borrow(), 1, "it is not tried again");
        pending.add(&put("k", "2")).unwrap_err();
        assert_eq!(get(&pending, "k"), Some(Some("1".into())));
    }

    #[test]
    fn a_panic_is_a_failed_commit() {
        let pending = Pending::default();
        pending.add(&put("k", "1")).unwrap();
        pending.commit(|_| panic!("on purpose")).unwrap_err();
        pending.add(&put("k", "2")).unwrap_err();
        pending.commit(|_| Ok(())).unwrap_err();
        assert_eq!(get(&pending, "k"), Some(Some("1".into())));
    }

    #[test]
    fn what_creates_a_keyspace_alone_or_deletes_a_range_cannot_wait() {
        let pending = Pending::default();
        let mut changes = put("k", "1");
        changes.keyspaces.iter_mut().for_each(|changes| changes.writes.clear());
        assert_eq!(pending.add(&changes).unwrap(), None);
        let mut changes = put("k", "1");
        for changes in &mut changes.keyspaces {
            changes.ranges.insert("a".into(), None);
        }
        assert_eq!(pending.add(&changes).unwrap(), None);
        assert_eq!(get(&pending, "k"), None);
    }
}
