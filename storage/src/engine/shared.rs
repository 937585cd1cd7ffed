//! What the engines have in common: filling a page, and a table of handles by keyspace.

use std::ops::Bound;
#[cfg(any(feature = "redb", feature = "rocksdb"))]
use std::path::Path;
#[cfg(any(feature = "redb", feature = "rocksdb"))]
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use super::{Page, PageLimit};
use crate::error::Result;
#[cfg(any(feature = "redb", feature = "rocksdb"))]
use crate::keyspace::KeyspaceId;

/// Takes from `entries` up to `limit`, and never looks at the entry after the last one it takes.
pub(super) fn fill_page(
    entries: impl Iterator<Item = Result<(Bytes, Bytes)>>,
    limit: PageLimit,
) -> Result<Page> {
    let mut page = Page::default();
    let mut bytes = 0usize;
    for entry in entries {
        let (key, value) = entry?;
        bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
        page.entries.push((key, value));
        if limit.is_reached(page.entries.len(), bytes) {
            page.more = true;
            break;
        }
    }
    Ok(page)
}

/// A half-open range as the bounds that ordered maps take.
pub(super) fn bounds<'a>(
    start: &'a Bytes,
    end: Option<&'a Bytes>,
) -> (Bound<&'a [u8]>, Bound<&'a [u8]>) {
    (Bound::Included(&**start), end.map_or(Bound::Unbounded, |end| Bound::Excluded(&**end)))
}

/// Handles by keyspace, each opened when it is first asked for.
#[cfg(any(feature = "redb", feature = "rocksdb"))]
pub(super) struct Handles<T>(RwLock<Vec<Option<T>>>);

#[cfg(any(feature = "redb", feature = "rocksdb"))]
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

/// Makes the names in `dir` survive a power loss: a file that was fsynced is lost all the same if
/// the directory that names it was not.
#[cfg(any(feature = "redb", feature = "rocksdb"))]
pub(super) fn sync_dir(dir: &Path) -> Result<()> {
    #[cfg(unix)]
    std::fs::File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
