//! Running commands: over a view, or on the connection itself. `execute_write` has those that run over a
//! transaction.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use pontoon_storage::{Cached, Reader};

use crate::data::{Databases, DbReader, RunState};
use crate::resp::{Args, Encoder, Mark};

use super::clients::Client;
use super::context::{ConnectionContext, ReadContext};
use super::fail::Fail;
use super::server_state::ServerState;
use super::session::Session;
use super::spec::{Command, KeySpec, Prepared, Run};

/// A run stops after the command that brings its replies to this many bytes; the caller starts
/// another for the rest. Bounds what a client that pipelines large reads makes the server hold.
pub const REPLY_BYTES_PER_RUN_MAX: usize = 1 << 20;

/// What a run of one client's commands needs besides the store.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a> {
    /// Where the databases are in the store.
    pub databases: &'a Databases,
    /// The server's own state.
    pub server: &'a ServerState,
    /// Who asks.
    pub client: &'a Arc<Client>,
    /// The client's selected database.
    pub db: u8,
    /// Whether commands may walk as far as they like: nobody waits for where they run.
    pub may_walk: bool,
    /// The clock, in milliseconds since 1970: one reading for the whole run, so that its commands
    /// agree on what has expired.
    pub now_ms: u64,
}

/// A request with its row.
pub type Request = (&'static Command, Args);

impl Environment<'_> {
    pub(super) fn run_state(&self) -> RunState {
        RunState::with_interest(self.databases, self.now_ms, self.server.interest())
    }

    pub(super) fn tell_monitors(&self, command: &Command, args: &Args) {
        self.server.tell_monitors(command, args, self.client, self.db);
    }
}

/// How far a run came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ran {
    /// How many commands have a reply, from the first.
    pub done: usize,
    /// Whether the next one would walk too far for where it was run: it is to be run alone, on the
    /// background lane first.
    pub walks: bool,
}

/// Runs reading commands over one snapshot, in order, and encodes a reply for each. It runs all of them
/// unless [`REPLY_BYTES_PER_RUN_MAX`] is reached or one would walk too far. A failing command has an error
/// reply; the others go on.
pub fn execute_read(
    reader: &dyn Reader,
    environment: &Environment<'_>,
    requests: &[Request],
    out: &mut Encoder,
) -> Ran {
    let server = environment.server;
    let mut state = environment.run_state();
    let reply_start = out.len_bytes();
    let mut ran = Ran::default();
    let prefetching = server.begin_command();
    // Each command has its part of what was done for all.
    let share = match prefetch(reader, environment, &mut state, requests) {
        true => prefetching.spent() / u32::try_from(requests.len()).unwrap_or(u32::MAX),
        false => Duration::ZERO,
    };
    let mut timing = server.begin_command();
    for (position, (command, args)) in requests.iter().enumerate() {
        state.begin_command(position);
        let (mark, lookups) = (out.mark(), state.mark_lookups());
        let outcome = run_read(reader, &mut state, environment, command, args, out);
        if let Err(Fail::Walk) = outcome {
            out.truncate_to(mark);
            state.forget_lookups(lookups);
            ran.walks = true;
            break;
        }
        let timed = timing.plus(share);
        timing = server.end_command(timed, command, args, environment.client, outcome.is_err());
        environment.tell_monitors(command, args);
        reply_failure(outcome, mark, server, out);
        ran.done += 1;
        if out.len_bytes() - reply_start >= REPLY_BYTES_PER_RUN_MAX {
            break;
        }
    }
    count(&state, server, ran.done);
    server.tell_events(&state.effects.events);
    ran
}

pub(super) fn run_read(
    reader: &dyn Reader,
    state: &mut RunState,
    environment: &Environment<'_>,
    command: &Command,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let Run::Read(run) = command.run else { return Err(misplaced(command)) };
    let mut context = ReadContext {
        db: DbReader::new(reader, state, environment.db),
        server: environment.server,
        client: environment.client,
        may_walk: environment.may_walk,
    };
    run(&mut context, args, out)
}

/// Does the first part of a command that walks far and writes: see [`Prepare`](super::Prepare). Returns
/// the rest of it, and how long the first part took.
///
/// # Errors
/// What the command answers instead; it is counted then.
pub fn prepare(
    reader: &dyn Reader,
    environment: &Environment<'_>,
    request: &Request,
) -> Result<(Prepared, Duration), Fail> {
    let (command, args) = request;
    let timing = environment.server.begin_command();
    match prepare_unmeasured(reader, environment, request) {
        Ok(prepared) => Ok((prepared, timing.spent())),
        Err(fail) => {
            environment.server.end_command(timing, command, args, environment.client, true);
            Err(fail)
        }
    }
}

fn prepare_unmeasured(
    reader: &dyn Reader,
    environment: &Environment<'_>,
    (command, args): &Request,
) -> Result<Prepared, Fail> {
    let prepare = command.prepare.ok_or_else(|| misplaced(command))?;
    let mut state = environment.run_state();
    let mut context = ReadContext {
        db: DbReader::new(reader, &mut state, environment.db),
        server: environment.server,
        client: environment.client,
        may_walk: true,
    };
    let timing = environment.server.begin_command();
    let prepared = prepare(&mut context, args);
    let server = environment.server;
    if prepared.is_err() {
        server.end_command(timing, command, args, environment.client, true);
    }
    count(&state, server, usize::from(prepared.is_err()));
    server.tell_events(&state.effects.events);
    prepared
}

