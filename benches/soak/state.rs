//! What all operations of a soak share: the store of now, the model, and what is counted.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use pontoon::bench::measure::Recorder;
use pontoon::bench::result::Latency;
use pontoon_storage::{Error, Keyspace, Store};
use rand::RngExt;
use rand::rngs::SmallRng;

use crate::model::{KEYSPACES, Model};

/// Wrong answers that are told in full.
const WRONG_TOLD_MAX: u64 = 20;

pub struct Soak {
    pub seed: u64,
    pub model: Model,
    pub counts: Counts,
    pub latencies: Latencies,
    open: RwLock<(Store, Arc<[Keyspace]>)>,
    wrong: AtomicU64,
    running: AtomicU64,
}

/// An operation that has begun and not ended.
pub struct Running(Arc<Soak>);

impl Deref for Running {
    type Target = Soak;

    fn deref(&self) -> &Soak {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Soak {
    pub fn new(seed: u64, model: Model, store: Store) -> Self {
        Self {
            seed,
            model,
            counts: Counts::default(),
            latencies: Latencies::default(),
            open: RwLock::new(with_keyspaces(store)),
            wrong: AtomicU64::new(0),
            running: AtomicU64::new(0),
        }
    }

    /// The store of now, with its keyspaces.
    pub fn open(&self) -> (Store, Arc<[Keyspace]>) {
        self.open.read().unwrap().clone()
    }

    pub fn begin(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Relaxed);
        Running(Arc::clone(self))
    }

    /// Operations that have begun and not ended.
    pub fn running(&self) -> u64 {
        self.running.load(Relaxed)
    }

    /// From now on this is the store.
    pub fn reopened(&self, store: Store) {
        *self.open.write().unwrap() = with_keyspaces(store);
    }

    /// Something was read, or answered, that must not be.
    pub fn wrong(&self, why: String) {
        if self.wrong.fetch_add(1, Relaxed) < WRONG_TOLD_MAX {
            eprintln!("WRONG: {why}");
        }
    }

    pub fn wrong_count(&self) -> u64 {
        self.wrong.load(Relaxed)
    }
}

fn with_keyspaces(store: Store) -> (Store, Arc<[Keyspace]>) {
    let keyspaces = KEYSPACES.iter().map(|name| store.keyspace(name).unwrap()).collect();
    (store, keyspaces)
}

/// Kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Get,
    GetMany,
    Put,
    Delete,
    Update,
    Batch,
    Pair,
    DeleteRange,
    DropKeyspace,
    Undone,
    Scan,
    HeldScan,
    HeldSnapshot,
}

/// The kinds in their order, by name, and how many in 10,000 are of each.
const SHARES: [(Kind, &str, u32); 13] = [
    (Kind::Get, "get", 5_000),
    (Kind::GetMany, "get many", 800),
    (Kind::Put, "put", 2_000),
    (Kind::Delete, "delete", 300),
    (Kind::Update, "update", 700),
    (Kind::Batch, "batch", 500),
    (Kind::Pair, "pair", 300),
    (Kind::DeleteRange, "delete range", 50),
    (Kind::DropKeyspace, "drop keyspace", 5),
    (Kind::Undone, "undone", 45),
    (Kind::Scan, "scan", 200),
    (Kind::HeldScan, "held scan", 20),
    (Kind::HeldSnapshot, "held snapshot", 80),
];

impl Kind {
    pub fn name(self) -> &'static str {
        SHARES[self as usize].1
    }

    pub fn choose(random: &mut SmallRng) -> Self {
        let mut at = random.random_range(0..SHARES.iter().map(|(.., share)| share).sum::<u32>());
        for (kind, _, share) in SHARES {
            match at.checked_sub(share) {
                Some(rest) => at = rest,
                None => return kind,
            }
        }
        Kind::Get
    }
}

/// How calls ended, by kind: one row each.
#[derive(Default)]
pub struct Counts([[AtomicU64; ENDS.len()]; SHARES.len()]);

const ENDS: [&str; 7] = ["ok", "dropped", "deadline", "refused", "closed", "panicked", "error"];

impl Counts {
    pub fn ended(&self, kind: Kind, result: Option<Result<(), &Error>>) {
        let end = match result {
            Some(Ok(())) => 0,
            None => 1,
            Some(Err(Error::Deadline)) => 2,
            Some(Err(Error::Overloaded { .. })) => 3,
            Some(Err(Error::Closed)) => 4,
            Some(Err(Error::Panicked(_))) => 5,
            Some(Err(_)) => 6,
        };
        self.0[kind as usize][end].fetch_add(1, Relaxed);
    }

    /// Calls that ended, however.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().map(|count| count.load(Relaxed)).sum()
    }

    pub fn table(&self) -> String {
        let mut text = format!("{:<14}", "calls");
        ENDS.iter().for_each(|end| text += &format!("{end:>10}"));
        for ((_, name, _), row) in SHARES.iter().zip(&self.0) {
            text += &format!("\n{name:<14}");
            row.iter().for_each(|count| text += &format!("{:>10}", count.load(Relaxed)));
        }
        text
    }
}

/// What gets and puts took since the last look, from when each was to begin.
pub struct Latencies {
    gets: Mutex<Arc<Recorder>>,
    puts: Mutex<Arc<Recorder>>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { gets: Mutex::new(Recorder::new(1)), puts: Mutex::new(Recorder::new(1)) }
    }
}

impl Latencies {
    pub fn get(&self, latency: Duration) {
        self.gets.lock().unwrap().caller(0).latency(latency);
    }

    pub fn put(&self, latency: Duration) {
        self.puts.lock().unwrap().caller(0).latency(latency);
    }

    /// Of gets and of puts; the next look begins anew.
    pub fn take(&self) -> (Latency, Latency) {
        let take = |recorder: &Mutex<Arc<Recorder>>| {
            std::mem::replace(&mut *recorder.lock().unwrap(), Recorder::new(1)).latency()
        };
        (take(&self.gets), take(&self.puts))
    }
}
