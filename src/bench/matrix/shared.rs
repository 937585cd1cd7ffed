//! One opened engine behind several stores, so that all contenders work on the same data and caches.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, Progress, Snapshot};
use pontoon_storage::{EngineStats, KeyspaceId, Result};

/// A handle on an engine that counts fsyncs, whoever asks for them. Stores that use it must take
/// turns to write, and must name their keyspaces in the same order, as the engine knows keyspaces by
/// the numbers of the store that opened it.
#[derive(Clone)]
pub(super) struct SharedEngine {
    engine: Arc<dyn Engine>,
    syncs: Arc<AtomicU64>,
    /// Whether closing this handle closes the engine.
    is_owner: bool,
}

impl SharedEngine {
    /// The handle that closes the engine.
    pub(super) fn owner(engine: Box<dyn Engine>) -> Self {
        Self { engine: Arc::from(engine), syncs: Arc::default(), is_owner: true }
    }

    /// Another handle on the same engine.
    pub(super) fn guest(&self) -> Self {
        Self { is_owner: false, ..self.clone() }
    }

    /// Fsyncs so far: commits that ask for one, and fsyncs on their own.
    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

impl Engine for SharedEngine {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.engine.snapshot()
    }

    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        self.engine.get_many(keys, progress)
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        if sync {
            self.syncs.fetch_add(1, Ordering::Relaxed);
        }
        self.engine.apply(changes, sync)
    }

    fn sync(&self) -> Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.engine.sync()
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        self.engine.drop_keyspace(keyspace)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        self.engine.keyspaces()
    }

    fn checkpoint(&self, into: &Path) -> Result<()> {
        self.engine.checkpoint(into)
    }

    fn stats(&self) -> Result<EngineStats> {
        self.engine.stats()
    }

    fn unsynced_dies_with_process(&self) -> bool {
        self.engine.unsynced_dies_with_process()
    }

    fn close(&self) -> Result<()> {
        if self.is_owner { self.engine.close() } else { Ok(()) }
    }
}
