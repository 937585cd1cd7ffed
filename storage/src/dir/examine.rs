//! Taking a directory as it is, to look at it: nothing in it is made or mended, but for the lock file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::{DATA, FORMAT, LOCK, MARKER, Marker, OpenDir, reserve};
use crate::disk::at;
use crate::engine::EngineKind;
use crate::error::{Error, Result};

/// The engines that keep data, with what they keep in the data folder.
const KEPT: [(EngineKind, &str); 2] =
    [(EngineKind::Redb, "data.redb"), (EngineKind::Rocksdb, "data.rocksdb")];

/// A directory that is held open to be looked at.
pub(crate) struct Examined {
    pub(crate) dir: OpenDir,
    /// Whose data it is, by its marker or else by what is there.
    pub(crate) engine: EngineKind,
    /// What is wrong with the marker.
    pub(crate) marker_damage: Option<String>,
}

impl Examined {
    /// Locks `dir`, as an open would, and reads its marker.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is not there or is something else's, [`Error::WrongEngine`] if its
    /// engine or format is not known here, [`Error::Locked`] if it is open.
    pub(crate) fn acquire(dir: &Path) -> Result<Self> {
        let invalid = |why: &str| Error::InvalidArgument(format!("{} {why}", dir.display()));
        match fs::metadata(dir) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(invalid("is not a directory")),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(invalid("is not there"));
            }
            Err(error) => return Err(at(dir, &error)),
        }
        let path = dir.canonicalize().map_err(|error| at(dir, &error))?;
        let kept = KEPT.iter().find(|(_, name)| path.join(DATA).join(name).exists());
        let kept = kept.map(|(kind, _)| *kind);
        let (engine, marker_damage) = match read_marker(&path, dir)? {
            Found::Of(engine) => (engine, None),
            Found::None => {
                let why = format!("is not a Pontoon directory: it has no {MARKER} file");
                (kept.ok_or_else(|| invalid(&why))?, Some("it is missing".to_owned()))
            }
            Found::Senseless(found) => {
                let why = format!("is not a Pontoon directory: its {MARKER} file says \"{found}\"");
                (
                    kept.ok_or_else(|| invalid(&why))?,
                    Some(format!("it makes no sense: \"{found}\"")),
                )
            }
        };
        reserve(&path)?;
        let mut open = OpenDir { path, lock: None, ready: true };
        open.lock = lock_if_writable(&open.path.join(LOCK), dir)?;
        Ok(Self { dir: open, engine, marker_damage })
    }
}

/// Without a lock file in a directory that cannot be written there is nothing to lock, and nobody else
/// who could have it open.
fn lock_if_writable(path: &Path, shown: &Path) -> Result<Option<File>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            OpenOptions::new().create(true).truncate(false).write(true).open(path)
        }
        opened => opened,
    };
    let file = match file {
        Ok(file) => file,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
            ) && !path.exists() =>
        {
            return Ok(None);
        }
        Err(error) => return Err(at(path, &error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { dir: shown.into() }),
        Err(TryLockError::Error(error)) => Err(at(path, &error)),
    }
}

enum Found {
    Of(EngineKind),
    None,
    Senseless(String),
}

/// # Errors
/// [`Error::WrongEngine`] for a marker that makes sense and is not of an engine or a format known here.
fn read_marker(path: &Path, shown: &Path) -> Result<Found> {
    let place = path.join(MARKER);
    let bytes = match fs::read(&place) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::None),
        Err(error) => return Err(at(&place, &error)),
    };
    let Some(marker) = Marker::parse(&bytes) else {
        return Ok(Found::Senseless(format!("{:.100}", bytes.escape_ascii())));
    };
    let wrong =
        |found: String, asked: String| Err(Error::WrongEngine { dir: shown.into(), found, asked });
    if marker.format != FORMAT {
        return wrong(format!("format {:?}", marker.format), format!("format {FORMAT:?}"));
    }
    match KEPT.iter().find(|(kind, _)| kind.name() == marker.engine) {
        Some((kind, _)) => Ok(Found::Of(*kind)),
        None => wrong(marker.engine.into(), "redb or rocksdb".into()),
    }
}
