//! What redb's quick repair costs in each durable commit, and what it saves when a store opens that was
//! not closed.
//!
//! ```text
//! cargo bench --bench quick_repair -- [--megabytes 64,512] [--commits 200] [--dir DIR]
//! ```
//!
//! Two stores with the same data, one with quick repair and one without, commit in turn: 64 puts of
//! 100 bytes each time, fsynced. Then each file is copied as it is, as after a kill, and opened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pontoon_storage::{Durability, Options, Store, WriteBatch};

const VALUE_BYTES: usize = 100;
const PUTS_PER_COMMIT: u64 = 64;
const REOPENS: usize = 5;

fn options(dir: &Path, quick_repair: bool) -> Options {
    Options::new(dir).durability(Durability::Never).redb_quick_repair(quick_repair)
}

fn batch(store: &Store, first: u64, puts: u64) -> WriteBatch {
    let keyspace = store.keyspace("bench").unwrap();
    let mut batch = WriteBatch::new();
    for n in first..first + puts {
        // Spread over the key order.
        let key = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        batch.put(&keyspace, key, vec![b'v'; VALUE_BYTES]);
    }
    batch
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Copies a store that is open, as a kill would leave it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.join("data")).unwrap();
    for file in ["PONTOON", "data/data.redb"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

async fn measure(dir: &Path, megabytes: u64, commits: u64) {
    let keys = (megabytes << 20) / (VALUE_BYTES as u64 + 8);
    let mut stores = Vec::new();
    for on in [false, true] {
        let path = dir.join(format!("{megabytes}-{on}"));
        let store = Store::open(options(&path, on)).await.unwrap();
        for first in (0..keys).step_by(10_000) {
            store.write(batch(&store, first, 10_000.min(keys - first))).await.unwrap();
        }
        store.sync().await.unwrap();
        stores.push((on, path, store.with_durability(Durability::Always), Vec::new()));
    }
    for commit in 0..commits {
        for (_, _, store, times) in &mut stores {
            let batch = batch(store, (commit * 7919) % keys, PUTS_PER_COMMIT);
            let begun = Instant::now();
            store.write(batch).await.unwrap();
            times.push(begun.elapsed());
        }
    }
    for (on, path, store, times) in stores {
        let mut opens = Vec::new();
        for round in 0..REOPENS {
            let killed = path.with_extension(format!("killed-{round}"));
            copy(&path, &killed);
            let begun = Instant::now();
            let reopened = Store::open(options(&killed, on)).await.unwrap();
            opens.push(begun.elapsed());
            reopened.close().await.unwrap();
            std::fs::remove_dir_all(killed).unwrap();
        }
        let file = std::fs::metadata(path.join("data/data.redb")).unwrap().len() >> 20;
        println!(
            "{:>10} MiB of data, {file:>5} MiB file, quick repair {:<3}  commit {:>9.2?}  open after kill {:>9.2?}",
            megabytes,
            if on { "on" } else { "off" },
            median(times),
            median(opens)
        );
        store.close().await.unwrap();
    }
}

fn main() {
    let (mut megabytes, mut commits, mut parent) = (vec![64, 512], 200, std::env::temp_dir());
    let mut given: Vec<String> = std::env::args().skip(1).collect();
    // As in `benches/bridge.rs`: does all of it run?
    if !given.iter().any(|arg| arg == "--bench") || given.iter().any(|arg| arg == "--test") {
        (megabytes, commits) = (vec![1], 2);
    }
    given.retain(|arg| arg != "--bench" && arg != "--test");
    let mut given = given.into_iter();
    while let Some(flag) = given.next() {
        let value = given.next().unwrap_or_else(|| panic!("{flag} needs a value"));
        match flag.as_str() {
            "--megabytes" => megabytes = value.split(',').map(|n| n.parse().unwrap()).collect(),
            "--commits" => commits = value.parse().unwrap(),
            "--dir" => parent = PathBuf::from(value),
            _ => panic!("unknown flag {flag}"),
        }
    }
    let dir = tempfile::tempdir_in(parent).unwrap();
    for megabytes in megabytes {
        futures::executor::block_on(measure(dir.path(), megabytes, commits));
    }
}
