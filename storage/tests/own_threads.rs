//! The threads of a store end with it. Alone in its process, so that every thread it sees is its own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use pontoon_storage::{Options, Store};

/// Names of the threads of this process that belong to a store; the system keeps 15 bytes.
fn threads_of_stores() -> Vec<String> {
    let names = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = names.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("pontoon-")).collect()
}

#[test]
fn close_ends_the_threads_of_the_store() {
    futures::executor::block_on(async {
        let store = Store::open(Options::in_memory().pool_threads(3)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.with_deadline(Duration::from_secs(3600)).put(&ks, "k", "v").await.unwrap();
        store.get(&ks, "k").await.unwrap();
        let reads = ["pontoon-read"; 3];
        let others = ["pontoon-back", "pontoon-ticker", "pontoon-write"];
        // A thread has its name once it has begun to run, and the one that opened may not have ended.
        wait_for_threads(&[&others[..1], &reads, &others[1..]].concat());
        store.close().await.unwrap();
    });
    wait_for_threads(&[]);
}

/// Hangs, and so fails, if it never comes to that.
fn wait_for_threads(expected: &[&str]) {
    loop {
        let mut running = threads_of_stores();
        running.sort();
        if running == expected {
            return;
        }
        std::thread::yield_now();
    }
}
