//! The data of one engine, which all contenders work on in turn.

use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::executor::block_on;
use pontoon_storage::engine::Engine;
use pontoon_storage::{
    Bridge, Durability, EngineFactory, EngineKind, Error, Keyspace, Options, Result, Store,
    WriteBatch,
};
use rustix::fs::{Advice, fadvise};

use super::keys::{Values, key};
use super::shared::SharedEngine;

/// The keyspace that holds the data.
const KEYSPACE: &str = "bench";

/// How much one batch holds while data is filled in or removed.
const BATCH_LEN: usize = 10_000;
const BATCH_BYTES: usize = 8 << 20;

/// The least cache that an engine works with.
const CACHE_BYTES_MIN: usize = 1 << 20;

/// The part of the data that fits into the engine's cache when reads are to miss it.
const MISS_CACHE_PART: usize = 16;

/// How an engine is opened and filled.
#[derive(Debug, Clone)]
pub(super) struct Filling {
    pub(super) kind: EngineKind,
    pub(super) keys: u64,
    pub(super) value_bytes: usize,
    pub(super) cache_bytes: usize,
    /// Whether reads are to go to the disk.
    pub(super) is_cold: bool,
    pub(super) seed: u64,
}

impl Filling {
    /// Memory for the engine's cache: if reads are to miss it, a small part of the data.
    pub(super) fn cache_bytes(&self) -> usize {
        if !self.is_cold {
            return self.cache_bytes;
        }
        let data_bytes = (self.keys as usize).saturating_mul(8 + self.value_bytes);
        self.cache_bytes.min(data_bytes / MISS_CACHE_PART).max(CACHE_BYTES_MIN)
    }
}

/// An engine full of data.
pub(super) struct Data {
    pub(super) engine: SharedEngine,
    pub(super) filling: Filling,
    pub(super) values: Values,
    /// The number of the next key to insert.
    pub(super) next_key: Arc<AtomicU64>,
    keyspace: Keyspace,
    dir: PathBuf,
    /// What opened the engine and will close it.
    owner: Store,
}

