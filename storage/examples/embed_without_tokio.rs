//! A store in a program that has no tokio runtime.
//!
//! ```text
//! cargo run -p pontoon-storage --example embed_without_tokio
//! ```
//!
//! In pool mode the store's futures need nothing from the executor that polls them: the engine runs
//! on dedicated threads, and a thread of the store's own drives deadlines. Here the executor is that
//! of the crate `futures`; smol, async-std or one of your own do as well.

use std::time::Duration;

use futures::executor::{LocalPool, block_on};
use futures::future::try_join_all;
use futures::task::LocalSpawnExt as _;
use pontoon_storage::{Bridge, Durability, Error, Options, Reader as _, Result, Store};

// `pub(crate)`, so that `tests/examples.rs` runs it too.
pub(crate) fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let options = Options::new(dir.path().join("data"))
        .bridge(Bridge::Pool) // the default
        .pool_threads(1)
        // Acknowledged at once, on the disk within a second: a crash can cost that second's writes.
        .durability(Durability::EVERY_SECOND);

    // The other mode would need the handle of a tokio runtime (`Options::runtime`).
    let blocking = Options::new(dir.path().join("other")).bridge(Bridge::Blocking);
    let refused = block_on(Store::open(blocking)).err();
    println!("blocking mode: {}", refused.as_ref().map_or_else(String::new, Error::to_string));
    assert!(matches!(refused, Some(Error::NoRuntime)));

    let store = block_on(Store::open(options))?;
    let readings = store.keyspace("readings")?;

    // Tasks of another executor.
    let mut executor = LocalPool::new();
    for sensor in ["cellar", "roof"] {
        let (store, readings) = (store.clone(), readings.clone());
        let task = async move {
            let writes = (0..10).map(|n| store.put(&readings, format!("{sensor}/{n}"), [n]));
            if let Err(error) = try_join_all(writes).await {
                eprintln!("{sensor}: {error}");
            }
        };
        executor.spawner().spawn_local(task).map_err(Error::engine)?;
    }
    executor.run();

    block_on(async {
        // This one must survive a power loss before it is acknowledged, whatever the store's default.
        let careful = store.with_durability(Durability::Always);
        careful.put(&readings, "closed", "yes").await?;

        // Deadlines work without a timer of the executor's.
        let hasty = store.with_deadline(Duration::from_secs(60));
        assert!(hasty.contains(&readings, "closed").await?);

        let sum = {
            let readings = readings.clone();
            store.view(move |view| {
                let keys: Vec<String> = (0..10).map(|n| format!("cellar/{n}")).collect();
                let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
                let values = view.get_many(&readings, &keys)?;
                let bytes = values.iter().flatten().flat_map(|value| value.iter());
                Ok::<u32, Error>(bytes.copied().map(u32::from).sum())
            })
        };
        let sum = sum.await?;
        println!("the cellar's readings add up to {sum}");
        assert_eq!(sum, 45);

        store.close().await
    })
}
