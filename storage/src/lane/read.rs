//! What a drain of the read or the background lane does: gets as one batch, then calls over one snapshot.

use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::call::{ReadCall, Reply, answer, engine_panic, quietly};
use super::flight::{Board, Flight};
use super::{Drainer, Entry, Held, Work};
use crate::cache::{Moment, RecordCache};
use crate::engine::{Engine, Progress};
use crate::error::{Error, Result};
use crate::keyspace::KeyspaceId;
use crate::metrics::LaneMetrics;
use crate::shared::Shared;
use crate::sync::Instant;
use crate::view::View;

/// A drain that has been busy for so long puts back what it has not begun, for others to take.
const BUSY_MAX: Duration = Duration::from_millis(1);

/// An operation that takes longer than this on average waits for something other than the CPU.
const SLOW_MIN: Duration = Duration::from_micros(50);

pub(crate) enum ReadWork {
    Get { keyspace: KeyspaceId, key: Bytes, reply: Reply<Option<Bytes>> },
    Call(Box<dyn ReadCall>),
}

impl Work for ReadWork {
    fn fail(self, error: Error) {
        match self {
            ReadWork::Get { reply, .. } => answer(reply, Err(error)),
            ReadWork::Call(call) => call.fail(error),
        }
    }

    fn lost() -> Error {
        Error::Bridge("the thread that ran it broke off".into())
    }

    fn is_abandoned(&self) -> bool {
        match self {
            ReadWork::Get { reply, .. } => reply.is_closed(),
            ReadWork::Call(call) => call.is_abandoned(),
        }
    }
}

/// What the calls of one drain share: a snapshot, taken when one first asks, which is after the
/// drain took its operations. So none of them can miss a write acknowledged before it was queued.
pub(crate) struct ReadEnv<'d> {
    shared: &'d Arc<Shared>,
    /// Whether what is read is kept in the record cache.
    caches: bool,
    metrics: &'d LaneMetrics,
    view: OnceCell<View>,
}

impl ReadEnv<'_> {
    pub(crate) fn store(&self) -> u64 {
        self.shared.id
    }

    pub(crate) fn metrics(&self) -> &LaneMetrics {
        self.metrics
    }

    pub(crate) fn engine(&self) -> Result<Arc<dyn Engine>> {
        self.shared.engine()
    }

    pub(crate) fn view(&self) -> Result<&View> {
        if self.view.get().is_none() {
            let now = self.shared.cache.as_ref().filter(|_| self.caches).map(RecordCache::now);
            let snapshot = self.engine()?.snapshot()?;
            let cache = now.map(|moment| (Arc::clone(self.shared), moment));
            let _ = self.view.set(View::new(snapshot, self.shared.id, cache));
        }
        self.view.get().ok_or(Error::Closed)
    }

    /// A view to keep beyond this drain. It has nothing to do with the record cache, which it would
    /// outlive.
    pub(crate) fn new_view(&self) -> Result<View> {
        Ok(View::new(self.engine()?.snapshot()?, self.shared.id, None))
    }
}

pub(crate) struct ReadDrainer {
    shared: Arc<Shared>,
    /// Whether what is read is kept in the record cache: a walk would push out what is read often.
    caches: bool,
    /// None where there is no other drain that could take over.
    board: Option<(Board, OnShared)>,
}

/// Called when one operation could hold up others: from then on somebody must look.
pub(crate) type OnShared = Arc<dyn Fn() + Send + Sync>;

impl ReadDrainer {
    pub(crate) fn new(shared: Arc<Shared>, caches: bool, on_shared: Option<OnShared>) -> Self {
        Self { shared, caches, board: on_shared.map(|on_shared| (Board::default(), on_shared)) }
    }
}

