//! The ticker: one thread of a store that drives deadlines and interval sync, in both modes.
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
use crate::sync::{AtomicU8, Condvar, Instant, Mutex, lock, wait, wait_timeout};

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

/// What the ticker's thread calls once an interval.
pub(crate) type OnInterval = Box<dyn FnMut() + Send>;

pub(crate) struct Ticker {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: bool,
    stopped: bool,
    next_id: u64,
    /// Removed when their call ends, so there are never more than there are calls.
    deadlines: BTreeMap<(Instant, u64), Arc<Deadline>>,
    interval: Option<Interval>,
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

    /// Calls `call` once `every` so long, on the ticker's thread, which it must not hold up.
    pub(crate) fn set_interval(&self, every: Duration, call: OnInterval) -> Result<()> {
        let mut state = lock(&self.shared.state);
        state.interval = Some(Interval { every, next: Instant::now() + every, call });
        self.ensure_running(&mut state)
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
            let ended = operation.as_mut().poll(cx);
            let _ = expired.as_mut().poll(cx);
            // Last, for whoever found it expired may have let go of its answer already.
            if cell.is_expired() { Poll::Ready(Err(Error::Deadline)) } else { ended }
        })
        .await
    }

    /// Ends the thread. Deadlines that have not come yet will not.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.shared.state);
        state.stopped = true;
        state.interval = None;
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
        let at = Instant::now()
            .checked_add(within)
            .ok_or_else(|| Error::InvalidArgument("a deadline beyond the end of time".into()))?;
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
            while let Some(entry) = state.deadlines.first_entry()
                && entry.key().0 <= now
            {
                entry.remove().expire();
            }
            if let Some(mut interval) = state.interval.take_if(|interval| interval.next <= now) {
                drop(state);
                (interval.call)();
                interval.next = Instant::now() + interval.every;
                state = lock(&self.state);
                if !state.stopped {
                    state.interval = Some(interval);
                }
                continue;
            }
            let first = state.deadlines.first_key_value().map(|((at, _), _)| *at);
            let next = state.interval.as_ref().map(|interval| interval.next);
            state = match first.into_iter().chain(next).min() {
                None => wait(&self.changed, state),
                Some(at) => wait_timeout(&self.changed, state, at.saturating_duration_since(now)),
            };
        }
        state.running = false;
        self.changed.notify_all();
    }
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
