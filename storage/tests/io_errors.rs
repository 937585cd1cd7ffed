//! What every call of a store answers when any call of its engine fails, and what is there afterwards: each
//! method × an error before or after it has done its work, or a panic × engine × bridge mode, with and without a
//! record cache; and at random, many times over.
//!
//! `PONTOON_IO_SEEDS=10000` tries so many seeds for each engine and durability; `PONTOON_IO_SEED` is the first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

#[allow(dead_code)]
#[path = "crash/check.rs"]
mod check;
mod common;
#[path = "common/faulty.rs"]
mod faulty;
#[path = "crash/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use check::{Ack, Writers, everything_in};
use common::{Runtime, Setup, for_each};
use faulty::{Faults, How, faulty};
use futures::TryStreamExt;
use futures::future::{LocalBoxFuture, join_all};
use pontoon_storage::{
    Bridge, Durability, EngineKind, Error, Options, Reader, Result, ScanOptions, Store, WriteBatch,
};
use workload::{WRITERS, operation};

/// Each bridge mode once, one of them with a record cache: what is tested is the same on the others.
fn setups() -> Vec<Setup> {
    let mut setups = Setup::all();
    setups.retain(|setup| {
        let is_typical = match setup.bridge {
            Bridge::Pool => setup.runtime == Runtime::None && !setup.cached,
            _ => setup.runtime == Runtime::MultiThread && setup.cached,
        };
        is_typical && !setup.tight
    });
    setups
}

/// A call of a store that reaches one method of its engine.
#[derive(Clone, Copy)]
struct Call {
    /// The engine's.
    method: &'static str,
    name: &'static str,
    make: fn(Store, PathBuf) -> LocalBoxFuture<'static, Result<()>>,
}

macro_rules! call {
    ($method:literal, $name:literal, |$store:ident, $dir:ident, $keyspace:ident| $body:expr) => {
        Call {
            method: $method,
            name: $name,
            make: |$store, $dir| {
                Box::pin(async move {
                    let $keyspace = $store.keyspace("a")?;
                    let _ = (&$dir, &$keyspace);
                    $body.await.map(drop)
                })
            },
        }
    };
}

/// In the keyspace `a`, `kept` is there, and `scanned`; `b` is there.
fn reads() -> Vec<Call> {
    vec![
        call!("get_many", "get", |store, dir, a| store.get(&a, uncached())),
        call!("snapshot.get_many", "get_many", |store, dir, a| {
            store.get_many(&a, [uncached(), uncached()])
        }),
        call!("snapshot", "view", |store, dir, a| store.view(|_| Ok::<_, Error>(()))),
        call!("snapshot", "snapshot", |store, dir, a| async { store.snapshot().await.map(drop) }),
        call!("snapshot", "update that reads", |store, dir, a| read_in_update(&store)),
        call!("get", "update that reads", |store, dir, a| read_in_update(&store)),
        call!("get", "view", |store, dir, a| {
            store.view(move |view| view.get(&a, uncached().as_bytes()))
        }),
        call!("page", "scan", |store, dir, a| {
            store.scan(&a, .., ScanOptions::default()).try_collect::<Vec<_>>()
        }),
        call!("snapshot", "scan", |store, dir, a| {
            store.scan(&a, .., ScanOptions::default()).try_collect::<Vec<_>>()
        }),
        call!("keyspaces", "keyspaces", |store, dir, a| store.keyspaces()),
        call!("stats", "stats", |store, dir, a| store.stats()),
        call!("checkpoint", "checkpoint", |store, dir, a| store.checkpoint(dir.join("copy"))),
    ]
}

fn writes() -> Vec<Call> {
    vec![
        call!("apply", "put", |store, dir, a| store.put(&a, "new", "v")),
        call!("apply", "delete", |store, dir, a| store.delete(&a, "new")),
        call!("apply", "delete_range", |store, dir, a| { store.delete_range(&a, "n".."o") }),
        call!("apply", "write", |store, dir, a| {
            let mut batch = WriteBatch::new();
            batch.put(&a, "new", "v");
            batch.put(&store.keyspace("c")?, "new", "v");
            store.write(batch)
        }),
        call!("apply", "update", |store, dir, a| {
            store.update(move |tx| tx.put(&a, "new", "v"))
        }),
        call!("sync", "sync", |store, dir, a| async {
            store.put(&a, "unsynced", "v").await?;
            store.sync().await
        }),
        call!("drop_keyspace", "drop_keyspace", |store, dir, a| {
            async { store.drop_keyspace(&store.keyspace("b")?).await }
        }),
    ]
}

