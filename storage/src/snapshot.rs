//! Held snapshots: a consistent view kept across awaits, and the gate that ends them at close.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::core::Core;
use crate::engine::{Page, PageLimit};
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::lane::call::quietly;
use crate::range::{IntoBytes, KeyRange};
use crate::read::{Reader, ScanOptions};
use crate::scan::Scan;
use crate::store::{Store, read_many, release_snapshot};
use crate::sync::{Mutex, RwLock, lock};
use crate::view::View;

/// A view that is held: emptied when it is released, or when the store closes.
pub(crate) type Slot = Arc<RwLock<Option<View>>>;

/// Every snapshot and scan held, so that closing can end them. It owns them, so that letting a
/// handle go never releases an engine's snapshot on an async thread.
pub(crate) struct SnapshotGate {
    held: Mutex<HashMap<u64, Slot>>,
    next: AtomicU64,
    len_max: usize,
}

impl SnapshotGate {
    pub(crate) fn new(len_max: usize) -> Self {
        Self { held: Mutex::default(), next: AtomicU64::new(0), len_max }
    }

    /// Reserves a place. On a bridge thread only, as `view` is released here when there is none.
    pub(crate) fn hold(&self, view: View) -> Result<(u64, Slot)> {
        let mut held = lock(&self.held);
        if held.len() >= self.len_max {
            return Err(Error::Overloaded { what: "number of snapshots held" });
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = Slot::new(RwLock::new(Some(view)));
        held.insert(id, Arc::clone(&slot));
        Ok((id, slot))
    }

    /// Releases one. On a bridge thread only.
    pub(crate) fn release(&self, id: u64) {
        let slot = lock(&self.held).remove(&id);
        if let Some(slot) = slot {
            empty(&slot);
        }
    }

    /// Releases all. On the closing thread only, with every lane idle.
    pub(crate) fn release_all(&self) {
        let slots: Vec<Slot> = lock(&self.held).drain().map(|(_, slot)| slot).collect();
        // An engine's panic here must not keep the rest from being released.
        slots.iter().for_each(|slot| quietly(|| empty(slot)));
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.held).len()
    }
}

fn empty(slot: &Slot) {
    let view = slot.write().unwrap_or_else(PoisonError::into_inner).take();
    drop(view);
}

/// A consistent view of the store, held across awaits: what [`Store::snapshot`] gives. Cheap to
/// clone; every clone is the same snapshot.
///
/// It costs the engine: what is deleted or replaced meanwhile stays on the disk until it is let
/// go. Dropping the last clone hands the release to a lane and blocks nothing. When the store is
/// closed it ends: every later call gives [`Error::Closed`]. It keeps the store open as a handle does.
///
/// ```
/// # fn main() -> pontoon_storage::Result<()> {
/// # futures::executor::block_on(async {
/// use pontoon_storage::{Options, Store};
///
/// let store = Store::open(Options::in_memory()).await?;
/// let users = store.keyspace("users")?;
/// store.put(&users, "17", "Ada").await?;
/// let before = store.snapshot().await?;
/// store.delete(&users, "17").await?;
/// assert!(before.get(&users, "17").await?.is_some());
/// assert!(store.get(&users, "17").await?.is_none());
/// # store.close().await })
/// # }
/// ```
#[derive(Clone)]
pub struct Snapshot {
    // First, so that its release is queued before the store closes with its last handle.
    held: Arc<Held>,
    store: Store,
}

/// A view in the gate, which releases it when dropped. It is no handle of the store: a job that
/// makes one for a caller who has gone must not be what keeps the store open.
pub(crate) struct Held {
    core: Arc<Core>,
    id: u64,
    slot: Slot,
}

impl Held {
    /// Holds `view`. On a bridge thread only.
    pub(crate) fn new(core: Arc<Core>, view: View) -> Result<Self> {
        let (id, slot) = core.snapshots.hold(view)?;
        Ok(Self { core, id, slot })
    }
}

impl Snapshot {
    /// The handle on what `store` holds.
    pub(crate) fn new(store: Store, held: Held) -> Self {
        Self { held: Arc::new(held), store }
    }

    /// The value of `key` when the snapshot was taken.
    ///
    /// # Errors
    /// As for [`Store::get`]. Dropping the future before it started means it never runs.
    pub async fn get(&self, keyspace: &Keyspace, key: impl IntoBytes) -> Result<Option<Bytes>> {
        let (keyspace, key) = (keyspace.clone(), key.into_bytes());
        self.view(move |view| view.get(&keyspace, &key)).await
    }

    /// The values of `keys` when the snapshot was taken, in their order.
    ///
    /// # Errors
    /// As for [`Store::get`].
    pub fn get_many<K: IntoBytes>(
        &self,
        keyspace: &Keyspace,
        keys: impl IntoIterator<Item = K>,
    ) -> impl Future<Output = Result<Vec<Option<Bytes>>>> + Send {
        let keys = keys.into_iter().map(IntoBytes::into_bytes).collect();
        let (weight, read) = read_many(keyspace.clone(), keys);
        async move { self.view_through(&self.store.weighing(weight), move |view| read(view)).await }
    }

    /// Runs `f` over the snapshot, off the async thread, in the lane that
    /// [`Store::with_lane`] chose before the snapshot was taken.
    ///
    /// # Errors
    /// What `f` returns, or why it did not run: as for [`Store::view`].
    pub async fn view<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&View) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.view_through(&self.store, f).await
    }

    /// The entries of `range` as they were when the snapshot was taken. The stream keeps the
    /// snapshot alive.
    pub fn scan(
        &self,
        keyspace: &Keyspace,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Scan {
        Scan::of_snapshot(self.clone(), keyspace.clone(), range.into(), options)
    }

    pub(crate) async fn page(
        &self,
        keyspace: Keyspace,
        range: KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        self.view(move |view| view.page(&keyspace, &range, reverse, limit)).await
    }

    /// Runs `f` with the call options of `store`.
    async fn view_through<T, E, F>(&self, store: &Store, f: F) -> Result<T, E>
    where
        F: FnOnce(&View) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let slot = Arc::clone(&self.held.slot);
        store
            .read_call(move |_| {
                let held = slot.read().unwrap_or_else(PoisonError::into_inner);
                match held.as_ref() {
                    Some(view) => f(view),
                    None => Err(Error::Closed.into()),
                }
            })
            .await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        release_snapshot(&self.core, self.id);
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("id", &self.held.id).finish_non_exhaustive()
    }
}
