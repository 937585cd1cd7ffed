//! The load of one sample: callers in a closed loop, or arrivals at a fixed rate, on tokio, on the
//! executor of `futures`, or on plain threads.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pontoon_storage::Result;
use tokio::sync::Semaphore;

use super::caller::{Caller, Direct};
use super::keys::{Chooser, Op, Values};
use crate::bench::measure::{CallerRecorder, Schedule};

/// When a sample counts: operations that end in it for the throughput, and those that begin in it for
/// the latency, however long they take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

/// One caller: what it does and where it records.
pub(super) struct Worker {
    pub(super) chooser: Chooser,
    pub(super) values: Values,
    pub(super) recorder: CallerRecorder,
    pub(super) window: Window,
    /// Whether a read that finds nothing is an error.
    pub(super) must_find: bool,
    /// Why the first operation that failed did, for all callers together.
    pub(super) error: Arc<OnceLock<String>>,
}

impl Worker {
    /// Calls, waits, and calls again until the window ends.
    pub(super) async fn closed_loop(mut self, caller: Caller) {
        let mut begun = Instant::now();
        while begun < self.window.end {
            let (op, value) = self.choose();
            let outcome = caller.call(op, value).await;
            begun = self.record(begun, outcome);
        }
    }

    /// The same on a plain thread.
    pub(super) fn closed_loop_direct(mut self, direct: &Direct) {
        let mut begun = Instant::now();
        while begun < self.window.end {
            let (op, value) = self.choose();
            let outcome = direct.call(op, value);
            begun = self.record(begun, outcome);
        }
    }

    /// Takes arrivals until there are no more.
    pub(super) async fn open_loop(mut self, caller: Caller, arrivals: Arc<Arrivals>) {
        while let Some(intended) = arrivals.take().await {
            if self.is_given_up(intended, arrivals.given_up) {
                continue;
            }
            let (op, value) = self.choose();
            let outcome = caller.call(op, value).await;
            self.record(intended, outcome);
        }
    }

    /// The same on a plain thread.
    pub(super) fn open_loop_direct(mut self, direct: &Direct, arrivals: &Arrivals) {
        while let Some(intended) = arrivals.take_blocking() {
            if self.is_given_up(intended, arrivals.given_up) {
                continue;
            }
            let (op, value) = self.choose();
            let outcome = direct.call(op, value);
            self.record(intended, outcome);
        }
    }

    fn choose(&mut self) -> (Op, Bytes) {
        let op = self.chooser.choose();
        let value = match op {
            Op::Read(_) | Op::Scan(..) => Bytes::new(),
            _ => self.values.value(self.chooser.salt()),
        };
        (op, value)
    }

    /// Keeps what came of an operation that was to begin at `begun`; returns when it ended.
    fn record(&mut self, begun: Instant, outcome: Result<bool>) -> Instant {
        let now = Instant::now();
        let Window { begin, end } = self.window;
        let in_window = (begin..=end).contains(&now);
        match outcome {
            Ok(found) if found || !self.must_find => {
                if in_window {
                    self.recorder.operation();
                }
                if begun >= begin {
                    self.recorder.latency(now.saturating_duration_since(begun));
                }
            }
            outcome => {
                self.recorder.error();
                self.error.get_or_init(|| match outcome {
                    Ok(_) => "a key that must be there was not found".into(),
                    Err(error) => error.to_string(),
                });
            }
        }
        now
    }

    /// Whether it is so late that the backlog is not worked off any more. Then the operation has taken
    /// at least as long as it has waited, which counts.
    fn is_given_up(&mut self, intended: Instant, given_up: Instant) -> bool {
        let now = Instant::now();
        if now < given_up {
            return false;
        }
        if intended >= self.window.begin {
            self.recorder.latency(now.saturating_duration_since(intended));
        }
        true
    }
}

/// The arrivals of an open loop, which the callers share: each takes the next that is due, so that as
/// many run at once as there are callers, and the others wait in line.
#[derive(Debug)]
pub(super) struct Arrivals {
    schedule: Schedule,
    /// Arrivals in all.
    count: u64,
    next: AtomicU64,
    /// One permit for each that is due and not taken.
    due: Semaphore,
    callers: usize,
    /// When what still waits is given up.
    given_up: Instant,
}

impl Arrivals {
    /// From `begin` to the window's end, for `callers` callers.
    pub(super) fn new(begin: Instant, rate_per_sec: f64, window: Window, callers: usize) -> Self {
        let schedule = Schedule { begin, rate_per_sec };
        let seconds = window.end.saturating_duration_since(begin).as_secs_f64();
        let length = window.end.saturating_duration_since(window.begin);
        Self {
            schedule,
            count: (seconds * rate_per_sec).ceil() as u64,
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
            callers,
            given_up: window.end + length.max(Duration::from_secs(1)),
        }
    }

    /// Lets arrivals in as they become due, and at last every caller go. On a thread of its own, as
    /// tokio's timer counts whole milliseconds.
    pub(super) fn dispatch(&self) {
        let mut released = 0;
        while released < self.count {
            let due = self.schedule.due(Instant::now()).min(self.count);
            self.release(due.saturating_sub(released));
            released = released.max(due);
            let next = self.schedule.intended(released);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        self.release(self.callers as u64);
    }

    fn release(&self, permits: u64) {
        self.due.add_permits(usize::try_from(permits).unwrap_or(usize::MAX));
    }

    /// When the next arrival was to begin, once that is; `None` when there are no more.
    async fn take(&self) -> Option<Instant> {
        self.due.acquire().await.ok()?.forget();
        self.next()
    }

    fn take_blocking(&self) -> Option<Instant> {
        let intended = self.next()?;
        std::thread::sleep(intended.saturating_duration_since(Instant::now()));
        Some(intended)
    }

    fn next(&self) -> Option<Instant> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        (n < self.count).then(|| self.schedule.intended(n))
    }
}

/// Waits until every task has ended that holds a clone of the sender.
pub(super) async fn all_ended(mut tasks: tokio::sync::mpsc::Receiver<()>) {
    while tasks.recv().await.is_some() {}
}

/// A task that holds `ended` until it has ended, also by a panic.
pub(super) async fn holding(task: impl Future<Output = ()>, ended: tokio::sync::mpsc::Sender<()>) {
    task.await;
    drop(ended);
}
