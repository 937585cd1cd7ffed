//! The mode `blocking`: tokio's `spawn_blocking`, which works on both flavors.

use tokio::runtime::Handle;

use super::{BridgeMode, Job, LaneKind};
use crate::error::{Error, Result};

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
        drop(self.runtime.spawn_blocking(job));
    }
}
