//! RocksDB: a log-structured merge tree, a column family for each keyspace.
//!
//! Every batch goes to the write-ahead log first, and with it to the operating system, so that it
//! survives the process; with `sync` the log is fsynced too, so that it survives a power loss.
//!
//! The type is spelled `DBWithThreadMode<MultiThreaded>`: the crate's feature `multi-threaded-cf` would
//! change what `DB` means for everything else in an embedder's build.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ::rocksdb::{
    Cache, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options, ReadOptions,
    WriteBatch,
};
use bytes::Bytes;

use super::{Changes, Engine, EngineOptions, EngineStats, Progress, Snapshot};
use crate::disk::sync_dir;
use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceNames};

mod check;
mod checkpoint;
mod failure;
mod families;
mod log_end;
mod log_gap;
mod manifest;
mod note;
mod range_delete;
mod snapshot;
mod stall;
mod statistics;
mod tuning;

pub(super) use check::check;
use checkpoint::FamilyChanges;
use failure::{Step, failed, open_failed};
use families::Families;
use snapshot::{Points, RocksSnapshot};

/// RocksDB's directory within the engine's: it calls its files what it likes, and a checkpoint wants
/// to create its directory itself.
const DIR: &str = "data.rocksdb";

/// The column family that RocksDB insists on. Keyspaces cannot have its name.
const DEFAULT_FAMILY: &str = "default";

type Db = DBWithThreadMode<MultiThreaded>;

/// See the module.
pub(super) struct Rocksdb {
    db: Arc<Db>,
    names: Arc<KeyspaceNames>,
    /// Replaced as a whole when a keyspace is created or dropped. Taken together with a snapshot
    /// under one lock, so that a snapshot has the keyspaces of its own time.
    families: RwLock<Arc<Families>>,
    family_changes: FamilyChanges,
    cache: Cache,
    options: Options,
    path: PathBuf,
    unsynced: AtomicBool,
}

impl Rocksdb {
    pub(super) fn open(
        dir: &Path,
        options: &EngineOptions,
        names: Arc<KeyspaceNames>,
    ) -> Result<Self> {
        let path = dir.join(DIR);
        let exists = holds_database(&path)?;
        if options.must_exist && !exists {
            return Err(Error::corrupted(format!("the database in {} is missing", path.display())));
        }
        let cache = Cache::new_lru_cache(options.cache_bytes);
        let strict_log = options.strict_log;
        let options = tuning::options(options, &cache)?;
        let mut existing = if exists {
            manifest::check(dir, &path)?;
            log_end::check(dir, &path)?;
            Db::list_cf(&options, &path)
                .map_err(|error| open_failed(error, dir, &path, Step::Manifest))?
        } else {
            vec![DEFAULT_FAMILY.to_owned()]
        };
        let open = |db_options: &Options| {
            let descriptors =
                existing.iter().map(|name| ColumnFamilyDescriptor::new(name, options.clone()));
            Db::open_cf_descriptors(db_options, &path, descriptors)
                .map_err(|error| open_failed(error, dir, &path, Step::Data))
        };
        if exists {
            if !strict_log {
                log_gap::end_there(&path)?;
            } else if let Some(gap) = log_gap::before_a_write(dir, &path)? {
                return Err(Error::corrupted(gap.to_string()));
            }
            if log_end::logs(&path)?.is_empty() {
                // Makes a log.
                drop(open(&tuning::without_logs(&options)?)?);
            }
        }
        let db = match open(&options) {
            Err(Error::Corrupted(why))
                if strict_log && log_end::is_last_write_torn(dir, &path)? =>
            {
                tracing::warn!(
                    path = %path.display(),
                    %why,
                    "the log's last write is torn, as by a power loss; it is left out"
                );
                open(&tuning::cut_at_damage(&options))?
            }
            opened => opened?,
        };
        // RocksDB fsyncs its own directory, but not the one above it.
        sync_dir(dir)?;
        manifest::note(dir, &path);
        log_end::note_open(dir, &path)?;

        let db = Arc::new(db);
        existing.retain(|name| name != DEFAULT_FAMILY);
        let families = Families::open(Arc::clone(&db), existing, names.len_max());
        Ok(Self {
            db,
            names,
            families: RwLock::new(Arc::new(families)),
            family_changes: FamilyChanges::default(),
            cache,
            options,
            path,
            unsynced: AtomicBool::new(false),
        })
    }

