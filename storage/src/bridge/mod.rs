//! The bridge: how a blocking job gets off the async thread.
//!
//! A mode implements one thing, [`BridgeMode::submit`]. It never sees keys, answers or permits:
//! those are the lanes' business, once for every mode. This folder is the only place that starts
//! threads or blocking tasks.
//!
//! To add a mode: a file here, and a row in [`start`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::options::{Bridge, Options};
use crate::sync::{RwLock, thread};

mod blocking;
mod pool;
mod ticker;

pub(crate) use ticker::{Deadline, OnInterval, Ticker};

/// Work that may block. Dropped unrun when it cannot be run any more.
pub(crate) type Job = Box<dyn FnOnce() + Send + 'static>;

/// Which lane a job drains: what a mode may use to keep lanes from each other's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneKind {
    Read,
    Write,
    Background,
}

impl LaneKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            LaneKind::Read => "read",
            LaneKind::Write => "write",
            LaneKind::Background => "background",
        }
    }

    pub(crate) fn queue_name(self) -> &'static str {
        match self {
            LaneKind::Read => "read queue",
            LaneKind::Write => "write queue",
            LaneKind::Background => "background queue",
        }
    }
}

/// One way to run blocking jobs.
pub(crate) trait BridgeMode: Send + Sync + 'static {
    /// Runs `job` on a thread that may block, soon; or drops it unrun, now or later. It may panic,
    /// having dropped the job.
    fn submit(&self, lane: LaneKind, job: Job);

    /// Whether a job waits because all threads for `lane` are busy.
    fn has_waiting(&self, _: LaneKind) -> bool {
        false
    }
}

/// Reads on a disk at once, unless options say otherwise: what it takes to keep a fast disk busy.
const READS_ON_DISK_MIN: usize = 16;

/// How many threads may read where options do not say it: they are only used while reads wait for a disk, and
/// what is bound by the CPU gets as many as there are CPUs.
fn read_threads_default() -> usize {
    num_cpus::get().saturating_mul(2).max(READS_ON_DISK_MIN)
}

/// A running mode, with what every mode has in common.
pub(crate) struct RunningBridge {
    mode: RwLock<Option<Box<dyn BridgeMode>>>,
    /// How many read drains are worth running at once.
    pub(crate) read_threads: usize,
}

impl RunningBridge {
    /// Hands `job` to the mode. tokio and threadpool panic when they cannot start a thread; then
    /// the job is dropped unrun, which its own drop guard notices.
    pub(crate) fn submit(&self, lane: LaneKind, job: Job) {
        let mode = self.mode.read().unwrap_or_else(PoisonError::into_inner);
        let Some(mode) = mode.as_ref() else { return };
        if catch_unwind(AssertUnwindSafe(|| mode.submit(lane, job))).is_err() {
            tracing::error!(lane = lane.name(), "the bridge could not start a thread");
        }
    }

    /// Whether a job waits because all threads for `lane` are busy.
    pub(crate) fn has_waiting(&self, lane: LaneKind) -> bool {
        let mode = self.mode.read().unwrap_or_else(PoisonError::into_inner);
        mode.as_ref().is_some_and(|mode| mode.has_waiting(lane))
    }

    /// Ends the mode: blocks until its own threads, idle by now, have ended. Jobs submitted from now
    /// on are dropped.
    pub(crate) fn shut_down(&self) {
        let mode = self.mode.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(mode);
    }
}

/// Starts the mode that `options` name.
pub(crate) fn start(options: &Options) -> Result<Arc<RunningBridge>> {
    let (mode, threads): (Box<dyn BridgeMode>, usize) = match options.bridge {
        Bridge::Blocking => {
            let mode = blocking::Blocking::new(options.runtime.clone())?;
            (Box::new(mode), read_threads_default())
        }
        Bridge::Pool => {
            let mode = pool::Pool::start(options.pool_threads)?;
            let threads = mode.read_threads();
            (Box::new(mode), threads)
        }
    };
    let drains_max = match options.bridge {
        Bridge::Blocking => usize::MAX,
        // A drain beyond the threads would only wait behind another.
        Bridge::Pool => threads,
    };
    let read_threads = options.read_threads_max.unwrap_or(threads).clamp(1, drains_max.max(1));
    Ok(Arc::new(RunningBridge { mode: RwLock::new(Some(mode)), read_threads }))
}

/// Runs `job` on a plain thread of its own: for opening and closing, which may take long and must
/// work when the mode's own threads are gone or not there yet.
///
/// # Errors
/// [`Error::Bridge`] when no thread can be started; `job` is dropped unrun.
#[allow(clippy::disallowed_methods)] // the bridge is where threads are started
pub(crate) fn run_on_own_thread(name: &str, job: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new()
        .name(name.into())
        .spawn(job)
        .map(drop)
        .map_err(|error| Error::Bridge(format!("no thread could be started: {error}")))
}
