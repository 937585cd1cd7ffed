//! How long the manifest has been, and whether it is whole up to there. RocksDB takes one that has lost its end for a
//! shorter one, and a record whose length leads beyond the end for the end: tables and families are then
//! not what they were, and it deletes the tables that it no longer knows.
//!
//! A manifest only grows, each of its records is fsynced, and one that replaces it has a higher number.
//! So what was noted once is a lower bound for good, also after a crash: noted when the database has been
//! opened and when it is closed.

use std::fs;
use std::path::{Path, PathBuf};

use super::log_end::{BLOCK_BYTES, HEADER_BYTES, record};
use super::note;
use crate::disk::sync_file;
use crate::error::{Error, Result};

/// Its number and length.
const NOTE: &str = "manifest-noted";

/// The manifest of the database at `path`, by its file `CURRENT`.
pub(super) fn current(path: &Path) -> Option<PathBuf> {
    let name = fs::read_to_string(path.join("CURRENT")).ok()?;
    Some(path.join(number_of(name.trim_end()).map(|_| name.trim_end())?))
}

/// Notes how long the manifest of the database at `path` is, in `dir`.
pub(super) fn note(dir: &Path, path: &Path) {
    let Some(state) = state(path) else { return };
    // RocksDB may be between writing a record and fsyncing it: what is noted must not be lost.
    if current(path).is_some_and(|manifest| sync_file(&manifest).is_ok()) {
        note::write(dir, NOTE, state);
    }
}

/// # Errors
/// [`Error::Corrupted`] if the manifest of the database at `path` is not what was noted in `dir`.
pub(super) fn check(dir: &Path, path: &Path) -> Result<()> {
    let (Some(noted), Some(found)) = (note::read(dir, NOTE), state(path)) else { return Ok(()) };
    let manifest = current(path).unwrap_or_else(|| path.to_owned());
    // Numbers first: a manifest that has replaced another is shorter.
    if found >= noted {
        let known = if found.0 == noted.0 { noted.1 } else { 0 };
        return match damage(&fs::read(&manifest)?) {
            Some(at) if at < known => Err(Error::corrupted(format!(
                "{}: the record at byte {at} is damaged",
                manifest.display()
            ))),
            _ => Ok(()),
        };
    }
    Err(Error::corrupted(format!(
        "{}: it has {} bytes, and MANIFEST-{:06} once had {}",
        manifest.display(),
        found.1,
        noted.0,
        noted.1
    )))
}

/// Where the first record begins that is not whole. It has the form of a log.
fn damage(manifest: &[u8]) -> Option<u64> {
    let mut at = 0;
    for block in manifest.chunks(BLOCK_BYTES) {
        let mut rest = block;
        // Less than a header is left empty.
        while rest.len() >= HEADER_BYTES {
            match record(rest) {
                Some((_, behind)) => rest = behind,
                None => return Some(at + (block.len() - rest.len()) as u64),
            }
        }
        at += block.len() as u64;
    }
    None
}

fn state(path: &Path) -> Option<(u64, u64)> {
    let manifest = current(path)?;
    let number = number_of(manifest.file_name()?.to_str()?)?;
    Some((number, fs::metadata(manifest).ok()?.len()))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("MANIFEST-")?.parse().ok()
}
