//! The periodic removal of keys whose time has come and of what flushes left behind.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pontoon_storage::ReadLane;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::data::{self, SWEEP_STEP_DEFAULT, expire_step, has_expired, has_garbage, sweep_step};
use crate::run::{Service, now_ms};

/// How often to look for work (Redis's `hz` is 10, too).
const INTERVAL: Duration = Duration::from_millis(100);

/// Entries that one step takes from one discarded value at the most.
const GARBAGE_STEP_LEN: usize = 32;

/// Steps in one operation. A step looks at one discarded value, however small: with one commit for
/// each, clients that overwrite large values would leave more behind than is swept.
const GARBAGE_STEPS_PER_OPERATION: usize = 32;

/// How long to rest when the store refuses: it may do so until the server is restarted.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Sweeps until the store is closed. When the future is dropped, the step that runs finishes.
pub(crate) async fn sweep(service: Arc<Service>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match sweep_once(&service).await {
            Ok(()) => {}
            Err(data::Error::Storage(pontoon_storage::Error::Closed)) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot remove expired keys for the moment");
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Removes what there is to remove now. Each step is an operation of its own, so that clients' writes
/// come in between.
async fn sweep_once(service: &Arc<Service>) -> data::Result<()> {
    let looking = Arc::clone(service);
    let background = service.store.with_lane(ReadLane::Background);
    let (expired, garbage) = background
        .view(move |view| {
            let databases = &looking.databases;
            let expired = has_expired(view, databases, now_ms())?;
            Ok::<_, data::Error>((expired, has_garbage(view, databases)?))
        })
        .await?;
    let mut more = expired;
    while more {
        let here = Arc::clone(service);
        let step = move |tx: &mut _| {
            let done = expire_step(tx, &here.databases, now_ms(), SWEEP_STEP_DEFAULT)?;
            // Before the commit: whoever sees that the keys are gone must see them counted.
            here.state.stats.expired_keys.fetch_add(done.removed, Relaxed);
            Ok::<_, data::Error>(done.more)
        };
        more = service.store.update(step).await?;
    }
    let mut more = garbage;
    while more {
        let here = Arc::clone(service);
        let step = move |tx: &mut _| {
            for _ in 0..GARBAGE_STEPS_PER_OPERATION {
                if !sweep_step(tx, &here.databases, GARBAGE_STEP_LEN)? {
                    return Ok(false);
                }
            }
            Ok::<_, data::Error>(true)
        };
        more = service.store.update(step).await?;
    }
    Ok(())
}
