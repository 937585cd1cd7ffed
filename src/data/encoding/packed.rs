//! A small collection whole in its record: its elements by their subkeys, in byte order, each as the
//! subkey's length, the subkey, the value's length and the value; lengths are varints.

use bytes::Bytes;
use pontoon_storage::{Error, Result};

use super::{put_varint, take_varint};

/// Where a subkey is among packed elements, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where the element begins.
    pub start: usize,
    /// Where it ends; `start` if it is not there.
    pub end: usize,
    /// Where its value begins, if it is there.
    pub value: Option<usize>,
}

/// One element: its subkey, its value, and where it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedEntry {
    /// The subkey.
    pub subkey: Bytes,
    /// The value.
    pub value: Bytes,
}

/// Where `subkey` is in `packed`, or belongs.
///
/// # Errors
/// [`Error::Corrupted`] for anything that [`splice`] does not write.
pub fn find(packed: &[u8], subkey: &[u8]) -> Result<Place> {
    let mut start = 0;
    while let Some(spans) = next(packed, start)? {
        match packed.get(spans.subkey.0..spans.subkey.1).unwrap_or_default().cmp(subkey) {
            std::cmp::Ordering::Less => start = spans.value.1,
            std::cmp::Ordering::Equal => {
                return Ok(Place { start, end: spans.value.1, value: Some(spans.value.0) });
            }
            std::cmp::Ordering::Greater => break,
        }
    }
    Ok(Place { start, end: start, value: None })
}

/// Every element, in order.
///
/// # Errors
/// As for [`find`].
pub fn entries(packed: &Bytes) -> Result<Vec<PackedEntry>> {
    let mut entries = Vec::new();
    let mut start = 0;
    while let Some(spans) = next(packed, start)? {
        entries.push(PackedEntry {
            subkey: packed.slice(spans.subkey.0..spans.subkey.1),
            value: packed.slice(spans.value.0..spans.value.1),
        });
        start = spans.value.1;
    }
    Ok(entries)
}

/// `packed` with, in `place`, the element `subkey` with `value`, or nothing for no value.
pub fn splice(packed: &[u8], place: Place, subkey: &[u8], value: Option<&[u8]>) -> Bytes {
    const LENGTHS_BYTES_MAX: usize = 20;
    let added = value.map_or(0, |value| LENGTHS_BYTES_MAX + subkey.len() + value.len());
    let mut spliced = Vec::with_capacity(packed.len() + added);
    spliced.extend_from_slice(packed.get(..place.start).unwrap_or_default());
    if let Some(value) = value {
        put_varint(&mut spliced, subkey.len() as u64);
        spliced.extend_from_slice(subkey);
        put_varint(&mut spliced, value.len() as u64);
        spliced.extend_from_slice(value);
    }
    spliced.extend_from_slice(packed.get(place.end..).unwrap_or_default());
    spliced.into()
}

/// `packed` without the elements whose subkeys are `unwanted`.
///
/// # Errors
/// As for [`find`].
pub fn without(packed: &[u8], unwanted: impl Fn(&[u8]) -> bool) -> Result<Bytes> {
    let mut kept = Vec::with_capacity(packed.len());
    let mut start = 0;
    while let Some(spans) = next(packed, start)? {
        if !unwanted(packed.get(spans.subkey.0..spans.subkey.1).unwrap_or_default()) {
            kept.extend_from_slice(packed.get(start..spans.value.1).unwrap_or_default());
        }
        start = spans.value.1;
    }
    Ok(kept.into())
}

struct Spans {
    subkey: (usize, usize),
    value: (usize, usize),
}

fn next(packed: &[u8], start: usize) -> Result<Option<Spans>> {
    if start == packed.len() {
        return Ok(None);
    }
    let spans = span(packed, start).and_then(|subkey| {
        let value = span(packed, subkey.1)?;
        Some(Spans { subkey, value })
    });
    spans.map(Some).ok_or_else(|| Error::corrupted("a packed collection makes no sense"))
}

/// Where the bytes are whose length stands at `start`.
fn span(packed: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut rest = packed.get(start..)?;
    let len = usize::try_from(take_varint(&mut rest)?).ok()?;
    let begin = packed.len() - rest.len();
    let end = begin.checked_add(len).filter(|end| *end <= packed.len())?;
    Some((begin, end))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_an_ordered_map(
            changes in prop::collection::vec(
                (prop::collection::vec(0u8..4, 0..3), prop::option::of(prop::collection::vec(any::<u8>(), 0..200))),
                0..40,
            ),
        ) {
            let mut packed = Bytes::new();
            let mut model = BTreeMap::new();
            for (subkey, value) in changes {
                let place = find(&packed, &subkey).unwrap();
                prop_assert_eq!(place.value.is_some(), model.contains_key(&subkey));
                packed = splice(&packed, place, &subkey, value.as_deref());
                match value {
                    Some(value) => model.insert(subkey, value),
                    None => model.remove(&subkey),
                };
            }
            let found = entries(&packed).unwrap();
            let found: Vec<_> = found.iter().map(|e| (e.subkey.to_vec(), e.value.to_vec())).collect();
            prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn damage_is_an_error_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40), subkey in prop::collection::vec(any::<u8>(), 0..3)) {
            let packed = Bytes::from(bytes);
            let _ = find(&packed, &subkey);
            let _ = entries(&packed);
        }
    }
}
