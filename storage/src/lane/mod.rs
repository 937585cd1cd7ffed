//! Lanes: bounded queues of operations in front of the bridge.
//!
//! A lane owns, once for every mode: its bounds in operations and bytes, the decision whether
//! another drain is needed ([`queue`]), panic capture, deadlines, cancellation, closing, and its
//! metrics. What a drain does with the operations it took is its [`Drainer`]'s business: [`read`]
//! for the read and the background lane, [`write`] for the write lane.

use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::Semaphore;

use crate::bridge::{Deadline, LaneKind, RunningBridge};
use crate::error::{Error, Result};
use crate::metrics::LaneMetrics;
use crate::options::{OnFull, QueueLimits};
use crate::sync::{AtomicBool, Instant};

pub(crate) mod call;
mod flight;
mod linger;
pub(crate) mod queue;
pub(crate) mod read;
pub(crate) mod write;

use linger::Linger;
use queue::{Pushed, Queue, Queued, TakeLimit, Taken};

/// Batches that one job runs before it makes room for others on its thread.
const BATCHES_PER_JOB_MAX: usize = 256;

/// Work of one kind of lane.
pub(crate) trait Work: Send + 'static {
    /// Answers the caller with `error`; the work will not run.
    fn fail(self, error: Error);

    /// What a caller is told whose answer was lost with the thread that ran it.
    fn lost() -> Error;

    /// Whether the caller is gone.
    fn is_abandoned(&self) -> bool;
}

/// An operation in a queue.
pub(crate) struct Entry<W> {
    pub(crate) work: W,
    bytes: usize,
    /// Operations of the lane's bounds that it holds permits for, and for as many bytes as it has; 0: none.
    operations: usize,
    deadline: Option<Arc<Deadline>>,
    pub(crate) span: tracing::Span,
}

impl<W> Queued for Entry<W> {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl<W: Work> Entry<W> {
    /// Whether it may start now, from when on it will run to its end. An expired one has already
    /// been answered, and an abandoned one has nobody to answer.
    pub(crate) fn start(&self, metrics: &LaneMetrics) -> bool {
        // The deadline first: a caller whose deadline came is gone by now as a rule.
        if self.deadline.as_ref().is_some_and(|deadline| !deadline.start()) {
            metrics.expired.add(1);
            return false;
        }
        if self.work.is_abandoned() {
            metrics.cancelled.add(1);
            return false;
        }
        true
    }
}

/// What one drain does with the operations it took.
pub(crate) trait Drainer<W>: Send + Sync + 'static {
    /// Runs `batch`, for which its drain holds the permits `held`. What it leaves there has not been
    /// begun and goes back to the queue's head. Returns whether the operations were slow for what they
    /// are.
    fn drain(&self, batch: &mut Vec<Entry<W>>, held: &mut Held, metrics: &LaneMetrics) -> bool;

    /// Hands to `put_back` what drains have taken that are stuck in something else. Called about once a
    /// millisecond while there is anything to look at; returns whether there is.
    fn rescue(&self, _put_back: &mut dyn FnMut(&mut Vec<Entry<W>>)) -> bool {
        false
    }
}

/// Permits of a lane's bounds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Held {
    operations: usize,
    bytes: usize,
}

impl Held {
    /// Those that `entries` hold.
    pub(crate) fn by<W>(entries: &[Entry<W>]) -> Self {
        let mut held = Self::default();
        for entry in entries.iter().filter(|entry| entry.operations > 0) {
            held += Self { operations: entry.operations, bytes: entry.bytes };
        }
        held
    }
}

impl AddAssign for Held {
    fn add_assign(&mut self, more: Self) {
        self.operations += more.operations;
        self.bytes += more.bytes;
    }
}

impl SubAssign for Held {
    fn sub_assign(&mut self, less: Self) {
        self.operations = self.operations.saturating_sub(less.operations);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

/// What one call brings into a lane.
pub(crate) struct Admission {
    pub(crate) operations: usize,
    pub(crate) bytes: usize,
    pub(crate) on_full: OnFull,
    pub(crate) deadline: Option<Arc<Deadline>>,
    pub(crate) span: tracing::Span,
}

/// A lane.
pub(crate) struct Lane<W> {
    kind: LaneKind,
    queue: Queue<Entry<W>>,
    linger: Linger,
    operations: Semaphore,
    operations_max: usize,
    bytes: Semaphore,
    bytes_max: usize,
    bridge: Arc<RunningBridge>,
    drainer: Box<dyn Drainer<W>>,
    /// Told when an operation is queued behind drains that are all busy.
    on_backlog: Option<Arc<dyn Fn() + Send + Sync>>,
    closed: AtomicBool,
    pub(crate) metrics: LaneMetrics,
}

impl<W: Work> Lane<W> {
    pub(crate) fn new(
        kind: LaneKind,
        drains_max: usize,
        take: TakeLimit,
        limits: QueueLimits,
        bridge: Arc<RunningBridge>,
        drainer: Box<dyn Drainer<W>>,
        on_backlog: Option<Arc<dyn Fn() + Send + Sync>>,
    ) -> Arc<Self> {
        let operations_max = limits.operations.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        let bytes_max = limits.bytes.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            kind,
            queue: Queue::new(drains_max, num_cpus::get(), take),
            linger: Linger::new(),
            operations: Semaphore::new(operations_max),
            operations_max,
            bytes: Semaphore::new(bytes_max),
            bytes_max,
            bridge,
            drainer,
            on_backlog,
            closed: AtomicBool::new(false),
            metrics: LaneMetrics::default(),
        })
    }

