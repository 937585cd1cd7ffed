//! The engine that keeps nothing: the model for tests and the baseline for overhead.
//!
//! The maps are persistent in the data structure sense: a snapshot shares them, and a change copies
//! only the nodes on its path, so a snapshot costs O(1) and holds up nobody.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use imbl::OrdMap;

use super::shared::{bounds, fill_page};
use super::{Changes, Engine, EngineStats, KeyspaceChanges, Page, PageLimit, Snapshot};
use crate::error::{Error, Result};
use crate::keyspace::{KeyspaceId, KeyspaceNames};
use crate::range::KeyRange;

/// See the module.
pub(super) struct Memory {
    names: Arc<KeyspaceNames>,
    state: RwLock<Arc<State>>,
}

/// The keyspaces that exist.
type State = BTreeMap<KeyspaceId, Map>;

type Map = OrdMap<Bytes, Bytes>;

impl Memory {
    pub(super) fn new(names: Arc<KeyspaceNames>) -> Self {
        Self { names, state: RwLock::default() }
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `state` what snapshots see from now on. What it replaces is freed outside the lock.
    fn publish(&self, state: State) {
        let mut current = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = std::mem::replace(&mut *current, Arc::new(state));
        drop(current);
        drop(replaced);
    }
}

impl Engine for Memory {
    fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(MemorySnapshot(self.state())))
    }

    fn apply(&self, changes: &Changes, _sync: bool) -> Result<()> {
        let mut state = State::clone(&self.state());
        for keyspace in &changes.keyspaces {
            apply_to(state.entry(keyspace.keyspace).or_default(), keyspace);
        }
        self.publish(state);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn drop_keyspace(&self, keyspace: KeyspaceId) -> Result<bool> {
        let mut state = State::clone(&self.state());
        let existed = state.remove(&keyspace).is_some();
        if existed {
            self.publish(state);
        }
        Ok(existed)
    }

    fn keyspaces(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for keyspace in self.state().keys() {
            names.push(self.names.name(*keyspace)?.to_string());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn checkpoint(&self, _into: &Path) -> Result<()> {
        Err(Error::Unsupported("the memory engine has nothing on disk to copy".into()))
    }

    fn stats(&self) -> Result<EngineStats> {
        let state = self.state();
        let entries: usize = state.values().map(|map| map.len()).sum();
        Ok(EngineStats {
            details: vec![("entries".into(), entries.to_string())],
            ..EngineStats::default()
        })
    }
}

struct MemorySnapshot(Arc<State>);

impl Snapshot for MemorySnapshot {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(&keyspace).and_then(|map| map.get(key)).cloned())
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        let Some(map) = self.0.get(&keyspace) else { return Ok(Page::default()) };
        if range.is_empty() {
            return Ok(Page::default());
        }
        let entries = map
            .range::<_, [u8]>(bounds(&range.start, range.end.as_ref()))
            .map(|(key, value)| Ok((key.clone(), value.clone())));
        if reverse { fill_page(entries.rev(), limit) } else { fill_page(entries, limit) }
    }
}

fn apply_to(map: &mut Map, changes: &KeyspaceChanges) {
    for (start, end) in &changes.ranges {
        if start.is_empty() && end.is_none() {
            map.clear();
            continue;
        }
        // `OrdMap::split` copies the whole map, so that removing key by key is the cheaper way.
        let keys: Vec<Bytes> =
            map.range::<_, [u8]>(bounds(start, end.as_ref())).map(|(key, _)| key.clone()).collect();
        for key in keys {
            map.remove(&key);
        }
    }
    for (key, value) in &changes.writes {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}
