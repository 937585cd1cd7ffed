//! The periodic removal of keys whose time has come and of what flushes left behind.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use pontoon_storage::{Error, ReadLane, Transaction};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::command::tell_expired;
use crate::data::{
    self, DATABASES, DbReader, Effects, RunState, SWEEP_STEP_DEFAULT, SweepProgress, average_ttl,
    expire_step, has_expired, has_garbage, sweep_step,
};
use crate::run::now_ms;
use crate::service::Service;

/// How often to look for work (Redis's `hz` is 10, too).
const INTERVAL: Duration = Duration::from_millis(100);

/// After so many looks, a minute, the sweep starts from the front: for keys stored with a time that
/// had passed already.
const TICKS_FROM_THE_FRONT: u64 = 600;

/// After so many looks, a second, the times that keys have left are measured anew.
const TICKS_BETWEEN_TTLS: u64 = 10;

/// By how much a new sample of those times moves what is known: one part of so many.
const TTL_SMOOTHING: u64 = 4;

/// Entries that one step takes from one discarded value at the most.
const GARBAGE_STEP_LEN: usize = 32;

/// Steps in one operation. A step looks at one discarded value, however small: with one commit for
/// each, clients that overwrite large values would leave more behind than is swept.
const GARBAGE_STEPS_PER_OPERATION: usize = 32;

/// How long to rest when the store refuses: it may do so until the server is restarted.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(10);

/// Sweeps until the store is closed. When the future is dropped, the step that runs finishes.
pub(crate) async fn sweep(service: Arc<Service>) {
    let mut progress = SweepProgress::default();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 1u64.. {
        ticks.tick().await;
        if tick.is_multiple_of(TICKS_FROM_THE_FRONT) {
            progress = SweepProgress::default();
        }
        if tick.is_multiple_of(TICKS_BETWEEN_TTLS)
            && let Err(error) = measure_ttls(&service).await
        {
            tracing::debug!(%error, "the times that keys have left are not known");
        }
        match sweep_once(&service, &mut progress).await {
            Ok(()) => {}
            Err(data::Error::Storage(Error::Closed)) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot remove expired keys for the moment");
                if let data::Error::Storage(Error::Commit(_) | Error::ReadOnly(_)) = error {
                    service.state.last_write_ok.store(false, Relaxed);
                }
                sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}

/// Removes what there is to remove now. Each step is an operation of its own, so that clients' writes
/// come in between.
async fn sweep_once(service: &Arc<Service>, progress: &mut SweepProgress) -> data::Result<()> {
    let storage = service.storage().await;
    let (databases, so_far) = (storage.databases.clone(), progress.clone());
    let here = Arc::clone(service);
    let (expired, garbage) = storage
        .store
        .with_lane(ReadLane::Background)
        .view(move |view| {
            // Read behind the snapshot: what is written once it is off is not in here.
            let is_active = here.state.active_expire.load(Acquire);
            let expired = is_active && has_expired(view, &databases, now_ms(), &so_far)?;
            Ok::<_, data::Error>((expired, has_garbage(view, &databases)?))
        })
        .await?;
    // Each step takes it anew, as it may be closed in between.
    drop(storage);
    // While writes are paused nothing changes, though keys whose time has come are not to be seen.
    let is_paused = || service.state.pause.until(true).is_some();
    let mut more = expired;
    while more && !is_paused() {
        let (here, mut next) = (Arc::clone(service), progress.clone());
        let storage = service.storage().await;
        let databases = storage.databases.clone();
        let step = move |tx: &mut Transaction| {
            let begun = Instant::now();
            if !here.state.active_expire.load(Acquire) {
                return Ok((false, next));
            }
            let limit = SWEEP_STEP_DEFAULT;
            let mut effects = Effects { interest: here.state.interest(), ..Effects::default() };
            let now_ms = now_ms();
            let done = expire_step(tx, &databases, now_ms, limit, &mut next, &mut effects)?;
            let discarded = effects.discarded;
            tell_expired(tx, &here.state, effects);
            // Before the commit: whoever sees that the keys are gone must see them counted.
            here.state.stats.expired_keys.fetch_add(done.removed, Relaxed);
            here.state.stats.discarded.fetch_add(discarded, Relaxed);
            here.state.note_expire_cycle(begun.elapsed());
            Ok::<_, data::Error>((done.more, next))
        };
        (more, *progress) = storage.store.update(step).await?;
    }
    let mut more = garbage;
    while more {
        let (here, mut next) = (Arc::clone(service), progress.clone());
        let storage = service.storage().await;
        let databases = storage.databases.clone();
        let step = move |tx: &mut _| {
            let mut freed = 0;
            for _ in 0..GARBAGE_STEPS_PER_OPERATION {
                let done = sweep_step(tx, &databases, GARBAGE_STEP_LEN, &mut next)?;
                freed += done.freed;
                if !done.more {
                    here.state.stats.note_freed(freed, false);
                    return Ok((false, next));
                }
            }
            here.state.stats.note_freed(freed, true);
            Ok::<_, data::Error>((true, next))
        };
        (more, *progress) = storage.store.update(step).await?;
    }
    Ok(())
}

/// Takes a sample of how long keys have left, for `INFO`.
async fn measure_ttls(service: &Arc<Service>) -> data::Result<()> {
    let storage = service.storage().await;
    let (here, databases) = (Arc::clone(service), storage.databases.clone());
    let background = storage.store.with_lane(ReadLane::Background);
    background
        .view(move |view| {
            let mut state = RunState::new(&databases, now_ms());
            for (db, known) in (0..DATABASES).zip(&here.state.average_ttl) {
                let mut db = DbReader::new(view, &mut state, db);
                if db.key_counts()?.1 == 0 {
                    known.store(0, Relaxed);
                } else if let Some(sample) = average_ttl(&mut db)? {
                    let before = known.load(Relaxed);
                    let next = if before == 0 {
                        sample
                    } else {
                        before - before / TTL_SMOOTHING + sample / TTL_SMOOTHING
                    };
                    known.store(next, Relaxed);
                }
            }
            Ok(())
        })
        .await
}
