//! RocksDB's errors as ours.

use std::fs;
use std::path::{Path, PathBuf};

use ::rocksdb::{Error as RocksError, ErrorKind};

use super::manifest;
use crate::error::Error;

/// For everything after the opening.
pub(super) fn failed(error: RocksError) -> Error {
    match error.kind() {
        ErrorKind::Corruption => Error::corrupted(error),
        _ => Error::engine(error),
    }
}

/// What is read when a database opens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The manifest alone.
    Manifest,
    /// After that, the tables' ends and the log.
    Data,
}

/// For the opening of the database in the store's data folder `dir`, whose files are in `path`.
pub(super) fn open_failed(error: RocksError, dir: &Path, path: &Path, step: Step) -> Error {
    match error.kind() {
        ErrorKind::IOError if is_lock(error.as_ref()) => Error::Locked { dir: dir.to_owned() },
        // Files of a newer version.
        ErrorKind::NotSupported => Error::corrupted(error),
        // What the manifest names and is not there has not gone by itself.
        ErrorKind::IOError if is_missing(&error) => Error::corrupted(error),
        ErrorKind::Corruption => {
            let file = damaged_file(error.as_ref(), path, step);
            let file = file.unwrap_or_else(|| suspect(error.as_ref(), path, step));
            Error::corrupted(format!("{}: {error}", file.display()))
        }
        _ => failed(error),
    }
}

pub(super) fn is_missing(error: &RocksError) -> bool {
    error.kind() == ErrorKind::IOError && error.as_ref().contains("No such file or directory")
}

/// Where damage must be that RocksDB gives no file for: it names tables, but neither the manifest nor the
/// log. The directory itself where there are several logs, and for a table's damaged properties, of which
/// RocksDB says the manifest's name alone.
pub(super) fn suspect(message: &str, path: &Path, step: Step) -> PathBuf {
    if step == Step::Manifest {
        let manifest = manifest::current(path).filter(|manifest| manifest.is_file());
        return manifest.unwrap_or_else(|| path.join("CURRENT"));
    }
    if message.contains("MANIFEST-") {
        return path.to_owned();
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let logs: Vec<_> = entries.filter(is_log).collect();
    match <[PathBuf; 1]>::try_from(logs) {
        Ok([log]) => log,
        Err(_) => path.to_owned(),
    }
}

/// The two ways in which RocksDB says that the directory is in use, by this process or by another.
/// It has no kind of its own for them.
fn is_lock(message: &str) -> bool {
    message.contains("lock hold by current process") || message.contains("While lock file")
}

/// The file below `dir` that an error's message names. RocksDB names a table in it by its path or, when
/// it opens, by its name alone. For a table's damaged properties it names the manifest, which has been
/// read by then and is sound.
pub(super) fn damaged_file(message: &str, dir: &Path, step: Step) -> Option<PathBuf> {
    let words = message
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ':' | '(' | ')'));
    let mut names =
        words.filter_map(|word| Path::new(word.trim_end_matches('.')).file_name()?.to_str());
    let name = names.find(|name| {
        is_file_of_rocksdb(name) && (step == Step::Manifest || !name.starts_with("MANIFEST"))
    })?;
    Some(dir.join(name))
}

fn is_file_of_rocksdb(name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match name.split_once('.') {
        Some((number, "sst" | "log" | "blob")) => is_number(number),
        Some(_) => false,
        None => {
            matches!(name, "CURRENT" | "IDENTITY")
                || name.strip_prefix("MANIFEST-").is_some_and(is_number)
        }
    }
}
