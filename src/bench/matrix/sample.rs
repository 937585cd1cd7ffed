//! One sample: one contender on one case in one round, from a fresh runtime and a fresh store to what
//! was measured.

use std::fs;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use futures::executor::{ThreadPool as FuturesPool, block_on};
use pontoon_storage::{Bridge, Durability, LaneStats, Stats, Store};
use threadpool::ThreadPool;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::caller::{Caller, Direct};
use super::data::{Data, StoreOptions, evict};
use super::keys::{Chooser, must_find};
use super::load::{Arrivals, Report, Window, Worker, all_ended, holding};
use super::plan::{Case, Entry, WARM_UP};
use super::shared::SharedEngine;
use crate::bench::choice::{Flavor, Mode, Workload};
use crate::bench::machine::cpus;
use crate::bench::measure::{self, Recorder, Usage};
use crate::bench::result::{Sample, Stall};
use crate::labelled::number_behind;

/// How often, while reads are to go to the disk, the system is made to forget the data. Reads between
/// two of these may find what one just before them brought in.
pub(super) const EVICTION_PERIOD: Duration = Duration::from_millis(20);

/// The settings that all samples share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) seconds: f64,
    pub(super) seed: u64,
    pub(super) rate_per_sec: Option<f64>,
    pub(super) durability: Durability,
    /// Memory for the record cache of Pontoon's modes.
    pub(super) cache_bytes: usize,
    pub(super) direct_threads: usize,
}

/// What a sample is, and what it was beside the results.
pub(super) struct Taken {
    pub(super) sample: Sample,
    /// Why the first operation that failed did.
    pub(super) error: Option<String>,
    /// Operations that had not begun when it was over: their latencies are too small.
    pub(super) given_up: u64,
    /// What the process read from the disk meanwhile, in bytes, where the system says so.
    pub(super) disk_bytes: Option<u64>,
}

/// One sample to take.
pub(super) struct Job<'d> {
    pub(super) data: &'d Data,
    pub(super) entry: Entry,
    pub(super) case: Case,
    pub(super) round: u32,
    pub(super) settings: Settings,
}

