//! An fsync that fails, on a disk that forgets what it was to write, as Linux does.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use futures::executor::block_on;
use pontoon_faults::{Disk, Mount, unavailable};
use pontoon_storage::{Durability, EngineKind, Error, Options, Store};

/// The fsyncs of files, counted from the first write on, of which one fails in each try.
const SYNCS: u64 = 4;

/// Whether there is a disk to test on.
fn is_available() -> bool {
    let Some(why) = unavailable() else { return true };
    assert!(std::env::var_os("PONTOON_REQUIRE_FUSE").is_none_or(|v| v != "1"), "{why}");
    eprintln!("NOT TESTED: a failed fsync, because {why}");
    false
}

/// Nobody may see the keyspace gone while a crash could bring it back.
#[test]
fn a_drop_of_a_keyspace_is_not_seen_before_it_is_durable() {
    if !is_available() {
        return;
    }
    for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
        let mount = Mount::new(Disk::new(1)).unwrap();
        let options = Options::new(mount.path().join("store")).engine(engine);
        let store = block_on(Store::open(options.durability(Durability::Always))).unwrap();
        let ks = store.keyspace("a").unwrap();
        block_on(store.put(&ks, "k", "v")).unwrap();
        mount.with(|disk| disk.fail_sync_after(1));
        let dropped = block_on(store.drop_keyspace(&ks));
        assert!(matches!(dropped, Err(Error::Commit(_))), "{engine:?}: {dropped:?}");
        // redb may refuse to read.
        if let Ok(found) = block_on(store.contains(&ks, "k")) {
            assert!(found, "{engine:?}");
        }
        assert!(block_on(store.close()).is_err());
        drop((ks, store));
        drop(mount.unmount().unwrap());
    }
}

#[test]
fn after_a_failed_fsync_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() {
    if !is_available() {
        return;
    }
    for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
        for quick_repair in
            [false, true].into_iter().filter(|quick| !quick || engine.name() == "redb")
        {
            for failing in 1..=SYNCS {
                println!("{engine:?}, quick repair {quick_repair}, fsync {failing} fails");
                fail_sync(engine, quick_repair, failing);
            }
        }
    }
}

fn fail_sync(engine: EngineKind, quick_repair: bool, failing: u64) {
    let mount = Mount::new(Disk::new(failing)).unwrap();
    let options = Options::new(mount.path().join("store"))
        .engine(engine)
        .durability(Durability::Always)
        .redb_quick_repair(quick_repair);
    let store = block_on(Store::open(options)).unwrap();
    let ks = store.keyspace("a").unwrap();
    mount.with(|disk| disk.fail_sync_after(failing));
    let mut acknowledged = 0_u64;
    let failed = loop {
        match block_on(store.put(&ks, acknowledged.to_be_bytes(), "v")) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged <= SYNCS, "no fsync has failed");
    };
    assert!(matches!(failed, Error::Commit(_)), "{failed:?}");
    for _ in 0..3 {
        let refused = block_on(store.put(&ks, "later", "v"));
        assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
    }
    assert!(block_on(store.close()).is_err());
    drop(ks);
    drop(store);

    // The process goes on, and so does the disk; then the power is lost, too.
    for loses_power in [false, true] {
        let disk = mount.with(|disk| disk.clone());
        let disk = if loses_power { disk.after_power_loss(failing) } else { disk };
        let again = Mount::new(disk).unwrap();
        let options = Options::new(again.path().join("store")).engine(engine);
        let store = block_on(Store::open(options)).unwrap();
        let ks = store.keyspace("a").unwrap();
        for number in 0..acknowledged {
            let there = block_on(store.contains(&ks, number.to_be_bytes())).unwrap();
            assert!(there, "{number} of {acknowledged} is gone, power lost: {loses_power}");
        }
        assert!(!block_on(store.contains(&ks, "later")).unwrap());
        block_on(store.put(&ks, "after", "v")).unwrap();
        block_on(store.close()).unwrap();
        drop(again.unmount().unwrap());
    }
    drop(mount.unmount().unwrap());
}
