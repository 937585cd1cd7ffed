//! A store inside a program that has one async thread.
//!
//! ```text
//! cargo run -p pontoon-storage --example embed_current_thread
//! ```
//!
//! An engine's calls block: a write waits for the disk. On the only async thread that would stop
//! everything else. A `Store` sends each call to a thread that may block, and the async thread goes
//! on. `Bridge::Blocking` uses tokio's `spawn_blocking` for that, which works on `current_thread` as
//! it does on `multi_thread` (`block_in_place` is what panics here; the store never uses it).

use futures::TryStreamExt as _;
use pontoon_storage::{Bridge, KeyRange, Options, Result, ScanOptions, Store, WriteBatch};

// `pub(crate)`, so that `tests/examples.rs` runs it too.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = Options::new(dir.path().join("data")).bridge(Bridge::Blocking);

    // Opening recovers what a crash left, which may take long: off this thread, too.
    let store = Store::open(options.clone()).await?;

    // A keyspace is a named ordered map. Naming it costs nothing; the first write creates it.
    let users = store.keyspace("users")?;
    let by_email = store.keyspace("by_email")?;

    // Acknowledged once it is on the disk, as this store's durability is the default, `Always`.
    store.put(&users, "user:17", "Ada").await?;

    // Over keyspaces, all or nothing.
    let mut batch = WriteBatch::new();
    batch.put(&users, "user:18", "Bob");
    batch.put(&by_email, "bob@example.org", "user:18");
    store.write(batch).await?;

    // These two share the thread: while the write waits for the disk, the other goes on.
    let (written, counted) = tokio::join!(store.put(&users, "user:19", "Eve"), count_to(1_000));
    written?;
    println!("counted to {counted} beside a write");
    assert_eq!(counted, 1_000);

    // A scan is a stream, read page by page: its memory is bounded, however long the range.
    let scan = store.scan(&users, KeyRange::prefix("user:"), ScanOptions::default());
    let names: Vec<String> =
        scan.map_ok(|(_, name)| String::from_utf8_lossy(&name).into_owned()).try_collect().await?;
    println!("users: {}", names.join(", "));
    assert_eq!(names, ["Ada", "Bob", "Eve"]);

    // Closing finishes what was accepted, syncs, and frees the directory for the next `open`.
    store.close().await?;

    let store = Store::open(options).await?;
    // A keyspace belongs to the store that gave it.
    let by_email = store.keyspace("by_email")?;
    let found = store.get(&by_email, "bob@example.org").await?;
    println!("found again after reopening: {found:?}");
    assert_eq!(found.as_deref(), Some(&b"user:18"[..]));
    store.close().await
}

/// Some other work of the program.
async fn count_to(limit: u32) -> u32 {
    let mut count = 0;
    while count < limit {
        count += 1;
        tokio::task::yield_now().await;
    }
    count
}