async fn read_in_update(store: &Store) -> Result<()> {
    let ks = store.keyspace("a")?;
    store.update(move |tx| tx.get(&ks, uncached().as_bytes()).map(drop)).await
}

/// A key that nobody has asked for, so that the record cache knows nothing of it.
fn uncached() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

/// Opens, and writes what the calls expect; only then may anything fail.
async fn prepared(options: &Options, kind: EngineKind, faults: &Arc<Faults>) -> Store {
    let store = Store::open(faulty(options.clone(), kind, faults)).await.unwrap();
    for (keyspace, key) in [("a", "kept"), ("a", "scanned"), ("b", "k")] {
        store.put(&store.keyspace(keyspace).unwrap(), key, "v").await.unwrap();
    }
    store.sync().await.unwrap();
    store
}

/// Reopens without faults. What was acknowledged must be there.
async fn assert_kept(options: &Options, setup: &Setup, keys: &[&str]) {
    if !setup.engine.is_persistent() {
        return;
    }
    let store = Store::open(options.clone()).await.unwrap();
    let ks = store.keyspace("a").unwrap();
    for key in keys {
        assert!(store.contains(&ks, *key).await.unwrap(), "{key} is gone");
    }
    let others = everything_in(&store).await;
    let new = |keyspace: &str| others.contains_key(&(keyspace.into(), "new".into()));
    assert!(!new("c") || new("a"), "a batch is half there");
    store.put(&ks, "reopened", "v").await.unwrap();
    store.close().await.unwrap();
}

#[test]
fn a_failed_read_fails_its_own_call_and_nothing_else() {
    for_each(setups(), |setup, options| async move {
        let faults = Arc::new(Faults::default());
        let store = prepared(&options, setup.engine, &faults).await;
        store.close().await.unwrap();
        // Opened again for the sake of the record cache, which holds what was written.
        let store = Store::open(faulty(options.clone(), setup.engine, &faults)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        for call in reads() {
            for how in How::ALL {
                let context = format!("{} of {}, {how:?}", call.name, call.method);
                faults.once(call.method, how);
                let above = tempfile::tempdir().unwrap();
                let failed = (call.make)(store.clone(), above.path().to_owned()).await;
                assert!(faults.is_over(), "{context} did not reach it");
                let as_documented = match (&failed, how) {
                    // A closure's own, too, as far as the store can tell.
                    (Err(Error::Corrupted(_) | Error::Panicked(_)), How::Panic) => true,
                    (Err(Error::Engine(cause)), How::ErrorBefore | How::ErrorAfter) => {
                        cause.to_string().contains("injected")
                    }
                    (Err(Error::Unsupported(_)), _) => !setup.engine.is_persistent(),
                    _ => false,
                };
                assert!(as_documented, "{context}: {failed:?}");
                assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), 0, "{context}");
                store.put(&ks, "after", context.clone()).await.unwrap();
                assert_eq!(store.get(&ks, "after").await.unwrap().unwrap(), context);
                assert!(!store.stats().await.unwrap().read_only, "{context}");
            }
            let above = tempfile::tempdir().unwrap();
            let again = (call.make)(store.clone(), above.path().to_owned()).await;
            assert!(
                matches!(again, Ok(()) | Err(Error::Unsupported(_))),
                "{}: {again:?}",
                call.name
            );
        }
        store.close().await.unwrap();
        assert_kept(&options, &setup, &["kept", "scanned", "after"]).await;
    });
}

#[test]
fn a_failed_write_refuses_all_later_ones_and_is_whole_or_absent_when_reopened() {
    for call in writes() {
        for how in How::ALL {
            for_each(setups(), |setup, options| async move {
                let context = format!("{} of {}, {how:?}", call.name, call.method);
                let faults = Arc::new(Faults::default());
                let durability = match call.method {
                    "sync" => Durability::Never,
                    _ => Durability::Always,
                };
                let options = options.durability(durability);
                let store = prepared(&options, setup.engine, &faults).await;
                faults.once(call.method, how);
                let failed = (call.make)(store.clone(), PathBuf::new()).await;
                assert!(faults.is_over(), "{context} did not reach it");
                assert!(matches!(failed, Err(Error::Commit(_))), "{context}: {failed:?}");
                assert_nothing_is_durable_any_more(&store, &faults, &context).await;
                let ks = store.keyspace("a").unwrap();
                assert_eq!(store.get(&ks, "kept").await.unwrap().unwrap(), "v", "{context}");
                let found = store.scan(&ks, .., ScanOptions::default()).try_collect::<Vec<_>>();
                assert!(found.await.unwrap().len() >= 2, "{context}");
                let closed = store.close().await;
                assert!(matches!(closed, Err(Error::Commit(_))), "{context}: {closed:?}");
                drop(store);
                assert_kept(&options, &setup, &["kept", "scanned"]).await;
            });
        }
    }
}

