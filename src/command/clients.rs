//! What the server as a whole knows of each client, and how others reach it.
//!
//! A connection's task owns its [`Session`](super::Session); what others may see or do goes through the
//! [`Client`] beside it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::resp::Protocol;

use super::mailbox::{Mailbox, OutputLimit, Verdict};
use super::waiting::Waiter;
use super::watch::Watch;

/// One client, as others see it.
#[derive(Debug)]
pub struct Client {
    /// Unique among all connections since the server started, counting from 1.
    pub id: u64,
    /// The client's address and port.
    pub addr: String,
    /// The server's address and port that it connected to.
    pub local_addr: String,
    /// When it connected.
    pub created: Instant,
    profile: Mutex<Profile>,
    watch: Mutex<Option<Arc<Watch>>>,
    waiter: Mutex<Option<Arc<Waiter>>>,
    parked: Mutex<Option<oneshot::Sender<bool>>>,
    mailbox: Mutex<Mailbox>,
    /// Bytes that its connection has taken out of the mailbox, or encoded, and not written yet.
    unsent: AtomicUsize,
    notify: Notify,
    is_killed: AtomicBool,
    /// Whether its connection runs commands of its at the moment.
    is_busy: AtomicBool,
    /// In which protocol messages for it are encoded.
    speaks_resp3: AtomicBool,
}

/// What `CLIENT LIST` shows of a client and changes while it is connected. The connection's task keeps
/// it in step with the session.
#[derive(Debug, Clone)]
pub struct Profile {
    /// What `CLIENT SETNAME` set; empty: nothing.
    pub name: Bytes,
    /// What `CLIENT SETINFO LIB-NAME` set.
    pub lib_name: Bytes,
    /// What `CLIENT SETINFO LIB-VER` set.
    pub lib_version: Bytes,
    /// The selected database.
    pub db: u8,
    /// The protocol it speaks.
    pub protocol: Protocol,
    /// When its latest request came.
    pub last_interaction: Instant,
    /// The name of its latest command; empty before the first.
    pub last_command: &'static str,
    /// Commands queued behind `MULTI`; `None`: it is not in a transaction.
    pub queued: Option<usize>,
    /// Whether it is waiting for a key.
    pub is_blocked: bool,
    /// Whether it is shown what other clients do.
    pub is_monitor: bool,
    /// Whether `CLIENT NO-EVICT` is on.
    pub no_evict: bool,
    /// Channels, patterns and shard channels it has subscribed to.
    pub subscriptions: [usize; 3],
    /// The file descriptor of its socket; negative: none.
    pub fd: i32,
    /// What it occupies.
    pub buffers: Buffers,
}

/// What a client occupies, in bytes, besides what every client does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buffers {
    /// Received and not yet answered.
    pub input: usize,
    /// Room for more of it.
    pub input_free: usize,
    /// Arguments of the command that runs.
    pub arguments: usize,
    /// Arguments of the commands queued behind `MULTI`.
    pub queued: usize,
    /// Room for replies.
    pub replies: usize,
    /// The most replies so far that left at a time.
    pub replies_peak: usize,
}

/// What is sent to a client and it has not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unread {
    /// Messages that its connection has not looked at.
    pub messages: usize,
    /// What they come to, in bytes.
    pub message_bytes: usize,
    /// Bytes, of messages or replies, that its connection tries to write.
    pub unsent_bytes: usize,
}

impl Client {
    /// A client that has just connected.
    pub fn new(id: u64, addr: String, local_addr: String) -> Self {
        let created = Instant::now();
        let profile = Profile {
            name: Bytes::new(),
            lib_name: Bytes::new(),
            lib_version: Bytes::new(),
            db: 0,
            protocol: Protocol::default(),
            last_interaction: created,
            last_command: "",
            queued: None,
            is_blocked: false,
            is_monitor: false,
            no_evict: false,
            subscriptions: [0; 3],
            fd: -1,
            buffers: Buffers::default(),
        };
        Self {
            id,
            addr,
            local_addr,
            created,
            profile: Mutex::new(profile),
            watch: Mutex::default(),
            waiter: Mutex::default(),
            parked: Mutex::default(),
            mailbox: Mutex::default(),
            unsent: AtomicUsize::new(0),
            notify: Notify::new(),
            is_killed: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            speaks_resp3: AtomicBool::new(false),
        }
    }

