//! What all connections run their commands with.

use std::fmt;

use pontoon_storage::Store;

use crate::command::ServerState;
use crate::data::Databases;

/// The store, where the databases are in it, and the server's own state.
pub struct Service {
    /// The store.
    pub store: Store,
    /// Where the databases are in it.
    pub databases: Databases,
    /// The server's own state.
    pub state: ServerState,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("state", &self.state).finish_non_exhaustive()
    }
}
