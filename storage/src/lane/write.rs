//! What a drain of the write lane does: group commit. Operations run in order over one overlay, one
//! batch is applied, with one fsync where durability asks for it, and then every answer leaves.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::call::{Ran, Reply, WriteCall, answer, engine_panic, quietly};
use super::{Drainer, Entry, Held, Work};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::metrics::LaneMetrics;
use crate::shared::Shared;
use crate::sync::Instant;
use crate::transaction::{AfterCommit, Transaction};

/// A drain that has run operations for so long commits what it has.
const BUSY_MAX: Duration = Duration::from_millis(10);

/// A drain whose operations have written so much commits what it has.
const BATCH_BYTES_MAX: usize = 16 << 20;

pub(crate) enum WriteWork {
    Call(Box<dyn WriteCall>),
    /// Engines drop a keyspace on its own, in no batch, so this one runs alone.
    DropKeyspace {
        keyspace: KeyspaceId,
        reply: Reply<bool>,
    },
}

impl Work for WriteWork {
    fn fail(self, error: Error) {
        match self {
            WriteWork::Call(call) => call.finish(Err(error)),
            WriteWork::DropKeyspace { reply, .. } => answer(reply, Err(error)),
        }
    }

    fn lost() -> Error {
        Error::Commit(Arc::new(Error::Bridge("the thread that ran it broke off".into())))
    }

    fn is_abandoned(&self) -> bool {
        match self {
            WriteWork::Call(call) => call.is_abandoned(),
            WriteWork::DropKeyspace { reply, .. } => reply.is_closed(),
        }
    }
}

/// The fsync of [`Durability::Every`]: nobody waits for it, and a failure latches.
pub(crate) struct IntervalSync {
    pub(crate) shared: Arc<Shared>,
}

impl WriteCall for IntervalSync {
    fn run(&mut self, tx: &mut Transaction) -> Ran {
        tx.require_sync();
        Ran::Ok
    }

    fn finish(self: Box<Self>, _: Result<()>) {}

    fn is_abandoned(&self) -> bool {
        false
    }
}

impl Drop for IntervalSync {
    /// Run or not: else no other would ever be queued.
    fn drop(&mut self) {
        self.shared.sync_queued.store(false, Ordering::Release);
    }
}

pub(crate) struct WriteDrainer {
    pub(crate) shared: Arc<Shared>,
}

impl Drainer<WriteWork> for WriteDrainer {
    fn drain(
        &self,
        batch: &mut Vec<Entry<WriteWork>>,
        _: &mut Held,
        metrics: &LaneMetrics,
    ) -> bool {
        let engine = match self.shared.writable_engine() {
            Ok(engine) => engine,
            Err(error) => {
                batch.drain(..).for_each(|entry| entry.work.fail(error.clone()));
                return false;
            }
        };
        let mut pending = Pending::new(&engine, &self.shared);
        let mut entries = batch.drain(..).peekable();
        while let Some(entry) = entries.next_if(|entry| {
            pending.is_empty() || matches!(entry.work, WriteWork::Call(_)) && !pending.is_full()
        }) {
            if !entry.start(metrics) {
                quietly(|| drop(entry));
                continue;
            }
            let call = match entry.work {
                WriteWork::Call(call) => call,
                WriteWork::DropKeyspace { keyspace, reply } => {
                    metrics.operations.add(1);
                    answer(reply, self.drop_keyspace(engine.as_ref(), keyspace));
                    break;
                }
            };
            let _span = entry.span.entered();
            self.run(&engine, call, &mut pending, metrics);
        }
        let left: Vec<_> = entries.collect();
        batch.extend(left);
        // It has told everybody.
        let _ = self.finish(engine.as_ref(), pending, metrics);
        false
    }
}

/// Operations that have run and are to be committed together.
struct Pending {
    begun: Instant,
    tx: Transaction,
    sync: bool,
    operations: u64,
    calls: Vec<(Box<dyn WriteCall>, Vec<AfterCommit>)>,
}

