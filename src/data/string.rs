//! Strings: short ones inside their record, long ones in chunks, so that a change in the middle or
//! at the end of a long one touches only its chunks.
//!
//! A chunk that is missing, or the end of one that is short, reads as zeros up to the string's size:
//! what `SETRANGE` skips is never written.

use std::ops::{ControlFlow, Range};

use bytes::{Bytes, BytesMut};
use pontoon_storage::Reader;
use pontoon_storage::engine::PageLimit;

use crate::resp::parse_integer;

use super::encoding::{self, Kind, Record};
use super::error::{Error, Result};
use super::reader::DbReader;
use super::writer::{DbWriter, check_key};

/// The longest string, in bytes (`proto-max-bulk-len`).
pub const BYTES_MAX: u64 = 512 << 20;

/// The longest string kept in its record, in bytes. Walks (`KEYS`, `SCAN`, the sweeps) read records
/// and so this many bytes a key, and `EXPIRE` rewrites them; a page of redb holds about as much.
pub const INLINE_BYTES_MAX: usize = 4 << 10;

/// Bytes of a chunk: what a change of one byte rewrites at the most. A string of the greatest size
/// has 32,768 of them.
pub const CHUNK_BYTES: usize = 16 << 10;

/// How much of a string one page of a read holds.
const PAGE: PageLimit = PageLimit { entries: 64, bytes: 1 << 20 };

/// The longest string that Redis keeps in one piece with its header.
const EMBEDDED_BYTES_MAX: u64 = 44;

/// What `OBJECT ENCODING` calls the string of `record`. A string that Redis has changed in place, with
/// `APPEND` for example, is `raw` there however short it is; here it is not.
pub fn encoding(record: &Record) -> &'static str {
    if record.version.is_none() && parse_integer(&record.payload).is_some() {
        return "int";
    }
    if record.size <= EMBEDDED_BYTES_MAX { "embstr" } else { "raw" }
}

/// The whole string of `record`, which is of [`Kind::String`].
///
/// # Errors
/// The storage's.
pub fn read(db: &mut DbReader<'_>, record: &Record) -> Result<Bytes> {
    read_range(db, record, 0..record.size)
}

/// The bytes of the string that are in `range`, which is cut to its size.
///
/// # Errors
/// The storage's.
pub fn read_range(db: &mut DbReader<'_>, record: &Record, range: Range<u64>) -> Result<Bytes> {
    let end = range.end.min(record.size);
    let start = range.start.min(end);
    if record.version.is_none() {
        let (start, end) = (start as usize, end as usize);
        return Ok(if end <= record.payload.len() {
            record.payload.slice(start..end)
        } else {
            Bytes::new()
        });
    }
    if start == end {
        return Ok(Bytes::new());
    }
    let index = chunk_of(start);
    if chunk_of(end - 1) == index {
        let chunk = stored_chunk(db, record, index)?;
        let (from, to) = (offset_in_chunk(start), offset_in_chunk(end - 1) + 1);
        if to <= chunk.len() {
            return Ok(chunk.slice(from..to));
        }
        let mut part = BytesMut::zeroed(to - from);
        copy_overlap(&mut part, from as u64, &chunk, 0);
        return Ok(part.freeze());
    }
    // Made once the first page is there: a read that fails should not have cost as much.
    let new = || BytesMut::zeroed((end - start) as usize);
    let mut whole = None;
    walk(db, record, start..end, |offset, part| {
        copy_overlap(whole.get_or_insert_with(new), start, part, offset);
        ControlFlow::Continue(())
    })?;
    Ok(whole.unwrap_or_else(new).freeze())
}

