//! What the server remembers about one client.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::data::detached;
use crate::resp::{Args, Protocol};

use super::clients::{Buffers, Client};
use super::execute::Request;
use super::mailbox::OutputClass;
use super::pubsub::Effect;
use super::subscriptions::Subscriptions;

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
    /// The name of its latest command; empty before the first.
    pub last_command: &'static str,
    /// Whether to close the connection once the replies so far are written.
    pub close_after_reply: bool,
    /// The transaction it has begun and not yet ended.
    pub transaction: Option<Box<QueuedTransaction>>,
    /// What it has subscribed to; `None`: nothing. Shared with its copy while a transaction runs.
    pub subscriptions: Option<Arc<Subscriptions>>,
    /// Whether it is shown what other clients do.
    pub is_monitor: bool,
    /// Which replies are sent: `CLIENT REPLY`.
    pub reply_mode: ReplyMode,
    /// Whether it is inside of a transaction that runs.
    pub in_exec: bool,
    /// What the commands of that transaction, so far, do to who listens to what, once it is committed.
    pub effects: Vec<Effect>,
    /// Whether the connection is to run what is queued: `EXEC`.
    pub wants_exec: bool,
    /// What its connection holds for it.
    pub buffers: Buffers,
}

/// What came behind `MULTI` so far.
#[derive(Debug, Clone, Default)]
pub struct QueuedTransaction {
    /// The commands, as long as none has been refused.
    pub requests: Vec<Request>,
    /// Bytes of their arguments, with what each request and each argument costs besides.
    pub argument_bytes: usize,
    /// Whether a command was refused, so that `EXEC` refuses all.
    pub is_broken: bool,
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
            last_command: "",
            close_after_reply: false,
            transaction: None,
            subscriptions: None,
            is_monitor: false,
            reply_mode: ReplyMode::On,
            in_exec: false,
            effects: Vec::new(),
            wants_exec: false,
            buffers: Buffers::default(),
        }
    }

    /// Shows others what has changed, now that it has sent something or been answered.
    pub fn publish(&self) {
        let queued = self.transaction.as_deref();
        let queued_bytes = queued.map_or(0, |queued| queued.argument_bytes);
        let mut profile = self.client.profile();
        profile.db = self.db;
        profile.protocol = self.protocol;
        profile.last_interaction = Instant::now();
        profile.last_command = self.last_command;
        profile.queued = queued.map(|queued| queued.requests.len());
        profile.is_monitor = self.is_monitor;
        profile.subscriptions = self.subscriptions.as_ref().map_or([0; 3], |those| those.lens());
        profile.buffers = Buffers { queued: queued_bytes, ..self.buffers };
    }

    /// Whether it may only subscribe, unsubscribe and the like: in RESP2, while it has subscribed to
    /// something.
    pub fn is_subscriber(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriptions.is_some()
    }

    /// Whether others may have sent it something.
    pub fn is_listening(&self) -> bool {
        self.subscriptions.is_some() || self.is_monitor
    }

    /// Which of the limits for what it has not read holds for it.
    pub fn output_class(&self) -> OutputClass {
        if self.subscriptions.is_some() {
            OutputClass::PubSub
        } else if self.is_monitor {
            OutputClass::Monitor
        } else {
            OutputClass::Normal
        }
    }

    /// How many subscriptions it has.
    pub fn subscriptions_len(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |those| those.lens().iter().sum())
    }
}

impl QueuedTransaction {
    /// Adds a command behind the others, if they are going to run.
    pub fn push(&mut self, request: Request) {
        if self.is_broken {
            return;
        }
        let (command, args) = request;
        // Copies, since a part of what was received would hold all of it in memory for as long.
        let args: Args = args.iter().map(detached).collect();
        let overhead = size_of::<Request>() + args.len() * size_of::<Bytes>();
        self.argument_bytes += argument_bytes(&args) + overhead;
        self.requests.push((command, args));
    }
}

/// Bytes of a request's arguments.
pub fn argument_bytes(args: &Args) -> usize {
    args.iter().map(|arg| arg.len()).sum()
}
