//! Subkeys that begin with the hash of a member, behind a prefix that may be empty: fields of hashes,
//! members of sets and of sorted sets. So elements are in the order of their hashes, as keys are.

use bytes::{BufMut, Bytes, BytesMut};
use pontoon_storage::{Error, KeyRange, Result};

use super::{hash, take_u64};

/// How many hashes there are: one more than the greatest.
pub const HASHES: u64 = 1 << 63;

const HASH_BYTES: usize = 8;

/// The subkey of `member`, without a prefix: its hash and itself.
pub fn subkey(member: &[u8]) -> Bytes {
    subkey_behind(&[], member)
}

/// The subkey of `member` behind `prefix`.
pub fn subkey_behind(prefix: &[u8], member: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(prefix.len() + HASH_BYTES + member.len());
    bytes.extend_from_slice(prefix);
    bytes.put_u64(hash(member));
    bytes.extend_from_slice(member);
    bytes.freeze()
}

/// Hash and member of a subkey behind a prefix of `prefix_len` bytes; the member shares its memory.
///
/// # Errors
/// [`Error::Corrupted`] if it is too short.
pub fn split(prefix_len: usize, subkey: &Bytes) -> Result<(u64, Bytes)> {
    let mut rest = subkey.get(prefix_len..).unwrap_or_default();
    let hash = take_u64(&mut rest)
        .ok_or_else(|| Error::corrupted("the subkey of a member is too short"))?;
    Ok((hash, subkey.slice(prefix_len + HASH_BYTES..)))
}

/// The member of a subkey without a prefix.
///
/// # Errors
/// As for [`split`].
pub fn member(subkey: &Bytes) -> Result<Bytes> {
    Ok(split(0, subkey)?.1)
}

/// The subkeys behind `prefix` with hashes from `start` up to, and without, `end`.
pub fn range(prefix: &[u8], start: u64, end: u64) -> KeyRange {
    let bound = |hash: u64| {
        let mut bytes = BytesMut::with_capacity(prefix.len() + HASH_BYTES);
        bytes.extend_from_slice(prefix);
        bytes.put_u64(hash);
        bytes.freeze()
    };
    KeyRange { start: bound(start), end: Some(bound(end)) }
}

/// All subkeys behind `prefix` with hashes from `start` on.
pub fn range_from(prefix: &[u8], start: u64) -> KeyRange {
    range(prefix, start, HASHES)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_subkey_is_split_into_what_it_was_made_of() {
        for prefix in [&b""[..], b"m"] {
            for member in [&b""[..], b"a", b"member"] {
                let made = subkey_behind(prefix, member);
                assert_eq!(
                    split(prefix.len(), &made).unwrap(),
                    (hash(member), Bytes::copy_from_slice(member))
                );
                assert!(range(prefix, hash(member), hash(member) + 1).contains(&made));
                assert!(range_from(prefix, 0).contains(&made));
                assert!(!range_from(prefix, hash(member) + 1).contains(&made));
            }
        }
        assert!(split(0, &Bytes::from_static(b"1234567")).is_err());
        assert!(split(9, &Bytes::from_static(b"1234567")).is_err());
    }
}