/// Calls `visit` for what is stored of the bytes of the string that are in `range`, part by part and
/// in order, each with where it begins; what lies between the parts is zeros. Reads page by page, and
/// no more once `visit` breaks.
///
/// # Errors
/// The storage's.
pub(super) fn walk(
    db: &mut DbReader<'_>,
    record: &Record,
    range: Range<u64>,
    mut visit: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
) -> Result<()> {
    let end = range.end.min(record.size);
    let start = range.start.min(end);
    if start == end {
        return Ok(());
    }
    let Some(version) = record.version else {
        if let Some(part) = record.payload.get(start as usize..end as usize) {
            let _ = visit(start, part);
        }
        return Ok(());
    };
    let namespace = db.namespace()?;
    let chunks = chunk_of(start)..chunk_of(end - 1) + 1;
    let mut rest = encoding::chunks_range(namespace, version, chunks.start, chunks.end);
    loop {
        let page = db.reader.page(db.keyspaces().elements(), &rest, false, PAGE)?;
        let mut next = chunks.end;
        for (key, chunk) in &page.entries {
            let index = encoding::chunk_index(key)?;
            next = index + 1;
            let chunk_start = chunk_start(index);
            let from = start.saturating_sub(chunk_start) as usize;
            let to = chunk.len().min(end.saturating_sub(chunk_start) as usize);
            let part = chunk.get(from..to).filter(|part| !part.is_empty());
            if part.is_some_and(|part| visit(chunk_start + from as u64, part).is_break()) {
                return Ok(());
            }
        }
        if !page.more {
            return Ok(());
        }
        rest.start = encoding::chunk_key(namespace, version, next);
    }
}

/// What is stored of the chunk `index` of the string, whether it is in chunks or in its record; zeros
/// up to the end of the chunk, or of the string, may be missing.
///
/// # Errors
/// The storage's.
pub(super) fn stored_chunk(db: &mut DbReader<'_>, record: &Record, index: u32) -> Result<Bytes> {
    let start = chunk_start(index);
    let end = (start + CHUNK_BYTES as u64).min(record.size);
    if start >= end {
        return Ok(Bytes::new());
    }
    let Some(version) = record.version else { return read_range(db, record, start..end) };
    let key = encoding::chunk_key(db.namespace()?, version, index);
    let mut chunk = db.reader.get(db.keyspaces().elements(), &key)?.unwrap_or_default();
    chunk.truncate((end - start) as usize);
    Ok(chunk)
}

/// Sets `key`, where `old` is, to the string `value`.
///
/// # Errors
/// [`Error::KeyTooLong`]; [`Error::StringTooLong`]; the storage's.
pub fn set(
    db: &mut DbWriter<'_>,
    key: &[u8],
    old: Option<&Record>,
    value: Bytes,
    expires_at_ms: Option<u64>,
) -> Result<()> {
    check_key(key)?;
    check_size(value.len() as u64)?;
    if value.len() <= INLINE_BYTES_MAX {
        return db.store(key, old, &Record::inline_string(value, expires_at_ms));
    }
    let version = db.state.allocate_version(db.tx)?;
    let size = value.len() as u64;
    write_chunks(db, version, 0, &value, false)?;
    db.store(key, old, &chunked(version, size, expires_at_ms))
}

/// Appends `value` to the string at `key`, where `old` is, and returns the new size.
///
/// # Errors
/// [`Error::KeyTooLong`]; [`Error::StringTooLong`]; the storage's.
pub fn append(
    db: &mut DbWriter<'_>,
    key: &[u8],
    old: Option<&Record>,
    value: &Bytes,
) -> Result<u64> {
    set_range(db, key, old, old.map_or(0, |old| old.size), value)
}

