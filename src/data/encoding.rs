//! The bytes on disk. This file alone knows them; `docs/encoding.md` describes every one.
//!
//! Numbers are big-endian so that byte order is number order, except record sizes, which are LEB128.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use pontoon_storage::{Error, KeyRange, Result};
use xxhash_rust::xxh3::xxh3_64;

mod check;
pub mod hashed;
pub mod list;
pub mod packed;
pub mod sorted_set;

pub use check::{EntryChecks, Verdict};

/// The format this code writes, and the only one it reads.
pub const FORMAT_VERSION: u32 = 3;

/// The longest key of a client, in bytes.
pub const KEY_BYTES_MAX: usize = 64 << 10;

/// The longest storage key that a client's key of [`KEY_BYTES_MAX`] leads to: the expiry index puts
/// namespace, time and hash before it, and the longest that a member of a collection leads to, which has
/// namespace, version, a mark of its index, and hash or score before it. The store must be opened with at
/// least this limit.
pub const STORAGE_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + 32;

/// The longest member of a set or sorted set, and the longest field of a hash, in bytes.
pub const MEMBER_BYTES_MAX: usize = KEY_BYTES_MAX;

/// The keyspace of metadata records.
pub const META: &str = "meta";
/// The keyspace of what is too large for a record: chunks of strings, elements of collections.
pub const ELEMENTS: &str = "elements";
/// The keyspace of the expiry index.
pub const EXPIRY: &str = "expiry";
/// The keyspace of the store's own books.
pub const SYSTEM: &str = "system";

/// Key of the format version in [`SYSTEM`].
pub const FORMAT_KEY: &[u8] = b"format";
/// Key of the counters in [`SYSTEM`].
pub const COUNTERS_KEY: &[u8] = b"counters";

/// Bytes of a record's storage key before the client's key.
pub const RECORD_HEAD_BYTES: usize = 16;
/// Bytes of an entry of the expiry index before the client's key.
pub const EXPIRY_HEAD_BYTES: usize = 24;
/// Bytes of a chunk's storage key.
pub const CHUNK_KEY_BYTES: usize = 20;

const DATABASE_PREFIX: &[u8] = b"database/";
const COUNTS_PREFIX: &[u8] = b"counts/";
const FLUSHED_PREFIX: &[u8] = b"flushed/";
const GARBAGE_PREFIX: &[u8] = b"garbage/";

const FLAG_EXPIRES: u8 = 1;
const FLAG_VERSION: u8 = 1 << 1;

/// The type of a value. The numbers are on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A string of bytes.
    String = 1,
    /// Fields with values.
    Hash = 2,
    /// A sequence.
    List = 3,
    /// Unordered members.
    Set = 4,
    /// Members ordered by score.
    SortedSet = 5,
    /// A log of entries.
    Stream = 6,
}

impl Kind {
    /// What `TYPE` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
            Kind::Stream => "stream",
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        [Kind::String, Kind::Hash, Kind::List, Kind::Set, Kind::SortedSet, Kind::Stream]
            .into_iter()
            .find(|kind| *kind as u8 == tag)
    }
}

/// A key's metadata: what is stored under [`record_key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The type of the value.
    pub kind: Kind,
    /// When it expires, in milliseconds since 1970; `None`: never.
    pub expires_at_ms: Option<u64>,
    /// The number its elements are stored under; `None`: it has none, all is in `payload`.
    pub version: Option<u64>,
    /// Bytes of a string, elements of a collection.
    pub size: u64,
    /// What is kept in the record itself: the whole of a short string.
    pub payload: Bytes,
}

impl Record {
    /// A string that is kept whole in its record.
    pub fn inline_string(value: Bytes, expires_at_ms: Option<u64>) -> Self {
        let size = value.len() as u64;
        Self { kind: Kind::String, expires_at_ms, version: None, size, payload: value }
    }

