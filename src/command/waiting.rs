//! Clients that wait for a key to hold something.
//!
//! A client begins to wait inside the write lane, by the operation that found nothing, and is served
//! there, by the operation that makes its key ready. Nothing can come in between. Its place in the lines of
//! its keys is its [`Blocked`]'s: whoever drops that gives the place up.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pontoon_storage::Error;
use tokio::sync::oneshot;

use crate::resp::{Encoder, Protocol};

use super::clients::{Client, lock};
use super::execute::Request;
use super::fail::{Block, Fail};

/// What a client is told that another sent on its way with an error.
pub(super) const UNBLOCKED: Fail = Fail::text("UNBLOCKED client unblocked via CLIENT UNBLOCK");

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
    /// Its place among all who ever waited.
    ticket: u64,
    /// Taken by whoever ends the wait: the one who has it answers.
    answer: Mutex<Option<oneshot::Sender<Answer>>>,
}

/// A command that waits: its place in the lines of its keys, which it has until this is dropped or it is
/// served.
#[derive(Debug)]
pub struct Blocked {
    /// Who waits, and for what.
    pub waiter: Arc<Waiter>,
    /// Where the answer comes. It fails if the wait [is cancelled](Waiter::cancel).
    pub answer: oneshot::Receiver<Answer>,
    waiting: Arc<Waiting>,
}

impl Drop for Blocked {
    fn drop(&mut self) {
        // The client may be gone before its time was up, or the operation that it came with has failed.
        self.waiter.cancel();
        self.waiting.remove(&self.waiter);
    }
}

impl Waiter {
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
    /// Encodes the reply of a client that has waited.
    pub fn encode(self, out: &mut Encoder) {
        match self {
            Answer::Served(reply) => out.append(reply),
            Answer::Failed(error) => Fail::Storage(error).encode(out),
            // Whatever the command: also where a string would have come.
            Answer::Unblocked { with_error: false } => out.null_array(),
            Answer::Unblocked { with_error: true } => UNBLOCKED.encode(out),
        }
    }

    /// The failure it is, if it is one that nobody has counted.
    pub fn failure(&self) -> Option<Fail> {
        match self {
            Answer::Failed(error) => Some(Fail::Storage(error.clone())),
            Answer::Unblocked { with_error: true } => Some(UNBLOCKED),
            Answer::Served(_) | Answer::Unblocked { with_error: false } => None,
        }
    }
}

/// Everybody who waits, by the keys they wait for, in the order in which they came.
#[derive(Debug, Default)]
pub struct Waiting {
    waiters_len: AtomicUsize,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    /// By database and key: who waits for it, in the order of tickets.
    by_key: HashMap<(u8, Bytes), VecDeque<Arc<Waiter>>>,
    next_ticket: u64,
    is_closed: bool,
}

impl Waiting {
    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many clients wait.
    pub fn len(&self) -> usize {
        self.waiters_len.load(Ordering::Acquire)
    }

    /// Puts a client last in the line of each key of `block`.
    pub fn wait(
        self: &Arc<Self>,
        request: Request,
        db: u8,
        protocol: Protocol,
        client: &Arc<Client>,
        block: Block,
    ) -> Blocked {
        let (sender, answer) = oneshot::channel();
        let mut lines = lock(&self.lines);
        let ticket = lines.next_ticket;
        lines.next_ticket += 1;
        let waiter = Arc::new(Waiter {
            request,
            db,
            protocol,
            client: Arc::clone(client),
            block,
            ticket,
            answer: Mutex::new(Some(sender)),
        });
        for key in &waiter.block.keys {
            let line = lines.by_key.entry((db, key.clone())).or_default();
            if line.back().is_none_or(|last| last.ticket != ticket) {
                line.push_back(Arc::clone(&waiter));
            }
        }
        self.waiters_len.fetch_add(1, Ordering::AcqRel);
        *client.waiter() = Some(Arc::clone(&waiter));
        client.profile().is_blocked = true;
        // Killed before it could be told to stop waiting.
        if lines.is_closed || client.is_killed() {
            waiter.cancel();
        }
        drop(lines);
        Blocked { waiter, answer, waiting: Arc::clone(self) }
    }

    /// Ends every wait, those too that have not begun: the server stops.
    pub fn close(&self) {
        let mut lines = lock(&self.lines);
        lines.is_closed = true;
        for waiter in lines.by_key.values().flatten() {
            waiter.cancel();
        }
    }

