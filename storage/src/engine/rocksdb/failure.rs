//! RocksDB's errors as ours.

use std::path::Path;

use ::rocksdb::{Error as RocksError, ErrorKind};

use crate::error::Error;

/// For everything after the opening.
pub(super) fn failed(error: RocksError) -> Error {
    match error.kind() {
        ErrorKind::Corruption => Error::corrupted(error),
        _ => Error::engine(error),
    }
}

/// For the opening of the database in `dir`.
pub(super) fn open_failed(error: RocksError, dir: &Path) -> Error {
    match error.kind() {
        ErrorKind::IOError if is_lock(error.as_ref()) => Error::Locked { dir: dir.to_owned() },
        // Files of a newer version.
        ErrorKind::NotSupported => Error::corrupted(error),
        _ => failed(error),
    }
}

/// The two ways in which RocksDB says that the directory is in use, by this process or by another.
/// It has no kind of its own for them.
fn is_lock(message: &str) -> bool {
    message.contains("lock hold by current process") || message.contains("While lock file")
}
