//! Engines in memory that break one promise now and then, for the checker to find.

use std::path::Path;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use pontoon_storage::engine::{Changes, Engine, Snapshot};
use pontoon_storage::{EngineKind, EngineStats, KeyspaceId, Options, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A snapshot is older than the last batch.
    Stale,
    /// A batch is acknowledged and has no effect.
    Lost,
    /// A batch is applied key by key.
    Torn,
}

pub const FAULTS: [Fault; 3] = [Fault::Stale, Fault::Lost, Fault::Torn];

/// One call in so many goes wrong.
const PERIOD: u64 = 4;

/// `options` over an engine in memory with `fault`.
pub fn breaking(options: Options, fault: Fault) -> Options {
    options.custom_engine(
        "memory",
        Arc::new(move |dir: &Path, engine_options, names| {
            let inner = EngineKind::Memory.open(dir, engine_options, names)?;
            let (calls, older) = (AtomicU64::new(0), Mutex::new(None));
            Ok(Box::new(Breaking { inner, fault, calls, older }))
        }),
    )
}

struct Breaking {
    inner: Box<dyn Engine>,
    fault: Fault,
    calls: AtomicU64,
    /// From before the last batch.
    older: Mutex<Option<Box<dyn Snapshot>>>,
}

impl Breaking {
    fn is_time(&self) -> bool {
        self.calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(PERIOD)
    }
}

impl Engine for Breaking {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        if self.fault == Fault::Stale
            && self.is_time()
            && let Some(older) = self.older.lock().unwrap().take()
        {
            return Ok(older);
        }
        self.inner.snapshot()
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        match self.fault {
            Fault::Stale => *self.older.lock().unwrap() = Some(self.inner.snapshot()?),
            Fault::Lost if self.is_time() => return Ok(()),
            Fault::Lost => {}
            Fault::Torn => {
                for part in parts(changes) {
                    self.inner.apply(&part, sync)?;
                    // So that others come in between.
                    std::thread::yield_now();
                }
                return Ok(());
            }
        }
        self.inner.apply(changes, sync)
    }

    fn sync(&self) -> Result<()> {
        self.inner.sync()
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        self.inner.drop_keyspace(keyspace)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        self.inner.keyspaces()
    }

    fn checkpoint(&self, into: &Path) -> Result<()> {
        self.inner.checkpoint(into)
    }

    fn stats(&self) -> Result<EngineStats> {
        self.inner.stats()
    }

    fn close(&self) -> Result<()> {
        self.older.lock().unwrap().take();
        self.inner.close()
    }
}

/// The ranges that are deleted, and then each key alone.
fn parts(changes: &Changes) -> Vec<Changes> {
    let mut parts = Vec::new();
    for keyspace in &changes.keyspaces {
        let mut ranges = keyspace.clone();
        ranges.writes.clear();
        parts.push(Changes { keyspaces: vec![ranges] });
        for (key, value) in &keyspace.writes {
            let mut one = keyspace.clone();
            one.ranges.clear();
            one.writes = [(key.clone(), value.clone())].into();
            parts.push(Changes { keyspaces: vec![one] });
        }
    }
    parts
}
