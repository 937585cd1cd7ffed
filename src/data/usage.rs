//! How many bytes a key takes in the store.

use pontoon_storage::KeyRange;
use pontoon_storage::engine::PageLimit;

use super::encoding::{self, Kind, Record};
use super::error::Result;
use super::reader::DbReader;
use super::string::CHUNK_BYTES;

/// How much one page of a walk over entries holds.
const PAGE: PageLimit = PageLimit { entries: 512, bytes: 256 << 10 };

/// Bytes of a key's parts, keys and values as they are given to the engine: what it adds, for its pages
/// and its log, and what it saves by compression, is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Its record, and its place in the expiry index.
    pub record: u64,
    /// What is too large for the record.
    pub elements: u64,
}

impl Usage {
    /// All of it.
    pub fn total(self) -> u64 {
        self.record.saturating_add(self.elements)
    }
}

/// What `key`, with this record, takes. Of a collection that has more than `sampled` elements in entries
/// of their own only as many are looked at, from the first on, and the others taken to be like them;
/// a string in chunks is known to the byte without looking.
///
/// # Errors
/// The storage's.
pub fn usage(db: &mut DbReader<'_>, key: &[u8], record: &Record, sampled: u64) -> Result<Usage> {
    let key_bytes = key.len() as u64;
    let stored = record.encode().len() as u64;
    let expiry = record.expires_at_ms.map_or(0, |_| encoding::EXPIRY_HEAD_BYTES as u64 + key_bytes);
    let record_bytes = encoding::RECORD_HEAD_BYTES as u64 + key_bytes + stored + expiry;
    let elements = match record.version {
        None => 0,
        Some(_) if record.kind == Kind::String => {
            let chunks = record.size.div_ceil(CHUNK_BYTES as u64);
            record.size.saturating_add(chunks * encoding::CHUNK_KEY_BYTES as u64)
        }
        Some(version) => elements(db, record, version, sampled)?,
    };
    Ok(Usage { record: record_bytes, elements })
}

fn elements(db: &mut DbReader<'_>, record: &Record, version: u64, sampled: u64) -> Result<u64> {
    let entries_max = if sampled >= record.size { u64::MAX } else { sampled.max(1) };
    let mut rest = encoding::elements_range(db.namespace()?, version);
    let (mut entries, mut bytes) = (0u64, 0u64);
    while entries < entries_max {
        let left = usize::try_from(entries_max - entries).unwrap_or(usize::MAX);
        let limit = PageLimit { entries: PAGE.entries.min(left), ..PAGE };
        let page = db.reader.page(db.keyspaces().elements(), &rest, false, limit)?;
        for (key, value) in &page.entries {
            entries += 1;
            bytes += (key.len() + value.len()) as u64;
        }
        match page.entries.last().filter(|_| page.more) {
            // The first key after it in byte order.
            Some((last, _)) => rest = KeyRange::new([last, &[0][..]].concat(), rest.end),
            None => return Ok(bytes),
        }
    }
    let all = u128::from(record.size) * entries_of(record.kind);
    let estimate = u128::from(bytes) * all / u128::from(entries.max(1));
    Ok(u64::try_from(estimate).unwrap_or(u64::MAX))
}

/// Entries that an element of a large collection has: a member of a sorted set is there by name and by
/// score.
fn entries_of(kind: Kind) -> u128 {
    if kind == Kind::SortedSet { 2 } else { 1 }
}
