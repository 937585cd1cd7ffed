//! What the lanes give over one blocking job per call: block-cached gets and fsynced puts from many
//! concurrent callers, each contender over the same opened engine, in turn, for several rounds.
//!
//! ```text
//! cargo bench --bench bridge --features rocksdb -- [--callers 256] [--seconds 1] [--rounds 5]
//!     [--keys 100000] [--dir DIR] [--engines redb,rocksdb]
//! ```
//!
//! Contenders: `direct` = synchronous calls on two plain threads, with no async at all; `spawn_blocking`
//! and `threadpool` = one job per call, on tokio's blocking threads or on a pool of two threads;
//! `pool` and `blocking` = Pontoon's lanes in either mode. The baselines share one snapshot for their
//! gets, which favours them. Runtime: tokio `multi_thread` with two workers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, KeyspaceChanges, Snapshot};
use pontoon_storage::{Bridge, EngineKind, KeyspaceId, Options, Store, WriteBatch};
use threadpool::ThreadPool;
use tokio::sync::oneshot;

const VALUE_BYTES: usize = 100;
const DIRECT_THREADS: usize = 2;

struct Args {
    callers: usize,
    seconds: f64,
    rounds: usize,
    keys: u64,
    dir: Option<PathBuf>,
    engines: Vec<EngineKind>,
}

impl Args {
    fn parse() -> Self {
        let mut args = Self {
            callers: 256,
            seconds: 1.0,
            rounds: 5,
            keys: 100_000,
            dir: None,
            engines: EngineKind::AVAILABLE.iter().copied().filter(|e| e.is_persistent()).collect(),
        };
        let mut given: Vec<String> = std::env::args().skip(1).collect();
        // `cargo test --benches` leaves `--bench` out, and like `cargo bench -- --test` asks only whether
        // all of it runs.
        if !given.iter().any(|arg| arg == "--bench") || given.iter().any(|arg| arg == "--test") {
            (args.callers, args.seconds, args.rounds, args.keys) = (16, 0.01, 1, 1_000);
        }
        given.retain(|arg| arg != "--bench" && arg != "--test");
        let mut given = given.into_iter();
        while let Some(flag) = given.next() {
            let value = given.next().unwrap_or_else(|| panic!("{flag} needs a value"));
            match flag.as_str() {
                "--callers" => args.callers = value.parse().unwrap(),
                "--seconds" => args.seconds = value.parse().unwrap(),
                "--rounds" => args.rounds = value.parse().unwrap(),
                "--keys" => args.keys = value.parse().unwrap(),
                "--dir" => args.dir = Some(value.into()),
                "--engines" => {
                    args.engines.retain(|engine| value.split(',').any(|name| name == engine.name()))
                }
                _ => panic!("unknown flag {flag}"),
            }
        }
        args
    }
}

/// The engine of a store, shared with the baselines that call it directly.
type Shared = Arc<dyn Engine>;

/// A store per mode over one directory in turn is not possible, so each mode has its own directory
/// with the same data; the baselines run on that of the pool.
struct Subject {
    store: Store,
    engine: Shared,
    id: KeyspaceId,
    keyspace: pontoon_storage::Keyspace,
}

async fn open(dir: &Path, kind: EngineKind, bridge: Bridge, keys: u64) -> Subject {
    let slot: Arc<std::sync::Mutex<Option<Shared>>> = Arc::default();
    let fill = Arc::clone(&slot);
    let options = Options::new(dir).bridge(bridge).engine_cache_bytes(512 << 20).custom_engine(
        kind.name(),
        Arc::new(move |dir: &Path, options, names| {
            let engine = Shared::from(kind.open(dir, options, names)?);
            *fill.lock().unwrap() = Some(engine.clone());
            Ok(Box::new(engine))
        }),
    );
    let store = Store::open(options).await.unwrap();
    let keyspace = store.keyspace("bench").unwrap();
    for first in (0..keys).step_by(10_000) {
        let mut batch = WriteBatch::new();
        for n in first..keys.min(first + 10_000) {
            batch.put(&keyspace, key(n), vec![b'v'; VALUE_BYTES]);
        }
        store.write(batch).await.unwrap();
    }
    for n in 0..keys.min(200_000) {
        store.get(&keyspace, key(n)).await.unwrap();
    }
    let engine = slot.lock().unwrap().take().unwrap();
    Subject { store, engine, id: keyspace.id(), keyspace }
}