    /// Whether its time has come at `now_ms`.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms.is_some_and(|at_ms| now_ms > at_ms)
    }

    /// As it is stored.
    pub fn encode(&self) -> Vec<u8> {
        const HEADER_BYTES_MAX: usize = 2 + 8 + 8 + 10;
        let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX + self.payload.len());
        let flag = |set, flag| if set { flag } else { 0 };
        bytes.push(self.kind as u8);
        bytes.push(
            flag(self.expires_at_ms.is_some(), FLAG_EXPIRES)
                | flag(self.version.is_some(), FLAG_VERSION),
        );
        for number in [self.expires_at_ms, self.version].into_iter().flatten() {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        put_varint(&mut bytes, self.size);
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// From what is stored; the payload is the end of it.
    ///
    /// # Errors
    /// [`Error::Corrupted`] for anything that [`encode`](Record::encode) does not write.
    pub fn decode(stored: Bytes) -> Result<Self> {
        Self::try_decode(stored).ok_or_else(|| Error::corrupted("a metadata record makes no sense"))
    }

    fn try_decode(mut stored: Bytes) -> Option<Self> {
        let (&[tag, flags], mut rest) = stored.split_first_chunk::<2>()?;
        if flags & !(FLAG_EXPIRES | FLAG_VERSION) != 0 {
            return None;
        }
        let expires_at_ms =
            if flags & FLAG_EXPIRES != 0 { Some(take_u64(&mut rest)?) } else { None };
        let version = if flags & FLAG_VERSION != 0 { Some(take_u64(&mut rest)?) } else { None };
        let size = take_varint(&mut rest)?;
        let kind = Kind::from_tag(tag)?;
        let header_len = stored.len() - rest.len();
        stored.advance(header_len);
        let payload = stored;
        let whole = kind != Kind::String
            || match version {
                None => payload.len() as u64 == size,
                Some(_) => payload.is_empty() && size <= super::string::BYTES_MAX,
            };
        whole.then_some(Self { kind, expires_at_ms, version, size, payload })
    }
}

/// How many keys a database has. Apart from the namespace, which every command reads and hardly any
/// changes, while this changes with every key that comes or goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Keys in it, those among them whose time has come but that no sweep has reached.
    pub keys: u64,
    /// Those of the keys that have an expiry.
    pub expiring: u64,
}

impl KeyCounts {
    /// As they are stored.
    pub fn encode(&self) -> [u8; 16] {
        encode_pair(self.keys, self.expiring)
    }

    /// From what is stored.
    ///
    /// # Errors
    /// [`Error::Corrupted`] for anything that [`encode`](KeyCounts::encode) does not write.
    pub fn decode(stored: &[u8]) -> Result<Self> {
        let [keys, expiring] = numbers(stored, "the counts of a database make no sense")?;
        Ok(Self { keys, expiring })
    }
}

/// A database's namespace as it is stored.
pub fn encode_namespace(namespace: u64) -> [u8; 8] {
    namespace.to_be_bytes()
}

/// The namespace of a database from what is stored.
///
/// # Errors
/// [`Error::Corrupted`] if it has another length.
pub fn decode_namespace(stored: &[u8]) -> Result<u64> {
    let [namespace] = numbers(stored, "the namespace of a database makes no sense")?;
    Ok(namespace)
}

/// The numbers to give out next. None is ever given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The next namespace.
    pub namespace: u64,
    /// The next version.
    pub version: u64,
}

impl Counters {
    /// Those of a store that has given out none.
    pub const FIRST: Counters = Counters { namespace: 1, version: 1 };

    /// As they are stored.
    pub fn encode(&self) -> [u8; 16] {
        encode_pair(self.namespace, self.version)
    }

    /// From what is stored.
    ///
    /// # Errors
    /// [`Error::Corrupted`] for anything that [`encode`](Counters::encode) does not write.
    pub fn decode(stored: &[u8]) -> Result<Self> {
        let [namespace, version] = numbers(stored, "the counters make no sense")?;
        Ok(Self { namespace, version })
    }
}

/// A key's place in the order of its database, below 2^63. Stable: it is on disk and in the cursors
/// that clients hold.
pub fn hash(key: &[u8]) -> u64 {
    xxh3_64(key) >> 1
}

/// Where a key's record is.
pub fn record_key(namespace: u64, hash: u64, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + key.len());
    put_record_key(&mut bytes, namespace, hash, key);
    bytes
}

/// Appends [`record_key`] to `out`.
pub fn put_record_key(out: &mut Vec<u8>, namespace: u64, hash: u64, key: &[u8]) {
    out.extend_from_slice(&namespace.to_be_bytes());
    out.extend_from_slice(&hash.to_be_bytes());
    out.extend_from_slice(key);
}

