//! A store under a moderate, mixed load for an hour: is each answer right, and does it hold more and
//! more of anything?
//!
//! ```text
//! cargo bench --bench soak --features rocksdb -- --engine redb --minutes 60 [--help]
//! ```
//!
//! Operations begin at a fixed rate, whatever the answers do (open loop), over keys that are bounded in
//! number: gets, puts, deletes, batches, updates, ranges deleted, keyspaces dropped, scans, closures that fail or
//! panic, snapshots and scans held for up to a minute. Some futures are dropped after a random number of
//! polls, some calls have a deadline of up to 20 ms, some refuse to wait for room. Beside them, checkpoints are made,
//! opened, read and removed, and the store is closed and opened again. Each value carries its key, a
//! version and a checksum, and each read is held against what was acknowledged before it began.
//!
//! Every few seconds a line of figures goes to a file of comma-separated values. At the end the medians
//! of the first and the last quarter stand side by side. Exit code 1: an answer was wrong, an operation
//! never ended, or memory, descriptors, threads or disk have grown beyond the bound stated.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

mod model;
mod samples;
mod state;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use futures::TryStreamExt;
use pontoon::bench::measure::{Held, Schedule};
use pontoon_storage::{
    Bridge, Durability, EngineKind, Options, ReadLane, ScanOptions, Store, WriteBatch,
};

use model::{KEYSPACES, Model};
use samples::Samples;
use state::Soak;

/// The server's: glibc's keeps a part of what an earlier store held in the arena of each thread that the
/// store used, so that memory grows for the first dozen stores opened and says nothing of us.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser, Clone)]
struct Args {
    /// redb or rocksdb
    #[arg(long, default_value = "redb")]
    engine: String,
    /// How long operations begin
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// pool or blocking
    #[arg(long, default_value = "pool")]
    bridge: String,
    /// always, or every (second): when writes are acknowledged
    #[arg(long, default_value = "always")]
    durability: String,
    /// Operations a second
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// Keys, about
    #[arg(long, default_value_t = 100_000)]
    keys: u32,
    /// Seconds between two lines of figures
    #[arg(long, default_value_t = 15.0)]
    sample_secs: f64,
    /// Seconds between closing and opening again
    #[arg(long, default_value_t = 240.0)]
    reopen_secs: f64,
    /// Seconds between checkpoints
    #[arg(long, default_value_t = 90.0)]
    checkpoint_secs: f64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the data is put, in a directory that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where the figures go, one line a sample
    #[arg(long)]
    csv: Option<PathBuf>,
    #[arg(long, hide = true)]
    bench: bool,
    /// Only ask whether it runs
    #[arg(long, hide = true)]
    test: bool,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    let is_available = |name: &str| EngineKind::AVAILABLE.iter().any(|kind| kind.name() == name);
    if args.test || !args.bench {
        // `cargo test --benches`, which leaves `--bench` out, and `cargo bench -- --test`.
        if !is_available(&args.engine) {
            return ExitCode::SUCCESS;
        }
        let brief = Args { minutes: 0.03, rate: 300.0, keys: 2_000, sample_secs: 0.2, ..args };
        args = Args { reopen_secs: 0.6, checkpoint_secs: 0.5, ..brief };
    }
    silence_panics_on_purpose();
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::tempdir_in(&parent).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let before = Held::now();
    println!(
        "{}, {}, {}: {} minutes, {} operations/s, {} keys, seed {}",
        args.engine, args.bridge, args.durability, args.minutes, args.rate, args.keys, args.seed
    );
    let run = Run { args, runtime, dir: dir.path().to_owned() };
    let is_well = run.run();
    println!("held before it was opened: {before:?}; after it was closed: {:?}", Held::now());
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Run {
    args: Args,
    runtime: tokio::runtime::Runtime,
    dir: PathBuf,
}

impl Run {
    fn options(&self, dir: &Path) -> Options {
        let engine = EngineKind::AVAILABLE.iter().find(|kind| kind.name() == self.args.engine);
        let durability = match self.args.durability.as_str() {
            "always" => Durability::Always,
            "every" => Durability::EVERY_SECOND,
            other => panic!("--durability {other}: always or every"),
        };
        let bridge = match self.args.bridge.as_str() {
            "pool" => Bridge::Pool,
            "blocking" => Bridge::Blocking,
            other => panic!("--bridge {other}: pool or blocking"),
        };
        // Caches smaller than the data, and write buffers so small that all of it turns over.
        Options::new(dir)
            .engine(*engine.unwrap_or_else(|| panic!("this build has no {}", self.args.engine)))
            .bridge(bridge)
            .durability(durability)
            .cache_bytes(8 << 20)
            .engine_cache_bytes(24 << 20)
            .write_buffer_bytes(8 << 20)
    }

