//! How Redis 7.0 would keep a value, with its default settings.

use super::encoding::{Kind, Record};
use super::error::Result;
use super::sorted_set::SortedSet;
use super::{hash, set, string};

/// What `OBJECT ENCODING` calls it.
///
/// # Errors
/// The storage's, if the record is damaged.
pub fn encoding_name(record: &Record) -> Result<&'static str> {
    Ok(match record.kind {
        Kind::String => string::encoding(record),
        Kind::List => "quicklist",
        Kind::Hash => hash::encoding(record)?,
        Kind::Set => set::encoding(record)?,
        Kind::SortedSet => {
            SortedSet::from_record(Some(record.clone()))?.map_or("skiplist", |set| set.encoding())
        }
        Kind::Stream => "stream",
    })
}
