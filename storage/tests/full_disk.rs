//! A disk that is full, and one that is read-only: a clear error, nothing acknowledged is lost, reads go on
//! where the engine allows, and with room again a reopened store goes on.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

#[path = "common/mounts.rs"]
mod mounts;

use std::path::Path;
use std::time::Duration;

use futures::executor::block_on;
use mounts::{Disk, are_own};
use pontoon_storage::{Durability, EngineKind, Error, Keyspace, Options, Store};

const DISK_KIB: u64 = 24 << 10;

/// What is free when writing begins.
const FREE_KIB: u64 = 6 << 10;

const VALUE_BYTES: usize = 24 << 10;

const DURABILITIES: [Durability; 3] =
    [Durability::Always, Durability::Every(Duration::from_millis(10)), Durability::Never];

const FULL: &str = "No space left on device";

fn engines() -> impl Iterator<Item = EngineKind> {
    EngineKind::AVAILABLE.iter().copied().filter(|engine| engine.is_persistent())
}

/// With write buffers so small that RocksDB writes tables, too.
fn options(dir: &Path, engine: EngineKind) -> Options {
    Options::new(dir.join("store")).engine(engine).write_buffer_bytes(256 << 10)
}

/// Bytes that do not compress.
fn value(n: u32) -> Vec<u8> {
    let mut state = u64::from(n) + 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(VALUE_BYTES).collect()
}

/// Writes until it fails. Returns how many writes were acknowledged, and the error.
async fn fill(store: &Store, ks: &Keyspace, from: u32) -> (u32, Error) {
    for n in from.. {
        if u64::from(n - from) * (VALUE_BYTES as u64) >= DISK_KIB << 10 {
            // All of it is in redb's memory, where an fsync has not asked for more.
            return (n, store.sync().await.unwrap_err());
        }
        if let Err(error) = store.put(ks, n.to_be_bytes(), value(n)).await {
            return (n, error);
        }
    }
    unreachable!("more writes than numbers");
}

/// As the system says it, or as RocksDB's writes do when it waits for room.
fn assert_says_full(error: &Error) {
    let text = error.to_string();
    assert!(text.contains(FULL) || text.contains("as on a full disk"), "{text}");
}

#[test]
fn a_disk_that_fills_up_loses_nothing_and_a_reopened_store_goes_on() {
    if !are_own("a_disk_that_fills_up_loses_nothing_and_a_reopened_store_goes_on") {
        return;
    }
    for engine in engines() {
        for durability in DURABILITIES {
            for cache in [0, 1 << 20] {
                println!("{engine:?} {durability:?}, record cache of {cache}");
                let above = tempfile::tempdir().unwrap();
                let disk = Disk::mount(above.path(), "disk", DISK_KIB);
                let options = options(&disk.path.join("dir"), engine);
                std::fs::create_dir(disk.path.join("dir")).unwrap();
                fills_up(&disk, options.durability(durability).cache_bytes(cache), durability);
            }
        }
    }
}

fn fills_up(disk: &Disk, options: Options, durability: Durability) {
    let engine = if format!("{options:?}").contains("rocksdb") {
        EngineKind::Rocksdb
    } else {
        EngineKind::Redb
    };
    block_on(async {
        let store = Store::open(options.clone()).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        for n in 0..10 {
            store.put(&ks, u32::to_be_bytes(n), value(n)).await.unwrap();
        }
        store.sync().await.unwrap();
        disk.fill_but(FREE_KIB);
        let (acknowledged, error) = fill(&store, &ks, 10).await;
        // The fsync of an interval may have been what failed: then nobody waited for it.
        let refused = matches!(error, Error::ReadOnly(_)) && durability != Durability::Always;
        assert!(matches!(error, Error::Commit(_)) || refused, "{error:?}");
        assert_says_full(&error);
        for refused in [store.put(&ks, "later", "v").await, store.sync().await] {
            let refused = refused.unwrap_err();
            assert!(matches!(refused, Error::ReadOnly(_)), "{refused:?}");
            assert_says_full(&refused);
        }
        let mut read = 0;
        for n in 0..acknowledged {
            match store.get(&ks, n.to_be_bytes()).await {
                Ok(found) => {
                    assert_eq!(found.as_deref(), Some(&value(n)[..]), "{n}");
                    read += 1;
                }
                Err(Error::Engine(_)) if engine == EngineKind::Redb => {}
                Err(error) => panic!("{n}: {error:?}"),
            }
        }
        println!("{read} of {acknowledged} read after the failure");
        let closed = store.close().await;
        assert!(matches!(closed, Err(Error::Commit(_))), "{closed:?}");

        match Store::open(options.clone()).await {
            Ok(store) => {
                println!("opens on the full disk");
                let found = store.get(&ks_of(&store), 0_u32.to_be_bytes()).await.unwrap();
                assert_eq!(found.as_deref(), Some(&value(0)[..]));
                let _ = store.close().await;
            }
            Err(error) => {
                println!("does not open on the full disk: {error}");
                assert!(matches!(error, Error::Engine(_)), "{error:?}");
                assert_says_full(&error);
            }
        }

        disk.free();
        let store = Store::open(options).await.unwrap();
        let ks = ks_of(&store);
        let mut there = 0;
        while let Some(found) = store.get(&ks, u32::to_be_bytes(there)).await.unwrap() {
            assert_eq!(found, value(there));
            there += 1;
        }
        println!("{there} of {acknowledged} there");
        assert!(there <= acknowledged + 1);
        let kept = durability == Durability::Always || engine == EngineKind::Rocksdb;
        assert!(there >= if kept { acknowledged } else { 10 }, "{there} of {acknowledged}");
        let left = store.get_many(&ks, (there..acknowledged + 1).map(u32::to_be_bytes)).await;
        assert!(left.unwrap().iter().all(Option::is_none), "what is lost is not the end");
        for n in there..there + 20 {
            store.put(&ks, n.to_be_bytes(), value(n)).await.unwrap();
        }
        store.close().await.unwrap();
    });
}

