//! What the server remembers about one client.

use std::time::Instant;

use bytes::Bytes;

use crate::resp::Protocol;

/// One connection's state: what `HELLO`, `AUTH`, `SELECT` and `CLIENT` read and change. Owned by
/// the connection's task, never shared.
#[derive(Debug, Clone)]
pub struct Session {
    /// Unique among all connections since the server started, counting from 1.
    pub id: u64,
    /// The client's address and port.
    pub addr: String,
    /// The server's address and port that it connected to.
    pub local_addr: String,
    /// What `CLIENT SETNAME` set; empty: nothing.
    pub name: Bytes,
    /// What `CLIENT SETINFO LIB-NAME` set.
    pub lib_name: Bytes,
    /// What `CLIENT SETINFO LIB-VER` set.
    pub lib_version: Bytes,
    /// The selected database, below [`crate::data::DATABASES`].
    pub db: u8,
    /// The protocol that replies are encoded in; [`super::run_connection`] keeps the encoder's in
    /// step.
    pub protocol: Protocol,
    /// Whether commands without [`super::Flags::NO_AUTH`] are allowed.
    pub authenticated: bool,
    /// When it connected.
    pub created: Instant,
    /// When its latest request came.
    pub last_interaction: Instant,
    /// The name of its latest command; empty before the first.
    pub last_command: &'static str,
    /// Whether to close the connection once the replies so far are written.
    pub close_after_reply: bool,
}

impl Session {
    /// A client that has just connected.
    pub fn new(id: u64, addr: String, local_addr: String, authenticated: bool) -> Self {
        let now = Instant::now();
        Self {
            id,
            addr,
            local_addr,
            name: Bytes::new(),
            lib_name: Bytes::new(),
            lib_version: Bytes::new(),
            db: 0,
            protocol: Protocol::default(),
            authenticated,
            created: now,
            last_interaction: now,
            last_command: "",
            close_after_reply: false,
        }
    }
}
