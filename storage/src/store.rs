//! The store: the cloneable async handle that users hold.
//!
//! Long because it is the one place where embedders read what each call does: most of it is
//! documentation.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::consume_budget;

use crate::batch::WriteBatch;
use crate::bridge::Deadline;
use crate::cache::RecordCache;
use crate::core::{Core, Handle, checkpoint};
use crate::engine::{Page, PageLimit};
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::lane::call::{
    OnTransaction, OnTransactions, OnView, ReadCall, Reply, inside, refuse_nested,
};
use crate::lane::read::{ReadEnv, ReadWork};
use crate::lane::write::WriteWork;
use crate::lane::{Admission, Lane, Work};
use crate::metrics::Stats;
use crate::options::{CallOptions, Durability, OnFull, Options, ReadLane};
use crate::range::{IntoBytes, KeyRange};
use crate::read::{Reader, ScanOptions};
use crate::scan::{Scan, later_lane};
use crate::snapshot::{Held, Snapshot};
use crate::transaction::Transaction;
use crate::view::{Cached, View, own};

/// What one operation weighs in a queue beside its keys and values, in bytes.
const OPERATION_BYTES: usize = 128;

/// Durable, ordered key-value storage, for async programs. Cheap to clone; every clone is the same
/// store.
///
/// # Futures
/// Nothing happens before a future is first polled. Dropped before its operation has started, the
/// operation never runs; dropped while it runs, it finishes, and a write may be durable.
///
/// # Dropping
/// When the last handle, snapshot and scan is dropped without [`close`](Store::close), the store
/// closes in the background and blocks no async thread; opening its directory again in this process
/// waits for that. A process that exits first leaves what a crash would leave.
///
/// # Panics
/// A panic in a closure is [`Error::Panicked`] for that call alone, unless the program is built with
/// `panic = "abort"`, which ends it.
///
/// ```
/// # fn main() -> pontoon_storage::Result<()> {
/// # futures::executor::block_on(async {
/// use pontoon_storage::{Options, Store};
///
/// let store = Store::open(Options::in_memory()).await?;
/// let users = store.keyspace("users")?;
/// store.put(&users, "17", "Ada").await?;
/// assert_eq!(store.get(&users, "17").await?.as_deref(), Some(&b"Ada"[..]));
/// store.close().await
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
    call: CallOptions,
}

impl Store {
    /// Opens, or creates, a store, off the async thread.
    ///
    /// After a crash this recovers what was acknowledged, which may take long. Dropping the future
    /// does not stop that; the store is then closed in the background. While another store of this
    /// process is opening or closing the directory, it waits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for options that contradict each other or a directory that holds
    /// something else; [`Error::Locked`], [`Error::WrongEngine`], [`Error::NoRuntime`],
    /// [`Error::Unsupported`]; [`Error::Corrupted`] or [`Error::Engine`] from the engine.
    pub async fn open(options: Options) -> Result<Store> {
        let handle = Core::open(options).await?;
        Ok(Store { handle: Arc::new(handle), call: CallOptions::default() })
    }