    /// Takes one out of every line, unless that has been done.
    pub fn remove(&self, waiter: &Arc<Waiter>) {
        let mut lines = lock(&self.lines);
        let mut current = waiter.client.waiter();
        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, waiter)) {
            return;
        }
        *current = None;
        drop(current);
        waiter.client.profile().is_blocked = false;
        self.waiters_len.fetch_sub(1, Ordering::AcqRel);
        for key in &waiter.block.keys {
            let place = (waiter.db, key.clone());
            let Some(line) = lines.by_key.get_mut(&place) else { continue };
            if let Ok(index) = line.binary_search_by_key(&waiter.ticket, |other| other.ticket) {
                line.remove(index);
            }
            if line.is_empty() {
                lines.by_key.remove(&place);
            }
        }
    }

    /// The first in the line of a key who still waits, behind `after` if that is given, who may have left the
    /// line.
    pub fn next(&self, db: u8, key: &Bytes, after: Option<&Waiter>) -> Option<Arc<Waiter>> {
        let lines = lock(&self.lines);
        let line = lines.by_key.get(&(db, key.clone()))?;
        let from = after.map_or(0, |after| line.partition_point(|one| one.ticket <= after.ticket));
        line.iter().skip(from).find(|waiter| !waiter.is_ended()).cloned()
    }

    /// The keys of a database that somebody waits for, the one with the longest wait first.
    pub fn keys(&self, db: u8) -> Vec<Bytes> {
        let lines = lock(&self.lines);
        let mut keys: Vec<_> = lines
            .by_key
            .iter()
            .filter(|((of, _), _)| *of == db)
            .map(|((_, key), line)| (line.front().map(|first| first.ticket), key.clone()))
            .collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fail::Nothing;
    use super::super::table::lookup;
    use super::*;

    fn wait(waiting: &Arc<Waiting>, db: u8, keys: &[&'static str]) -> Blocked {
        let keys = keys.iter().map(|key| Bytes::from(*key)).collect();
        let block = Block { keys, timeout: None, nothing: Nothing::Array };
        let client = Arc::new(Client::new(1, String::new(), String::new()));
        let request = (lookup(b"blpop").unwrap(), vec![]);
        waiting.wait(request, db, Protocol::Resp2, &client, block)
    }

    fn is(found: Option<Arc<Waiter>>, blocked: &Blocked) -> bool {
        found.is_some_and(|waiter| Arc::ptr_eq(&waiter, &blocked.waiter))
    }

    #[test]
    fn lines_are_in_the_order_of_coming() {
        let waiting = Arc::<Waiting>::default();
        let (first, second) = (wait(&waiting, 0, &["a", "b", "a"]), wait(&waiting, 0, &["b"]));
        let [a, b] = ["a", "b"].map(Bytes::from);
        assert_eq!(waiting.len(), 2);
        assert!(is(waiting.next(0, &a, None), &first));
        assert!(waiting.next(0, &a, Some(&first.waiter)).is_none());
        assert!(is(waiting.next(0, &b, None), &first));
        assert!(is(waiting.next(0, &b, Some(&first.waiter)), &second));
        assert!(waiting.next(1, &a, None).is_none());
        assert_eq!(waiting.keys(0).len(), 2);
        assert!(waiting.keys(1).is_empty());
    }

    #[test]
    fn who_has_left_hides_nobody_behind() {
        let waiting = Arc::<Waiting>::default();
        let [first, second, third] = [(); 3].map(|()| wait(&waiting, 0, &["a"]));
        let key = Bytes::from("a");
        let passed = Arc::clone(&second.waiter);
        drop(second);
        assert!(is(waiting.next(0, &key, Some(&first.waiter)), &third));
        assert!(is(waiting.next(0, &key, Some(&passed)), &third));
        assert!(first.waiter.cancel());
        assert!(is(waiting.next(0, &key, None), &third));
        assert_eq!(waiting.len(), 2);
    }

    #[test]
    fn a_place_is_given_up_once() {
        let waiting = Arc::<Waiting>::default();
        let first = wait(&waiting, 0, &["a", "b"]);
        let client = Arc::clone(&first.waiter.client);
        assert!(client.waiter().is_some() && client.profile().is_blocked);
        waiting.remove(&first.waiter);
        let second = wait(&waiting, 0, &["a"]);
        drop(first);
        assert_eq!(waiting.len(), 1);
        assert!(client.waiter().is_none() && !client.profile().is_blocked);
        drop(second);
        assert!(waiting.is_empty() && waiting.keys(0).is_empty());
    }

    #[test]
    fn nobody_begins_to_wait_when_all_waiting_has_ended() {
        let waiting = Arc::<Waiting>::default();
        let before = wait(&waiting, 0, &["a"]);
        waiting.close();
        let after = wait(&waiting, 0, &["a"]);
        assert!(before.waiter.is_ended() && after.waiter.is_ended());
    }

    #[test]
    fn who_is_killed_does_not_begin_to_wait() {
        let waiting = Arc::<Waiting>::default();
        let client = Arc::new(Client::new(1, String::new(), String::new()));
        client.kill();
        let block = Block { keys: vec!["a".into()], timeout: None, nothing: Nothing::Array };
        let request = (lookup(b"blpop").unwrap(), vec![]);
        let blocked = waiting.wait(request, 0, Protocol::Resp2, &client, block);
        assert!(blocked.waiter.is_ended());
    }
}
