//! The ticker: one thread of a store that drives deadlines, interval sync, and the watch over reads
//! that are stuck behind slow ones, in both modes.
//!
//! tokio's timer may be absent, and a blocking task that sleeps would hold up the end of its
//! runtime. The thread starts when the first deadline or interval needs it and ends with the store.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::run_on_own_thread;
use crate::error::{Error, Result};
use crate::lane::call::quietly;
use crate::sync::{
    AtomicBool, AtomicU8, Condvar, Instant, Mutex, MutexGuard, lock, wait, wait_timeout,
};

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const EXPIRED: u8 = 2;

/// Whether an operation with a deadline has started, or can no longer start.
#[derive(Debug, Default)]
pub(crate) struct Deadline {
    state: AtomicU8,
    expired: Notify,
}

impl Deadline {
    /// Marks the operation as started; `false` when its deadline came first.
    pub(crate) fn start(&self) -> bool {
        self.state.compare_exchange(QUEUED, STARTED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn expire(&self) {
        let expired =
            self.state.compare_exchange(QUEUED, EXPIRED, Ordering::AcqRel, Ordering::Acquire);
        if expired.is_ok() {
            self.expired.notify_one();
        }
    }

    fn is_expired(&self) -> bool {
        self.state.load(Ordering::Acquire) == EXPIRED
    }
}

/// How long operations may wait behind drains that are all busy before another one is started.
const STALL: Duration = Duration::from_millis(1);

/// Looks at a queue without backlog, after which the watch rests until the next backlog: waking the
/// ticker costs more than some looks for nothing.
const IDLE_LOOKS_MAX: u32 = 100;

/// As good as never, and near enough for the clock's arithmetic.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// What the ticker's thread calls once an interval.
pub(crate) type OnInterval = Box<dyn FnMut() + Send>;

/// What the ticker's thread calls while there is something to watch; returns whether there is.
pub(crate) type OnWatch = Box<dyn FnMut() -> bool + Send>;

pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Whether the watch is on; changed under the lock.
    watching: AtomicBool,
}

#[derive(Default)]
struct State {
    running: bool,
    stopped: bool,
    next_id: u64,
    /// Removed when their call ends, so there are never more than there are calls.
    deadlines: BTreeMap<(Instant, u64), Arc<Deadline>>,
    interval: Option<Interval>,
    /// Counts the changes of `interval`, which is not there while it is called.
    intervals_set: u64,
    watch: Option<OnWatch>,
    /// When the watch looks next, while it is on.
    next_look: Option<Instant>,
    idle_looks: u32,
}

struct Interval {
    every: Duration,
    next: Instant,
    call: OnInterval,
}

impl Ticker {
    pub(crate) fn new() -> Self {
        Self { shared: Arc::default() }
    }

