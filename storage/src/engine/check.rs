//! What a check of an engine's files finds, and where it puts it.

// A build without an engine that keeps anything has nothing to check.
#![cfg_attr(not(any(feature = "redb", feature = "rocksdb")), allow(dead_code))]

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::EngineKind;
use crate::error::{Error, Result};

/// Damages that a report names; the others are counted.
const DAMAGE_NAMED_MAX: usize = 100;

/// Entries between two reports of progress.
const PROGRESS_STEP_ENTRIES: u64 = 1024;

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Whose data it is.
    pub engine: EngineKind,
    /// What could be read, keyspace by keyspace, in byte order.
    pub keyspaces: Vec<CheckedKeyspace>,
    /// The files of the directory.
    pub files: Vec<CheckedFile>,
    /// The damage, in the order in which it was found: the first hundred.
    pub damage: Vec<Damage>,
    /// How much damage there is, with what is not in `damage`.
    pub damage_total: u64,
    /// What a crash leaves and an open would tidy up: no damage by itself, but damage to the very
    /// end of what was written looks the same.
    pub notes: Vec<String>,
}

impl CheckReport {
    /// Whether no damage was found.
    pub fn is_sound(&self) -> bool {
        self.damage_total == 0
    }
}

/// A keyspace as a check found it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedKeyspace {
    /// Its name.
    pub name: String,
    /// Entries that were read.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// A file of a directory that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub bytes: u64,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file it is in; the directory, where the engine does not say which.
    pub file: PathBuf,
    /// The keyspace in which it was met, if it was met in one.
    pub keyspace: Option<String>,
    /// What is wrong, in the engine's words.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.display())?;
        if let Some(keyspace) = &self.keyspace {
            write!(f, "keyspace {keyspace}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// How far a check has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckProgress {
    /// Entries read so far.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Says of a keyspace's name, a key and a value what is wrong with them.
pub(crate) type EntryCheck = dyn FnMut(&str, &[u8], &[u8]) -> Result<(), String> + Send;

/// Told how far a check has come.
pub(crate) type OnProgress = dyn FnMut(CheckProgress) + Send;

/// Where an engine puts what it finds: see [`EngineKind::check`].
pub(crate) struct Findings {
    pub(crate) report: CheckReport,
    pub(crate) on_entry: Option<Box<EntryCheck>>,
    pub(crate) on_progress: Option<Box<OnProgress>>,
    pub(crate) abandoned: Arc<AtomicBool>,
    read: CheckProgress,
}

impl Findings {
    pub(crate) fn new(engine: EngineKind) -> Self {
        Self {
            report: CheckReport {
                engine,
                keyspaces: Vec::new(),
                files: Vec::new(),
                damage: Vec::new(),
                damage_total: 0,
                notes: Vec::new(),
            },
            on_entry: None,
            on_progress: None,
            abandoned: Arc::default(),
            read: CheckProgress { entries: 0, bytes: 0 },
        }
    }

    /// From now on entries and damage are of the keyspace `name`.
    pub(crate) fn begin_keyspace(&mut self, name: &str) {
        self.report.keyspaces.push(CheckedKeyspace { name: name.to_owned(), ..Default::default() });
    }

    /// An entry of the keyspace begun last, which is in `file` as far as is known.
    ///
    /// # Errors
    /// [`Error::Closed`] when nobody waits for the check any more.
    pub(crate) fn entry(&mut self, file: &Path, key: &[u8], value: &[u8]) -> Result<()> {
        let bytes = key.len() as u64 + value.len() as u64;
        self.read.entries += 1;
        self.read.bytes += bytes;
        if self.read.entries.is_multiple_of(PROGRESS_STEP_ENTRIES) {
            self.progress()?;
        }
        let Some(keyspace) = self.report.keyspaces.last_mut() else { return Ok(()) };
        keyspace.entries += 1;
        keyspace.bytes += bytes;
        if let Some(check) = &mut self.on_entry
            && let Err(what) = check(&keyspace.name, key, value)
        {
            let keyspace = Some(keyspace.name.clone());
            self.damage(file.to_owned(), keyspace, what);
        }
        Ok(())
    }

    pub(crate) fn damage(
        &mut self,
        file: PathBuf,
        keyspace: Option<String>,
        what: impl fmt::Display,
    ) {
        self.report.damage_total += 1;
        if self.report.damage.len() < DAMAGE_NAMED_MAX {
            let what = what.to_string();
            self.report.damage.push(Damage { file, keyspace, what });
        }
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.report.notes.push(note.into());
    }

    /// Tells how far it has come.
    ///
    /// # Errors
    /// [`Error::Closed`] when nobody waits for the check any more.
    pub(crate) fn progress(&mut self) -> Result<()> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        if let Some(on_progress) = &mut self.on_progress {
            on_progress(self.read);
        }
        Ok(())
    }
}
