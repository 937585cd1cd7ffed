//! Commands: what clients may ask, one table row each beside the function that answers.
//!
//! What this is: names, arity, flags, key positions, argument parsing, replies, error texts (those
//! of Redis 7.0). What it is not: it knows no socket, and of the storage only what [`crate::data`]
//! offers. Commands are synchronous functions over a view or a transaction, so all of them run
//! without a server.
//!
//! A connection calls [`admit`] for each request, runs what is [`Run::Connection`] itself with
//! [`run_connection`], and hands runs of the others to [`execute_read`] or [`execute_write`] inside
//! a closure of the store.
//!
//! To add a command: a function and a row in its family's file, and a test. `COMMAND`, the arity
//! check and `docs/commands.md` follow from the row.

mod args;
mod bitfield;
mod bitmap;
mod client;
mod client_list;
mod clients;
mod command_stats;
mod config;
mod connection;
mod context;
mod copy;
mod debug;
mod decimal;
mod docs;
mod execute;
mod execute_write;
mod expire;
mod fail;
mod hash;
mod histogram;
mod info;
mod introspect;
mod key;
mod latency;
mod latency_monitor;
mod lcs;
mod list;
mod list_blocking;
mod list_middle;
mod list_move;
mod lolwut;
mod mailbox;
mod memory;
mod monitor;
mod notify_flags;
mod object;
mod parked;
mod pause;
mod pubsub;
mod random;
mod rates;
mod redact;
mod replication;
mod save;
mod saves;
mod scan;
mod server;
mod server_state;
mod session;
mod set;
mod set_algebra;
mod slowlog;
mod sort;
mod sorted_set;
mod spec;
mod string;
mod string_options;
mod subscribe;
mod subscriptions;
mod syntax;
mod table;
mod transaction;
mod wait;
mod waiting;
mod watch;

pub use clients::{Buffers, Client, Clients, Connected, Profile, Unread};
pub use command_stats::{CommandFigures, CommandStats, ErrorStats};

pub use context::{AsyncContext, ConnectionContext, ReadContext, WALK_ELEMENTS_MAX, WriteContext};
pub use docs::commands_markdown;
pub use execute::{
    CachedRun, Environment, REPLY_BYTES_PER_RUN_MAX, Ran, Request, execute_cached, execute_read,
    prepare, refuse, run_connection,
};
pub use execute_write::{
    WriteRun, execute_prepared, execute_transaction, execute_write, tell_expired, unwatch,
    watch_prepared,
};
pub use fail::{Block, Fail, Nothing};
pub use latency_monitor::LatencyMonitor;
pub use mailbox::{OutputClass, OutputLimit, UNREAD_MESSAGES_BYTES_MAX, Verdict};
pub use monitor::Monitors;
pub use notify_flags::NotifyFlags;
pub use parked::{ParkedClients, Unparked};
pub use pause::{Pause, PauseMode, Paused};
pub use pubsub::{
    Effect, EventListener, Message, NOTIFY_KEYEVENT, NOTIFY_KEYSPACE, PubSub, Publisher,
};
pub use rates::{Counts, Rates};
pub use saves::{SaveFigures, SaveOutcome, Saves};
pub use server_state::{
    REDIS_VERSION, ServerState, Settings, ShutdownRequest, Stats, Timing, unix_now,
};
pub use session::{QueuedTransaction, ReplyMode, Session, argument_bytes};
pub use slowlog::SlowLog;
pub use spec::{
    AsyncFn, Command, ConnectionFn, Flags, Group, KeySpec, MovableKeys, Patterns, Prepare,
    Prepared, ReadFn, ReadForm, Run, WriteFn,
};
pub use subscriptions::{SUBSCRIBED_BYTES_MAX, SUBSCRIPTIONS_MAX, Subscriptions, Topic};
pub use syntax::{Argument, ArgumentKind, parse as parse_syntax};
pub use table::{admit, all, find, ids_len, lookup};
pub use transaction::{QUEUED_BYTES_MAX, abort_exec};
pub use waiting::{Answer, Blocked, Waiter, Waiting};
pub use watch::{KeyPattern, WATCHED_KEYS_MAX, Watch, WatchedKey, Watches};