/// Every way to ask for a durable write, each refused without asking the engine again, which would say yes.
async fn assert_nothing_is_durable_any_more(store: &Store, faults: &Faults, context: &str) {
    let asked = |method| faults.calls(method);
    let before = ["apply", "sync", "drop_keyspace"].map(asked);
    let durable = store.with_durability(Durability::Always);
    let ks = store.keyspace("a").unwrap();
    for refused in [
        store.put(&ks, "late", "v").await,
        durable.put(&ks, "late", "v").await,
        durable.write(WriteBatch::new()).await,
        store.sync().await,
        store.drop_keyspace(&ks).await.map(drop),
        store.delete_range(&ks, ..).await,
        store.write(WriteBatch::new()).await,
    ] {
        assert!(matches!(refused, Err(Error::ReadOnly(_))), "{context}: {refused:?}");
    }
    assert_eq!(["apply", "sync", "drop_keyspace"].map(asked), before, "{context}");
    assert!(store.stats().await.unwrap().read_only, "{context}");
}

#[test]
fn a_failed_fsync_of_the_interval_is_not_tried_again_and_believed() {
    for how in How::ALL {
        for_each(setups(), |setup, options| async move {
            let faults = Arc::new(Faults::default());
            let options = options.durability(Durability::Every(Duration::from_millis(1)));
            let store = prepared(&options, setup.engine, &faults).await;
            faults.once("sync", how);
            let ks = store.keyspace("a").unwrap();
            // Again and again, as an fsync that shares a drain with a write is part of its `apply`.
            while !faults.is_over() {
                let put = store.put(&ks, "unsynced", "v").await;
                assert!(put.is_ok() || faults.is_over(), "{put:?}");
            }
            while !store.stats().await.unwrap().read_only {}
            assert_nothing_is_durable_any_more(&store, &faults, "interval").await;
            let syncs = faults.calls("sync");
            let closed = store.close().await;
            assert!(matches!(closed, Err(Error::Commit(_))), "{closed:?}");
            assert_eq!(faults.calls("sync"), syncs, "close has tried again");
            drop(store);
            assert_kept(&options, &setup, &["kept", "scanned"]).await;
        });
    }
}

#[test]
fn a_close_whose_fsync_fails_says_so() {
    for method in ["sync", "close"] {
        for how in How::ALL {
            for_each(setups(), |setup, options| async move {
                let faults = Arc::new(Faults::default());
                let options = options.durability(Durability::Never);
                let store = prepared(&options, setup.engine, &faults).await;
                store.put(&store.keyspace("a").unwrap(), "unsynced", "v").await.unwrap();
                faults.once(method, how);
                let closed = store.close().await;
                let as_documented = matches!(
                    (&closed, method, how),
                    (Err(Error::Corrupted(_)), _, How::Panic)
                        | (Err(Error::Commit(_)), "sync", _)
                        | (Err(Error::Engine(_)), "close", _)
                );
                assert!(as_documented, "{method} {how:?}: {closed:?}");
                let again = store.close().await;
                assert!(again.is_err(), "{method} {how:?}: {again:?}");
                drop(store);
                assert_kept(&options, &setup, &["kept", "scanned"]).await;
            });
        }
    }
}

#[test]
fn a_failed_open_gives_the_directory_back() {
    for how in How::ALL {
        for_each(setups(), |setup, options| async move {
            let faults = Arc::new(Faults::default());
            for is_first in [true, false] {
                faults.once("open", how);
                let failed = Store::open(faulty(options.clone(), setup.engine, &faults)).await;
                match (failed.map(drop).unwrap_err(), how) {
                    (Error::Corrupted(_), How::Panic) | (Error::Engine(_), _) => {}
                    (error, _) => panic!("{how:?}: {error:?}"),
                }
                if is_first {
                    prepared(&options, setup.engine, &faults).await.close().await.unwrap();
                }
            }
            assert_kept(&options, &setup, &["kept", "scanned"]).await;
        });
    }
}