    /// What `CLIENT LIST` shows, to read and to change. Hold it for a moment only.
    pub fn profile(&self) -> MutexGuard<'_, Profile> {
        lock(&self.profile)
    }

    /// The keys it watches; `None`: none.
    pub fn watch(&self) -> MutexGuard<'_, Option<Arc<Watch>>> {
        lock(&self.watch)
    }

    /// What it waits for; `None`: nothing.
    pub fn waiter(&self) -> MutexGuard<'_, Option<Arc<Waiter>>> {
        lock(&self.waiter)
    }

    pub(super) fn set_parked(&self, send_on: Option<oneshot::Sender<bool>>) {
        *lock(&self.parked) = send_on;
    }

    /// Sends it on, with an error or as if its time were up, if it waits for something else than a key;
    /// whether it did. [`waiter`](Client::waiter) is for those that wait for keys.
    pub fn unpark(&self, with_error: bool) -> bool {
        let send_on = lock(&self.parked).take();
        send_on.is_some_and(|send_on| send_on.send(with_error).is_ok())
    }

    /// The protocol that messages for it are encoded in.
    pub fn protocol(&self) -> Protocol {
        match self.speaks_resp3.load(Ordering::Relaxed) {
            true => Protocol::Resp3,
            false => Protocol::Resp2,
        }
    }

    /// Sets the protocol that messages for it are encoded in. While it has subscribed to something, through
    /// [`PubSub`](super::PubSub) alone.
    pub(super) fn set_protocol(&self, protocol: Protocol) {
        self.speaks_resp3.store(protocol == Protocol::Resp3, Ordering::Relaxed);
    }

    /// Sends it a message, encoded already; whether it is to get it. A client that reads so slowly that
    /// `limit` is exceeded is cut off instead.
    pub fn send(&self, message: Bytes, limit: OutputLimit) -> bool {
        let mut mailbox = lock(&self.mailbox);
        if self.is_killed() {
            return false;
        }
        mailbox.push(message);
        let verdict = mailbox.judge(self.unsent.load(Ordering::Relaxed), limit);
        drop(mailbox);
        if verdict == Verdict::Exceeded {
            self.cut_off();
            return false;
        }
        self.notify.notify_one();
        true
    }

    /// Takes what was sent to it, in order, up to the message that makes it `bytes_max`. It counts as not
    /// yet read until [`set_unsent`](Client::set_unsent) or [`all_sent`](Client::all_sent).
    pub fn take_messages(&self, bytes_max: usize) -> VecDeque<Bytes> {
        let mut mailbox = lock(&self.mailbox);
        let (messages, bytes) = mailbox.take(bytes_max);
        self.unsent.fetch_add(bytes, Ordering::Relaxed);
        messages
    }

    /// Remembers that what has been sent to it so far comes before the reply to a transaction that was
    /// just committed.
    pub(super) fn mark_messages(&self) {
        lock(&self.mailbox).mark();
    }

    /// Takes what came before the transaction that was just committed.
    pub fn take_marked_messages(&self) -> VecDeque<Bytes> {
        lock(&self.mailbox).take_marked()
    }

    /// What is sent to it and it has not taken yet.
    pub fn unread(&self) -> Unread {
        let (messages, message_bytes) = lock(&self.mailbox).size();
        Unread { messages, message_bytes, unsent_bytes: self.unsent.load(Ordering::Relaxed) }
    }

    /// Says how much its connection has encoded, or taken out of the mailbox, and not written, and judges
    /// that, with what waits in the mailbox, by `limit`.
    pub fn set_unsent(&self, bytes: usize, limit: OutputLimit) -> Verdict {
        let mut mailbox = lock(&self.mailbox);
        self.unsent.store(bytes, Ordering::Relaxed);
        mailbox.judge(bytes, limit)
    }

    /// Says that its connection has written all there was.
    pub fn all_sent(&self, limit: OutputLimit) {
        if self.unsent.load(Ordering::Relaxed) > 0 {
            self.set_unsent(0, limit);
        }
    }

    /// Closes its connection since it has not read what it was sent.
    pub fn cut_off(&self) {
        tracing::warn!(
            id = self.id,
            addr = self.addr,
            "cutting off a client that reads too slowly"
        );
        self.kill();
    }

    /// Closes its connection, soon and without waiting for it to read.
    pub fn kill(&self) {
        {
            let mut mailbox = lock(&self.mailbox);
            self.is_killed.store(true, Ordering::Release);
            mailbox.clear();
        }
        self.notify.notify_one();
        if let Some(waiter) = &*self.waiter() {
            waiter.cancel();
        }
    }

    /// Whether its connection is to be closed.
    pub fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::Acquire)
    }

    /// Waits until there may be something in [`take_messages`](Client::take_messages), or it
    /// [is killed](Client::is_killed). For its own connection's task alone. Dropping the future loses
    /// nothing.
    pub async fn attention(&self) {
        self.notify.notified().await;
    }

    /// Makes [`attention`](Client::attention) return once more.
    pub fn remind(&self) {
        self.notify.notify_one();
    }

    /// Says whether its connection runs commands of its at the moment.
    pub fn set_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }

    /// For how long it has neither sent anything nor waited for an answer.
    pub fn idle(&self) -> Duration {
        let profile = self.profile();
        match self.is_busy.load(Ordering::Relaxed) && !profile.is_blocked {
            true => Duration::ZERO,
            false => profile.last_interaction.elapsed(),
        }
    }
}

