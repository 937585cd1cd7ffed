//! Offered load against what comes of it, from a quarter to three times of what the store can do.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pontoon::bench::result::Spread;
use pontoon_storage::{EngineKind, Keyspace, OnFull, Options, Result, Store, WriteBatch};
use tokio::runtime::Runtime;

use crate::Args;
use crate::load::{Outcome, capacity, ms, run as run_load, scattered, stream};
use crate::stalls::{Stalls, under};

const KEYS: u64 = 100_000;
const CALLERS: u64 = 4_096;
const SHARES: [f64; 7] = [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0];
const DEADLINE: Duration = Duration::from_millis(50);

/// On a disk so slow that it, and not the CPUs that make the load, is the limit.
const READ: Duration = Duration::from_micros(100);
const READ_THREADS: usize = 4;

pub fn run(runtime: &Runtime, engine: EngineKind, dir: &Path, args: &Args) {
    let disk = Stalls::new(READ);
    let slow = under(&disk, engine, &dir.join("slow")).pool_threads(READ_THREADS);
    let store = runtime.block_on(open(Options::new(dir.join("store")).engine(engine)));
    let slow = runtime.block_on(open(slow));
    disk.set(1, 0);
    tables(runtime, engine, &store, "gets", args);
    tables(runtime, engine, &slow, "gets of 0.1 ms on 4 threads", args);
    tables(runtime, engine, &store, PUTS, args);
    disk.set(0, 0);
    runtime.block_on(store.close()).unwrap();
    runtime.block_on(slow.close()).unwrap();
}

const PUTS: &str = "fsynced puts";

fn tables(runtime: &Runtime, engine: EngineKind, store: &Store, name: &str, args: &Args) {
    let keyspace = store.keyspace("a").unwrap();
    let is_put = name == PUTS;
    let refusing = store.with_on_full(OnFull::Fail);
    let hasty = refusing.with_deadline(DEADLINE);
    let capacity = capacity(runtime, CALLERS, args.seconds, {
        let (store, keyspace) = (store.clone(), keyspace.clone());
        move |n| call(store.clone(), keyspace.clone(), is_put, n)
    });
    for (policy, store) in [("refused when full", refusing), ("the same, 50 ms", hasty)] {
        println!(
            "\n{}: {name}, {policy}; {CALLERS} callers in a closed loop: {capacity:.0}/s",
            engine.name()
        );
        println!(
            "  {:>6}{:>12}{:>12}{:>10}{:>12}{:>12}{:>10}{:>10}",
            "load", "offered/s", "done/s", "of best", "p50", "p99", "refused", "late"
        );
        let outcome = |share: f64| {
            let (store, keyspace) = (store.clone(), keyspace.clone());
            let calls = move |n| call(store.clone(), keyspace.clone(), is_put, n);
            let streams = vec![stream(share * capacity, calls)];
            run_load(runtime, streams, args.seconds, &AtomicBool::new(false)).0.remove(0)
        };
        // In turn, so that a slow minute of the machine is one round of all.
        let mut rows: Vec<Vec<Outcome>> = SHARES.iter().map(|_| Vec::new()).collect();
        for _ in 0..args.rounds {
            rows.iter_mut().zip(SHARES).for_each(|(row, share)| row.push(outcome(share)));
        }
        let best = rows.iter().map(|row| median(row, |it| it.done_per_sec)).fold(0.0, f64::max);
        for (row, share) in rows.iter().zip(SHARES) {
            let done = median(row, |it| it.done_per_sec);
            let part = |count: fn(&Outcome) -> u64| {
                median(row, |it| 100.0 * count(it) as f64 / it.offered.max(1) as f64)
            };
            println!(
                "  {share:>6}{:>12.0}{done:>12.0}{:>10.2}{:>12}{:>12}{:>8.1} %{:>8.1} %",
                median(row, |it| it.offered_per_sec),
                done / best,
                ms(median(row, |it| it.latency.p50_us)),
                ms(median(row, |it| it.latency.p99_us)),
                part(|it| it.refused),
                part(|it| it.late),
            );
        }
    }
}

fn median(row: &[Outcome], figure: impl Fn(&Outcome) -> f64) -> f64 {
    Spread::of(row.iter().map(figure)).map_or(0.0, |spread| spread.median)
}

async fn open(options: Options) -> Store {
    let store = Store::open(options).await.unwrap();
    let keyspace = store.keyspace("a").unwrap();
    let keys: Vec<u64> = (0..KEYS).collect();
    for keys in keys.chunks(10_000) {
        let mut batch = WriteBatch::new();
        for key in keys {
            batch.put(&keyspace, key.to_be_bytes(), vec![b'v'; 100]);
        }
        store.write(batch).await.unwrap();
    }
    store
}

async fn call(store: Store, keyspace: Keyspace, is_put: bool, n: u64) -> Result<()> {
    let key = scattered(n, KEYS).to_be_bytes();
    match is_put {
        true => store.put(&keyspace, key, vec![b'w'; 100]).await,
        false => store.get(&keyspace, key).await.map(drop),
    }
}
