//! The checksum behind each value: redb verifies its pages only when it repairs and when it is asked to.
//!
//! XXH3-64 of the value, mixed with that of the key, so that a value that is found under another key is
//! damage too. What it cannot find: a key that damage has hidden, for then nothing is read.

use ::redb::Table;
use xxhash_rust::xxh3::xxh3_64;

use super::failure::failed;
use crate::error::{Error, Result};

/// Bytes of a checksum, little-endian, at the end of what is stored.
const SUM_BYTES: usize = 8;

/// Puts `value` under `key`, with its checksum.
pub(super) fn insert(
    table: &mut Table<'_, &'static [u8], &'static [u8]>,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    let mut stored = table.insert_reserve(key, value.len() + SUM_BYTES).map_err(failed)?;
    let (place, sum_place) = stored
        .as_mut()
        .split_at_mut_checked(value.len())
        .ok_or_else(|| Error::corrupted("redb reserved less than it was asked for"))?;
    place.copy_from_slice(value);
    sum_place.copy_from_slice(&sum(key, value));
    Ok(())
}

/// The value in what is stored under `key`.
///
/// # Errors
/// [`Error::Corrupted`] if it is not what was put there.
pub(super) fn verified<'s>(key: &[u8], stored: &'s [u8]) -> Result<&'s [u8]> {
    match stored.split_last_chunk::<SUM_BYTES>() {
        Some((value, found)) if *found == sum(key, value) => Ok(value),
        _ => {
            let key = key.get(..key.len().min(100)).unwrap_or_default().escape_ascii();
            Err(Error::corrupted(format!("checksum mismatch in the redb record of key \"{key}\"")))
        }
    }
}

fn sum(key: &[u8], value: &[u8]) -> [u8; SUM_BYTES] {
    // Not as a seed, which costs more than hashing 1 KiB. Turned, so that equal ones do not cancel out.
    (xxh3_64(value) ^ xxh3_64(key).rotate_left(32)).to_le_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_bit_of_key_value_or_checksum_may_differ() {
        let (key, value) = (b"key".to_vec(), b"value".to_vec());
        let stored = [&value[..], &sum(&key, &value)].concat();
        assert_eq!(verified(&key, &stored).unwrap(), value);
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            assert!(verified(&key, &damaged).is_err(), "{bit}");
        }
        for bit in 0..key.len() * 8 {
            let mut other = key.clone();
            other.iter_mut().skip(bit / 8).take(1).for_each(|byte| *byte ^= 1 << (bit % 8));
            assert!(verified(&other, &stored).is_err(), "{bit}");
        }
        for len in 0..stored.len() {
            assert!(verified(&key, stored.get(..len).unwrap()).is_err(), "{len}");
        }
    }
}
