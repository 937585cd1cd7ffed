//! Running commands over a transaction: in the write lane, each in a savepoint of its own, with those
//! served who waited for what they did.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pontoon_storage::{Reader, Transaction};

use crate::data::{DbReader, DbWriter, Effects, Event, Kind, RunState};
use crate::resp::{Args, Encoder};

use super::clients::Client;
use super::context::WriteContext;
use super::execute::{
    Environment, REPLY_BYTES_PER_RUN_MAX, Ran, Request, count, misplaced, reply_failure,
    run_connection, run_read,
};
use super::fail::Fail;
use super::pubsub::Effect;
use super::server_state::ServerState;
use super::session::Session;
use super::spec::{Command, Prepared, Run};
use super::table::lookup;
use super::waiting::{Answer, Blocked, Waiter};
use super::watch::{Watch, WatchedKey};

/// How a run that may write came out.
#[derive(Debug, Default)]
pub struct WriteRun {
    /// How far it came.
    pub ran: Ran,
    /// The last command, which has no reply yet, waits for a key.
    pub blocked: Option<Blocked>,
}

/// Runs reading and writing commands over one transaction, in order, each in a savepoint of its
/// own, and encodes a reply for each, as far as [`execute_read`](super::execute_read) does. A failing
/// command has an error reply and none of its writes; the others stand. Clients that wait for what a
/// command did are served before the next one.
///
/// # Errors
/// The storage's, from keeping the books of the whole run: the transaction must then be undone, and
/// the replies are void.
pub fn execute_write(
    tx: &mut Transaction,
    environment: &Environment<'_>,
    requests: &[Request],
    out: &mut Encoder,
) -> pontoon_storage::Result<WriteRun> {
    let mut state = environment.run_state();
    let mut run = WriteRun::default();
    let reply_start = out.len_bytes();
    for request in requests {
        let (command, args) = request;
        // The command before may have begun to watch.
        state.effects.interest = environment.server.interest();
        let (mark, lookups) = (out.mark(), state.mark_lookups());
        let timing = environment.server.begin_command();
        let outcome = run_one(tx, &mut state, environment, command, args, out, None);
        match outcome {
            Err(Fail::Walk) => {
                out.truncate_to(mark);
                state.forget_lookups(lookups);
                run.ran.walks = true;
                break;
            }
            Err(Fail::Block(block)) => {
                out.truncate_to(mark);
                environment.tell_monitors(command, args);
                let Environment { server, client, db, .. } = *environment;
                server.begin_waiting(timing, command);
                let request = request.clone();
                run.blocked = Some(server.waiting.wait(request, db, out.protocol(), client, block));
                run.ran.done += 1;
                break;
            }
            outcome => {
                let failed = outcome.is_err();
                environment.server.end_command(timing, command, args, environment.client, failed);
                environment.tell_monitors(command, args);
                reply_failure(outcome, mark, environment.server, out);
            }
        }
        run.ran.done += 1;
        serve_waiting(tx, &mut state, environment);
        tell_watching(tx, &mut state, environment);
        if out.len_bytes() - reply_start >= REPLY_BYTES_PER_RUN_MAX {
            break;
        }
    }
    finish(tx, state, environment, run.ran.done)?;
    Ok(run)
}

/// Runs the commands of a transaction of the client's, each in a savepoint of its own, as one operation;
/// encodes one reply with theirs in it, or a null if `watch` has seen a change.
///
/// # Errors
/// As for [`execute_write`].
pub fn execute_transaction(
    tx: &mut Transaction,
    environment: &Environment<'_>,
    session: &mut Session,
    watch: Option<&Watch>,
    requests: &[Request],
    out: &mut Encoder,
) -> pontoon_storage::Result<()> {
    let (server, client) = (environment.server, environment.client);
    let timing = server.begin_command();
    run_transaction(tx, environment, session, watch, requests, out)?;
    if let Some(exec) = lookup(b"exec") {
        server.end_command(timing, exec, &Args::new(), client, false);
    }
    Ok(())
}

fn run_transaction(
    tx: &mut Transaction,
    environment: &Environment<'_>,
    session: &mut Session,
    watch: Option<&Watch>,
    requests: &[Request],
    out: &mut Encoder,
) -> pontoon_storage::Result<()> {
    let mut state = environment.run_state();
    if let Some(watch) = watch
        && (watch.is_changed() || has_expired(tx, &mut state, watch)?)
    {
        out.null_array();
        return Ok(());
    }
    out.array(requests.len());
    let mut data_commands = 0;
    let mut effects = Vec::new();
    for (command, args) in requests {
        let environment = Environment { db: session.db, ..*environment };
        if command.is_connection() || command.is_async() {
            run_connection(command, session, environment.server, args, out);
            let events_so_far = state.effects.events.len();
            effects.extend(session.effects.drain(..).map(|effect| (events_so_far, effect)));
            continue;
        }
        data_commands += 1;
        let mark = out.mark();
        let timing = environment.server.begin_command();
        let outcome = run_one(tx, &mut state, &environment, command, args, out, None);
        let outcome = match outcome {
            // Nothing waits in a transaction.
            Err(Fail::Block(block)) => {
                out.truncate_to(mark);
                block.nothing.encode(out);
                Ok(())
            }
            outcome => outcome,
        };
        let failed = outcome.is_err();
        environment.server.end_command(timing, command, args, environment.client, failed);
        environment.tell_monitors(command, args);
        reply_failure(outcome, mark, environment.server, out);
    }
    serve_waiting(tx, &mut state, environment);
    finish_with(tx, state, environment, data_commands, effects)
}

