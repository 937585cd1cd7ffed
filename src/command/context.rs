//! What a command's function is given.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::data::{DbReader, DbWriter};
use crate::resp::Protocol;
use crate::service::Service;

use super::clients::Client;
use super::fail::Fail;
use super::pubsub::Effect;
use super::server_state::ServerState;
use super::session::Session;

/// Elements, or keys, that a command may walk over in a lane where others wait for it.
pub const WALK_ELEMENTS_MAX: u64 = 1024;

/// For commands that only read data.
pub struct ReadContext<'a> {
    /// The selected database, and through it the others.
    pub db: DbReader<'a>,
    /// The server's own state.
    pub server: &'a ServerState,
    /// The client that asks.
    pub client: &'a Arc<Client>,
    /// Whether it may walk as far as it likes.
    pub may_walk: bool,
}

/// For commands that change data.
pub struct WriteContext<'a> {
    /// The selected database, and through it the others.
    pub db: DbWriter<'a>,
    /// The server's own state.
    pub server: &'a ServerState,
    /// The client that asks.
    pub client: &'a Arc<Client>,
    /// Whether it may walk as far as it likes.
    pub may_walk: bool,
    /// Whether it is run again for a client that has waited: then a key of a wrong type among those it
    /// waits for is as good as none.
    pub is_woken: bool,
    /// The key that has come to hold something, if that is why it is run again.
    pub woken_by: Option<&'a Bytes>,
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

/// For commands that wait for what takes its time.
#[derive(Debug, Clone)]
pub struct AsyncContext {
    /// The store, the databases and the server's own state.
    pub service: Arc<Service>,
    /// The client that asks.
    pub client: Arc<Client>,
    /// What to encode the reply in.
    pub protocol: Protocol,
    /// The client's selected database.
    pub db: u8,
}

impl ReadContext<'_> {
    /// Asks to walk over `elements`; call it before the first, and pass its error on: the command is
    /// then run again where nobody waits for it.
    ///
    /// # Errors
    /// [`Fail::Walk`] if it is too far for here.
    pub fn walk(&self, elements: u64) -> Result<(), Fail> {
        walk(self.may_walk, elements)
    }
}

impl<'a> WriteContext<'a> {
    /// As [`ReadContext::walk`]. What was written so far is undone. Only for commands that have a
    /// [`Prepare`](super::Prepare); the others walk in the write lane whatever it costs.
    ///
    /// # Errors
    /// [`Fail::Walk`] if it is too far for here.
    pub fn walk(&self, elements: u64) -> Result<(), Fail> {
        walk(self.may_walk, elements)
    }

    /// Of the keys that a blocking command takes from, those to look at: all of them in turn, or, if it is run
    /// again because one has come to hold something, that one.
    pub fn awaited<'k>(&self, keys: &'k [Bytes]) -> &'k [Bytes]
    where
        'a: 'k,
    {
        self.woken_by.map_or(keys, std::slice::from_ref)
    }

    /// The same, as far as it reads.
    pub fn reading(&mut self) -> ReadContext<'_> {
        let Self { db, server, client, may_walk, .. } = self;
        ReadContext { db: db.reader(), server, client, may_walk: *may_walk }
    }
}

impl ConnectionContext<'_> {
    /// Lets something happen to who listens to what: now, or, in a transaction, with its commit.
    pub fn affect(&mut self, effects: Vec<Effect>) {
        if self.session.in_exec {
            self.session.effects.extend(effects);
        } else if !effects.is_empty() {
            self.server.publisher().apply(&self.session.client, &effects);
        }
    }
}

fn walk(may_walk: bool, elements: u64) -> Result<(), Fail> {
    if may_walk || elements <= WALK_ELEMENTS_MAX { Ok(()) } else { Err(Fail::Walk) }
}
