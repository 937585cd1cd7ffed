//! What the engines have in common.

use std::ops::Bound;

use bytes::Bytes;

use super::{Page, PageLimit};
use crate::error::Result;

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