/// Hash and client's key of a stored record key; the key shares its memory.
///
/// # Errors
/// [`Error::Corrupted`] if it is too short.
pub fn split_record_key(stored: &Bytes) -> Result<(u64, Bytes)> {
    let mut rest = stored.get(8..).unwrap_or_default();
    let hash = take_u64(&mut rest).ok_or_else(|| Error::corrupted("a record key is too short"))?;
    Ok((hash, stored.slice(16..)))
}

/// The records of a namespace from a hash on.
pub fn records_from(namespace: u64, hash: u64) -> KeyRange {
    KeyRange { start: pair(namespace, hash), end: namespace_range(namespace).end }
}

/// Everything of a namespace, in any of the keyspaces ordered by namespace.
pub fn namespace_range(namespace: u64) -> KeyRange {
    KeyRange::prefix(namespace.to_be_bytes())
}

/// Where the expiry index has a key.
pub fn expiry_key(namespace: u64, at_ms: u64, hash: u64, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(24 + key.len());
    bytes.extend_from_slice(&namespace.to_be_bytes());
    bytes.extend_from_slice(&at_ms.to_be_bytes());
    bytes.extend_from_slice(&hash.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// Time, in milliseconds since 1970, and client's key of a stored expiry key.
///
/// # Errors
/// [`Error::Corrupted`] if it is too short.
pub fn split_expiry_key(stored: &Bytes) -> Result<(u64, Bytes)> {
    let mut rest = stored.get(8..).unwrap_or_default();
    let split = take_u64(&mut rest).zip(take_u64(&mut rest));
    let (at_ms, _) = split.ok_or_else(|| Error::corrupted("an expiry key is too short"))?;
    Ok((at_ms, stored.slice(24..)))
}

/// The index's entries of a namespace whose time came at `from_ms` or later, and has come at
/// `now_ms`: those before it.
pub fn expired_range(namespace: u64, from_ms: u64, now_ms: u64) -> KeyRange {
    KeyRange { start: pair(namespace, from_ms), end: Some(pair(namespace, now_ms)) }
}

/// All elements of a version.
pub fn elements_range(namespace: u64, version: u64) -> KeyRange {
    KeyRange::prefix(pair(namespace, version))
}

/// Where an element of a collection is, by the subkey that its type gives it.
pub fn element_key(namespace: u64, version: u64, subkey: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(16 + subkey.len());
    bytes.put_u64(namespace);
    bytes.put_u64(version);
    bytes.extend_from_slice(subkey);
    bytes.freeze()
}

/// The elements of a version whose subkeys are in `range`.
pub fn element_range(namespace: u64, version: u64, range: &KeyRange) -> KeyRange {
    let end = match &range.end {
        Some(end) => Some(element_key(namespace, version, end)),
        None => elements_range(namespace, version).end,
    };
    KeyRange { start: element_key(namespace, version, &range.start), end }
}

/// The subkey of a stored element key, whose memory it shares.
///
/// # Errors
/// [`Error::Corrupted`] if it is too short.
pub fn split_element_key(stored: &Bytes) -> Result<Bytes> {
    if stored.len() < 16 {
        return Err(Error::corrupted("an element's key is too short"));
    }
    Ok(stored.slice(16..))
}

/// What the record of a collection keeps besides its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectionHead {
    /// What has once been true of it: bits that its type defines, and that are never cleared.
    pub traits: u8,
    /// A number for the type's own use: where a list begins.
    pub place: u64,
    /// Its elements, [packed], if they are in the record.
    pub packed: Bytes,
}

impl CollectionHead {
    /// As it is stored: the record's payload.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(11 + self.packed.len());
        bytes.push(self.traits);
        put_varint(&mut bytes, self.place);
        bytes.extend_from_slice(&self.packed);
        bytes.into()
    }

    /// From what is stored.
    ///
    /// # Errors
    /// [`Error::Corrupted`] for anything that [`encode`](CollectionHead::encode) does not write.
    pub fn decode(payload: &Bytes) -> Result<Self> {
        let decoded = payload.split_first().and_then(|(&traits, mut rest)| {
            let place = take_varint(&mut rest)?;
            Some(Self { traits, place, packed: payload.slice(payload.len() - rest.len()..) })
        });
        decoded.ok_or_else(|| Error::corrupted("the head of a collection makes no sense"))
    }
}

