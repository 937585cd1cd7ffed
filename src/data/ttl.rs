//! How long the keys that expire have left, on average.

use std::hash::{BuildHasher, RandomState};

use pontoon_storage::engine::PageLimit;

use super::encoding::{self, Record};
use super::error::Result;
use super::reader::DbReader;

/// Up to so many keys that expire all of them are looked at, else so many keys, whether they expire or
/// not.
const SAMPLE_LEN: usize = 512;

/// Bytes that are read at the most.
const SAMPLE_BYTES_MAX: usize = 256 << 10;

/// The average time, in milliseconds, that the keys of the database have left that expire: of a few it is
/// exact, of many that of some; `None` if there are none, or none was among the some.
///
/// # Errors
/// The storage's.
pub fn average_ttl(db: &mut DbReader<'_>) -> Result<Option<u64>> {
    let (_, expiring) = db.key_counts()?;
    let (namespace, now_ms) = (db.namespace()?, db.now_ms());
    let limit = PageLimit { entries: SAMPLE_LEN, bytes: SAMPLE_BYTES_MAX };
    let mut left_ms: Vec<u64> = Vec::new();
    if expiring <= SAMPLE_LEN as u64 {
        let range = encoding::expired_range(namespace, now_ms, u64::MAX);
        let page = db.reader.page(db.keyspaces().expiry(), &range, false, limit)?;
        for (entry, _) in page.entries {
            left_ms.push(encoding::split_expiry_key(&entry)?.0.saturating_sub(now_ms));
        }
    } else {
        // From a random place among the hashes on, which is as good as any other.
        let start = RandomState::new().hash_one(namespace) >> 1;
        let range = encoding::records_from(namespace, start);
        let page = db.reader.page(db.keyspaces().meta(), &range, false, limit)?;
        for (_, stored) in page.entries {
            let expires_at_ms = Record::decode(stored)?.expires_at_ms;
            left_ms.extend(expires_at_ms.and_then(|at_ms| at_ms.checked_sub(now_ms)));
        }
    }
    let sum: u128 = left_ms.iter().map(|left| u128::from(*left)).sum();
    Ok(sum.checked_div(left_ms.len() as u128).map(|mean| u64::try_from(mean).unwrap_or(u64::MAX)))
}
