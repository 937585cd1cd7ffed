//! Lists: an element's subkey is its position, 8 bytes, big-endian.
//!
//! The positions of a list are consecutive. The record keeps the first as its place, and the size says
//! where they end.

use std::ops::Range;

use bytes::Bytes;
use pontoon_storage::{Error, KeyRange, Result};

/// Where the first element of a list goes that has none: in the middle, so that either end may grow by 2^63.
pub const FIRST_POSITION: u64 = 1 << 63;

/// The subkey of the element at `position`.
pub fn position_subkey(position: u64) -> [u8; 8] {
    position.to_be_bytes()
}

/// The position of a stored element's subkey.
///
/// # Errors
/// [`Error::Corrupted`] if it has another length.
pub fn split_position(subkey: &[u8]) -> Result<u64> {
    let position = subkey.try_into().map(u64::from_be_bytes);
    position.map_err(|_| Error::corrupted("an element's position has a wrong length"))
}

/// The subkeys of `positions`.
pub fn positions_range(positions: &Range<u64>) -> KeyRange {
    let subkey = |position| Bytes::copy_from_slice(&position_subkey(position));
    KeyRange { start: subkey(positions.start), end: Some(subkey(positions.end)) }
}