    /// Calls `call` once `every` so long, on the ticker's thread, which it must not hold up; no longer
    /// what was set before.
    pub(crate) fn set_interval(&self, every: Duration, call: OnInterval) -> Result<()> {
        let mut state = lock(&self.shared.state);
        self.ensure_running(&mut state)?;
        let every = every.min(FAR);
        state.interval = Some(Interval { every, next: Instant::now() + every, call });
        state.intervals_set += 1;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Calls no longer what [`set_interval`](Ticker::set_interval) set, but for a call that runs.
    pub(crate) fn clear_interval(&self) {
        let mut state = lock(&self.shared.state);
        state.interval = None;
        state.intervals_set += 1;
    }

    /// Sets what [`watch`](Ticker::watch) makes the ticker call, about once a millisecond.
    pub(crate) fn set_watch(&self, call: OnWatch) {
        lock(&self.shared.state).watch = Some(call);
    }

    /// Turns the watch on until it has found nothing for a while. Cheap when it is on.
    pub(crate) fn watch(&self) {
        if self.shared.watching.load(Ordering::SeqCst) {
            return;
        }
        let mut state = lock(&self.shared.state);
        if self.ensure_running(&mut state).is_ok() {
            self.shared.watching.store(true, Ordering::SeqCst);
            state.next_look = Some(Instant::now() + STALL);
            state.idle_looks = 0;
            self.shared.changed.notify_all();
        }
    }

    /// Runs `operation`, which must call [`Deadline::start`] on the cell it is given when it starts,
    /// and ends with [`Error::Deadline`] if it has not started `within` so long.
    pub(crate) async fn race<T, F>(
        &self,
        within: Duration,
        operation: impl FnOnce(Arc<Deadline>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let cell = Arc::new(Deadline::default());
        let _entry = self.register(within, &cell)?;
        let mut expired = pin!(cell.expired.notified());
        let mut operation = pin!(operation(Arc::clone(&cell)));
        std::future::poll_fn(|cx| {
            let result = operation.as_mut().poll(cx);
            let _ = expired.as_mut().poll(cx);
            // First, since a drain that finds it expired drops it, which looks like a broken call.
            if cell.is_expired() { Poll::Ready(Err(Error::Deadline)) } else { result }
        })
        .await
    }

    /// Ends the thread. Deadlines that have not come yet will not.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.shared.state);
        state.stopped = true;
        state.interval = None;
        state.watch = None;
        self.shared.changed.notify_all();
        while state.running {
            state = wait(&self.shared.changed, state);
        }
    }

    fn register(&self, within: Duration, cell: &Arc<Deadline>) -> Result<Entry> {
        let mut state = lock(&self.shared.state);
        if within.is_zero() {
            cell.expire();
        }
        let at = Instant::now() + within.min(FAR);
        self.ensure_running(&mut state)?;
        state.next_id += 1;
        let key = (at, state.next_id);
        let is_next = state.deadlines.first_key_value().is_none_or(|(first, _)| key < *first);
        state.deadlines.insert(key, Arc::clone(cell));
        if is_next {
            self.shared.changed.notify_all();
        }
        Ok(Entry { shared: Arc::clone(&self.shared), key })
    }

    fn ensure_running(&self, state: &mut State) -> Result<()> {
        if state.running {
            return Ok(());
        }
        if state.stopped {
            return Err(Error::Closed);
        }
        let shared = Arc::clone(&self.shared);
        run_on_own_thread("pontoon-ticker", move || shared.run())?;
        state.running = true;
        Ok(())
    }
}

impl Shared {
    fn run(&self) {
        let mut state = lock(&self.state);
        while !state.stopped {
            let now = Instant::now();
            let mut due = Vec::new();
            while let Some(entry) = state.deadlines.first_entry()
                && entry.key().0 <= now
            {
                due.push(entry.remove());
            }
            if !due.is_empty() {
                drop(state);
                // Wakes tasks, which may come right back here with a deadline of their own.
                due.iter().for_each(|deadline| quietly(|| deadline.expire()));
                state = lock(&self.state);
                continue;
            }
            if let Some(mut interval) = state.interval.take_if(|interval| interval.next <= now) {
                let intervals_set = state.intervals_set;
                drop(state);
                quietly(|| (interval.call)());
                interval.next = Instant::now() + interval.every;
                state = lock(&self.state);
                if !state.stopped && state.intervals_set == intervals_set {
                    state.interval = Some(interval);
                }
                continue;
            }
            if state.next_look.take_if(|look| *look <= now).is_some()
                && let Some(mut watch) = state.watch.take()
            {
                state = self.look(state, &mut watch);
                if !state.stopped {
                    state.watch = Some(watch);
                }
                continue;
            }
            let look = state.next_look;
            let first = state.deadlines.first_key_value().map(|((at, _), _)| *at);
            let interval = state.interval.as_ref().map(|interval| interval.next);
            state = match first.into_iter().chain(interval).chain(look).min() {
                None => wait(&self.changed, state),
                Some(at) => wait_timeout(&self.changed, state, at.saturating_duration_since(now)),
            };
        }
        state.running = false;
        self.changed.notify_all();
    }

    /// One look, not under the lock. Turns the watch off once it has found nothing for a while: off
    /// first, then one more look, so that whoever queues after that finds it off, and turns it on.
    fn look<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        watch: &mut OnWatch,
    ) -> MutexGuard<'a, State> {
        drop(state);
        let waiting = watched(watch);
        let mut state = lock(&self.state);
        state.idle_looks = if waiting { 0 } else { state.idle_looks + 1 };
        if state.idle_looks > IDLE_LOOKS_MAX {
            self.watching.store(false, Ordering::SeqCst);
            drop(state);
            let waiting = watched(watch);
            state = lock(&self.state);
            state.idle_looks = 0;
            if !waiting && !self.watching.load(Ordering::SeqCst) {
                return state;
            }
            self.watching.store(true, Ordering::SeqCst);
        }
        state.next_look = Some(Instant::now() + STALL);
        state
    }
}

/// A look, which may drop what is a caller's own: its panic must not end the ticker. Then it looks again.
fn watched(watch: &mut OnWatch) -> bool {
    let mut waiting = true;
    quietly(|| waiting = watch());
    waiting
}

/// A deadline in the ticker; taken out when its call ends or is dropped.
struct Entry {
    shared: Arc<Shared>,
    key: (Instant, u64),
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.shared.state).deadlines.remove(&self.key);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_expired_ends_so_however_its_lane_lets_it_go() {
        let ticker = Ticker::new();
        let late = futures::executor::block_on(ticker.race(Duration::ZERO, |cell| async move {
            assert!(!cell.start());
            Err::<(), _>(Error::Bridge("dropped by the drain".into()))
        }));
        assert!(matches!(late, Err(Error::Deadline)), "{late:?}");
        ticker.stop();
    }

    #[test]
    fn a_look_that_panics_does_not_end_the_ticker() {
        let ticker = Ticker::new();
        let (looked, looks) = std::sync::mpsc::sync_channel(1);
        let mut panics = true;
        ticker.set_watch(Box::new(move || {
            if std::mem::take(&mut panics) {
                panic!("as a caller's destructor may");
            }
            let _ = looked.try_send(());
            false
        }));
        ticker.watch();
        looks.recv().unwrap();
        ticker.stop();
    }
}
