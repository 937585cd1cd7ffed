//! A run: consecutive commands of one client that cross the bridge as one job.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use pontoon_storage::{Error, ReadLane, Reader, Transaction};
use tokio::task::consume_budget;

use crate::command::{
    Blocked, CachedRun, Client, Command, Environment, Fail, Prepared, QueuedTransaction, Ran,
    Request, ServerState, Session, Watch, WriteRun, argument_bytes, execute_cached,
    execute_prepared, execute_read, execute_transaction, execute_write, prepare, refuse,
    watch_prepared,
};
use crate::resp::{Args, Encoder, Protocol};
use crate::service::{Service, Storage};

mod batch;

pub(crate) use batch::Writes;

/// Commands in one run. Enough to make the crossing cheap, and few enough that one client's
/// pipeline does not hold a lane for long.
pub(crate) const RUN_COMMANDS_MAX: usize = 1024;

/// Bytes of arguments in one run; the command that passes it is the run's last.
pub(crate) const RUN_ARGUMENT_BYTES_MAX: usize = 1 << 20;

/// The commands that wait to run together.
#[derive(Debug, Default)]
pub(crate) struct PendingRun {
    requests: Vec<Request>,
    argument_bytes: usize,
    /// Whether the first of them walks too far for the lane it was tried in.
    walks: bool,
}

impl PendingRun {
    /// Adds a command behind the others.
    pub(crate) fn push(&mut self, command: &'static Command, args: Args) {
        self.argument_bytes += argument_bytes(&args);
        self.requests.push((command, args));
    }

    /// Whether the run has reached a limit and must be executed before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.requests.len() >= RUN_COMMANDS_MAX || self.argument_bytes >= RUN_ARGUMENT_BYTES_MAX
    }

    /// Requests it has memory for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.requests.capacity()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Runs what waits: reads at the front from the record cache as far as it has what they read, the
    /// rest as one job, over one snapshot if all of it reads, else in the write lane, in
    /// order; and writes a reply for each command to `replies`. Where the replies are large, or a command
    /// walks far, it runs only the first of what waits: call it until it
    /// [is empty](PendingRun::is_empty). A command that found nothing and waits is the last to have been
    /// run, and has no reply yet.
    ///
    /// When the future is dropped, the job that runs finishes.
    pub(crate) async fn execute_job(
        &mut self,
        writes: &Arc<Writes>,
        session: &Session,
        replies: &mut Encoder,
    ) -> Option<Blocked> {
        if !self.walks && self.execute_cached(writes.service(), session, replies) {
            // A hit waits for nothing; without this, a client whose reads all hit would never let
            // others run.
            consume_budget().await;
            return None;
        }
        // Boxed, so that a connection that waits for its client has no room for it.
        Box::pin(self.execute_stored(writes, session, replies)).await
    }

    /// The same, without the cache.
    async fn execute_stored(
        &mut self,
        writes: &Arc<Writes>,
        session: &Session,
        replies: &mut Encoder,
    ) -> Option<Blocked> {
        let service = writes.service();
        if mem::take(&mut self.walks) {
            self.execute_walk(service, session, replies).await;
            return None;
        }
        let requests = mem::take(&mut self.requests);
        let requests_len = requests.len();
        let job = Job::new(service, session, requests, false);
        let outcome = if job.is_write() {
            writes.run(job, self.argument_bytes).await
        } else {
            job.read(self.argument_bytes).await
        };
        match outcome {
            Ok(outcome) => {
                replies.append(outcome.replies);
                self.walks = outcome.ran.walks;
                if outcome.ran.done < requests_len {
                    self.requests = outcome.requests;
                    self.requests.drain(..outcome.ran.done);
                } else {
                    self.argument_bytes = 0;
                }
                outcome.blocked
            }
            Err(error) => {
                self.argument_bytes = 0;
                answer_failure(&service.state, error, requests_len, replies);
                None
            }
        }
    }

    /// Runs the first of what waits, which walks far, by itself: a read on the background lane, a write in
    /// two parts if it can be.
    async fn execute_walk(
        &mut self,
        service: &Arc<Service>,
        session: &Session,
        replies: &mut Encoder,
    ) {
        if self.requests.is_empty() {
            return;
        }
        let request = self.requests.remove(0);
        self.argument_bytes = self.argument_bytes.saturating_sub(argument_bytes(&request.1));
        let weight_bytes = argument_bytes(&request.1);
        let outcome = match request.0.prepare {
            Some(_) => {
                Box::pin(execute_prepared_job(service, session, request, weight_bytes)).await
            }
            None => {
                let job = Job::new(service, session, vec![request], true);
                job.run_alone(weight_bytes).await.map(|outcome| outcome.replies)
            }
        };
        match outcome {
            Ok(outcome) => replies.append(outcome),
            Err(error) => answer_failure(&service.state, error, 1, replies),
        }
    }

    /// Answers what the record cache can answer of what waits, from the front. Whether nothing is left, or
    /// there may be more to be had from the cache.
    fn execute_cached(
        &mut self,
        service: &Service,
        session: &Session,
        replies: &mut Encoder,
    ) -> bool {
        if self.requests.first().is_some_and(|(command, _)| command.is_write()) {
            return false;
        }
        let storage = service.storage_now();
        let Some(storage) = storage.as_deref() else { return false };
        let (mark, mut ran) = (replies.mark(), CachedRun::default());
        let outcome = storage.store.cached(|cached| {
            let environment = environment(service, storage, &session.client, session.db, false);
            ran = execute_cached(cached, &environment, &self.requests, replies);
            Ok::<_, Error>(())
        });
        if let Some(Err(_)) = outcome {
            // It broke off, or did not begin: the job that follows does it all again and says why.
            replies.truncate_to(mark);
            return false;
        }
        if ran.done == self.requests.len() {
            // With its memory, which an idle connection has none of.
            *self = Self::default();
            return true;
        }
        if ran.done == 0 {
            return false;
        }
        self.requests.drain(..ran.done);
        self.argument_bytes = self.requests.iter().map(|(_, args)| argument_bytes(args)).sum();
        ran.is_limited
    }
}

