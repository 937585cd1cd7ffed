//! The ways to call storage: one operation, done by a store's bridge or by a baseline.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, KeyspaceChanges};
use pontoon_storage::{
    Durability, Error, KeyRange, Keyspace, KeyspaceId, PageLimit, Reader, Result, Store,
};
use threadpool::ThreadPool;
use tokio::sync::oneshot;

use super::keys::{Op, key};
use super::shared::SharedEngine;

/// One way to call storage. Cheap to clone.
#[derive(Clone)]
pub(super) enum Caller {
    /// Through a store, and so through its lanes and its bridge.
    Store(Store, Keyspace),
    /// One `spawn_blocking` per operation.
    PerCall(Arc<Direct>),
    /// One `threadpool` job per operation.
    PerCallPool(Arc<Direct>, ThreadPool),
    /// Right here, on the async thread.
    Inline(Arc<Direct>),
}

impl Caller {
    /// Does `op`, writing `value` where it writes. Whether what it read was there.
    #[allow(clippy::disallowed_methods)] // a baseline is what Pontoon's lanes are compared with
    pub(super) async fn call(&self, op: Op, value: Bytes) -> Result<bool> {
        match self {
            Caller::Store(store, keyspace) => call_store(store, keyspace, op, value).await,
            Caller::PerCall(direct) => {
                let direct = Arc::clone(direct);
                let job = tokio::task::spawn_blocking(move || direct.call(op, value));
                job.await.map_err(Error::engine)?
            }
            Caller::PerCallPool(direct, pool) => {
                let direct = Arc::clone(direct);
                let (reply, answer) = oneshot::channel();
                pool.execute(move || drop(reply.send(direct.call(op, value))));
                answer.await.map_err(Error::engine)?
            }
            Caller::Inline(direct) => {
                // A caller has to get the thread first, which this counts; and without it one caller
                // would never let another have its turn.
                tokio::task::yield_now().await;
                direct.call(op, value)
            }
        }
    }
}

async fn call_store(store: &Store, keyspace: &Keyspace, op: Op, value: Bytes) -> Result<bool> {
    match op {
        Op::Read(n) => Ok(store.get(keyspace, key(n)).await?.is_some()),
        Op::Update(n) | Op::Insert(n) => {
            store.put(keyspace, key(n), value).await?;
            Ok(true)
        }
        Op::Modify(n) => {
            let keyspace = keyspace.clone();
            let modify = move |tx: &mut pontoon_storage::Transaction| {
                let key = key(n);
                let old = tx.get(&keyspace, &key)?;
                tx.put(&keyspace, key, modified(old.as_ref(), &value))?;
                Ok::<_, Error>(old.is_some())
            };
            store.update(modify).await
        }
        Op::Scan(n, len) => {
            let keyspace = keyspace.clone();
            let read = move |view: &pontoon_storage::View| {
                let page = view.page(&keyspace, &from(n), false, limit(len))?;
                Ok::<_, Error>(!page.entries.is_empty())
            };
            store.view(read).await
        }
    }
}

/// Synchronous calls of the engine: what the baselines do, each on its own kind of thread.
pub(super) struct Direct {
    engine: SharedEngine,
    keyspace: KeyspaceId,
    durability: Durability,
    /// Held by read-modify-writes, which must not interleave, and around every write if the engine
    /// does not order writers by itself.
    writing: Mutex<()>,
    serializes_writes: bool,
    /// Set when what has not begun is not to begin any more.
    is_over: Arc<AtomicBool>,
    begun: Instant,
    /// When the last fsync began, in milliseconds after `begun`.
    synced_ms: AtomicU64,
}

impl Direct {
    pub(super) fn new(
        engine: SharedEngine,
        keyspace: KeyspaceId,
        durability: Durability,
        serializes_writes: bool,
        is_over: Arc<AtomicBool>,
    ) -> Self {
        Self {
            engine,
            keyspace,
            durability,
            writing: Mutex::new(()),
            serializes_writes,
            is_over,
            begun: Instant::now(),
            synced_ms: AtomicU64::new(0),
        }
    }

    /// Does `op`, writing `value` where it writes. Whether what it read was there.
    ///
    /// # Errors
    /// The engine's, or [`Error::Closed`] when the sample is over.
    pub(super) fn call(&self, op: Op, value: Bytes) -> Result<bool> {
        if self.is_over.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        match op {
            Op::Read(n) => Ok(self.get(&key(n))?.is_some()),
            Op::Update(n) | Op::Insert(n) => {
                let _writing = self.serializes_writes.then(|| self.lock());
                self.put(key(n), value)?;
                Ok(true)
            }
            Op::Modify(n) => {
                let _writing = self.lock();
                let key = key(n);
                let old = self.get(&key)?;
                self.put(key, modified(old.as_ref(), &value))?;
                Ok(old.is_some())
            }
            Op::Scan(n, len) => {
                let snapshot = self.engine.snapshot()?;
                let page = snapshot.page(self.keyspace, &from(n), false, limit(len))?;
                Ok(!page.entries.is_empty())
            }
        }
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        self.engine.get_many(&[(self.keyspace, key)], &()).pop().unwrap_or(Ok(None))
    }

