//! A run: consecutive commands of one client that cross the bridge as one job.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use pontoon_storage::{Error, ReadLane, Reader, Store, Transaction};

use tokio::task::consume_budget;

use crate::command::{
    CachedRun, Command, Environment, Fail, Request, ServerState, Session, execute_cached,
    execute_read, execute_write, refuse,
};
use crate::data::Databases;
use crate::resp::{Args, Encoder, Protocol};

/// Commands in one run. Enough to make the crossing cheap, and few enough that one client's
/// pipeline does not hold a lane for long.
pub(crate) const RUN_COMMANDS_MAX: usize = 1024;

/// Bytes of arguments in one run; the command that passes it is the run's last.
pub(crate) const RUN_ARGUMENT_BYTES_MAX: usize = 1 << 20;

/// What all connections run their commands with.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) databases: Databases,
    pub(crate) state: ServerState,
}

impl Service {
    /// What a run needs that begins now in database `db`.
    fn environment(&self, db: u8) -> Environment<'_> {
        Environment { databases: &self.databases, server: &self.state, db, now_ms: now_ms() }
    }
}

/// The commands that wait to run together.
#[derive(Debug, Default)]
pub(crate) struct PendingRun {
    requests: Vec<Request>,
    argument_bytes: usize,
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
    /// order; and writes a reply for each command to `replies`. Where the replies are large, it
    /// runs only the first of what waits: call it until it [is empty](PendingRun::is_empty).
    ///
    /// When the future is dropped, the job that runs finishes.
    pub(crate) async fn execute_job(
        &mut self,
        service: &Arc<Service>,
        session: &Session,
        replies: &mut Encoder,
    ) {
        if self.execute_cached(service, session, replies) {
            // A hit waits for nothing; without this, a client whose reads all hit would never let
            // others run.
            return consume_budget().await;
        }
        let requests = mem::take(&mut self.requests);
        let requests_len = requests.len();
        let job = Job {
            service: Arc::clone(service),
            requests,
            protocol: session.protocol,
            db: session.db,
        };
        match job.submit(self.argument_bytes).await {
            Ok(outcome) => {
                replies.append(outcome.replies);
                if outcome.done < requests_len {
                    self.requests = outcome.requests;
                    self.requests.drain(..outcome.done);
                } else {
                    self.argument_bytes = 0;
                }
            }
            Err(error) => {
                self.argument_bytes = 0;
                answer_failure(&service.state, error, requests_len, replies);
            }
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
        let (mark, mut ran) = (replies.mark(), CachedRun::default());
        let outcome = service.store.cached(|cached| {
            let environment = service.environment(session.db);
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

fn argument_bytes(args: &Args) -> usize {
    args.iter().map(|arg| arg.len()).sum()
}

/// One crossing: the commands, and what they need on the other side.
struct Job {
    service: Arc<Service>,
    requests: Vec<Request>,
    protocol: Protocol,
    db: u8,
}

struct Outcome {
    replies: Encoder,
    /// How many of `requests` have been run, from the first.
    done: usize,
    requests: Vec<Request>,
}

impl Job {
    async fn submit(self, weight_bytes: usize) -> Result<Outcome, Error> {
        let store = self.service.store.with_weight(weight_bytes);
        if self.requests.iter().any(|(command, _)| command.is_write()) {
            store.update(move |tx| self.write(tx)).await
        } else if self.requests.iter().any(|(command, _)| command.is_walking()) {
            store.with_lane(ReadLane::Background).view(move |view| Ok(self.read(view))).await
        } else {
            store.view(move |view| Ok(self.read(view))).await
        }
    }

    fn read(self, reader: &dyn Reader) -> Outcome {
        let mut replies = Encoder::new(self.protocol);
        let done = execute_read(reader, &self.environment(), &self.requests, &mut replies);
        Outcome { replies, done, requests: self.requests }
    }

    fn write(self, tx: &mut Transaction) -> Result<Outcome, Error> {
        let mut replies = Encoder::new(self.protocol);
        let done = execute_write(tx, &self.environment(), &self.requests, &mut replies)?;
        Ok(Outcome { replies, done, requests: self.requests })
    }

    fn environment(&self) -> Environment<'_> {
        self.service.environment(self.db)
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
