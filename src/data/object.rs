//! How Redis 7.0 would keep a value: by its type and size, with Redis's default settings.

use super::encoding::{Kind, Record};
use super::string;

/// What `OBJECT ENCODING` calls it.
pub fn encoding_name(record: &Record) -> &'static str {
    match record.kind {
        Kind::String => string::encoding(record),
        Kind::List => "quicklist",
        Kind::Hash => "hashtable",
        Kind::Set => "hashtable",
        Kind::SortedSet => "skiplist",
        Kind::Stream => "stream",
    }
}
