//! Two numbers in a small file beside RocksDB's directory, where RocksDB does not clean up. They are
//! written twice over, so that a note that was torn or damaged is told from what it speaks of.

use std::fs;
use std::path::Path;

/// Writes `number` and `len` to the note called `name` in `dir`. Without a note less damage is found, and
/// that is all.
pub(super) fn write(dir: &Path, name: &str, (number, len): (u64, u64)) {
    let line = format!("{number} {len}\n");
    if let Err(error) = fs::write(dir.join(name), line.repeat(2)) {
        tracing::warn!(%error, name, "a note could not be written");
    }
}

/// What the note called `name` in `dir` says, if it is there and whole.
pub(super) fn read(dir: &Path, name: &str) -> Option<(u64, u64)> {
    let text = fs::read_to_string(dir.join(name)).ok()?;
    let (once, again) = text.split_at_checked(text.len() / 2)?;
    let (number, len) = once.strip_suffix('\n')?.split_once(' ')?;
    let noted = (number.parse().ok()?, len.parse().ok()?);
    (once == again).then_some(noted)
}
