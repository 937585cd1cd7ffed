//! Making checkpoints when clients ask for them, one at a time, and removing the oldest.
//!
//! ```text
//! CHECKPOINTS/2026-11-28T05-51-17.123Z           what `pontoon restore` takes
//! CHECKPOINTS/2026-11-28T06-51-17.456Z.partial   one in the making
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use pontoon_storage::{Error, ReadLane};

use crate::command::unix_now;
use crate::service::{Service, Storage};

/// Checkpoints that are kept, the newest.
pub(crate) const KEPT: usize = 2;

/// What the name of one in the making ends with.
const PARTIAL: &str = ".partial";

/// How a name looks: digits where there are zeros.
const NAME_SHAPE: &str = "0000-00-00T00-00-00.000Z";

/// Makes checkpoints in `dir` whenever one is asked for. Dropping the future does not stop the one that
/// is being made.
pub(crate) async fn save_when_asked(service: Arc<Service>, dir: PathBuf) {
    let saves = &service.state.saves;
    loop {
        saves.asked().await;
        let storage = service.storage().await;
        let outcome = save(&service, &storage, &dir).await;
        drop(storage);
        match &outcome {
            Ok(to) => tracing::info!(to = %to.display(), "made a checkpoint"),
            Err(why) => tracing::error!(why, "a checkpoint failed"),
        }
        saves.end(outcome.map(|_| ()), unix_now());
    }
}

async fn save(service: &Service, storage: &Storage, dir: &Path) -> Result<PathBuf, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the checkpoint failed: {error}");
    let name = name_of(SystemTime::now());
    let to = dir.join(&name);
    let changes = service.state.stats.changes.load(Relaxed);
    service.state.saves.set_place(dir.join(format!("{name}{PARTIAL}")), changes);
    let place = dir.to_owned();
    in_background(storage, move || prepare(&place)).await.map_err(|error| failed(&error))?;
    storage.store.checkpoint(&to).await.map_err(|error| failed(&error))?;
    let place = dir.to_owned();
    if let Err(error) = in_background(storage, move || remove_old(&place, &name)).await {
        tracing::warn!(%error, dir = %dir.display(), "an old checkpoint cannot be removed");
    }
    Ok(to)
}

/// Runs what waits for the disk where nobody waits for it.
async fn in_background<T: Send + 'static>(
    storage: &Storage,
    f: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let background = storage.store.with_lane(ReadLane::Background);
    match background.view(move |_| Ok::<_, Error>(f())).await {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes the directory, and removes what a crash has left of one in the making: there is no other.
fn prepare(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir).map_err(|error| at(dir, &error))?;
    for entry in fs::read_dir(dir).map_err(|error| at(dir, &error))? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().and_then(|name| name.strip_suffix(PARTIAL)).is_some_and(is_name) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|error| at(&path, &error))?;
        }
    }
    Ok(())
}

/// Removes all checkpoints but the newest, of which `made` is one whatever the clock says.
fn remove_old(dir: &Path, made: &str) -> io::Result<()> {
    let mut others: Vec<String> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| is_name(name) && name != made)
        .collect();
    others.sort_unstable();
    let kept = others.len().saturating_sub(KEPT - 1);
    for name in others.into_iter().take(kept) {
        let path = dir.join(name);
        fs::remove_dir_all(&path).map_err(|error| at(&path, &error))?;
    }
    Ok(())
}

/// The time in UTC, without the colons, which not every file system takes.
fn name_of(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string().replace(':', "-")
}

/// Whether it is the name of a checkpoint, so that nothing else is ever removed.
fn is_name(name: &str) -> bool {
    name.len() == NAME_SHAPE.len()
        && name.bytes().zip(NAME_SHAPE.bytes()).all(|(found, shape)| match shape {
            b'0' => found.is_ascii_digit(),
            shape => found == shape,
        })
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn names_are_in_order_and_told_from_others() {
        let at = |millis| name_of(UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00-00-00.000Z");
        assert!(is_name(&at(0)) && is_name(&at(1_800_000_000_123)));
        assert!(at(999) < at(1000) && at(1_799_999_999_999) < at(1_800_000_000_000));
        for other in ["", "data", "1970-01-01T00:00:00.000Z", "1970-01-01T00-00-00.000Z.partial"] {
            assert!(!is_name(other), "{other}");
        }
    }

    #[test]
    fn the_newest_are_kept_and_what_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let names =
            ["2020", "2021", "2022", "2031"].map(|year| format!("{year}-01-01T00-00-00.000Z"));
        let others = ["backup", "2019-01-01"];
        for name in names.iter().map(String::as_str).chain(others) {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        // The clock has been set back since the last was made.
        remove_old(dir.path(), &names[2]).unwrap();
        let mut left: Vec<String> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort_unstable();
        assert_eq!(left, [others[1], &names[2], &names[3], others[0]]);
    }

    #[test]
    fn what_a_crash_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a").join("b");
        prepare(&place).unwrap();
        for name in ["2020-01-01T00-00-00.000Z.partial", "notes.partial"] {
            fs::create_dir(place.join(name)).unwrap();
        }
        prepare(&place).unwrap();
        assert!(!place.join("2020-01-01T00-00-00.000Z.partial").exists());
        assert!(place.join("notes.partial").exists());
    }
}
