//! What the drains of a store share: its engine, until it is closed, and its latch.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::cache::RecordCache;
use crate::engine::Engine;
use crate::error::{Cause, Error, Result};
use crate::keyspace::KeyspaceNames;
use crate::metrics::StoreMetrics;
use crate::options::{Durability, SizeLimits};
use crate::sync::AtomicBool;

pub(crate) struct Shared {
    /// Unique in this process.
    pub(crate) id: u64,
    pub(crate) names: Arc<KeyspaceNames>,
    pub(crate) sizes: SizeLimits,
    /// Whether a write is acknowledged after an fsync by default. May change.
    pub(crate) always: AtomicBool,
    /// Why writes are refused, once a commit has failed.
    pub(crate) latch: OnceLock<Cause>,
    /// Whether something has been applied since the last fsync.
    pub(crate) unsynced: AtomicBool,
    /// Whether an fsync of the interval waits in the write lane.
    pub(crate) sync_queued: AtomicBool,
    pub(crate) metrics: StoreMetrics,
    pub(crate) cache: Option<RecordCache>,
    engine: RwLock<Option<Arc<dyn Engine>>>,
}

impl Shared {
    pub(crate) fn new(
        engine: Box<dyn Engine>,
        names: Arc<KeyspaceNames>,
        id: u64,
        sizes: SizeLimits,
        durability: Durability,
        cache: Option<RecordCache>,
    ) -> Self {
        Self {
            id,
            names,
            sizes,
            always: AtomicBool::new(durability == Durability::Always),
            latch: OnceLock::new(),
            unsynced: AtomicBool::new(false),
            sync_queued: AtomicBool::new(false),
            metrics: StoreMetrics::default(),
            cache,
            engine: RwLock::new(Some(Arc::from(engine))),
        }
    }

    pub(crate) fn engine(&self) -> Result<Arc<dyn Engine>> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        engine.clone().ok_or(Error::Closed)
    }

    pub(crate) fn writable_engine(&self) -> Result<Arc<dyn Engine>> {
        match self.latch.get() {
            Some(cause) => Err(Error::ReadOnly(Arc::clone(cause))),
            None => self.engine(),
        }
    }

    /// Takes the engine out: from now on every call finds the store closed.
    pub(crate) fn take_engine(&self) -> Option<Arc<dyn Engine>> {
        self.engine.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}
