//! The newest snapshot, shared by point reads: a read transaction of redb's costs as much as several reads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::snapshot::RedbSnapshot;
use crate::error::Result;

/// See the module.
#[derive(Default)]
pub(super) struct Newest(Mutex<State>);

#[derive(Default)]
struct State {
    /// How often there has been a newer one.
    outdated: u64,
    snapshot: Option<Arc<RedbSnapshot>>,
}

impl Newest {
    /// One that has everything that was committed when this was called; from `take`, unless there is one.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn get(
        &self,
        take: impl FnOnce() -> Result<RedbSnapshot>,
    ) -> Result<Arc<RedbSnapshot>> {
        let outdated = {
            let state = self.state();
            if let Some(snapshot) = &state.snapshot {
                return Ok(Arc::clone(snapshot));
            }
            state.outdated
        };
        let snapshot = Arc::new(take()?);
        let mut state = self.state();
        // Else a commit has ended meanwhile, and this may be from before it.
        if state.outdated == outdated {
            state.snapshot = Some(Arc::clone(&snapshot));
        }
        Ok(snapshot)
    }

    /// Lets go of it: before a commit, so that redb can use its pages again, and behind one, since it is the
    /// newest no more.
    pub(super) fn outdate(&self) {
        let mut state = self.state();
        state.outdated += 1;
        let snapshot = state.snapshot.take();
        drop(state);
        drop(snapshot);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
