//! Gets and puts over an engine that now and then stalls for 100 ms in one of them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, Progress, Snapshot};
use pontoon_storage::{
    EngineKind, EngineStats, Error, KeyspaceId, Options, Result, Store, WriteBatch,
};
use tokio::runtime::Runtime;

use crate::Args;
use crate::load::{ms, run as run_load, scattered, stream};

const STALL: Duration = Duration::from_millis(100);
const KEYS: u64 = 10_000;
const GETS_PER_SEC: f64 = 1_000.0;
const PUTS_PER_SEC: f64 = 200.0;
const DEADLINE: Duration = Duration::from_millis(10);

/// What of the engine's calls stalls, one in so many; 0: none.
const ROWS: [(&str, u64, u64); 4] = [
    ("none", 0, 0),
    ("1 % of commits", 0, 100),
    ("1 % of reads", 100, 0),
    ("1 % of both", 100, 100),
];

pub fn run(runtime: &Runtime, engine: EngineKind, dir: &Path, args: &Args) {
    let stalls = Stalls::new(STALL);
    let store = runtime.block_on(open(engine, &dir.join("store"), &stalls, None));
    let keyspace = store.keyspace("a").unwrap();
    println!(
        "\n{}: {GETS_PER_SEC} gets/s and {PUTS_PER_SEC} puts/s; what stalls does so for 100 ms",
        engine.name()
    );
    println!(
        "  {:<16}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>24}",
        "stalls",
        "reads",
        "slow gets",
        "get p50",
        "get p99",
        "get p99.9",
        "get max",
        "put p50",
        "put p99",
        "runtime p99.9/max"
    );
    for (name, reads, applies) in ROWS {
        stalls.set(reads, applies);
        let get = |n| {
            let (store, keyspace) = (store.clone(), keyspace.clone());
            async move { store.get(&keyspace, scattered(n, KEYS).to_be_bytes()).await.map(drop) }
        };
        let put = |n| {
            let (store, keyspace) = (store.clone(), keyspace.clone());
            async move { store.put(&keyspace, scattered(n, KEYS).to_be_bytes(), "new").await }
        };
        let streams = vec![stream(GETS_PER_SEC, get), stream(PUTS_PER_SEC, put)];
        let (outcomes, stall) = run_load(runtime, streams, args.seconds, &AtomicBool::new(false));
        let [gets, puts] = &outcomes[..] else { unreachable!("two streams") };
        let stall =
            stall.map_or("-".into(), |it| format!("{} / {}", ms(it.p999_us), ms(it.max_us)));
        println!(
            "  {name:<16}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}{stall:>24}",
            stalls.stalled_reads.swap(0, Relaxed),
            gets.slow,
            ms(gets.latency.p50_us),
            ms(gets.latency.p99_us),
            ms(gets.latency.p999_us),
            ms(gets.latency.max_us),
            ms(puts.latency.p50_us),
            ms(puts.latency.p99_us),
        );
    }
    println!("  reads: those that stalled; slow gets: those that took more than 50 ms");
    stalls.set(0, 0);
    runtime.block_on(store.close()).unwrap();
    deadlines(runtime, engine, dir, args, &stalls);
}

