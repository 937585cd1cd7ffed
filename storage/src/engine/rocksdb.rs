//! stub
use std::path::Path;
use std::sync::Arc;

use super::{Changes, Engine, EngineOptions, EngineStats, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceNames};

pub(super) struct Rocksdb {}
impl Rocksdb {
    pub(super) fn open(_: &Path, _: &EngineOptions, names: Arc<KeyspaceNames>) -> Result<Self> {
        Ok(Self::new(names))
    }
    pub(super) fn new(_: Arc<KeyspaceNames>) -> Self {
        Self {}
    }
}
impl Engine for Rocksdb {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Err(Error::Closed)
    }
    fn apply(&self, _: &Changes, _: bool) -> Result<()> {
        Err(Error::Closed)
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn drop_keyspace(&self, _: KeyspaceId) -> Result<bool> {
        Ok(false)
    }
    fn keyspaces(&self) -> Result<Vec<String>> {
        Ok(vec![])
    }
    fn checkpoint(&self, _: &Path) -> Result<()> {
        Ok(())
    }
    fn stats(&self) -> Result<EngineStats> {
        Ok(EngineStats::default())
    }
}