    fn put(&self, key: Bytes, value: Bytes) -> Result<()> {
        let writes = BTreeMap::from([(key, Some(value))]);
        let ranges = BTreeMap::new();
        let changes = Changes {
            keyspaces: vec![KeyspaceChanges { keyspace: self.keyspace, ranges, writes }],
        };
        self.engine.apply(&changes, self.durability == Durability::Always)?;
        if self.is_sync_due() { self.engine.sync() } else { Ok(()) }
    }

    /// Under `Durability::Every`, whether it is this caller's turn to sync.
    fn is_sync_due(&self) -> bool {
        let Durability::Every(interval) = self.durability else { return false };
        let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let synced_ms = self.synced_ms.load(Ordering::Relaxed);
        u128::from(now_ms.saturating_sub(synced_ms)) >= interval.as_millis()
            && self
                .synced_ms
                .compare_exchange(synced_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a read-modify-write makes of `old`: its length is that of `value`, and it depends on both.
fn modified(old: Option<&Bytes>, value: &Bytes) -> Bytes {
    let mut new = value.to_vec();
    if let (Some(new), Some(old)) = (new.first_mut(), old.and_then(|old| old.first())) {
        *new = old.wrapping_add(1);
    }
    new.into()
}

fn from(n: u64) -> KeyRange {
    KeyRange { start: key(n), end: None }
}

fn limit(entries: usize) -> PageLimit {
    PageLimit { entries, bytes: usize::MAX }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use pontoon_storage::{Bridge, EngineKind};

    use super::super::data::{Data, StoreOptions, ten_keys};
    use super::*;

    fn data(dir: &std::path::Path) -> Data {
        ten_keys(dir, EngineKind::Memory).unwrap()
    }

    fn direct(data: &Data, durability: Durability) -> Arc<Direct> {
        let (engine, keyspace) = (data.engine.guest(), data.keyspace().id());
        Arc::new(Direct::new(engine, keyspace, durability, true, Arc::default()))
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // a baseline brings a pool of its own
    fn all_ways_to_call_do_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bridge = Bridge::Blocking;
        let options = StoreOptions {
            bridge,
            pool_threads: None,
            durability: Durability::EVERY_SECOND,
            cache_bytes: 0,
        };
        let (store, keyspace) = runtime.block_on(data.open_store(options)).unwrap();
        let look = direct(&data, Durability::Never);
        let value = |n: u64| look.get(&key(n)).unwrap();
        let callers = [
            Caller::Store(store.clone(), keyspace),
            Caller::PerCall(direct(&data, Durability::Never)),
            Caller::PerCallPool(direct(&data, Durability::Never), ThreadPool::new(1)),
            Caller::Inline(direct(&data, Durability::Never)),
        ];
        for (caller, n) in callers.iter().zip(100..) {
            let call = |op| runtime.block_on(caller.call(op, Bytes::from_static(b"abc"))).unwrap();
            assert!(call(Op::Read(3)) && !call(Op::Read(n)));
            assert!(!call(Op::Modify(n)) && call(Op::Modify(n)));
            assert_eq!(value(n).as_deref(), Some(&b"bbc"[..]));
            assert!(call(Op::Update(n)) && call(Op::Scan(n, 5)));
            assert_eq!(value(n).as_deref(), Some(&b"abc"[..]));
        }
        runtime.block_on(store.close()).unwrap();
        drop((callers, look));
        data.close().unwrap();
    }

    #[test]
    fn what_callers_inserted_is_gone_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        let direct = direct(&data, Durability::Never);
        let inserted = data.next_key.fetch_add(1, Ordering::Relaxed);
        assert!(direct.call(Op::Insert(inserted), Bytes::new()).unwrap());
        data.settle().unwrap();
        assert!(!direct.call(Op::Read(inserted), Bytes::new()).unwrap());
        assert!(direct.call(Op::Read(inserted - 1), Bytes::new()).unwrap());
        assert_eq!(data.next_key.load(Ordering::Relaxed), inserted);
    }

    #[test]
    fn baselines_sync_as_the_durability_says() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        let syncs_of = |durability| {
            let (direct, before) = (direct(&data, durability), data.engine.syncs());
            (0..10).for_each(|_| assert!(direct.call(Op::Update(1), Bytes::new()).unwrap()));
            data.engine.syncs() - before
        };
        assert_eq!(syncs_of(Durability::Always), 10);
        assert_eq!(syncs_of(Durability::Never), 0);
        assert_eq!(syncs_of(Durability::Every(Duration::from_secs(3600))), 0);
        assert_eq!(syncs_of(Durability::Every(Duration::ZERO)), 10);
    }

    #[test]
    fn nothing_begins_once_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let data = data(dir.path());
        let over = Arc::new(AtomicBool::new(true));
        let keyspace = data.keyspace().id();
        let direct = Direct::new(data.engine.guest(), keyspace, Durability::Never, true, over);
        assert!(matches!(direct.call(Op::Read(1), Bytes::new()), Err(Error::Closed)));
    }
}
