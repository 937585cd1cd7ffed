//! The server as a whole: its databases' sizes, state and end. Its settings are in `config.rs`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::data::DATABASES;
use crate::resp::{Args, Encoder};

use super::args::{at_least, database, exactly, int, is};
use super::context::{ConnectionContext, ReadContext, WriteContext};
use super::fail::Fail;
use super::info;
use super::server_state::ShutdownRequest;
use super::spec::{Command, Flags, Group, Run};

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const ADMIN: Flags = ANY_TIME.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::DANGEROUS);
const FLUSH: Flags = Flags::KEYSPACE.or(Flags::DANGEROUS);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("dbsize", 1, Run::Read(dbsize)).flags(Flags::FAST.or(Flags::KEYSPACE)).docs(
        "1.0.0",
        "O(1)",
        "Returns the number of keys in the database",
    ),
    row("flushall", -1, Run::Write(flushall)).flags(FLUSH).syntax("[ASYNC | SYNC]").docs(
        "1.0.0",
        "O(1), the space is freed in the background",
        "Removes all keys of all databases",
    ),
    row("flushdb", -1, Run::Write(flushdb)).flags(FLUSH).syntax("[ASYNC | SYNC]").docs(
        "1.0.0",
        "O(1), the space is freed in the background",
        "Removes all keys of the database",
    ),
    row("info", -1, Run::Read(info))
        .flags(ANY_TIME.or(Flags::DANGEROUS))
        .syntax("[section ...]")
        .docs("1.0.0", "O(1)", "Returns figures about the server, by section"),
    row("shutdown", -1, Run::Connection(shutdown))
        .flags(ADMIN.or(Flags::NO_MULTI).or(Flags::ALLOW_BUSY))
        .syntax("[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]")
        .docs("1.0.0", "O(1)", "Stops the server; everything acknowledged is saved already"),
    row("swapdb", 3, Run::Write(swapdb))
        .flags(FLUSH.or(Flags::FAST))
        .syntax("index1:integer index2:integer")
        .docs(
            "4.0.0",
            "O(N) with the number of keys that are watched or waited for",
            "Lets two databases change places",
        ),
    row("time", 1, Run::Connection(time)).flags(ANY_TIME.or(Flags::FAST)).docs(
        "2.6.0",
        "O(1)",
        "Returns the server's clock",
    ),
];

fn dbsize(context: &mut ReadContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let (keys, _) = context.db.key_counts()?;
    out.integer(keys as i64);
    Ok(())
}

fn flushdb(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    check_flush_mode(args)?;
    context.db.flush()?;
    out.ok();
    Ok(())
}

fn flushall(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    check_flush_mode(args)?;
    for db in 0..DATABASES {
        context.db.database(db).flush()?;
    }
    out.ok();
    Ok(())
}

fn swapdb(context: &mut WriteContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, one, other] = exactly(args)?;
    let one = int(one, Some(Fail::text("ERR invalid first DB index")))?;
    let other = int(other, Some(Fail::text("ERR invalid second DB index")))?;
    let (one, other) = (database(one)?, database(other)?);
    if one != other {
        context.db.swap(one, other)?;
    }
    out.ok();
    Ok(())
}

/// Both modes are the same here: the keys are gone at once, and swept in the background.
fn check_flush_mode(args: &Args) -> Result<(), Fail> {
    match args.as_slice() {
        [_] => Ok(()),
        [_, mode] if is(mode, "async") || is(mode, "sync") => Ok(()),
        _ => Err(Fail::SYNTAX),
    }
}

fn info(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_], sections) = at_least(args)?;
    let text = info::text(&mut context.db, context.server, sections)?;
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn time(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let since = since_1970(context.now);
    out.array(2);
    out.bulk(since.as_secs().to_string().as_bytes());
    out.bulk(since.subsec_micros().to_string().as_bytes());
    Ok(())
}

fn shutdown(context: &mut ConnectionContext<'_>, args: &Args, _: &mut Encoder) -> Result<(), Fail> {
    let ([_], options) = at_least(args)?;
    let (mut save, mut nosave, mut now, mut force, mut abort) = Default::default();
    for option in options {
        let flag: &mut bool = match option {
            option if is(option, "save") => &mut save,
            option if is(option, "nosave") => &mut nosave,
            option if is(option, "now") => &mut now,
            option if is(option, "force") => &mut force,
            option if is(option, "abort") => &mut abort,
            _ => return Err(Fail::SYNTAX),
        };
        *flag = true;
    }
    if (save && nosave) || (abort && (save || nosave || now || force)) {
        return Err(Fail::SYNTAX);
    }
    if abort {
        // A shutdown cannot be called off: it begins with the request and closes connections.
        return Err(Fail::text("ERR No shutdown in progress."));
    }
    context.server.request_shutdown(ShutdownRequest { now });
    context.session.close_after_reply = true;
    Ok(())
}

fn since_1970(now: SystemTime) -> std::time::Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