    fn families(&self) -> Arc<Families> {
        Arc::clone(&self.families.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the column families called `existing` what snapshots see from now on.
    fn publish_families(&self, existing: Vec<String>) {
        let families = Families::open(Arc::clone(&self.db), existing, self.names.len_max());
        let mut current = self.families.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = std::mem::replace(&mut *current, Arc::new(families));
        drop(current);
        // The last handle of a dropped family frees its data: not while snapshots wait.
        drop(replaced);
    }

    /// The families, with one for each keyspace that `changes` touch.
    fn families_for(&self, changes: &Changes) -> Result<Arc<Families>> {
        let families = self.families();
        let mut missing = Vec::new();
        for keyspace in &changes.keyspaces {
            let exists =
                families.with(&self.names, keyspace.keyspace, |_, family| Ok(family.is_some()))?;
            if !exists {
                missing.push(self.names.name(keyspace.keyspace)?.to_string());
            }
        }
        if missing.is_empty() {
            return Ok(families);
        }
        for name in &missing {
            self.family_changes.make(|| self.db.create_cf(name, &self.options)).map_err(failed)?;
        }
        let mut existing = families.existing();
        existing.append(&mut missing);
        self.publish_families(existing);
        Ok(self.families())
    }

    fn batch(&self, families: &Families, changes: &Changes) -> Result<WriteBatch> {
        let mut batch = WriteBatch::default();
        for changes in &changes.keyspaces {
            families.with(&self.names, changes.keyspace, |db, family| {
                let family =
                    family.ok_or_else(|| Error::engine("a keyspace vanished while written"))?;
                for (start, end) in &changes.ranges {
                    range_delete::add(db, family, start, end.as_ref(), &mut batch)?;
                }
                for (key, value) in &changes.writes {
                    match value {
                        Some(value) => batch.put_cf(family, key, value),
                        None => batch.delete_cf(family, key),
                    }
                }
                Ok(())
            })?;
        }
        Ok(batch)
    }
}

impl Engine for Rocksdb {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
        let snapshot =
            RocksSnapshot::take(&self.db, Arc::clone(&families), Arc::clone(&self.names));
        Ok(Box::new(snapshot))
    }

    /// Without a snapshot, which takes and gives back RocksDB's one lock. All at once, which reads what
    /// keys have in common once; what is in memory alone first, and the rest one by one, cost twice the
    /// CPU on data that is not cached.
    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        _: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        let (families, options) = (self.families(), &ReadOptions::default());
        Points { families: &families, names: &self.names, options }.get_many(keys)
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        let families = self.families_for(changes)?;
        // Set first: a failed write may have reached the log all the same.
        self.unsynced.store(true, Ordering::Relaxed);
        stall::write(&self.db, || self.batch(&families, changes), sync)?;
        if sync {
            self.unsynced.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        if self.unsynced.load(Ordering::Relaxed) {
            self.db.flush_wal(true).map_err(failed)?;
            self.unsynced.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Durable because RocksDB fsyncs its manifest, which says what families there are. The log is
    /// fsynced first, or a power loss could take writes from before the drop and leave the drop.
    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        let name = self.names.name(keyspace)?;
        let mut existing = self.families().existing();
        let before = existing.len();
        existing.retain(|existing| **existing != *name);
        if existing.len() == before {
            return Ok(false);
        }
        self.sync()?;
        self.family_changes.make(|| self.db.drop_cf(&name)).map_err(failed)?;
        // Not before, or readers would see it gone, and a crash bring it back.
        self.publish_families(existing);
        Ok(true)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        Ok(self.families().existing())
    }

    fn gets_without_snapshot(&self) -> bool {
        true
    }

    /// Flushes what is in memory and makes hard links, copying only across file systems. RocksDB
    /// fsyncs the files it writes and their directory.
    fn checkpoint(&self, into: &Path) -> Result<()> {
        checkpoint::write(&self.db, &self.family_changes, &into.join(DIR))
    }

    fn stats(&self) -> Result<EngineStats> {
        let mut stats = statistics::read(&self.db, &self.families(), &self.cache, &self.path)?;
        let unsynced = u8::from(self.unsynced.load(Ordering::Relaxed));
        stats.details.push(("log-unsynced".to_owned(), unsynced.to_string()));
        Ok(stats)
    }

    fn close(&self) -> Result<()> {
        let synced = self.sync();
        self.db.cancel_all_background_work(true);
        if let Some(dir) = self.path.parent()
            && synced.is_ok()
        {
            manifest::note(dir, &self.path);
            log_end::note_closed(dir, &self.path)?;
        }
        synced
    }
}

/// Whether there is a database at `path`. RocksDB creates `CURRENT` before its first log, and data
/// only comes later: a first opening that was cut off has neither, and is done again.
///
/// # Errors
/// [`Error::Corrupted`] when there is data but not the file that says where it begins: RocksDB
/// would take that for an empty directory and start afresh.
fn holds_database(path: &Path) -> Result<bool> {
    if path.join("CURRENT").try_exists()? {
        return Ok(true);
    }
    if path.try_exists()? {
        for entry in std::fs::read_dir(path)? {
            let name = PathBuf::from(entry?.file_name());
            if name.extension().is_some_and(|extension| extension == "sst" || extension == "log") {
                let message = format!("{} has data but no file CURRENT", path.display());
                return Err(Error::corrupted(message));
            }
        }
    }
    Ok(false)
}
