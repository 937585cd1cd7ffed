//! redb: copy-on-write B-trees in one file, a table for each keyspace.
//!
//! A commit with `sync` writes the changed pages, switches the root and calls fsync once (twice with
//! quick repair). A commit without leaves its root in this process's memory: it is visible, but the
//! file does not name it until a later commit syncs, so it dies with the process. So changes that are applied
//! without sync may as well wait in memory until several make a commit: see `pending`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTableMetadata,
    TableDefinition, TableHandle, WriteTransaction,
};
use bytes::Bytes;

use super::shared::bounds;
use super::{Changes, Engine, EngineOptions, EngineStats, KeyspaceChanges, Progress, Snapshot};
use crate::disk::{sync_dir, sync_file};
use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceNames};

mod check;
mod checkpoint;
mod failure;
mod handles;
mod newest;
mod overlay;
mod pending;
mod record;
mod repair;
mod snapshot;

pub(super) use check::check;
use failure::{failed, guarded, open_failed};
use newest::Newest;
use pending::{Pending, can_wait};
use snapshot::RedbSnapshot;

/// The database's file in the engine's directory.
const FILE: &str = "data.redb";

/// The same while it is created.
const NEW_FILE: &str = "data.redb.new";

/// Changes applied without sync since the last durable commit, in bytes, that make the next commit a
/// durable one: what a crash of the process can lose, however rarely the caller syncs.
const UNSYNCED_BYTES_MAX: u64 = 64 << 20;

/// Charged for each changed key or range on top of its bytes, for the tree pages it dirties.
const CHANGE_OVERHEAD_BYTES: u64 = 64;

type Definition<'a> = TableDefinition<'a, &'static [u8], &'static [u8]>;

/// See the module.
pub(super) struct Redb {
    /// Dropped before the database, which is closed by then but for this.
    newest: Newest,
    database: Database,
    names: Arc<KeyspaceNames>,
    path: PathBuf,
    cache_bytes: usize,
    quick_repair: bool,
    /// Of what was applied without sync since the last durable commit.
    unsynced_bytes: AtomicU64,
    pending: Pending,
}

impl Redb {
    pub(super) fn open(
        dir: &Path,
        options: &EngineOptions,
        names: Arc<KeyspaceNames>,
    ) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.try_exists()? {
            if options.must_exist {
                return Err(Error::corrupted(format!("{} is missing", path.display())));
            }
            create(dir, &path)?;
        }
        let database = Builder::new()
            .set_cache_size(options.cache_bytes)
            .set_repair_callback(repair::reporter(path.clone()))
            .open(&path)
            .map_err(|error| open_failed(error, dir))?;
        Ok(Self::over(database, path, options, names))
    }

    /// Over something else than a file, which is created if it is empty.
    #[cfg(test)]
    pub(super) fn open_backend(
        backend: impl ::redb::StorageBackend,
        options: &EngineOptions,
        names: Arc<KeyspaceNames>,
    ) -> Result<Self> {
        let database = Builder::new()
            .set_cache_size(options.cache_bytes)
            .create_with_backend(backend)
            .map_err(|error| open_failed(error, Path::new("")))?;
        Ok(Self::over(database, PathBuf::new(), options, names))
    }

    fn over(
        database: Database,
        path: PathBuf,
        options: &EngineOptions,
        names: Arc<KeyspaceNames>,
    ) -> Self {
        Self {
            newest: Newest::default(),
            database,
            names,
            path,
            cache_bytes: options.cache_bytes,
            quick_repair: options.quick_repair,
            unsynced_bytes: AtomicU64::new(0),
            pending: Pending::default(),
        }
    }

    fn begin(&self, durability: Durability) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_durability(durability).map_err(failed)?;
        transaction.set_quick_repair(self.quick_repair);
        Ok(transaction)
    }

    /// Makes `changes` visible; if `durable`, has them on disk, with all before them.
    fn commit(&self, changes: &Changes, durable: bool) -> Result<()> {
        let _committing = self.newest.commit();
        let transaction =
            self.begin(if durable { Durability::Immediate } else { Durability::None })?;
        for keyspace in &changes.keyspaces {
            apply_to(&transaction, &self.names.name(keyspace.keyspace)?, keyspace)?;
        }
        if durable {
            return self.commit_durably(transaction);
        }
        transaction.commit().map_err(failed)
    }

    /// Brings what is pending into redb.
    fn commit_pending(&self) -> Result<()> {
        self.commit_pending_and(|| Ok(()))
    }

    /// The same, and then runs `then`, for which no batch is there in part.
    fn commit_pending_and<T>(&self, then: impl FnOnce() -> Result<T>) -> Result<T> {
        self.pending.commit(|changes| self.commit(changes, false), then)
    }

    /// What redb has, with all that was pending.
    fn read_all(&self) -> Result<ReadTransaction> {
        self.commit_pending_and(|| self.begin_read())
    }

    /// What redb has, without what is pending.
    fn committed(&self) -> Result<RedbSnapshot> {
        Ok(RedbSnapshot::new(self.begin_read()?, Arc::clone(&self.names)))
    }

    fn begin_read(&self) -> Result<ReadTransaction> {
        guarded(|| self.database.begin_read().map_err(failed))
    }

    fn commit_durably(&self, transaction: WriteTransaction) -> Result<()> {
        transaction.commit().map_err(failed)?;
        self.unsynced_bytes.store(0, Ordering::Relaxed);
        Ok(())
    }
}

