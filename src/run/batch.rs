//! Batches: the writing runs of all connections that are ready in one pass of the runtime cross the bridge
//! as one call of the storage, and so cost one admission, one answer and one wake-up from another thread,
//! which is a system call. Each is still an operation of its own.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pontoon_storage::{Error, Transaction};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use super::{Job, Outcome, RUN_ARGUMENT_BYTES_MAX, RUN_COMMANDS_MAX};
use crate::service::Service;

/// Puts together what the connections of one runtime write, if it has one thread.
#[derive(Debug)]
pub(crate) struct Writes {
    service: Arc<Service>,
    /// Whether the runtime has one thread. With several, whichever took what waits could be held up by
    /// something else while the others are idle; and they need no system call to wake each other.
    has_one_thread: bool,
    /// As long as there are any, a task has been started that takes them.
    waiting: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    job: Job,
    weight_bytes: usize,
    reply: oneshot::Sender<Result<Outcome, Error>>,
}

impl Writes {
    /// For the runtime that this is called in.
    pub(crate) fn new(service: Arc<Service>) -> Arc<Self> {
        let has_one_thread = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        Arc::new(Self { service, has_one_thread, waiting: Mutex::default() })
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Runs `job`, which holds so many bytes, beside others. When the future is dropped, it runs all the
    /// same.
    ///
    /// # Errors
    /// The storage's.
    pub(super) async fn run(
        self: &Arc<Self>,
        job: Job,
        weight_bytes: usize,
    ) -> Result<Outcome, Error> {
        if !self.has_one_thread {
            return job.run_alone(weight_bytes).await;
        }
        let (reply, outcome) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting();
            waiting.push(Entry { job, weight_bytes, reply });
            waiting.len() == 1
        };
        if is_first {
            tokio::spawn(Arc::clone(self).submit());
        }
        let lost = |_| Err(Error::Bridge("the task that ran it broke off".into()));
        outcome.await.unwrap_or_else(lost)
    }

    /// Runs what waits by the time that this is first polled: behind those tasks that were ready before it.
    async fn submit(self: Arc<Self>) {
        let entries = self.take();
        let storage = self.service.storage().await;
        let mut replies = Vec::with_capacity(entries.len());
        let mut weight_bytes = 0;
        let operation = |entry: Entry| {
            weight_bytes += entry.weight_bytes;
            replies.push(entry.reply);
            let (job, storage) = (entry.job, Arc::clone(&storage));
            move |tx: &mut Transaction| job.write(&storage, tx)
        };
        let operations = entries.into_iter().map(operation).collect();
        let store = storage.store.with_weight(weight_bytes);
        match store.update_all(operations).await {
            Ok(outcomes) => replies.into_iter().zip(outcomes).for_each(|(reply, outcome)| {
                // The client may be gone by now.
                let _ = reply.send(outcome);
            }),
            Err(error) => replies.into_iter().for_each(|reply| {
                let _ = reply.send(Err(error.clone()));
            }),
        }
    }

    /// Takes what may run as one call, and has another task take the rest: others wait for the lane, and
    /// none of these is answered before the last.
    fn take(self: &Arc<Self>) -> Vec<Entry> {
        let mut waiting = self.waiting();
        let (mut commands, mut bytes) = (0, 0);
        let fits = |entry: &Entry| {
            let fits = commands < RUN_COMMANDS_MAX && bytes < RUN_ARGUMENT_BYTES_MAX;
            commands += entry.job.requests.len();
            bytes += entry.weight_bytes;
            fits
        };
        let len = waiting.iter().map(fits).take_while(|fits| *fits).count();
        let rest = waiting.split_off(len);
        if !rest.is_empty() {
            tokio::spawn(Arc::clone(self).submit());
        }
        mem::replace(&mut *waiting, rest)
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
