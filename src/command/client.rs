//! `CLIENT`: what a connection can learn and say about itself, and do to others. `client_list` has what it
//! can learn about others.

use bytes::Bytes;

use crate::resp::{Args, Encoder};

use super::args::{at_least, exactly, integer, is, lossy};
use super::client_list::{info, kill, list};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::introspect::help;
use super::pause::PauseMode;
use super::session::{ReplyMode, Session};
use super::spec::{Command, ConnectionFn, Flags, Group, Run};
use super::subscribe::wrong_number;
use super::wait::parse_timeout;

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const ADMIN: Flags = Flags::ADMIN.or(Flags::DANGEROUS);

const fn bare_row(name: &'static str, arity: i32, run: ConnectionFn) -> Command {
    Command::new(name, arity, Run::Connection(run)).group(Group::Connection).flags(ANY_TIME)
}

const fn row(name: &'static str, arity: i32, run: ConnectionFn) -> Command {
    bare_row(name, arity, run).flags(Flags::NOSCRIPT)
}

const fn admin_row(name: &'static str, arity: i32, run: ConnectionFn) -> Command {
    row(name, arity, run).flags(ADMIN)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[Command::new("client", -2, Run::Connection(help))
    .group(Group::Connection)
    .docs("2.4.0", "depends on the subcommand", "A container for what concerns connections")
    .container(
        SUBCOMMANDS,
        &[
            "CACHING (YES|NO)",
            "    Fails: the server does not track what clients keep.",
            "GETNAME",
            "    Returns the connection's name.",
            "GETREDIR",
            "    Returns -1: the server does not track what clients keep.",
            "ID",
            "    Returns the connection's id.",
            "INFO",
            "    Returns what the server knows about the connection.",
            "KILL <ip:port>",
            "    Closes the connection from this address.",
            "KILL <filter> <value> [<filter> <value> ...]",
            "    Closes the connections that fit all filters: ID <id>, ADDR <ip:port>,",
            "    LADDR <ip:port>, TYPE (NORMAL|MASTER|REPLICA|PUBSUB), USER <name>;",
            "    SKIPME (YES|NO): whether to leave this one open, as by default.",
            "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB) | ID <id> [<id> ...]]",
            "    Returns what the server knows about connections.",
            "NO-EVICT (ON|OFF)",
            "    Protects the connection from being closed for want of memory.",
            "PAUSE <milliseconds> [WRITE|ALL]",
            "    Lets commands of all clients, or those that write, wait before they run.",
            "REPLY (ON|OFF|SKIP)",
            "    Says which replies the connection wants.",
            "SETINFO <LIB-NAME|LIB-VER> <value>",
            "    Tells the server which client library is in use.",
            "SETNAME <name>",
            "    Names the connection.",
            "TRACKING (ON|OFF) [<option> ...]",
            "    Fails but for OFF: the server does not track what clients keep.",
            "TRACKINGINFO",
            "    Returns that nothing is tracked.",
            "UNBLOCK <id> [TIMEOUT|ERROR]",
            "    Sends a client on its way that waits for a key.",
            "UNPAUSE",
            "    Ends a pause.",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("client|caching", 3, caching).syntax("<YES | NO>").docs(
        "6.0.0",
        "O(1)",
        "Fails: the server does not track what clients keep",
    ),
    row("client|getname", 2, getname).docs("2.6.9", "O(1)", "Returns the connection's name"),
    row("client|getredir", 2, getredir).docs("6.0.0", "O(1)", "Returns -1: nothing is tracked"),
    bare_row("client|help", 2, help).docs("5.0.0", "O(1)", "Returns a short help"),
    row("client|id", 2, id).docs("5.0.0", "O(1)", "Returns the connection's id"),
    row("client|info", 2, info).docs(
        "6.2.0",
        "O(1)",
        "Returns what the server knows about the connection",
    ),
    admin_row("client|kill", -3, kill)
        .syntax(
            "<addr | ID client-id:integer | TYPE <NORMAL | MASTER | REPLICA | \
             PUBSUB> | USER username | ADDR addr | LADDR addr | SKIPME <YES | NO>> \
             ...",
        )
        .docs("2.4.0", "O(N) with the number of connections", "Closes connections"),
    admin_row("client|list", -2, list)
        .syntax("[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id:integer ...]")
        .docs(
            "2.4.0",
            "O(N) with the number of connections",
            "Returns what the server knows about connections",
        ),
    admin_row("client|no-evict", 3, no_evict).syntax("<ON | OFF>").docs(
        "7.0.0",
        "O(1)",
        "Protects the connection from being closed for want of memory",
    ),
    admin_row("client|pause", -3, pause).syntax("timeout:integer [WRITE | ALL]").docs(
        "2.9.50",
        "O(1)",
        "Lets commands of all clients wait for a while",
    ),
    row("client|reply", 3, reply).syntax("<ON | OFF | SKIP>").docs(
        "3.2.0",
        "O(1)",
        "Says which replies the connection wants",
    ),
    row("client|setinfo", 4, setinfo).syntax("<LIB-NAME libname | LIB-VER libver>").docs(
        "7.2.0",
        "O(1)",
        "Tells the server which client library is in use",
    ),
    row("client|setname", 3, setname).syntax("connection-name").docs(
        "2.6.9",
        "O(1)",
        "Names the connection",
    ),
    row("client|tracking", -3, tracking)
        .syntax(
            "<ON | OFF> [REDIRECT client-id:integer] [(PREFIX prefix) ...] [BCAST] \
             [OPTIN] [OPTOUT] [NOLOOP]",
        )
        .docs("6.0.0", "O(1)", "Fails: the server does not track what clients keep"),
    row("client|trackinginfo", 2, trackinginfo).docs(
        "6.2.0",
        "O(1)",
        "Returns that nothing is tracked",
    ),
    admin_row("client|unblock", -3, unblock).syntax("client-id:integer [TIMEOUT | ERROR]").docs(
        "5.0.0",
        "O(log N) with the number of connections",
        "Sends a client on its way that waits",
    ),
    admin_row("client|unpause", 2, unpause).docs(
        "6.2.0",
        "O(N) with the number of clients that wait",
        "Ends a pause",
    ),
];

/// Names the connection; an empty name takes the name away.
///
/// # Errors
/// A reply for a name with blanks or special characters.
pub(super) fn set_name(session: &mut Session, name: &Bytes) -> Result<(), Fail> {
    if !is_plain(name) {
        return Err(Fail::text(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ));
    }
    session.client.profile().name = Bytes::copy_from_slice(name);
    Ok(())
}

fn id(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.integer(context.session.client.id as i64);
    Ok(())
}

fn getname(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let profile = context.session.client.profile();
    if profile.name.is_empty() {
        out.null();
    } else {
        out.bulk(&profile.name);
    }
    Ok(())
}

fn setname(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, _, name] = exactly(args)?;
    set_name(context.session, name)?;
    out.ok();
    Ok(())
}

fn setinfo(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, _, attribute, value] = exactly(args)?;
    let profile = &mut *context.session.client.profile();
    let (place, shown) = if is(attribute, "lib-name") {
        (&mut profile.lib_name, "lib-name")
    } else if is(attribute, "lib-ver") {
        (&mut profile.lib_version, "lib-ver")
    } else {
        let text = format!("ERR Unrecognized option '{}'", lossy(attribute));
        return Err(Fail::Reply(text.into()));
    };
    if !is_plain(value) {
        let text = format!("ERR {shown} cannot contain spaces, newlines or special characters.");
        return Err(Fail::Reply(text.into()));
    }
    *place = Bytes::copy_from_slice(value);
    out.ok();
    Ok(())
}

/// Whether `text` can stand in a line of `name=value` pairs.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

fn no_evict(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let [_, _, choice] = exactly(args)?;
    context.session.client.profile().no_evict = on_or_off(choice)?;
    out.ok();
    Ok(())
}

fn on_or_off(choice: &[u8]) -> Result<bool, Fail> {
    if is(choice, "on") {
        Ok(true)
    } else if is(choice, "off") {
        Ok(false)
    } else {
        Err(Fail::SYNTAX)
    }
}

/// The connection does what is asked; only `ON` has a reply of its own.
fn reply(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, _, choice] = exactly(args)?;
    let mode = &mut context.session.reply_mode;
    if is(choice, "on") {
        *mode = ReplyMode::On;
        out.ok();
    } else if is(choice, "off") {
        *mode = ReplyMode::Off;
    } else if is(choice, "skip") {
        if *mode != ReplyMode::Off {
            *mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(Fail::SYNTAX);
    }
    Ok(())
}

fn pause(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _, timeout], options) = at_least(args)?;
    let mode = match options {
        [] => PauseMode::All,
        [mode] if is(mode, "write") => PauseMode::Writes,
        [mode] if is(mode, "all") => PauseMode::All,
        [_] => return Err(Fail::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(wrong_number("CLIENT", args)),
    };
    let time = parse_timeout(timeout)?.unwrap_or_default();
    context.server.pause.begin(mode, time);
    out.ok();
    Ok(())
}