impl Job<'_> {
    /// Takes it.
    ///
    /// # Errors
    /// Why it could not be taken.
    pub(super) fn take(&self) -> Result<Taken, String> {
        self.data.settle().map_err(|error| error.to_string())?;
        match self.entry.mode {
            Mode::Direct => Ok(self.take_direct()),
            _ => self.take_async(),
        }
    }

    fn take_direct(&self) -> Taken {
        let threads = self.case.concurrency.min(self.settings.direct_threads);
        let run = self.start(threads, Arc::default());
        let (direct, workers) = (self.direct(&run.is_over), run.workers(self, threads));
        let direct = &direct;
        let watched = thread::scope(|scope| {
            let (working, ended) = sync_channel::<()>(0);
            let watching = scope.spawn(|| run.watch(self.data, ended));
            for worker in workers {
                let (arrivals, working) = (run.arrivals.as_deref(), working.clone());
                scope.spawn(move || {
                    match arrivals {
                        Some(arrivals) => worker.open_loop_direct(direct, arrivals),
                        None => worker.closed_loop_direct(direct),
                    }
                    drop(working);
                });
            }
            drop(working);
            watching.join().unwrap_or_default()
        });
        run.finish(self, watched, None, None)
    }

    fn take_async(&self) -> Result<Taken, String> {
        let executor = Executor::start(self.entry.flavor).map_err(|error| error.to_string())?;
        let is_over = Arc::default();
        let caller = executor.block_on(self.caller(&is_over));
        let (caller, store) = caller.map_err(|error| error.to_string())?;
        let run = self.start(self.case.concurrency, is_over);
        let workers = run.workers(self, self.case.concurrency);
        let (watched, stall) = thread::scope(|scope| {
            let (working, ended) = sync_channel::<()>(0);
            let watching = scope.spawn(|| run.watch(self.data, ended));
            if let Some(arrivals) = run.arrivals.as_deref() {
                scope.spawn(|| arrivals.dispatch());
            }
            let probe = executor.spawn_probe(run.window);
            let (running, tasks) = mpsc::channel(1);
            for worker in workers {
                let (caller, running) = (caller.clone(), running.clone());
                match run.arrivals.clone() {
                    Some(arrivals) => {
                        executor.spawn(holding(worker.open_loop(caller, arrivals), running));
                    }
                    None => executor.spawn(holding(worker.closed_loop(caller), running)),
                }
            }
            drop(running);
            let stall = executor.block_on(async {
                all_ended(tasks).await;
                match probe {
                    Some(probe) => probe.await.ok().flatten(),
                    None => None,
                }
            });
            drop(working);
            (watching.join().unwrap_or_default(), stall)
        });
        drop(caller);
        let mean_batch = match store {
            Some(store) => executor.block_on(close(store)).map_err(|error| error.to_string())?,
            None => None,
        };
        Ok(run.finish(self, watched, stall, mean_batch))
    }

    /// The contender, with its store if it is one of Pontoon's modes.
    #[allow(clippy::disallowed_methods)] // a baseline brings a pool of its own
    async fn caller(
        &self,
        is_over: &Arc<AtomicBool>,
    ) -> pontoon_storage::Result<(Caller, Option<Store>)> {
        let bridge = match self.entry.mode {
            Mode::Pool => Bridge::Pool,
            Mode::Blocking => Bridge::Blocking,
            Mode::PerCallPool => {
                let pool = ThreadPool::new(self.entry.pool_threads.unwrap_or_else(cpus));
                return Ok((Caller::PerCallPool(Arc::new(self.direct(is_over)), pool), None));
            }
            Mode::PerCall => return Ok((Caller::PerCall(Arc::new(self.direct(is_over))), None)),
            Mode::Inline | Mode::Direct => {
                return Ok((Caller::Inline(Arc::new(self.direct(is_over))), None));
            }
        };
        let options = StoreOptions {
            bridge,
            pool_threads: self.entry.pool_threads,
            durability: self.settings.durability,
            cache_bytes: self.settings.cache_bytes,
        };
        let (store, keyspace) = self.data.open_store(options).await?;
        let calls = store.with_durability(self.durability());
        Ok((Caller::Store(calls, keyspace), Some(store)))
    }

    fn direct(&self, is_over: &Arc<AtomicBool>) -> Direct {
        // redb and RocksDB order concurrent writers by themselves.
        let serializes_writes = !self.case.engine.is_persistent();
        let engine = self.data.engine.guest();
        let keyspace = self.data.keyspace().id();
        Direct::new(engine, keyspace, self.durability(), serializes_writes, Arc::clone(is_over))
    }

    fn durability(&self) -> Durability {
        match self.case.workload {
            Workload::PutDurable => Durability::Always,
            _ => self.settings.durability,
        }
    }

    fn start(&self, callers: usize, is_over: Arc<AtomicBool>) -> Run {
        let started = Instant::now();
        let length = Duration::from_secs_f64(self.settings.seconds);
        let begin = started + length.mul_f64(WARM_UP);
        let window = Window { begin, end: begin + length };
        let arrivals = self
            .settings
            .rate_per_sec
            .map(|rate_per_sec| Arc::new(Arrivals::new(started, rate_per_sec, window, callers)));
        // More than there are threads, so that seldom two want the same.
        let recorder = Recorder::new(4 * cpus());
        Run { started, window, recorder, arrivals, report: Arc::default(), is_over }
    }
}

/// A sample that is being taken.
struct Run {
    started: Instant,
    window: Window,
    recorder: Arc<Recorder>,
    arrivals: Option<Arc<Arrivals>>,
    report: Arc<Report>,
    is_over: Arc<AtomicBool>,
}

