//! stub: signatures
use bytes::Bytes;

use crate::engine::{Page, PageLimit};
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::range::KeyRange;
use crate::read::Reader;

/// One consistent snapshot, read inside a closure.
pub struct View {}

impl Reader for View {
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
