//! The record cache: what it answers, and that no answer of it could not have been the engine's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::disallowed_methods)] // callers on threads of their own

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use bytes::Bytes;
use common::wrap::{Control, wrapped};
use futures::executor::block_on;
use pontoon_storage::{
    Bridge, EngineKind, Error, KeyRange, Keyspace, Options, PageLimit, Reader, Result, ScanOptions,
    Store, WriteBatch,
};
use proptest::prelude::*;

const CACHE_BYTES: usize = 1 << 20;

/// A store with a cache over a watched memory engine.
fn controlled() -> (tempfile::TempDir, Arc<Control>, Store, Keyspace) {
    let dir = tempfile::tempdir().unwrap();
    let control = Arc::new(Control::default());
    let options = Options::new(dir.path().join("store")).pool_threads(2).cache_bytes(CACHE_BYTES);
    let store = block_on(Store::open(wrapped(options, EngineKind::Memory, &control))).unwrap();
    let ks = store.keyspace("a").unwrap();
    (dir, control, store, ks)
}

fn get(store: &Store, ks: &Keyspace, key: &'static str) -> Option<Bytes> {
    block_on(store.get(ks, key)).unwrap()
}

/// What the cache alone says of `key`.
fn cached(store: &Store, ks: &Keyspace, key: &str) -> Option<Option<Bytes>> {
    store.cached(|cached| cached.get(ks, key.as_bytes())).map(Result::unwrap)
}

fn in_thread<T: Send + 'static>(
    store: &Store,
    call: impl AsyncFnOnce(Store) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let store = store.clone();
    thread::spawn(move || block_on(call(store)))
}

#[test]
fn a_hit_crosses_no_bridge() {
    block_on(async {
        let store = Store::open(Options::in_memory().cache_bytes(CACHE_BYTES)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "written", "v").await.unwrap();
        assert_eq!(store.get(&ks, "absent").await.unwrap(), None);
        let before = store.stats().await.unwrap();
        assert_eq!(store.get(&ks, "written").await.unwrap().unwrap(), "v");
        assert_eq!(store.get(&ks, "absent").await.unwrap(), None);
        assert!(store.contains(&ks, "written").await.unwrap());
        let many = store.get_many(&ks, ["absent", "written"]).await.unwrap();
        assert_eq!(many, [None, Some("v".into())]);
        let after = store.stats().await.unwrap();
        // The statistics themselves are one.
        assert_eq!(after.read.operations, before.read.operations + 1);
        assert_eq!(after.cache.hits, before.cache.hits + 5);
        assert_eq!(after.cache.misses, before.cache.misses);
        assert_eq!((after.cache.records, after.cache.bytes_max), (2, CACHE_BYTES as u64));
        store.delete(&ks, "written").await.unwrap();
        assert_eq!(store.get(&ks, "written").await.unwrap(), None);
        assert!(after.cache.bytes > 0 && after.cache.hit_rate() > 0.5);
        store.close().await.unwrap();
    });
}

#[test]
fn without_a_cache_nothing_is_cached() {
    block_on(async {
        let store = Store::open(Options::in_memory()).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "v").await.unwrap();
        assert!(store.cached(|cached| cached.get(&ks, b"k")).is_none());
        let read = store.read({
            let ks = ks.clone();
            move |reader: &dyn Reader| reader.get(&ks, b"k")
        });
        assert_eq!(read.await.unwrap().unwrap(), "v");
        assert_eq!(store.stats().await.unwrap().cache, Default::default());
        store.close().await.unwrap();
    });
}

#[test]
fn what_is_not_cached_is_read_across_the_bridge() {
    block_on(async {
        let store = Store::open(Options::in_memory().cache_bytes(CACHE_BYTES)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "v").await.unwrap();
        let names = ks.clone();
        let read = store.read(move |reader: &dyn Reader| {
            let value = reader.get(&names, b"k")?;
            let page = reader.page(&names, &KeyRange::from(..), false, PageLimit::ONE)?;
            Ok::<_, Error>((value, page.entries.len()))
        });
        assert_eq!(read.await.unwrap(), (Some("v".into()), 1));
        store.close().await.unwrap();
        assert!(matches!(store.get(&ks, "k").await, Err(Error::Closed)));
        assert!(matches!(store.cached(|c| c.get(&ks, b"k")), Some(Err(Error::Closed))));
    });
}