    fn store_dir(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Whether all went well.
    fn run(&self) -> bool {
        let store = self.runtime.block_on(Store::open(self.options(&self.store_dir()))).unwrap();
        let soak = Arc::new(Soak::new(self.args.seed, Model::new(self.args.keys), store));
        self.runtime.block_on(fill(&soak));
        let length = Duration::from_secs_f64(self.args.minutes * 60.0);
        let is_over = Arc::new(AtomicBool::new(false));
        let checkpoints = {
            let (soak, every) = (Arc::clone(&soak), self.args.checkpoint_secs);
            let dir = self.dir.join("copy");
            let options = self.options(&dir);
            let is_over = Arc::clone(&is_over);
            self.runtime.spawn(async move {
                let mut made = 0;
                while !is_over.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_secs_f64(every)).await;
                    made += u64::from(checkpoint(&soak, &options, &dir).await);
                }
                made
            })
        };
        let arrivals = {
            let (soak, handle) = (Arc::clone(&soak), self.runtime.handle().clone());
            let schedule = Schedule { begin: Instant::now(), rate_per_sec: self.args.rate };
            // Of its own, as tokio's timer counts whole milliseconds.
            std::thread::spawn(move || arrive(&soak, schedule, length, &handle))
        };
        let samples = self.watch(&soak, length);
        arrivals.join().unwrap();
        is_over.store(true, Ordering::Relaxed);
        let made = self.runtime.block_on(checkpoints).unwrap();
        let all_ended = all_end(&soak);
        self.reopen(&soak);
        self.runtime.block_on(soak.open().0.close()).unwrap();
        println!("{}\n{}", soak.counts.table(), samples.table());
        let wrong = soak.wrong_count();
        println!("checkpoints made, opened and read: {made}; wrong answers: {wrong}");
        if !all_ended {
            println!("NOT WELL: operations never ended");
        }
        !samples.has_grown() && all_ended && wrong == 0
    }

    /// Takes samples, and closes and opens the store, until `length` is over.
    fn watch(&self, soak: &Soak, length: Duration) -> Samples {
        let begun = Instant::now();
        let mut samples = Samples::new(self.args.csv.as_deref());
        let (mut sample_at, mut reopen_at) = (self.args.sample_secs, self.args.reopen_secs);
        soak.latencies.take();
        while begun.elapsed() < length {
            let next = Duration::from_secs_f64(sample_at.min(reopen_at)).min(length);
            std::thread::sleep(next.saturating_sub(begun.elapsed()));
            let now = begun.elapsed().as_secs_f64();
            if now >= sample_at {
                samples.take(soak, &self.runtime, now, &self.store_dir());
                sample_at += self.args.sample_secs;
            }
            if now >= reopen_at {
                samples.reopened(self.reopen(soak));
                reopen_at = begun.elapsed().as_secs_f64() + self.args.reopen_secs;
            }
        }
        samples
    }

