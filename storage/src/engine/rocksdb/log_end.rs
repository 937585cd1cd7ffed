//! Damage at the end of RocksDB's log: a write that was never acknowledged, or one that was.
//!
//! Where every write is fsynced before the next begins, a power loss can tear the last one alone. So damage
//! that has no beginning of a later write behind it is what such a loss leaves.
//! RocksDB cannot tell: it does not know that there is but one unsynced write.
//!
//! The format: <https://github.com/facebook/rocksdb/wiki/Write-Ahead-Log-File-Format>.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::note;
use crate::disk::sync_dir;
use crate::error::{Error, Result};

/// The log is a sequence of such blocks, in bytes. No record crosses from one to the next: a write that
/// does is cut into records.
pub(super) const BLOCK_BYTES: usize = 32 << 10;

/// Checksum (4), length (2) and type (1) of a record, in bytes.
pub(super) const HEADER_BYTES: usize = 7;

/// Added to checksums, so that a checksum of data that has checksums in it is not special.
const MASK: u32 = 0xa282_ead8;

/// What part of a write a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    First,
    Middle,
    Last,
    /// Not of a write.
    Other,
}

/// The number of the newest log when the database was last opened, or when it was closed, and then its length.
const NOTE: &str = "log-noted";

/// Notes in `dir` that the database at `path` is open, with a log of its own.
///
/// # Errors
/// When the directory cannot be read or fsynced.
pub(super) fn note_open(dir: &Path, path: &Path) -> Result<()> {
    // The log's name must not be lost before the note of it.
    sync_dir(path)?;
    if let Some((number, _)) = logs(path)?.pop() {
        note::write(dir, NOTE, (number, 0));
    }
    Ok(())
}

/// Notes in `dir` that the database at `path` is closed and its logs are synced.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn note_closed(dir: &Path, path: &Path) -> Result<()> {
    if let Some((number, log)) = logs(path)?.pop() {
        note::write(dir, NOTE, (number, std::fs::metadata(log)?.len()));
    }
    Ok(())
}

/// # Errors
/// [`Error::Corrupted`] if the newest log of the database at `path` is gone or has become shorter than it was
/// when the database was closed. RocksDB would open without what was in it.
pub(super) fn check(dir: &Path, path: &Path) -> Result<()> {
    let Some((noted, len)) = note::read(dir, NOTE) else { return Ok(()) };
    let log = path.join(format!("{noted:06}.log"));
    match logs(path)?.pop() {
        Some((newest, _)) if newest > noted => Ok(()),
        Some((newest, _)) if newest == noted => {
            let found = std::fs::metadata(&log)?.len();
            if found >= len {
                return Ok(());
            }
            Err(Error::corrupted(format!(
                "{}: it has {found} bytes, and once had {len}",
                log.display()
            )))
        }
        _ => Err(Error::corrupted(format!("{} is missing", log.display()))),
    }
}

/// Whether the logs of the database at `path` are damaged, but in their last write alone, and it was not
/// closed since that was made: see [`note_closed`].
///
/// # Errors
/// When a log cannot be read.
pub(super) fn is_last_write_torn(dir: &Path, path: &Path) -> Result<bool> {
    if is_closed(dir, path)? {
        return Ok(false);
    }
    let mut scan = Scan::default();
    for (_, log) in logs(path)? {
        if !scan.read(&File::open(log)?)? {
            return Ok(false);
        }
    }
    Ok(scan.is_damaged)
}

/// Whether the database at `path` was closed, and not opened since.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn is_closed(dir: &Path, path: &Path) -> Result<bool> {
    // Each opening begins a log.
    let closed = note::read(dir, NOTE).filter(|(_, len)| *len > 0).map(|(number, _)| number);
    Ok(logs(path)?.last().is_some_and(|(newest, _)| closed >= Some(*newest)))
}

/// The logs in `path` by number, which is the order in which they were written.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn logs(path: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|e| e == "log")) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

#[derive(Default)]
struct Scan {
    /// Whether there has been damage. What comes then can only be the rest of the write that has it.
    is_damaged: bool,
    /// Whether that write has come to its end.
    has_ended: bool,
}

impl Scan {
    /// Goes on with the next log. Returns whether all that is damaged may be one write, with none later.
    fn read(&mut self, mut log: &File) -> Result<bool> {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        loop {
            block.clear();
            if log.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)? == 0 {
                return Ok(true);
            }
            if !self.read_block(&block) {
                return Ok(false);
            }
        }
    }

    fn read_block(&mut self, mut block: &[u8]) -> bool {
        // Less than a header is left empty.
        while block.len() >= HEADER_BYTES {
            if let Some((part, rest)) = record(block) {
                if self.is_damaged && !self.continues(part) {
                    return false;
                }
                block = rest;
            } else {
                if self.has_ended && block.iter().any(|byte| *byte != 0) {
                    // The damaged write is whole up to its end, and this is of a later one.
                    return false;
                }
                self.is_damaged = true;
                // Lengths are not to be trusted any more: a later write may begin anywhere.
                return (1..block.len())
                    .filter_map(|at| record(block.get(at..)?))
                    .all(|(part, _)| self.continues(part));
            }
        }
        true
    }

    /// Whether a record behind the damage can be of the same write.
    fn continues(&mut self, part: Part) -> bool {
        let continues = match part {
            Part::Whole | Part::First => false,
            Part::Middle | Part::Last => !self.has_ended,
            Part::Other => true,
        };
        self.has_ended |= part == Part::Last;
        continues
    }
}

/// The record at the beginning of `block`, if there is a whole one, and what follows it.
pub(super) fn record(block: &[u8]) -> Option<(Part, &[u8])> {
    let (checksum, rest) = block.split_first_chunk::<4>()?;
    let (len, checked) = rest.split_first_chunk::<2>()?;
    let part = match checked.first()? {
        1 => Part::Whole,
        2 => Part::First,
        3 => Part::Middle,
        4 => Part::Last,
        // Space that was never written.
        0 => return None,
        _ => Part::Other,
    };
    let (checked, rest) = checked.split_at_checked(1 + usize::from(u16::from_le_bytes(*len)))?;
    let masked = crc32c::crc32c(checked).rotate_right(15).wrapping_add(MASK);
    let part = if checked.get(1..).is_some_and(is_empty_write) { Part::Other } else { part };
    (u32::from_le_bytes(*checksum) == masked).then_some((part, rest))
}

/// What RocksDB writes to a new log by itself, once it has left the torn end of the last one out: a
/// sequence number (8 bytes) and no writes (4). The store never does.
fn is_empty_write(write: &[u8]) -> bool {
    write.len() == 12 && write.ends_with(&[0; 4])
}
