//! The newest snapshot, shared by point reads: a read transaction of redb's costs as much as several reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::snapshot::RedbSnapshot;
use crate::error::Result;

/// See the module.
#[derive(Default)]
pub(super) struct Newest(Mutex<State>);

#[derive(Default)]
struct State {
    /// Commits begun, and commits ended, so far: one that is taken while this stands still is the newest.
    changes: u64,
    /// Commits that have begun and not ended: nothing is kept meanwhile, since the one may be from before
    /// what the next already sees.
    running: usize,
    snapshot: Option<Arc<RedbSnapshot>>,
}

/// A commit that runs, until dropped.
#[must_use = "the commit is over when it is dropped"]
pub(super) struct Committing<'n>(&'n Newest);

impl Newest {
    /// One that has everything that was committed when this was called; from `take`, unless there is one.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn get(
        &self,
        take: impl FnOnce() -> Result<RedbSnapshot>,
    ) -> Result<Arc<RedbSnapshot>> {
        let changes = {
            let state = self.state();
            if let Some(snapshot) = &state.snapshot {
                return Ok(Arc::clone(snapshot));
            }
            state.changes
        };
        let snapshot = Arc::new(take()?);
        let mut state = self.state();
        if state.changes == changes && state.running == 0 {
            state.snapshot = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }

    /// To be called before a commit. Lets go of the one that is kept, so that redb can use its pages again.
    pub(super) fn commit(&self) -> Committing<'_> {
        let mut state = self.state();
        state.changes += 1;
        state.running += 1;
        let snapshot = state.snapshot.take();
        drop(state);
        drop(snapshot);
        Committing(self)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Committing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.changes += 1;
        state.running -= 1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::EngineOptions;
    use crate::engine::redb::Redb;
    use crate::keyspace::KeyspaceNames;

    #[test]
    fn one_that_a_commit_may_have_overtaken_is_used_once_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let names = Arc::new(KeyspaceNames::new(1, 4));
        let redb = Redb::open(dir.path(), &EngineOptions::default(), names).unwrap();
        let (newest, taken) = (Newest::default(), Cell::new(0));
        let take = || {
            taken.set(taken.get() + 1);
            redb.committed()
        };
        for _ in 0..2 {
            newest.get(take).unwrap();
        }
        assert_eq!(taken.get(), 1, "shared");
        let committing = newest.commit();
        for _ in 0..2 {
            newest.get(take).unwrap();
        }
        assert_eq!(taken.get(), 3, "not kept while a commit runs");
        drop(committing);
        // Taken while a commit ran, from before it perhaps, and asked for still when it has ended.
        let committing = newest.commit();
        let outlasted = || {
            let snapshot = take();
            drop(committing);
            snapshot
        };
        newest.get(outlasted).unwrap();
        let overtaken = || {
            drop(newest.commit());
            take()
        };
        newest.get(overtaken).unwrap();
        assert_eq!(taken.get(), 5, "neither is kept");
        newest.get(take).unwrap();
        assert_eq!(taken.get(), 6, "the one before was not kept");
        newest.get(take).unwrap();
        assert_eq!(taken.get(), 6);
    }
}