fn key(n: u64) -> Bytes {
    // Spread over the key order, so that neighbours in time are not neighbours on the disk.
    Bytes::copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
}

struct Random(u64);

impl Random {
    fn key(&mut self, keys: u64) -> Bytes {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        key(self.0 % keys)
    }
}

fn changes(id: KeyspaceId, key: Bytes) -> Changes {
    let writes = BTreeMap::from([(key, Some(Bytes::from(vec![b'w'; VALUE_BYTES])))]);
    Changes { keyspaces: vec![KeyspaceChanges { keyspace: id, ranges: BTreeMap::new(), writes }] }
}

/// Synchronous calls on plain threads; returns calls a second.
fn direct(seconds: f64, call: impl Fn(&mut Random) + Sync) -> f64 {
    let begun = Instant::now();
    let counts: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..DIRECT_THREADS)
            .map(|thread| {
                let call = &call;
                scope.spawn(move || {
                    let mut random = Random(0xDEAD_BEEF + thread as u64);
                    let mut count = 0;
                    while count % 64 != 0 || begun.elapsed().as_secs_f64() < seconds {
                        call(&mut random);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    counts as f64 / begun.elapsed().as_secs_f64()
}

/// `callers` tasks that each call, wait, and call again; returns calls a second and the 99th
/// percentile of their latency.
async fn concurrent<F, Fut>(args: &Args, call: F) -> (f64, Duration)
where
    F: Fn(Bytes) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..args.callers)
        .map(|caller| {
            let (call, stop, keys) = (call.clone(), Arc::clone(&stop), args.keys);
            tokio::spawn(async move {
                let mut random = Random(0xC0FF_EE00 + caller as u64);
                let mut latencies = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    call(random.key(keys)).await;
                    latencies.push(sent.elapsed());
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs_f64(args.seconds)).await;
    stop.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let rate = latencies.len() as f64 / begun.elapsed().as_secs_f64();
    latencies.sort_unstable();
    let p99 = latencies.get(latencies.len() * 99 / 100).copied().unwrap_or_default();
    (rate, p99)
}

#[derive(Default)]
struct Table(Vec<(&'static str, Vec<f64>, Vec<Duration>)>);

impl Table {
    fn add(&mut self, name: &'static str, (rate, p99): (f64, Duration)) {
        let at = self.0.iter().position(|row| row.0 == name).unwrap_or_else(|| {
            self.0.push((name, Vec::new(), Vec::new()));
            self.0.len() - 1
        });
        self.0[at].1.push(rate);
        self.0[at].2.push(p99);
    }

    fn print(&self, what: &str, base: &str) {
        let base = self.0.iter().find(|row| row.0 == base).unwrap();
        println!("\n{what}");
        println!(
            "  {:<16}{:>12}{:>24}{:>12}{:>10}",
            "contender", "median/s", "min..max/s", "p99", "ratio"
        );
        for (name, rates, p99s) in &self.0 {
            let (mut sorted, mut p99s) = (rates.clone(), p99s.clone());
            sorted.sort_by(f64::total_cmp);
            p99s.sort_unstable();
            let mut ratios: Vec<f64> = rates.iter().zip(&base.1).map(|(a, b)| a / b).collect();
            ratios.sort_by(f64::total_cmp);
            let spread = format!("{:.0}..{:.0}", sorted[0], sorted[sorted.len() - 1]);
            println!(
                "  {name:<16}{:>12.0}{spread:>24}{:>12}{:>10.2}",
                sorted[sorted.len() / 2],
                format!("{:.2?}", p99s[p99s.len() / 2]),
                ratios[ratios.len() / 2]
            );
        }
        println!("  ratio: to {} in the same round, median", base.0);
    }
}

fn fsync_latency(dir: &Path) -> Duration {
    use std::io::Write;
    let path = dir.join("fsync-probe");
    let mut file = std::fs::File::create(&path).unwrap();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            file.write_all(&[7; 4096]).unwrap();
            let begun = Instant::now();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    std::fs::remove_file(path).unwrap();
    times.sort_unstable();
    times[times.len() / 2]
}

async fn run(kind: EngineKind, dir: &Path, args: &Args) {
    let pool = open(&dir.join("pool"), kind, Bridge::Pool, args.keys).await;
    let blocking = open(&dir.join("blocking"), kind, Bridge::Blocking, args.keys).await;
    let threads = Arc::new(std::sync::Mutex::new(ThreadPool::new(DIRECT_THREADS)));
    let (id, engine) = (pool.id, pool.engine.clone());
    let (mut gets, mut puts) = (Table::default(), Table::default());
    for _ in 0..args.rounds {
        let snapshot: Arc<dyn Snapshot> = Arc::from(engine.snapshot().unwrap());
        let keys = args.keys;
        let calling = Arc::clone(&snapshot);
        let seconds = args.seconds;
        let rate = tokio::task::spawn_blocking(move || {
            direct(seconds, |random| {
                assert!(calling.get(id, &random.key(keys)).unwrap().is_some());
            })
        })
        .await
        .unwrap();
        gets.add("direct", (rate, Duration::ZERO));
        let calling = Arc::clone(&snapshot);
        let row = concurrent(args, move |key| {
            let calling = Arc::clone(&calling);
            async move {
                let call = move || calling.get(id, &key).unwrap();
                assert!(tokio::task::spawn_blocking(call).await.unwrap().is_some());
            }
        });
        gets.add("spawn_blocking", row.await);
        let (calling, pooled) = (Arc::clone(&snapshot), Arc::clone(&threads));
        let row = concurrent(args, move |key| {
            let (calling, pooled) = (Arc::clone(&calling), Arc::clone(&pooled));
            async move {
                let (reply, answer) = oneshot::channel();
                let job = move || drop(reply.send(calling.get(id, &key).unwrap()));
                pooled.lock().unwrap().execute(job);
                assert!(answer.await.unwrap().is_some());
            }
        });
        gets.add("threadpool", row.await);
        drop(snapshot);
        for (name, subject) in [("pool", &pool), ("blocking", &blocking)] {
            let (store, keyspace) = (subject.store.clone(), subject.keyspace.clone());
            let row = concurrent(args, move |key| {
                let (store, keyspace) = (store.clone(), keyspace.clone());
                async move { assert!(store.get(&keyspace, key).await.unwrap().is_some()) }
            });
            gets.add(name, row.await);
        }

        let calling = engine.clone();
        let rate = tokio::task::spawn_blocking(move || {
            direct(seconds, |random| calling.apply(&changes(id, random.key(keys)), true).unwrap())
        })
        .await
        .unwrap();
        puts.add("direct", (rate, Duration::ZERO));
        let calling = engine.clone();
        let row = concurrent(args, move |key| {
            let calling = calling.clone();
            async move {
                let call = move || calling.apply(&changes(id, key), true).unwrap();
                tokio::task::spawn_blocking(call).await.unwrap();
            }
        });
        puts.add("spawn_blocking", row.await);
        for (name, subject) in [("pool", &pool), ("blocking", &blocking)] {
            let (store, keyspace) = (subject.store.clone(), subject.keyspace.clone());
            let row = concurrent(args, move |key| {
                let (store, keyspace) = (store.clone(), keyspace.clone());
                async move { store.put(&keyspace, key, vec![b'w'; VALUE_BYTES]).await.unwrap() }
            });
            puts.add(name, row.await);
        }
    }
    let callers = args.callers;
    gets.print(&format!("{}: cached gets, {callers} callers", kind.name()), "spawn_blocking");
    puts.print(&format!("{}: fsynced puts, {callers} callers", kind.name()), "direct");
    drop(engine);
    for subject in [pool, blocking] {
        let batch = subject.store.stats().await.unwrap();
        println!(
            "  {:?}: {:.1} reads a drain, {:.1} writes a drain",
            kind.name(),
            batch.read.mean_batch(),
            batch.write.mean_batch()
        );
        drop(subject.engine);
        subject.store.close().await.unwrap();
    }
}

fn main() {
    let args = Args::parse();
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::tempdir_in(&parent).unwrap();
    println!(
        "{} CPUs, {} callers, {VALUE_BYTES}-byte values, {} keys, {} rounds of {} s in turn",
        num_cpus::get(),
        args.callers,
        args.keys,
        args.rounds,
        args.seconds
    );
    println!(
        "fdatasync of 4 KiB in {}: median {:.2?}",
        parent.display(),
        fsync_latency(dir.path())
    );
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for &kind in &args.engines {
        let dir = dir.path().join(kind.name());
        std::fs::create_dir(&dir).unwrap();
        runtime.block_on(run(kind, &dir, &args));
    }
}
