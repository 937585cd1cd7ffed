//! `MULTI`, `EXEC`, `DISCARD`, `WATCH`, `UNWATCH`.
//!
//! The connection queues what comes between `MULTI` and `EXEC`, and runs it as one operation of the write
//! lane.

use std::sync::Arc;

use crate::data::detached;
use crate::resp::{Args, Encoder};

use super::args::at_least;
use super::context::{ConnectionContext, WriteContext};
use super::execute_write::unwatch as end_watch;
use super::fail::Fail;
use super::server_state::ServerState;
use super::session::{QueuedTransaction, Session};
use super::spec::{Command, Flags, Group, Run};
use super::watch::WatchedKey;

/// Bytes of requests that may be queued behind one `MULTI`; the one that passes it is the last.
pub const QUEUED_BYTES_MAX: usize = 512 << 20;

const ANY_TIME: Flags =
    Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::FAST).or(Flags::ALLOW_BUSY);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Transactions).flags(ANY_TIME.or(Flags::UNQUEUED))
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("discard", 1, Run::Connection(discard)).docs(
        "2.0.0",
        "O(N) with the number of queued commands",
        "Forgets the commands queued since MULTI",
    ),
    Command::new("exec", 1, Run::Connection(exec))
        .group(Group::Transactions)
        .flags(Flags::NOSCRIPT.or(Flags::LOADING).or(Flags::STALE).or(Flags::SKIP_SLOWLOG))
        .flags(Flags::UNQUEUED)
        .docs(
            "1.2.0",
            "that of the queued commands",
            "Runs the commands queued since MULTI as one operation",
        ),
    row("multi", 1, Run::Connection(multi)).docs(
        "1.2.0",
        "O(1)",
        "Begins a transaction: what follows is queued",
    ),
    Command::new("unwatch", 1, Run::Connection(unwatch))
        .group(Group::Transactions)
        .flags(ANY_TIME)
        .docs("2.2.0", "O(N) with the number of watched keys", "Watches no key any more"),
    row("watch", -2, Run::Write(watch)).keys(1, -1, 1).access("RO").syntax("key ...").docs(
        "2.2.0",
        "O(N) with the number of keys",
        "Makes the next EXEC do nothing if one of the keys changes until then",
    ),
];

fn multi(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    if context.session.transaction.is_some() || context.session.in_exec {
        return Err(Fail::text("ERR MULTI calls can not be nested"));
    }
    context.session.transaction = Some(Box::<QueuedTransaction>::default());
    out.ok();
    Ok(())
}

fn discard(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    if context.session.transaction.take().is_none() {
        return Err(Fail::text("ERR DISCARD without MULTI"));
    }
    end_watch(context.server, &context.session.client);
    out.ok();
    Ok(())
}

/// The connection runs what is queued, and writes the reply.
fn exec(context: &mut ConnectionContext<'_>, _: &Args, _: &mut Encoder) -> Result<(), Fail> {
    let session = &mut *context.session;
    match &session.transaction {
        None => Err(Fail::text("ERR EXEC without MULTI")),
        Some(queued) if queued.is_broken => {
            session.transaction = None;
            end_watch(context.server, &session.client);
            Err(Fail::text("EXECABORT Transaction discarded because of previous errors."))
        }
        Some(_) => {
            session.wants_exec = true;
            Ok(())
        }
    }
}

/// What becomes of `EXEC` that cannot be run at all: the transaction is over all the same.
pub fn abort_exec(session: &mut Session, server: &ServerState, why: &Fail) -> Fail {
    session.transaction = None;
    end_watch(server, &session.client);
    let why = why.to_text();
    let why = why.strip_prefix("ERR ").unwrap_or(&why);
    Fail::Reply(format!("EXECABORT Transaction discarded because of: {why}").into())
}

fn unwatch(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    // Inside of EXEC the keys are watched no more already.
    end_watch(context.server, &context.session.client);
    out.ok();
    Ok(())
}

/// A write that writes nothing: so it has its place among the writes.
fn watch(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], keys) = at_least(args)?;
    let db = context.db.number();
    for key in keys {
        let was_there = context.db.reader().lookup(key)?.is_some();
        // A copy, since a part of what was received would hold all of it in memory.
        let watched = WatchedKey { db, key: detached(key), was_there };
        let watch = Arc::clone(context.client.watch().get_or_insert_default());
        if !context.server.watches.add(&watch, watched) {
            return Err(Fail::text("ERR too many watched keys"));
        }
    }
    out.ok();
    Ok(())
}
