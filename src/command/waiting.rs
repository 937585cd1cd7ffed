//! Clients that wait for a key to hold something.
//!
//! A client begins to wait inside the write lane, by the operation that found nothing, and is served
//! there, by the operation that makes its key ready. Nothing can come in between.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pontoon_storage::Error;
use tokio::sync::oneshot;

use crate::resp::{Encoder, Protocol};

use super::clients::{Client, lock};
use super::execute::Request;
use super::fail::{Block, Fail};

/// What becomes of a client that waits.
#[derive(Debug)]
pub enum Answer {
    /// It was served: the reply, once it is committed.
    Served(Encoder),
    /// What served it was not committed.
    Failed(Error),
    /// Another client sent it on its way: with an error, or as if its time were up.
    Unblocked {
        /// Whether with an error.
        with_error: bool,
    },
}

/// One client that waits, and for what.
#[derive(Debug)]
pub struct Waiter {
    /// The command to run again.
    pub request: Request,
    /// The database it is for.
    pub db: u8,
    /// What to encode the reply in.
    pub protocol: Protocol,
    /// Who waits.
    pub client: Arc<Client>,
    /// For how long, and for which keys.
    pub block: Block,
    /// Taken by whoever ends the wait: the one who has it answers.
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

impl Waiter {
    /// A client that waits, and where its answer will come. The receiver fails if it
    /// [is cancelled](Waiter::cancel).
    pub fn new(
        request: Request,
        db: u8,
        protocol: Protocol,
        client: Arc<Client>,
        block: Block,
    ) -> (Arc<Self>, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let answer = Mutex::new(Some(sender));
        (Arc::new(Self { request, db, protocol, client, block, answer }), receiver)
    }

    /// Ends the wait, if nobody else has; the one who gets something must answer.
    pub fn claim(&self) -> Option<oneshot::Sender<Answer>> {
        lock(&self.answer).take()
    }

    /// Ends the wait without an answer, if nobody else has; whether it did.
    pub fn cancel(&self) -> bool {
        self.claim().is_some()
    }

    /// Ends the wait as `CLIENT UNBLOCK` does; whether it did.
    pub fn unblock(&self, with_error: bool) -> bool {
        self.claim().is_some_and(|answer| answer.send(Answer::Unblocked { with_error }).is_ok())
    }

    /// Whether somebody has ended the wait: the answer, if there is to be one, is on its way.
    pub fn is_ended(&self) -> bool {
        lock(&self.answer).is_none()
    }
}

impl Answer {
    /// Encodes the reply of a client that has waited as `block` says.
    pub fn encode(self, block: &Block, out: &mut Encoder) {
        match self {
            Answer::Served(reply) => out.append(reply),
            Answer::Failed(error) => Fail::Storage(error).encode(out),
            Answer::Unblocked { with_error: false } => block.nothing.encode(out),
            Answer::Unblocked { with_error: true } => {
                out.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
            }
        }
    }
}

/// Everybody who waits, by the keys they wait for, in the order in which they came.
#[derive(Debug, Default)]
pub struct Waiting {
    waiters_len: AtomicUsize,
    is_closed: AtomicBool,
    by_key: Mutex<Lines>,
}

/// By database and key: who waits for it, the first first.
type Lines = HashMap<(u8, Bytes), VecDeque<Arc<Waiter>>>;

impl Waiting {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many clients wait.
    pub fn len(&self) -> usize {
        self.waiters_len.load(Ordering::Acquire)
    }

    /// Adds one, last in the line of each of its keys.
    pub fn add(&self, waiter: &Arc<Waiter>) {
        let mut by_key = lock(&self.by_key);
        if self.is_closed.load(Ordering::Acquire) {
            waiter.cancel();
        }
        self.waiters_len.fetch_add(1, Ordering::AcqRel);
        for key in &waiter.block.keys {
            let line = by_key.entry((waiter.db, key.clone())).or_default();
            if !line.back().is_some_and(|last| Arc::ptr_eq(last, waiter)) {
                line.push_back(Arc::clone(waiter));
            }
        }
    }

    /// Ends every wait, those too that have not begun: the server stops.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let by_key = lock(&self.by_key);
        for waiter in by_key.values().flatten() {
            waiter.cancel();
        }
    }

    /// Takes one out of every line.
    pub fn remove(&self, waiter: &Arc<Waiter>) {
        let mut by_key = lock(&self.by_key);
        let mut was_there = false;
        for key in &waiter.block.keys {
            let place = (waiter.db, key.clone());
            if let Some(line) = by_key.get_mut(&place) {
                let before = line.len();
                line.retain(|other| !Arc::ptr_eq(other, waiter));
                was_there |= line.len() < before;
                if line.is_empty() {
                    by_key.remove(&place);
                }
            }
        }
        if was_there {
            self.waiters_len.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The first in the line of a key behind `after`, if that is given, which still waits.
    pub fn next(&self, db: u8, key: &Bytes, after: Option<&Arc<Waiter>>) -> Option<Arc<Waiter>> {
        let by_key = lock(&self.by_key);
        let line = by_key.get(&(db, key.clone()))?;
        let from = match after {
            None => 0,
            Some(after) => line.iter().position(|other| Arc::ptr_eq(other, after))? + 1,
        };
        line.iter().skip(from).find(|waiter| !waiter.is_ended()).cloned()
    }
}
