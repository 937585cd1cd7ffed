//! `CLIENT`: what a connection can learn and say about itself.

use bytes::Bytes;

use crate::resp::{Args, Encoder};

use super::args::{exactly, is, lossy};
use super::connection::USER;
use super::context::ConnectionContext;
use super::fail::Fail;
use super::introspect::help;
use super::session::Session;
use super::spec::{Command, Flags, Group, Run};

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);

const fn bare_row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Connection).flags(ANY_TIME)
}

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    bare_row(name, arity, run).flags(Flags::NOSCRIPT)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[Command::new("client", -2, Run::Connection(help))
    .group(Group::Connection)
    .docs("2.4.0", "depends on the subcommand", "A container for the connection's own matters")
    .container(
        SUBCOMMANDS,
        &[
            "GETNAME",
            "    Returns the connection's name.",
            "ID",
            "    Returns the connection's id.",
            "INFO",
            "    Returns what the server knows about the connection.",
            "SETINFO <LIB-NAME|LIB-VER> <value>",
            "    Tells the server which client library is in use.",
            "SETNAME <name>",
            "    Names the connection.",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("client|getname", 2, Run::Connection(getname)).docs(
        "2.6.9",
        "O(1)",
        "Returns the connection's name",
    ),
    bare_row("client|help", 2, Run::Connection(help)).docs("5.0.0", "O(1)", "Returns a short help"),
    row("client|id", 2, Run::Connection(id)).docs("5.0.0", "O(1)", "Returns the connection's id"),
    row("client|info", 2, Run::Connection(info)).docs(
        "6.2.0",
        "O(1)",
        "Returns what the server knows about the connection",
    ),
    row("client|setinfo", 4, Run::Connection(setinfo)).docs(
        "7.2.0",
        "O(1)",
        "Tells the server which client library is in use",
    ),
    row("client|setname", 3, Run::Connection(setname)).docs(
        "2.6.9",
        "O(1)",
        "Names the connection",
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

fn info(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let session = &*context.session;
    let client = &session.client;
    session.publish();
    let profile = client.profile().clone();
    let line = format!(
        "id={} addr={} laddr={} name={} age={} idle={} flags=N db={} sub=0 psub=0 ssub=0 multi=-1 \
         cmd={} user={USER} resp={} lib-name={} lib-ver={}\n",
        client.id,
        client.addr,
        client.local_addr,
        lossy(&profile.name),
        client.created.elapsed().as_secs(),
        profile.last_interaction.elapsed().as_secs(),
        profile.db,
        profile.last_command,
        profile.protocol.version(),
        lossy(&profile.lib_name),
        lossy(&profile.lib_version),
    );
    out.verbatim("txt", line.as_bytes());
    Ok(())
}

/// Whether `text` can stand in a line of `name=value` pairs.
fn is_plain(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}
