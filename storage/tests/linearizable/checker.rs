//! Whether a history is linearizable: whether there is one order of its operations that keeps to real
//! time and gives each the answer it got.
//!
//! The search is Wing and Gong's ("Testing and Verifying Concurrent Objects", 1993), with Lowe's memory
//! of what has been tried ("Testing for linearizability", 2017): a set of operations done and the state
//! they lead to need no second look. An operation whose answer never came may have been done at any
//! moment between its call and a limit, or never. No crate's checker was found to have that limit (what a
//! kill cut off cannot be done after the next opening) and that memory.

use std::collections::HashSet;
use std::hash::Hash;

/// What operations do, one after the other.
pub trait Model {
    type State: Clone + Eq + Hash;
    type Operation;
    type Answer: PartialEq;

    fn answer(state: &mut Self::State, operation: &Self::Operation) -> Self::Answer;
}

/// One operation of a history; its times are places in one order of all calls and answers.
#[derive(Debug, Clone)]
pub struct Done<O, A> {
    pub operation: O,
    pub called: usize,
    /// When its answer came; without answer, when it can no longer be done.
    pub ended: usize,
    /// None: not known.
    pub answer: Option<A>,
    /// Whether it was surely done; else it may have been or not.
    pub is_sure: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// However one goes on, at most so many of the sure operations fit.
    Not(usize),
    /// There were too many orders to look at.
    Undecided,
}

/// An operation that has been put next, and where to go on when that leads nowhere.
struct Step<S> {
    state: S,
    /// The latest call of all operations put so far.
    latest_call: usize,
    put: Option<usize>,
    /// The place in `history` from which on others are to be tried.
    next: usize,
}

/// `states_max`: how many states are looked at before the history is given up.
pub fn check<M: Model>(
    initial: M::State,
    mut history: Vec<Done<M::Operation, M::Answer>>,
    states_max: usize,
) -> Verdict {
    // What ended first is most likely to have been first.
    history.sort_by_key(|done| (done.ended, done.called));
    let needed = history.iter().filter(|done| done.is_sure).count();
    let mut is_put = Bits::new(history.len());
    let (mut sure_put, mut most) = (0, 0);
    let mut seen = HashSet::new();
    let mut steps = vec![Step { state: initial, latest_call: 0, put: None, next: 0 }];
    while let Some(step) = steps.last_mut() {
        if sure_put == needed {
            return Verdict::Linearizable;
        }
        most = most.max(sure_put);
        let first_end = (0..history.len())
            .find(|&i| !is_put.has(i) && history[i].is_sure)
            .map_or(usize::MAX, |i| history[i].ended);
        let next = (step.next..history.len()).find(|&i| {
            let done = &history[i];
            // Nothing that had ended before it was called is left out, and nothing that was
            // called after its end came before it.
            !is_put.has(i) && done.called < first_end && done.ended > step.latest_call
        });
        let Some(next) = next else {
            if let Some(put) = steps.pop().and_then(|step| step.put) {
                is_put.clear(put);
                sure_put -= usize::from(history[put].is_sure);
            }
            continue;
        };
        step.next = next + 1;
        let done = &history[next];
        let mut state = step.state.clone();
        let answer = M::answer(&mut state, &done.operation);
        if done.answer.as_ref().is_some_and(|expected| *expected != answer) {
            continue;
        }
        // One that nobody heard of and that changed nothing need not be put.
        if !done.is_sure && state == step.state {
            continue;
        }
        let latest_call = step.latest_call.max(done.called);
        is_put.set(next);
        if !seen.insert((is_put.clone(), state.clone())) {
            is_put.clear(next);
            continue;
        }
        if seen.len() > states_max {
            return Verdict::Undecided;
        }
        sure_put += usize::from(done.is_sure);
        steps.push(Step { state, latest_call, put: Some(next), next: 0 });
    }
    Verdict::Not(most)
}

/// A set of small numbers.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(len: usize) -> Self {
        Bits(vec![0; len.div_ceil(64)].into())
    }

    fn has(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }

    fn set(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }

    fn clear(&mut self, i: usize) {
        self.0[i / 64] &= !(1 << (i % 64));
    }
}
