//! Walking the keys of a database, and the members of a collection, in the order of their hashes.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use pontoon_storage::KeyRange;
use pontoon_storage::engine::PageLimit;

use super::collection::{Collection, ELEMENTS_PAGE, Element, narrow};
use super::encoding::{self, Kind, Record, hashed};
use super::error::Result;
use super::reader::DbReader;

/// How much one page of a walk holds.
const PAGE: PageLimit = PageLimit { entries: 256, bytes: 256 << 10 };

/// Bytes after which [`scan`] and [`scan_members`] stop, whatever count they were asked for; a page may go
/// over it.
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
    let (cursor, keys) = step(count, |entries| {
        let page = pages.next(db, PageLimit { entries, ..PAGE })?.unwrap_or_default();
        let mut seen = Vec::with_capacity(page.len());
        for (key, stored) in page {
            let (hash, key) = encoding::split_record_key(&key)?;
            let record = Record::decode(stored)?;
            let bytes = key.len();
            // Values are left behind page by page: a walk holds keys alone.
            let item = (!record.is_expired(db.now_ms())).then_some((key, record.kind));
            seen.push(Seen { hash, bytes, item });
        }
        Ok((seen, !pages.is_done()))
    })?;
    Ok(Walk { cursor, keys })
}

/// One step of an iteration over the members of a collection that its caller continues.
#[derive(Debug)]
pub struct MemberWalk {
    /// Where the next step begins; 0: this was the last.
    pub cursor: u64,
    /// Members with their values.
    pub members: Vec<Element>,
}

/// As [`scan`], for the members of `collection`, whose subkeys have `prefix` and a hash before them. A
/// collection that is in its record is returned whole.
///
/// # Errors
/// The storage's.
pub fn scan_members(
    db: &mut DbReader<'_>,
    collection: &Collection,
    prefix: &[u8],
    cursor: u64,
    count: usize,
) -> Result<MemberWalk> {
    let is_packed = collection.is_packed();
    let (cursor, count) = if is_packed { (0, usize::MAX) } else { (cursor, count) };
    let mut rest = hashed::range_from(prefix, cursor);
    let (cursor, members) = step(count, |entries| {
        let page = collection.page(db, &rest, false, PageLimit { entries, ..ELEMENTS_PAGE })?;
        if let Some((last, _)) = page.entries.last().filter(|_| page.more) {
            narrow(&mut rest, last, false);
        }
        let mut seen = Vec::with_capacity(page.entries.len());
        for (subkey, value) in page.entries {
            let (hash, member) = hashed::split(prefix.len(), &subkey)?;
            let bytes = member.len() + value.len();
            seen.push(Seen { hash, bytes, item: Some((member, value)) });
        }
        Ok((seen, page.more))
    })?;
    Ok(MemberWalk { cursor, members })
}

/// What a step of a walk has come by.
struct Seen<T> {
    hash: u64,
    bytes: usize,
    /// Nothing for what is to be passed over.
    item: Option<T>,
}

/// Takes items in the order of their hashes until they are `count` or come to megabytes, and leaves the
/// last hash for the next step, which may not be complete. `next` returns the next ones, as many as
/// it is asked for or fewer, and whether there are more.
fn step<T>(
    count: usize,
    mut next: impl FnMut(usize) -> Result<(Vec<Seen<T>>, bool)>,
) -> Result<(u64, Vec<T>)> {
    let mut items: Vec<(u64, T)> = Vec::new();
    let (mut seen, mut seen_bytes) = (0, 0);
    let mut first_hash = None;
    let cursor = loop {
        // One more than asked for tells whether the last hash is complete.
        let entries = count.saturating_add(1).saturating_sub(seen).clamp(2, PAGE.entries);
        let (page, more) = next(entries)?;
        let mut last_hash = None;
        for Seen { hash, bytes, item } in page {
            seen += 1;
            seen_bytes += bytes;
            first_hash = first_hash.or(Some(hash));
            last_hash = Some(hash);
            items.extend(item.map(|item| (hash, item)));
        }
        if !more {
            break 0;
        }
        if let (Some(first), Some(last)) = (first_hash, last_hash)
            && (seen > count || seen_bytes >= WALK_BYTES_MAX)
            && first != last
        {
            items.retain(|(hash, _)| *hash != last);
            break last;
        }
    };
    Ok((cursor, items.into_iter().map(|(_, item)| item).collect()))
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