/// The clients that are connected, by id.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    connected: AtomicUsize,
}

impl Clients {
    /// Adds a client; returns what takes it out again when dropped.
    pub fn add(clients: &Arc<Clients>, client: &Arc<Client>) -> Connected {
        lock(&clients.by_id).insert(client.id, Arc::clone(client));
        clients.connected.fetch_add(1, Ordering::Relaxed);
        Connected { clients: Arc::clone(clients), id: client.id }
    }

    /// As [`add`](Clients::add), unless there are `clients_max` already.
    pub fn add_within(
        clients: &Arc<Clients>,
        client: &Arc<Client>,
        clients_max: u64,
    ) -> Option<Connected> {
        let mut by_id = lock(&clients.by_id);
        if by_id.len() as u64 >= clients_max {
            return None;
        }
        by_id.insert(client.id, Arc::clone(client));
        clients.connected.fetch_add(1, Ordering::Relaxed);
        Some(Connected { clients: Arc::clone(clients), id: client.id })
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.connected.load(Ordering::Relaxed) as u64
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, by id, but for those whose connections are about to be closed.
    pub fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.by_id).values().filter(|client| !client.is_killed()).cloned().collect()
    }

    /// The one with this id, unless its connection is about to be closed.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        lock(&self.by_id).get(&id).filter(|client| !client.is_killed()).cloned()
    }

    /// Closes the connection of one of them, soon; it counts no longer as from now on.
    pub fn kill(&self, client: &Client) {
        self.remove(client.id);
        client.kill();
    }

    fn remove(&self, id: u64) {
        if lock(&self.by_id).remove(&id).is_some() {
            self.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A client's place among the connected ones, for as long as this lives.
#[derive(Debug)]
pub struct Connected {
    clients: Arc<Clients>,
    id: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.clients.remove(self.id);
    }
}

/// What the locks here guard is whole between any two statements, so a panic elsewhere spoils nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