/// Begins to watch, with `watch`, what a command that is going to be prepared will read.
///
/// # Errors
/// The storage's.
pub fn watch_prepared(
    tx: &Transaction,
    environment: &Environment<'_>,
    (command, args): &Request,
    watch: &Arc<Watch>,
) -> pontoon_storage::Result<()> {
    let watches = &environment.server.watches;
    let (mut state, db) = (environment.run_state(), environment.db);
    for key in command.keys_of(args) {
        let found = DbReader::new(tx, &mut state, db).lookup(key).map_err(storage_error)?;
        watches.add(watch, WatchedKey { db, key: key.clone(), was_there: found.is_some() });
    }
    for pattern in command.patterns_of(args) {
        watches.add_pattern(watch, db, pattern);
    }
    Ok(())
}

/// Does the second part of a command that walked far, over a snapshot, before it writes, of which the first
/// took `reading`; or all of it, if `watch` has seen a change of what it read.
///
/// # Errors
/// As for [`execute_write`].
pub fn execute_prepared(
    tx: &mut Transaction,
    environment: &Environment<'_>,
    request: &Request,
    watch: &Watch,
    (prepared, reading): (Prepared, Duration),
    out: &mut Encoder,
) -> pontoon_storage::Result<()> {
    let mut state = environment.run_state();
    if watch.is_changed() || has_expired(tx, &mut state, watch)? {
        return execute_write(tx, environment, std::slice::from_ref(request), out).map(|_| ());
    }
    let (command, args) = request;
    let mark = out.mark();
    let timing = environment.server.begin_command().plus(reading);
    let outcome = in_savepoint(tx, &mut state, environment, None, |context| prepared(context, out));
    environment.server.end_command(timing, command, args, environment.client, outcome.is_err());
    environment.tell_monitors(command, args);
    reply_failure(outcome, mark, environment.server, out);
    serve_waiting(tx, &mut state, environment);
    finish(tx, state, environment, 1)
}

/// Runs one command; what it wrote is undone if it fails.
fn run_one(
    tx: &mut Transaction,
    state: &mut RunState,
    environment: &Environment<'_>,
    command: &Command,
    args: &Args,
    out: &mut Encoder,
    woken_by: Option<&Bytes>,
) -> Result<(), Fail> {
    match command.run {
        Run::Read(_) => run_read(tx, state, environment, command, args, out),
        Run::Write(run) => {
            in_savepoint(tx, state, environment, woken_by, |context| run(context, args, out))
        }
        Run::Connection(_) | Run::Async(..) => Err(misplaced(command)),
    }
}

