//! The load of one sample: callers in a closed loop, or arrivals at a fixed rate, on tokio, on the
//! executor of `futures`, or on plain threads.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pontoon_storage::{Error, Result};
use tokio::sync::Semaphore;

use super::caller::{Caller, Direct};
use super::keys::{Chooser, Op, Values};
use crate::bench::measure::{CallerRecorder, Schedule};

/// When a sample counts: operations that end in it for the throughput, and for the latency also those
/// that end after it. What took long is so in it, wherever it began, and what was under way at the end
/// is not lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) end: Instant,
}

impl Window {
    /// How long after the end what has begun may still end, and what waits may still begin: without
    /// a limit, thousands of callers of a slow contender would hold up the run for minutes.
    pub(super) fn grace(&self) -> Duration {
        self.end.saturating_duration_since(self.begin).clamp(GRACE_MIN, GRACE_MAX)
    }
}

const GRACE_MIN: Duration = Duration::from_millis(250);
const GRACE_MAX: Duration = Duration::from_secs(1);

/// One caller: what it does and where it records.
pub(super) struct Worker {
    pub(super) chooser: Chooser,
    pub(super) values: Values,
    pub(super) recorder: CallerRecorder,
    /// When all callers of the sample begin to call, whenever they get a thread to do it.
    pub(super) started: Instant,
    pub(super) window: Window,
    /// Whether a read that finds nothing is an error.
    pub(super) must_find: bool,
    pub(super) report: Arc<Report>,
    /// Set when what has not begun is not to begin any more.
    pub(super) is_over: Arc<AtomicBool>,
}

impl Worker {
    /// Calls, waits, and calls again until the window ends.
    pub(super) async fn closed_loop(mut self, caller: Caller) {
        let mut begun = self.started;
        while begun < self.window.end {
            let (op, value) = self.choose();
            let outcome = caller.call(op, value).await;
            begun = self.record(begun, outcome);
        }
    }

    /// The same on a plain thread.
    pub(super) fn closed_loop_direct(mut self, direct: &Direct) {
        let mut begun = self.started;
        while begun < self.window.end {
            let (op, value) = self.choose();
            let outcome = direct.call(op, value);
            begun = self.record(begun, outcome);
        }
    }

    /// Takes arrivals until there are no more.
    pub(super) async fn open_loop(mut self, caller: Caller, arrivals: Arc<Arrivals>) {
        while let Some(intended) = arrivals.take().await {
            if self.is_over.load(Ordering::Relaxed) {
                self.give_up(intended, Instant::now());
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
            if self.is_over.load(Ordering::Relaxed) {
                self.give_up(intended, Instant::now());
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
        match outcome {
            Ok(found) if found || !self.must_find => {
                if (begin..=end).contains(&now) {
                    self.recorder.operation();
                }
                if now >= begin {
                    self.recorder.latency(now.saturating_duration_since(begun));
                }
            }
            Err(Error::Closed) if self.is_over.load(Ordering::Relaxed) => self.give_up(begun, now),
            outcome => {
                self.recorder.error();
                self.report.error.get_or_init(|| match outcome {
                    Ok(_) => "a key that must be there was not found".into(),
                    Err(error) => error.to_string(),
                });
            }
        }
        now
    }

    /// Keeps an operation that was to begin at `begun` and never did: it would have taken at least as
    /// long as it has waited.
    fn give_up(&mut self, begun: Instant, now: Instant) {
        self.report.given_up.fetch_add(1, Ordering::Relaxed);
        self.recorder.latency(now.saturating_duration_since(begun));
    }
}

/// What all workers of a sample say beside what they record.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// Why the first operation that failed did.
    pub(super) error: OnceLock<String>,
    /// Operations that had not begun when the sample was over.
    pub(super) given_up: AtomicU64,
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
}

impl Arrivals {
    /// From `begin` to the window's end, for `callers` callers.
    pub(super) fn new(begin: Instant, rate_per_sec: f64, window: Window, callers: usize) -> Self {
        let schedule = Schedule { begin, rate_per_sec };
        let seconds = window.end.saturating_duration_since(begin).as_secs_f64();
        Self {
            schedule,
            count: (seconds * rate_per_sec).ceil() as u64,
            next: AtomicU64::new(0),
            due: Semaphore::new(0),
            callers,
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
