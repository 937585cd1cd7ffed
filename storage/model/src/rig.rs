//! A lane of operations that record what becomes of them, for scenarios about lanes alone.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex as Untried, PoisonError};
use std::time::Duration;

use shuttle::future::block_on;
use shuttle::rand::{Rng, thread_rng};
use tokio::sync::oneshot;

use crate::bridge::{self, Deadline, LaneKind, RunningBridge, Ticker};
use crate::error::{Error, Result};
use crate::lane::queue::TakeLimit;
use crate::lane::{Admission, Drainer, Entry, Held, Lane, Work};
use crate::metrics::{LaneMetrics, LaneStats};
use crate::options::{OnFull, Options, QueueLimits};
use crate::sync::{Condvar, Mutex, lock, once_in, step, wait};

/// Bytes that every operation weighs.
const OPERATION_BYTES: usize = 10;

/// How a lane and its drains are.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Drains at once.
    pub drains_max: usize,
    /// Operations that one drain takes.
    pub take: usize,
    /// Operations that the lane has room for.
    pub room: usize,
    /// Whether drains leave some of what they took, and call some batches slow.
    pub puts_back: bool,
    /// One operation in so many breaks its drain off by a panic; 0 for none.
    pub panics_one_in: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self { drains_max: 2, take: 2, room: 3, puts_back: false, panics_one_in: 0 }
    }
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It ran.
    Ran,
    /// It was answered with an error and did not run.
    Failed,
    /// It was let go with no answer, which its caller sees as one.
    Dropped,
}

/// A lane under test.
#[derive(Clone)]
pub struct Rig(Arc<Inner>);

struct Inner {
    lane: Arc<Lane<Operation>>,
    bridge: Arc<RunningBridge>,
    ticker: Ticker,
    log: Arc<Log>,
    plan: Plan,
}

#[derive(Default)]
struct Log {
    // Held over no scheduling point, so that reading the log changes no schedule.
    state: Untried<Records>,
    gate: Mutex<bool>,
    gate_opened: Condvar,
}

#[derive(Default)]
struct Records {
    accepted: Vec<u32>,
    fates: BTreeMap<u32, Vec<Fate>>,
    ran: Vec<u32>,
    idle: bool,
    draining: usize,
    violations: Vec<String>,
}

impl Drop for Inner {
    /// As a store does it: the last to hold the lane may be a drain, on a thread that the bridge would
    /// wait for.
    fn drop(&mut self) {
        self.bridge.shut_down();
    }
}

impl Rig {
    /// A lane as `plan` says, over the real pool mode, with a thread more than there may be drains.
    #[allow(clippy::expect_used)] // the model's threads always start
    pub fn new(plan: Plan) -> Self {
        let options = Options::in_memory().pool_threads(plan.drains_max + 1);
        let bridge = bridge::start(&options).expect("the model's threads always start");
        let log = Arc::new(Log::default());
        let lane = Lane::new(
            LaneKind::Read,
            plan.drains_max,
            TakeLimit { operations: plan.take, bytes: usize::MAX },
            QueueLimits { operations: plan.room, bytes: plan.room * OPERATION_BYTES },
            Arc::clone(&bridge),
            Box::new(Recorder { plan, log: Arc::clone(&log) }),
            None,
        );
        Self(Arc::new(Inner { lane, bridge, ticker: Ticker::new(), log, plan }))
    }

    /// Queues operation `id`, waiting for room, and waits for what becomes of it.
    pub fn call(&self, id: u32) -> Result<Fate> {
        block_on(self.submit(id, None))
    }

    /// As [`call`](Rig::call), unless it has not started `within` so long.
    pub fn call_within(&self, id: u32, within: Duration) -> Result<Fate> {
        block_on(self.0.ticker.race(within, |cell| self.submit(id, Some(cell))))
    }

