//! How often a call allocates: through Pontoon's lanes and its record cache, and through one
//! `spawn_blocking` a call, over the engine `memory`, whose own part is a row of the table. Counted by
//! [dhat](https://docs.rs/dhat), whatever the machine does meanwhile.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml --bin allocations
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

use std::future::Future;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pontoon_storage::engine::{Engine, EngineOptions};
use pontoon_storage::{Bridge, EngineKind, KeyspaceNames, Options, Result, Store};
use tokio::runtime::Builder;
use tokio::task::{JoinSet, spawn_blocking};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const CALLS: u64 = 20_000;
const AT_ONCE: u64 = 64;
const CACHE_BYTES: usize = 64 << 20;

fn main() -> Result<()> {
    let _counting = dhat::Profiler::builder().testing().build();
    let runtime = Builder::new_current_thread().build()?;
    println!("allocations a call, {CALLS} calls\n");
    println!("{:<44}{:>8}{:>14}", "call", "alone", "64 at once");
    runtime.block_on(async {
        for (mode, bridge) in [("pool", Bridge::Pool), ("blocking", Bridge::Blocking)] {
            let (store, engine, id) = open(bridge, 0).await?;
            let keyspace = store.keyspace("bench")?;
            store.put(&keyspace, KEY, VALUE).await?;
            if mode == "pool" {
                let get = || std::future::ready(assert_found(engine.get_many(&[(id, KEY)], &()).pop()));
                row("the engine's own part of a get", get).await;
                let engine = &engine;
                let job = || {
                    let engine = Arc::clone(engine);
                    async move {
                        let job = move || assert_found(engine.get_many(&[(id, KEY)], &()).pop());
                        spawn_blocking(job).await.unwrap();
                    }
                };
                row("spawn_blocking, get", job).await;
            }
            let call = || {
                let (store, keyspace) = (store.clone(), keyspace.clone());
                async move { assert_found(Some(store.get(&keyspace, key()).await)) }
            };
            row(&format!("{mode}, get"), call).await;
            let call = || {
                let (store, keyspace) = (store.clone(), keyspace.clone());
                async move { store.put(&keyspace, key(), value()).await.unwrap() }
            };
            row(&format!("{mode}, put"), call).await;
            store.close().await?;
        }
        let (store, _, _) = open(Bridge::Pool, CACHE_BYTES).await?;
        let keyspace = store.keyspace("bench")?;
        store.put(&keyspace, KEY, VALUE).await?;
        let call = || {
            let (store, keyspace) = (store.clone(), keyspace.clone());
            async move { assert_found(Some(store.get(&keyspace, key()).await)) }
        };
        row("record cache, get that hits", call).await;
        store.close().await
    })
}

const KEY: &[u8] = b"key:000000000017";
const VALUE: &[u8] = &[b'v'; 100];

/// Without an allocation, so that only the call's own are counted.
fn key() -> Bytes {
    Bytes::from_static(KEY)
}

fn value() -> Bytes {
    Bytes::from_static(VALUE)
}

fn assert_found(found: Option<Result<Option<Bytes>>>) {
    assert!(found.unwrap().unwrap().is_some());
}

/// Counts for calls one by one, and for calls that tasks make at once; a task's own is left out.
async fn row<F: Future<Output = ()> + Send + 'static>(name: &str, call: impl Fn() -> F) {
    let alone = counted(async {
        for _ in 0..CALLS {
            call().await;
        }
    })
    .await;
    let together = counted(in_tasks(&call)).await - counted(in_tasks(&|| async {})).await;
    println!("{name:<44}{alone:>8.2}{together:>14.2}");
}

async fn in_tasks<F: Future<Output = ()> + Send + 'static>(call: &impl Fn() -> F) {
    for _ in 0..CALLS / AT_ONCE {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            tasks.spawn(call());
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    }
}

async fn counted(work: impl Future<Output = ()>) -> f64 {
    let before = dhat::HeapStats::get().total_blocks;
    work.await;
    (dhat::HeapStats::get().total_blocks - before) as f64 / CALLS as f64
}

type Opened = (Store, Arc<dyn Engine>, pontoon_storage::KeyspaceId);

/// A store in memory, and its engine.
async fn open(bridge: Bridge, cache_bytes: usize) -> Result<Opened> {
    let slot: Arc<Mutex<Option<Arc<dyn Engine>>>> = Arc::default();
    let fill = Arc::clone(&slot);
    let make = move |dir: &std::path::Path, options: &EngineOptions, names: Arc<KeyspaceNames>| {
        let engine: Arc<dyn Engine> = Arc::from(EngineKind::Memory.open(dir, options, names)?);
        *fill.lock().unwrap() = Some(Arc::clone(&engine));
        Ok(Box::new(engine) as Box<dyn Engine>)
    };
    let dir = tempfile::tempdir()?;
    let options = Options::new(dir.path().join("store"))
        .custom_engine("memory", Arc::new(make))
        .bridge(bridge)
        .cache_bytes(cache_bytes);
    let store = Store::open(options).await?;
    let id = store.keyspace("bench")?.id();
    let engine = slot.lock().unwrap().take().unwrap();
    Ok((store, engine, id))
}
