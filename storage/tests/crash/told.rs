//! An engine that tells on standard output when it begins and has ended to sync: all that was
//! acknowledged before the one must be there once the other has been told.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, Progress, Snapshot};
use pontoon_storage::{EngineKind, EngineStats, KeyspaceId, Options, Result};

use crate::child::say;

/// What it says, after `begin` and `end`.
pub const SYNC: &str = "sync";

/// `options` with `kind` telling.
pub fn telling(options: Options, kind: EngineKind) -> Options {
    options.custom_engine(
        kind.name(),
        Arc::new(move |dir: &Path, engine_options, names| {
            Ok(Box::new(Telling(kind.open(dir, engine_options, names)?)))
        }),
    )
}

struct Telling(Box<dyn Engine>);

fn told<T>(sync: bool, f: impl FnOnce() -> Result<T>) -> Result<T> {
    if sync {
        say(&format!("begin {SYNC}"));
    }
    let result = f()?;
    if sync {
        say(&format!("end {SYNC}"));
    }
    Ok(result)
}

impl Engine for Telling {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.0.snapshot()
    }

    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        self.0.get_many(keys, progress)
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        told(sync, || self.0.apply(changes, sync))
    }

    fn sync(&self) -> Result<()> {
        told(true, || self.0.sync())
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        self.0.drop_keyspace(keyspace)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        self.0.keyspaces()
    }

    fn checkpoint(&self, into: &Path) -> Result<()> {
        self.0.checkpoint(into)
    }

    fn stats(&self) -> Result<EngineStats> {
        self.0.stats()
    }

    fn unsynced_dies_with_process(&self) -> bool {
        self.0.unsynced_dies_with_process()
    }

    fn close(&self) -> Result<()> {
        self.0.close()
    }
}