impl Run {
    fn workers(&self, job: &Job<'_>, count: usize) -> Vec<Worker> {
        let Case { workload, .. } = job.case;
        let (keys, next_key) = (job.data.filling.keys, &job.data.next_key);
        // Rounds differ, contenders in one round do not.
        let seed = job.settings.seed.wrapping_add(u64::from(job.round) << 32);
        let worker = |caller| Worker {
            chooser: Chooser::new(workload, keys, seed, caller, next_key),
            values: job.data.values.clone(),
            recorder: self.recorder.caller(caller),
            started: self.started,
            window: self.window,
            must_find: must_find(workload),
            report: Arc::clone(&self.report),
            is_over: Arc::clone(&self.is_over),
        };
        (0..count).map(worker).collect()
    }

    /// Sleeps through the window, and says what the process used in it. Ends the sample when its
    /// workers have not ended, which `ended` tells, some time after.
    fn watch(&self, data: &Data, ended: Receiver<()>) -> Watched {
        let files = if data.filling.is_cold { data.files() } else { Vec::new() };
        evict(&files);
        sleep_until(self.window.begin);
        let has_peak = measure::reset_peak_memory();
        let before = Reading::now(&data.engine);
        while !files.is_empty() && Instant::now() < self.window.end {
            evict(&files);
            sleep_until(self.window.end.min(Instant::now() + EVICTION_PERIOD));
        }
        sleep_until(self.window.end);
        let after = Reading::now(&data.engine);
        let peak_memory_bytes = measure::peak_memory_bytes().filter(|_| has_peak);
        // Nothing is ever sent: the other side goes when the workers have ended.
        let _ = ended.recv_timeout(self.window.grace());
        self.is_over.store(true, Ordering::Relaxed);
        Watched {
            seconds: after.at.saturating_duration_since(before.at).as_secs_f64(),
            usage: after.usage.zip(before.usage).map(|(after, before)| after.since(before)),
            syncs: after.syncs - before.syncs,
            disk_bytes: after
                .disk_bytes
                .zip(before.disk_bytes)
                .map(|(after, before)| after.saturating_sub(before)),
            peak_memory_bytes,
        }
    }

    fn finish(
        self,
        job: &Job<'_>,
        watched: Watched,
        stall: Option<Stall>,
        mean_batch: Option<f64>,
    ) -> Taken {
        let operations = self.recorder.operations();
        let seconds = job.settings.seconds;
        // The watching thread may be woken late, so what it saw is taken as a rate.
        let per_op = |used: fn(Usage) -> f64| {
            let rate = used(watched.usage?) / watched.seconds;
            Some(rate * seconds / operations as f64).filter(|it| it.is_finite())
        };
        let sample = Sample {
            round: job.round,
            operations,
            errors: self.recorder.errors(),
            seconds,
            latency: self.recorder.latency(),
            cpu_us_per_op: per_op(|usage| usage.cpu_us),
            switches_per_op: per_op(|usage| usage.switches),
            syncs: job.case.engine.is_persistent().then_some(watched.syncs),
            mean_batch,
            peak_memory_bytes: watched.peak_memory_bytes,
            stall,
        };
        Taken {
            sample,
            error: self.report.error.get().cloned(),
            given_up: self.report.given_up.load(Ordering::Relaxed),
            disk_bytes: watched.disk_bytes,
        }
    }
}

struct Reading {
    at: Instant,
    usage: Option<Usage>,
    syncs: u64,
    disk_bytes: Option<u64>,
}

impl Reading {
    fn now(engine: &SharedEngine) -> Self {
        let disk_bytes = disk_bytes_read();
        Self { at: Instant::now(), usage: Usage::now(), syncs: engine.syncs(), disk_bytes }
    }
}

#[derive(Debug, Default)]
struct Watched {
    seconds: f64,
    usage: Option<Usage>,
    syncs: u64,
    disk_bytes: Option<u64>,
    peak_memory_bytes: Option<u64>,
}

/// What this process has made the system read from disks since it began: see proc_pid_io(5).
fn disk_bytes_read() -> Option<u64> {
    let io = fs::read_to_string("/proc/self/io").ok()?;
    number_behind(&io, "read_bytes:")
}

fn sleep_until(when: Instant) {
    thread::sleep(when.saturating_duration_since(Instant::now()));
}

