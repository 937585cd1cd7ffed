//! Checkpoints: whether one is being made, and what came of the last. Who makes them is the server.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use tokio::sync::{Notify, watch};

use super::clients::lock;
use super::fail::Fail;

/// What a client is told who asks for a second one.
const IN_PROGRESS: Fail = Fail::text("ERR Background save already in progress");

/// How a save ended: with nothing to say, or why it failed.
pub type SaveOutcome = Result<(), String>;

/// See the module.
#[derive(Debug)]
pub struct Saves {
    state: Mutex<State>,
    asked: Notify,
    ended: watch::Sender<SaveOutcome>,
}

#[derive(Debug)]
struct State {
    running: Option<Running>,
    /// Changes of keys that the last one has.
    changes: u64,
    /// When the last one succeeded, or else when the server started, in seconds since 1970.
    last_time: u64,
    /// How long the last one took, in seconds.
    last_secs: Option<u64>,
    last_ok: bool,
    made: u64,
}

#[derive(Debug)]
struct Running {
    begun: Instant,
    /// Changes of keys before it began.
    changes: u64,
    /// What is being written, once it is known.
    place: Option<PathBuf>,
}

/// What `INFO` says of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveFigures {
    /// Seconds since the one began that is being made.
    pub current_secs: Option<u64>,
    /// Bytes that it has written so far.
    pub current_bytes: Option<u64>,
    /// When the last one succeeded, or else when the server started, in seconds since 1970.
    pub last_time: u64,
    /// Seconds that the last one took.
    pub last_secs: Option<u64>,
    /// Whether the last one succeeded.
    pub last_ok: bool,
    /// How many have been made.
    pub made: u64,
    /// Changes of keys, of those since the server started, that the last one has.
    pub changes: u64,
}

impl Saves {
    /// None, in a server that starts at `now`, in seconds since 1970.
    pub fn new(now: u64) -> Self {
        let state = State {
            running: None,
            changes: 0,
            last_time: now,
            last_secs: None,
            last_ok: true,
            made: 0,
        };
        Self { state: Mutex::new(state), asked: Notify::new(), ended: watch::Sender::new(Ok(())) }
    }

    /// Asks for one. The receiver changes when it has ended.
    ///
    /// # Errors
    /// A reply if one is being made already.
    pub(super) fn ask(&self) -> Result<watch::Receiver<SaveOutcome>, Fail> {
        let mut state = lock(&self.state);
        if state.running.is_some() {
            return Err(IN_PROGRESS);
        }
        state.running = Some(Running { begun: Instant::now(), changes: 0, place: None });
        let ended = self.ended.subscribe();
        self.asked.notify_one();
        Ok(ended)
    }

    /// Waits until one is asked for. For the one who makes them. Dropping the future loses nothing.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Says where the one that is being made is written, and how many changes of keys it has at least.
    pub fn set_place(&self, place: PathBuf, changes: u64) {
        if let Some(running) = &mut lock(&self.state).running {
            running.place = Some(place);
            running.changes = changes;
        }
    }

    /// Ends the one that is being made, at `now`, in seconds since 1970.
    pub fn end(&self, outcome: SaveOutcome, now: u64) {
        let mut state = lock(&self.state);
        let running = state.running.take();
        state.last_secs = running.as_ref().map(|running| running.begun.elapsed().as_secs());
        state.last_ok = outcome.is_ok();
        if outcome.is_ok() {
            state.changes = running.map_or(0, |running| running.changes);
            state.last_time = now;
            state.made += 1;
        }
        drop(state);
        // What came of the one before.
        let _ = self.ended.send_replace(outcome);
    }

    /// Whether one is being made.
    pub fn is_running(&self) -> bool {
        lock(&self.state).running.is_some()
    }

    /// What there is to say. Looks at the disk if one is being made, so not for an async thread.
    pub fn figures(&self) -> SaveFigures {
        let state = lock(&self.state);
        let running = state.running.as_ref();
        let place = running.and_then(|running| running.place.clone());
        let figures = SaveFigures {
            current_secs: running.map(|running| running.begun.elapsed().as_secs()),
            current_bytes: None,
            last_time: state.last_time,
            last_secs: state.last_secs,
            last_ok: state.last_ok,
            made: state.made,
            changes: state.changes,
        };
        drop(state);
        SaveFigures { current_bytes: place.map(|place| bytes_below(&place)), ..figures }
    }

    /// When the last one succeeded, or else when the server started, in seconds since 1970.
    pub(super) fn last_time(&self) -> u64 {
        lock(&self.state).last_time
    }
}

/// Files come and go while it is written.
fn bytes_below(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_is_made_at_a_time_and_what_came_of_it_is_known() {
        let saves = Saves::new(100);
        let begun = std::time::Instant::now();
        // The disk and the machine decide how long it takes.
        let is_so_far = |secs: Option<u64>| secs.is_some_and(|it| it <= begun.elapsed().as_secs());
        assert!(!saves.is_running());
        let mut ended = saves.ask().unwrap();
        assert!(saves.ask().is_err());
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::write(dir.path().join("data").join("file"), "12345").unwrap();
        saves.set_place(dir.path().into(), 7);
        let figures = saves.figures();
        assert!(is_so_far(figures.current_secs), "{figures:?}");
        assert_eq!(figures.current_bytes, Some(5));
        assert!(!ended.has_changed().unwrap());
        saves.end(Err("no room".into()), 200);
        assert!(ended.has_changed().unwrap());
        assert_eq!(*ended.borrow_and_update(), Err("no room".into()));
        let figures = saves.figures();
        assert!(is_so_far(figures.last_secs), "{figures:?}");
        let expected = SaveFigures {
            current_secs: None,
            current_bytes: None,
            last_time: 100,
            last_secs: figures.last_secs,
            last_ok: false,
            made: 0,
            changes: 0,
        };
        assert_eq!(figures, expected);
        let ended = saves.ask().unwrap();
        assert!(!ended.has_changed().unwrap());
        saves.set_place(dir.path().into(), 9);
        saves.end(Ok(()), 300);
        assert_eq!(*ended.borrow(), Ok(()));
        let figures = saves.figures();
        assert_eq!((figures.last_time, figures.last_ok, figures.made), (300, true, 1));
        assert_eq!(figures.changes, 9);
    }

    #[tokio::test]
    async fn who_makes_them_hears_of_one_that_was_asked_for_before() {
        let saves = Saves::new(0);
        let _ended = saves.ask().unwrap();
        saves.asked().await;
    }
}