fn ks_of(store: &Store) -> Keyspace {
    store.keyspace("a").unwrap()
}

#[test]
fn opening_on_a_full_disk_says_so_and_spoils_nothing() {
    if !are_own("opening_on_a_full_disk_says_so_and_spoils_nothing") {
        return;
    }
    for engine in engines() {
        let mut opened = 0;
        for free_kib in [0, 4, 8, 12, 16, 20, 24, 32, 64, 128, 256, 512, 1024, 2048, 4096] {
            let above = tempfile::tempdir().unwrap();
            let disk = Disk::mount(above.path(), "disk", DISK_KIB);
            let dir = disk.path.join("dir");
            std::fs::create_dir(&dir).unwrap();
            disk.fill_but(free_kib);
            block_on(async {
                match Store::open(options(&dir, engine)).await {
                    Ok(store) => {
                        opened += 1;
                        let _ = store.put(&ks_of(&store), "k", value(1)).await;
                        let _ = store.close().await;
                    }
                    Err(error) => {
                        assert!(matches!(error, Error::Engine(_)), "{free_kib}: {error:?}");
                        assert_says_full(&error);
                    }
                }
                disk.free();
                let store = Store::open(options(&dir, engine)).await.unwrap();
                store.put(&ks_of(&store), "k", value(2)).await.unwrap();
                store.close().await.unwrap();
            });
        }
        println!("{engine:?}: {opened} opened");
        assert!((1..15).contains(&opened), "no size of disk is too small, or none is enough");
    }
}

#[test]
fn a_checkpoint_onto_a_full_disk_fails_and_leaves_nothing_behind() {
    if !are_own("a_checkpoint_onto_a_full_disk_fails_and_leaves_nothing_behind") {
        return;
    }
    for engine in engines() {
        let above = tempfile::tempdir().unwrap();
        let disk = Disk::mount(above.path(), "disk", DISK_KIB);
        let small = Disk::mount(above.path(), "small", 6 << 10);
        small.fill_but(1 << 10);
        block_on(async {
            let store = Store::open(options(&disk.path, engine)).await.unwrap();
            let ks = ks_of(&store);
            for n in 0..100 {
                store.put(&ks, u32::to_be_bytes(n), value(n)).await.unwrap();
            }
            let to = small.path.join("copy");
            let failed = store.checkpoint(&to).await.unwrap_err();
            assert!(matches!(failed, Error::Engine(_)), "{failed:?}");
            assert_says_full(&failed);
            let left = std::fs::read_dir(&small.path).unwrap();
            let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["ballast"]);
            store.put(&ks, "after", "v").await.unwrap();
            small.free();
            store.checkpoint(&to).await.unwrap();
            store.close().await.unwrap();
            let copy = Options::new(&to).engine(engine);
            let copy = Store::open(copy).await.unwrap();
            assert_eq!(copy.get(&ks_of(&copy), "after").await.unwrap().unwrap(), "v");
            copy.close().await.unwrap();
        });
    }
}

#[test]
fn a_read_only_file_system_is_named_and_left_as_it_was() {
    if !are_own("a_read_only_file_system_is_named_and_left_as_it_was") {
        return;
    }
    for engine in engines() {
        let above = tempfile::tempdir().unwrap();
        let disk = Disk::mount(above.path(), "disk", DISK_KIB);
        block_on(async {
            let nothing_there = options(&disk.path.join("new"), engine);
            let there = options(&disk.path, engine);
            let store = Store::open(there.clone()).await.unwrap();
            store.put(&ks_of(&store), "k", "v").await.unwrap();
            store.close().await.unwrap();
            disk.remount("ro");
            for options in [&nothing_there, &there] {
                let refused = Store::open(options.clone()).await.unwrap_err();
                assert!(matches!(refused, Error::Engine(_)), "{refused:?}");
                let text = refused.to_string();
                assert!(text.contains("Read-only file system"), "{text}");
                assert!(text.contains(disk.path.to_str().unwrap()), "{text}");
            }
            disk.remount("rw");
            let store = Store::open(there).await.unwrap();
            assert_eq!(store.get(&ks_of(&store), "k").await.unwrap().unwrap(), "v");
            store.close().await.unwrap();
        });
    }
}
