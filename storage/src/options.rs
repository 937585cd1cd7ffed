//! How a store is opened, and how one call differs from the others.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Engine, EngineKind, EngineOptions};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceNames;
use crate::range::KeyRange;

/// The most that `key_bytes_max` may be: the size up to which RocksDB's authors recommend keys.
const KEY_BYTES_LIMIT: usize = 8 << 20;

/// The most that `value_bytes_max` may be. redb takes values up to 3 GiB, RocksDB up to 4 GiB.
const VALUE_BYTES_LIMIT: usize = 2 << 30;

/// The most that `transaction_bytes_max` may be. RocksDB takes batches up to 4 GiB, and a batch is
/// an operation, what was written before it in its drain, and its own encoding.
const TRANSACTION_BYTES_LIMIT: usize = 2 << 30;

/// When a write is acknowledged. A single write can ask for more than its store's default
/// (see [`Store::with_durability`](crate::Store::with_durability)), never for less; the default itself
/// can change ([`Store::set_durability`](crate::Store::set_durability)).
///
/// `docs/guarantees.md` says what each survives on each engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Once it is on the disk: an fsync ended after it. Writers that wait together share one.
    #[default]
    Always,
    /// Once it is applied; an fsync follows within this interval (one second is usual). A failure
    /// of that fsync makes the store refuse writes.
    Every(Duration),
    /// Once it is applied; the operating system decides when it reaches the disk.
    Never,
}

impl Durability {
    /// `Every` with one second, as Redis's `everysec`.
    pub const EVERY_SECOND: Durability = Durability::Every(Duration::from_secs(1));

    pub(crate) fn check(self) -> Result<()> {
        match self {
            Durability::Every(interval) if interval.is_zero() => {
                let why = "Durability::Every needs an interval; use Always for none";
                Err(Error::InvalidArgument(why.into()))
            }
            _ => Ok(()),
        }
    }
}

/// How blocking jobs get off the async thread.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Bridge {
    /// Dedicated named threads, independent of tokio: works on any executor.
    #[default]
    Pool,
    /// tokio's `spawn_blocking`, on either flavor.
    Blocking,
}

/// What happens to an operation when its lane's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFull {
    /// It waits for room, first come first served.
    #[default]
    Wait,
    /// It fails with [`Error::Overloaded`].
    Fail,
}

/// Which queue a read goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadLane {
    /// The read lane: short reads, several at a time.
    #[default]
    Foreground,
    /// The background lane: long reads, one at a time, never in front of a foreground read.
    Background,
}

/// How to open a [`Store`](crate::Store).
///
/// ```
/// use pontoon_storage::{Bridge, Durability, EngineKind, Options};
///
/// let options = Options::new("data")
///     .engine(EngineKind::Memory)
///     .bridge(Bridge::Pool)
///     .pool_threads(2)
///     .durability(Durability::EVERY_SECOND);
/// ```
#[derive(Clone)]
pub struct Options {
    pub(crate) dir: Option<PathBuf>,
    pub(crate) engine: EngineChoice,
    pub(crate) engine_options: EngineOptions,
    pub(crate) bridge: Bridge,
    pub(crate) runtime: Option<tokio::runtime::Handle>,
    pub(crate) pool_threads: Option<usize>,
    pub(crate) read_threads_max: Option<usize>,
    pub(crate) durability: Durability,
    pub(crate) on_full: OnFull,
    pub(crate) queue: QueueLimits,
    pub(crate) sizes: SizeLimits,
    pub(crate) keyspaces_max: usize,
    pub(crate) snapshots_max: usize,
    pub(crate) cache_bytes: usize,
}

/// Makes an engine in a directory; see [`Options::custom_engine`].
pub type EngineFactory =
    dyn Fn(&Path, &EngineOptions, Arc<KeyspaceNames>) -> Result<Box<dyn Engine>> + Send + Sync;

#[derive(Clone)]
pub(crate) enum EngineChoice {
    Kind(EngineKind),
    Custom(String, Arc<EngineFactory>),
}

impl EngineChoice {
    pub(crate) fn name(&self) -> &str {
        match self {
            EngineChoice::Kind(kind) => kind.name(),
            EngineChoice::Custom(name, _) => name,
        }
    }
}

/// How much one lane's queue holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) operations: usize,
    pub(crate) bytes: usize,
}

/// How large keys, values and transactions may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SizeLimits {
    pub(crate) key_bytes_max: usize,
    pub(crate) value_bytes_max: usize,
    pub(crate) transaction_bytes_max: usize,
}

