//! What each engine costs alone, called directly on the thread of the bench: 100,000 keys in its cache,
//! no fsync (the disk's part is not the engine's).

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use futures::executor::block_on;
use pontoon_storage::engine::{Changes, Engine, KeyspaceChanges};
use pontoon_storage::{EngineKind, KeyRange, KeyspaceId, Options, PageLimit, Store};

use crate::data::{Random, fill, key, value};

const KEYS: u64 = 100_000;
const CACHE_BYTES: usize = 512 << 20;
const BATCH: usize = 64;
const SCANNED: usize = 100;

/// Batches that are applied between two syncs, which are not timed: an engine that is never told to sync
/// keeps everything that the batches replaced.
const APPLIED_PER_SYNC: u64 = 1_000;

pub(crate) fn calls(c: &mut Criterion) {
    for &kind in EngineKind::AVAILABLE {
        let dir = tempfile::tempdir().unwrap();
        let (store, engine, id) = open(kind, dir.path());
        let mut group = c.benchmark_group(format!("engine/{}", kind.name()));
        reads(&mut group, &engine, id);
        writes(&mut group, &engine, id);
        group.finish();
        drop(engine);
        block_on(store.close()).unwrap();
    }
}

/// A store that stays idle and its engine, filled and synced. An engine is opened by its store, which alone
/// can name keyspaces.
fn open(kind: EngineKind, dir: &Path) -> (Store, Shared, KeyspaceId) {
    let opened: Arc<Mutex<Option<Shared>>> = Arc::default();
    let slot = Arc::clone(&opened);
    let make = move |dir: &Path, options: &_, names| {
        let engine = Shared::from(kind.open(dir, options, names)?);
        *slot.lock().unwrap() = Some(engine.clone());
        Ok(Box::new(engine) as Box<dyn Engine>)
    };
    let options = Options::new(dir.join("store"))
        .engine_cache_bytes(CACHE_BYTES)
        .custom_engine(kind.name(), Arc::new(make));
    let store = block_on(Store::open(options)).unwrap();
    let keyspace = block_on(fill(&store, KEYS));
    let engine = opened.lock().unwrap().take().unwrap();
    if kind.is_persistent() {
        // Moves what RocksDB holds in memory to its files, as nearly all of a larger store is.
        block_on(store.checkpoint(dir.join("copy"))).unwrap();
    }
    (store, engine, keyspace.id())
}

fn reads(group: &mut BenchmarkGroup<'_, WallTime>, engine: &Shared, id: KeyspaceId) {
    let mut random = Random::default();
    group.bench_function("snapshot", |b| b.iter(|| engine.snapshot().unwrap()));
    let snapshot = engine.snapshot().unwrap();
    group.bench_function("get", |b| {
        b.iter(|| {
            let found = snapshot.get(id, &key(random.next() % KEYS)).unwrap();
            assert!(found.is_some());
        });
    });
    group.bench_function("get_missing", |b| {
        b.iter(|| {
            let found = snapshot.get(id, &key(KEYS + random.next() % KEYS)).unwrap();
            assert!(found.is_none());
        });
    });
    group.throughput(Throughput::Elements(SCANNED as u64));
    group.bench_function("scan_100", |b| {
        let limit = PageLimit { entries: SCANNED, bytes: usize::MAX };
        // Below the highest key by enough that there are as many behind it.
        b.iter(|| {
            let start = Bytes::copy_from_slice(&(random.next() >> 1).to_be_bytes());
            let page = snapshot.page(id, &KeyRange::from(start..), false, limit).unwrap();
            assert_eq!(black_box(page).entries.len(), SCANNED);
        });
    });
    drop(snapshot);
    // The newest values, with no snapshot held.
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("get_many_64", |b| {
        b.iter(|| {
            let keys: Vec<_> = (0..BATCH).map(|_| key(random.next() % KEYS)).collect();
            let keys: Vec<_> = keys.iter().map(|key| (id, &key[..])).collect();
            let found = engine.get_many(&keys, &());
            assert!(found.into_iter().all(|got| got.unwrap().is_some()));
        });
    });
}

fn writes(group: &mut BenchmarkGroup<'_, WallTime>, engine: &Shared, id: KeyspaceId) {
    let mut random = Random::default();
    for writes in [1, BATCH] {
        group.throughput(Throughput::Elements(writes as u64));
        group.bench_function(format!("apply_{writes}"), |b| {
            b.iter_custom(|iterations| {
                let mut taken = Duration::ZERO;
                for n in 0..iterations {
                    let changes = puts(id, writes, &mut random);
                    let begun = Instant::now();
                    engine.apply(&changes, false).unwrap();
                    taken += begun.elapsed();
                    if n % APPLIED_PER_SYNC == 0 {
                        engine.sync().unwrap();
                    }
                }
                taken
            });
        });
    }
    engine.sync().unwrap();
}

fn puts(id: KeyspaceId, writes: usize, random: &mut Random) -> Changes {
    let writes: BTreeMap<_, _> =
        (0..writes).map(|_| (key(random.next() % KEYS), Some(value()))).collect();
    Changes { keyspaces: vec![KeyspaceChanges { keyspace: id, ranges: BTreeMap::new(), writes }] }
}

/// The engine of a store, for calls beside it.
type Shared = Arc<dyn Engine>;
