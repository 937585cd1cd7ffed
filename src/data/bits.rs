//! Strings as sequences of bits, the first of which is the highest of the first byte: counting,
//! finding, combining. Fields of several bits are in `bitfield`.
//!
//! What is not stored of a string is zeros, so counting and finding skip it, and combining never
//! stores a chunk of zeros.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use super::encoding::{self, Record};
use super::error::Result;
use super::reader::DbReader;
use super::string::{self, CHUNK_BYTES, INLINE_BYTES_MAX};
use super::writer::{DbWriter, check_key};

/// How many bits of the string are 1 among `bits`, a range inside it.
///
/// # Errors
/// The storage's.
pub fn count(db: &mut DbReader<'_>, record: &Record, bits: Range<u64>) -> Result<u64> {
    let bytes = bytes_of(&bits);
    let mut count = 0;
    string::walk(db, record, bytes.clone(), |offset, part| {
        count += ones(part);
        if offset == bytes.start {
            let before = part.first().map_or(0, |byte| byte & !(0xff >> (bits.start % 8)));
            count -= u64::from(before.count_ones());
        }
        if offset + part.len() as u64 == bytes.end {
            let behind = bytes.end * 8 - bits.end;
            let behind = part.last().map_or(0, |byte| byte & !(0xff << behind));
            count -= u64::from(behind.count_ones());
        }
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// Where the first bit of the string is that is `bit`, among `bits`, a range inside it.
///
/// # Errors
/// The storage's.
pub fn position(
    db: &mut DbReader<'_>,
    record: &Record,
    bit: bool,
    bits: Range<u64>,
) -> Result<Option<u64>> {
    let bytes = bytes_of(&bits);
    let mut found = None;
    // Behind what has been looked through. Where the next part begins later, zeros are between.
    let mut next = bytes.start;
    string::walk(db, record, bytes.clone(), |offset, part| {
        if !bit && offset > next {
            return ControlFlow::Break(());
        }
        let skipped = if offset == bytes.start { bits.start % 8 } else { 0 };
        if let Some(place) = first(part, bit, skipped) {
            found = Some(offset * 8 + place);
            return ControlFlow::Break(());
        }
        next = offset + part.len() as u64;
        ControlFlow::Continue(())
    })?;
    if !bit && found.is_none() && next < bytes.end {
        found = Some(bits.start.max(next * 8));
    }
    Ok(found.filter(|place| *place < bits.end))
}

/// What [`combine`] does with the bits of its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// 1 where all sources have a 1.
    And,
    /// 1 where some source has a 1.
    Or,
    /// 1 where an odd number of sources has a 1.
    Xor,
    /// 1 where the only source has a 0.
    Not,
}

/// What [`combine`] has come to: the chunks of a string that are not all zeros.
#[derive(Debug)]
pub struct Combined {
    size: u64,
    chunks: Vec<(u32, Bytes)>,
}

/// What `operation` makes of `sources`, strings of which the shorter, and those absent, are taken to
/// end with zeros. Reads all of them chunk by chunk.
///
/// # Errors
/// The storage's.
pub fn combine(
    db: &mut DbReader<'_>,
    operation: Operation,
    sources: &[Option<Record>],
) -> Result<Combined> {
    let size = sources.iter().flatten().map(|source| source.size).max().unwrap_or(0);
    let mut chunks = Vec::new();
    for index in 0..size.div_ceil(CHUNK_BYTES as u64) as u32 {
        let chunk = combine_chunk(db, operation, sources, index, size)?;
        if first(&chunk, true, 0).is_some() {
            chunks.push((index, chunk.into()));
        }
    }
    Ok(Combined { size, chunks })
}

impl Combined {
    /// Bytes of the string: those of the longest source.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sets `key`, where `old` is, to the string; removes it if that is empty.
    ///
    /// # Errors
    /// [`KeyTooLong`](super::Error::KeyTooLong); the storage's.
    pub fn store(self, db: &mut DbWriter<'_>, key: &[u8], old: Option<&Record>) -> Result<()> {
        let Self { size, chunks } = self;
        if size == 0 {
            return old.map_or(Ok(()), |old| db.remove(key, old));
        }
        check_key(key)?;
        if size <= INLINE_BYTES_MAX as u64 {
            let whole = chunks.into_iter().next().map(|(_, chunk)| chunk);
            let whole = whole.unwrap_or_else(|| vec![0; size as usize].into());
            return string::set(db, key, old, whole, None);
        }
        let version = db.state.allocate_version(db.tx)?;
        let namespace = db.namespace()?;
        let elements = db.state.databases.elements();
        for (index, chunk) in chunks {
            db.tx.put(elements, encoding::chunk_key(namespace, version, index), chunk)?;
        }
        db.store(key, old, &string::chunked(version, size, None))
    }
}

/// The chunk `index` of what `operation` makes of `sources`, of which the longest has `size` bytes.
fn combine_chunk(
    db: &mut DbReader<'_>,
    operation: Operation,
    sources: &[Option<Record>],
    index: u32,
    size: u64,
) -> Result<Vec<u8>> {
    let len = (size - string::chunk_start(index)).min(CHUNK_BYTES as u64) as usize;
    let mut chunk = vec![0; len];
    for (place, source) in sources.iter().enumerate() {
        let part = match source {
            Some(source) => string::stored_chunk(db, source, index)?,
            None => Bytes::new(),
        };
        let pairs = chunk.iter_mut().zip(&*part);
        match operation {
            Operation::And if place > 0 => {
                pairs.for_each(|(to, from)| *to &= from);
                chunk.iter_mut().skip(part.len()).for_each(|to| *to = 0);
            }
            Operation::And | Operation::Or => pairs.for_each(|(to, from)| *to |= from),
            Operation::Xor | Operation::Not => pairs.for_each(|(to, from)| *to ^= from),
        }
    }
    if operation == Operation::Not {
        chunk.iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(chunk)
}

/// The bytes that `bits` are in.
fn bytes_of(bits: &Range<u64>) -> Range<u64> {
    bits.start / 8..bits.end.div_ceil(8)
}

fn ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words: u32 = words.iter().map(|word| u64::from_ne_bytes(*word).count_ones()).sum();
    u64::from(words + rest.iter().map(|byte| byte.count_ones()).sum::<u32>())
}

/// Where the first bit is that is `bit`, those `skipped`, fewer than 8, at the start aside.
fn first(bytes: &[u8], bit: bool, skipped: u64) -> Option<u64> {
    // With this the bit looked for is a 1.
    let flip = if bit { 0 } else { 0xff };
    let (head, rest) = bytes.split_first()?;
    let head = (head ^ flip) & (0xff >> skipped);
    if head != 0 {
        return Some(u64::from(head.leading_zeros()));
    }
    let (words, tail) = rest.as_chunks::<8>();
    let skip = words.iter().position(|word| *word != [flip; 8]).unwrap_or(words.len()) * 8;
    let tail = if skip < words.len() * 8 { rest.get(skip..)? } else { tail };
    let place = tail.iter().position(|byte| *byte != flip)?;
    let zeros = (tail.get(place)? ^ flip).leading_zeros();
    Some((1 + skip + place) as u64 * 8 + u64::from(zeros))
}
