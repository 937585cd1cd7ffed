//! Trips through a lane: from a caller's task across the bridge and back, over the engine that costs
//! least, in every bridge mode on every runtime that it works on.

use std::time::Instant;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use futures::future::join_all;
use pontoon_storage::{Bridge, Keyspace, Options, Reader, Store};
use tokio::runtime::{Builder, Runtime};

use crate::data::{Random, fill, key, value};

const KEYS: u64 = 10_000;
const CONCURRENT: u64 = 64;

/// What polls the callers.
enum Executor {
    /// The runtime's worker, which is not the thread that waits in `block_on`.
    MultiThread(Runtime),
    CurrentThread(Runtime),
    /// No tokio at all.
    Futures,
}

impl Executor {
    fn all() -> [(&'static str, Executor); 3] {
        let multi = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let current = Builder::new_current_thread().enable_all().build().unwrap();
        [
            ("multi_thread", Executor::MultiThread(multi)),
            ("current_thread", Executor::CurrentThread(current)),
            ("no_runtime", Executor::Futures),
        ]
    }

    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self {
            Executor::MultiThread(runtime) => runtime.block_on(runtime.spawn(work)).unwrap(),
            Executor::CurrentThread(runtime) => runtime.block_on(work),
            Executor::Futures => futures::executor::block_on(work),
        }
    }
}

pub(crate) fn trips(c: &mut Criterion) {
    for (runtime, executor) in Executor::all() {
        for (mode, bridge) in [("pool", Bridge::Pool), ("blocking", Bridge::Blocking)] {
            // tokio's blocking threads need tokio.
            if matches!((&bridge, &executor), (Bridge::Blocking, Executor::Futures)) {
                continue;
            }
            let (store, keyspace) = executor.run(async {
                let store = Store::open(Options::in_memory().bridge(bridge)).await.unwrap();
                let keyspace = fill(&store, KEYS).await;
                (store, keyspace)
            });
            let mut group = c.benchmark_group(format!("lane/{mode}/{runtime}"));
            trips_of(&mut group, &executor, &store, &keyspace);
            group.finish();
            executor.run(async move { store.close().await.unwrap() });
        }
    }
}

fn trips_of(
    group: &mut BenchmarkGroup<'_, WallTime>,
    executor: &Executor,
    store: &Store,
    keyspace: &Keyspace,
) {
    let caller = (store.clone(), keyspace.clone());
    let call = caller.clone();
    trip(group, executor, "get", move |n| {
        let (store, keyspace) = call.clone();
        async move { assert!(store.get(&keyspace, key(n % KEYS)).await.unwrap().is_some()) }
    });
    let call = caller.clone();
    trip(group, executor, "view", move |n| {
        let (store, keyspace) = call.clone();
        async move {
            let found = store.view(move |view| view.contains(&keyspace, &key(n % KEYS))).await;
            assert!(found.unwrap());
        }
    });
    let call = caller.clone();
    trip(group, executor, "put", move |n| {
        let (store, keyspace) = call.clone();
        async move { store.put(&keyspace, key(n % KEYS), value()).await.unwrap() }
    });
    let call = caller.clone();
    trip(group, executor, "update", move |n| {
        let (store, keyspace) = call.clone();
        async move {
            let updated = store.update(move |tx| tx.put(&keyspace, key(n % KEYS), value())).await;
            updated.unwrap();
        }
    });
    group.throughput(Throughput::Elements(CONCURRENT));
    trip(group, executor, "get_64_at_once", move |n| {
        let (store, keyspace) = caller.clone();
        async move {
            let gets = (0..CONCURRENT).map(|i| store.get(&keyspace, key(n.wrapping_add(i) % KEYS)));
            assert!(join_all(gets).await.into_iter().all(|got| got.unwrap().is_some()));
        }
    });
}

/// One caller that calls, waits, and calls again. It stays in one task, so that what is measured is the
/// trip and not the task's start.
fn trip<F, Fut>(group: &mut BenchmarkGroup<'_, WallTime>, executor: &Executor, name: &str, call: F)
where
    F: Fn(u64) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let call = call.clone();
            executor.run(async move {
                let mut random = Random::default();
                let begun = Instant::now();
                for _ in 0..iterations {
                    call(random.next()).await;
                }
                begun.elapsed()
            })
        });
    });
}
