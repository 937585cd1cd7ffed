//! A running store: its lanes, bridge, ticker and directory, and how all of them end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{oneshot, watch};

use crate::bridge::{self, LaneKind, OnInterval, RunningBridge, Ticker};
use crate::cache::RecordCache;
use crate::dir::OpenDir;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceNames;
use crate::lane::Lane;
use crate::lane::call::quietly;
use crate::lane::queue::TakeLimit;
use crate::lane::read::{OnShared, ReadDrainer, ReadWork};
use crate::lane::write::{IntervalSync, WriteDrainer, WriteWork};
use crate::options::{Durability, EngineChoice, Options};
use crate::shared::Shared;
use crate::snapshot::SnapshotGate;
use crate::sync::{AtomicBool, Mutex, lock};

/// Reads that one drain takes: more, and callers and drains work in lockstep instead of side by side.
const READS_PER_DRAIN_MAX: usize = 64;

/// Writes that one drain takes.
const WRITES_PER_DRAIN_MAX: usize = 1024;

/// Bytes that one drain takes.
const BYTES_PER_DRAIN_MAX: usize = 16 << 20;

/// How long data may live in this process alone under [`Durability::Never`].
const VOLATILE_AGE_MAX: Duration = Duration::from_secs(10);

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The users' end of a core: when it goes, the store closes.
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.begin_close();
    }
}

pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared>,
    pub(crate) read: Arc<Lane<ReadWork>>,
    pub(crate) write: Arc<Lane<WriteWork>>,
    pub(crate) background: Arc<Lane<ReadWork>>,
    pub(crate) snapshots: Arc<SnapshotGate>,
    pub(crate) ticker: Arc<Ticker>,
    /// How often the ticker has unsynced writes synced. Held while that changes.
    interval: Mutex<Option<Duration>>,
    /// Whether what is not synced dies with the process.
    volatile: bool,
    bridge: Arc<RunningBridge>,
    dir: Mutex<Option<OpenDir>>,
    closing: AtomicBool,
    closed: watch::Sender<Option<Result<()>>>,
}

impl Core {
    /// Opens on a thread of its own, as recovery may take long. Dropping the future does not stop
    /// it; the store is then closed again at once, be the future dropped before or after the answer
    /// has reached it.
    pub(crate) async fn open(options: Options) -> Result<Handle> {
        options.check()?;
        let bridge = bridge::start(&options)?;
        let (reply, opened) = oneshot::channel();
        let span = tracing::Span::current();
        bridge::run_on_own_thread("pontoon-open", move || {
            let _span = span.entered();
            let opened = Self::open_blocking(options, bridge);
            let core = opened.as_ref().ok().map(Arc::clone);
            // Nobody may be there to take the handle, now or once it is sent: then it closes.
            let sent = reply.send(opened.map(|core| Handle { core })).is_ok();
            // Only now, so that whoever opens the directory after giving this up waits for the close.
            if let Some(core) = core.filter(|_| sent) {
                core.set_open();
            }
        })?;
        opened.await.map_err(|_| Error::corrupted("the engine panicked while it was opened"))?
    }