impl Engine for Redb {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.pending.snapshot(|| Ok(Box::new(self.committed()?)))
    }

    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        // What is pending first: what is there no more is in redb by then.
        let pending = self.pending.get_many(keys);
        let newest = self.newest.get(|| self.committed());
        let get = |(index, (pending, (keyspace, key))): (usize, (_, &(KeyspaceId, &[u8])))| {
            if !progress.begin(index) {
                return Ok(None);
            }
            match pending {
                Some(value) => Ok(value),
                None => newest.as_ref().map_err(Clone::clone)?.get(*keyspace, key),
            }
        };
        pending.into_iter().zip(keys).enumerate().map(get).collect()
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        let unsynced = self.unsynced_bytes.load(Ordering::Relaxed) + cost(changes);
        let durable = sync || unsynced >= UNSYNCED_BYTES_MAX;
        if !durable {
            self.unsynced_bytes.store(unsynced, Ordering::Relaxed);
            if can_wait(changes) {
                return self.pending.add(changes, |changes| self.commit(changes, false));
            }
        }
        // By itself, since readers find it then while the disk is waited for.
        self.commit_pending()?;
        self.commit(changes, durable)
    }

    /// A durable commit persists all commits before it, so an empty one is redb's fsync.
    fn sync(&self) -> Result<()> {
        if self.unsynced_bytes.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        self.commit_pending()?;
        self.commit_durably(self.begin(Durability::Immediate)?)
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        let name = self.names.name(keyspace)?;
        self.commit_pending()?;
        let _committing = self.newest.commit();
        let transaction = self.begin(Durability::Immediate)?;
        let existed = transaction.delete_table(Definition::new(&name)).map_err(failed)?;
        if existed {
            self.commit_durably(transaction)?;
        } else {
            transaction.abort().map_err(failed)?;
        }
        Ok(existed)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        let transaction = self.read_all()?;
        guarded(|| {
            let tables = transaction.list_tables().map_err(failed)?;
            let mut names: Vec<String> = tables.map(|table| table.name().to_owned()).collect();
            names.sort_unstable();
            Ok(names)
        })
    }

    fn checkpoint(&self, into: &Path) -> Result<()> {
        let from = self.read_all()?;
        guarded(|| checkpoint::write(&from, &into.join(FILE)))
    }

    /// Only what redb keeps at hand: its own `stats` would walk every tree.
    fn stats(&self) -> Result<EngineStats> {
        let transaction = self.read_all()?;
        guarded(|| {
            let unsynced = self.unsynced_bytes.load(Ordering::Relaxed);
            let mut details = vec![
                ("cache_bytes_max".into(), self.cache_bytes.to_string()),
                ("unsynced_bytes".into(), unsynced.to_string()),
            ];
            for table in transaction.list_tables().map_err(failed)? {
                let name = format!("entries.{}", table.name());
                let table = transaction.open_untyped_table(table).map_err(failed)?;
                details.push((name, table.len().map_err(failed)?.to_string()));
            }
            Ok(EngineStats {
                disk_bytes: std::fs::metadata(&self.path)?.len(),
                details,
                ..EngineStats::default()
            })
        })
    }

    fn unsynced_dies_with_process(&self) -> bool {
        true
    }

    fn gets_without_snapshot(&self) -> bool {
        true
    }
}

/// redb syncs what it has when it is closed, whatever it was committed with: not a batch in part. (But if a portion
/// failed, and not for I/O, after which redb syncs no more: then those before it may be there.)
impl Drop for Redb {
    fn drop(&mut self) {
        if let Err(error) = self.commit_pending() {
            tracing::debug!(%error, "what waited for a sync is lost");
        }
    }
}

/// Creates an empty database at `path`, whole or not at all: redb sizes its file first, and takes one
/// whose header it has not come to write for something else.
fn create(dir: &Path, path: &Path) -> Result<()> {
    let new = dir.join(NEW_FILE);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    drop(Builder::new().create(&new).map_err(|error| open_failed(error, dir))?);
    sync_file(&new)?;
    std::fs::rename(&new, path)?;
    sync_dir(dir)
}

fn apply_to(transaction: &WriteTransaction, name: &str, changes: &KeyspaceChanges) -> Result<()> {
    let definition = Definition::new(name);
    let all = changes.ranges.iter().any(|(start, end)| start.is_empty() && end.is_none());
    if all {
        // Frees whole pages, where a range delete would look at every entry.
        transaction.delete_table(definition).map_err(failed)?;
    }
    let mut table = transaction.open_table(definition).map_err(failed)?;
    if !all {
        for (start, end) in &changes.ranges {
            table
                .retain_in::<&[u8], _>(bounds(start, end.as_ref()), |_, _| false)
                .map_err(failed)?;
        }
    }
    for (key, value) in &changes.writes {
        match value {
            Some(value) => record::insert(&mut table, key, value)?,
            None => drop(table.remove(&**key).map_err(failed)?),
        }
    }
    Ok(())
}

fn cost(changes: &Changes) -> u64 {
    let mut bytes = 0;
    for keyspace in &changes.keyspaces {
        for start in keyspace.ranges.keys() {
            bytes += start.len() as u64 + CHANGE_OVERHEAD_BYTES;
        }
        for (key, value) in &keyspace.writes {
            let len = key.len() + value.as_ref().map_or(0, |value| value.len());
            bytes += len as u64 + CHANGE_OVERHEAD_BYTES;
        }
        // Even a keyspace that is only created is a change to sync.
        bytes += CHANGE_OVERHEAD_BYTES;
    }
    bytes
}
