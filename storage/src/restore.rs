//! Making a store of a checkpoint: a copy that shares nothing with it.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use crate::bridge;
use crate::dir::{Examined, write_copy_over_nothing};
use crate::disk::at;
use crate::engine::EngineKind;
use crate::error::{Error, Result};

/// What [`restore`] has copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// Whose data it is.
    pub engine: EngineKind,
    /// How many files.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Copies the store in the directory `from`, such as one that [`Store::checkpoint`](crate::Store::checkpoint)
/// has written, to the directory `to`, which must not be there or be empty. The copy is written beside `to`,
/// fsynced, and renamed into place, so that `to` is whole or as it was. `from` must not be open, and is
/// left as it is. Dropping the future does not stop it.
///
/// # Errors
/// [`Error::InvalidArgument`] if `from` is no store's, or `to` holds something; [`Error::Locked`] if
/// `from` is open; [`Error::WrongEngine`] if its engine or format is not known; [`Error::Corrupted`] if it is
/// damaged where that shows without reading all of it; [`Error::Engine`] if the system fails.
///
/// ```
/// # fn main() -> pontoon_storage::Result<()> {
/// # futures::executor::block_on(async {
/// # let dir = tempfile::tempdir()?;
/// use pontoon_storage::{EngineKind, Options, Store, restore};
///
/// for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
///     let path = |name: &str| dir.path().join(engine.name()).join(name);
///     let store = Store::open(Options::new(path("data")).engine(engine)).await?;
///     let users = store.keyspace("users")?;
///     store.put(&users, "17", "Ada").await?;
///     store.checkpoint(path("checkpoint")).await?;
///     store.close().await?;
///
///     restore(path("checkpoint"), path("restored")).await?;
///     let store = Store::open(Options::new(path("restored")).engine(engine)).await?;
///     assert!(store.contains(&store.keyspace("users")?, "17").await?);
///     store.close().await?;
/// }
/// # Ok(()) })
/// # }
/// ```
pub async fn restore(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Result<Restored> {
    let (from, to) = (from.into(), to.into());
    let (reply, restored) = oneshot::channel();
    bridge::run_on_own_thread("pontoon-restore", move || {
        let _ = reply.send(restore_blocking(&from, &to));
    })?;
    restored.await.map_err(|_| Error::Bridge("the thread of the restoring has gone".into()))?
}

fn restore_blocking(from: &Path, to: &Path) -> Result<Restored> {
    let Examined { dir: source, engine, marker_damage } = Examined::acquire(from)?;
    // Whoever opens it meanwhile is told so, and does not wait.
    source.set_open();
    if let Some(what) = marker_damage {
        return Err(Error::corrupted(format!("{}: {what}", source.marker().display())));
    }
    let data = source.data();
    if !data.is_dir() {
        return Err(Error::corrupted(format!("the data folder {} is missing", data.display())));
    }
    let mut restored = Restored { engine, files: 0, bytes: 0 };
    write_copy_over_nothing(to, engine.name(), |into| copy_tree(&data, into, &mut restored))?;
    Ok(restored)
}

/// Copies what is in `from` into the existing directory `into`.
fn copy_tree(from: &Path, into: &Path, restored: &mut Restored) -> Result<()> {
    for entry in fs::read_dir(from).map_err(|error| at(from, &error))? {
        let entry = entry.map_err(|error| at(from, &error))?;
        let (path, copy) = (entry.path(), into.join(entry.file_name()));
        if path.is_dir() {
            fs::create_dir(&copy).map_err(|error| at(&copy, &error))?;
            copy_tree(&path, &copy, restored)?;
        } else {
            // A copy, not a link: the checkpoint must stay what it is when the store goes on.
            restored.bytes += fs::copy(&path, &copy).map_err(|error| at(&path, &error))?;
            restored.files += 1;
        }
    }
    Ok(())
}
