//! A store's directory: its lock, its marker file, and where the engine's data is.
//!
//! ```text
//! DIR/PONTOON        the marker: format, engine, and whether there has been data
//! DIR/pontoon.lock   locked while a store has the directory open
//! DIR/data/          the engine's own
//! ```

use std::collections::HashMap;
use std::fs::{self, DirEntry, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use once_cell::sync::Lazy;

use crate::disk::{at, create_dirs, sync_dir, sync_parent, sync_parent_if_readable, sync_tree};
use crate::error::{Error, Result};
use crate::sync::{lock, wait};

mod examine;

pub(crate) use examine::Examined;

const MARKER: &str = "PONTOON";
const LOCK: &str = "pontoon.lock";
const DATA: &str = "data";

/// The marker while it is written: what a first opening leaves that was cut off there.
const NEW_MARKER: &str = "PONTOON.new";

/// What `mkfs` puts into the root of a file system, which a store's directory may be.
const LOST_AND_FOUND: &str = "lost+found";

/// The marker's first line.
const TITLE: &str = "pontoon-storage";

/// The marker's last line once the engine has made its files: they are never made again.
const READY: &str = "data ready";

/// The layout of the directory; raised when an older version could not open what this one writes.
const FORMAT: &str = "2";

/// The directories in use in this process.
static IN_USE: Lazy<(Mutex<HashMap<PathBuf, Use>>, Condvar)> = Lazy::new(Default::default);

#[derive(Clone, Copy, PartialEq)]
enum Use {
    /// By an opening that may fail, or that nobody waits for any more.
    Opening,
    /// By a store that somebody holds.
    Open,
    Closing,
}

/// A directory held open. Dropping it gives it up.
pub(crate) struct OpenDir {
    path: PathBuf,
    lock: Option<File>,
    ready: bool,
}

impl OpenDir {
    /// Creates `dir` if need be, locks it, and checks or writes its marker. Blocks while another
    /// store of this process is opening or closing it. Until [`set_open`](OpenDir::set_open) others
    /// wait for this one in the same way.
    pub(crate) fn acquire(dir: &Path, engine: &str) -> Result<Self> {
        create_dirs(dir)?;
        let path = dir.canonicalize().map_err(|error| at(dir, &error))?;
        reserve(&path)?;
        let mut open = Self { path, lock: None, ready: false };
        // Before there is a lock file, as a directory of something else is left as it was.
        refuse_foreign(&open.path, dir)?;
        let lock_path = open.path.join(LOCK);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let file = file.map_err(|error| at(&lock_path, &error))?;
        match file.try_lock() {
            Ok(()) => open.lock = Some(file),
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { dir: dir.into() }),
            Err(TryLockError::Error(error)) => return Err(at(&lock_path, &error)),
        }
        if has_marker(&open.path)? {
            open.ready = check_marker(&open.path, dir, engine)?;
            check_data(&open.data())?;
        } else {
            initialise(&open, dir, engine)?;
        }
        Ok(open)
    }

    /// Whether the engine has made its files: one that is missing then is damage, where before it is
    /// what a first opening leaves that was cut off.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Notes that `engine` has made its files.
    pub(crate) fn set_ready(&mut self, engine: &str) -> Result<()> {
        if !self.ready {
            write_marker(&self.path, engine, true)?;
            self.ready = true;
        }
        Ok(())
    }

    /// Where the marker is.
    pub(crate) fn marker(&self) -> PathBuf {
        self.path.join(MARKER)
    }

    /// Where the engine's data is.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// From now on, opening this directory in this process fails instead of waiting, unless it is
    /// closing already.
    pub(crate) fn set_open(&self) {
        self.change_use(|now| if now == Use::Opening { Use::Open } else { now });
    }

    /// From now on, opening this directory in this process waits instead of failing.
    pub(crate) fn set_closing(&self) {
        self.change_use(|_| Use::Closing);
    }

    fn change_use(&self, change: impl FnOnce(Use) -> Use) {
        let (in_use, changed) = &*IN_USE;
        if let Some(now) = lock(in_use).get_mut(&self.path) {
            *now = change(*now);
        }
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
        let (in_use, changed) = &*IN_USE;
        lock(in_use).remove(&self.path);
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
    if to.symlink_metadata().is_ok() {
        let why = format!("{} is already there; name a new path", to.display());
        return Err(Error::InvalidArgument(why));
    }
    write_beside(to, engine, write_data)
}

/// The same where `to` may be there, if it is an empty directory. What is missing above it is created.
pub(crate) fn write_copy_over_nothing(
    to: &Path,
    engine: &str,
    write_data: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    match fs::read_dir(to).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(parent) = to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                create_dirs(parent)?;
            }
        }
        Ok(false) => {
            let why = format!("{} is not empty, and nothing is overwritten", to.display());
            return Err(Error::InvalidArgument(why));
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(Error::InvalidArgument(format!("{} is not a directory", to.display())));
        }
        Err(error) => return Err(at(to, &error)),
    }
    write_beside(to, engine, write_data)
}

