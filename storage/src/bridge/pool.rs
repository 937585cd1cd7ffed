//! The mode `pool`: dedicated named threads, built on the crate `threadpool`.
//!
//! Writes and background work have one thread each, of the store's own, so that no lane can hold
//! another's last thread. Reads have threads of the store's own, or share the process's pool.
//!
//! A pool of `n` read threads is `n` pools of one thread: the threads of one `ThreadPool` wait for
//! each other behind one lock, so that every job wakes two of them, and the second for nothing. It
//! also lets a job go to a thread that is idle for certain, and never behind one that is stuck.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use once_cell::sync::OnceCell;
use threadpool::ThreadPool;

use super::{BridgeMode, Job, LaneKind};
use crate::error::{Error, Result};
use crate::lane::call::quietly;
use crate::sync::{Condvar, Mutex, lock, thread_local, wait};

/// The read threads of all stores that ask for none of their own; started when first needed.
static SHARED: OnceCell<Arc<Threads>> = OnceCell::new();

pub(super) struct Pool {
    threads: Option<PoolThreads>,
    /// Counts the threads of the store's own.
    own: Arc<Living>,
}

struct PoolThreads {
    read: Arc<Threads>,
    write: ThreadPool,
    background: ThreadPool,
}

impl Pool {
    /// Starts the store's threads, and the shared ones if it is to use them.
    pub(super) fn start(read_threads: Option<usize>) -> Result<Self> {
        let own = Arc::new(Living::default());
        // `threadpool` panics when it cannot start a thread.
        let start = || {
            let read = match read_threads {
                Some(threads) => Threads::start("pontoon-read", threads, &own),
                None => Arc::clone(SHARED.get_or_init(|| {
                    let threads = num_cpus::get().max(1);
                    Threads::start("pontoon-shared", threads, &Arc::default())
                })),
            };
            let write = one_thread("pontoon-write", &own);
            PoolThreads { read, write, background: one_thread("pontoon-back", &own) }
        };
        let threads = catch_unwind(AssertUnwindSafe(start))
            .map_err(|_| Error::Bridge("no thread could be started".into()))?;
        Ok(Self { threads: Some(threads), own })
    }

    pub(super) fn read_threads(&self) -> usize {
        self.threads.as_ref().map_or(0, |threads| threads.read.threads.len())
    }
}

impl BridgeMode for Pool {
    fn submit(&self, lane: LaneKind, job: Job) {
        let Some(threads) = &self.threads else { return };
        match lane {
            LaneKind::Read => threads.read.execute(job),
            LaneKind::Write => threads.write.execute(job),
            LaneKind::Background => threads.background.execute(job),
        }
    }
}

impl Drop for Pool {
    /// Blocks until the store's own threads, which are idle by now, have ended.
    fn drop(&mut self) {
        drop(self.threads.take());
        self.own.wait_for_none();
    }
}

struct Threads {
    threads: Vec<ThreadPool>,
    turns: Mutex<Turns>,
}

struct Turns {
    idle: Vec<usize>,
    /// Jobs for which no thread was idle; at most one for each drain of each store.
    waiting: VecDeque<Job>,
}

impl Threads {
    /// # Panics
    /// When a thread cannot be started, as `threadpool` does.
    fn start(name: &str, count: usize, living: &Arc<Living>) -> Arc<Self> {
        let threads: Vec<_> = (0..count.max(1)).map(|_| one_thread(name, living)).collect();
        let turns = Turns { idle: (0..threads.len()).collect(), waiting: VecDeque::new() };
        Arc::new(Self { threads, turns: Mutex::new(turns) })
    }

    /// Runs `job` on the thread that became idle last, or else on the first that becomes idle.
    fn execute(self: &Arc<Self>, job: Job) {
        let mut turns = lock(&self.turns);
        match turns.idle.pop() {
            None => turns.waiting.push_back(job),
            Some(index) => {
                drop(turns);
                self.execute_on(index, job);
            }
        }
    }

    fn execute_on(self: &Arc<Self>, index: usize, job: Job) {
        let turn = Turn { threads: Arc::clone(self), index };
        if let Some(thread) = self.threads.get(index) {
            thread.execute(move || {
                let _turn = turn;
                job();
            });
        }
    }
}

/// A thread in use. Dropped when its job has ended, or will not run, it takes the next.
struct Turn {
    threads: Arc<Threads>,
    index: usize,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = lock(&self.threads.turns);
        match turns.waiting.pop_front() {
            None => turns.idle.push(self.index),
            Some(job) => {
                drop(turns);
                quietly(|| self.threads.execute_on(self.index, job));
            }
        }
    }
}

#[allow(clippy::disallowed_methods)] // the bridge is where threads are started
fn one_thread(name: &str, living: &Arc<Living>) -> ThreadPool {
    let pool = ThreadPool::with_name(name.into(), 1);
    let life = Life::begin(living);
    pool.execute(move || LIFE.with(|slot| slot.set(Some(life))));
    pool
}

thread_local! {
    /// Dropped when the thread ends.
    static LIFE: Cell<Option<Life>> = const { Cell::new(None) };
}

/// How many threads have not ended.
#[derive(Default)]
struct Living {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Living {
    fn wait_for_none(&self) {
        let mut count = lock(&self.count);
        while *count > 0 {
            count = wait(&self.changed, count);
        }
    }
}

struct Life(Arc<Living>);

impl Life {
    fn begin(living: &Arc<Living>) -> Self {
        *lock(&living.count) += 1;
        Self(Arc::clone(living))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.changed.notify_all();
    }
}