/// Closes a store; returns the operations that shared a drain, on average.
async fn close(store: Store) -> pontoon_storage::Result<Option<f64>> {
    let stats = store.stats().await;
    store.close().await?;
    Ok(mean_batch(&stats?))
}

fn mean_batch(stats: &Stats) -> Option<f64> {
    let lanes = [&stats.read, &stats.write, &stats.background];
    let sum = |of: fn(&LaneStats) -> u64| lanes.iter().map(|lane| of(lane)).sum::<u64>();
    let (operations, drains) = (sum(|lane| lane.operations), sum(|lane| lane.drains));
    (drains > 0).then(|| operations as f64 / drains as f64)
}

/// What runs the callers.
enum Executor {
    Tokio(Runtime),
    Futures(FuturesPool),
}

impl Executor {
    fn start(flavor: Flavor) -> io::Result<Self> {
        let mut builder = match flavor {
            Flavor::MultiThread => Builder::new_multi_thread(),
            Flavor::CurrentThread => Builder::new_current_thread(),
            Flavor::None => {
                return FuturesPool::builder().pool_size(cpus()).create().map(Self::Futures);
            }
        };
        if flavor == Flavor::MultiThread {
            builder.worker_threads(cpus());
        }
        builder.enable_all().build().map(Self::Tokio)
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self {
            Executor::Tokio(runtime) => runtime.block_on(future),
            Executor::Futures(_) => block_on(future),
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Executor::Tokio(runtime) => drop(runtime.spawn(task)),
            Executor::Futures(pool) => pool.spawn_ok(task),
        }
    }

    /// Starts the stall probe, which needs tokio's timer.
    fn spawn_probe(&self, window: Window) -> Option<tokio::task::JoinHandle<Option<Stall>>> {
        match self {
            Executor::Tokio(runtime) => {
                Some(runtime.spawn(measure::probe_stall(window.begin, window.end)))
            }
            Executor::Futures(_) => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use pontoon_storage::EngineKind;

    use super::super::data::ten_keys;
    use super::super::keys::Op;
    use super::*;

    const ENTRIES: [(Mode, Flavor); 5] = [
        (Mode::Pool, Flavor::None),
        (Mode::Blocking, Flavor::CurrentThread),
        (Mode::PerCall, Flavor::MultiThread),
        (Mode::PerCallPool, Flavor::None),
        (Mode::Direct, Flavor::None),
    ];

    /// Fsyncs that three puts of `workload` take, one after the other.
    fn syncs_of_puts(data: &Data, (mode, flavor): (Mode, Flavor), workload: Workload) -> u64 {
        let job = Job {
            data,
            entry: Entry { mode, flavor, pool_threads: None },
            case: Case { engine: data.filling.kind, workload, concurrency: 1 },
            round: 0,
            settings: Settings {
                seconds: 0.0,
                seed: 1,
                rate_per_sec: None,
                durability: Durability::Never,
                cache_bytes: 0,
                direct_threads: 1,
            },
        };
        let executor = Executor::start(flavor).unwrap();
        let before = data.engine.syncs();
        let (caller, store) = executor.block_on(job.caller(&Arc::default())).unwrap();
        for n in 0..3 {
            let put = caller.call(Op::Update(n), Bytes::from_static(b"abc"));
            assert!(executor.block_on(put).unwrap());
        }
        let syncs = data.engine.syncs() - before;
        drop(caller);
        if let Some(store) = store {
            executor.block_on(close(store)).unwrap();
        }
        syncs
    }

    #[test]
    fn every_contender_syncs_each_durable_put_and_no_other() {
        for &kind in EngineKind::AVAILABLE.iter().filter(|kind| kind.is_persistent()) {
            let dir = tempfile::tempdir().unwrap();
            let data = ten_keys(dir.path(), kind).unwrap();
            for entry in ENTRIES {
                assert_eq!(syncs_of_puts(&data, entry, Workload::PutDurable), 3, "{entry:?}");
                assert_eq!(syncs_of_puts(&data, entry, Workload::Put), 0, "{entry:?}");
            }
            data.close().unwrap();
        }
    }
}
