//! The open loop: batches arrive at a fixed rate, and the next connection that is free sends them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

use tokio::sync::Notify;

use crate::bench::measure::Schedule;

use super::timer::Timer;

/// The arrivals at the connections of one thread.
///
/// What has arrived and waits for a connection is a number, not a queue: a server that is too slow
/// for the rate fills no memory.
#[derive(Debug)]
pub(super) struct Arrivals {
    schedule: Schedule,
    end: Instant,
    state: Mutex<State>,
    /// A connection became free where none was.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the next arrival to send.
    next: u64,
    /// Connections that are free, in the order in which they became so.
    free: VecDeque<usize>,
    /// How to wake each of them; `None` for one that is not free.
    wakers: Vec<Option<Waker>>,
    is_over: bool,
}

impl Arrivals {
    /// Those of `schedule` up to `end`, for connections 0 to `connections - 1`.
    pub(super) fn new(schedule: Schedule, end: Instant, connections: usize) -> Arc<Self> {
        let wakers = (0..connections).map(|_| None).collect();
        let state = Mutex::new(State { wakers, ..State::default() });
        Arc::new(Self { schedule, end, state, freed: Notify::new() })
    }

    /// Waits for an arrival for connection number `connection` and returns when it was due; `None`
    /// after the last.
    pub(super) async fn next(&self, connection: usize) -> Option<Instant> {
        poll_fn(|cx| {
            let now = Instant::now();
            let mut state = self.state();
            if state.is_over || now >= self.end {
                return Poll::Ready(None);
            }
            let due = self.schedule.intended(state.next);
            if due <= now {
                state.next += 1;
                return Poll::Ready(Some(due));
            }
            let Some(waker) = state.wakers.get_mut(connection) else { return Poll::Ready(None) };
            // One that was woken for another reason is in the queue already.
            if waker.replace(cx.waker().clone()).is_none() {
                if state.free.is_empty() {
                    self.freed.notify_one();
                }
                state.free.push_back(connection);
            }
            Poll::Pending
        })
        .await
    }

    /// Wakes connections as arrivals become due, until the end. Returns when those were due that no
    /// connection was free for by then.
    pub(super) async fn dispatch(&self, timer: &mut Timer) -> Vec<Instant> {
        loop {
            let next = {
                let state = self.state();
                (!state.free.is_empty()).then(|| self.schedule.intended(state.next))
            };
            match next {
                Some(due) => timer.sleep_until(due.min(self.end)).await,
                // A connection that becomes free takes what is due without being woken.
                None => tokio::select! {
                    () = self.freed.notified() => {}
                    () = timer.sleep_until(self.end) => {}
                },
            }
            if Instant::now() >= self.end {
                return self.close();
            }
            self.wake();
        }
    }

    fn wake(&self) {
        let mut state = self.state();
        let mut waiting = self.schedule.due(Instant::now()).saturating_sub(state.next);
        while waiting > 0
            && let Some(connection) = state.free.pop_front()
        {
            if let Some(waker) = state.wakers.get_mut(connection).and_then(Option::take) {
                waker.wake();
                waiting -= 1;
            }
        }
    }

    fn close(&self) -> Vec<Instant> {
        let mut state = self.state();
        state.is_over = true;
        state.wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
        let numbers = state.next..;
        numbers.map(|n| self.schedule.intended(n)).take_while(|due| *due < self.end).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    /// Arrivals of `rate_per_sec` from now on for `ms` milliseconds.
    fn arrivals(rate_per_sec: f64, ms: u64, connections: usize) -> Arc<Arrivals> {
        let begin = Instant::now();
        let end = begin + Duration::from_millis(ms);
        Arrivals::new(Schedule { begin, rate_per_sec }, end, connections)
    }

    #[test]
    fn every_arrival_is_sent_once_and_none_before_it_is_due() {
        let arrivals = arrivals(1000.0, 50, 3);
        let (mut sent, unsent) = runtime().block_on(async {
            let connections: Vec<_> = (0..3)
                .map(|connection| {
                    let arrivals = Arc::clone(&arrivals);
                    tokio::spawn(async move {
                        let mut sent = Vec::new();
                        while let Some(due) = arrivals.next(connection).await {
                            assert!(due <= Instant::now());
                            sent.push(due);
                        }
                        sent
                    })
                })
                .collect();
            let unsent = arrivals.dispatch(&mut Timer::new().unwrap()).await;
            let mut sent = Vec::new();
            for connection in connections {
                sent.extend(connection.await.unwrap());
            }
            (sent, unsent)
        });
        sent.extend(unsent);
        sent.sort();
        let expected: Vec<_> = (0..50).map(|n| arrivals.schedule.intended(n)).collect();
        assert_eq!(sent, expected);
    }

    #[test]
    fn what_no_connection_was_free_for_is_told() {
        let arrivals = arrivals(1000.0, 20, 1);
        // It has taken one and is busy with it to the end.
        arrivals.state().next = 1;
        let unsent =
            runtime().block_on(async { arrivals.dispatch(&mut Timer::new().unwrap()).await });
        let expected: Vec<_> = (1..20).map(|n| arrivals.schedule.intended(n)).collect();
        assert_eq!(unsent, expected);
        assert_eq!(runtime().block_on(arrivals.next(0)), None);
    }

    #[test]
    fn one_that_is_woken_for_another_reason_waits_once() {
        let arrivals = arrivals(0.001, 60_000, 2);
        arrivals.state().next = 1;
        let mut cx = std::task::Context::from_waker(Waker::noop());
        for _ in 0..3 {
            let mut next = Box::pin(arrivals.next(1));
            assert!(next.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(arrivals.state().free, [1]);
    }
}
