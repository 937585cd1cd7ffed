//! The mode `blocking`: tokio's `spawn_blocking`, which works on both flavors.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{BridgeMode, Job, LaneKind};
use crate::error::{Error, Result};
use crate::sync::{Mutex, lock};

pub(super) struct Blocking {
    runtime: Handle,
}

impl Blocking {
    pub(super) fn new(runtime: Option<Handle>) -> Result<Self> {
        let runtime = match runtime {
            Some(handle) => handle,
            None => Handle::try_current().map_err(|_| Error::NoRuntime)?,
        };
        Ok(Self { runtime })
    }
}

impl BridgeMode for Blocking {
    /// A runtime that is shut down drops the job unrun.
    #[allow(clippy::disallowed_methods)] // the bridge is where blocking tasks are started
    fn submit(&self, _: LaneKind, job: Job) {
        revocable(job, |job| drop(self.runtime.spawn_blocking(job)));
    }
}

/// Hands `job` to `spawn`. If that panics, the job is dropped unrun: tokio, when it cannot start a
/// thread, panics with the job in its queue, where it may stay for good.
fn revocable(job: Job, spawn: impl FnOnce(Job)) {
    let slot = Arc::new(Mutex::new(Some(job)));
    let taken = Arc::clone(&slot);
    let spawned = catch_unwind(AssertUnwindSafe(|| {
        spawn(Box::new(move || {
            let job = lock(&taken).take();
            if let Some(job) = job {
                job();
            }
        }));
    }));
    if let Err(panic) = spawned {
        let revoked = lock(&slot).take();
        drop(revoked);
        resume_unwind(panic);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Dropped(Arc<AtomicBool>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_job_whose_spawn_panics_with_it_in_a_queue_is_dropped_unrun() {
        let (ran, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let guard = Dropped(Arc::clone(&dropped));
        let runs = Arc::clone(&ran);
        let mut queue = Vec::new();
        let submit = || {
            let job: Job = Box::new(move || {
                let _guard = guard;
                runs.store(true, Ordering::SeqCst);
            });
            revocable(job, |job| {
                queue.push(job);
                panic!("no thread could be started");
            });
        };
        assert!(catch_unwind(AssertUnwindSafe(submit)).is_err());
        assert!(dropped.load(Ordering::SeqCst));
        queue.pop().unwrap()();
        assert!(!ran.load(Ordering::SeqCst));
    }
}