impl Options {
    /// The defaults in the directory `dir`, which is created if it is not there: redb (in a build
    /// without it RocksDB, else memory), pool mode, durability `Always`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let kind = if cfg!(feature = "redb") {
            EngineKind::Redb
        } else if cfg!(feature = "rocksdb") {
            EngineKind::Rocksdb
        } else {
            EngineKind::Memory
        };
        Self {
            dir: Some(dir.into()),
            engine: EngineChoice::Kind(kind),
            engine_options: EngineOptions::default(),
            bridge: Bridge::default(),
            runtime: None,
            pool_threads: None,
            read_threads_max: None,
            durability: Durability::default(),
            on_full: OnFull::default(),
            queue: QueueLimits { operations: 16_384, bytes: 64 << 20 },
            sizes: SizeLimits {
                key_bytes_max: 64 << 10,
                value_bytes_max: 512 << 20,
                transaction_bytes_max: 1 << 30,
            },
            keyspaces_max: 1024,
            snapshots_max: 4096,
            cache_bytes: 0,
        }
    }

    /// The memory engine, with no directory at all.
    pub fn in_memory() -> Self {
        Self { dir: None, ..Self::new(PathBuf::new()).engine(EngineKind::Memory) }
    }

    /// Which engine. A directory remembers its own: another is refused with
    /// [`Error::WrongEngine`].
    pub fn engine(mut self, kind: EngineKind) -> Self {
        self.engine = EngineChoice::Kind(kind);
        self
    }

    /// An engine of your own, or one of ours wrapped: `name` is what the directory remembers.
    pub fn custom_engine(mut self, name: impl Into<String>, make: Arc<EngineFactory>) -> Self {
        self.engine = EngineChoice::Custom(name.into(), make);
        self
    }

    /// Memory for the engine's read cache, in bytes. Default 128 MiB.
    pub fn engine_cache_bytes(mut self, bytes: usize) -> Self {
        self.engine_options.cache_bytes = bytes;
        self
    }

    /// Memory for the record cache, in bytes, bookkeeping included: values of single keys, in front of
    /// the bridge, so that reading one that is there costs no crossing at all. Default 0: none. It pays
    /// where the same keys are read often; the engine's own cache holds blocks of neighbours, and
    /// what both hold is held twice. A record larger than a shard's half (with the default number of
    /// shards, four for each CPU) is not kept.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Memory for RocksDB's write buffers, in bytes, all keyspaces together. Default 64 MiB.
    pub fn write_buffer_bytes(mut self, bytes: usize) -> Self {
        self.engine_options.write_buffer_bytes = bytes;
        self
    }

    /// Files that RocksDB may hold open. Default 512.
    pub fn open_files_max(mut self, files: u32) -> Self {
        self.engine_options.open_files_max = files;
        self
    }

    /// redb: whether each durable commit also saves what makes recovery after a crash quick, at
    /// the price of a second fsync. Default off; `docs/guarantees.md` gives the figures.
    pub fn redb_quick_repair(mut self, on: bool) -> Self {
        self.engine_options.quick_repair = on;
        self
    }

    /// Which bridge mode. Default `Pool`.
    pub fn bridge(mut self, bridge: Bridge) -> Self {
        self.bridge = bridge;
        self
    }

    /// The tokio runtime that `Bridge::Blocking` uses; by default the one that polls
    /// [`Store::open`](crate::Store::open).
    pub fn runtime(mut self, handle: tokio::runtime::Handle) -> Self {
        self.runtime = Some(handle);
        self
    }

    /// In pool mode: threads of this store's own for reads; it has one more for writes and one for
    /// background work. By default reads use a pool that all stores of the process share, with two
    /// threads for each CPU, and at least 16. Most are used only while reads wait for the disk.
    pub fn pool_threads(mut self, threads: usize) -> Self {
        self.pool_threads = Some(threads);
        self
    }

    /// How many read drains may run at once: in pool mode at most the pool's threads, which is the
    /// default there; else two for each CPU, and at least 16.
    pub fn read_threads_max(mut self, threads: usize) -> Self {
        self.read_threads_max = Some(threads);
        self
    }

    /// When writes are acknowledged. Default `Always`.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// What happens when a queue is full. Default `Wait`.
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.on_full = on_full;
        self
    }

    /// How many operations each lane holds, waiting and running; a call of more than that goes alone. Default
    /// 16,384.
    pub fn queue_len_max(mut self, operations: usize) -> Self {
        self.queue.operations = operations;
        self
    }

    /// How many bytes of keys and values each lane's operations hold. An operation larger than that
    /// goes alone. Default 64 MiB.
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue.bytes = bytes;
        self
    }

    /// The largest key, in bytes. Default 64 KiB; at most 8 MiB.
    pub fn key_bytes_max(mut self, bytes: usize) -> Self {
        self.sizes.key_bytes_max = bytes;
        self
    }

    /// The largest value, in bytes. Default 512 MiB; at most 2 GiB.
    pub fn value_bytes_max(mut self, bytes: usize) -> Self {
        self.sizes.value_bytes_max = bytes;
        self
    }

    /// The most that one operation may write, in bytes of keys, values and overhead. Default 1 GiB;
    /// at most 2 GiB.
    pub fn transaction_bytes_max(mut self, bytes: usize) -> Self {
        self.sizes.transaction_bytes_max = bytes;
        self
    }

    /// How many different keyspaces may be named while the store is open. Default 1,024.
    pub fn keyspaces_max(mut self, keyspaces: usize) -> Self {
        self.keyspaces_max = keyspaces;
        self
    }

    /// How many snapshots and scans may be held at once. Default 4,096.
    pub fn snapshots_max(mut self, snapshots: usize) -> Self {
        self.snapshots_max = snapshots;
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let invalid = |why: &str| Err(Error::InvalidArgument(why.into()));
        if self.pool_threads == Some(0) || self.read_threads_max == Some(0) {
            return invalid("a store needs at least one thread for reads");
        }
        if self.pool_threads.is_some() && matches!(self.bridge, Bridge::Blocking) {
            return invalid("pool_threads is for Bridge::Pool; this store uses Bridge::Blocking");
        }
        if self.runtime.is_some() && matches!(self.bridge, Bridge::Pool) {
            return invalid("a runtime is for Bridge::Blocking; this store uses Bridge::Pool");
        }
        if let (Some(drains), Some(threads)) = (self.read_threads_max, self.pool_threads)
            && drains > threads
        {
            return invalid("read_threads_max is more than the pool's threads");
        }
        if self.keyspaces_max == 0 || self.snapshots_max == 0 {
            return invalid("a store needs room for at least one keyspace and one snapshot");
        }
        if self.queue.operations == 0 || self.queue.bytes == 0 {
            return invalid("a queue that holds nothing would refuse every operation");
        }
        self.durability.check()?;
        if self.dir.is_none() && !matches!(self.engine, EngineChoice::Kind(EngineKind::Memory)) {
            return invalid("this engine needs a directory: use Options::new");
        }
        let SizeLimits { key_bytes_max, value_bytes_max, transaction_bytes_max } = self.sizes;
        check_size("key_bytes_max", key_bytes_max, KEY_BYTES_LIMIT)?;
        check_size("value_bytes_max", value_bytes_max, VALUE_BYTES_LIMIT)?;
        check_size("transaction_bytes_max", transaction_bytes_max, TRANSACTION_BYTES_LIMIT)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("dir", &self.dir)
            .field("engine", &self.engine.name())
            .field("bridge", &self.bridge)
            .field("durability", &self.durability)
            .finish_non_exhaustive()
    }
}

