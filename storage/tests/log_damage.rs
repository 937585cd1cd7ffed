//! Damage inside RocksDB's log, which a torn tail is not: an error where every write was acknowledged
//! as durable, and the end of what there is where it was not.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

#[path = "common/tree.rs"]
#[allow(unreachable_pub)]
mod tree;

use std::fs;
use std::path::Path;
use std::time::Duration;

use futures::executor::block_on;
use pontoon_storage::{Durability, EngineKind, Error, Options, Result, Store};
use tree::copy_tree;

const RECORDS: usize = 50;

#[test]
fn damage_inside_the_log_is_refused_only_where_every_write_was_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (written, copy) = (dir.path().join("written"), dir.path().join("copy"));
    let store = open(&written, Durability::Always).unwrap();
    let ks = store.keyspace("a").unwrap();
    for number in 0..RECORDS {
        block_on(store.put(&ks, number.to_string(), vec![b'v'; 1000])).unwrap();
    }
    // What a process finds that starts after this one was killed.
    copy_tree(&written, &copy);
    block_on(store.close()).unwrap();
    let logs = fs::read_dir(copy.join("data/data.rocksdb")).unwrap().map(|e| e.unwrap().path());
    let logs = logs.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = logs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();

    let refused = open(&copy, Durability::Always);
    assert!(matches!(refused, Err(Error::Corrupted(_))), "{refused:?}");
    for durability in [Durability::Never, Durability::Every(Duration::from_secs(3600))] {
        let each = dir.path().join(format!("{durability:?}"));
        copy_tree(&copy, &each);
        let store = open(&each, durability).unwrap();
        let ks = store.keyspace("a").unwrap();
        let left = (0..RECORDS)
            .take_while(|number| block_on(store.contains(&ks, number.to_string())).unwrap())
            .count();
        assert!((1..RECORDS).contains(&left), "{left}");
        block_on(store.close()).unwrap();
    }
}

fn open(dir: &Path, durability: Durability) -> Result<Store> {
    let options = Options::new(dir).engine(EngineKind::Rocksdb).durability(durability);
    block_on(Store::open(options))
}
