//! What `SORT` reads: the elements of a collection, and values elsewhere that belong to them.

use std::ops::Range;

use bytes::Bytes;

use super::collection::Collection;
use super::encoding::{Kind, Record, hashed};
use super::error::{Error, Result};
use super::reader::DbReader;
use super::sorted_set::{Slice, SortedSet};
use super::{hash, list, string};

/// Bytes of elements and values, with what each costs besides, that one command may hold while it sorts.
pub const HELD_BYTES_MAX: u64 = 1 << 30;

/// What an element costs in memory besides its bytes, roughly.
const OVERHEAD_BYTES: u64 = 64;

/// How much is held, which is bounded by [`HELD_BYTES_MAX`].
#[derive(Debug, Default)]
pub struct Budget {
    held: u64,
}

impl Budget {
    /// Counts `value`.
    ///
    /// # Errors
    /// [`TooLarge`](pontoon_storage::Error::TooLarge) if there is no room for it.
    pub fn take(&mut self, value: &[u8]) -> Result<()> {
        self.held = self.held.saturating_add(OVERHEAD_BYTES + value.len() as u64);
        if self.held > HELD_BYTES_MAX {
            let (size, limit) = (self.held, HELD_BYTES_MAX);
            let what = "elements to sort";
            return Err(pontoon_storage::Error::TooLarge { what, size, limit }.into());
        }
        Ok(())
    }
}

/// Whether a value of this type has elements to sort.
pub fn is_sortable(kind: Kind) -> bool {
    matches!(kind, Kind::List | Kind::Set | Kind::SortedSet)
}

/// Elements of the value of `record`: those at the places of `wanted` in its own order, or in the reverse of
/// that. A list has the order of its indices, a sorted set that of its scores, and a set some order.
///
/// # Errors
/// [`Error::WrongType`]; those of [`Budget::take`]; the storage's.
pub fn elements(
    db: &mut DbReader<'_>,
    record: &Record,
    reverse: bool,
    wanted: Range<u64>,
    budget: &mut Budget,
) -> Result<Vec<Bytes>> {
    let mut found = Vec::new();
    let mut place = 0;
    let mut visit = |element: Bytes| {
        if wanted.contains(&place) {
            budget.take(&element)?;
            found.push(element);
        }
        place += 1;
        Ok(place < wanted.end)
    };
    match record.kind {
        Kind::List => {
            let list = Collection::from_record(record)?;
            list::for_each(&list, db, 0..list.size(), reverse, |_, element| visit(element))?;
        }
        Kind::Set => {
            let set = Collection::from_record(record)?;
            set.for_each(db, hashed::range_from(&[], 0), reverse, |subkey, _| {
                visit(hashed::member(&subkey)?)
            })?;
        }
        Kind::SortedSet => {
            if let Some(set) = SortedSet::from_record(Some(record.clone()))? {
                let slice = Slice { reverse, ..Slice::ALL };
                set.for_each(db, &slice, |_, member| visit(member))?;
            }
        }
        Kind::String | Kind::Hash | Kind::Stream => return Err(Error::WrongType),
    }
    Ok(found)
}

/// Where a value is that belongs to an element: at a key with the element in its name, or in a field of the
/// hash there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// How the key begins, before the element.
    pub prefix: Bytes,
    /// How it ends.
    pub suffix: Bytes,
    /// The field of the hash; `None`: the key holds a string.
    pub field: Option<Bytes>,
}

impl Place {
    /// From a pattern such as `weight_*` or `object_*->weight`; `None` if it has no `*`.
    pub fn parse(pattern: &Bytes) -> Option<Self> {
        let star = pattern.iter().position(|&byte| byte == b'*')?;
        let (prefix, rest) = (pattern.slice(..star), pattern.slice(star + 1..));
        let arrow = rest.windows(2).position(|two| two == b"->").filter(|at| at + 2 < rest.len());
        Some(match arrow {
            Some(at) => {
                Self { prefix, suffix: rest.slice(..at), field: Some(rest.slice(at + 2..)) }
            }
            None => Self { prefix, suffix: rest, field: None },
        })
    }

    /// The value that belongs to `element`, if there is one of the right type.
    ///
    /// # Errors
    /// The storage's.
    pub fn read(&self, db: &mut DbReader<'_>, element: &[u8]) -> Result<Option<Bytes>> {
        let key = [&self.prefix, element, &self.suffix].concat();
        let Some(record) = db.read(&key)? else { return Ok(None) };
        match (&self.field, record.kind) {
            (None, Kind::String) => string::read(db, &record).map(Some),
            (Some(field), Kind::Hash) => hash::get(db, &Collection::from_record(&record)?, field),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (pattern, place) in [
            ("w_*", Some(("w_", "", None))),
            ("*", Some(("", "", None))),
            ("a*b*c", Some(("a", "b*c", None))),
            ("h_*->f", Some(("h_", "", Some("f")))),
            ("h_*_x->f->g", Some(("h_", "_x", Some("f->g")))),
            ("h_*->", Some(("h_", "->", None))),
            ("a->*", Some(("a->", "", None))),
            ("a->b*->c", Some(("a->b", "", Some("c")))),
            ("*->*", Some(("", "", Some("*")))),
            ("nosort", None),
            ("h->f", None),
            ("#", None),
            ("", None),
        ] {
            let found = Place::parse(&Bytes::from_static(pattern.as_bytes()));
            let expected = place.map(|(prefix, suffix, field)| Place {
                prefix: prefix.into(),
                suffix: suffix.into(),
                field: field.map(Bytes::from),
            });
            assert_eq!(found, expected, "{pattern}");
        }
    }
}
