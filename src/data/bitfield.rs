//! Integers of up to 64 bits anywhere in a string.
//!
//! An [`Edit`] changes many of them and then writes each chunk they are in once.

use std::collections::BTreeMap;
use std::ops::Range;

use super::encoding::{self, Record};
use super::error::Result;
use super::reader::DbReader;
use super::string::{self, INLINE_BYTES_MAX};
use super::writer::{DbWriter, check_key};

/// Bytes in which a field lies wherever its first bit is, and more.
type Window = [u8; 16];

/// An integer in a string: the bits from `offset` on, the highest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Where its first bit is; 0 is the highest bit of the string's first byte.
    pub offset: u64,
    /// How many bits it has: 1 to 64 if signed, else 1 to 63.
    pub bits: u32,
    /// Whether it is in two's complement.
    pub signed: bool,
}

/// What becomes of a number that is too large or too small for its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits are kept.
    Wrap,
    /// The field's greatest or least number takes its place.
    Saturate,
    /// Nothing is done.
    Fail,
}

impl Field {
    /// The single bit at `offset`.
    pub fn bit(offset: u64) -> Self {
        Self { offset, bits: 1, signed: false }
    }

    /// `number` as this field can hold it; `None` for [`Overflow::Fail`] if it cannot.
    pub fn fit(&self, number: i128, overflow: Overflow) -> Option<i64> {
        let unused = 128 - self.bits;
        let (least, greatest) = if self.signed {
            (i128::MIN >> unused, i128::MAX >> unused)
        } else {
            (0, (u128::MAX >> unused) as i128)
        };
        let fitting = match overflow {
            Overflow::Fail => Some(number).filter(|number| (least..=greatest).contains(number))?,
            Overflow::Saturate => number.clamp(least, greatest),
            Overflow::Wrap if self.signed => number << unused >> unused,
            Overflow::Wrap => number & greatest,
        };
        Some(fitting as i64)
    }

    /// The bytes it lies in.
    fn bytes(&self) -> Range<u64> {
        self.offset / 8..self.end().div_ceil(8)
    }

    /// Behind its last bit.
    fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.bits))
    }

    /// Its number in the `window` that begins with the first of its bytes.
    fn take(&self, window: Window) -> i64 {
        let (skipped, unused) = (self.offset % 8, 128 - self.bits);
        let bits = u128::from_be_bytes(window) << skipped;
        if self.signed { (bits as i128 >> unused) as i64 } else { (bits >> unused) as i64 }
    }

    /// The `window` with `number` in its place.
    fn put(&self, window: Window, number: i64) -> Window {
        let behind = 128 - self.bits - (self.offset % 8) as u32;
        let mask = (u128::MAX >> (128 - self.bits)) << behind;
        let bits = (i128::from(number) as u128) << behind;
        ((u128::from_be_bytes(window) & !mask) | (bits & mask)).to_be_bytes()
    }
}

/// The number in `field` of the string `record`; what is behind the string's end is zeros.
///
/// # Errors
/// The storage's.
pub fn read(db: &mut DbReader<'_>, record: Option<&Record>, field: Field) -> Result<i64> {
    let mut window = Window::default();
    if let Some(record) = record {
        let bytes = string::read_range(db, record, field.bytes())?;
        string::copy_overlap(&mut window, 0, &bytes, 0);
    }
    Ok(field.take(window))
}

/// Changes to a string, which nobody sees before [`finish`](Edit::finish). Holds the chunks that it
/// has touched.
#[derive(Debug)]
pub struct Edit<'a> {
    key: &'a [u8],
    old: Option<&'a Record>,
    size: u64,
    chunks: BTreeMap<u32, Chunk>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    changed: bool,
}

impl<'a> Edit<'a> {
    /// Begins to change the string at `key`, where `old` is, grown with zeros so far that each of
    /// `fields` is in it.
    ///
    /// # Errors
    /// [`KeyTooLong`](super::Error::KeyTooLong); [`StringTooLong`](super::Error::StringTooLong).
    pub fn begin(
        key: &'a [u8],
        old: Option<&'a Record>,
        fields: impl IntoIterator<Item = Field>,
    ) -> Result<Self> {
        check_key(key)?;
        let end = fields.into_iter().map(|field| field.bytes().end).max().unwrap_or(0);
        string::check_size(end)?;
        let size = end.max(old.map_or(0, |old| old.size));
        Ok(Self { key, old, size, chunks: BTreeMap::new() })
    }

