//! A store shared by many tasks of a multi-threaded program.
//!
//! ```text
//! cargo run -p pontoon-storage --example embed_multi_thread
//! ```
//!
//! A `Store` is a handle: clone it into every task. Writers that wait together share one fsync, so
//! many tasks that write at once are far cheaper than one task that writes as often. `Bridge::Pool`,
//! the default, runs the engine on threads of its own, apart from other users of `spawn_blocking`.

use futures::TryStreamExt as _;
use pontoon_storage::{Error, KeyRange, Options, Reader as _, Result, ScanOptions, Store};
use tokio::task::JoinSet;

const WRITERS: u32 = 256;

// `pub(crate)`, so that `tests/examples.rs` runs it too.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
pub(crate) async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(Options::new(dir.path().join("data")).pool_threads(2)).await?;
    let events = store.keyspace("events")?;

    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let (store, events) = (store.clone(), events.clone());
        writers.spawn(async move { store.put(&events, key(n), format!("event {n}")).await });
    }
    while let Some(written) = writers.join_next().await {
        written.map_err(Error::engine)??;
    }
    let stats = store.stats().await?;
    println!("{} durable writes took {} fsyncs", stats.write.operations, stats.syncs);
    assert_eq!(stats.write.operations, u64::from(WRITERS));
    assert!(stats.syncs <= stats.write.operations);

    // A snapshot stays as it is, across awaits, whatever is written meanwhile.
    let before = store.snapshot().await?;
    store.delete_range(&events, KeyRange::from(key(0)..key(100))).await?;
    let then = before.get(&events, key(0)).await?;
    let now = store.get(&events, key(0)).await?;
    println!("the first event, in the snapshot: {then:?}; now: {now:?}");
    assert_eq!(then.as_deref(), Some(&b"event 0"[..]));
    assert_eq!(now, None);
    drop(before); // lets the engine reuse the space; blocks nothing

    // Several reads of one moment: a closure, off the async threads, that may take its time.
    let kept = events.clone();
    let count = store
        .view(move |view| {
            let mut count = 0;
            for entry in view.scan(&kept, .., ScanOptions::default()) {
                entry?;
                count += 1;
            }
            Ok::<u32, Error>(count)
        })
        .await?;
    println!("{count} events are left");
    assert_eq!(count, WRITERS - 100);

    // The newest first.
    let mut newest = store.scan(&events, .., ScanOptions::reversed());
    let last = newest.try_next().await?.map(|(_, event)| event);
    println!("the last one: {last:?}");
    assert_eq!(last.as_deref(), Some(&b"event 255"[..]));
    drop(newest);

    // A backup while the store is in use: a directory of its own that `Store::open` opens.
    let backup = dir.path().join("backup");
    store.checkpoint(&backup).await?;
    let copy = Store::open(Options::new(&backup)).await?;
    let event = copy.get(&copy.keyspace("events")?, key(255)).await?;
    println!("in the backup: {event:?}");
    assert_eq!(event, last);
    copy.close().await?;
    store.close().await
}

/// Big-endian, so that the order of the keys is that of the numbers.
fn key(n: u32) -> [u8; 4] {
    n.to_be_bytes()
}