impl SizeLimits {
    pub(crate) fn check_key(&self, key: &[u8]) -> Result<()> {
        check("key", key.len(), self.key_bytes_max)
    }

    pub(crate) fn check_value(&self, value: &[u8]) -> Result<()> {
        check("value", value.len(), self.value_bytes_max)
    }

    pub(crate) fn check_transaction(&self, bytes: usize) -> Result<()> {
        check("transaction", bytes, self.transaction_bytes_max)
    }

    /// The bounds of a range may be one byte longer than a key: the first key after the longest.
    pub(crate) fn check_range(&self, range: &KeyRange) -> Result<()> {
        let longest = range.start.len().max(range.end.as_ref().map_or(0, |end| end.len()));
        check("range bound", longest, self.key_bytes_max.saturating_add(1))
    }
}

fn check_size(setting: &str, bytes: usize, limit: usize) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    let why = format!("{setting} is {bytes}, and the engines take at most {limit}");
    Err(Error::InvalidArgument(why))
}

fn check(what: &'static str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what, size: size as u64, limit: limit as u64 })
}

/// How one call differs from the others: what the `with_…` methods of a store set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallOptions {
    pub(crate) deadline: Option<Duration>,
    pub(crate) lane: Option<ReadLane>,
    pub(crate) sync: bool,
    pub(crate) on_full: Option<OnFull>,
    pub(crate) weight_bytes: usize,
}