    /// The number in `field`, as changed so far.
    ///
    /// # Errors
    /// The storage's.
    pub fn get(&mut self, db: &mut DbReader<'_>, field: Field) -> Result<i64> {
        Ok(field.take(self.window(db, field)?))
    }

    /// Puts `number`, cut to its lowest bits, into `field`, one of those it was begun with.
    ///
    /// # Errors
    /// The storage's.
    pub fn set(&mut self, db: &mut DbReader<'_>, field: Field, number: i64) -> Result<()> {
        let before = self.window(db, field)?;
        let after = field.put(before, number);
        if after == before {
            return Ok(());
        }
        let bytes = field.bytes();
        let changed = after.get(..(bytes.end - bytes.start) as usize).unwrap_or(&after);
        for index in chunks_of(&bytes) {
            let start = string::chunk_start(index);
            let chunk = self.chunk(db, index)?;
            let end = (bytes.end - start).min(string::CHUNK_BYTES as u64) as usize;
            if chunk.bytes.len() < end {
                chunk.bytes.resize(end, 0);
            }
            string::copy_overlap(&mut chunk.bytes, start, changed, bytes.start);
            chunk.changed = true;
        }
        Ok(())
    }

    /// Writes what has changed, and returns whether anything has: a field set to what it was is no
    /// change, while growth is one. Keeps the expiry.
    ///
    /// # Errors
    /// The storage's.
    pub fn finish(mut self, db: &mut DbWriter<'_>) -> Result<bool> {
        let has_grown = self.old.is_none_or(|old| old.size < self.size);
        if !has_grown && !self.chunks.values().any(|chunk| chunk.changed) {
            return Ok(false);
        }
        let expires_at_ms = self.old.and_then(|old| old.expires_at_ms);
        let version = match self.old.and_then(|old| old.version) {
            Some(version) => version,
            None if self.size <= INLINE_BYTES_MAX as u64 => {
                let size = self.size as usize;
                let mut whole = self.chunk(&mut db.reader(), 0)?.bytes.clone();
                whole.resize(size, 0);
                let record = Record::inline_string(whole.into(), expires_at_ms);
                db.store(self.key, self.old, &record)?;
                return Ok(true);
            }
            None => {
                let version = db.state.allocate_version(db.tx)?;
                let payload = self.old.map(|old| old.payload.clone()).unwrap_or_default();
                string::write_chunks(db, version, 0, &payload, false)?;
                version
            }
        };
        let namespace = db.namespace()?;
        let elements = db.state.databases.elements();
        for (index, chunk) in self.chunks.into_iter().filter(|(_, chunk)| chunk.changed) {
            let bytes = chunk.bytes.into_boxed_slice();
            db.tx.put(elements, encoding::chunk_key(namespace, version, index), bytes)?;
        }
        db.store(self.key, self.old, &string::chunked(version, self.size, expires_at_ms))?;
        Ok(true)
    }

    fn window(&mut self, db: &mut DbReader<'_>, field: Field) -> Result<Window> {
        let mut window = Window::default();
        let bytes = field.bytes();
        for index in chunks_of(&bytes) {
            let chunk = self.chunk(db, index)?;
            let start = string::chunk_start(index);
            string::copy_overlap(&mut window, bytes.start, &chunk.bytes, start);
        }
        Ok(window)
    }

    fn chunk(&mut self, db: &mut DbReader<'_>, index: u32) -> Result<&mut Chunk> {
        use std::collections::btree_map::Entry::{Occupied, Vacant};
        match self.chunks.entry(index) {
            Occupied(entry) => Ok(entry.into_mut()),
            Vacant(entry) => {
                let bytes = match self.old {
                    Some(old) => string::stored_chunk(db, old, index)?.to_vec(),
                    None => Vec::new(),
                };
                Ok(entry.insert(Chunk { bytes, changed: false }))
            }
        }
    }
}

fn chunks_of(bytes: &Range<u64>) -> std::ops::RangeInclusive<u32> {
    string::chunk_of(bytes.start)..=string::chunk_of(bytes.end.saturating_sub(1))
}