fn in_savepoint<T>(
    tx: &mut Transaction,
    state: &mut RunState,
    environment: &Environment<'_>,
    woken_by: Option<&Bytes>,
    run: impl FnOnce(&mut WriteContext<'_>) -> Result<T, Fail>,
) -> Result<T, Fail> {
    let checkpoint = state.checkpoint();
    let outcome = tx.savepoint(|tx| {
        run(&mut WriteContext {
            db: DbWriter::new(tx, state, environment.db),
            server: environment.server,
            client: environment.client,
            may_walk: environment.may_walk,
            is_woken: woken_by.is_some(),
            woken_by,
        })
    });
    if outcome.is_err() {
        state.restore(checkpoint);
    }
    outcome
}

/// Serves those who wait for the keys that have become ready, first come, first served, and those who
/// wait for what they in turn do. Each of them is served once at the most, so that the number of clients
/// bounds how long this holds the lane.
fn serve_waiting(tx: &mut Transaction, state: &mut RunState, environment: &Environment<'_>) {
    let waiting = &environment.server.waiting;
    while !state.effects.ready.is_empty() {
        for (db, key) in std::mem::take(&mut state.effects.ready) {
            let keys = key.map_or_else(|| waiting.keys(db), |key| vec![key]);
            for key in &keys {
                serve_line(tx, state, environment, db, key);
            }
        }
    }
}

/// Serves those in the line of one key while it holds something.
fn serve_line(
    tx: &mut Transaction,
    state: &mut RunState,
    environment: &Environment<'_>,
    db: u8,
    key: &Bytes,
) {
    let waiting = &environment.server.waiting;
    let mut passed: Option<Arc<Waiter>> = None;
    while let Some(waiter) = waiting.next(db, key, passed.as_deref()) {
        if !holds_something(tx, state, db, key) {
            break;
        }
        if serve(tx, state, environment, &waiter, key) {
            waiting.remove(&waiter);
        } else {
            // It waits for something of another type, or has just left.
            passed = Some(waiter);
        }
    }
}

/// Runs the command of one who waits again, now that `key` holds something; whether its wait has ended.
fn serve(
    tx: &mut Transaction,
    state: &mut RunState,
    environment: &Environment<'_>,
    waiter: &Arc<Waiter>,
    key: &Bytes,
) -> bool {
    let (command, args) = &waiter.request;
    let environment =
        Environment { db: waiter.db, client: &waiter.client, may_walk: true, ..*environment };
    let mut reply = Encoder::new(waiter.protocol);
    let mark = reply.mark();
    let timing = environment.server.begin_command();
    let (checkpoint, mut claimed) = (state.checkpoint(), None);
    let outcome = tx.savepoint(|tx| {
        let outcome = run_one(tx, state, &environment, command, args, &mut reply, Some(key));
        if matches!(outcome, Err(Fail::Block(_) | Fail::Walk)) {
            return outcome;
        }
        // It may have left, or been sent away, at any moment: then nothing of this has happened.
        claimed = waiter.claim();
        if claimed.is_none() { Err(Fail::Walk) } else { outcome }
    });
    if outcome.is_err() {
        state.restore(checkpoint);
    }
    let Some(sender) = claimed else { return false };
    let failed = outcome.is_err();
    environment.server.end_waiting(timing, command, args, environment.client, failed);
    reply_failure(outcome, mark, environment.server, &mut reply);
    tx.after_commit(move |committed| {
        let answer = committed.map_or_else(Answer::Failed, |()| Answer::Served(reply));
        // The client may be gone by now.
        let _ = sender.send(answer);
    });
    true
}

/// Whether a key holds what can be waited for.
fn holds_something(tx: &Transaction, state: &mut RunState, db: u8, key: &[u8]) -> bool {
    let found = DbReader::new(tx, state, db).lookup(key);
    found.is_ok_and(|record| {
        record.is_some_and(|record| matches!(record.kind, Kind::List | Kind::SortedSet))
    })
}

/// Whether the time of a watched key has come that was there when it began to be watched.
fn has_expired(
    reader: &dyn Reader,
    state: &mut RunState,
    watch: &Watch,
) -> pontoon_storage::Result<bool> {
    for watched in watch.keys() {
        if watched.was_there {
            let found = DbReader::new(reader, state, watched.db).lookup(&watched.key);
            if found.map_err(storage_error)?.is_none() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn storage_error(error: crate::data::Error) -> pontoon_storage::Error {
    match error {
        crate::data::Error::Storage(error) => error,
        other => pontoon_storage::Error::corrupted(other.to_string()),
    }
}

/// Ends a run: the books are written, those who watch are told, and those who listen will be.
fn finish(
    tx: &mut Transaction,
    state: RunState,
    environment: &Environment<'_>,
    commands: usize,
) -> pontoon_storage::Result<()> {
    finish_with(tx, state, environment, commands, Vec::new())
}

/// The same, with what a transaction does to who listens to what, each with the number of events that come
/// before it.
fn finish_with(
    tx: &mut Transaction,
    mut state: RunState,
    environment: &Environment<'_>,
    commands: usize,
    effects: Vec<(usize, Effect)>,
) -> pontoon_storage::Result<()> {
    state.write_books(tx)?;
    let server = environment.server;
    count(&state, server, commands);
    tell_watching(tx, &mut state, environment);
    let events = std::mem::take(&mut state.effects.events);
    if effects.is_empty() {
        tell_once_committed(tx, server, events);
        return Ok(());
    }
    let (publisher, client) = (server.publisher(), Arc::clone(environment.client));
    tx.after_commit(move |committed| {
        if committed.is_ok() {
            publisher.commit(&client, &events, &effects);
        }
    });
    Ok(())
}

/// Tells those who watch what has happened so far. In a run of commands after each of them: one may begin
/// to watch what one before it has changed.
fn tell_watching(tx: &Transaction, state: &mut RunState, environment: &Environment<'_>) {
    let touched = std::mem::take(&mut state.effects.touched);
    environment.server.watches.tell(&touched, &mut |db, key| {
        DbReader::new(tx, state, db).lookup(key).is_ok_and(|record| record.is_some())
    });
}

/// Tells what a sweep of expired keys did to those who watch and listen.
pub fn tell_expired(tx: &mut Transaction, server: &ServerState, effects: Effects) {
    server.watches.tell(&effects.touched, &mut |_, _| false);
    tell_once_committed(tx, server, effects.events);
}

fn tell_once_committed(tx: &mut Transaction, server: &ServerState, events: Vec<Event>) {
    if events.is_empty() {
        return;
    }
    let publisher = server.publisher();
    tx.after_commit(move |committed| {
        if committed.is_ok() {
            publisher.tell_events(&events);
        }
    });
}

/// A client that ended its transaction, or its connection, watches nothing any more.
pub fn unwatch(server: &ServerState, client: &Client) {
    if let Some(watch) = client.watch().take() {
        server.watches.remove(&watch);
    }
}