fn environment<'a>(
    service: &'a Service,
    storage: &'a Storage,
    client: &'a Arc<Client>,
    db: u8,
    may_walk: bool,
) -> Environment<'a> {
    Environment {
        databases: &storage.databases,
        server: &service.state,
        client,
        db,
        may_walk,
        now_ms: now_ms(),
    }
}

/// Commands of one client that run together, and what they need on the other side of the bridge.
#[derive(Debug)]
struct Job {
    service: Arc<Service>,
    client: Arc<Client>,
    requests: Vec<Request>,
    protocol: Protocol,
    db: u8,
    may_walk: bool,
}

/// What a [`Job`] answers.
#[derive(Debug)]
struct Outcome {
    replies: Encoder,
    ran: Ran,
    blocked: Option<Blocked>,
    requests: Vec<Request>,
}

impl Job {
    fn new(
        service: &Arc<Service>,
        session: &Session,
        requests: Vec<Request>,
        may_walk: bool,
    ) -> Self {
        Self {
            service: Arc::clone(service),
            client: Arc::clone(&session.client),
            requests,
            protocol: session.protocol,
            db: session.db,
            may_walk,
        }
    }

    fn is_write(&self) -> bool {
        self.requests.iter().any(|(command, _)| command.is_write())
    }

    /// Runs it without others, as a call of its own.
    async fn run_alone(self, weight_bytes: usize) -> Result<Outcome, Error> {
        if !self.is_write() {
            return self.read(weight_bytes).await;
        }
        let storage = self.service.storage().await;
        let store = storage.store.with_weight(weight_bytes);
        store.update(move |tx| self.write(&storage, tx)).await
    }

    /// Runs what only reads, over one snapshot.
    async fn read(mut self, weight_bytes: usize) -> Result<Outcome, Error> {
        let storage = self.service.storage().await;
        let store = storage.store.with_weight(weight_bytes);
        self.may_walk |= self.requests.iter().any(|(command, _)| command.is_walking());
        let store = if self.may_walk { store.with_lane(ReadLane::Background) } else { store };
        store.view(move |view| Ok(self.read_from(&storage, view))).await
    }

    fn read_from(self, storage: &Storage, reader: &dyn Reader) -> Outcome {
        let mut replies = Encoder::new(self.protocol);
        let environment = self.environment(storage);
        let ran = execute_read(reader, &environment, &self.requests, &mut replies);
        Outcome { replies, ran, blocked: None, requests: self.requests }
    }

    fn environment<'a>(&'a self, storage: &'a Storage) -> Environment<'a> {
        environment(&self.service, storage, &self.client, self.db, self.may_walk)
    }

    fn write(self, storage: &Storage, tx: &mut Transaction) -> Result<Outcome, Error> {
        let mut replies = Encoder::new(self.protocol);
        let environment = self.environment(storage);
        let run = execute_write(tx, &environment, &self.requests, &mut replies)?;
        let WriteRun { ran, blocked } = run;
        Ok(Outcome { replies, ran, blocked, requests: self.requests })
    }
}

