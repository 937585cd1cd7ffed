//! Engines: synchronous storage behind one small trait.
//!
//! What an engine is: snapshots that read, a batch applied all or nothing, a sync, a checkpoint.
//! What it is not: it knows no read-your-writes, no rollback of one operation, no queue, no async.
//! Those live once, in [`Transaction`](crate::Transaction) and in the lanes.
//!
//! To add one: a file here, and a row in [`EngineKind`].

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceNames};
use crate::range::KeyRange;

pub(crate) mod check;
mod memory;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod shared;
#[cfg(test)]
mod tests;

/// Synchronous, ordered, durable storage. Every method may block; none is called on an async thread.
///
/// One writer at a time: [`apply`](Engine::apply), [`sync`](Engine::sync) and
/// [`drop_keyspace`](Engine::drop_keyspace) are never called concurrently with each other.
/// Everything else may be called concurrently with anything.
pub trait Engine: Send + Sync + 'static {
    /// A consistent view of what has been applied so far.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Corrupted`].
    fn snapshot(&self) -> Result<Box<dyn Snapshot>>;

    /// The newest values of `keys`, in their order, each on its own: no consistent view of several.
    ///
    /// `progress` is told before each read, so that others can take over the rest from one that is stuck
    /// on a slow disk; the value of a key that it then says nobody wants may be anything. An engine for
    /// which reading all at once is cheaper overrides this, and tells nothing.
    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        let snapshot = match self.snapshot() {
            Ok(snapshot) => snapshot,
            Err(error) => return vec![Err(error); keys.len()],
        };
        let get = |(index, (keyspace, key)): (usize, &(KeyspaceId, &[u8]))| {
            if progress.begin(index) { snapshot.get(*keyspace, key) } else { Ok(None) }
        };
        keys.iter().enumerate().map(get).collect()
    }

    /// Applies `changes` all or nothing: in each keyspace its ranges are deleted first, then its
    /// writes are made. A keyspace that does not exist is created. With `sync` the changes, and all
    /// applied before them, survive a power loss once this returns.
    ///
    /// # Errors
    /// Any error means that the outcome is unknown until reopened.
    fn apply(&self, changes: &Changes, sync: bool) -> Result<()>;

    /// Makes everything applied so far survive a power loss.
    ///
    /// # Errors
    /// As for [`apply`](Engine::apply).
    fn sync(&self) -> Result<()>;

    /// Removes a keyspace and all in it; `false` if there was none. Durable when it returns.
    /// Snapshots taken before still see it.
    ///
    /// # Errors
    /// As for [`apply`](Engine::apply).
    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool>;

    /// The names of the keyspaces that exist, in byte order.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Corrupted`].
    fn keyspaces(&self) -> Result<Vec<String>>;

    /// Writes a consistent copy, which this engine can open, into the existing empty directory
    /// `into`. The caller fsyncs the directory and renames it into place.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an engine that keeps nothing; else [`Error::Engine`].
    fn checkpoint(&self, into: &Path) -> Result<()>;

    /// What the engine knows about itself.
    ///
    /// # Errors
    /// [`Error::Engine`].
    fn stats(&self) -> Result<EngineStats>;

    /// Whether changes applied without `sync` live only in this process and so die with it.
    /// The store then syncs now and then even under [`Durability::Never`](crate::Durability::Never).
    fn unsynced_dies_with_process(&self) -> bool {
        false
    }

    /// Whether [`get_many`](Engine::get_many) of a single key costs less than a snapshot. The write lane, for
    /// which nothing changes meanwhile, then takes none to read one.
    fn gets_without_snapshot(&self) -> bool {
        false
    }

    /// Called once, with no snapshot left and everything synced, just before the engine is dropped.
    ///
    /// # Errors
    /// [`Error::Engine`]; the engine is dropped all the same.
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// So that whoever opens a store over an engine of its own can keep a hand on it.
impl<E: Engine + ?Sized> Engine for Arc<E> {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        (**self).snapshot()
    }

    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        (**self).get_many(keys, progress)
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        (**self).apply(changes, sync)
    }

    fn sync(&self) -> Result<()> {
        (**self).sync()
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        (**self).drop_keyspace(keyspace)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        (**self).keyspaces()
    }

    fn checkpoint(&self, into: &Path) -> Result<()> {
        (**self).checkpoint(into)
    }

    fn stats(&self) -> Result<EngineStats> {
        (**self).stats()
    }

    fn unsynced_dies_with_process(&self) -> bool {
        (**self).unsynced_dies_with_process()
    }

    fn gets_without_snapshot(&self) -> bool {
        (**self).gets_without_snapshot()
    }

    fn close(&self) -> Result<()> {
        (**self).close()
    }
}

/// Whom an engine tells which of several reads it is at.
pub trait Progress {
    /// The engine is about to read key number `index` and nothing else. Returns whether anybody still
    /// wants it.
    fn begin(&self, index: usize) -> bool;
}

/// Wants everything.
impl Progress for () {
    fn begin(&self, _: usize) -> bool {
        true
    }
}

/// A consistent, read-only view of an engine. Reading a keyspace that does not exist finds nothing
/// and creates nothing.
pub trait Snapshot: Send + Sync {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Corrupted`].
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>>;

    /// The values of `keys`, in their order. Engines that can fetch many at once override it.
    fn get_many(&self, keys: &[(KeyspaceId, &[u8])]) -> Vec<Result<Option<Bytes>>> {
        keys.iter().map(|(keyspace, key)| self.get(*keyspace, key)).collect()
    }

    /// The first entries of `range`, from its start or, if `reverse`, from its end, up to `limit`.
    /// A page holds at least one entry if the range has any, however large that entry is.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Corrupted`].
    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page>;
}

