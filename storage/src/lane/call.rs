//! Calls: a closure goes in, a oneshot comes out. A new operation needs no edit to lane or bridge.

use std::any::Any;
use std::cell::RefCell;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec;

use tokio::sync::oneshot;

use super::read::ReadEnv;
use crate::error::{Error, Result};
use crate::sync::thread_local;
use crate::transaction::Transaction;

/// Where an answer goes.
pub(crate) type Reply<T, E = Error> = oneshot::Sender<Result<T, E>>;

/// A call of the read or the background lane.
pub(crate) trait ReadCall: Send {
    fn run(self: Box<Self>, env: &ReadEnv<'_>);
    fn fail(self: Box<Self>, error: Error);
    fn is_abandoned(&self) -> bool;
}

/// A call of the write lane. It answers in two steps, because no answer may leave before the batch
/// that it is part of is applied.
pub(crate) trait WriteCall: Send {
    /// Operations that it consists of.
    fn operations(&self) -> usize {
        1
    }

    /// Runs its next operation and keeps the result. The writes of one that did not end well must be
    /// undone.
    fn run(&mut self, tx: &mut Transaction) -> Ran;

    /// Takes note of the commit of those that have run, before others do.
    fn settle(&mut self, _commit: &Result<()>) {}

    /// Sends what `run` kept, or the error of the commit.
    fn finish(self: Box<Self>, commit: Result<()>);
    fn is_abandoned(&self) -> bool;
}

/// How a closure ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ran {
    Ok,
    Err,
    Panicked,
}

pub(crate) struct OnView<F, T, E> {
    pub(crate) f: F,
    pub(crate) reply: Reply<T, E>,
}

impl<F, T, E> ReadCall for OnView<F, T, E>
where
    F: FnOnce(&ReadEnv<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(self: Box<Self>, env: &ReadEnv<'_>) {
        let Self { f, reply } = *self;
        let result = inside(env.store(), || f(env)).unwrap_or_else(|message| {
            env.metrics().panicked.add(1);
            Err(Error::Panicked(message).into())
        });
        answer(reply, result);
    }

    fn fail(self: Box<Self>, error: Error) {
        quietly(|| {
            let _ = self.reply.send(Err(error.into()));
        });
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

pub(crate) struct OnTransaction<F, T, E> {
    store: u64,
    f: Option<F>,
    result: Option<Result<T, E>>,
    reply: Reply<T, E>,
}

impl<F, T, E> OnTransaction<F, T, E> {
    pub(crate) fn new(store: u64, f: F, reply: Reply<T, E>) -> Self {
        Self { store, f: Some(f), result: None, reply }
    }
}

impl<F, T, E> WriteCall for OnTransaction<F, T, E>
where
    F: FnOnce(&mut Transaction) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn run(&mut self, tx: &mut Transaction) -> Ran {
        let Some(f) = self.f.take() else { return Ran::Err };
        let (ran, result) = run_inside(self.store, f, tx);
        self.result = Some(result);
        ran
    }

    fn finish(self: Box<Self>, commit: Result<()>) {
        quietly(|| {
            let Self { result, reply, .. } = *self;
            let outcome = match commit {
                Ok(()) => {
                    result.unwrap_or_else(|| Err(Error::Bridge("it never ran".into()).into()))
                }
                Err(error) => Err(error.into()),
            };
            let _ = reply.send(outcome);
        });
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

/// Several operations that cross together, and are answered together.
pub(crate) struct OnTransactions<F, T, E> {
    store: u64,
    operations: vec::IntoIter<F>,
    results: Vec<Result<T, E>>,
    /// How many of the results are final.
    settled: usize,
    reply: Reply<Vec<Result<T, E>>>,
}

impl<F, T, E> OnTransactions<F, T, E> {
    pub(crate) fn new(store: u64, operations: Vec<F>, reply: Reply<Vec<Result<T, E>>>) -> Self {
        let results = Vec::with_capacity(operations.len());
        Self { store, operations: operations.into_iter(), results, settled: 0, reply }
    }
}

impl<F, T, E> WriteCall for OnTransactions<F, T, E>
where
    F: FnOnce(&mut Transaction) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn operations(&self) -> usize {
        self.operations.len()
    }

    fn run(&mut self, tx: &mut Transaction) -> Ran {
        let Some(f) = self.operations.next() else { return Ran::Err };
        let (ran, result) = run_inside(self.store, f, tx);
        self.results.push(result);
        ran
    }

    fn settle(&mut self, commit: &Result<()>) {
        if let Err(error) = commit {
            for result in self.results.iter_mut().skip(self.settled) {
                let lost = mem::replace(result, Err(error.clone().into()));
                quietly(|| drop(lost));
            }
        }
        self.settled = self.results.len();
    }

    fn finish(mut self: Box<Self>, commit: Result<()>) {
        self.settle(&commit);
        quietly(|| {
            let Self { operations, mut results, reply, .. } = *self;
            let _ = reply.send(match commit {
                Err(error) if results.is_empty() => Err(error),
                Err(error) => {
                    results.extend(operations.map(|_| Err(error.clone().into())));
                    Ok(results)
                }
                Ok(()) => Ok(results),
            });
        });
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }
}

fn run_inside<F, T, E>(store: u64, f: F, tx: &mut Transaction) -> (Ran, Result<T, E>)
where
    F: FnOnce(&mut Transaction) -> Result<T, E>,
    E: From<Error>,
{
    match inside(store, || f(tx)) {
        Ok(Ok(value)) => (Ran::Ok, Ok(value)),
        Ok(Err(error)) => (Ran::Err, Err(error)),
        Err(message) => (Ran::Panicked, Err(Error::Panicked(message).into())),
    }
}

thread_local! {
    /// The stores whose closures this thread is inside of.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Refuses a call that is made, and waited for, inside a closure of the same store: it would wait
/// for itself.
pub(crate) fn refuse_nested(store: u64) -> Result<()> {
    if INSIDE.with(|inside| inside.borrow().contains(&store)) { Err(Error::Nested) } else { Ok(()) }
}

/// Sends an answer. What nobody waits for any more is dropped here.
pub(crate) fn answer<T, E>(reply: Reply<T, E>, outcome: Result<T, E>) {
    quietly(|| {
        let _ = reply.send(outcome);
    });
}

/// Runs `f`, which may drop or wake what is a caller's own: its panic is nobody else's business.
pub(crate) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        // Its own destructor may panic, too.
        std::mem::forget(payload);
    }
}

/// Runs `f` marked as inside `store`; a panic becomes its message.
pub(crate) fn inside<R>(store: u64, f: impl FnOnce() -> R) -> Result<R, String> {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.with(|inside| inside.borrow_mut().pop());
        }
    }
    INSIDE.with(|inside| inside.borrow_mut().push(store));
    let _leave = Leave;
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| panic_message(payload.as_ref()))
}

/// What a panic inside an engine is to callers.
pub(crate) fn engine_panic(payload: &(dyn Any + Send)) -> Error {
    Error::corrupted(format!("the engine panicked: {}", panic_message(payload)))
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}
