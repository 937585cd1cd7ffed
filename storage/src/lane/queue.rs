//! A lane's queue and the decision when it needs another drain: no threads, no async, no clock, so
//! that the model checker can try its every interleaving (`storage/model`).
//!
//! The invariant that a lost wake-up would break: while operations are queued, at least one drain
//! has been started and not ended. Whoever is told to start a drain must do so, or ask
//! [`drain_lost`](Queue::drain_lost) what to answer until that is nothing.

use std::collections::VecDeque;

use crate::sync::{Condvar, Mutex, MutexGuard, lock, wait};

/// Something to queue.
pub(crate) trait Queued {
    /// Its weight in bytes.
    fn bytes(&self) -> usize;
}

/// What a drain may take at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakeLimit {
    pub(crate) operations: usize,
    pub(crate) bytes: usize,
}

/// The answer to a push.
#[derive(Debug)]
pub(crate) enum Pushed<T> {
    /// It is queued. With `start_drain` the caller must start one.
    Queued { start_drain: bool },
    /// The queue is closed; here it is back.
    Closed(T),
}

/// The answer to a take.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// There is work. With `start_drain` the caller must start another drain beside itself.
    Work { start_drain: bool },
    /// There is none: the drain that asked has ended.
    Ended,
}

/// The answer to a look at the queue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    /// Whether operations wait.
    pub(crate) waiting: bool,
    /// Whether the caller must start a drain.
    pub(crate) start_drain: bool,
}

pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
    drains_max: usize,
    /// Drains at the most while operations are fast: what is bound by the CPU gains nothing from
    /// more threads than there are CPUs.
    drains_fast_max: usize,
    take: TakeLimit,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// Drains started and not ended.
    drains: usize,
    /// Whether the last drains found their operations slow, as when they wait on a disk.
    slow: bool,
    /// How often a drain has taken; tells a queue that moves from one that stands still.
    takes: u64,
    closed: bool,
}

impl<T: Queued> Queue<T> {
    pub(crate) fn new(drains_max: usize, drains_fast_max: usize, take: TakeLimit) -> Self {
        let waiting = VecDeque::new();
        let state = Mutex::new(State { waiting, drains: 0, slow: false, takes: 0, closed: false });
        Self { state, ended: Condvar::new(), drains_max, drains_fast_max, take }
    }

    /// Queues `operation`.
    pub(crate) fn push(&self, operation: T) -> Pushed<T> {
        let mut state = lock(&self.state);
        if state.closed {
            return Pushed::Closed(operation);
        }
        state.waiting.push_back(operation);
        Pushed::Queued { start_drain: self.start_drain(&mut state) }
    }

    /// Moves what one drain may take to `batch`. For a drain only, which says whether it found its
    /// last operations slow: then waiting operations spread over as many drains as there may be.
    pub(crate) fn take(&self, batch: &mut Vec<T>, was_slow: Option<bool>) -> Taken {
        let mut state = lock(&self.state);
        state.slow = was_slow.unwrap_or(state.slow);
        state.takes = state.takes.wrapping_add(1);
        if state.waiting.is_empty() {
            self.end_drain(state);
            return Taken::Ended;
        }
        let fair_share = state.waiting.len().div_ceil(self.drains_max.max(1));
        let operations_max =
            if state.slow { fair_share.min(self.take.operations) } else { self.take.operations };
        let mut bytes = 0;
        while batch.len() < operations_max && (batch.is_empty() || bytes < self.take.bytes) {
            let Some(operation) = state.waiting.pop_front() else { break };
            bytes += operation.bytes();
            batch.push(operation);
        }
        Taken::Work { start_drain: self.start_drain(&mut state) }
    }

    /// Puts back at the head what a drain took and has not begun. For a drain only, which goes on
    /// taking. With `true` the caller must start another drain beside itself.
    pub(crate) fn put_back(&self, batch: &mut Vec<T>) -> bool {
        self.put_back_to(lock(&self.state), batch)
    }