/// Runs what a client has queued, as one operation, and returns the reply. The session is what it is
/// afterwards.
///
/// When the future is dropped, the job that runs finishes.
pub(crate) async fn execute_exec(
    service: &Arc<Service>,
    session: &mut Session,
    queued: QueuedTransaction,
    replies: &mut Encoder,
) {
    let watching = session.client.watch().take().map(|watch| Watching::new(service, watch));
    let here = Arc::clone(service);
    let mut inside = session.clone();
    inside.in_exec = true;
    let storage = service.storage().await;
    let store = storage.store.with_weight(queued.argument_bytes);
    let outcome = store
        .update(move |tx| {
            let mut replies = Encoder::new(inside.protocol);
            let client = Arc::clone(&inside.client);
            let environment = environment(&here, &storage, &client, inside.db, true);
            let requests = &queued.requests;
            let watch = watching.as_ref().map(|watching| &*watching.watch);
            execute_transaction(tx, &environment, &mut inside, watch, requests, &mut replies)?;
            Ok::<_, Error>((replies, inside))
        })
        .await;
    match outcome {
        Ok((outcome, inside)) => {
            *session = inside;
            session.in_exec = false;
            replies.append(outcome);
            replies.set_protocol(session.protocol);
        }
        Err(error) => answer_failure(&service.state, error, 1, replies),
    }
}

/// Watches keys until dropped. Whoever asks what it has seen owns it: when the client is gone, what it has
/// begun must see changes all the same.
struct Watching {
    service: Arc<Service>,
    watch: Arc<Watch>,
}

impl Watching {
    fn new(service: &Arc<Service>, watch: Arc<Watch>) -> Self {
        Self { service: Arc::clone(service), watch }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.service.state.watches.remove(&self.watch);
    }
}

/// Runs a command that walks far and writes: what it reads over a snapshot, on the background lane; what
/// it writes in the write lane, if none of its keys has changed since before the snapshot, and all of it
/// there if one has.
async fn execute_prepared_job(
    service: &Arc<Service>,
    session: &Session,
    request: Request,
    weight_bytes: usize,
) -> Result<Encoder, Error> {
    // The same for all three parts.
    let storage = service.storage().await;
    let store = storage.store.with_weight(weight_bytes);
    let watching = Watching::new(service, Arc::default());
    let job = Job::new(service, session, vec![request.clone()], true);
    let here = Arc::clone(&storage);
    // A place in the write lane's order: what is committed later counts as a change.
    let watching = store
        .update(move |tx| {
            for request in &job.requests {
                watch_prepared(tx, &job.environment(&here), request, &watching.watch)?;
            }
            Ok::<_, Error>(watching)
        })
        .await?;
    let job = Job::new(service, session, vec![request.clone()], true);
    let here = Arc::clone(&storage);
    let background = store.with_lane(ReadLane::Background);
    let reading = background.view(move |view| {
        let environment = job.environment(&here);
        let prepared = job.requests.first().map(|request| prepare(view, &environment, request));
        Ok::<_, Error>(prepared)
    });
    let prepared = match reading.await? {
        Some(Ok(prepared)) => prepared,
        Some(Err(fail)) => {
            let mut reply = Encoder::new(session.protocol);
            refuse(&fail, &service.state, &mut reply);
            return Ok(reply);
        }
        None => return Ok(Encoder::new(session.protocol)),
    };
    let job = Job::new(service, session, vec![request], true);
    store.update(move |tx| job.write_prepared(&storage, tx, prepared, &watching)).await
}

impl Job {
    fn write_prepared(
        self,
        storage: &Storage,
        tx: &mut Transaction,
        prepared: (Prepared, Duration),
        watching: &Watching,
    ) -> Result<Encoder, Error> {
        let mut replies = Encoder::new(self.protocol);
        let environment = self.environment(storage);
        if let Some(request) = self.requests.first() {
            let watch = &watching.watch;
            execute_prepared(tx, &environment, request, watch, prepared, &mut replies)?;
        }
        Ok(replies)
    }
}

/// The clock, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO);
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// Every command of a run whose job failed has the same answer: none of them counts.
fn answer_failure(state: &ServerState, error: Error, requests_len: usize, replies: &mut Encoder) {
    if matches!(error, Error::Commit(_) | Error::ReadOnly(_)) {
        state.last_write_ok.store(false, Relaxed);
    }
    match &error {
        Error::Commit(_) | Error::Panicked(_) | Error::Engine(_) | Error::Corrupted(_) => {
            tracing::error!(%error, commands = requests_len, "a run of commands failed");
        }
        // Of these the client's own reply says enough, or the first failure has been logged.
        _ => tracing::debug!(%error, commands = requests_len, "a run of commands failed"),
    }
    let fail = Fail::Storage(error);
    for _ in 0..requests_len {
        refuse(&fail, state, replies);
    }
}
