//! Running commands: over a view, over a transaction, or on the connection itself.

use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;

use pontoon_storage::{Cached, Reader, Transaction};

use crate::data::{Databases, DbReader, DbWriter, RunState};
use crate::resp::{Args, Encoder, Mark};

use super::context::{ConnectionContext, ReadContext, WriteContext};
use super::fail::Fail;
use super::server_state::ServerState;
use super::session::Session;
use super::spec::{Command, KeySpec, Run};

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
    /// The client's selected database.
    pub db: u8,
    /// The clock, in milliseconds since 1970: one reading for the whole run, so that its commands
    /// agree on what has expired.
    pub now_ms: u64,
}

/// A request with its row.
pub type Request = (&'static Command, Args);

/// Runs reading commands over one snapshot, in order, and encodes a reply for each. Returns how
/// many it ran: all, unless [`REPLY_BYTES_PER_RUN_MAX`] was reached. A failing command has an error
/// reply; the others go on.
pub fn execute_read(
    reader: &dyn Reader,
    environment: &Environment<'_>,
    requests: &[Request],
    out: &mut Encoder,
) -> usize {
    let mut state = RunState::new(environment.databases, environment.now_ms);
    let reply_start = out.len_bytes();
    let mut done = 0;
    prefetch(reader, environment, &mut state, requests);
    for (position, (command, args)) in requests.iter().enumerate() {
        state.begin_command(position);
        let db = DbReader::new(reader, &mut state, environment.db);
        let mut context = ReadContext { db, server: environment.server };
        let mark = out.mark();
        let outcome = match command.run {
            Run::Read(run) => run(&mut context, args, out),
            Run::Write(_) | Run::Connection(_) => Err(misplaced(command)),
        };
        reply_failure(outcome, mark, environment.server, out);
        done += 1;
        if out.len_bytes() - reply_start >= REPLY_BYTES_PER_RUN_MAX {
            break;
        }
    }
    count(&state, environment.server, done);
    done
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
    let mut state = RunState::new(environment.databases, environment.now_ms);
    let reply_start = out.len_bytes();
    let mut ran = CachedRun::default();
    for (command, args) in requests {
        let Run::Read(run) = command.run else { break };
        if command.keys == KeySpec::NONE || command.is_walking() {
            break;
        }
        let (mark, tally) = (out.mark(), state.tally);
        let db = DbReader::new(cached, &mut state, environment.db);
        let outcome = run(&mut ReadContext { db, server: environment.server }, args, out);
        if cached.has_missed() {
            out.truncate_to(mark);
            state.tally = tally;
            ran.is_limited = cached.is_exhausted();
            break;
        }
        reply_failure(outcome, mark, environment.server, out);
        ran.done += 1;
        if out.len_bytes() - reply_start >= REPLY_BYTES_PER_RUN_MAX {
            ran.is_limited = true;
            break;
        }
    }
    if ran.done > 0 {
        count(&state, environment.server, ran.done);
    }
    ran
}

/// Runs reading and writing commands over one transaction, in order, each in a savepoint of its
/// own, and encodes a reply for each. Returns how many it ran, as [`execute_read`] does. A failing
/// command has an error reply and none of its writes; the others stand.
///
/// # Errors
/// The storage's, from keeping the books of the whole run: the transaction must then be undone, and
/// the replies are void.
pub fn execute_write(
    tx: &mut Transaction,
    environment: &Environment<'_>,
    requests: &[Request],
    out: &mut Encoder,
) -> pontoon_storage::Result<usize> {
    let mut state = RunState::new(environment.databases, environment.now_ms);
    let reply_start = out.len_bytes();
    let mut done = 0;
    for (command, args) in requests {
        let mark = out.mark();
        let outcome = match command.run {
            Run::Read(run) => {
                let db = DbReader::new(tx, &mut state, environment.db);
                run(&mut ReadContext { db, server: environment.server }, args, out)
            }
            Run::Write(run) => {
                let checkpoint = state.checkpoint();
                let outcome = tx.savepoint(|tx| {
                    let db = DbWriter::new(tx, &mut state, environment.db);
                    run(&mut WriteContext { db, server: environment.server }, args, out)
                });
                if outcome.is_err() {
                    state.restore(checkpoint);
                }
                outcome
            }
            Run::Connection(_) => Err(misplaced(command)),
        };
        reply_failure(outcome, mark, environment.server, out);
        done += 1;
        if out.len_bytes() - reply_start >= REPLY_BYTES_PER_RUN_MAX {
            break;
        }
    }
    state.write_books(tx)?;
    count(&state, environment.server, done);
    Ok(done)
}

/// Runs a command that touches no data, on the spot, and encodes its reply. Keeps the encoder's
/// protocol in step with the session's.
pub fn run_connection(
    command: &'static Command,
    session: &mut Session,
    server: &ServerState,
    args: &Args,
    out: &mut Encoder,
) {
    let mark = out.mark();
    let outcome = match command.run {
        Run::Connection(run) => {
            run(&mut ConnectionContext { session, server, now: SystemTime::now() }, args, out)
        }
        Run::Read(_) | Run::Write(_) => Err(misplaced(command)),
    };
    reply_failure(outcome, mark, server, out);
    server.stats.commands_processed.fetch_add(1, Relaxed);
}

/// Encodes the error reply of a request that [`admit`](super::admit) refused, and counts it.
pub fn refuse(fail: &Fail, server: &ServerState, out: &mut Encoder) {
    server.stats.error_replies.fetch_add(1, Relaxed);
    fail.encode(out);
}

/// Reads the records of the keys of `requests` as one batch, as far as that is kept in memory, unless
/// there is just one: the engine answers many at once cheaper than one by one.
fn prefetch(
    reader: &dyn Reader,
    environment: &Environment<'_>,
    state: &mut RunState,
    requests: &[Request],
) {
    let keys = requests
        .iter()
        .enumerate()
        .flat_map(|(index, (command, args))| command.keys.of(args).map(move |key| (index, key)));
    // An error is met again, and answered, by the command that looks the key up.
    let _ = state.prefetch(reader, environment.db, keys);
}

fn reply_failure(outcome: Result<(), Fail>, mark: Mark, server: &ServerState, out: &mut Encoder) {
    if let Err(fail) = outcome {
        out.truncate_to(mark);
        refuse(&fail, server, out);
    }
}

fn misplaced(command: &Command) -> Fail {
    Fail::Reply(format!("ERR command '{}' cannot run here", command.name).into())
}

/// Adds what a run counted to the server's counters: once a run rather than once a command, since
/// all threads share them.
fn count(state: &RunState, server: &ServerState, commands: usize) {
    let stats = &server.stats;
    stats.commands_processed.fetch_add(commands as u64, Relaxed);
    for (counter, count) in [
        (&stats.keyspace_hits, state.tally.hits),
        (&stats.keyspace_misses, state.tally.misses),
        (&stats.expired_keys, state.tally.expired),
    ] {
        if count > 0 {
            counter.fetch_add(count, Relaxed);
        }
    }
}
