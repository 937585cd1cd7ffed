//! An engine whose every call can be made to fail: before it does anything, after it has done all, or by a
//! panic. Injected through the same trait that production uses.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pontoon_storage::engine::{Changes, Engine, Progress, Snapshot};
use pontoon_storage::{
    EngineKind, EngineStats, Error, KeyRange, KeyspaceId, Options, Page, PageLimit, Result,
};

use crate::workload::Rng;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    ErrorBefore,
    ErrorAfter,
    Panic,
}

impl How {
    pub const ALL: [How; 3] = [How::ErrorBefore, How::ErrorAfter, How::Panic];
}

#[derive(Default)]
enum Plan {
    #[default]
    None,
    /// The next call of that name.
    Once(&'static str, How),
    /// Any call but the release of a snapshot, which can tell of no error, so many times in a thousand.
    Random { rng: Rng, per_mille: u64 },
}

/// What a test does to the engine below its store.
#[derive(Default)]
pub struct Faults {
    plan: Mutex<Plan>,
    calls: Mutex<HashMap<&'static str, usize>>,
    injected: Mutex<usize>,
}

impl Faults {
    /// The next call of `method` fails; those after it do not.
    pub fn once(&self, method: &'static str, how: How) {
        *self.plan.lock().unwrap() = Plan::Once(method, how);
    }

    pub fn at_random(&self, seed: u64, per_mille: u64) {
        *self.plan.lock().unwrap() = Plan::Random { rng: Rng(seed), per_mille };
    }

    /// How often the engine was asked for that.
    pub fn calls(&self, method: &str) -> usize {
        self.calls.lock().unwrap().get(method).copied().unwrap_or(0)
    }

    pub fn injected(&self) -> usize {
        *self.injected.lock().unwrap()
    }

    /// Whether the call that [`once`](Faults::once) asked for has come.
    pub fn is_over(&self) -> bool {
        matches!(*self.plan.lock().unwrap(), Plan::None)
    }

    fn hit(&self, method: &'static str) -> Option<How> {
        *self.calls.lock().unwrap().entry(method).or_default() += 1;
        let mut plan = self.plan.lock().unwrap();
        let how = match &mut *plan {
            Plan::Once(asked, how) if *asked == method => {
                let how = *how;
                *plan = Plan::None;
                Some(how)
            }
            Plan::Random { .. } if method == "release" => None,
            Plan::Random { rng, per_mille } => {
                (rng.below(1000) < *per_mille).then(|| How::ALL[rng.below(3) as usize])
            }
            _ => None,
        };
        *self.injected.lock().unwrap() += usize::from(how.is_some());
        how
    }

    fn around<T>(&self, method: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(how) = self.hit(method) else { return call() };
        match how {
            How::ErrorBefore => {}
            How::ErrorAfter => drop(call()?),
            How::Panic => injected_panic(),
        }
        Err(Error::engine(format!("injected into {method}")))
    }
}

/// Past the hook that would print each of them.
fn injected_panic() -> ! {
    std::panic::resume_unwind(Box::new("injected panic"))
}

/// `options` with `kind` under `faults`, opening included.
pub fn faulty(options: Options, kind: EngineKind, faults: &Arc<Faults>) -> Options {
    let faults = Arc::clone(faults);
    options.custom_engine(
        kind.name(),
        Arc::new(move |dir: &Path, engine_options, names| {
            let inner = faults.around("open", || kind.open(dir, engine_options, names))?;
            Ok(Box::new(Faulty { inner, faults: Arc::clone(&faults) }))
        }),
    )
}

struct Faulty {
    inner: Box<dyn Engine>,
    faults: Arc<Faults>,
}

impl Engine for Faulty {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        let inner = self.faults.around("snapshot", || self.inner.snapshot())?;
        Ok(Box::new(FaultySnapshot { inner, faults: Arc::clone(&self.faults) }))
    }

    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> Vec<Result<Option<Bytes>>> {
        many(keys.len(), self.faults.around("get_many", || Ok(self.inner.get_many(keys, progress))))
    }

    fn apply(&self, changes: &Changes, sync: bool) -> Result<()> {
        self.faults.around("apply", || self.inner.apply(changes, sync))
    }

    fn sync(&self) -> Result<()> {
        self.faults.around("sync", || self.inner.sync())
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        self.faults.around("drop_keyspace", || self.inner.drop_keyspace(keyspace))
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        self.faults.around("keyspaces", || self.inner.keyspaces())
    }

    fn checkpoint(&self, into: &Path) -> Result<()> {
        self.faults.around("checkpoint", || self.inner.checkpoint(into))
    }

    fn stats(&self) -> Result<EngineStats> {
        self.faults.around("stats", || self.inner.stats())
    }

    fn unsynced_dies_with_process(&self) -> bool {
        self.inner.unsynced_dies_with_process()
    }

    fn close(&self) -> Result<()> {
        self.faults.around("close", || self.inner.close())
    }
}

struct FaultySnapshot {
    inner: Box<dyn Snapshot>,
    faults: Arc<Faults>,
}

impl Drop for FaultySnapshot {
    fn drop(&mut self) {
        // A second panic on one thread would end the process, whatever the store does.
        if self.faults.hit("release") == Some(How::Panic) && !std::thread::panicking() {
            injected_panic();
        }
    }
}

impl Snapshot for FaultySnapshot {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        self.faults.around("get", || self.inner.get(keyspace, key))
    }

    fn get_many(&self, keys: &[(KeyspaceId, &[u8])]) -> Vec<Result<Option<Bytes>>> {
        many(keys.len(), self.faults.around("snapshot.get_many", || Ok(self.inner.get_many(keys))))
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        self.faults.around("page", || self.inner.page(keyspace, range, reverse, limit))
    }
}

fn many(len: usize, values: Result<Vec<Result<Option<Bytes>>>>) -> Vec<Result<Option<Bytes>>> {
    values.unwrap_or_else(|error| vec![Err(error); len])
}