#[test]
fn a_closure_over_the_cache_looks_up_so_many_keys_and_no_more() {
    let (_dir, _control, store, ks) = controlled();
    block_on(store.put(&ks, "k", "v")).unwrap();
    let exhausted = AtomicBool::new(false);
    let read = |times: usize| {
        store.cached(|cached| {
            let many = cached.get_many(&ks, &vec![&b"k"[..]; times]);
            exhausted.store(cached.is_exhausted(), Ordering::SeqCst);
            many
        })
    };
    assert_eq!(read(256).unwrap().unwrap().len(), 256);
    assert!(!exhausted.load(Ordering::SeqCst));
    assert!(read(257).is_none());
    assert!(exhausted.load(Ordering::SeqCst));
    let many = block_on(store.get_many(&ks, vec!["k"; 1000])).unwrap();
    assert!(many.len() == 1000 && many.iter().all(Option::is_some));
    block_on(store.close()).unwrap();
}

#[test]
fn a_call_inside_a_closure_over_the_cache_is_refused() {
    let (_dir, _control, store, ks) = controlled();
    block_on(store.put(&ks, "k", "v")).unwrap();
    let (inner, name) = (store.clone(), ks.clone());
    let nested = store.cached(move |_| block_on(inner.get(&name, "k")));
    assert!(matches!(nested, Some(Err(Error::Nested))));
    let panicked = store.cached(|_| -> Result<()> { panic!("in a closure") });
    assert!(matches!(panicked, Some(Err(Error::Panicked(_)))));
    assert_eq!(get(&store, &ks, "k").unwrap(), "v");
    block_on(store.close()).unwrap();
}

#[test]
fn nobody_sees_the_new_value_and_then_the_old_one() {
    let (_dir, control, store, ks) = controlled();
    block_on(store.put(&ks, "k", "old")).unwrap();
    assert_eq!(cached(&store, &ks, "k").unwrap().unwrap(), "old");
    control.applied_gate.shut();
    let put = in_thread(&store, async move |store| {
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "new").await
    });
    control.applied_gate.wait_for_held(1);
    // The engine has it, and its commit has not returned.
    assert_eq!(get(&store, &ks, "k").unwrap(), "new");
    assert_eq!(cached(&store, &ks, "k"), None, "found while in flight");
    control.applied_gate.open();
    put.join().unwrap().unwrap();
    assert_eq!(cached(&store, &ks, "k").unwrap().unwrap(), "new");
    block_on(store.close()).unwrap();
}

#[test]
fn a_slow_reader_does_not_bring_back_what_was_replaced() {
    for closure in [false, true] {
        let (_dir, control, store, ks) = controlled();
        block_on(store.put(&ks, "k", "old")).unwrap();
        // Empties the cache, but leaves the record.
        block_on(store.delete_range(&ks, KeyRange::prefix("other"))).unwrap();
        assert_eq!(cached(&store, &ks, "k"), None);
        *control.held_get.lock().unwrap() = Some("k".into());
        control.get_gate.shut();
        let slow = in_thread(&store, async move |store| {
            let ks = store.keyspace("a").unwrap();
            if closure {
                store.view(move |view| view.get(&ks, b"k")).await
            } else {
                store.get(&ks, "k").await
            }
        });
        control.get_gate.wait_for_held(1);
        block_on(store.delete(&ks, "k")).unwrap();
        control.get_gate.open();
        assert_eq!(slow.join().unwrap().unwrap().unwrap(), "old", "from before the delete");
        assert_eq!(cached(&store, &ks, "k"), None, "kept though it was deleted meanwhile");
        assert_eq!(get(&store, &ks, "k"), None);
        assert_eq!(cached(&store, &ks, "k"), Some(None));
        block_on(store.close()).unwrap();
    }
}

