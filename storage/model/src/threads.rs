//! The crate `threadpool` as the bridge uses it, on the scheduler's threads; and how many of the jobs
//! that the bridge hands over meet a fault that a mode may show: dropped unrun, now or later, or a
//! panic.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::sync::{Condvar, Mutex, lock, thread, wait};

std::thread_local! {
    static FAULTS: Cell<u32> = const { Cell::new(0) };
}

/// From now on one in `n` jobs meets a fault of each kind; 0 for none.
pub fn one_fault_in(n: u32) {
    FAULTS.set(n);
}

pub(crate) fn faults() -> u32 {
    FAULTS.get()
}

/// A pool of threads.
pub struct ThreadPool(Arc<Shared>);

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    dropped: bool,
}

impl ThreadPool {
    /// Starts `threads` threads called `name`.
    pub fn with_name(name: String, threads: usize) -> Self {
        let shared = Arc::new(Shared::default());
        for _ in 0..threads {
            let shared = Arc::clone(&shared);
            drop(thread::Builder::new().name(name.clone()).spawn(move || shared.work()));
        }
        Self(shared)
    }

    /// Runs `job`.
    pub fn execute(&self, job: impl FnOnce() + Send + 'static) {
        lock(&self.0.state).queue.push_back(Box::new(job));
        self.0.changed.notify_one();
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        lock(&self.0.state).dropped = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.queue.pop_front() {
                drop(state);
                drop(catch_unwind(AssertUnwindSafe(job)));
                state = lock(&self.state);
            } else if state.dropped {
                return;
            } else {
                state = wait(&self.changed, state);
            }
        }
    }
}