/// Every read stalls and there is one thread for them: how late is the answer to who would wait 10 ms?
fn deadlines(runtime: &Runtime, engine: EngineKind, dir: &Path, args: &Args, stalls: &Arc<Stalls>) {
    let store = runtime.block_on(open(engine, &dir.join("one"), stalls, Some(1)));
    let keyspace = store.keyspace("a").unwrap();
    stalls.set(1, 0);
    let hasty = store.with_deadline(DEADLINE);
    // What is measured is the lateness of those that end by their deadline.
    let get = |n| {
        let (store, keyspace) = (hasty.clone(), keyspace.clone());
        async move {
            let begun = Instant::now();
            match store.get(&keyspace, scattered(n, KEYS).to_be_bytes()).await {
                Err(Error::Deadline) => {
                    let late = begun.elapsed().saturating_sub(DEADLINE);
                    LATENESS.lock().unwrap().push(late);
                    Err(Error::Deadline)
                }
                other => other.map(drop),
            }
        }
    };
    let streams = vec![stream(500.0, get)];
    let (outcomes, stall) = run_load(runtime, streams, args.seconds, &AtomicBool::new(false));
    let mut lateness = std::mem::take(&mut *LATENESS.lock().unwrap());
    lateness.sort_unstable();
    let at = |share: f64| {
        let at = (lateness.len() as f64 * share) as usize;
        lateness.get(at.min(lateness.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    println!(
        "  every read stalls, one thread, deadlines of 10 ms: {} of {} ended by theirs, late by p50 {:.2?}, \
         p99 {:.2?}, at most {:.2?}; runtime {}",
        outcomes[0].late,
        outcomes[0].offered,
        at(0.5),
        at(0.99),
        at(1.0),
        stall.map_or("-".into(), |it| format!("p99.9 {}", ms(it.p999_us)))
    );
    stalls.set(0, 0);
    runtime.block_on(store.close()).unwrap();
}

static LATENESS: std::sync::Mutex<Vec<Duration>> = std::sync::Mutex::new(Vec::new());

async fn open(
    engine: EngineKind,
    dir: &Path,
    stalls: &Arc<Stalls>,
    read_threads: Option<usize>,
) -> Store {
    let mut options = under(stalls, engine, dir);
    if let Some(threads) = read_threads {
        options = options.pool_threads(threads);
    }
    let store = Store::open(options).await.unwrap();
    let keyspace = store.keyspace("a").unwrap();
    let mut batch = WriteBatch::new();
    for key in 0..KEYS {
        batch.put(&keyspace, key.to_be_bytes(), "old");
    }
    store.write(batch).await.unwrap();
    store
}

/// How to open `engine` under `stalls`.
pub fn under(stalls: &Arc<Stalls>, engine: EngineKind, dir: &Path) -> Options {
    let stalls = Arc::clone(stalls);
    Options::new(dir).custom_engine(
        engine.name(),
        Arc::new(move |dir: &Path, options, names| {
            let inner = engine.open(dir, options, names)?;
            Ok(Box::new(Stalling { inner, stalls: Arc::clone(&stalls) }))
        }),
    )
}

/// Which calls of an engine stall, and for how long.
pub struct Stalls {
    length: Duration,
    one_in_reads: AtomicU64,
    one_in_applies: AtomicU64,
    calls: AtomicU64,
    stalled_reads: AtomicU64,
}

impl Stalls {
    /// None at first, each of `length`.
    pub fn new(length: Duration) -> Arc<Self> {
        Arc::new(Self {
            length,
            one_in_reads: AtomicU64::new(0),
            one_in_applies: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            stalled_reads: AtomicU64::new(0),
        })
    }

    /// One read and one commit in so many; 0: none.
    pub fn set(&self, one_in_reads: u64, one_in_applies: u64) {
        self.one_in_reads.store(one_in_reads, Relaxed);
        self.one_in_applies.store(one_in_applies, Relaxed);
    }

    /// Whether this call stalled.
    fn maybe(&self, one_in: &AtomicU64) -> bool {
        let one_in = one_in.load(Relaxed);
        let stalls = one_in > 0 && scattered(self.calls.fetch_add(1, Relaxed), one_in) == 0;
        if stalls {
            std::thread::sleep(self.length);
        }
        stalls
    }

    fn maybe_in_read(&self) {
        let stalled = self.maybe(&self.one_in_reads);
        self.stalled_reads.fetch_add(u64::from(stalled), Relaxed);
    }
}

struct Stalling {
    inner: Box<dyn Engine>,
    stalls: Arc<Stalls>,
}

impl Engine for Stalling {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.inner.snapshot()
    }

    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        keys.iter().for_each(|_| self.stalls.maybe_in_read());
        self.inner.get_many(keys, progress)
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        self.stalls.maybe(&self.stalls.one_in_applies);
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

    fn unsynced_dies_with_process(&self) -> bool {
        self.inner.unsynced_dies_with_process()
    }

    fn close(&self) -> Result<()> {
        self.inner.close()
    }
}
