//! The synchronization primitives that the lanes use, in one place, so that the model checker in
//! `storage/model` can put its own under the same code.

pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

/// Locks `mutex`; a panic of another holder left nothing half done, since no user code and no
/// engine call ever runs under one of our locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Waits on `condvar`.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner)
}