fn unpause(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    context.server.pause.end();
    out.ok();
    Ok(())
}

fn unblock(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _, id], options) = at_least(args)?;
    let with_error = match options {
        [] => false,
        [reason] if is(reason, "timeout") => false,
        [reason] if is(reason, "error") => true,
        [_] => return Err(Fail::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(wrong_number("CLIENT", args)),
    };
    let id = integer(id)?;
    let client = u64::try_from(id).ok().and_then(|id| context.server.clients.get(id));
    let is_unblocked = client.is_some_and(|client| {
        let waiter = client.waiter().clone();
        waiter.is_some_and(|waiter| waiter.unblock(with_error)) || client.unpark(with_error)
    });
    out.integer(is_unblocked.into());
    Ok(())
}

fn tracking(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _, choice], options) = at_least(args)?;
    if on_or_off(choice)? || !options.is_empty() {
        return Err(Fail::text(
            "ERR CLIENT TRACKING is not supported: the server does not track what clients keep",
        ));
    }
    out.ok();
    Ok(())
}

fn caching(_: &mut ConnectionContext<'_>, _: &Args, _: &mut Encoder) -> Result<(), Fail> {
    Err(Fail::text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or \
         OPTOUT mode enabled",
    ))
}

fn getredir(_: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.integer(-1);
    Ok(())
}

fn trackinginfo(_: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.map(3);
    out.bulk(b"flags");
    out.set(1);
    out.bulk(b"off");
    out.bulk(b"redirect");
    out.integer(-1);
    out.bulk(b"prefixes");
    out.array(0);
    Ok(())
}
