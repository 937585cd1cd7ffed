//! A store's directory: its lock, its marker file, and where the engine's data is.
//!
//! ```text
//! DIR/PONTOON        the marker: format and engine
//! DIR/pontoon.lock   locked while a store has the directory open
//! DIR/data/          the engine's own
//! ```

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use once_cell::sync::Lazy;

use crate::disk::{at, sync_dir, sync_parent, sync_tree};
use crate::error::{Error, Result};
use crate::sync::{lock, wait};

const MARKER: &str = "PONTOON";
const LOCK: &str = "pontoon.lock";
const DATA: &str = "data";

/// The layout of the directory; raised when an older version could not open what this one writes.
const FORMAT: &str = "1";

/// The directories open in this process; `true` for those whose store is closing.
static OPEN: Lazy<(Mutex<HashMap<PathBuf, bool>>, Condvar)> = Lazy::new(Default::default);

/// A directory held open. Dropping it gives it up.
pub(crate) struct OpenDir {
    path: PathBuf,
    lock: Option<File>,
}

impl OpenDir {
    /// Creates `dir` if need be, locks it, and checks or writes its marker. Blocks while a store of
    /// this process that had it open is closing.
    pub(crate) fn acquire(dir: &Path, engine: &str) -> Result<Self> {
        fs::create_dir_all(dir).map_err(|error| at(dir, &error))?;
        let path = dir.canonicalize().map_err(|error| at(dir, &error))?;
        reserve(&path)?;
        let mut open = Self { path, lock: None };
        let lock_path = open.path.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let file = file.map_err(|error| at(&lock_path, &error))?;
        match file.try_lock() {
            Ok(()) => open.lock = Some(file),
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { dir: dir.into() }),
            Err(TryLockError::Error(error)) => return Err(at(&lock_path, &error)),
        }
        check_marker(&open.path, dir, engine)?;
        fs::create_dir_all(open.data()).map_err(|error| at(dir, &error))?;
        Ok(open)
    }

    /// Where the engine's data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// From now on, opening this directory in this process waits instead of failing.
    pub(crate) fn set_closing(&self) {
        let (open, changed) = &*OPEN;
        lock(open).insert(self.path.clone(), true);
        changed.notify_all();
    }
}

impl Drop for OpenDir {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            // Closing would not do: a process that another thread is just starting holds a copy of
            // the descriptor until it execs, and the lock with it.
            let _ = lock.unlock();
        }
        let (open, changed) = &*OPEN;
        lock(open).remove(&self.path);
        changed.notify_all();
    }
}

/// Writes a copy of a store to the new directory `to`: `write_data` fills its data folder, beside
/// it first; then all is fsynced and renamed into place. A copy that fails is removed.
pub(crate) fn write_copy(
    to: &Path,
    engine: &str,
    write_data: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let invalid = |why: String| Err(Error::InvalidArgument(why));
    let Some(name) = to.file_name() else {
        return invalid(format!("{} names no directory to create", to.display()));
    };
    if to.symlink_metadata().is_ok() {
        return invalid(format!("{} is already there; name a new path", to.display()));
    }
    let mut partial_name = name.to_owned();
    partial_name.push(".partial");
    let partial = to.with_file_name(partial_name);
    match fs::create_dir(&partial) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return invalid(format!(
                "{} is in the way: another checkpoint is writing it, or one was cut off; \
                 remove it if none is running",
                partial.display()
            ));
        }
        Err(error) => return Err(at(&partial, &error)),
    }
    let data = partial.join(DATA);
    let written = fs::create_dir(&data)
        .map_err(|error| at(&data, &error))
        .and_then(|()| write_data(&data))
        .and_then(|()| write_marker(&partial, engine))
        .and_then(|()| sync_tree(&partial))
        .and_then(|()| fs::rename(&partial, to).map_err(|error| at(to, &error)))
        .and_then(|()| sync_parent(to));
    if written.is_err() {
        let _ = fs::remove_dir_all(&partial);
    }
    written
}

/// Marks `path` as open in this process, waiting while its store is closing.
fn reserve(path: &Path) -> Result<()> {
    let (open, changed) = &*OPEN;
    let mut dirs = lock(open);
    loop {
        match dirs.get(path) {
            None => break,
            Some(false) => return Err(Error::Locked { dir: path.into() }),
            Some(true) => dirs = wait(changed, dirs),
        }
    }
    dirs.insert(path.into(), false);
    Ok(())
}

/// Checks the marker, or writes it into a directory that holds nothing else.
fn check_marker(path: &Path, shown: &Path, engine: &str) -> Result<()> {
    let marker = path.join(MARKER);
    let text = match fs::read_to_string(&marker) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let others = fs::read_dir(path).map_err(|error| at(path, &error))?;
            let foreign = others.flatten().find(|entry| entry.file_name() != LOCK);
            if let Some(foreign) = foreign {
                return Err(Error::InvalidArgument(format!(
                    "{} is not a Pontoon directory: it holds {:?} and no {MARKER} file",
                    shown.display(),
                    foreign.file_name(),
                )));
            }
            write_marker(path, engine)?;
            return sync_parent(path);
        }
        Err(error) => return Err(at(&marker, &error)),
    };
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    let (format, found) = (field("format "), field("engine "));
    let wrong =
        |found: String, asked: String| Err(Error::WrongEngine { dir: shown.into(), found, asked });
    if format != FORMAT {
        return wrong(format!("format {format:?}"), format!("format {FORMAT:?}"));
    }
    if found != engine {
        return wrong(found, engine.into());
    }
    Ok(())
}

/// Writes the marker whole or not at all.
fn write_marker(dir: &Path, engine: &str) -> Result<()> {
    let partial = dir.join("pontoon.lock.marker");
    let write = || {
        let mut file = File::create(&partial)?;
        write!(file, "pontoon-storage\nformat {FORMAT}\nengine {engine}\n")?;
        file.sync_all()?;
        fs::rename(&partial, dir.join(MARKER))
    };
    write().map_err(|error| at(dir, &error))?;
    sync_dir(dir)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_lock_file_in_a_forked_child_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let open = OpenDir::acquire(dir.path(), "memory").unwrap();
        let copy = open.lock.as_ref().unwrap().try_clone().unwrap();
        assert!(matches!(OpenDir::acquire(dir.path(), "memory"), Err(Error::Locked { .. })));
        drop(open);
        OpenDir::acquire(dir.path(), "memory").unwrap();
        drop(copy);
    }
}
