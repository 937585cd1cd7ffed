//! The mode `pool`: dedicated named threads, started by the crate `threadpool`.
//!
//! Writes and background work have one thread each, of the store's own, so that no lane can hold
//! another's last thread. Reads have threads of the store's own, or share the process's pool.
//!
//! Each thread runs one job of its pool for life, which waits for ours. The crate's own queue wakes two
//! threads for one job, and a thread that waits there spins first, which keeps whoever it has just
//! answered from its CPU: 50 us a call where there are few CPUs.

use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use once_cell::sync::OnceCell;
use threadpool::ThreadPool;

use super::{BridgeMode, Job, LaneKind, read_threads_default};
use crate::error::{Error, Result};
use crate::lane::call::quietly;
use crate::sync::{Condvar, Mutex, lock, or_lost, thread_local, wait};

/// The read threads of all stores that ask for none of their own; started when first needed.
static SHARED: OnceCell<Threads> = OnceCell::new();

pub(super) struct Pool {
    read: ReadThreads,
    write: Threads,
    background: Threads,
}

enum ReadThreads {
    Own(Threads),
    Shared(&'static Threads),
}

impl Pool {
    /// Starts the store's threads, and the shared ones if it is to use them.
    pub(super) fn start(read_threads: Option<usize>) -> Result<Self> {
        let read = match read_threads {
            Some(threads) => ReadThreads::Own(Threads::start("pontoon-read", threads)?),
            None => ReadThreads::Shared(
                SHARED
                    .get_or_try_init(|| Threads::start("pontoon-shared", read_threads_default()))?,
            ),
        };
        let write = Threads::start("pontoon-write", 1)?;
        Ok(Self { read, write, background: Threads::start("pontoon-back", 1)? })
    }

    pub(super) fn read_threads(&self) -> usize {
        self.read().queue.seats.len()
    }

    fn read(&self) -> &Threads {
        match &self.read {
            ReadThreads::Own(threads) => threads,
            ReadThreads::Shared(threads) => threads,
        }
    }

    fn queue(&self, lane: LaneKind) -> &JobQueue {
        &match lane {
            LaneKind::Read => self.read(),
            LaneKind::Write => &self.write,
            LaneKind::Background => &self.background,
        }
        .queue
    }
}

impl BridgeMode for Pool {
    fn submit(&self, lane: LaneKind, job: Job) {
        self.queue(lane).push(job);
    }

    fn has_waiting(&self, lane: LaneKind) -> bool {
        self.queue(lane).jobs_waiting.load(Ordering::Relaxed) > 0
    }
}

/// Some threads with one queue. Dropping them blocks until they, who are idle by then, have ended.
struct Threads {
    queue: Arc<JobQueue>,
    pool: Option<ThreadPool>,
}

impl Threads {
    fn start(name: &str, count: usize) -> Result<Self> {
        let queue = Arc::new(JobQueue::new(count.max(1)));
        // `threadpool` panics when it cannot start a thread.
        let pool = catch_unwind(AssertUnwindSafe(|| start_pool(name, &queue)));
        let pool = pool.map_err(|_| {
            queue.end();
            Error::Bridge("no thread could be started".into())
        })?;
        Ok(Self { queue, pool: Some(pool) })
    }
}

#[allow(clippy::disallowed_methods)] // the bridge is where threads are started
fn start_pool(name: &str, queue: &Arc<JobQueue>) -> ThreadPool {
    let pool = ThreadPool::with_name(name.into(), queue.seats.len());
    for seat in 0..queue.seats.len() {
        let life = Life::begin(queue);
        pool.execute(move || {
            life.0.serve(seat);
            LIFE.with(|slot| slot.set(Some(life)));
        });
    }
    pool
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queue.end();
        drop(self.pool.take());
        self.queue.wait_for_none();
    }
}

thread_local! {
    /// Dropped when the thread ends.
    static LIFE: Cell<Option<Life>> = const { Cell::new(None) };
}

/// A thread that has not ended.
struct Life(Arc<JobQueue>);

impl Life {
    fn begin(queue: &Arc<JobQueue>) -> Self {
        lock(&queue.state).living += 1;
        Self(Arc::clone(queue))
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        lock(&self.0.state).living -= 1;
        self.0.died.notify_all();
    }
}

/// Jobs, and the threads that wait for one.
struct JobQueue {
    state: Mutex<State>,
    /// One for each thread, so that a job wakes the one it is for.
    seats: Vec<Condvar>,
    died: Condvar,
    /// The number of jobs, to look at without the lock.
    jobs_waiting: AtomicUsize,
}

struct State {
    /// At most one for each drain of each store.
    jobs: VecDeque<Job>,
    /// The seats of threads that wait. Whoever came last goes first: its memory is still warm.
    idle: Vec<usize>,
    ended: bool,
    living: usize,
}

impl JobQueue {
    fn new(threads: usize) -> Self {
        let state = State { jobs: VecDeque::new(), idle: Vec::new(), ended: false, living: 0 };
        let seats = (0..threads).map(|_| Condvar::default()).collect();
        Self {
            state: Mutex::new(state),
            seats,
            died: Condvar::default(),
            jobs_waiting: AtomicUsize::new(0),
        }
    }

    fn push(&self, job: Job) {
        let Some(job) = or_lost(job) else { return };
        let mut state = lock(&self.state);
        state.jobs.push_back(job);
        self.jobs_waiting.store(state.jobs.len(), Ordering::Relaxed);
        let seat = state.idle.pop();
        drop(state);
        if let Some(seat) = seat.and_then(|seat| self.seats.get(seat)) {
            seat.notify_one();
        }
    }

    /// Runs jobs until there will be none.
    fn serve(&self, seat: usize) {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                self.jobs_waiting.store(state.jobs.len(), Ordering::Relaxed);
                drop(state);
                quietly(|| {
                    if let Some(job) = or_lost(job) {
                        job();
                    }
                });
                state = lock(&self.state);
            } else if state.ended {
                return;
            } else if let Some(changed) = self.seats.get(seat) {
                state.idle.push(seat);
                state = wait(changed, state);
                // Woken by nobody, or by the end.
                state.idle.retain(|idle| *idle != seat);
            }
        }
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.seats.iter().for_each(Condvar::notify_all);
    }

    fn wait_for_none(&self) {
        let mut state = lock(&self.state);
        while state.living > 0 {
            state = wait(&self.died, state);
        }
    }
}
