//! Walking the keys of a database, in the order of their hashes.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use pontoon_storage::KeyRange;
use pontoon_storage::engine::PageLimit;

use super::encoding::{self, Kind, Record};
use super::error::Result;
use super::reader::DbReader;

/// How much one page of a walk holds.
const PAGE: PageLimit = PageLimit { entries: 256, bytes: 256 << 10 };

/// Bytes of keys after which [`scan`] stops, whatever count it was asked for; a page may go over it.
const WALK_BYTES_MAX: usize = 4 << 20;

/// Expired keys that [`random_key`] steps over before it gives up.
const RANDOM_STEPS_MAX: usize = 100;

/// One step of an iteration that its caller continues.
#[derive(Debug)]
pub struct Walk {
    /// Where the next step begins; 0: this was the last.
    pub cursor: u64,
    /// Live keys with their types.
    pub keys: Vec<(Bytes, Kind)>,
}

/// The keys from `cursor` on, about `count` of them or fewer if they are long, the expired left out.
/// The cursor is the smallest hash still to visit, and keys of equal hash are returned together, so
/// a key that is there throughout an iteration is returned exactly once, whatever else comes and
/// goes, and whether or not the server restarts in between.
///
/// # Errors
/// The storage's.
pub fn scan(db: &mut DbReader<'_>, cursor: u64, count: usize) -> Result<Walk> {
    let namespace = db.namespace()?;
    let mut pages = Pages::new(encoding::records_from(namespace, cursor));
    // Values are left behind page by page: a walk holds keys alone.
    let mut live: Vec<(u64, Bytes, Kind)> = Vec::new();
    let (mut seen, mut seen_bytes) = (0, 0);
    let mut first_hash = None;
    let cursor = loop {
        // One more than asked for tells whether the last hash is complete.
        let entries = (count + 1).saturating_sub(seen).clamp(2, PAGE.entries);
        let page = pages.next(db, PageLimit { entries, ..PAGE })?.unwrap_or_default();
        let mut last_hash = None;
        for (key, stored) in page {
            let (hash, key) = encoding::split_record_key(&key)?;
            let record = Record::decode(stored)?;
            seen += 1;
            seen_bytes += key.len();
            first_hash = first_hash.or(Some(hash));
            last_hash = Some(hash);
            if !record.is_expired(db.now_ms()) {
                live.push((hash, key, record.kind));
            }
        }
        if pages.is_done() {
            break 0;
        }
        if let (Some(first), Some(last)) = (first_hash, last_hash)
            && (seen > count || seen_bytes >= WALK_BYTES_MAX)
            && first != last
        {
            live.retain(|(hash, ..)| *hash != last);
            break last;
        }
    };
    let keys = live.into_iter().map(|(_, key, kind)| (key, kind)).collect();
    Ok(Walk { cursor, keys })
}

/// Calls `visit` with every key that is not expired. Holds one page of them at a time.
///
/// # Errors
/// The storage's.
pub fn for_each(db: &mut DbReader<'_>, mut visit: impl FnMut(Bytes)) -> Result<()> {
    let mut pages = Pages::new(encoding::namespace_range(db.namespace()?));
    while let Some(page) = pages.next(db, PAGE)? {
        for (key, stored) in page {
            if !Record::decode(stored)?.is_expired(db.now_ms()) {
                visit(encoding::split_record_key(&key)?.1);
            }
        }
    }
    Ok(())
}

/// Some key, or `None` if there is none: the one behind a random place among the hashes, so that
/// keys are about equally likely.
///
/// # Errors
/// The storage's.
pub fn random_key(db: &mut DbReader<'_>) -> Result<Option<Bytes>> {
    let namespace = db.namespace()?;
    let start = RandomState::new().hash_one(namespace) >> 1;
    for start in [start, 0] {
        let mut pages = Pages::new(encoding::records_from(namespace, start));
        for _ in 0..RANDOM_STEPS_MAX {
            let Some(page) = pages.next(db, PageLimit::ONE)? else { break };
            for (key, stored) in page {
                if !Record::decode(stored)?.is_expired(db.now_ms()) {
                    return Ok(Some(encoding::split_record_key(&key)?.1));
                }
            }
        }
    }
    Ok(None)
}

/// The records of a range, page by page.
struct Pages {
    rest: Option<KeyRange>,
}

impl Pages {
    fn new(range: KeyRange) -> Self {
        Self { rest: Some(range) }
    }

    fn is_done(&self) -> bool {
        self.rest.is_none()
    }

    fn next(&mut self, db: &DbReader<'_>, limit: PageLimit) -> Result<Option<Vec<(Bytes, Bytes)>>> {
        let Some(range) = self.rest.take() else { return Ok(None) };
        let page = db.reader.page(db.keyspaces().meta(), &range, false, limit)?;
        if let Some((last, _)) = page.entries.last().filter(|_| page.more) {
            // The first key after it in byte order.
            let start = [last, &[0][..]].concat();
            self.rest = Some(KeyRange::new(start, range.end));
        }
        Ok(Some(page.entries))
    }
}
