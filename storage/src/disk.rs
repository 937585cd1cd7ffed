//! The file system's part in durability: a file survives a power loss once it is fsynced, and its
//! name once the directory that holds it is.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// Creates `dir` and what is missing above it, so that all of them survive a power loss, where the
/// directories above may be read.
pub(crate) fn create_dirs(dir: &Path) -> Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(dir).map_err(|error| at(dir, &error))?;
    missing.into_iter().rev().try_for_each(sync_parent_if_readable)
}

/// Makes the content of the file at `path` survive a power loss.
pub(crate) fn sync_file(path: &Path) -> Result<()> {
    // Windows flushes only what was opened for writing; elsewhere a file may be read-only.
    let file = fs::OpenOptions::new().read(true).write(cfg!(windows)).open(path);
    file.and_then(|file| file.sync_all()).map_err(|error| at(path, &error))
}

/// Makes the names in `dir` survive a power loss: a file that was fsynced is lost all the same if
/// the directory that names it was not. Only Unix lets a directory be fsynced.
pub(crate) fn sync_dir(dir: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| at(dir, &error))?;
    }
    Ok(())
}

/// Fsyncs every file and directory below `dir`, and `dir`.
pub(crate) fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|error| at(dir, &error))? {
        let path = entry.map_err(|error| at(dir, &error))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            sync_file(&path)?;
        }
    }
    sync_dir(dir)
}

/// Makes the name of `path` survive a power loss.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    }
}

/// The same where the directory above may be read, as fsyncing one takes opening it: it may be
/// another user's, who then keeps the name.
pub(crate) fn sync_parent_if_readable(path: &Path) -> Result<()> {
    match sync_parent(path) {
        Err(error) if kind(&error) == Some(ErrorKind::PermissionDenied) => Ok(()),
        synced => synced,
    }
}

/// The system's error, with the path it is about.
pub(crate) fn at(path: &Path, error: &std::io::Error) -> Error {
    Error::engine(std::io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn kind(error: &Error) -> Option<ErrorKind> {
    let Error::Engine(cause) = error else { return None };
    cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}
