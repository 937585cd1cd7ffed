//! `CLIENT PAUSE`: commands of all clients wait for a while before they run.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// Which commands wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PauseMode {
    /// Those that change data.
    Writes = 1,
    /// All.
    All = 2,
}

/// Whether commands wait, and until when. Those that do learn of a change from a channel; the others pay
/// for a look at one number.
#[derive(Debug)]
pub struct Pause {
    /// 0: nothing waits.
    mode: AtomicU8,
    /// How many clients wait.
    waiting_len: AtomicUsize,
    now: watch::Sender<Option<Paused>>,
}

/// A pause.
#[derive(Debug, Clone, Copy)]
pub struct Paused {
    mode: PauseMode,
    until: Instant,
}

impl Default for Pause {
    fn default() -> Self {
        let (mode, waiting_len) = Default::default();
        Self { mode, waiting_len, now: watch::Sender::new(None) }
    }
}

impl Pause {
    /// Begins a pause, or makes the one there is longer, and stricter, if it is not already.
    pub fn begin(&self, mode: PauseMode, time: Duration) {
        let begun = Instant::now();
        self.now.send_modify(|now| {
            let until = begun.checked_add(time).unwrap_or(begun);
            let paused = now.filter(|paused| paused.until > begun);
            let (mode, until) = match paused {
                Some(paused) => (mode.max(paused.mode), until.max(paused.until)),
                None => (mode, until),
            };
            *now = Some(Paused { mode, until });
            self.mode.store(mode as u8, Ordering::Release);
        });
    }

    /// Ends the pause, if there is one.
    pub fn end(&self) {
        self.now.send_modify(|now| {
            *now = None;
            self.mode.store(0, Ordering::Release);
        });
    }

    /// Whether a pause may be on: cheap.
    pub fn may_be_on(&self) -> bool {
        self.mode.load(Ordering::Acquire) != 0
    }

    /// Until when a command waits; `None`: it does not.
    pub fn until(&self, writes: bool) -> Option<Instant> {
        if !self.may_be_on() {
            return None;
        }
        let now = Instant::now();
        let paused = *self.now.borrow();
        if let Some(paused) = paused.filter(|paused| paused.until > now) {
            return (writes || paused.mode == PauseMode::All).then_some(paused.until);
        }
        self.now.send_if_modified(|paused| {
            // Unless another has begun meanwhile.
            if paused.is_none_or(|paused| paused.until <= now) {
                *paused = None;
                self.mode.store(0, Ordering::Release);
            }
            false
        });
        None
    }

    /// What changes whenever a pause begins or ends other than by itself.
    pub fn changes(&self) -> watch::Receiver<Option<Paused>> {
        self.now.subscribe()
    }

    /// How many clients wait.
    pub fn waiting_len(&self) -> usize {
        self.waiting_len.load(Ordering::Relaxed)
    }

    /// Counts one that begins to wait; call [`leave`](Pause::leave) when it has.
    pub fn enter(&self) {
        self.waiting_len.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one that waits no longer.
    pub fn leave(&self) {
        self.waiting_len.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(1000);

    #[test]
    fn a_pause_becomes_longer_and_stricter_but_not_the_other_way() {
        let pause = Pause::default();
        assert_eq!((pause.may_be_on(), pause.until(true)), (false, None));
        pause.begin(PauseMode::Writes, LONG);
        let first = pause.until(true);
        assert!(first.is_some());
        assert_eq!(pause.until(false), None);
        pause.begin(PauseMode::All, Duration::from_secs(10));
        assert_eq!(pause.until(true), first);
        assert_eq!(pause.until(false), first);
        pause.begin(PauseMode::Writes, 2 * LONG);
        assert!(pause.until(false) > first);
        pause.end();
        assert_eq!((pause.may_be_on(), pause.until(true)), (false, None));
        pause.begin(PauseMode::Writes, LONG);
        assert_eq!(pause.until(false), None);
    }

    #[test]
    fn a_pause_ends_by_itself() {
        let pause = Pause::default();
        pause.begin(PauseMode::All, Duration::ZERO);
        assert!(pause.may_be_on());
        assert_eq!(pause.until(true), None);
        assert!(!pause.may_be_on());
        // One whose time is over leaves nothing to the next.
        pause.begin(PauseMode::All, Duration::ZERO);
        pause.begin(PauseMode::Writes, LONG);
        assert_eq!(pause.until(false), None);
        assert!(pause.until(true).is_some());
    }
}