impl Pending {
    fn new(engine: &Arc<dyn Engine>, shared: &Arc<Shared>) -> Self {
        let tx = Transaction::new(Arc::clone(engine), shared);
        Self { begun: Instant::now(), tx, sync: false, operations: 0, calls: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn is_full(&self) -> bool {
        self.tx.bytes_total() >= BATCH_BYTES_MAX || self.begun.elapsed() >= BUSY_MAX
    }
}

impl WriteDrainer {
    /// Runs the operations of a call, as part of what is pending. If they are too many for that, it is
    /// committed in between.
    fn run(
        &self,
        engine: &Arc<dyn Engine>,
        mut call: Box<dyn WriteCall>,
        pending: &mut Pending,
        metrics: &LaneMetrics,
    ) {
        let mut hooks = Vec::new();
        for number in 0..call.operations() {
            if number > 0 && pending.is_full() {
                let full = mem::replace(pending, Pending::new(engine, &self.shared));
                let outcome = self.finish(engine.as_ref(), full, metrics);
                tell(mem::take(&mut hooks), &outcome);
                call.settle(&outcome);
                if outcome.is_err() {
                    return call.finish(outcome);
                }
            }
            let tx = &mut pending.tx;
            tx.begin();
            match call.run(tx) {
                Ran::Ok => pending.sync |= tx.wants_sync() || self.always() && tx.has_written(),
                failed => {
                    tx.abort();
                    metrics.panicked.add(u64::from(failed == Ran::Panicked));
                }
            }
            hooks.append(&mut tx.take_after_commit());
            pending.operations += 1;
        }
        pending.calls.push((call, hooks));
    }

    /// Commits what is pending, and answers.
    fn finish(&self, engine: &dyn Engine, pending: Pending, metrics: &LaneMetrics) -> Result<()> {
        let Pending { tx, sync, operations, calls, .. } = pending;
        metrics.operations.add(operations);
        let outcome = self.commit(engine, &tx, sync);
        // Releasing the snapshot is an engine call: here, and not after an answer was sent, so that
        // a store whose last answer has left holds nothing. Its panic must not cost the others theirs.
        quietly(|| drop(tx));
        for (call, hooks) in calls {
            tell(hooks, &outcome);
            call.finish(outcome.clone());
        }
        outcome
    }

    fn always(&self) -> bool {
        self.shared.always.load(Ordering::Acquire)
    }

    fn commit(&self, engine: &dyn Engine, tx: &Transaction, sync: bool) -> Result<()> {
        let shared = &self.shared;
        let changes = tx.changes();
        if changes.is_empty() {
            let unsynced = shared.unsynced.load(Ordering::Acquire);
            if !(sync && unsynced) {
                return Ok(());
            }
            shared.metrics.syncs.add(1);
            self.latched(|| engine.sync())?;
        } else {
            shared.metrics.commits.add(1);
            shared.metrics.syncs.add(u64::from(sync));
            let begun = Instant::now();
            let in_flight = shared.cache.as_ref().map(|cache| cache.begin(changes));
            self.latched(|| engine.apply(changes, sync))?;
            if let Some(in_flight) = in_flight {
                in_flight.done();
            }
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            shared.metrics.commit_micros.add(micros);
        }
        shared.unsynced.store(!sync, Ordering::Release);
        Ok(())
    }

    fn drop_keyspace(&self, engine: &dyn Engine, keyspace: KeyspaceId) -> Result<bool> {
        let drop = || self.latched(|| engine.drop_keyspace(keyspace));
        match &self.shared.cache {
            Some(cache) => cache.around_drop(keyspace, drop),
            None => drop(),
        }
    }

    /// Runs what may leave the disk in a state unknown. On an error or a panic no write is accepted
    /// any more: believing a retried fsync is how data is lost.
    fn latched<T>(&self, f: impl FnOnce() -> Result<T>) -> Result<T> {
        let result = catch_unwind(AssertUnwindSafe(f))
            .unwrap_or_else(|payload| Err(engine_panic(payload.as_ref())));
        result.map_err(|error| {
            let cause = error.into_cause();
            tracing::error!(%cause, "a commit failed; writes are refused until reopened");
            let _ = self.shared.latch.set(Arc::clone(&cause));
            Error::Commit(cause)
        })
    }
}

fn tell(hooks: Vec<AfterCommit>, outcome: &Result<()>) {
    for hook in hooks {
        quietly(|| hook(outcome.clone()));
    }
}
