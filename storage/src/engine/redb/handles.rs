//! A table of handles by keyspace.

use std::sync::{PoisonError, RwLock};

use crate::error::Result;
use crate::keyspace::KeyspaceId;

/// Handles by keyspace, each opened when it is first asked for.
pub(super) struct Handles<T>(RwLock<Vec<Option<T>>>);

impl<T: Clone> Handles<T> {
    pub(super) fn new() -> Self {
        Self(RwLock::default())
    }

    /// The handle of `keyspace`; `open` gets it where it is not known yet. Two threads that ask
    /// for the same one first may both open it; one of the two is kept.
    pub(super) fn get(&self, keyspace: KeyspaceId, open: impl FnOnce() -> Result<T>) -> Result<T> {
        let index = keyspace.index();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(handle)) = known.get(index) {
            return Ok(handle.clone());
        }
        drop(known);

        let opened = open()?;
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() <= index {
            known.resize(index + 1, None);
        }
        if let Some(slot) = known.get_mut(index) {
            slot.get_or_insert_with(|| opened.clone());
        }
        Ok(opened)
    }
}
