//! What `storage/src/sync.rs` provides, with the scheduler's own under the same names, and a clock
//! that moves when it is looked at.

pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use shuttle::{thread, thread_local};

use std::cell::Cell;
use std::ops::Add;
use std::sync::atomic::Ordering;
use std::time::Duration;

use shuttle::rand::{Rng, thread_rng};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Wakes up by itself, since nothing else moves the clock, with some of the time gone.
pub(crate) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    let woken = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !woken.load(Ordering::SeqCst) {
                condvar.notify_all();
                thread::yield_now();
            }
        });
        let guard = wait(condvar, guard);
        woken.store(true, Ordering::SeqCst);
        advance(timeout.mul_f64(thread_rng().gen_range(0.1..=1.0)));
        guard
    })
}

/// A place where another thread may come between.
pub(crate) fn step() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// `job`, unless a fault comes in between.
///
/// # Panics
/// As a fault.
pub(crate) fn or_lost<T>(job: T) -> Option<T> {
    let faults = crate::threads::faults();
    if once_in(faults) {
        drop(job);
        std::panic::resume_unwind(Box::new("a thread broke off"));
    }
    (!once_in(faults)).then_some(job)
}

/// Whether to do what happens once in `n` times.
pub(crate) fn once_in(n: u32) -> bool {
    n > 0 && thread_rng().gen_ratio(1, n)
}

std::thread_local! {
    /// One for all threads of the model, which are one thread of the system. Never set back.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn advance(by: Duration) {
    NOW.set(NOW.get() + by);
}

/// `std::time::Instant`, on the model's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    /// Now, and sometimes a good while later than the last time.
    pub(crate) fn now() -> Self {
        let passed = [0, 1, 40, 1_000, 20_000];
        let pick = thread_rng().gen_range(0..passed.len());
        advance(Duration::from_micros(passed.get(pick).copied().unwrap_or_default()));
        Self(NOW.get())
    }

    pub(crate) fn elapsed(self) -> Duration {
        Self::now().saturating_duration_since(self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn checked_add(self, by: Duration) -> Option<Self> {
        self.0.checked_add(by).map(Self)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0 + by)
    }
}