    fn open_blocking(mut options: Options, bridge: Arc<RunningBridge>) -> Result<Arc<Self>> {
        options.engine_options.strict_log = options.durability == Durability::Always;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let names = Arc::new(KeyspaceNames::new(id, options.keyspaces_max));
        let dir = options.dir.as_deref();
        let mut dir = dir.map(|dir| OpenDir::acquire(dir, options.engine.name())).transpose()?;
        options.engine_options.must_exist = dir.as_ref().is_some_and(OpenDir::is_ready);
        let data = dir.as_ref().map(OpenDir::data).unwrap_or_default();
        let engine = open_engine(&options, &data, Arc::clone(&names))?;
        if let Some(dir) = &mut dir {
            dir.set_ready(options.engine.name())?;
        }
        let volatile = engine.unsynced_dies_with_process();
        let Options { sizes, durability, queue, .. } = options;
        let cache = RecordCache::new(options.cache_bytes, options.keyspaces_max);
        let shared = Arc::new(Shared::new(engine, names, id, sizes, durability, cache));
        let take = |operations| TakeLimit { operations, bytes: BYTES_PER_DRAIN_MAX };
        let ticker = Arc::new(Ticker::new());
        let reads = |kind, drains_max, operations, on_backlog: Option<OnShared>| {
            let caches = kind == LaneKind::Read;
            let on_shared = on_backlog.clone();
            let drainer = Box::new(ReadDrainer::new(Arc::clone(&shared), caches, on_shared));
            let (take, bridge) = (take(operations), Arc::clone(&bridge));
            Lane::new(kind, drains_max, take, queue, bridge, drainer, on_backlog)
        };
        let watch = Arc::clone(&ticker);
        let on_backlog: OnShared = Arc::new(move || watch.watch());
        let on_backlog = (bridge.read_threads > 1).then_some(on_backlog);
        let read = reads(LaneKind::Read, bridge.read_threads, READS_PER_DRAIN_MAX, on_backlog);
        let background = reads(LaneKind::Background, 1, 1, None);
        let drainer = Box::new(WriteDrainer { shared: Arc::clone(&shared) });
        let write_take = take(WRITES_PER_DRAIN_MAX);
        let write_bridge = Arc::clone(&bridge);
        let write = Lane::new(LaneKind::Write, 1, write_take, queue, write_bridge, drainer, None);
        let interval = interval_of(durability, volatile);
        if let Some(every) = interval {
            ticker.set_interval(every, sync_unsynced_of(&write, &shared))?;
        }
        // A cycle that stopping the ticker breaks: nothing may fail from here on.
        let (lane, mut takes_seen) = (Arc::clone(&read), 0);
        ticker.set_watch(Box::new(move || lane.relieve(&mut takes_seen)));
        let snapshots = Arc::new(SnapshotGate::new(options.snapshots_max));
        tracing::debug!(engine = options.engine.name(), "store opened");
        Ok(Arc::new(Self {
            options,
            shared,
            read,
            write,
            background,
            snapshots,
            ticker,
            interval: Mutex::new(interval),
            volatile,
            bridge,
            dir: Mutex::new(dir),
            closing: AtomicBool::new(false),
            closed: watch::Sender::new(None),
        }))
    }

    /// From now on, opening the directory again in this process fails, unless this is closing.
    fn set_open(&self) {
        if let Some(dir) = &*lock(&self.dir) {
            dir.set_open();
        }
    }

