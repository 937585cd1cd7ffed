//! The memory engine, watched: what is held in it, when it is closed, and what it has applied.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bytes::Bytes;

use crate::engine::{Changes, Engine, Snapshot};
use crate::sync::{Condvar, Mutex, lock, step, wait};
use crate::{EngineKind, EngineStats, KeyRange, KeyspaceId, Options, Page, PageLimit, Result};

/// What a scenario learns of the engine below its store.
#[derive(Default)]
pub struct Watch {
    snapshots: AtomicU32,
    writing: AtomicBool,
    closed: AtomicBool,
    gone: Mutex<bool>,
    changed: Condvar,
    stuck: Mutex<bool>,
    freed: Condvar,
}

/// The key whose reads wait while [`Watch::set_stuck`] says so.
pub const STUCK: &str = "stuck";

impl Watch {
    /// Options of a store over the watched engine, on threads of its own.
    pub fn options(self: &Arc<Self>) -> Options {
        let watch = Arc::clone(self);
        let make = move |dir: &Path, options: &_, names| {
            let engine = EngineKind::Memory.open(dir, options, names)?;
            Ok(Box::new(Watched { engine, watch: Arc::clone(&watch) }) as Box<dyn Engine>)
        };
        Options::new("nowhere").custom_engine("watched", Arc::new(make)).pool_threads(2)
    }

    /// From now on reads of [`STUCK`] wait, or go on.
    pub fn set_stuck(&self, stuck: bool) {
        *lock(&self.stuck) = stuck;
        self.freed.notify_all();
    }

    fn wait_freed(&self) {
        let mut stuck = lock(&self.stuck);
        while *stuck {
            stuck = wait(&self.freed, stuck);
        }
    }

    /// Whether the engine was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until the engine is gone, and checks that it was closed first.
    ///
    /// # Panics
    /// When it was not.
    pub fn wait_gone(&self) {
        let mut gone = lock(&self.gone);
        while !*gone {
            gone = wait(&self.changed, gone);
        }
        assert!(self.is_closed(), "the engine was dropped without being closed");
    }
}

struct Watched {
    engine: Box<dyn Engine>,
    watch: Arc<Watch>,
}

impl Watched {
    /// Runs a call that must have no other of its kind beside it.
    fn alone<R>(&self, f: impl FnOnce() -> R) -> R {
        assert!(!self.watch.writing.swap(true, Ordering::SeqCst), "two writers at once");
        assert!(!self.watch.is_closed(), "a write after the close");
        step();
        let result = f();
        step();
        self.watch.writing.store(false, Ordering::SeqCst);
        result
    }
}

impl Engine for Watched {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        assert!(!self.watch.is_closed(), "a snapshot after the close");
        step();
        let snapshot = self.engine.snapshot()?;
        self.watch.snapshots.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(WatchedSnapshot { snapshot, watch: Arc::clone(&self.watch) }))
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        self.alone(|| self.engine.apply(changes, sync))
    }

    fn sync(&self) -> Result<()> {
        self.alone(|| self.engine.sync())
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        self.alone(|| self.engine.drop_keyspace(keyspace))
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

    fn close(&self) -> Result<()> {
        assert_eq!(self.watch.snapshots.load(Ordering::SeqCst), 0, "snapshots held at the close");
        assert!(!self.watch.closed.swap(true, Ordering::SeqCst), "closed twice");
        self.engine.close()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        *lock(&self.watch.gone) = true;
        self.watch.changed.notify_all();
    }
}

struct WatchedSnapshot {
    snapshot: Box<dyn Snapshot>,
    watch: Arc<Watch>,
}

impl Snapshot for WatchedSnapshot {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        step();
        if key == STUCK.as_bytes() {
            self.watch.wait_freed();
        }
        self.snapshot.get(keyspace, key)
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        self.snapshot.page(keyspace, range, reverse, limit)
    }
}

impl Drop for WatchedSnapshot {
    fn drop(&mut self) {
        step();
        self.watch.snapshots.fetch_sub(1, Ordering::SeqCst);
    }
}