#[test]
fn several_values_are_of_one_commit() {
    let (_dir, _control, store, ks) = controlled();
    let both = |value: &'static str| {
        let mut batch = WriteBatch::new();
        batch.put(&ks, "left", value);
        batch.put(&ks, "right", value);
        batch
    };
    block_on(store.write(both("old"))).unwrap();
    let (writer, new) = (store.clone(), both("new"));
    let torn = store.cached(|cached| {
        let left = cached.get(&ks, b"left")?;
        // From another thread, as a call in here would be refused.
        let write = thread::spawn(move || block_on(writer.write(new)));
        write.join().unwrap()?;
        Ok::<_, Error>((left, cached.get(&ks, b"right")?))
    });
    assert!(torn.is_none(), "{torn:?}");
    let now = store.cached(|c| c.get_many(&ks, &[b"left", b"right"]));
    assert_eq!(now.unwrap().unwrap(), [Some("new".into()), Some("new".into())]);
    block_on(store.close()).unwrap();
}

#[test]
fn deletes_that_name_no_keys_empty_the_keyspace() {
    let (_dir, control, store, ks) = controlled();
    let other = store.keyspace("b").unwrap();
    block_on(store.put(&other, "k", "v")).unwrap();
    for drops in [false, true] {
        block_on(store.put(&ks, "k", "v")).unwrap();
        assert!(cached(&store, &ks, "k").is_some());
        control.applied_gate.shut();
        let delete = in_thread(&store, async move |store| {
            let ks = store.keyspace("a").unwrap();
            if drops {
                store.drop_keyspace(&ks).await.map(drop)
            } else {
                store.delete_range(&ks, "a".."z").await
            }
        });
        control.applied_gate.wait_for_held(1);
        assert_eq!(cached(&store, &ks, "k"), None);
        assert_eq!(get(&store, &ks, "k"), None);
        control.applied_gate.open();
        delete.join().unwrap().unwrap();
        assert_eq!(get(&store, &ks, "k"), None);
        assert_eq!(cached(&store, &ks, "k"), Some(None));
    }
    assert_eq!(cached(&store, &other, "k").unwrap().unwrap(), "v");
    block_on(store.close()).unwrap();
}

#[test]
fn after_a_failed_commit_the_engine_is_asked() {
    let (_dir, control, store, ks) = controlled();
    block_on(store.put(&ks, "k", "old")).unwrap();
    let other = store.keyspace("b").unwrap();
    block_on(store.put(&other, "k", "v")).unwrap();
    control.fail_applied.store(true, Ordering::SeqCst);
    assert!(matches!(block_on(store.put(&ks, "k", "new")), Err(Error::Commit(_))));
    for _ in 0..2 {
        assert_eq!(get(&store, &ks, "k").unwrap(), "new", "what the engine says");
        assert_eq!(cached(&store, &ks, "k"), None);
    }
    assert_eq!(cached(&store, &other, "k").unwrap().unwrap(), "v");
    let _ = block_on(store.close());
}