    /// The keyspace called `name`. Creates nothing: the first write does.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name that is empty, longer than
    /// [`KEYSPACE_NAME_BYTES_MAX`](crate::KEYSPACE_NAME_BYTES_MAX), or not printable ASCII;
    /// [`Error::TooLarge`] when too many have been named (see [`Options::keyspaces_max`]).
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        self.core().shared.names.intern(name)
    }

    /// This store, each call through which fails with [`Error::Deadline`] unless its operation has
    /// started within `deadline` of being first polled. Once started, a call waits for its result.
    ///
    /// ```
    /// # fn main() -> pontoon_storage::Result<()> {
    /// # futures::executor::block_on(async {
    /// use std::time::Duration;
    /// use pontoon_storage::{Error, Options, Store};
    ///
    /// let store = Store::open(Options::in_memory()).await?;
    /// let users = store.keyspace("users")?;
    /// let hasty = store.with_deadline(Duration::from_secs(5));
    /// hasty.put(&users, "17", "Ada").await?;
    /// let late = store.with_deadline(Duration::ZERO).get(&users, "17").await;
    /// assert!(matches!(late, Err(Error::Deadline)));
    /// # store.close().await })
    /// # }
    /// ```
    #[must_use = "only calls through the returned handle have the deadline"]
    pub fn with_deadline(&self, deadline: Duration) -> Store {
        self.with(|call| call.deadline = Some(deadline))
    }

    /// This store, reading through `lane`.
    #[must_use = "only calls through the returned handle use the lane"]
    pub fn with_lane(&self, lane: ReadLane) -> Store {
        self.with(|call| call.lane = Some(lane))
    }

    /// This store, each write through which is acknowledged as `durability` says if that is more
    /// than the store's default. Only [`Durability::Always`] can be more.
    #[must_use = "only writes through the returned handle have the durability"]
    pub fn with_durability(&self, durability: Durability) -> Store {
        self.with(|call| call.sync = durability == Durability::Always)
    }

    /// Changes when writes are acknowledged by default, for every handle of this store and from the next
    /// write on. What was acknowledged less durably before is synced soon.
    ///
    /// RocksDB's log is read after a crash as the durability says with which it is opened then.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an interval of zero, [`Error::Closed`], and [`Error::Bridge`] when
    /// no thread can be started; nothing has changed then.
    pub fn set_durability(&self, durability: Durability) -> Result<()> {
        durability.check()?;
        self.core().set_durability(durability)
    }

    /// This store, with another answer to a full queue.
    #[must_use = "only calls through the returned handle are answered so"]
    pub fn with_on_full(&self, on_full: OnFull) -> Store {
        self.with(|call| call.on_full = Some(on_full))
    }

    /// This store, each closure given to which counts as `bytes` in its queue: what it has captured,
    /// which the store cannot see.
    #[must_use = "only calls through the returned handle have the weight"]
    pub fn with_weight(&self, bytes: usize) -> Store {
        self.with(|call| call.weight_bytes = bytes)
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::Closed`], [`Error::Overloaded`], [`Error::Deadline`], [`Error::Nested`] or
    /// [`Error::Bridge`] when it did not run; [`Error::Engine`] or [`Error::Corrupted`] from the
    /// engine; [`Error::InvalidArgument`] for a keyspace of another store.
    pub async fn get(&self, keyspace: &Keyspace, key: impl IntoBytes) -> Result<Option<Bytes>> {
        let keyspace = own(keyspace, self.id())?;
        if let Some(cache) = self.cache_to_read()?
            && let Some(value) = cache.look(cache.now(), keyspace, key.as_bytes())
        {
            consume_budget().await;
            return Ok(value);
        }
        let key = key.into_bytes();
        let bytes = key.len() + OPERATION_BYTES;
        let work = |reply| ReadWork::Get { keyspace, key, reply };
        self.submit(self.read_lane(), (1, bytes), tracing::Span::none(), work).await
    }

    /// The values of `keys`, in their order, from one snapshot.
    ///
    /// # Errors
    /// As for [`get`](Store::get).
    pub fn get_many<K: IntoBytes>(
        &self,
        keyspace: &Keyspace,
        keys: impl IntoIterator<Item = K>,
    ) -> impl Future<Output = Result<Vec<Option<Bytes>>>> + Send {
        let keys = keys.into_iter().map(IntoBytes::into_bytes).collect();
        let (weight, read) = read_many(keyspace.clone(), keys);
        async move { self.weighing(weight).read(read).await }
    }

    /// Whether `key` is there.
    ///
    /// # Errors
    /// As for [`get`](Store::get).
    pub async fn contains(&self, keyspace: &Keyspace, key: impl IntoBytes) -> Result<bool> {
        Ok(self.get(keyspace, key).await?.is_some())
    }

    /// Sets `key` to `value`.
    ///
    /// # Errors
    /// As for [`get`](Store::get), and: [`Error::TooLarge`]; [`Error::Commit`] when the outcome is
    /// unknown until reopened; [`Error::ReadOnly`] after such a failure.
    pub async fn put(
        &self,
        keyspace: &Keyspace,
        key: impl IntoBytes,
        value: impl IntoBytes,
    ) -> Result<()> {
        let (keyspace, key, value) = (keyspace.clone(), key.into_bytes(), value.into_bytes());
        let bytes = key.len() + value.len();
        self.weighing(bytes).update_untraced(move |tx| tx.put(&keyspace, key, value)).await
    }

    /// Removes `key`. Removing what is not there is fine.
    ///
    /// # Errors
    /// As for [`put`](Store::put).
    pub async fn delete(&self, keyspace: &Keyspace, key: impl IntoBytes) -> Result<()> {
        let (keyspace, key) = (keyspace.clone(), key.into_bytes());
        self.weighing(key.len()).update_untraced(move |tx| tx.delete(&keyspace, key)).await
    }

    /// Removes every key of `range`.
    ///
    /// # Errors
    /// As for [`put`](Store::put).
    pub async fn delete_range(
        &self,
        keyspace: &Keyspace,
        range: impl Into<KeyRange>,
    ) -> Result<()> {
        let (keyspace, range) = (keyspace.clone(), range.into());
        self.weighing(range.weight())
            .update_untraced(move |tx| tx.delete_range(&keyspace, range))
            .await
    }

    /// Applies `batch`, all or nothing, in the order its writes were added.
    ///
    /// # Errors
    /// As for [`put`](Store::put).
    pub async fn write(&self, batch: WriteBatch) -> Result<()> {
        self.weighing(batch.weight()).update_untraced(move |tx| batch.run(tx)).await
    }

    /// Runs `f` over one snapshot, off the async thread, and returns what it returns. The snapshot
    /// sees every write acknowledged before the call. `f` runs at most once, and may block.
    ///
    /// # Errors
    /// What `f` returns, or why it did not run: as for [`get`](Store::get), and
    /// [`Error::Panicked`]. `E` is any error type that [`Error`] converts into.
    ///
    /// ```
    /// # fn main() -> pontoon_storage::Result<()> {
    /// # futures::executor::block_on(async {
    /// use pontoon_storage::{Error, KeyRange, Options, Reader, ScanOptions, Store};
    ///
    /// let store = Store::open(Options::in_memory()).await?;
    /// let users = store.keyspace("users")?;
    /// store.put(&users, "user:17", "Ada").await?;
    /// let names = users.clone();
    /// let count = store
    ///     .view(move |view| {
    ///         let found = view.scan(&names, KeyRange::prefix("user:"), ScanOptions::default());
    ///         Ok::<_, Error>(found.count())
    ///     })
    ///     .await?;
    /// assert_eq!(count, 1);
    /// store.close().await
    /// # })
    /// # }
    /// ```
    pub async fn view<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&View) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.read_call(move |env| f(env.view()?)).await
    }

    /// As [`view`](Store::view), but `f` runs first on the calling thread over what the record cache
    /// holds, and only if that lacks something once more, across the bridge: so it must have no effect
    /// but its result, and be short. Without a record cache it is `view`.
    ///
    /// # Errors
    /// As for [`view`](Store::view).
    ///
    /// ```
    /// # fn main() -> pontoon_storage::Result<()> {
    /// # futures::executor::block_on(async {
    /// use pontoon_storage::{Options, Reader, Store};
    ///
    /// let store = Store::open(Options::in_memory().cache_bytes(1 << 20)).await?;
    /// let users = store.keyspace("users")?;
    /// store.put(&users, "17", "Ada").await?;
    /// let names = users.clone();
    /// let name = store.read(move |reader: &dyn Reader| reader.get(&names, b"17")).await?;
    /// assert_eq!(name.as_deref(), Some(&b"Ada"[..]));
    /// assert_eq!(store.stats().await?.cache.hits, 1);
    /// store.close().await
    /// # })
    /// # }
    /// ```
    pub async fn read<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: Fn(&dyn Reader) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        if let Some(result) = self.cached(|cached| f(cached)) {
            consume_budget().await;
            return result;
        }
        self.view(move |view| f(view)).await
    }

    /// Runs `f` here and now, on the calling thread, over what the record cache holds; `None` if that
    /// lacked something that `f` read, or there is no record cache. It sees every write acknowledged
    /// before the call, as one consistent state. Never blocks, and never yields to other tasks either: in a
    /// loop, `tokio::task::consume_budget` should stand beside it.
    ///
    /// # Errors
    /// What `f` returns; [`Error::Closed`], [`Error::Nested`] and [`Error::Panicked`].
    pub fn cached<T, E: From<Error>>(
        &self,
        f: impl FnOnce(&Cached<'_>) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let cache = match self.cache_to_read() {
            Ok(cache) => cache?,
            Err(error) => return Some(Err(error.into())),
        };
        let cached = Cached::new(cache, self.id());
        let result = inside(self.id(), || f(&cached));
        if cached.has_missed() {
            return None;
        }
        Some(result.unwrap_or_else(|message| Err(Error::Panicked(message).into())))
    }

    /// Runs `f` once, in the write lane, off the async thread: a serializable read-modify-write. It
    /// sees every write before it and no other runs meanwhile, so nothing conflicts and nothing is
    /// retried. If it returns an error or panics, its writes are undone. Keep it short: it holds up
    /// every other write.
    ///
    /// # Errors
    /// What `f` returns, or why it did not run or commit: as for [`put`](Store::put), and
    /// [`Error::Panicked`]. `E` is any error type that [`Error`] converts into.
    ///
    /// ```
    /// # fn main() -> pontoon_storage::Result<()> {
    /// # futures::executor::block_on(async {
    /// use pontoon_storage::{Error, Options, Reader, Store};
    ///
    /// let store = Store::open(Options::in_memory()).await?;
    /// let counters = store.keyspace("counters")?;
    /// let hits = counters.clone();
    /// let count = store
    ///     .update(move |tx| {
    ///         let old = tx.get(&hits, b"hits")?;
    ///         let old = old.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes);
    ///         tx.put(&hits, b"hits", (old + 1).to_be_bytes())?;
    ///         Ok::<_, Error>(old + 1)
    ///     })
    ///     .await?;
    /// assert_eq!(count, 1);
    /// store.close().await
    /// # })
    /// # }
    /// ```
    pub async fn update<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.write_call(tracing::Span::current(), f).await
    }

    /// Runs `operations` in order, each as [`update`](Store::update) would, and answers all of them
    /// together, when all of them are as durable as asked: for a caller who has several at hand, the price of
    /// one crossing. Each is an operation of its own, with its own limits: one that fails or panics is undone
    /// alone, and its error stands in its place. Other writes come before all of them or behind.
    ///
    /// No answer leaves before the last has run: do not put together more than others can wait for. Where they
    /// write much, or take long, they are committed in several batches.
    ///
    /// # Errors
    /// As for [`put`](Store::put), and then none of them has run. What the closures return is inside, as is
    /// [`Error::Commit`] for each of a batch that could not be committed, and for those behind it.
    ///
    /// ```
    /// # fn main() -> pontoon_storage::Result<()> {
    /// # futures::executor::block_on(async {
    /// use pontoon_storage::{Error, Options, Reader, Store, Transaction};
    ///
    /// let store = Store::open(Options::in_memory()).await?;
    /// let users = store.keyspace("users")?;
    /// let register = |name: &'static str| {
    ///     let users = users.clone();
    ///     move |tx: &mut Transaction| {
    ///         if tx.get(&users, name.as_bytes())?.is_some() {
    ///             return Ok::<_, Error>(false);
    ///         }
    ///         tx.put(&users, name, "")?;
    ///         Ok(true)
    ///     }
    /// };
    /// let registered = store.update_all(["ada", "bob", "ada"].map(register).into()).await?;
    /// let registered: Vec<bool> = registered.into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(registered, [true, true, false]);
    /// store.close().await
    /// # })
    /// # }
    /// ```
    pub async fn update_all<T, E, F>(&self, operations: Vec<F>) -> Result<Vec<Result<T, E>>>
    where
        F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let operations_len = operations.len();
        let bytes = self.weight_of::<F>(operations_len);
        let (store, sync) = (self.id(), self.call.sync);
        let operations = operations.into_iter().map(|f| synced(sync, f)).collect();
        let work = |reply| WriteWork::Call(Box::new(OnTransactions::new(store, operations, reply)));
        self.submit(&self.core().write, (operations_len, bytes), tracing::Span::current(), work)
            .await
    }

    /// A consistent view, held across awaits until dropped.
    ///
    /// # Errors
    /// As for [`get`](Store::get); [`Error::Overloaded`] when too many are held (see
    /// [`Options::snapshots_max`]).
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let core = Arc::clone(self.core());
        // Held inside the job: if the caller is gone by then, dropping it releases the view.
        let held = self.read_call(move |env| Held::new(core, env.new_view()?)).await?;
        Ok(Snapshot::new(self.clone(), held))
    }

    /// The entries of `range` as a stream over one snapshot, which is taken when the stream is first
    /// polled.
    ///
    /// ```
    /// # fn main() -> pontoon_storage::Result<()> {
    /// # futures::executor::block_on(async {
    /// use futures::TryStreamExt as _;
    /// use pontoon_storage::{KeyRange, Options, ScanOptions, Store};
    ///
    /// let store = Store::open(Options::in_memory()).await?;
    /// let users = store.keyspace("users")?;
    /// for name in ["ada", "bob", "eve"] {
    ///     store.put(&users, name, "").await?;
    /// }
    /// let mut last_first = store.scan(&users, "b".., ScanOptions::reversed());
    /// let (key, _) = last_first.try_next().await?.expect("three names");
    /// assert_eq!(&key[..], b"eve");
    /// # drop(last_first);
    /// # store.close().await })
    /// # }
    /// ```
    pub fn scan(
        &self,
        keyspace: &Keyspace,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Scan {
        Scan::new(self.clone(), keyspace.clone(), range.into(), options)
    }

    /// Makes everything acknowledged so far survive a power loss.
    ///
    /// # Errors
    /// As for [`put`](Store::put).
    pub async fn sync(&self) -> Result<()> {
        self.update_untraced(|tx| {
            tx.require_sync();
            Ok(())
        })
        .await
    }

    /// The names of the keyspaces that exist, in byte order.
    ///
    /// # Errors
    /// As for [`get`](Store::get).
    pub async fn keyspaces(&self) -> Result<Vec<String>> {
        self.read_call(|env| env.engine()?.keyspaces()).await
    }

    /// Removes a keyspace with all that is in it, durably; `false` if there was none. Snapshots taken
    /// before still see it. A later write creates it anew.
    ///
    /// # Errors
    /// As for [`put`](Store::put).
    pub async fn drop_keyspace(&self, keyspace: &Keyspace) -> Result<bool> {
        let keyspace = own(keyspace, self.id())?;
        let work = |reply| WriteWork::DropKeyspace { keyspace, reply };
        self.submit(&self.core().write, (1, OPERATION_BYTES), tracing::Span::current(), work).await
    }

    /// Writes a consistent copy of the store to the new directory `to`, while reads and writes go on.
    /// It is written beside `to`, fsynced, and renamed into place, so that `to` is whole or not
    /// there. [`Store::open`] opens it. Dropping the future does not stop it once it has started.
    ///
    /// # Errors
    /// As for [`get`](Store::get); [`Error::InvalidArgument`] when `to` is there already;
    /// [`Error::Unsupported`] for the memory engine.
    ///
    /// ```
    /// # fn main() -> pontoon_storage::Result<()> {
    /// # futures::executor::block_on(async {
    /// # let dir = tempfile::tempdir()?;
    /// use pontoon_storage::{EngineKind, Options, Store};
    ///
    /// for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
    ///     let path = dir.path().join(engine.name());
    ///     let copy = path.with_extension("copy");
    ///     let store = Store::open(Options::new(path).engine(engine)).await?;
    ///     let users = store.keyspace("users")?;
    ///     store.put(&users, "17", "Ada").await?;
    ///     store.checkpoint(&copy).await?;
    ///     store.close().await?;
    ///
    ///     let store = Store::open(Options::new(copy).engine(engine)).await?;
    ///     assert!(store.contains(&store.keyspace("users")?, "17").await?);
    ///     store.close().await?;
    /// }
    /// # Ok(()) })
    /// # }
    /// ```
    pub async fn checkpoint(&self, to: impl Into<PathBuf>) -> Result<()> {
        let to = to.into();
        let name = self.core().options.engine.name().to_owned();
        self.with_lane(ReadLane::Background)
            .read_call(move |env| checkpoint(env.engine()?.as_ref(), &name, &to))
            .await
    }

    /// What the store has done and holds.
    ///
    /// # Errors
    /// As for [`get`](Store::get).
    pub async fn stats(&self) -> Result<Stats> {
        let storage = self.read_call(|env| env.engine()?.stats()).await?;
        let core = self.core();
        let metrics = &core.shared.metrics;
        Ok(Stats {
            engine: core.options.engine.name().to_owned(),
            read: core.read.metrics.stats(core.read.queued()),
            write: core.write.metrics.stats(core.write.queued()),
            background: core.background.metrics.stats(core.background.queued()),
            commits: metrics.commits.get(),
            syncs: metrics.syncs.get(),
            commit_micros: metrics.commit_micros.get(),
            snapshots: core.snapshots.len() as u64,
            read_only: core.shared.latch.get().is_some(),
            cache: core.shared.cache.as_ref().map(RecordCache::stats).unwrap_or_default(),
            storage,
        })
    }

    /// Closes the store: no new work, everything accepted finishes, data is synced, its threads end,
    /// and the directory is released, so that it can be opened again at once. Held snapshots and
    /// scans end with [`Error::Closed`]. Closing what is closed waits, and gives the same answer.
    /// Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`Error::Commit`] when the last sync failed, or a commit before it; the store is closed all
    /// the same. [`Error::Nested`] inside a closure of this store.
    pub async fn close(&self) -> Result<()> {
        refuse_nested(self.id())?;
        self.core().begin_close();
        self.core().closed().await
    }

    /// The first page of a scan, with the snapshot for the rest if there may be more.
    pub(crate) async fn snapshot_with_page(
        &self,
        keyspace: Keyspace,
        range: KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<(Option<Snapshot>, Page)> {
        let mut later = self.clone();
        later.call.lane = Some(later_lane(self.call.lane));
        let core = Arc::clone(self.core());
        let first = self.read_call(move |env| {
            let view = env.new_view()?;
            let page = view.page(&keyspace, &range, reverse, limit)?;
            let held = page.more.then(|| Held::new(core, view)).transpose()?;
            Ok::<_, Error>((held, page))
        });
        let (held, page) = first.await?;
        Ok((held.map(|held| Snapshot::new(later, held)), page))
    }

    /// Runs `f` in the lane that this handle chose.
    pub(crate) async fn read_call<T, E, F>(&self, f: F) -> Result<T, E>
    where
        F: FnOnce(&ReadEnv<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let bytes = self.weight_of::<F>(1);
        let work = |reply| ReadWork::Call(Box::new(OnView { f, reply }));
        self.submit(self.read_lane(), (1, bytes), tracing::Span::current(), work).await
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    fn id(&self) -> u64 {
        self.core().shared.id
    }

    /// The record cache, for a call that it may answer in place of a lane.
    fn cache_to_read(&self) -> Result<Option<&RecordCache>> {
        let Some(cache) = &self.core().shared.cache else { return Ok(None) };
        // Its lane says so: what was over before it began is never answered.
        if self.call.deadline == Some(Duration::ZERO) {
            return Ok(None);
        }
        refuse_nested(self.id())?;
        if self.core().read.is_closed() { Err(Error::Closed) } else { Ok(Some(cache)) }
    }

    fn with(&self, change: impl FnOnce(&mut CallOptions)) -> Store {
        let mut store = self.clone();
        change(&mut store.call);
        store
    }

    pub(crate) fn weighing(&self, bytes: usize) -> Store {
        self.with(|call| call.weight_bytes = bytes)
    }

    /// What a call with so many closures `F` weighs.
    fn weight_of<F>(&self, operations: usize) -> usize {
        let own_bytes = (size_of::<F>() + OPERATION_BYTES).saturating_mul(operations);
        self.call.weight_bytes.saturating_add(own_bytes)
    }

    fn read_lane(&self) -> &Arc<Lane<ReadWork>> {
        match self.call.lane.unwrap_or_default() {
            ReadLane::Foreground => &self.core().read,
            ReadLane::Background => &self.core().background,
        }
    }

    async fn update_untraced<F>(&self, f: F) -> Result<()>
    where
        F: FnOnce(&mut Transaction) -> Result<()> + Send + 'static,
    {
        self.write_call(tracing::Span::none(), f).await
    }

    async fn write_call<T, E, F>(&self, span: tracing::Span, f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let bytes = self.weight_of::<F>(1);
        let (store, f) = (self.id(), synced(self.call.sync, f));
        let work = |reply| WriteWork::Call(Box::new(OnTransaction::new(store, f, reply)));
        self.submit(&self.core().write, (1, bytes), span, work).await
    }

    /// One call of so many operations and bytes, from admission to answer.
    async fn submit<W: Work, T, E: From<Error>>(
        &self,
        lane: &Arc<Lane<W>>,
        (operations, bytes): (usize, usize),
        span: tracing::Span,
        work: impl FnOnce(Reply<T, E>) -> W,
    ) -> Result<T, E> {
        refuse_nested(self.id())?;
        let on_full = self.call.on_full.unwrap_or(self.core().options.on_full);
        let run = |deadline: Option<Arc<Deadline>>| async move {
            let (reply, answer) = oneshot::channel();
            let admission = Admission { operations, bytes, on_full, deadline, span };
            lane.admit(admission, work(reply)).await?;
            answer.await.map_err(|_| W::lost())
        };
        match self.call.deadline {
            None => run(None).await?,
            Some(within) => self.race(within, |cell| run(Some(cell))).await?,
        }
    }

    async fn race<T, F>(&self, within: Duration, run: impl FnOnce(Arc<Deadline>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        self.core().ticker.race(within, run).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("options", &self.core().options).finish_non_exhaustive()
    }
}

/// `f`, which first asks for an fsync if `sync`.
fn synced<R>(
    sync: bool,
    f: impl FnOnce(&mut Transaction) -> R,
) -> impl FnOnce(&mut Transaction) -> R {
    move |tx| {
        if sync {
            tx.require_sync();
        }
        f(tx)
    }
}

/// Queues the release of a held snapshot.
pub(crate) fn release_snapshot(core: &Core, id: u64) {
    let snapshots = Arc::clone(&core.snapshots);
    let (reply, _) = oneshot::channel::<Result<()>>();
    let release = Release(OnView {
        f: move |_: &ReadEnv<'_>| {
            snapshots.release(id);
            Ok(())
        },
        reply,
    });
    // Refused only when the store is closing, which releases them all.
    let _ = core.read.admit_uncounted(ReadWork::Call(Box::new(release)));
}

/// What is there for each of some keys.
type Values = Vec<Option<Bytes>>;

/// A read of many keys, and what it weighs.
pub(crate) fn read_many(
    keyspace: Keyspace,
    keys: Vec<Bytes>,
) -> (usize, impl Fn(&dyn Reader) -> Result<Values> + Send + 'static) {
    let weight = keys.iter().map(|key| key.len() + size_of::<Bytes>()).sum();
    let read = move |reader: &dyn Reader| {
        let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
        reader.get_many(&keyspace, &keys)
    };
    (weight, read)
}

/// A call that runs though nobody waits for its answer.
struct Release<C>(C);

impl<F, T, E> ReadCall for Release<OnView<F, T, E>>
where
    OnView<F, T, E>: ReadCall,
{
    fn run(self: Box<Self>, env: &ReadEnv<'_>) {
        Box::new(self.0).run(env);
    }

    fn fail(self: Box<Self>, error: Error) {
        Box::new(self.0).fail(error);
    }

    fn is_abandoned(&self) -> bool {
        false
    }
}