/// How much one page may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// Entries at the most; 0 counts as 1.
    pub entries: usize,
    /// The page ends with the entry that brings keys and values to this many bytes.
    pub bytes: usize,
}

impl PageLimit {
    /// Just the first entry.
    pub const ONE: PageLimit = PageLimit { entries: 1, bytes: usize::MAX };

    /// Whether a page of `entries` entries and `bytes` bytes is full.
    pub fn is_reached(&self, entries: usize, bytes: usize) -> bool {
        entries >= self.entries.max(1) || bytes >= self.bytes
    }
}

/// Some consecutive entries of a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys with their values, in the order asked for.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Whether the limit ended the page, so that there may be more.
    pub more: bool,
}

/// One atomic batch, already merged: what a drain hands to its engine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// One element for each keyspace that is touched, in no particular order.
    pub keyspaces: Vec<KeyspaceChanges>,
}

impl Changes {
    /// Whether there is nothing to apply.
    pub fn is_empty(&self) -> bool {
        self.keyspaces.iter().all(|ks| ks.ranges.is_empty() && ks.writes.is_empty())
    }
}

/// What changes in one keyspace: first `ranges` are deleted, then `writes` are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyspaceChanges {
    /// Which keyspace.
    pub keyspace: KeyspaceId,
    /// Ranges to delete, by start: disjoint, none of them empty, never touching.
    pub ranges: BTreeMap<Bytes, Option<Bytes>>,
    /// Keys with their new value; `None` deletes.
    pub writes: BTreeMap<Bytes, Option<Bytes>>,
}

/// What an engine says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Bytes on disk, as far as the engine knows them.
    pub disk_bytes: u64,
    /// Bytes that the engine's caches and write buffers hold now.
    pub memory_bytes: u64,
    /// The engine's own figures, by its own names.
    pub details: Vec<(String, String)>,
}

/// The settings an engine is opened with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Memory for the engine's read cache, in bytes.
    pub cache_bytes: usize,
    /// Memory for data not yet written to its final place, in bytes (RocksDB's write buffers).
    pub write_buffer_bytes: usize,
    /// Files the engine may hold open (RocksDB).
    pub open_files_max: u32,
    /// Whether the store's default durability is `Always`: then damage anywhere but in the log's
    /// torn tail must be an error, not a silent cut.
    pub strict_log: bool,
    /// Whether the engine has had files in its directory: then none of them may be made anew.
    pub must_exist: bool,
    /// redb: keep what makes recovery after a crash independent of the data's size, for a second
    /// fsync in each durable commit.
    pub quick_repair: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            write_buffer_bytes: 64 << 20,
            open_files_max: 512,
            strict_log: true,
            must_exist: false,
            quick_repair: false,
        }
    }
}

/// The engines, one row each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineKind {
    /// In memory: gone when closed. The model for tests and the baseline for overhead.
    Memory,
    /// redb: one file, copy-on-write B-trees, pure Rust. Needs the feature `redb` (default).
    Redb,
    /// RocksDB: log-structured merge tree. Needs the feature `rocksdb`.
    Rocksdb,
}

impl EngineKind {
    /// Every engine this build has.
    pub const AVAILABLE: &'static [EngineKind] = &[
        EngineKind::Memory,
        #[cfg(feature = "redb")]
        EngineKind::Redb,
        #[cfg(feature = "rocksdb")]
        EngineKind::Rocksdb,
    ];

    /// Its name in options, marker files and reports.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Memory => "memory",
            EngineKind::Redb => "redb",
            EngineKind::Rocksdb => "rocksdb",
        }
    }

    /// Whether data outlives the process.
    pub fn is_persistent(self) -> bool {
        self != EngineKind::Memory
    }

    /// Opens, or creates, this engine's data in the existing directory `dir`. Blocks; may take long
    /// after a crash. This is the engine alone: no bridge, no lock, no marker file.
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the build lacks the feature; else what the engine says.
    pub fn open(
        self,
        dir: &Path,
        options: &EngineOptions,
        names: Arc<KeyspaceNames>,
    ) -> Result<Box<dyn Engine>> {
        match self {
            EngineKind::Memory => Ok(Box::new(memory::Memory::new(names))),
            #[cfg(feature = "redb")]
            EngineKind::Redb => Ok(Box::new(redb::Redb::open(dir, options, names)?)),
            #[cfg(feature = "rocksdb")]
            EngineKind::Rocksdb => Ok(Box::new(rocksdb::Rocksdb::open(dir, options, names)?)),
            #[allow(unreachable_patterns)]
            missing => {
                let _ = (dir, options, names);
                Err(missing.missing())
            }
        }
    }

    /// Checks this engine's data in the directory `dir`: every checksum there is, and every entry.
    /// Changes nothing. Blocks, for as long as reading all of it takes.
    pub(crate) fn check(self, dir: &Path, findings: &mut check::Findings) -> Result<()> {
        match self {
            #[cfg(feature = "redb")]
            EngineKind::Redb => redb::check(dir, findings),
            #[cfg(feature = "rocksdb")]
            EngineKind::Rocksdb => rocksdb::check(dir, findings),
            EngineKind::Memory => {
                Err(Error::Unsupported("the memory engine keeps nothing to check".into()))
            }
            #[allow(unreachable_patterns)]
            missing => {
                let _ = (dir, findings);
                Err(missing.missing())
            }
        }
    }

    fn missing(self) -> Error {
        let name = self.name();
        Error::Unsupported(format!(
            "this build has no {name} engine: build with `--features {name}`"
        ))
    }
}
