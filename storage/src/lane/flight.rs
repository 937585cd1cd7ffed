//! What a drain of reads has taken and not answered yet, where others can get at it.
//!
//! A drain that is stuck in one read, on a slow disk, must hold up no other: what it has not begun, and
//! what it has begun but may as well be read by another, goes back to the queue. The one read that it is
//! in stays with it. Where the engine reads many at once, and so cannot say which one that is, all go
//! back, to be read one by one: then it costs a second thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::call::{Reply, answer, quietly};
use super::read::{Keeper, LoneGet, ReadWork};
use super::{Entry, Held};
use crate::engine::Progress;
use crate::error::Result;
use crate::keyspace::KeyspaceId;
use crate::metrics::LaneMetrics;
use crate::sync::{AtomicU64, Mutex, lock};

/// A flight that has told nothing of its progress, as where an engine reads many keys at once, counts as stuck
/// after so many looks that found it where it was: reading from a disk takes a while, and what is taken
/// away is read again.
const SILENT_LOOKS_MAX: u32 = 10;

/// No get is being read yet, as far as the engine has said.
const NONE_BEGUN: u64 = u64::MAX >> 1;

/// Set beside the number of the get that is being read, once others have been taken away.
const TAKEN_AWAY: u64 = 1 << 63;

/// One batch of a drain.
pub(super) struct Flight {
    pub(super) keys: Vec<(KeyspaceId, Bytes)>,
    /// Which get is being read, changed by the drain alone, and [`TAKEN_AWAY`], set by others.
    reading: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// One for each key: who waits for it, unless answered or taken away.
    waiting: Vec<Option<Waiting>>,
    /// Calls not begun.
    calls: VecDeque<Entry<ReadWork>>,
    /// How far it was when it was last looked at.
    seen: Option<(u64, usize)>,
    /// How many looks in a row have found it so.
    quiet_looks: u32,
    /// What has been taken away, and holds its permits itself again.
    taken_away: Held,
}

struct Waiting {
    reply: Reply<Option<Bytes>>,
    bytes: usize,
    operations: usize,
}

impl Waiting {
    fn into_entry(self, (keyspace, key): (KeyspaceId, Bytes)) -> Entry<ReadWork> {
        let Self { reply, bytes, operations } = self;
        let work = ReadWork::Call(Box::new(LoneGet { keyspace, key, reply }));
        // It has started: its deadline has no say any more.
        Entry { work, bytes, operations, deadline: None, span: tracing::Span::none() }
    }
}

impl Flight {
    /// Takes all of `batch`; gets start now, and those that may not any more are gone.
    pub(super) fn of(batch: &mut Vec<Entry<ReadWork>>, metrics: &LaneMetrics) -> Self {
        let (mut keys, mut state) = (Vec::new(), State::default());
        for entry in batch.drain(..) {
            if matches!(entry.work, ReadWork::Call(_)) {
                state.calls.push_back(entry);
            } else if entry.start(metrics)
                && let Entry {
                    work: ReadWork::Get { keyspace, key, reply }, bytes, operations, ..
                } = entry
            {
                keys.push((keyspace, key));
                state.waiting.push(Some(Waiting { reply, bytes, operations }));
            }
        }
        Self { keys, reading: AtomicU64::new(NONE_BEGUN), state: Mutex::new(state) }
    }

    /// Whether one operation could hold up another.
    pub(super) fn is_shared(&self) -> bool {
        self.keys.len() + lock(&self.state).calls.len() > 1
    }

    /// Answers the gets that are left with their `values`, and keeps those. Returns how many.
    pub(super) fn answer_gets(
        &self,
        values: Vec<Result<Option<Bytes>>>,
        metrics: &LaneMetrics,
        keeper: &Keeper<'_>,
    ) -> usize {
        let waiting = std::mem::take(&mut lock(&self.state).waiting);
        let left = waiting.iter().flatten().count();
        // Counted before they are answered, so that a caller's own call is in what it reads next.
        metrics.operations.add(left as u64);
        for (((keyspace, key), value), waiting) in self.keys.iter().zip(values).zip(waiting) {
            let Some(waiting) = waiting else { continue };
            keeper.keep(*keyspace, key, &value);
            answer(waiting.reply, value);
        }
        left
    }