    /// The same for a drain that is stuck, and so must not be able to end meanwhile.
    pub(crate) fn put_back_stuck(&self, batch: &mut Vec<T>) -> bool {
        let mut state = lock(&self.state);
        state.slow = true;
        self.put_back_to(state, batch)
    }

    fn put_back_to(&self, mut state: MutexGuard<'_, State<T>>, batch: &mut Vec<T>) -> bool {
        for operation in batch.drain(..).rev() {
            state.waiting.push_front(operation);
        }
        self.start_drain(&mut state)
    }

    /// For a drain that never ran, or broke off: what no other drain is left to run, to be answered
    /// before asking again. With nothing the drain has ended; not earlier, or an answer could come
    /// after [`wait_idle`](Queue::wait_idle) has returned.
    pub(crate) fn drain_lost(&self) -> Vec<T> {
        let mut state = lock(&self.state);
        if state.drains > 1 || state.waiting.is_empty() {
            self.end_drain(state);
            return Vec::new();
        }
        state.waiting.drain(..).collect()
    }

    /// Looks whether operations have waited, and no drain has taken any, since `takes_seen`, which it
    /// brings up to date: then every drain is stuck in something slow, and another must be started
    /// if there may be one.
    pub(crate) fn watch(&self, takes_seen: &mut u64) -> Watched {
        let mut state = lock(&self.state);
        let moved = std::mem::replace(takes_seen, state.takes) != state.takes;
        let waiting = !state.waiting.is_empty();
        if waiting && !moved {
            state.slow = true;
        }
        let start_drain = waiting && !moved && self.start_drain(&mut state);
        Watched { waiting, start_drain }
    }

    /// Refuses what comes from now on. What is queued will still run.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
    }

    /// Blocks until no drain is left and nothing is queued.
    pub(crate) fn wait_idle(&self) {
        let mut state = lock(&self.state);
        while state.drains > 0 || !state.waiting.is_empty() {
            state = wait(&self.ended, state);
        }
    }

    /// Operations that wait, without those that run.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// Decides whether the backlog deserves one more drain, and counts it as started.
    fn start_drain(&self, state: &mut State<T>) -> bool {
        let deserved = match state.drains {
            0 => 1,
            _ if state.slow => 1,
            drains if drains >= self.drains_fast_max => usize::MAX,
            drains => self.take.operations.saturating_mul(drains),
        };
        let start = state.drains < self.drains_max && state.waiting.len() >= deserved;
        if start {
            state.drains += 1;
        }
        start
    }

    fn end_drain(&self, mut state: MutexGuard<'_, State<T>>) {
        state.drains = state.drains.saturating_sub(1);
        if state.drains == 0 {
            self.ended.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Queued for u32 {
        fn bytes(&self) -> usize {
            1
        }
    }

    #[test]
    fn what_a_drain_puts_back_asks_for_another_when_operations_are_slow() {
        let queue = Queue::new(2, 2, TakeLimit { operations: 4, bytes: 100 });
        assert!(matches!(queue.push(1), Pushed::Queued { start_drain: true }));
        assert!(matches!(queue.push(2), Pushed::Queued { start_drain: false }));
        let (mut first, mut second) = (Vec::new(), Vec::new());
        assert_eq!(queue.take(&mut first, Some(true)), Taken::Work { start_drain: true });
        assert_eq!(queue.take(&mut second, None), Taken::Work { start_drain: false });
        assert_eq!(queue.take(&mut Vec::new(), None), Taken::Ended);
        assert!(queue.put_back(&mut first), "the one drain left runs through them alone");
    }

    #[test]
    fn a_lost_drain_leaves_the_operations_to_the_drain_beside_it() {
        let queue = Queue::new(2, 2, TakeLimit { operations: 1, bytes: 100 });
        assert!(matches!(queue.push(1), Pushed::Queued { start_drain: true }));
        assert!(matches!(queue.push(2), Pushed::Queued { start_drain: true }));
        assert_eq!(queue.drain_lost(), []);
        assert_eq!(queue.drain_lost(), [1, 2]);
        assert_eq!(queue.drain_lost(), []);
        queue.wait_idle();
    }
}
