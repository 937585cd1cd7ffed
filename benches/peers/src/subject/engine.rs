//! One of Pontoon's stores, and its engine for those that call it directly.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, KeyspaceChanges, Snapshot};
use pontoon_storage::{
    Bridge, Durability, EngineKind, Keyspace, KeyspaceId, Options, Store, WriteBatch,
};

use super::{CACHE_BYTES, KEYS_PER_BATCH, Request, THREADS, key, value};
use crate::cli::Workload;

/// A store in one bridge mode.
pub(crate) struct PontoonStore {
    pub(crate) store: Store,
    pub(crate) keyspace: Keyspace,
}

/// Opens a store and fills it. Its engine comes beside it: an engine is opened by a store, which alone can
/// name keyspaces.
pub(super) async fn open(
    kind: EngineKind,
    dir: &Path,
    bridge: Bridge,
    keys: u64,
) -> (PontoonStore, Shared) {
    let opened: Arc<Mutex<Option<Shared>>> = Arc::default();
    let slot = Arc::clone(&opened);
    let make = move |dir: &Path, options: &_, names| {
        let engine = Shared::from(kind.open(dir, options, names)?);
        *slot.lock().unwrap() = Some(engine.clone());
        Ok(Box::new(engine) as Box<dyn Engine>)
    };
    // The store's own durability is the least that its writes get; a handle may ask for more.
    let options = Options::new(dir)
        .durability(Durability::Never)
        .read_threads_max(THREADS)
        .engine_cache_bytes(CACHE_BYTES)
        .custom_engine(kind.name(), Arc::new(make));
    let options = match bridge {
        Bridge::Pool => options.bridge(bridge).pool_threads(THREADS),
        _ => options.bridge(bridge),
    };
    let store = Store::open(options).await.unwrap();
    let keyspace = store.keyspace("bench").unwrap();
    for first in (0..keys).step_by(KEYS_PER_BATCH as usize) {
        let mut batch = WriteBatch::new();
        for n in first..keys.min(first + KEYS_PER_BATCH) {
            batch.put(&keyspace, key(n), value(n));
        }
        store.write(batch).await.unwrap();
    }
    store.sync().await.unwrap();
    if kind.is_persistent() {
        // Moves what RocksDB holds in memory to its files, as nearly all of a larger store is.
        let copy = dir.with_extension("copy");
        store.checkpoint(&copy).await.unwrap();
        std::fs::remove_dir_all(copy).unwrap();
    }
    // Into the cache.
    for first in (0..keys).step_by(KEYS_PER_BATCH as usize) {
        let batch = (first..keys.min(first + KEYS_PER_BATCH)).map(key);
        store.get_many(&keyspace, batch).await.unwrap();
    }
    let engine = opened.lock().unwrap().take().unwrap();
    (PontoonStore { store, keyspace }, engine)
}

/// The blocking calls of one measurement.
///
/// Gets share one snapshot, which spares each of them the engine's own bookkeeping for a view and so favours
/// them over Pontoon, whose gets see what was acknowledged before them.
///
/// Puts call [`Engine::apply`] from many threads at once, which its contract leaves to the caller to
/// prevent. No engine here minds: memory and redb let one writer in at a time by themselves, and RocksDB's
/// `write` may be called from any thread and groups what waits. What the contract guards is the creation
/// of keyspaces and the order of syncs, neither of which happens while puts are measured.
#[derive(Clone)]
pub(crate) struct Calls {
    engine: Shared,
    id: KeyspaceId,
    workload: Workload,
    snapshot: Option<Arc<dyn Snapshot>>,
}

impl Calls {
    pub(super) fn new(engine: &Shared, id: KeyspaceId, workload: Workload) -> Self {
        let snapshot = (workload == Workload::Get).then(|| Arc::from(engine.snapshot().unwrap()));
        Self { engine: engine.clone(), id, workload, snapshot }
    }

    /// Blocks. What was found, if it was a get.
    pub(crate) fn call(&self, request: Request) -> Option<Bytes> {
        if let Some(snapshot) = &self.snapshot {
            return snapshot.get(self.id, &request.key).unwrap();
        }
        let changes = KeyspaceChanges {
            keyspace: self.id,
            ranges: BTreeMap::new(),
            writes: BTreeMap::from([(request.key, Some(value(request.nonce)))]),
        };
        let durable = self.workload == Workload::DurablePut;
        self.engine.apply(&Changes { keyspaces: vec![changes] }, durable).unwrap();
        None
    }
}

/// The engine of a store, shared with those that call it directly.
pub(super) type Shared = Arc<dyn Engine>;
