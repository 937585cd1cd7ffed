//! What the process does that is killed: it opens the directory, does its job, and prints what
//! begins and ends and what is acknowledged.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::{join, join_all, pending};
use pontoon_storage::{Durability, Error, Options, Store, WriteBatch};

use crate::common::Setup;
use crate::told::telling;
use crate::workload::operation;

/// The settings that the parent hands over, by name in the environment.
pub const DIR: &str = "PONTOON_CRASH_CHILD_DIR";
pub const JOB: &str = "PONTOON_CRASH_CHILD_JOB";
pub const SETUP: &str = "PONTOON_CRASH_CHILD_SETUP";
pub const VARIANT: &str = "PONTOON_CRASH_CHILD_VARIANT";
pub const DURABILITY: &str = "PONTOON_CRASH_CHILD_DURABILITY";
pub const STARTS: &str = "PONTOON_CRASH_CHILD_STARTS";
pub const CLOSE_AFTER: &str = "PONTOON_CRASH_CHILD_CLOSE_AFTER";

/// In each round a few times over.
pub const INTERVAL: Duration = Duration::from_millis(15);

/// In the order of their numbers.
pub const DURABILITIES: [Durability; 3] =
    [Durability::Always, Durability::Every(INTERVAL), Durability::Never];

/// Ways to open a store that the kinds of setup do not differ in, as a number of two bits.
pub const VARIANTS: u64 = 4;

/// So small that RocksDB writes tables, too.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// What is filled and dropped, whole.
pub const BULK: &str = "bulk";
const BULK_KEYS: u64 = 600;

/// What a child does once it has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Nothing.
    Open,
    Write,
    /// Writes, and closes the store after some acknowledgements.
    Close,
    /// Writes, and makes one checkpoint after the other.
    Checkpoint,
    /// Writes, and fills and drops a keyspace again and again.
    Drop,
}

const JOBS: [Job; 5] = [Job::Open, Job::Write, Job::Close, Job::Checkpoint, Job::Drop];

impl Job {
    pub fn number(self) -> usize {
        JOBS.iter().position(|&job| job == self).unwrap()
    }
}

pub fn options(setup: &Setup, dir: &Path, durability: Durability, variant: u64) -> Options {
    let options = setup.options(dir).durability(durability).redb_quick_repair(variant & 1 == 1);
    if variant & 2 == 0 { options } else { options.write_buffer_bytes(WRITE_BUFFER_BYTES) }
}

/// Beside the store in `dir`.
pub fn copies_of(dir: &Path) -> PathBuf {
    dir.with_file_name("copies")
}

/// What `BULK` is filled with.
pub fn bulk() -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..BULK_KEYS).map(|key| (format!("{key:06}"), vec![key as u8; 100 + key as usize]))
}

/// Does the job that the environment names, if it names one, and never returns from it.
pub fn run() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let setup = Setup::persistent().swap_remove(number(SETUP) as usize);
    let durability = DURABILITIES[number(DURABILITY) as usize];
    let options = options(&setup, Path::new(&dir), durability, number(VARIANT));
    let options = telling(options, setup.engine);
    let starts = std::env::var(STARTS).unwrap();
    let child = Child {
        seed: number(crate::SEED),
        starts: starts.split(',').map(|start| start.parse().unwrap()).collect(),
        close_after: number(CLOSE_AFTER),
        copies: copies_of(Path::new(&dir)),
        epoch: Instant::now(),
        acked: AtomicU64::new(0),
    };
    // The test harness may have begun a line of its own.
    say("");
    setup.block_on(async {
        say("begin open");
        let store = Store::open(options).await.unwrap();
        say("end open");
        match JOBS[number(JOB) as usize] {
            Job::Open => {}
            Job::Write | Job::Close => child.write(&store).await,
            Job::Checkpoint => drop(join(child.write(&store), child.checkpoint(&store)).await),
            Job::Drop => drop(join(child.write(&store), fill_and_drop(&store)).await),
        }
        // Until the parent kills this process, or is gone.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(1);
    });
}

struct Child {
    seed: u64,
    starts: Vec<u64>,
    close_after: u64,
    copies: PathBuf,
    epoch: Instant,
    acked: AtomicU64,
}

impl Child {
    async fn write(&self, store: &Store) {
        join_all(self.starts.iter().enumerate().map(|(writer, &start)| async move {
            for index in start.. {
                let synced = match operation(self.seed, writer, index).run(store).await {
                    Err(Error::Closed) => break,
                    synced => synced.unwrap(),
                };
                let micros = self.epoch.elapsed().as_micros();
                say(&format!("ack {writer} {index} {synced} {micros}"));
                if self.acked.fetch_add(1, Ordering::SeqCst) + 1 == self.close_after {
                    say("begin close");
                    store.close().await.unwrap();
                    say("end close");
                }
            }
        }))
        .await;
    }

    async fn checkpoint(&self, store: &Store) {
        for copy in 0.. {
            say(&format!("begin checkpoint {copy}"));
            store.checkpoint(self.copies.join(copy.to_string())).await.unwrap();
            say(&format!("end checkpoint {copy}"));
        }
        pending().await
    }
}

async fn fill_and_drop(store: &Store) {
    let store = store.with_durability(Durability::Always);
    let keyspace = store.keyspace(BULK).unwrap();
    loop {
        if !store.contains(&keyspace, bulk().next().unwrap().0).await.unwrap() {
            let mut batch = WriteBatch::new();
            for (key, value) in bulk() {
                batch.put(&keyspace, key, value);
            }
            say("begin fill");
            store.write(batch).await.unwrap();
            say("end fill");
        }
        say("begin drop");
        assert!(store.drop_keyspace(&keyspace).await.unwrap());
        say("end drop");
    }
}

/// Past the harness, which captures what `println!` prints. Without a reader there is nobody to write
/// for.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
