//! Changes that were applied without sync and are not in redb yet.
//!
//! A commit costs redb a copy of each page that it touches, and more for each table and each commit,
//! so that those of many small batches are better made together, in the order of their keys. What is not synced
//! dies with the process in any case, in redb's memory as in this; so it waits here, where point reads find it and
//! snapshots take it along, until there is enough of it, or until somebody wants a sync. Then it is committed a
//! little at a time, with each batch that comes, so that none of them waits long.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
};

use bytes::Bytes;

use super::failure::guarded;
use crate::engine::{Changes, KeyspaceChanges, Page, PageLimit, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::overlay::Overlay;
use crate::range::KeyRange;

#[cfg(test)]
mod tests;

/// So many changed keys begin to be committed, and so many bytes of changes. A sync waits for twice as much
/// at the most. Fewer in tests, which else would not see it.
const KEYS_MAX: usize = if cfg!(test) { 64 } else { 16_384 };
const BYTES_MAX: usize = 8 << 20;

/// With each batch that comes, twice its keys and so many more are committed: there is an end to it, and no
/// batch waits long.
const STEP_KEYS: usize = if cfg!(test) { 4 } else { 64 };

/// So many layers begin to be committed: there is one for each snapshot that is kept while others are taken, and
/// reads go through all of them.
const LAYERS_MAX: usize = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pending {
    layers: RwLock<Layers>,
    /// Held while something is committed.
    committing: Mutex<Option<Lower>>,
}

#[derive(Debug, Default)]
struct Layers {
    /// Grows.
    upper: Overlay,
    /// Shared with snapshots, or being committed and still to be found here until all of it can be found there.
    /// The newest is the last.
    frozen: Vec<Arc<Overlay>>,
    /// Why they could not be committed: nothing can be any more.
    failed: Option<Error>,
}

/// The oldest of the frozen layers, on its way into redb.
#[derive(Debug)]
struct Lower {
    layer: Arc<Overlay>,
    /// Which of its keyspaces comes next, and behind which key.
    keyspace: usize,
    after: Option<Bytes>,
}

/// Whether `changes` can wait. They cannot if they create a keyspace and put nothing into it, or delete ranges,
/// which may take long.
pub(super) fn can_wait(changes: &Changes) -> bool {
    let can_wait =
        |keyspace: &KeyspaceChanges| keyspace.ranges.is_empty() && !keyspace.writes.is_empty();
    changes.keyspaces.iter().all(can_wait)
}

impl Pending {
    /// Takes over `changes`, which [can wait](can_wait), and has `commit` make some of what is pending visible in
    /// redb, if there is enough of it. For one thread at a time.
    ///
    /// # Errors
    /// Those of `commit`, from then on.
    pub(super) fn add(
        &self,
        changes: &Changes,
        mut commit: impl FnMut(&Changes) -> Result<()>,
    ) -> Result<()> {
        // Unless somebody else commits all of it.
        let lower = match self.committing.try_lock() {
            Ok(lower) => Some(lower),
            Err(TryLockError::Poisoned(lower)) => Some(lower.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut keys = 0;
        let is_enough = {
            let mut layers = self.write();
            layers.check()?;
            layers.thaw();
            for changes in &changes.keyspaces {
                layers.upper.absorb(changes, copied);
                keys += changes.writes.len();
            }
            let is_committing = lower.as_ref().is_none_or(|lower| lower.is_some());
            layers.is_enough(usize::from(is_committing))
        };
        let mut lower = match lower {
            Some(lower) => lower,
            None if is_enough => self.committing(),
            None => return Ok(()),
        };
        if is_enough {
            // There is none, as a rule: it is smaller than what has come since.
            self.step(&mut lower, usize::MAX, &mut commit)?;
            *lower = self.begin()?;
        }
        self.step(&mut lower, keys.saturating_mul(2).saturating_add(STEP_KEYS), commit)
    }

    /// Has `commit` make what is pending visible in redb, and then runs `then`: everything is visible by then that
    /// was pending when this was called, and no batch in part.
    ///
    /// # Errors
    /// As for [`add`](Pending::add); those of `then`.
    pub(super) fn commit<T>(
        &self,
        mut commit: impl FnMut(&Changes) -> Result<()>,
        then: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let mut lower = self.committing();
        self.read().check()?;
        self.step(&mut lower, usize::MAX, &mut commit)?;
        *lower = self.begin()?;
        self.step(&mut lower, usize::MAX, commit)?;
        then()
    }

    /// Makes what is pending one layer, which is to be committed, if there is any.
    fn begin(&self) -> Result<Option<Lower>> {
        let mut layers = self.write();
        layers.check()?;
        layers.freeze();
        if let [_, _, ..] = &*layers.frozen {
            let mut all = Overlay::default();
            for changes in layers.frozen.iter().flat_map(|layer| &layer.changes().keyspaces) {
                all.absorb(changes, Bytes::clone);
            }
            layers.frozen = vec![Arc::new(all)];
        }
        let layer = layers.frozen.first().map(Arc::clone);
        Ok(layer.map(|layer| Lower { layer, keyspace: 0, after: None }))
    }

    /// Commits up to `keys_max` more keys of `lower`.
    fn step(
        &self,
        lower: &mut Option<Lower>,
        keys_max: usize,
        mut commit: impl FnMut(&Changes) -> Result<()>,
    ) -> Result<()> {
        let Some(committing) = lower else { return Ok(()) };
        let (part, is_last);
        let changes = if committing.is_at_the_front() && keys_max == usize::MAX {
            is_last = true;
            committing.layer.changes()
        } else {
            (part, is_last) = committing.take(keys_max);
            &part
        };
        let committed = guarded(|| commit(changes));
        if let Err(error) = &committed {
            // Whoever commits next, the write lane at its next write or sync, fails and so latches.
            tracing::error!(%error, "a commit failed; nothing more is written until reopened");
            self.write().failed = Some(error.clone());
        } else if is_last {
            // Held by `lower` until it is no longer there, so that it is the first, and nobody thaws it. Those that
            // came meanwhile are behind it.
            let done = self.write().frozen.remove(0);
            *lower = None;
            drop(done);
        }
        committed
    }

    /// What is pending for each of `keys`, at one moment: `None` if nothing is, so that redb knows.
    pub(super) fn get_many(&self, keys: &[(KeyspaceId, &[u8])]) -> Vec<Option<Option<Bytes>>> {
        let layers = self.read();
        let get = |(keyspace, key): &(KeyspaceId, &[u8])| {
            let lower = layers.frozen.iter().rev().map(|layer| &**layer);
            let mut layers = [&layers.upper].into_iter().chain(lower);
            layers.find_map(|layer| layer.get(*keyspace, key))
        };
        keys.iter().map(get).collect()
    }

    /// What `take` returns, a snapshot of redb, with what is pending over it.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn snapshot(
        &self,
        take: impl FnOnce() -> Result<Box<dyn Snapshot>>,
    ) -> Result<Box<dyn Snapshot>> {
        // Taken under the lock: a layer that is committed meanwhile is found in both, and none in neither.
        {
            let layers = self.read();
            if layers.upper.changes().is_empty() {
                return take().map(|base| layers.over(base));
            }
        }
        let mut layers = self.write();
        layers.freeze();
        take().map(|base| layers.over(base))
    }

    fn committing(&self) -> MutexGuard<'_, Option<Lower>> {
        self.committing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lower {
    fn is_at_the_front(&self) -> bool {
        self.keyspace == 0 && self.after.is_none()
    }

    /// The next `keys_max` changes, and whether they are the last.
    fn take(&mut self, keys_max: usize) -> (Changes, bool) {
        let (mut part, mut left) = (Changes::default(), keys_max);
        let all = &self.layer.changes().keyspaces;
        while let Some(changes) = all.get(self.keyspace) {
            let from = self.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut rest = changes.writes.range::<Bytes, _>((from, Bound::Unbounded));
            let own = |(key, value): (&Bytes, &Option<Bytes>)| (key.clone(), value.clone());
            let writes: BTreeMap<_, _> = rest.by_ref().take(left).map(own).collect();
            let is_all = rest.next().is_none();
            left -= writes.len();
            let last = writes.last_key_value().map(|(key, _)| key.clone());
            if !writes.is_empty() {
                let (keyspace, ranges) = (changes.keyspace, BTreeMap::new());
                part.keyspaces.push(KeyspaceChanges { keyspace, ranges, writes });
            }
            if !is_all {
                self.after = last.or(self.after.take());
                return (part, false);
            }
            (self.keyspace, self.after) = (self.keyspace + 1, None);
        }
        (part, true)
    }
}

impl Layers {
    fn check(&self) -> Result<()> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Has nobody change what is there now.
    fn freeze(&mut self) {
        self.thaw();
        if !self.upper.changes().is_empty() {
            self.frozen.push(Arc::new(mem::take(&mut self.upper)));
        }
    }

    /// Goes on with the newest frozen layer if nobody uses it any more. So there are no more of them than
    /// snapshots, and one.
    fn thaw(&mut self) {
        if let Some(mut newest) = self.frozen.pop_if(|layer| Arc::get_mut(layer).is_some())
            && let Some(layer) = Arc::get_mut(&mut newest)
        {
            let upper = mem::replace(&mut self.upper, mem::take(layer));
            for changes in &upper.changes().keyspaces {
                self.upper.absorb(changes, Bytes::clone);
            }
        }
    }

    /// Whether there is enough to be committed, but for the oldest `committing` frozen layers.
    fn is_enough(&self, committing: usize) -> bool {
        let frozen = self.frozen.get(committing..).unwrap_or_default();
        let (mut keys, mut bytes) = (0, 0);
        for layer in [&self.upper].into_iter().chain(frozen.iter().map(|layer| &**layer)) {
            keys += layer.changes().keyspaces.iter().map(|of| of.writes.len()).sum::<usize>();
            bytes += layer.bytes();
        }
        keys >= KEYS_MAX || bytes >= BYTES_MAX || frozen.len() >= LAYERS_MAX
    }

    fn over(&self, base: Box<dyn Snapshot>) -> Box<dyn Snapshot> {
        self.frozen.iter().fold(base, |base, layer| {
            let layer = Arc::clone(layer);
            Box::new(Layered { base, layer })
        })
    }
}

/// What shares no memory: pending changes may be small parts of large buffers, which would be kept as long.
fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// A snapshot with a layer over it.
struct Layered {
    base: Box<dyn Snapshot>,
    layer: Arc<Overlay>,
}

impl Snapshot for Layered {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        self.layer.get(keyspace, key).map_or_else(|| self.base.get(keyspace, key), Ok)
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        self.layer.page(&*self.base, keyspace, range, reverse, limit)
    }
}
