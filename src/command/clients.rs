//! What the server as a whole knows of each client, and how others reach it.
//!
//! A connection's task owns its [`Session`](super::Session); what others may see or do goes through the
//! [`Client`] beside it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::resp::Protocol;

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
    mailbox: Mutex<Mailbox>,
    notify: Notify,
    is_killed: AtomicBool,
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
    /// Received and not yet decoded, in bytes.
    pub input_bytes: usize,
    /// Replies that wait to be sent, in bytes.
    pub output_bytes: usize,
}

/// What others have sent to a client.
#[derive(Debug, Default)]
struct Mailbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// Since when there is more than the soft limit.
    over_soft_since: Option<Instant>,
}

/// How much may wait for a client to read it: Redis's `client-output-buffer-limit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// Bytes beyond which the client is cut off; 0: no such limit.
    pub hard_bytes: u64,
    /// Bytes beyond which it is cut off after a while; 0: no such limit.
    pub soft_bytes: u64,
    /// That while.
    pub soft_time: Duration,
}

impl OutputLimit {
    /// Whether what waits, since `over_soft_since` more than the soft limit, is too much.
    pub fn is_exceeded(&self, bytes: u64, over_soft_since: &mut Option<Instant>) -> bool {
        if self.hard_bytes > 0 && bytes > self.hard_bytes {
            return true;
        }
        if self.soft_bytes == 0 || bytes <= self.soft_bytes {
            *over_soft_since = None;
            return false;
        }
        over_soft_since.get_or_insert_with(Instant::now).elapsed() > self.soft_time
    }
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
            input_bytes: 0,
            output_bytes: 0,
        };
        Self {
            id,
            addr,
            local_addr,
            created,
            profile: Mutex::new(profile),
            watch: Mutex::default(),
            waiter: Mutex::default(),
            mailbox: Mutex::default(),
            notify: Notify::new(),
            is_killed: AtomicBool::new(false),
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

    /// Sends it a message, encoded already. A client that reads so slowly that `limit` is exceeded is cut
    /// off instead.
    pub fn send(&self, message: Bytes, limit: OutputLimit) {
        let mut mailbox = lock(&self.mailbox);
        if self.is_killed() {
            return;
        }
        mailbox.bytes += message.len();
        mailbox.messages.push_back(message);
        let Mailbox { bytes, over_soft_since, .. } = &mut *mailbox;
        if limit.is_exceeded(*bytes as u64, over_soft_since) {
            mailbox.messages.clear();
            drop(mailbox);
            tracing::warn!(
                id = self.id,
                addr = self.addr,
                "cutting off a client that reads too slowly"
            );
            return self.kill();
        }
        drop(mailbox);
        self.notify.notify_one();
    }

    /// Takes what was sent to it, in order.
    pub fn take_messages(&self) -> VecDeque<Bytes> {
        let mut mailbox = lock(&self.mailbox);
        mailbox.bytes = 0;
        mailbox.over_soft_since = None;
        std::mem::take(&mut mailbox.messages)
    }

    /// Bytes of messages that wait for it.
    pub fn message_bytes(&self) -> usize {
        lock(&self.mailbox).bytes
    }

    /// Closes its connection, soon and without waiting for it to read.
    pub fn kill(&self) {
        self.is_killed.store(true, Ordering::Release);
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
}

/// The clients that are connected, by id.
#[derive(Debug, Default)]
pub struct Clients {
    by_id: Mutex<BTreeMap<u64, Arc<Client>>>,
    connected: AtomicU64,
}

impl Clients {
    /// Adds a client; returns what takes it out again when dropped.
    pub fn add(clients: &Arc<Clients>, client: &Arc<Client>) -> Connected {
        lock(&clients.by_id).insert(client.id, Arc::clone(client));
        clients.connected.fetch_add(1, Ordering::Relaxed);
        Connected { clients: Arc::clone(clients), id: client.id }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, by id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        lock(&self.by_id).values().cloned().collect()
    }

    /// The one with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        lock(&self.by_id).get(&id).cloned()
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
        lock(&self.clients.by_id).remove(&self.id);
        self.clients.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the locks here guard is whole between any two statements, so a panic elsewhere spoils nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