/// Where a chunk of a string is.
pub fn chunk_key(namespace: u64, version: u64, index: u32) -> Bytes {
    let mut bytes = BytesMut::with_capacity(20);
    bytes.put_u64(namespace);
    bytes.put_u64(version);
    bytes.put_u32(index);
    bytes.freeze()
}

/// The chunks of a string from `first` up to, and without, `end`.
pub fn chunks_range(namespace: u64, version: u64, first: u32, end: u32) -> KeyRange {
    KeyRange {
        start: chunk_key(namespace, version, first),
        end: Some(chunk_key(namespace, version, end)),
    }
}

/// The index of a stored chunk key.
///
/// # Errors
/// [`Error::Corrupted`] if it has another length.
pub fn chunk_index(stored: &[u8]) -> Result<u32> {
    let index = stored.get(16..).and_then(|rest| rest.try_into().ok());
    let index = index.ok_or_else(|| Error::corrupted("a chunk key has a wrong length"))?;
    Ok(u32::from_be_bytes(index))
}

/// Where a database's namespace is.
pub fn database_key(db: u8) -> Vec<u8> {
    [DATABASE_PREFIX, &u32::from(db).to_be_bytes()].concat()
}

/// Where a database's counts are.
pub fn counts_key(db: u8) -> Vec<u8> {
    [COUNTS_PREFIX, &u32::from(db).to_be_bytes()].concat()
}

/// Where a namespace waits whose database was flushed.
pub fn flushed_key(namespace: u64) -> Vec<u8> {
    [FLUSHED_PREFIX, &namespace.to_be_bytes()].concat()
}

/// All namespaces that wait to be swept.
pub fn flushed_range() -> KeyRange {
    KeyRange::prefix(FLUSHED_PREFIX)
}

/// The namespace of a stored [`flushed_key`].
///
/// # Errors
/// [`Error::Corrupted`] if it has another length.
pub fn split_flushed_key(stored: &[u8]) -> Result<u64> {
    let rest = stored.get(FLUSHED_PREFIX.len()..).unwrap_or_default();
    let [namespace] = numbers(rest, "the key of a flushed namespace has a wrong length")?;
    Ok(namespace)
}

/// Where a version waits whose record is gone.
pub fn garbage_key(namespace: u64, version: u64) -> Vec<u8> {
    [GARBAGE_PREFIX, &pair(namespace, version)].concat()
}

/// All versions that wait to be swept.
pub fn garbage_range() -> KeyRange {
    KeyRange::prefix(GARBAGE_PREFIX)
}

/// Those of them that are of one namespace.
pub fn garbage_of(namespace: u64) -> KeyRange {
    KeyRange::prefix([GARBAGE_PREFIX, &namespace.to_be_bytes()].concat())
}

/// Namespace and version of a stored [`garbage_key`].
///
/// # Errors
/// [`Error::Corrupted`] if it has another length.
pub fn split_garbage_key(stored: &[u8]) -> Result<(u64, u64)> {
    let rest = stored.get(GARBAGE_PREFIX.len()..).unwrap_or_default();
    let [namespace, version] = numbers(rest, "the key of a garbage entry has a wrong length")?;
    Ok((namespace, version))
}

fn encode_pair(first: u64, second: u64) -> [u8; 16] {
    (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
}

fn pair(first: u64, second: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(16);
    bytes.put_u64(first);
    bytes.put_u64(second);
    bytes.freeze()
}

fn numbers<const N: usize>(stored: &[u8], complaint: &'static str) -> Result<[u64; N]> {
    let mut rest = stored;
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = take_u64(&mut rest).ok_or_else(|| Error::corrupted(complaint))?;
    }
    if rest.is_empty() { Ok(numbers) } else { Err(Error::corrupted(complaint)) }
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (number, behind) = rest.split_first_chunk::<8>()?;
    *rest = behind;
    Some(u64::from_be_bytes(*number))
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        // A tenth byte holds one bit, and the last byte of several is never 0: one spelling each.
        if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[path = "encoding_tests.rs"]
mod tests;