    /// Changes when writes are acknowledged by default.
    pub(crate) fn set_durability(&self, durability: Durability) -> Result<()> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        let mut interval = lock(&self.interval);
        let next = interval_of(durability, self.volatile);
        if next != *interval {
            match next {
                Some(every) => {
                    let call = sync_unsynced_of(&self.write, &self.shared);
                    self.ticker.set_interval(every, call)?;
                }
                None => self.ticker.clear_interval(),
            }
            *interval = next;
        }
        self.shared.always.store(durability == Durability::Always, Ordering::Release);
        // Behind every write that was begun before: no interval may come for those any more.
        self.shared.sync_queued.store(true, Ordering::Release);
        let call = IntervalSync { shared: Arc::clone(&self.shared) };
        self.write.admit_uncounted(WriteWork::Call(Box::new(call)))
    }

    /// Starts closing, once, on a thread of its own: that works whatever has become of the bridge,
    /// and holds up no async thread.
    pub(crate) fn begin_close(self: &Arc<Self>) {
        if self.closing.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(dir) = &*lock(&self.dir) {
            dir.set_closing();
        }
        self.read.close();
        self.write.close();
        self.background.close();
        let core = Arc::clone(self);
        let closing = bridge::run_on_own_thread("pontoon-close", move || core.finish_close());
        if let Err(error) = closing {
            tracing::error!(%error, "closing the store needs a thread; it stays open until exit");
            self.closed.send_replace(Some(Err(error)));
        }
    }

    /// Waits for the close that [`begin_close`](Core::begin_close) started.
    pub(crate) async fn closed(&self) -> Result<()> {
        let mut closed = self.closed.subscribe();
        let outcome = closed.wait_for(Option::is_some).await.map_err(|_| Error::Closed)?;
        outcome.clone().unwrap_or(Ok(()))
    }

    /// Lets what was accepted finish, syncs, and gives everything up.
    fn finish_close(&self) {
        self.read.wait_idle();
        self.write.wait_idle();
        self.background.wait_idle();
        self.ticker.stop();
        self.snapshots.release_all();
        let closed = self.close_engine();
        // Whatever the mode's threads hold, the directory is given up and waiters are answered.
        quietly(|| self.bridge.shut_down());
        drop(lock(&self.dir).take());
        if let Err(error) = &closed {
            tracing::error!(%error, "the store did not close cleanly");
        }
        self.closed.send_replace(Some(closed));
    }

    fn close_engine(&self) -> Result<()> {
        let Some(engine) = self.shared.take_engine() else { return Ok(()) };
        let close = std::panic::AssertUnwindSafe(move || {
            let synced = match self.shared.latch.get() {
                Some(cause) => Err(Error::Commit(Arc::clone(cause))),
                None => engine.sync().map_err(|error| Error::Commit(error.into_cause())),
            };
            let closed = engine.close();
            drop(engine);
            synced.and(closed)
        });
        std::panic::catch_unwind(close)
            .unwrap_or_else(|_| Err(Error::corrupted("the engine panicked while it was closed")))
    }
}

/// Writes a checkpoint of `engine` to the new directory `to`.
pub(crate) fn checkpoint(engine: &dyn Engine, name: &str, to: &Path) -> Result<()> {
    crate::dir::write_copy(to, name, |data| engine.checkpoint(data))
}

fn open_engine(
    options: &Options,
    data: &Path,
    names: Arc<KeyspaceNames>,
) -> Result<Box<dyn Engine>> {
    let open = std::panic::AssertUnwindSafe(|| match &options.engine {
        EngineChoice::Kind(kind) => kind.open(data, &options.engine_options, names),
        EngineChoice::Custom(_, make) => make(data, &options.engine_options, names),
    });
    std::panic::catch_unwind(open).unwrap_or_else(|payload| {
        let why = crate::lane::call::panic_message(payload.as_ref());
        Err(Error::corrupted(format!("the engine panicked while it was opened: {why}")))
    })
}

/// How often unsynced writes are synced under `durability`, if time does it.
fn interval_of(durability: Durability, volatile: bool) -> Option<Duration> {
    match durability {
        Durability::Every(interval) => Some(interval),
        Durability::Never if volatile => Some(VOLATILE_AGE_MAX),
        Durability::Always | Durability::Never => None,
    }
}

/// What the ticker calls for that.
fn sync_unsynced_of(lane: &Arc<Lane<WriteWork>>, shared: &Arc<Shared>) -> OnInterval {
    let (lane, shared) = (Arc::clone(lane), Arc::clone(shared));
    Box::new(move || sync_unsynced(&lane, &shared))
}

/// Queues an fsync if something needs one and none is queued.
fn sync_unsynced(lane: &Arc<Lane<WriteWork>>, shared: &Arc<Shared>) {
    if !shared.unsynced.load(Ordering::Acquire) || shared.sync_queued.swap(true, Ordering::AcqRel) {
        return;
    }
    let call = IntervalSync { shared: Arc::clone(shared) };
    // Refused only when the store is closing, which syncs by itself.
    let _ = lane.admit_uncounted(WriteWork::Call(Box::new(call)));
}