#[test]
fn a_panic_while_a_snapshot_is_released_harms_no_other_call() {
    for_each(setups(), |setup, options| async move {
        let faults = Arc::new(Faults::default());
        let store = prepared(&options, setup.engine, &faults).await;
        let ks = store.keyspace("a").unwrap();
        let held = store.snapshot().await.unwrap();
        faults.once("release", How::Panic);
        drop(held);
        while !faults.is_over() {
            store.stats().await.unwrap();
        }
        faults.once("release", How::Panic);
        let _ = store.view(|_| Ok::<_, Error>(())).await;
        store.put(&ks, "after", "v").await.unwrap();
        let _still_held = store.snapshot().await.unwrap();
        faults.once("release", How::Panic);
        store.close().await.unwrap();
        assert_kept(&options, &setup, &["kept", "scanned", "after"]).await;
    });
}

/// Operations of one writer and one seed.
const OPERATIONS: u64 = 8;

#[test]
fn faults_at_random_cost_nothing_that_was_acknowledged() {
    let seeds = variable("PONTOON_IO_SEEDS").unwrap_or(24);
    let first = variable("PONTOON_IO_SEED").unwrap_or(1);
    let every = Durability::Every(Duration::from_millis(1));
    let mut setups = setups();
    setups.retain(|setup| setup.engine.is_persistent());
    let mut tally = BTreeMap::<_, [usize; 3]>::new();
    for seed in first..first + seeds {
        for engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
            let durability = [Durability::Always, every, Durability::Never][seed as usize % 3];
            let fitting = setups.iter().filter(|setup| setup.engine == *engine);
            let setup = fitting.cycle().nth(seed as usize / 3 % 4).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let options = setup.options(dir.path()).durability(durability);
            println!("PONTOON_IO_SEED={seed} {setup:?} {durability:?}");
            let (faults, acks) = setup.block_on(at_random(setup, options, durability, seed));
            let tally = tally.entry(engine.name()).or_default();
            *tally = [tally[0] + 1, tally[1] + faults, tally[2] + acks];
        }
    }
    eprintln!("engine: [seeds, faults, acknowledged]: {tally:?}");
}

/// Two rounds on one directory. Returns how many faults there were, and acknowledgements.
async fn at_random(
    setup: &Setup,
    options: Options,
    durability: Durability,
    seed: u64,
) -> (usize, usize) {
    let faults = Arc::new(Faults::default());
    let mut writers = Writers::new(seed);
    let mut acknowledged = 0;
    for round in 0..2 {
        let starts = writers.starts();
        let acks = Mutex::new(Vec::new());
        faults.at_random(seed ^ (round << 32), [0, 5, 20, 100][(seed + round) as usize % 4]);
        let opened = Store::open(faulty(options.clone(), setup.engine, &faults)).await;
        let mut is_synced = true;
        if let Ok(store) = opened {
            let writing = starts.split(',').enumerate().map(|(writer, start)| {
                let (store, acks, start) = (&store, &acks, start.parse::<u64>().unwrap());
                async move {
                    for index in start..start + OPERATIONS {
                        match operation(seed, writer, index).run(store).await {
                            Ok(synced) => acks.lock().unwrap().push(Ack { writer, index, synced }),
                            Err(error) => return assert_known(&error),
                        }
                        if let Err(error) = store.keyspaces().await {
                            assert_known(&error);
                        }
                    }
                }
            });
            assert_eq!(join_all(writing).await.len(), WRITERS);
            is_synced = store.close().await.is_ok();
        }
        let acks = acks.into_inner().unwrap();
        acknowledged += acks.len();
        let store = Store::open(options.clone()).await.unwrap();
        let found = everything_in(&store).await;
        let nothing_lost =
            durability == Durability::Always || is_synced || setup.engine == EngineKind::Rocksdb;
        writers.compare(&acks, found, nothing_lost);
        store.close().await.unwrap();
    }
    (faults.injected(), acknowledged)
}

fn assert_known(error: &Error) {
    let is_known = matches!(
        error,
        Error::Commit(_)
            | Error::ReadOnly(_)
            | Error::Engine(_)
            | Error::Corrupted(_)
            | Error::Panicked(_)
    );
    assert!(is_known, "{error:?}");
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}
