//! What a command's function is given besides its arguments.

use std::time::SystemTime;

use crate::data::{DbReader, DbWriter};

use super::server_state::ServerState;
use super::session::Session;

/// For commands that only read data.
pub struct ReadContext<'a> {
    /// The selected database, and through it the others.
    pub db: DbReader<'a>,
    /// The server's own state.
    pub server: &'a ServerState,
}

/// For commands that change data.
pub struct WriteContext<'a> {
    /// The selected database, and through it the others.
    pub db: DbWriter<'a>,
    /// The server's own state.
    pub server: &'a ServerState,
}

/// For commands that touch no data.
pub struct ConnectionContext<'a> {
    /// The client that asks.
    pub session: &'a mut Session,
    /// The server's own state.
    pub server: &'a ServerState,
    /// The clock when the command began.
    pub now: SystemTime,
}
