//! The mode `pool`: dedicated named threads, built on the crate `threadpool`.
//!
//! Writes and background work have one thread each, of the store's own, so that no lane can hold
//! another's last thread. Reads have threads of the store's own, or share the process's pool.
//!
//! A pool of `n` read threads is `n` pools of one thread: the threads of one `ThreadPool` wait for
//! each other behind one lock, so that every job wakes two of them, and the second for nothing.

use std::sync::Arc;

use once_cell::sync::Lazy;
use threadpool::ThreadPool;

use super::{BridgeMode, Job, LaneKind};
use crate::sync::{Mutex, lock};

/// The read threads of all stores that ask for none of their own; started when first needed.
static SHARED: Lazy<Arc<Threads>> =
    Lazy::new(|| Arc::new(Threads::start("pontoon-shared", num_cpus::get().max(1))));

pub(super) struct Pool {
    read: Arc<Threads>,
    write: ThreadPool,
    background: ThreadPool,
}

impl Pool {
    /// # Panics
    /// When a thread cannot be started, as `threadpool` does.
    pub(super) fn new(read_threads: Option<usize>) -> Self {
        let read = match read_threads {
            Some(threads) => Arc::new(Threads::start("pontoon-read", threads.max(1))),
            None => Arc::clone(&SHARED),
        };
        Self { read, write: one_thread("pontoon-write"), background: one_thread("pontoon-back") }
    }

    pub(super) fn read_threads(&self) -> usize {
        self.read.threads.len()
    }
}

impl BridgeMode for Pool {
    fn submit(&self, lane: LaneKind, job: Job) {
        match lane {
            LaneKind::Read => self.read.execute(job),
            LaneKind::Write => self.write.execute(job),
            LaneKind::Background => self.background.execute(job),
        }
    }
}

struct Threads {
    threads: Vec<ThreadPool>,
    /// Whose turn it is when none is idle. Held while choosing, else two jobs could choose the same
    /// idle thread and one wait behind the other for nothing.
    turn: Mutex<usize>,
}

impl Threads {
    fn start(name: &str, count: usize) -> Self {
        let threads = (0..count).map(|_| one_thread(name)).collect();
        Self { threads, turn: Mutex::new(0) }
    }

    /// Runs `job` on an idle thread, or, if all are busy, on the next in turn.
    fn execute(&self, job: Job) {
        let mut turn = lock(&self.turn);
        let idle = self.threads.iter().find(|t| t.active_count() + t.queued_count() == 0);
        let thread = idle.or_else(|| {
            *turn = (*turn + 1) % self.threads.len().max(1);
            self.threads.get(*turn)
        });
        if let Some(thread) = thread {
            thread.execute(job);
        }
    }
}

fn one_thread(name: &str) -> ThreadPool {
    ThreadPool::with_name(name.into(), 1)
}