    /// Closes the store under its load, opens it again, and reads all of it. Returns how long it was away.
    fn reopen(&self, soak: &Soak) -> Duration {
        let begun = Instant::now();
        self.runtime.block_on(async {
            let closed = soak.open().0.close().await;
            closed.unwrap_or_else(|error| soak.wrong(format!("close: {error}")));
            let store =
                Store::open(self.options(&self.store_dir())).await.expect("it was open before");
            soak.reopened(store);
            let away = begun.elapsed();
            if let Err(why) = read_all(soak, &soak.open().0).await {
                soak.wrong(format!("after reopening: {why}"));
            }
            away
        })
    }
}

/// Every key gets its first version.
async fn fill(soak: &Soak) {
    let (store, keyspaces) = soak.open();
    for (index, keyspace) in keyspaces.iter().enumerate() {
        let groups: Vec<u32> = soak.model.groups_of(index).collect();
        for groups in groups.chunks(64) {
            let (mut batch, mut issued) = (WriteBatch::new(), Vec::new());
            for key in groups.iter().flat_map(|&group| soak.model.keys_of(group)) {
                let version = soak.model.issue(key, false, "fill");
                batch.put(keyspace, key.bytes(), model::value(version, false));
                issued.push(version);
            }
            store.write(batch).await.unwrap();
            issued.into_iter().for_each(|issued| soak.model.acknowledge(issued));
        }
    }
}

/// Lets operations begin as they become due.
fn arrive(soak: &Arc<Soak>, schedule: Schedule, length: Duration, handle: &tokio::runtime::Handle) {
    let count = (length.as_secs_f64() * schedule.rate_per_sec) as u64;
    for n in 0..count {
        let intended = schedule.intended(n);
        std::thread::sleep(intended.saturating_duration_since(Instant::now()));
        let running = soak.begin();
        handle.spawn(async move { work::operation(&running, n, intended).await });
    }
}

/// Whether all that has begun ends.
fn all_end(soak: &Soak) -> bool {
    let begun = Instant::now();
    while soak.running() > 0 && begun.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    soak.running() == 0
}

/// Makes one, opens it, reads all of it, and removes it. Whether there was one.
async fn checkpoint(soak: &Soak, options: &Options, dir: &Path) -> bool {
    let floors = all_floors(soak);
    match soak.open().0.checkpoint(dir).await {
        Ok(()) => {}
        Err(pontoon_storage::Error::Closed) => return false,
        Err(error) => {
            soak.wrong(format!("checkpoint: {error}"));
            return false;
        }
    }
    let read = async {
        let copy = Store::open(options.clone()).await?;
        let read = read_with(soak, &copy, floors).await;
        copy.close().await?;
        Ok::<_, pontoon_storage::Error>(read)
    };
    match read.await {
        Ok(Ok(())) => {}
        Ok(Err(why)) => soak.wrong(format!("in a checkpoint: {why}")),
        Err(error) => soak.wrong(format!("a checkpoint: {error}")),
    }
    std::fs::remove_dir_all(dir).unwrap();
    true
}

fn all_floors(soak: &Soak) -> Vec<model::Floors> {
    (0..KEYSPACES.len()).map(|index| soak.model.floors(soak.model.groups_of(index))).collect()
}

/// Reads every keyspace, each as one scan, and holds what it finds against the model.
async fn read_all(soak: &Soak, store: &Store) -> Result<(), String> {
    read_with(soak, store, all_floors(soak)).await
}

async fn read_with(soak: &Soak, store: &Store, floors: Vec<model::Floors>) -> Result<(), String> {
    let store = store.with_lane(ReadLane::Background);
    for (name, mut floors) in KEYSPACES.into_iter().zip(floors) {
        let keyspace = store.keyspace(name).map_err(|error| error.to_string())?;
        let mut scan = store.scan(&keyspace, .., ScanOptions::default());
        while let Some((key, value)) = scan.try_next().await.map_err(|error| error.to_string())? {
            floors.found(&soak.model, &key, &value)?;
        }
        floors.ended(&soak.model)?;
    }
    Ok(())
}

fn silence_panics_on_purpose() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        if text != Some(work::ON_PURPOSE) {
            tell(info);
        }
    }));
}