impl Data {
    /// Opens an engine in `dir` and fills it. `step` is told how many keys are there.
    pub(super) fn fill(dir: &Path, filling: Filling, step: impl Fn(u64)) -> Result<Self> {
        let slot: Arc<Mutex<Option<SharedEngine>>> = Arc::default();
        let (fill, kind) = (Arc::clone(&slot), filling.kind);
        let make: Arc<EngineFactory> = Arc::new(move |dir, options, names| {
            let engine = SharedEngine::owner(kind.open(dir, options, names)?);
            *fill.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine.clone());
            Ok(Box::new(engine))
        });
        let options = Options::new(dir.join("owner"))
            .custom_engine(kind.name(), make)
            .engine_cache_bytes(filling.cache_bytes())
            .bridge(Bridge::Pool)
            .pool_threads(1)
            .durability(Durability::Never);
        let owner = block_on(Store::open(options))?;
        let engine = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let engine = engine.ok_or(Error::Closed)?;
        let data = Self {
            engine,
            values: Values::new(filling.value_bytes, filling.seed),
            next_key: Arc::new(AtomicU64::new(filling.keys)),
            keyspace: owner.keyspace(KEYSPACE)?,
            dir: dir.into(),
            owner,
            filling,
        };
        data.put_all(step)?;
        if !data.filling.is_cold {
            data.read_all()?;
        }
        Ok(data)
    }

    /// The number of the keyspace that holds the data, for calls to the engine itself.
    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// A store with its own bridge over the same engine, and its handle on the keyspace. One at a
    /// time.
    pub(super) async fn open_store(&self, options: StoreOptions) -> Result<(Store, Keyspace)> {
        let engine = self.engine.guest();
        let make: Arc<EngineFactory> = Arc::new(move |_, _, _| Ok(Box::new(engine.guest())));
        let mut settings = Options::new(self.dir.join("guest"))
            .custom_engine(self.filling.kind.name(), make)
            .bridge(options.bridge)
            .cache_bytes(options.cache_bytes)
            .durability(options.durability);
        if let Some(threads) = options.pool_threads {
            settings = settings.pool_threads(threads);
        }
        let store = Store::open(settings).await?;
        let keyspace = store.keyspace(KEYSPACE)?;
        if options.cache_bytes > 0 && !self.filling.is_cold {
            for batch_keys in batches(0..self.filling.keys, self.filling.value_bytes) {
                store.get_many(&keyspace, batch_keys.map(key)).await?;
            }
        }
        Ok((store, keyspace))
    }

    /// Makes ready for a sample: nothing is left to sync, and if reads are to go to the disk, the
    /// system has none of the data in memory.
    pub(super) fn settle(&self) -> Result<()> {
        let inserted = self.next_key.swap(self.filling.keys, Ordering::Relaxed);
        for batch_keys in batches(self.filling.keys..inserted, 0) {
            let mut batch = WriteBatch::new();
            for n in batch_keys {
                batch.delete(&self.keyspace, key(n));
            }
            block_on(self.owner.write(batch))?;
        }
        self.engine.sync()
    }

    /// The files of the data, as they are now.
    pub(super) fn files(&self) -> Vec<File> {
        let mut files = Vec::new();
        let mut dirs = vec![self.dir.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                    Ok(kind) if kind.is_file() => files.extend(File::open(entry.path())),
                    _ => {}
                }
            }
        }
        files
    }

    pub(super) fn close(self) -> Result<()> {
        drop(self.engine);
        block_on(self.owner.close())
    }

    fn put_all(&self, step: impl Fn(u64)) -> Result<()> {
        let keys = self.filling.keys;
        for batch_keys in batches(0..keys, self.filling.value_bytes) {
            let mut batch = WriteBatch::new();
            let done = batch_keys.end;
            for n in batch_keys {
                batch.put(&self.keyspace, key(n), self.values.value(n));
            }
            block_on(self.owner.write(batch))?;
            step(done);
        }
        if self.filling.kind == EngineKind::Rocksdb {
            // Moves what is in memory to its files, where nearly all of a larger store is.
            let copy = self.dir.join("copy");
            block_on(self.owner.checkpoint(&copy))?;
            fs::remove_dir_all(copy)?;
        }
        self.engine.sync()
    }

    /// Brings into the cache what fits.
    fn read_all(&self) -> Result<()> {
        for n in 0..self.filling.keys {
            let key = key(n);
            for found in self.engine.get_many(&[(self.keyspace.id(), &*key)], &()) {
                found?;
            }
        }
        Ok(())
    }
}

/// `keys` in parts, the values of each of which fit into a batch.
fn batches(keys: Range<u64>, value_bytes: usize) -> impl Iterator<Item = Range<u64>> {
    let len = BATCH_LEN.min(BATCH_BYTES / (value_bytes + 1)).max(1);
    let end = keys.end;
    keys.step_by(len).map(move |first| first..end.min(first + len as u64))
}

/// What differs between the stores of contenders.
#[derive(Debug, Clone)]
pub(super) struct StoreOptions {
    pub(super) bridge: Bridge,
    pub(super) pool_threads: Option<usize>,
    pub(super) durability: Durability,
    /// Memory for the record cache.
    pub(super) cache_bytes: usize,
}

/// Asks the system to forget what it holds of `files` in memory. Without effect on a file system that
/// lives there.
pub(super) fn evict(files: &[File]) {
    for file in files {
        // Advice may be refused; what was read from the disk is measured anyway.
        let _ = fadvise(file, 0, None, Advice::DontNeed);
    }
}

/// A little data for tests.
#[cfg(test)]
pub(super) fn ten_keys(dir: &Path, kind: EngineKind) -> Result<Data> {
    let filling = Filling {
        kind,
        keys: 10,
        value_bytes: 8,
        cache_bytes: CACHE_BYTES_MIN,
        is_cold: false,
        seed: 1,
    };
    Data::fill(dir, filling, |_| ())
}
