//! Space within RocksDB's log that was never written, with something behind it.
//!
//! A power loss may leave it where several writes were not fsynced. RocksDB, in each of its recovery
//! modes, takes it for space kept ready: it skips the rest of the block and replays the next
//! one, without the writes in between. Any other damage it finds by itself.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::log_end::{self, BLOCK_BYTES, HEADER_BYTES, record};
use crate::error::Result;

/// What is written where a gap begins: a record of no bytes whose checksum is wrong, which RocksDB does not
/// pass over.
const WRONG_RECORD: [u8; HEADER_BYTES] = [0xff, 0xff, 0xff, 0xff, 0, 0, 1];

/// What a block is up to its end, or its first fault.
enum Block {
    Whole,
    /// Where it begins.
    Gap(usize),
    Damaged,
}

/// A gap in a log.
pub(super) struct Gap {
    pub(super) log: PathBuf,
    /// Where it begins, in bytes.
    at: u64,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: what follows byte {} was never written", self.log.display(), self.at)
    }
}

/// A gap in the logs of the database at `path` with a later write behind it: damage, where every write was
/// fsynced before the next began.
///
/// # Errors
/// When a log cannot be read.
pub(super) fn before_a_write(dir: &Path, path: &Path) -> Result<Option<Gap>> {
    let gap = gaps(path)?.into_iter().next();
    Ok(if gap.is_some() && log_end::is_last_write_torn(dir, path)? { None } else { gap })
}

/// Has RocksDB end at the gaps in the logs in `path`, as at damage. (In the logs, for there is no setting.)
///
/// # Errors
/// When a log cannot be read or written.
pub(super) fn end_there(path: &Path) -> Result<()> {
    for gap in gaps(path)? {
        tracing::warn!("{gap}, as by a power loss; what is behind it is left out");
        let mut log = OpenOptions::new().write(true).open(gap.log)?;
        log.seek(SeekFrom::Start(gap.at))?;
        log.write_all(&WRONG_RECORD)?;
    }
    Ok(())
}

/// The first of each log in `path`.
fn gaps(path: &Path) -> Result<Vec<Gap>> {
    let mut found = Vec::new();
    for (_, log) in log_end::logs(path)? {
        found.extend(find(&log)?.map(|at| Gap { log, at }));
    }
    Ok(found)
}

/// Where the first gap in `log` begins, in bytes.
fn find(log: &Path) -> Result<Option<u64>> {
    let log = File::open(log)?;
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let (mut read, mut gap) = (0, None);
    loop {
        block.clear();
        if (&log).take(BLOCK_BYTES as u64).read_to_end(&mut block)? == 0 {
            // Zeros up to the end are no gap.
            return Ok(None);
        }
        let mut behind = &*block;
        if gap.is_none() {
            behind = &[];
            match walk(&block) {
                Block::Whole => {}
                Block::Gap(at) => {
                    gap = Some(read + at as u64);
                    behind = block.get(at + HEADER_BYTES..).unwrap_or_default();
                }
                Block::Damaged => return Ok(None),
            }
        }
        if behind.iter().any(|byte| *byte != 0) {
            return Ok(gap);
        }
        read += block.len() as u64;
    }
}

fn walk(block: &[u8]) -> Block {
    let mut rest = block;
    // Less than a header is left empty.
    while rest.len() >= HEADER_BYTES {
        rest = match record(rest) {
            Some((_, rest)) => rest,
            // Neither a length nor a type.
            None if rest.iter().take(HEADER_BYTES).skip(4).all(|byte| *byte == 0) => {
                return Block::Gap(block.len() - rest.len());
            }
            None => return Block::Damaged,
        };
    }
    Block::Whole
}
