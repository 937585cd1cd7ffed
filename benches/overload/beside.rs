//! Gets and puts at a moderate rate, alone and beside what takes long.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use futures::TryStreamExt;
use pontoon_storage::{EngineKind, Keyspace, Options, ReadLane, ScanOptions, Store, WriteBatch};
use tokio::runtime::Runtime;

use crate::Args;
use crate::load::{ms, run as run_load, scattered, stream};

const GETS_PER_SEC: f64 = 2_000.0;
const PUTS_PER_SEC: f64 = 100.0;

/// What is beside them ends by itself; if it takes longer, the row stops here.
const SECONDS_MAX: f64 = 120.0;

const BATCH_KEYS: u64 = 20_000;

/// How many of all keys are in the range, and as many in the keyspace, that are removed.
const REMOVED_ONE_IN: u64 = 10;

type Work = Pin<Box<dyn Future<Output = String> + Send>>;

pub fn run(runtime: &Runtime, engine: EngineKind, dir: &Path, args: &Args) {
    let options = Options::new(dir.join("store")).engine(engine);
    let store = runtime.block_on(Store::open(options)).unwrap();
    let (kept, dropped) = (store.keyspace("kept").unwrap(), store.keyspace("dropped").unwrap());
    let (keys, removed) = (args.keys, args.keys / REMOVED_ONE_IN);
    let begun = Instant::now();
    runtime.block_on(async {
        fill(&store, &kept, keys + removed).await;
        fill(&store, &dropped, removed).await;
    });
    println!(
        "\n{}: {keys} keys of 16 bytes with values of 32 (loaded in {:.0} s); {GETS_PER_SEC} gets/s and \
         {PUTS_PER_SEC} puts/s beside it",
        engine.name(),
        begun.elapsed().as_secs_f64()
    );
    println!(
        "  {:<18}{:>9}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}  done",
        "beside", "seconds", "get p50", "get p99", "get p99.9", "get max", "put p50", "put p99"
    );
    let alone = || Box::pin(std::future::pending()) as Work;
    let row = |name: &str, work: Work| measure(runtime, &store, &kept, keys, args, name, work);
    row("nothing", alone());
    row("scan of all", Box::pin(scan(store.clone(), kept.clone())));
    row("nothing", alone());
    row("checkpoint", Box::pin(checkpoint(store.clone(), dir.join("copy"))));
    row("nothing", alone());
    row("range removed", Box::pin(remove_range(store.clone(), kept.clone(), keys)));
    row("nothing", alone());
    row("keyspace dropped", Box::pin(drop_keyspace(store.clone(), dropped)));
    row("nothing", alone());
    runtime.block_on(store.close()).unwrap();
}

/// One row: for as long as `work` takes, or, if it never ends, as long as all rows take.
fn measure(
    runtime: &Runtime,
    store: &Store,
    keyspace: &Keyspace,
    keys: u64,
    args: &Args,
    name: &str,
    work: Work,
) {
    let is_over = Arc::new(AtomicBool::new(false));
    let is_alone = name == "nothing";
    let work = {
        let is_over = Arc::clone(&is_over);
        runtime.spawn(async move {
            let done = work.await;
            is_over.store(true, Relaxed);
            done
        })
    };
    let get = |n| {
        let (store, keyspace) = (store.clone(), keyspace.clone());
        async move { store.get(&keyspace, key(scattered(n, keys))).await.map(drop) }
    };
    let put = |n| {
        let (store, keyspace) = (store.clone(), keyspace.clone());
        async move { store.put(&keyspace, key(scattered(n, keys)), [b'w'; 32]).await }
    };
    let begun = Instant::now();
    let streams = vec![stream(GETS_PER_SEC, get), stream(PUTS_PER_SEC, put)];
    let seconds = if is_alone { args.seconds } else { SECONDS_MAX };
    let (outcomes, _) = run_load(runtime, streams, seconds, &is_over);
    let took = begun.elapsed().as_secs_f64();
    let done = match is_alone {
        true => {
            work.abort();
            String::new()
        }
        false => runtime.block_on(work).unwrap(),
    };
    let [gets, puts] = &outcomes[..] else { unreachable!("two streams") };
    println!(
        "  {name:<18}{took:>9.1}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}  {done}",
        ms(gets.latency.p50_us),
        ms(gets.latency.p99_us),
        ms(gets.latency.p999_us),
        ms(gets.latency.max_us),
        ms(puts.latency.p50_us),
        ms(puts.latency.p99_us),
    );
}

fn key(n: u64) -> [u8; 16] {
    u128::from(n).to_be_bytes()
}

async fn fill(store: &Store, keyspace: &Keyspace, keys: u64) {
    for first in (0..keys).step_by(BATCH_KEYS as usize) {
        let mut batch = WriteBatch::new();
        for n in first..keys.min(first + BATCH_KEYS) {
            batch.put(keyspace, key(n), [n as u8; 32]);
        }
        store.write(batch).await.unwrap();
    }
}

async fn scan(store: Store, keyspace: Keyspace) -> String {
    let background = store.with_lane(ReadLane::Background);
    let mut entries = background.scan(&keyspace, .., ScanOptions::default());
    let mut count = 0_u64;
    while entries.try_next().await.unwrap().is_some() {
        count += 1;
    }
    format!("{count} entries")
}

async fn checkpoint(store: Store, to: std::path::PathBuf) -> String {
    store.checkpoint(&to).await.unwrap();
    std::fs::remove_dir_all(to).unwrap();
    "one copy".into()
}

/// Those behind the keys that the others read and write.
async fn remove_range(store: Store, keyspace: Keyspace, first: u64) -> String {
    store.delete_range(&keyspace, &key(first)[..]..).await.unwrap();
    "a tenth of the keys".into()
}

async fn drop_keyspace(store: Store, keyspace: Keyspace) -> String {
    assert!(store.drop_keyspace(&keyspace).await.unwrap());
    "as many keys".into()
}
