//! What the server remembers about one client.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::resp::{Args, Protocol};

use super::clients::Client;
use super::execute::Request;

/// One connection's state: what `HELLO`, `AUTH`, `SELECT` and `CLIENT` read and change. Owned by
/// the connection's task, never shared: what others may see of it is in its [`Client`].
#[derive(Debug, Clone)]
pub struct Session {
    /// What others see.
    pub client: Arc<Client>,
    /// The selected database, below [`crate::data::DATABASES`].
    pub db: u8,
    /// The protocol that replies are encoded in; [`super::run_connection`] keeps the encoder's in
    /// step.
    pub protocol: Protocol,
    /// Whether commands without [`super::Flags::NO_AUTH`] are allowed.
    pub authenticated: bool,
    /// When its latest request came.
    pub last_interaction: Instant,
    /// The name of its latest command; empty before the first.
    pub last_command: &'static str,
    /// Whether to close the connection once the replies so far are written.
    pub close_after_reply: bool,
    /// The transaction it has begun and not yet ended.
    pub transaction: Option<Box<QueuedTransaction>>,
    /// What it has subscribed to.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// Which replies are sent: `CLIENT REPLY`.
    pub reply_mode: ReplyMode,
    /// Whether it is inside of a transaction that runs.
    pub in_exec: bool,
    /// Whether the connection is to run what is queued: `EXEC`.
    pub wants_exec: bool,
}

/// What came behind `MULTI` so far.
#[derive(Debug, Clone, Default)]
pub struct QueuedTransaction {
    /// The commands.
    pub requests: Vec<Request>,
    /// Bytes of their arguments.
    pub argument_bytes: usize,
    /// Whether a command was refused, so that `EXEC` refuses all.
    pub is_broken: bool,
}

/// What a client has subscribed to.
#[derive(Debug, Clone, Default)]
pub struct Subscriptions {
    /// Channels.
    pub channels: HashSet<Bytes>,
    /// Patterns of channels.
    pub patterns: HashSet<Bytes>,
    /// Shard channels.
    pub shards: HashSet<Bytes>,
}

/// Which replies a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// Not that of the next command.
    SkipNext,
    /// Not that of this command.
    Skip,
}

impl Session {
    /// A client that has just connected.
    pub fn new(id: u64, addr: String, local_addr: String, authenticated: bool) -> Self {
        Self {
            client: Arc::new(Client::new(id, addr, local_addr)),
            db: 0,
            protocol: Protocol::default(),
            authenticated,
            last_interaction: Instant::now(),
            last_command: "",
            close_after_reply: false,
            transaction: None,
            subscriptions: None,
            reply_mode: ReplyMode::On,
            in_exec: false,
            wants_exec: false,
        }
    }

    /// Shows others what has changed.
    pub fn publish(&self) {
        let mut profile = self.client.profile();
        profile.db = self.db;
        profile.protocol = self.protocol;
        profile.last_interaction = self.last_interaction;
        profile.last_command = self.last_command;
        profile.queued = self.transaction.as_ref().map(|queued| queued.requests.len());
    }

    /// Whether it may only subscribe, unsubscribe and the like: in RESP2, while it has subscribed to
    /// something.
    pub fn is_subscriber(&self) -> bool {
        self.protocol == Protocol::Resp2
            && self.subscriptions.as_ref().is_some_and(|subscriptions| !subscriptions.is_empty())
    }
}

impl Subscriptions {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty()
    }
}

impl QueuedTransaction {
    /// Adds a command behind the others.
    pub fn push(&mut self, request: Request) {
        self.argument_bytes += argument_bytes(&request.1);
        self.requests.push(request);
    }
}

/// Bytes of a request's arguments.
pub fn argument_bytes(args: &Args) -> usize {
    args.iter().map(|arg| arg.len()).sum()
}
