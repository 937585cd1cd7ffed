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
mod client;
mod connection;
mod context;
mod decimal;
mod docs;
mod execute;
mod expire;
mod fail;
mod info;
mod introspect;
mod key;
mod scan;
mod server;
mod server_state;
mod session;
mod spec;
mod string;
mod string_options;
mod table;

pub use context::{ConnectionContext, ReadContext, WriteContext};
pub use docs::commands_markdown;
pub use execute::{
    CachedRun, Environment, REPLY_BYTES_PER_RUN_MAX, Request, execute_cached, execute_read,
    execute_write, refuse, run_connection,
};
pub use fail::Fail;
pub use server_state::{REDIS_VERSION, ServerState, Settings, ShutdownRequest, Stats};
pub use session::Session;
pub use spec::{Command, ConnectionFn, Flags, Group, KeySpec, ReadFn, Run, WriteFn};
pub use table::{admit, all, find, lookup};