/// What became of a run over the record cache.
#[derive(Debug, Clone, Copy, Default)]
pub struct CachedRun {
    /// How many commands were run, from the first.
    pub done: usize,
    /// Whether a limit ended it, so that the next command may find what it reads.
    pub is_limited: bool,
}

/// Runs reading commands over what the record cache holds, in order, and encodes a reply for each, up
/// to the first that reads something else, or is not a plain read of the keys it names. `Cached`
/// bounds how much it looks up, since it runs on the async thread.
pub fn execute_cached(
    cached: &Cached<'_>,
    environment: &Environment<'_>,
    requests: &[Request],
    out: &mut Encoder,
) -> CachedRun {
    let server = environment.server;
    let mut state = environment.run_state();
    let reply_start = out.len_bytes();
    let mut ran = CachedRun::default();
    let mut timing = server.begin_command();
    for (command, args) in requests {
        let is_plain = matches!(command.run, Run::Read(_)) && !command.is_walking();
        if !is_plain || command.keys == KeySpec::NONE && command.movable_keys.is_none() {
            break;
        }
        let (mark, lookups) = (out.mark(), state.mark_lookups());
        let outcome = run_read(cached, &mut state, environment, command, args, out);
        if cached.has_missed() || matches!(outcome, Err(Fail::Walk)) {
            out.truncate_to(mark);
            state.forget_lookups(lookups);
            ran.is_limited = cached.is_exhausted();
            break;
        }
        timing = server.end_command(timing, command, args, environment.client, outcome.is_err());
        environment.tell_monitors(command, args);
        reply_failure(outcome, mark, server, out);
        ran.done += 1;
        if out.len_bytes() - reply_start >= REPLY_BYTES_PER_RUN_MAX {
            ran.is_limited = true;
            break;
        }
    }
    if ran.done > 0 {
        count(&state, server, ran.done);
        server.tell_events(&state.effects.events);
    }
    ran
}

/// Runs a command that touches no data, on the spot, and encodes its reply; whether that is no error.
/// Keeps the encoder's protocol in step with the session's.
pub fn run_connection(
    command: &'static Command,
    session: &mut Session,
    server: &ServerState,
    args: &Args,
    out: &mut Encoder,
) -> bool {
    let mark = out.mark();
    let timing = server.begin_command();
    let outcome = match command.run {
        // An async command that gets here is inside of a transaction.
        Run::Connection(run) | Run::Async(_, run) => {
            run(&mut ConnectionContext { session, server, now: SystemTime::now() }, args, out)
        }
        Run::Read(_) | Run::Write(_) => Err(misplaced(command)),
    };
    let is_ok = outcome.is_ok();
    // What EXEC takes is known once the commands have run, and it is shown behind them.
    if !session.wants_exec {
        server.end_command(timing, command, args, &session.client, !is_ok);
        server.tell_monitors(command, args, &session.client, session.db);
    }
    reply_failure(outcome, mark, server, out);
    server.stats.commands_processed.fetch_add(1, Relaxed);
    is_ok
}

/// Encodes the error reply of a request that [`admit`](super::admit) refused, and counts it.
pub fn refuse(fail: &Fail, server: &ServerState, out: &mut Encoder) {
    server.count_error(&fail.to_text());
    fail.encode(out);
}

/// Reads the records of the keys of `requests` as one batch, as far as that is kept in memory, unless
/// there is just one: the engine answers many at once cheaper than one by one. Whether it read any.
fn prefetch(
    reader: &dyn Reader,
    environment: &Environment<'_>,
    state: &mut RunState,
    requests: &[Request],
) -> bool {
    let keys = requests
        .iter()
        .enumerate()
        .flat_map(|(index, (command, args))| command.keys.of(args).map(move |key| (index, key)));
    // An error is met again, and answered, by the command that looks the key up.
    state.prefetch(reader, environment.db, keys).unwrap_or(true)
}

pub(super) fn reply_failure(
    outcome: Result<(), Fail>,
    mark: Mark,
    server: &ServerState,
    out: &mut Encoder,
) {
    if let Err(fail) = outcome {
        out.truncate_to(mark);
        refuse(&fail, server, out);
    }
}

pub(super) fn misplaced(command: &Command) -> Fail {
    Fail::Reply(format!("ERR command '{}' cannot run here", command.name).into())
}

/// Adds what a run counted to the server's counters: once a run rather than once a command, since
/// all threads share them.
pub(super) fn count(state: &RunState, server: &ServerState, commands: usize) {
    let stats = &server.stats;
    stats.commands_processed.fetch_add(commands as u64, Relaxed);
    for (counter, count) in [
        (&stats.keyspace_hits, state.tally.hits),
        (&stats.keyspace_misses, state.tally.misses),
        (&stats.expired_keys, state.tally.expired),
        (&stats.changes, state.effects.changes),
        (&stats.discarded, state.effects.discarded),
    ] {
        if count > 0 {
            counter.fetch_add(count, Relaxed);
        }
    }
}
