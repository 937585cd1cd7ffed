//! stub: signatures
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::transaction::Transaction;
use crate::view::View;

/// The async handle.
#[derive(Clone)]
pub struct Store {}

impl Store {
    /// The keyspace called `name`; creates nothing.
    pub fn keyspace(&self, _name: &str) -> Result<Keyspace> {
        Err(Error::Closed)
    }
    /// Runs `f` over one snapshot, off the async thread.
    pub async fn view<T, E, F>(&self, _f: F) -> Result<T, E>
    where
        F: FnOnce(&View) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Err(Error::Closed.into())
    }
    /// Runs `f` in the write lane, once, off the async thread.
    pub async fn update<T, E, F>(&self, _f: F) -> Result<T, E>
    where
        F: FnOnce(&mut Transaction) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        Err(Error::Closed.into())
    }
}