    /// Queues operation `id` and gives up on it at some moment.
    pub fn call_and_give_up(&self, id: u32) {
        block_on(async {
            let mut call = std::pin::pin!(self.submit(id, None));
            let mut polls = 0;
            std::future::poll_fn(|cx| {
                polls += 1;
                let ready = call.as_mut().poll(cx).is_ready();
                if ready || polls == 2 || once_in(2) {
                    return std::task::Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            step();
        });
    }

    /// Queues operation `id` and waits for nothing; the answer comes through what is returned.
    pub fn post(&self, id: u32) -> Result<oneshot::Receiver<Fate>> {
        block_on(self.admit(id, OnFull::Wait, None))
    }

    /// Refuses new operations, then waits until those accepted are answered, and checks that they are;
    /// ends the bridge, as a store does, whose last drain may still hold the lane.
    pub fn close(&self) {
        self.0.lane.close();
        self.0.lane.wait_idle();
        self.with(|records| {
            records.idle = true;
            let unanswered = |id: &&u32| records.fates.get(*id).is_none_or(Vec::is_empty);
            let unanswered: Vec<_> = records.accepted.iter().filter(unanswered).collect();
            assert!(unanswered.is_empty(), "closed before the answer of {unanswered:?}");
        });
    }

    /// Ends the bridge, as the end of a runtime does: what it is given from now on is dropped.
    pub fn end_bridge(&self) {
        self.0.bridge.shut_down();
    }

    /// Ends the ticker's thread.
    pub fn stop_ticker(&self) {
        self.0.ticker.stop();
    }

    /// What the lane counted.
    pub fn stats(&self) -> LaneStats {
        self.0.lane.metrics.stats(self.0.lane.queued())
    }

    /// The operations that ran, in the order they did.
    pub fn ran(&self) -> Vec<u32> {
        self.with(|records| records.ran.clone())
    }

    /// What became of operation `id`, so far.
    pub fn fates(&self, id: u32) -> Vec<Fate> {
        self.with(|records| records.fates.get(&id).cloned().unwrap_or_default())
    }

    /// Checks what holds once nothing is on its way any more: each operation had one fate, no drain
    /// saw more beside it than there may be, and the lane has just as much room as at first.
    ///
    /// # Panics
    /// When that does not hold.
    pub fn check_at_rest(&self) {
        self.0.lane.wait_idle();
        self.with(|records| {
            assert_eq!(records.violations, Vec::<String>::new());
            let odd: Vec<_> = records.fates.iter().filter(|(_, fates)| fates.len() != 1).collect();
            assert!(odd.is_empty(), "not answered just once: {odd:?}");
            assert_eq!(records.draining, 0);
        });
    }

    /// Fills the lane while its drains are held up, and checks that just as many fit as at first.
    ///
    /// # Panics
    /// When fewer or more fit.
    pub fn check_room(&self) {
        crate::threads::one_fault_in(0);
        self.0.lane.wait_idle();
        *lock(&self.0.log.gate) = true;
        let room = u32::try_from(self.0.plan.room).unwrap_or(u32::MAX);
        let fill = |id| block_on(self.admit(id, OnFull::Fail, None));
        let held: Vec<_> = (1_000..1_000 + room).map(fill).collect();
        let over = fill(2_000);
        *lock(&self.0.log.gate) = false;
        self.0.log.gate_opened.notify_all();
        let refused = held.iter().filter(|admitted| admitted.is_err()).count();
        assert_eq!(refused, 0, "room was lost: of {room} only the others fit");
        assert!(matches!(over, Err(Error::Overloaded { .. })), "room was made up: {over:?}");
        self.0.lane.wait_idle();
    }

    async fn submit(&self, id: u32, deadline: Option<Arc<Deadline>>) -> Result<Fate> {
        let answer = self.admit(id, OnFull::Wait, deadline).await?;
        Ok(answer.await.unwrap_or(Fate::Dropped))
    }

    async fn admit(
        &self,
        id: u32,
        on_full: OnFull,
        deadline: Option<Arc<Deadline>>,
    ) -> Result<oneshot::Receiver<Fate>> {
        let (reply, answer) = oneshot::channel();
        let operation = Operation { id, reply: Some(reply), log: Arc::clone(&self.0.log) };
        let span = tracing::Span::none();
        let admission =
            Admission { operations: 1, bytes: OPERATION_BYTES, on_full, deadline, span };
        self.0.lane.admit(admission, operation).await?;
        self.with(|records| {
            records.accepted.push(id);
            let answered = records.fates.get(&id).is_some_and(|fates| !fates.is_empty());
            assert!(
                !records.idle || answered,
                "{id} was accepted, and not answered, after the end"
            );
        });
        Ok(answer)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Records) -> R) -> R {
        self.0.log.with(f)
    }
}

impl Log {
    fn with<R>(&self, f: impl FnOnce(&mut Records) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An operation that records its fate.
struct Operation {
    id: u32,
    reply: Option<oneshot::Sender<Fate>>,
    log: Arc<Log>,
}

impl Operation {
    fn end(&mut self, fate: Fate) {
        let Some(reply) = self.reply.take() else { return };
        step();
        self.log.with(|records| {
            records.fates.entry(self.id).or_default().push(fate);
            if fate == Fate::Ran {
                records.ran.push(self.id);
            }
        });
        let _ = reply.send(fate);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.end(Fate::Dropped);
    }
}

impl Work for Operation {
    fn lost() -> Error {
        Error::Bridge("lost".into())
    }

    fn fail(mut self, _: Error) {
        self.end(Fate::Failed);
    }

    fn is_abandoned(&self) -> bool {
        self.reply.as_ref().is_none_or(oneshot::Sender::is_closed)
    }
}

/// The drainer: it answers, leaves some, breaks off, as the plan says.
struct Recorder {
    plan: Plan,
    log: Arc<Log>,
}

impl Drainer<Operation> for Recorder {
    fn drain(
        &self,
        batch: &mut Vec<Entry<Operation>>,
        _: &mut Held,
        metrics: &LaneMetrics,
    ) -> bool {
        let _running = Running::new(&self.log, self.plan.drains_max);
        let mut gate = lock(&self.log.gate);
        while *gate {
            gate = wait(&self.log.gate_opened, gate);
        }
        drop(gate);
        let all = batch.len();
        let begun =
            if self.plan.puts_back { thread_rng().gen_range(all.min(1)..=all) } else { all };
        for mut entry in batch.drain(..begun) {
            if !entry.start(metrics) {
                continue;
            }
            step();
            if once_in(self.plan.panics_one_in) {
                resume_unwind(Box::new("a drain breaks off"));
            }
            entry.work.end(Fate::Ran);
        }
        self.plan.puts_back && once_in(2)
    }
}

struct Running<'l>(&'l Log);

impl<'l> Running<'l> {
    fn new(log: &'l Log, drains_max: usize) -> Self {
        log.with(|records| {
            records.draining += 1;
            if records.draining > drains_max {
                records.violations.push(format!("{} drains at once", records.draining));
            }
        });
        Self(log)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with(|records| records.draining -= 1);
    }
}
