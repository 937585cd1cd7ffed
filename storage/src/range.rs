//! Ranges of keys and the bytes that callers hand in.

use std::ops::{Bound, Range, RangeBounds, RangeFrom, RangeFull, RangeInclusive, RangeTo};

use bytes::{Bytes, BytesMut};

/// Anything that can become the [`Bytes`] of a key or a value. Borrowed bytes are copied, owned
/// ones are not.
pub trait IntoBytes {
    /// Converts.
    fn into_bytes(self) -> Bytes;

    /// The same bytes, borrowed: what needs no key of its own, such as a look into the record cache,
    /// goes without a copy.
    fn as_bytes(&self) -> &[u8];
}

macro_rules! owned {
    ($($type:ty),*) => {$(
        impl IntoBytes for $type {
            fn into_bytes(self) -> Bytes { Bytes::from(self) }
            fn as_bytes(&self) -> &[u8] { self.as_ref() }
        }
    )*};
}
owned!(Vec<u8>, String, Box<[u8]>, BytesMut);

impl IntoBytes for Bytes {
    fn into_bytes(self) -> Bytes {
        self
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}
impl IntoBytes for &Bytes {
    fn into_bytes(self) -> Bytes {
        self.clone()
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}
impl IntoBytes for &[u8] {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }

    fn as_bytes(&self) -> &[u8] {
        self
    }
}
impl<const N: usize> IntoBytes for &[u8; N] {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}
impl<const N: usize> IntoBytes for [u8; N] {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(&self)
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}
impl IntoBytes for &str {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}
impl IntoBytes for &String {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self.as_bytes())
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}
impl IntoBytes for &Vec<u8> {
    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }

    fn as_bytes(&self) -> &[u8] {
        self.as_ref()
    }
}

/// A half-open range of keys in byte order: from `start` on, up to but without `end` (`None`: to
/// the last key).
///
/// Rust's range expressions convert into it: `"a".."c"`, `..`, `b"x"..=b"y"`.
///
/// ```
/// use pontoon_storage::KeyRange;
///
/// let users = KeyRange::prefix("user:");
/// assert!(users.contains(b"user:17"));
/// assert!(!users.contains(b"users"));
/// assert!(KeyRange::from("a"..="b").contains(b"b"));
/// assert!(KeyRange::from("b".."a").is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may be in it.
    pub start: Bytes,
    /// The first key after it; `None` means there is no end.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    pub const ALL: KeyRange = KeyRange { start: Bytes::new(), end: None };

    /// `start` and what follows it, before `end`.
    pub fn new(start: impl IntoBytes, end: Option<Bytes>) -> Self {
        Self { start: start.into_bytes(), end }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: impl IntoBytes) -> Self {
        let start = prefix.into_bytes();
        let end = prefix_end(&start);
        Self { start, end }
    }

    /// From any of Rust's range types over bytes.
    pub fn from_bounds<K: AsRef<[u8]>>(range: impl RangeBounds<K>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(key) => Bytes::copy_from_slice(key.as_ref()),
            Bound::Excluded(key) => successor(key.as_ref()),
            Bound::Unbounded => Bytes::new(),
        };
        let end = match range.end_bound() {
            Bound::Included(key) => Some(successor(key.as_ref())),
            Bound::Excluded(key) => Some(Bytes::copy_from_slice(key.as_ref())),
            Bound::Unbounded => None,
        };
        Self { start, end }
    }

    /// What its bounds weigh in a queue, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.start.len() + self.end.as_ref().map_or(0, Bytes::len)
    }

    /// Whether `key` is inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        *self.start <= *key && self.end.as_ref().is_none_or(|end| *key < **end)
    }

    /// Whether no key can be inside.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end <= &self.start)
    }
}

/// The first key after `key` in byte order: `key` with a zero byte behind it.
pub(crate) fn successor(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.extend_from_slice(&[0]);
    next.freeze()
}

/// The first key after all that begin with `prefix`, or `None` when there is no such key.
fn prefix_end(prefix: &[u8]) -> Option<Bytes> {
    let kept = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix.get(..=kept)?.to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    Some(end.into())
}

macro_rules! from_range {
    ($($range:ident),*) => {$(
        impl<K: AsRef<[u8]>> From<$range<K>> for KeyRange {
            fn from(range: $range<K>) -> Self { Self::from_bounds(range) }
        }
    )*};
}
from_range!(Range, RangeInclusive, RangeFrom, RangeTo);

impl From<RangeFull> for KeyRange {
    fn from(_: RangeFull) -> Self {
        KeyRange::ALL
    }
}
