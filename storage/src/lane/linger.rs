//! Whether a drain that has run out of work stays for a moment, since more is likely to come.
//!
//! Waking a thread costs more than many an operation: 5 us where it goes fast, 25 us on a virtual machine
//! whose other CPU sleeps. A caller that has just been answered often calls again at once, and then
//! finds the drain still there. Whether it pays is learned from what came: nobody lingers where
//! operations are far apart, nor after work so long that a wake-up is nothing beside it.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crate::sync::{Instant, thread};

/// How long a drain stays at the most: about what the two wake-ups that it saves cost.
const STAY_MAX: Duration = Duration::from_micros(50);

/// A batch that took longer than this is not followed by a stay.
const BATCH_MAX: Duration = Duration::from_micros(250);

/// A stay that something came of earns this much, at most [`CREDIT_MAX`]; one for nothing costs
/// [`CREDIT_LOST`]. There is none without credit.
const CREDIT_WON: u8 = 1;
const CREDIT_LOST: u8 = 2;
const CREDIT_MAX: u8 = 8;

/// What the drains of one lane have learned. Its figures are hints: no order of theirs matters.
pub(crate) struct Linger {
    begun: Instant,
    /// When the last drain ended, in microseconds since `begun`.
    ended_us: AtomicU64,
    credit: AtomicU8,
    staying: AtomicUsize,
}

impl Linger {
    pub(crate) fn new() -> Self {
        let credit = AtomicU8::new(0);
        let staying = AtomicUsize::new(0);
        Self { begun: Instant::now(), ended_us: AtomicU64::new(u64::MAX), credit, staying }
    }

    /// A drain begins: had the last one stayed, it would have been there.
    pub(crate) fn drain_begins(&self) {
        let ended_us = self.ended_us.load(Ordering::Relaxed);
        if self.now_us().saturating_sub(ended_us) <= micros(STAY_MAX) && ended_us != u64::MAX {
            self.win();
        }
    }

    /// Stays while there is nothing to take, if that is likely to pay; the batch before took since
    /// `batch_begun`.
    pub(crate) fn stay(&self, batch_begun: Instant, is_empty: impl Fn() -> bool) {
        let stay_begun = Instant::now();
        let is_quick = stay_begun.saturating_duration_since(batch_begun) <= BATCH_MAX;
        if is_quick && self.credit.load(Ordering::Relaxed) > 0 && is_empty() {
            self.staying.fetch_add(1, Ordering::SeqCst);
            let has_paid = self.wait(stay_begun, is_empty);
            self.staying.fetch_sub(1, Ordering::SeqCst);
            if has_paid {
                return self.win();
            }
            let credit = self.credit.load(Ordering::Relaxed);
            self.credit.store(credit.saturating_sub(CREDIT_LOST), Ordering::Relaxed);
        }
        self.ended_us.store(self.now_us(), Ordering::Relaxed);
    }

    /// Whether some drain stays, which will take whatever comes.
    pub(crate) fn is_staying(&self) -> bool {
        self.staying.load(Ordering::SeqCst) > 0
    }

    fn wait(&self, stay_begun: Instant, is_empty: impl Fn() -> bool) -> bool {
        loop {
            // To others that are ready to run the CPU is worth more.
            thread::yield_now();
            // They may keep it for long: what came meanwhile would have been better off with a
            // thread that was woken for it.
            let is_over = stay_begun.elapsed() >= STAY_MAX;
            if is_over || !is_empty() {
                return !is_over;
            }
        }
    }

    fn win(&self) {
        let credit = self.credit.load(Ordering::Relaxed);
        if credit < CREDIT_MAX {
            self.credit.store(credit + CREDIT_WON, Ordering::Relaxed);
        }
    }

    fn now_us(&self) -> u64 {
        micros(self.begun.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