    /// The next call that has not begun.
    pub(super) fn next_call(&self) -> Option<Entry<ReadWork>> {
        lock(&self.state).calls.pop_front()
    }

    /// The calls that are left.
    pub(super) fn rest(&self) -> VecDeque<Entry<ReadWork>> {
        std::mem::take(&mut lock(&self.state).calls)
    }

    /// If nothing has happened since the last look, hands all to `put_back` but what is being read.
    fn look(&self, put_back: &mut dyn FnMut(&mut Vec<Entry<ReadWork>>)) {
        let mut state = lock(&self.state);
        let now = (self.reading.load(Ordering::SeqCst), state.calls.len());
        if state.seen.replace(now) != Some(now) {
            state.quiet_looks = 0;
            return;
        }
        state.quiet_looks += 1;
        let is_silent = now.0 == NONE_BEGUN && !state.waiting.is_empty();
        if is_silent && state.quiet_looks < SILENT_LOOKS_MAX {
            return;
        }
        let mut stuck = Vec::new();
        if state.waiting.iter().flatten().nth(1).is_some() {
            let reading = self.reading.fetch_or(TAKEN_AWAY, Ordering::SeqCst);
            for (index, (place, key)) in state.waiting.iter_mut().zip(&self.keys).enumerate() {
                if index as u64 != reading
                    && let Some(waiting) = place.take()
                {
                    stuck.push(waiting.into_entry(key.clone()));
                }
            }
        }
        stuck.extend(state.calls.drain(..));
        if !stuck.is_empty() {
            state.taken_away += Held::by(&stuck);
            // Under the lock, so that the drain cannot end between, and a close see nothing to wait for.
            put_back(&mut stuck);
        }
    }
}

impl Progress for Flight {
    fn begin(&self, index: usize) -> bool {
        let before = self.reading.load(Ordering::Relaxed);
        let index = index as u64;
        before & TAKEN_AWAY == 0
            && self
                .reading
                .compare_exchange(before, index, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
    }
}

/// The flights of a lane's drains in which one operation could hold up another.
#[derive(Default)]
pub(super) struct Board(Mutex<Vec<Arc<Flight>>>);

impl Board {
    pub(super) fn enter<'b>(&'b self, flight: &'b Arc<Flight>, held: &'b mut Held) -> OnBoard<'b> {
        lock(&self.0).push(Arc::clone(flight));
        OnBoard { board: self, flight, held }
    }

    /// Looks at each flight. Returns whether there are any.
    pub(super) fn look(&self, put_back: &mut dyn FnMut(&mut Vec<Entry<ReadWork>>)) -> bool {
        let flights = lock(&self.0).clone();
        flights.iter().for_each(|flight| flight.look(put_back));
        let any = !flights.is_empty();
        // The last hold on callers' keys, if the drain has ended meanwhile.
        quietly(|| drop(flights));
        any
    }
}

/// A flight on the board. Dropped, it is off, and what was taken away is no longer held by its drain.
pub(super) struct OnBoard<'b> {
    board: &'b Board,
    flight: &'b Arc<Flight>,
    held: &'b mut Held,
}

impl Drop for OnBoard<'_> {
    fn drop(&mut self) {
        lock(&self.board.0).retain(|flight| !Arc::ptr_eq(flight, self.flight));
        let left = std::mem::take(&mut *lock(&self.flight.state));
        *self.held -= left.taken_away;
        // Nothing, unless the drain breaks off; what is there then must not be taken away any more.
        quietly(|| drop(left));
    }
}