fn write_beside(
    to: &Path,
    engine: &str,
    write_data: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let invalid = |why: String| Err(Error::InvalidArgument(why));
    let Some(name) = to.file_name() else {
        return invalid(format!("{} names no directory to create", to.display()));
    };
    let mut partial_name = name.to_owned();
    partial_name.push(".partial");
    let partial = to.with_file_name(partial_name);
    match fs::create_dir(&partial) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return invalid(format!(
                "{} is in the way: another copy is being written there, or one was cut off; \
                 remove it if none is running",
                partial.display()
            ));
        }
        Err(error) => return Err(at(&partial, &error)),
    }
    // An engine that panics must not leave it in the way either.
    let mut removed = RemovedUnlessTaken(Some(partial.clone()));
    let data = partial.join(DATA);
    fs::create_dir(&data).map_err(|error| at(&data, &error))?;
    write_data(&data)?;
    write_marker(&partial, engine, true)?;
    sync_tree(&partial)?;
    fs::rename(&partial, to).map_err(|error| at(to, &error))?;
    removed.0.take();
    sync_parent(to)
}

/// A directory that is removed when this is dropped.
struct RemovedUnlessTaken(Option<PathBuf>);

impl Drop for RemovedUnlessTaken {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take() {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

/// Marks `path` as in use by an opening, waiting while another store is opening or closing it.
fn reserve(path: &Path) -> Result<()> {
    let (in_use, changed) = &*IN_USE;
    let mut dirs = lock(in_use);
    loop {
        match dirs.get(path) {
            None => break,
            Some(Use::Open) => return Err(Error::Locked { dir: path.into() }),
            Some(Use::Opening | Use::Closing) => dirs = wait(changed, dirs),
        }
    }
    dirs.insert(path.into(), Use::Opening);
    Ok(())
}

fn has_marker(path: &Path) -> Result<bool> {
    let marker = path.join(MARKER);
    marker.try_exists().map_err(|error| at(&marker, &error))
}

/// Refuses a directory that has no marker, but what no first opening leaves.
fn refuse_foreign(path: &Path, shown: &Path) -> Result<()> {
    if has_marker(path)? {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(|error| at(path, &error))? {
        let entry = entry.map_err(|error| at(path, &error))?;
        // Another process may just have written the marker, and then data.
        if !may_precede_marker(&entry) && !has_marker(path)? {
            return Err(Error::InvalidArgument(format!(
                "{} is not a Pontoon directory: it holds {:?} and no {MARKER} file",
                shown.display(),
                entry.file_name(),
            )));
        }
    }
    Ok(())
}

fn may_precede_marker(entry: &DirEntry) -> bool {
    let is_lost_and_found =
        |inside: std::io::Result<DirEntry>| inside.is_ok_and(|e| e.file_name() == LOST_AND_FOUND);
    let name = entry.file_name();
    name == LOCK
        || name == NEW_MARKER
        || name == LOST_AND_FOUND
        || name == DATA
            && fs::read_dir(entry.path()).is_ok_and(|mut data| data.all(is_lost_and_found))
}

/// Makes a directory ours. The marker comes last: it promises that the data folder is there, now and
/// after a power loss.
fn initialise(open: &OpenDir, shown: &Path, engine: &str) -> Result<()> {
    refuse_foreign(&open.path, shown)?;
    let data = open.data();
    match fs::create_dir(&data) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(at(&data, &error)),
        _ => {}
    }
    sync_dir(&open.path)?;
    write_marker(&open.path, engine, false)?;
    sync_parent_if_readable(&open.path)
}

/// Checks that the data folder is there: one made anew would hide that the data has gone.
fn check_data(data: &Path) -> Result<()> {
    match fs::metadata(data) {
        Ok(found) if found.is_dir() => Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(at(data, &error)),
        _ => Err(Error::corrupted(format!("the data folder {} is missing", data.display()))),
    }
}

/// Checks that the marker is of this layout and of `engine`; whether the engine has made its files.
fn check_marker(path: &Path, shown: &Path, engine: &str) -> Result<bool> {
    let place = path.join(MARKER);
    let bytes = fs::read(&place).map_err(|error| at(&place, &error))?;
    let Some(Marker { format, engine: found, ready }) = Marker::parse(&bytes) else {
        let found = bytes.escape_ascii();
        return Err(Error::corrupted(format!(
            "{} makes no sense: \"{found:.100}\"",
            place.display()
        )));
    };
    let wrong =
        |found: String, asked: String| Err(Error::WrongEngine { dir: shown.into(), found, asked });
    if format != FORMAT {
        return wrong(format!("format {format:?}"), format!("format {FORMAT:?}"));
    }
    if found != engine {
        return wrong(found.into(), engine.into());
    }
    Ok(ready)
}

/// What a marker says.
struct Marker<'m> {
    format: &'m str,
    engine: &'m str,
    ready: bool,
}

impl<'m> Marker<'m> {
    /// `None` for what no version has written.
    fn parse(bytes: &'m [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let mut lines = text.split('\n');
        let title = lines.next()?;
        let format = lines.next()?.strip_prefix("format ")?;
        if title != TITLE || format.is_empty() {
            return None;
        }
        let engine = lines.next()?.strip_prefix("engine ")?;
        let ready = match lines.next() {
            None => false,
            Some(READY) => true,
            // Another format may say more.
            Some(_) if format != FORMAT => false,
            Some(_) => return None,
        };
        Some(Self { format, engine, ready })
    }
}

/// Writes the marker whole or not at all.
fn write_marker(dir: &Path, engine: &str, ready: bool) -> Result<()> {
    let new = dir.join(NEW_MARKER);
    let ready = if ready { format!("{READY}\n") } else { String::new() };
    let write = || {
        let mut file = File::create(&new)?;
        write!(file, "{TITLE}\nformat {FORMAT}\nengine {engine}\n{ready}")?;
        file.sync_all()?;
        fs::rename(&new, dir.join(MARKER))
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
        open.set_open();
        let copy = open.lock.as_ref().unwrap().try_clone().unwrap();
        assert!(matches!(OpenDir::acquire(dir.path(), "memory"), Err(Error::Locked { .. })));
        drop(open);
        OpenDir::acquire(dir.path(), "memory").unwrap();
        drop(copy);
    }

    #[test]
    fn a_copy_that_panics_leaves_its_name_free() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("copy");
        let panicked = std::panic::catch_unwind(|| {
            write_copy(&to, "memory", |data| {
                fs::write(data.join("half"), "a").unwrap();
                panic!("on purpose");
            })
        });
        assert!(panicked.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        write_copy(&to, "memory", |_| Ok(())).unwrap();
    }
}
