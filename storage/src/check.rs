//! An offline check of a directory: every checksum and every entry, with nothing changed.

use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;

use crate::bridge;
use crate::dir::Examined;
use crate::disk::at;
use crate::engine::EngineKind;
use crate::engine::check::{
    CheckProgress, CheckReport, CheckedFile, EntryCheck, Findings, OnProgress,
};
use crate::error::{Error, Result};
use crate::lane::call::panic_message;

/// What to check, and who is told meanwhile.
///
/// ```no_run
/// # fn main() -> pontoon_storage::Result<()> {
/// # futures::executor::block_on(async {
/// use pontoon_storage::{CheckOptions, check};
///
/// let report = check(CheckOptions::new("data")).await?;
/// for damage in &report.damage {
///     eprintln!("{damage}");
/// }
/// # Ok(())
/// # })
/// # }
/// ```
pub struct CheckOptions {
    dir: PathBuf,
    engine: Option<EngineKind>,
    on_entry: Option<Box<EntryCheck>>,
    on_progress: Option<Box<OnProgress>>,
}

impl CheckOptions {
    /// The directory `dir`, of whichever engine it is.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), engine: None, on_entry: None, on_progress: None }
    }

    /// Refuses a directory of another engine with [`Error::WrongEngine`].
    pub fn engine(mut self, kind: EngineKind) -> Self {
        self.engine = Some(kind);
        self
    }

    /// Has `check` look at each entry too: its keyspace's name, key and value. What it says is wrong
    /// is reported as damage. It runs on the check's own thread, in byte order within a keyspace.
    pub fn on_entry(
        mut self,
        check: impl FnMut(&str, &[u8], &[u8]) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.on_entry = Some(Box::new(check));
        self
    }

    /// Tells `progress` now and then how far the check has come, on the check's own thread.
    pub fn on_progress(mut self, progress: impl FnMut(CheckProgress) + Send + 'static) -> Self {
        self.on_progress = Some(Box::new(progress));
        self
    }
}

impl fmt::Debug for CheckOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckOptions")
            .field("dir", &self.dir)
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// Checks a directory that no store has open: the marker file, every checksum that the engine keeps,
/// and every entry. It changes nothing; what a crash has left is looked at as an open would mend it, in
/// memory. It takes the time that reading all data takes, three times over on redb.
///
/// - redb: the checksum of each page that is in use, and the order of the keys.
/// - RocksDB: the manifest, the log, and the checksum of each block of each table, but for data blocks that
///   hold only what a deleted range covers. Where one table is damaged, those whose keys are between its own may not be
///   read whole, and of filters the first damaged one may be all that is named: check again once it is mended.
///
/// The lock is the one that [`Store::open`](crate::Store::open) takes. Dropping the future lets the
/// check end soon; the directory is locked until then.
///
/// # Errors
/// Why it could not look: [`Error::InvalidArgument`] if the directory is not there or not a store's,
/// [`Error::Locked`] if it is open, [`Error::WrongEngine`], [`Error::Unsupported`] if this build lacks
/// the engine, [`Error::Engine`] if it cannot be read. Damage is no error: see [`CheckReport::damage`].
pub async fn check(options: CheckOptions) -> Result<CheckReport> {
    let abandoned = Arc::new(AtomicBool::new(false));
    let _guard = AbandonedOnDrop(Arc::clone(&abandoned));
    let (reply, checked) = oneshot::channel();
    bridge::run_on_own_thread("pontoon-check", move || {
        let _ = reply.send(check_blocking(options, abandoned));
    })?;
    checked.await.map_err(|_| Error::Bridge("the thread of the check has gone".into()))?
}

struct AbandonedOnDrop(Arc<AtomicBool>);

impl Drop for AbandonedOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check_blocking(options: CheckOptions, abandoned: Arc<AtomicBool>) -> Result<CheckReport> {
    let CheckOptions { dir, engine: asked, on_entry, on_progress } = options;
    let Examined { dir: open, engine, marker_damage } = Examined::acquire(&dir)?;
    if let Some(asked) = asked.filter(|asked| *asked != engine) {
        let (found, asked) = (engine.name().into(), asked.name().into());
        return Err(Error::WrongEngine { dir, found, asked });
    }
    let mut findings = Findings::new(engine);
    (findings.on_entry, findings.on_progress) = (on_entry, on_progress);
    findings.abandoned = abandoned;
    if let Some(what) = marker_damage {
        findings.damage(open.marker(), None, what);
    }
    // Whoever opens it meanwhile is told so, and does not wait.
    open.set_open();
    let data = open.data();
    if data.is_dir() {
        list_files(&data, &mut findings.report.files)?;
        // An engine may take what it finds in a damaged file for what cannot be.
        let looked = catch_unwind(AssertUnwindSafe(|| engine.check(&data, &mut findings)));
        match looked {
            // What was found stands, though the rest could not be read.
            Ok(Err(error)) if findings.report.damage_total > 0 => {
                findings.damage(data, None, format!("the rest could not be read: {error}"));
            }
            Ok(looked) => looked?,
            Err(payload) => {
                let why = panic_message(payload.as_ref());
                findings.damage(data, None, format!("the engine panicked while reading it: {why}"));
            }
        }
    } else {
        findings.damage(data, None, "the data folder is missing");
    }
    findings.report.keyspaces.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(findings.report)
}

fn list_files(dir: &Path, files: &mut Vec<CheckedFile>) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|error| at(dir, &error))? {
        let entry = entry.map_err(|error| at(dir, &error))?;
        let path = entry.path();
        let found = entry.metadata().map_err(|error| at(&path, &error))?;
        if found.is_dir() {
            list_files(&path, files)?;
        } else {
            files.push(CheckedFile { path, bytes: found.len() });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(())
}
