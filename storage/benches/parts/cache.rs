//! The record cache: an answer without a trip, over an engine that is never asked, and what it adds to a
//! trip and to a write.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use futures::executor::block_on;
use pontoon_storage::{Options, Reader, Result, Store};

use crate::data::{Random, fill, key, value};

const KEYS: u64 = 10_000;
const CACHE_BYTES: usize = 64 << 20;
const READ_AT_ONCE: usize = 16;

pub(crate) fn answers(c: &mut Criterion) {
    let store = block_on(Store::open(Options::in_memory().cache_bytes(CACHE_BYTES))).unwrap();
    let keyspace = block_on(fill(&store, KEYS));
    let mut random = Random::default();
    let mut group = c.benchmark_group("cache");
    group.bench_function("hit", |b| {
        b.iter(|| {
            let found = block_on(store.get(&keyspace, key(random.next() % KEYS))).unwrap();
            assert!(found.is_some());
        });
    });
    group.bench_function("put", |b| {
        b.iter(|| block_on(store.put(&keyspace, key(random.next() % KEYS), value())).unwrap());
    });
    group.throughput(Throughput::Elements(READ_AT_ONCE as u64));
    group.bench_function("cached_16_of_one_moment", |b| {
        b.iter(|| {
            let read: Option<Result<()>> = store.cached(|cached| {
                for _ in 0..READ_AT_ONCE {
                    black_box(cached.get(&keyspace, &key(random.next() % KEYS))?);
                }
                Ok(())
            });
            assert!(matches!(read, Some(Ok(()))));
        });
    });
    group.finish();
    block_on(store.close()).unwrap();
}
