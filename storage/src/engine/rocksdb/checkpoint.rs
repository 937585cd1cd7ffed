//! A copy of the database at one point in time.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ::rocksdb::checkpoint::Checkpoint;

use super::Db;
use super::failure::failed;
use crate::error::Result;

/// How often a copy is begun anew, because families came or went, before they are made to wait.
const TRIES_MAX: usize = 3;

/// How many times a family has come or gone.
///
/// A checkpoint of RocksDB takes its list of families first, and the length of its log
/// later. What came in between is in the copy's log, but not in its list: the copy would have half of a batch that
/// created a family, or a dropped family and what was written after its drop.
#[derive(Default)]
pub(super) struct FamilyChanges(Mutex<u64>);

impl FamilyChanges {
    /// Runs `change`, which creates or drops a family.
    pub(super) fn make<T>(&self, change: impl FnOnce() -> T) -> T {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // First, as a change that panics may have been made.
        *made += 1;
        change()
    }

    fn made(&self) -> u64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `copy`, which copies the families and then the log, until none has changed meanwhile;
    /// `remove` undoes one that is not right. Families that never rest wait for the last.
    fn unchanged_while(
        &self,
        copy: impl Fn() -> Result<()>,
        remove: impl Fn() -> Result<()>,
    ) -> Result<()> {
        for _ in 0..TRIES_MAX {
            let before = self.made();
            copy()?;
            if self.made() == before {
                return Ok(());
            }
            remove()?;
        }
        let _none_changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        copy()
    }
}

/// Copies `db` into the new directory `into`.
pub(super) fn write(db: &Db, changes: &FamilyChanges, into: &Path) -> Result<()> {
    let copy = || {
        let checkpoint = Checkpoint::new(db).map_err(failed)?;
        checkpoint.create_checkpoint(into).map_err(failed)
    };
    changes.unchanged_while(copy, || Ok(std::fs::remove_dir_all(into)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Copies begun and removed while each of the first `changed` sees a family change.
    fn copies(changed: usize) -> (usize, usize) {
        let changes = FamilyChanges::default();
        let (begun, removed) = (Cell::new(0), Cell::new(0));
        let copy = || {
            begun.set(begun.get() + 1);
            if begun.get() <= changed {
                changes.make(|| {});
            }
            Ok(())
        };
        let remove = || {
            removed.set(removed.get() + 1);
            Ok(())
        };
        changes.unchanged_while(copy, remove).unwrap();
        (begun.get(), removed.get())
    }

    #[test]
    fn a_copy_beside_which_families_change_is_made_anew() {
        assert_eq!(copies(0), (1, 0));
        assert_eq!(copies(1), (2, 1));
        assert_eq!(copies(TRIES_MAX), (TRIES_MAX + 1, TRIES_MAX));
    }

    #[test]
    fn families_wait_for_the_last_copy() {
        let changes = FamilyChanges::default();
        let begun = Cell::new(0);
        let copy = || {
            begun.set(begun.get() + 1);
            match changes.0.try_lock() {
                Ok(mut made) => *made += 1,
                Err(_) => assert_eq!(begun.get(), TRIES_MAX + 1),
            }
            Ok(())
        };
        changes.unchanged_while(copy, || Ok(())).unwrap();
        assert_eq!(begun.get(), TRIES_MAX + 1);
    }
}
