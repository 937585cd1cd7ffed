//! Thousands of tasks that write 1 MiB each, all at once. What the store holds is bounded by its queue;
//! what its callers hold before they call is theirs to bound, and here are three ways to do that.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pontoon::bench::measure::{Held, peak_memory_bytes, reset_peak_memory};
use pontoon_storage::{Durability, EngineKind, Error, Keyspace, OnFull, Options, Result, Store};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::Args;

const VALUE_BYTES: usize = 1 << 20;

/// Few, so that the data does not fill the disk.
const KEYS: u64 = 64;

/// Writers that have made their value and wait: each has its own, whatever the store does.
const UNBOUNDED_WRITERS_MAX: u64 = 1_000;

const WAYS: [&str; 4] = ["waits", "own permits", "refused", "in closure"];

pub fn run(runtime: &Runtime, engine: EngineKind, dir: &Path, args: &Args) {
    println!("\n{}: tasks that write 1 MiB each, queue of 64 MiB", engine.name());
    println!(
        "  {:<12}{:>9}{:>12}{:>16}{:>10}{:>12}",
        "way", "tasks", "before", "peak over that", "seconds", "refusals"
    );
    for way in WAYS {
        let writers = match way {
            "waits" => args.writers.min(UNBOUNDED_WRITERS_MAX),
            _ => args.writers,
        };
        let options = Options::new(dir.join(way))
            .engine(engine)
            .durability(Durability::EVERY_SECOND)
            .engine_cache_bytes(16 << 20)
            .write_buffer_bytes(16 << 20);
        let store = runtime.block_on(Store::open(options)).unwrap();
        let keyspace = store.keyspace("a").unwrap();
        // Whatever the engine sets up at its first writes is there before.
        runtime.block_on(async {
            for n in 0..KEYS {
                store.put(&keyspace, n.to_be_bytes(), value(n)).await.unwrap();
            }
        });
        let before = Held::now().unwrap_or_default().resident_bytes;
        reset_peak_memory();
        let (begun, permits) = (Instant::now(), Arc::new(Semaphore::new(64)));
        let tasks: Vec<_> = (0..writers)
            .map(|n| {
                let (store, keyspace) = (store.clone(), keyspace.clone());
                runtime.spawn(write(way, store, keyspace, Arc::clone(&permits), n))
            })
            .collect();
        let refused: u64 = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).sum();
        let peak = peak_memory_bytes().unwrap_or_default().saturating_sub(before);
        println!(
            "  {way:<12}{writers:>9}{:>8} MiB{:>12} MiB{:>10.1}{refused:>12}",
            before >> 20,
            peak >> 20,
            begun.elapsed().as_secs_f64()
        );
        runtime.block_on(store.close()).unwrap();
        std::fs::remove_dir_all(dir.join(way)).unwrap();
    }
}

fn value(n: u64) -> Bytes {
    Bytes::from(vec![n as u8; VALUE_BYTES])
}

/// How often it was refused.
async fn write(
    way: &'static str,
    store: Store,
    keyspace: Keyspace,
    permits: Arc<Semaphore>,
    n: u64,
) -> u64 {
    let key = (n % KEYS).to_be_bytes();
    let mut refused = 0;
    match way {
        // The value is there before the store is asked.
        "waits" => store.put(&keyspace, key, value(n)).await.unwrap(),
        // The same, with as many at once as the caller can afford.
        "own permits" => {
            let _permit = permits.acquire().await.unwrap();
            store.put(&keyspace, key, value(n)).await.unwrap();
        }
        // Refused, it lets its value go, and comes again.
        "refused" => {
            let refusing = store.with_on_full(OnFull::Fail);
            while let Err(error) = refusing.put(&keyspace, key, value(n)).await {
                assert!(matches!(error, Error::Overloaded { .. }), "{error}");
                refused += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        // Nothing is there before the closure runs, one after the other.
        _ => {
            let heavy = store.with_weight(VALUE_BYTES);
            let write = move |tx: &mut pontoon_storage::Transaction| -> Result<()> {
                tx.put(&keyspace, key, value(n))
            };
            heavy.update(write).await.unwrap();
        }
    }
    refused
}