    /// Waits for room as `admission` says, then queues `work`.
    pub(crate) async fn admit(self: &Arc<Self>, admission: Admission, work: W) -> Result<()> {
        let Admission { on_full, deadline, span, .. } = admission;
        // What is larger than a bound goes alone.
        let operations = admission.operations.clamp(1, self.operations_max);
        let bytes = admission.bytes.min(self.bytes_max);
        let permits = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let (operation, weight) = match (
            self.operations.try_acquire_many(permits(operations)),
            self.bytes.try_acquire_many(permits(bytes)),
        ) {
            (Ok(operation), Ok(weight)) => (operation, weight),
            _ if self.closed.load(Ordering::Acquire) => return Err(Error::Closed),
            _ if on_full == OnFull::Fail => {
                self.metrics.refused.add(1);
                return Err(Error::Overloaded { what: self.kind.queue_name() });
            }
            held => {
                drop(held);
                self.metrics.waited.add(1);
                let (operations, bytes) = (permits(operations), permits(bytes));
                let operation =
                    self.operations.acquire_many(operations).await.map_err(|_| Error::Closed)?;
                let weight = self.bytes.acquire_many(bytes).await.map_err(|_| Error::Closed)?;
                (operation, weight)
            }
        };
        operation.forget();
        weight.forget();
        self.push(Entry { work, bytes, operations, deadline, span })
    }

    /// Queues `work` whatever the bounds say: for the store's own few, such as releasing a snapshot.
    pub(crate) fn admit_uncounted(self: &Arc<Self>, work: W) -> Result<()> {
        let span = tracing::Span::none();
        self.push(Entry { work, bytes: 0, operations: 0, deadline: None, span })
    }

    /// Frees operations that wait for nothing but a stuck drain which took them, and starts another
    /// drain if operations have waited and none has been taken since `takes_seen`. Returns whether there
    /// is anything to look at again.
    pub(crate) fn relieve(self: &Arc<Self>, takes_seen: &mut u64) -> bool {
        let mut drains = 0;
        let in_flight = self.drainer.rescue(&mut |stuck| {
            drains += usize::from(self.queue.put_back_stuck(stuck));
        });
        let watched = self.queue.watch(takes_seen);
        drains += usize::from(watched.start_drain);
        (0..drains).for_each(|_| self.start_drain());
        watched.waiting || in_flight
    }

    /// Refuses new operations, those that wait for room included. Accepted ones will run.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.operations.close();
        self.bytes.close();
        self.queue.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Blocks until every accepted operation has been answered.
    pub(crate) fn wait_idle(&self) {
        self.queue.wait_idle();
    }

    /// Operations that wait, without those that run.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    fn push(self: &Arc<Self>, entry: Entry<W>) -> Result<()> {
        match self.queue.push(entry) {
            Pushed::Queued { start_drain } => {
                if start_drain {
                    self.start_drain();
                } else if !self.linger.is_staying() {
                    self.have_watched();
                }
                Ok(())
            }
            Pushed::Closed(entry) => {
                self.release(Held::by(std::slice::from_ref(&entry)));
                Err(Error::Closed)
            }
        }
    }

    fn start_drain(self: &Arc<Self>) {
        self.submit(Drain { lane: Arc::clone(self), live: true, held: Held::default() });
    }

    fn submit(self: &Arc<Self>, drain: Drain<W>) {
        self.bridge.submit(self.kind, Box::new(move || drain.run()));
    }

    /// Has [`relieve`](Lane::relieve) called, where that can help.
    fn have_watched(&self) {
        if let Some(on_backlog) = &self.on_backlog {
            on_backlog();
        }
    }

    fn release(&self, held: Held) {
        if held.operations > 0 {
            self.operations.add_permits(held.operations);
        }
        if held.bytes > 0 {
            self.bytes.add_permits(held.bytes);
        }
    }
}

/// A drain: one job on the bridge. Dropped before its end, be it unrun or in a panic, it answers
/// those that nobody else would.
struct Drain<W: Work> {
    lane: Arc<Lane<W>>,
    live: bool,
    /// What it took and has not put back.
    held: Held,
}

impl<W: Work> Drain<W> {
    fn run(mut self) {
        let lane = Arc::clone(&self.lane);
        let mut batch = Vec::new();
        let mut slow = None;
        lane.linger.drain_begins();
        for _ in 0..BATCHES_PER_JOB_MAX {
            let start_drain = match lane.queue.take(&mut batch, slow) {
                Taken::Work { start_drain } => start_drain,
                Taken::Ended => {
                    self.live = false;
                    return;
                }
            };
            if start_drain {
                lane.start_drain();
            }
            self.held = Held::by(&batch);
            lane.metrics.drains.add(1);
            // What was queued while a drain stayed had nobody told to watch it.
            if lane.queue.len() > 0 {
                lane.have_watched();
            }
            let begun = Instant::now();
            slow = Some(lane.drainer.drain(&mut batch, &mut self.held, &lane.metrics));
            self.held -= Held::by(&batch);
            lane.release(std::mem::take(&mut self.held));
            if !batch.is_empty() && lane.queue.put_back(&mut batch) {
                lane.start_drain();
            }
            if lane.bridge.has_waiting(lane.kind) {
                // Another store's, which shares the threads: it is its turn.
                break;
            }
            lane.linger.stay(begun, || lane.queue.len() == 0);
        }
        lane.submit(self);
    }
}

impl<W: Work> Drop for Drain<W> {
    fn drop(&mut self) {
        if !self.live {
            return;
        }
        self.lane.release(self.held);
        loop {
            let orphans = self.lane.queue.drain_lost();
            if orphans.is_empty() {
                return;
            }
            self.lane.release(Held::by(&orphans));
            for orphan in orphans {
                let why = "its runtime or threads are shut down, or none could be started";
                call::quietly(|| orphan.work.fail(Error::Bridge(why.into())));
            }
        }
    }
}