impl Drainer<ReadWork> for ReadDrainer {
    fn drain(
        &self,
        batch: &mut Vec<Entry<ReadWork>>,
        held: &mut Held,
        metrics: &LaneMetrics,
    ) -> bool {
        let Self { shared, caches, board } = self;
        let env = ReadEnv { shared, caches: *caches, metrics, view: OnceCell::new() };
        let begun = Instant::now();
        let flight = Arc::new(Flight::of(batch, metrics));
        let board = board.as_ref().filter(|_| flight.is_shared());
        let on_board = board.map(|(board, on_shared)| {
            let on_board = board.enter(&flight, held);
            // Not before, or the watch might rest just then, having found nothing.
            on_shared();
            on_board
        });
        let mut ran = run_gets(&env, &flight);
        while begun.elapsed() < BUSY_MAX || ran == 0 {
            let Some(entry) = flight.next_call() else { break };
            if !entry.start(metrics) {
                quietly(|| drop(entry));
                continue;
            }
            if let ReadWork::Call(call) = entry.work {
                ran += 1;
                metrics.operations.add(1);
                let _span = entry.span.entered();
                call.run(&env);
            }
        }
        batch.extend(flight.rest());
        drop(on_board);
        // Releasing the snapshot is an engine call, whose panic must not cost what is left its run.
        quietly(|| drop(env));
        quietly(|| drop(flight));
        let operations = u32::try_from(ran.max(1)).unwrap_or(u32::MAX);
        begun.elapsed() / operations > SLOW_MIN
    }

    fn rescue(&self, put_back: &mut dyn FnMut(&mut Vec<Entry<ReadWork>>)) -> bool {
        self.board.as_ref().is_some_and(|(board, _)| board.look(put_back))
    }
}

/// Returns how many it answered.
fn run_gets(env: &ReadEnv<'_>, flight: &Flight) -> usize {
    if flight.keys.is_empty() {
        return 0;
    }
    let keys: Vec<(KeyspaceId, &[u8])> =
        flight.keys.iter().map(|(ks, key)| (*ks, &**key)).collect();
    let (values, keeper) = env.get_many(&keys, flight);
    flight.answer_gets(values, env.metrics, &keeper)
}

impl<'d> ReadEnv<'d> {
    /// The newest values of `keys`, and who keeps them.
    fn get_many(
        &self,
        keys: &[(KeyspaceId, &[u8])],
        progress: &dyn Progress,
    ) -> (Vec<Result<Option<Bytes>>>, Keeper<'d>) {
        let cache = self.shared.cache.as_ref().filter(|_| self.caches);
        let keeper = Keeper(cache.map(|cache| (cache, cache.now())));
        let read = catch_unwind(AssertUnwindSafe(|| match self.engine() {
            Ok(engine) => engine.get_many(keys, progress),
            Err(error) => vec![Err(error); keys.len()],
        }));
        let values = read.unwrap_or_else(|payload| {
            self.metrics.panicked.add(keys.len() as u64);
            vec![Err(engine_panic(payload.as_ref())); keys.len()]
        });
        (values, keeper)
    }
}

/// Keeps what was read in the record cache, if there is one, as of the moment before it was read.
pub(super) struct Keeper<'d>(Option<(&'d RecordCache, Moment)>);

impl Keeper<'_> {
    pub(super) fn keep(&self, keyspace: KeyspaceId, key: &Bytes, value: &Result<Option<Bytes>>) {
        if let (Some((cache, before)), Ok(value)) = (self.0, value) {
            cache.keep(before, keyspace, key, value.as_ref());
        }
    }
}

/// A get that is not read together with others, since one of them may be stuck.
pub(super) struct LoneGet {
    pub(super) keyspace: KeyspaceId,
    pub(super) key: Bytes,
    pub(super) reply: Reply<Option<Bytes>>,
}

impl ReadCall for LoneGet {
    fn run(self: Box<Self>, env: &ReadEnv<'_>) {
        let Self { keyspace, key, reply } = *self;
        let (values, keeper) = env.get_many(&[(keyspace, &key)], &());
        let none = || Err(Error::engine("the engine gave no answer"));
        let value = values.into_iter().next().unwrap_or_else(none);
        keeper.keep(keyspace, &key, &value);
        answer(reply, value);
    }

    fn fail(self: Box<Self>, error: Error) {
        answer(self.reply, Err(error));
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}
