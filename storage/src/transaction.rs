//! stub: signatures
use bytes::Bytes;

use crate::engine::{Page, PageLimit};
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::range::{IntoBytes, KeyRange};
use crate::read::Reader;

/// Reads and writes of one operation of the write lane.
pub struct Transaction {}

impl Transaction {
    /// Sets `key` to `value`.
    pub fn put(
        &mut self,
        _ks: &Keyspace,
        _key: impl IntoBytes,
        _value: impl IntoBytes,
    ) -> Result<()> {
        Err(Error::Closed)
    }
    /// Removes `key`; removing what is not there is fine.
    pub fn delete(&mut self, _ks: &Keyspace, _key: impl IntoBytes) -> Result<()> {
        Err(Error::Closed)
    }
    /// Removes every key of `range`.
    pub fn delete_range(&mut self, _ks: &Keyspace, _range: impl Into<KeyRange>) -> Result<()> {
        Err(Error::Closed)
    }
    /// Runs `f`; if it returns an error, its writes, and only those, are undone.
    pub fn savepoint<T, E>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        f(self)
    }
}

impl Reader for Transaction {
    fn get(&self, _ks: &Keyspace, _key: &[u8]) -> Result<Option<Bytes>> {
        Err(Error::Closed)
    }
    fn get_many(&self, _ks: &Keyspace, _keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        Err(Error::Closed)
    }
    fn page(
        &self,
        _ks: &Keyspace,
        _range: &KeyRange,
        _rev: bool,
        _limit: PageLimit,
    ) -> Result<Page> {
        Err(Error::Closed)
    }
}
