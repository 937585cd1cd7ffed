//! What the threads of a store meet at: locks, atomics, threads and the clock, in one place, so that
//! the model checker in `storage/model` can put its own under the same code.
//!
//! Whatever is held, waited for or raced for while another thread may come between is from here;
//! counters and locks that nothing is called under may be `std`'s.

pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::time::Instant;
pub(crate) use std::{thread, thread_local};

use std::time::Duration;

/// Marks a place where another thread may come between, though nothing else there says so: the model
/// checker's own lets it.
#[inline]
pub(crate) fn step() {}

/// `job`, which the model checker's own may lose instead, as a thread may that breaks off.
#[inline]
pub(crate) fn or_lost<T>(job: T) -> Option<T> {
    Some(job)
}

/// Locks `mutex`; a panic of another holder left nothing half done, since no user code and no
/// engine call ever runs under one of our locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits on `condvar`.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits on `condvar`, but not much longer than `timeout`.
pub(crate) fn wait_timeout<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    timeout: Duration,
) -> MutexGuard<'a, T> {
    condvar.wait_timeout(guard, timeout).unwrap_or_else(std::sync::PoisonError::into_inner).0
}