/// Overwrites the string at `key`, where `old` is, from `offset` on with `value`, growing it with
/// zeros as far as needed, and returns the new size. Keeps the expiry.
///
/// # Errors
/// [`Error::KeyTooLong`]; [`Error::StringTooLong`]; the storage's.
pub fn set_range(
    db: &mut DbWriter<'_>,
    key: &[u8],
    old: Option<&Record>,
    offset: u64,
    value: &Bytes,
) -> Result<u64> {
    let end = offset.saturating_add(value.len() as u64);
    check_key(key)?;
    check_size(end)?;
    let size = end.max(old.map_or(0, |old| old.size));
    let expires_at_ms = old.and_then(|old| old.expires_at_ms);
    if let Some(version) = old.and_then(|old| old.version) {
        write_chunks(db, version, offset, value, true)?;
        db.store(key, old, &chunked(version, size, expires_at_ms))?;
        return Ok(size);
    }
    let payload = old.map(|old| old.payload.clone()).unwrap_or_default();
    if size <= INLINE_BYTES_MAX as u64 {
        let whole = overlay(&payload, offset as usize, value, size as usize);
        db.store(key, old, &Record::inline_string(whole, expires_at_ms))?;
        return Ok(size);
    }
    let version = db.state.allocate_version(db.tx)?;
    write_chunks(db, version, 0, &payload, false)?;
    write_chunks(db, version, offset, value, true)?;
    db.store(key, old, &chunked(version, size, expires_at_ms))?;
    Ok(size)
}

/// Writes `value` into the chunks of a version from `offset` on. With `merge` what else is in those
/// chunks stays; without, there is nothing yet.
pub(super) fn write_chunks(
    db: &mut DbWriter<'_>,
    version: u64,
    offset: u64,
    value: &Bytes,
    merge: bool,
) -> Result<()> {
    let namespace = db.namespace()?;
    let elements = db.state.databases.elements();
    let (mut offset, mut rest) = (offset, value.clone());
    while !rest.is_empty() {
        let key = encoding::chunk_key(namespace, version, chunk_of(offset));
        let within = offset_in_chunk(offset);
        let part = rest.split_to(rest.len().min(CHUNK_BYTES - within));
        offset += part.len() as u64;
        let is_whole = part.len() == CHUNK_BYTES;
        let existing = if merge && !is_whole { db.tx.get(elements, &key)? } else { None };
        let chunk = match existing {
            None if is_whole => part,
            // A slice would hold the whole buffer it was received in for as long as it is stored.
            None if within == 0 => Bytes::copy_from_slice(&part),
            existing => {
                let existing = existing.unwrap_or_default();
                let size = existing.len().max(within + part.len());
                overlay(&existing, within, &part, size)
            }
        };
        db.tx.put(elements, key, chunk)?;
    }
    Ok(())
}

pub(super) fn chunked(version: u64, size: u64, expires_at_ms: Option<u64>) -> Record {
    Record {
        kind: Kind::String,
        expires_at_ms,
        version: Some(version),
        size,
        payload: Bytes::new(),
    }
}

pub(super) fn check_size(size: u64) -> Result<()> {
    if size > BYTES_MAX { Err(Error::StringTooLong) } else { Ok(()) }
}

/// `base` with `value` over it at `offset`, and zeros where neither is, `size` bytes in all.
fn overlay(base: &[u8], offset: usize, value: &[u8], size: usize) -> Bytes {
    let mut whole = BytesMut::zeroed(size);
    copy_overlap(&mut whole, 0, base, 0);
    copy_overlap(&mut whole, 0, value, offset as u64);
    whole.freeze()
}

/// Copies what `from`, which begins at `from_start`, and `to`, which begins at `to_start`, share.
pub(super) fn copy_overlap(to: &mut [u8], to_start: u64, from: &[u8], from_start: u64) {
    let skip_to = from_start.saturating_sub(to_start) as usize;
    let skip_from = to_start.saturating_sub(from_start) as usize;
    let (Some(to), Some(from)) = (to.get_mut(skip_to..), from.get(skip_from..)) else { return };
    let shared = to.len().min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..shared), from.get(..shared)) {
        to.copy_from_slice(from);
    }
}

pub(super) fn chunk_of(offset: u64) -> u32 {
    (offset / CHUNK_BYTES as u64) as u32
}

pub(super) fn chunk_start(index: u32) -> u64 {
    u64::from(index) * CHUNK_BYTES as u64
}

fn offset_in_chunk(offset: u64) -> usize {
    (offset % CHUNK_BYTES as u64) as usize
}