#[test]
fn the_cache_stays_within_its_bytes() {
    block_on(async {
        let bytes_max = 256 << 10;
        let store = Store::open(Options::in_memory().cache_bytes(bytes_max)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        for n in 0..4_000_u32 {
            let size = if n % 100 == 0 { 20_000 } else { 100 };
            store.put(&ks, n.to_be_bytes(), vec![1; size]).await.unwrap();
            store.get(&ks, (n / 2).to_be_bytes()).await.unwrap();
        }
        let stats = store.stats().await.unwrap().cache;
        assert!(stats.bytes <= bytes_max as u64, "{stats:?}");
        assert!(stats.records > 100 && stats.records < 4_000, "{stats:?}");
        store.close().await.unwrap();
    });
}

/// Runs writers and readers beside each other: each writer owns some keys, gives them ever larger
/// numbers, a pair of keys at a time, and readers check what they see against what is acknowledged.
fn writers_and_readers(seed: u64, steps: usize, bridge: Bridge, cache_bytes: usize) {
    const WRITERS: u64 = 2;
    const READERS: u64 = 3;
    const PAIRS: u64 = 4;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let options = Options::in_memory().bridge(bridge).cache_bytes(cache_bytes);
        let store = Store::open(options).await.unwrap();
        let acknowledged: Arc<Vec<AtomicU64>> =
            Arc::new((0..WRITERS * PAIRS).map(|_| AtomicU64::new(0)).collect());
        let done = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
            writers.push(tokio::spawn(async move {
                let ks = store.keyspace(["a", "b"][writer as usize]).unwrap();
                let mut random = Random(seed ^ (writer + 1));
                for number in 1..=steps as u64 {
                    let pair = random.below(PAIRS);
                    match random.below(8) {
                        0 => {
                            // Both at once, and both come again at once.
                            let prefix = KeyRange::prefix(format!("{pair}-"));
                            let (names, value) = (ks.clone(), number.to_be_bytes());
                            let put = store.update(move |tx| {
                                tx.delete_range(&names, prefix.clone())?;
                                tx.put(&names, format!("{pair}-l"), value)?;
                                tx.put(&names, format!("{pair}-r"), value)
                            });
                            put.await.unwrap();
                        }
                        _ => {
                            let mut batch = WriteBatch::new();
                            for side in ["l", "r"] {
                                batch.put(&ks, format!("{pair}-{side}"), number.to_be_bytes());
                            }
                            store.write(batch).await.unwrap();
                        }
                    }
                    let place = (writer * PAIRS + pair) as usize;
                    acknowledged[place].store(number, Ordering::SeqCst);
                }
            }));
        }
        let mut readers = Vec::new();
        for reader in 0..READERS {
            let (store, acknowledged) = (store.clone(), Arc::clone(&acknowledged));
            let done = Arc::clone(&done);
            readers.push(tokio::spawn(async move {
                let mut random = Random(seed ^ (reader + 77));
                let mut seen = vec![0; (WRITERS * PAIRS) as usize];
                while !done.load(Ordering::SeqCst) {
                    let (writer, pair) = (random.below(WRITERS), random.below(PAIRS));
                    let ks = store.keyspace(["a", "b"][writer as usize]).unwrap();
                    let place = (writer * PAIRS + pair) as usize;
                    let least = acknowledged[place].load(Ordering::SeqCst).max(seen[place]);
                    let (left, right) = (format!("{pair}-l"), format!("{pair}-r"));
                    let number = match random.below(4) {
                        0 => number(store.get(&ks, left).await.unwrap()),
                        1 => {
                            let both = store.get_many(&ks, [left, right]).await.unwrap();
                            assert_eq!(both[0], both[1], "a commit was seen in half");
                            number(both[0].clone())
                        }
                        2 => {
                            let read = move |reader: &dyn Reader| {
                                let right = reader.get(&ks, right.as_bytes())?;
                                Ok::<_, Error>((reader.get(&ks, left.as_bytes())?, right))
                            };
                            let (left, right) = store.read(read).await.unwrap();
                            assert_eq!(left, right, "a commit was seen in half");
                            number(left)
                        }
                        _ => {
                            let all = store.view(move |view| {
                                let range = KeyRange::prefix(format!("{pair}-"));
                                view.scan(&ks, range, ScanOptions::default())
                                    .collect::<Result<Vec<_>>>()
                            });
                            let all = all.await.unwrap();
                            number(all.first().map(|(_, value)| value.clone()))
                        }
                    };
                    assert!(number >= least, "{number} was seen after {least}");
                    seen[place] = number;
                    tokio::task::yield_now().await;
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
        for reader in readers {
            reader.await.unwrap();
        }
        store.close().await.unwrap();
    });
}

fn number(value: Option<Bytes>) -> u64 {
    value.map_or(0, |bytes| u64::from_be_bytes(bytes.as_ref().try_into().unwrap()))
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn every_reader_sees_commits_whole_and_in_order(
        seed in any::<u64>(),
        pool in any::<bool>(),
        cache_bytes in prop::sample::select(vec![4 << 10, 1 << 20]),
    ) {
        let bridge = if pool { Bridge::Pool } else { Bridge::Blocking };
        writers_and_readers(seed, 400, bridge, cache_bytes);
    }
}
