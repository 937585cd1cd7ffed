//! The table of commands and the look-up in it.

use std::cmp::Ordering;
use std::sync::LazyLock;

use bytes::Bytes;

use crate::resp::Args;

use super::args::lossy;
use super::fail::Fail;
use super::server_state::ServerState;
use super::session::Session;
use super::spec::{Command, Flags, Run};

/// The rows of each family.
const FAMILIES: &[&[Command]] = &[
    super::bitfield::COMMANDS,
    super::bitmap::COMMANDS,
    super::client::COMMANDS,
    super::config::COMMANDS,
    super::connection::COMMANDS,
    super::copy::COMMANDS,
    super::debug::COMMANDS,
    super::expire::COMMANDS,
    super::hash::COMMANDS,
    super::introspect::COMMANDS,
    super::key::COMMANDS,
    super::latency::COMMANDS,
    super::lcs::COMMANDS,
    super::list::COMMANDS,
    super::list_blocking::COMMANDS,
    super::list_middle::COMMANDS,
    super::list_move::COMMANDS,
    super::lolwut::COMMANDS,
    super::memory::COMMANDS,
    super::monitor::COMMANDS,
    super::object::COMMANDS,
    super::replication::COMMANDS,
    super::save::COMMANDS,
    super::scan::COMMANDS,
    super::server::COMMANDS,
    super::set::COMMANDS,
    super::set_algebra::COMMANDS,
    super::slowlog::COMMANDS,
    super::sort::COMMANDS,
    super::sorted_set::COMMANDS,
    super::sorted_set::add::COMMANDS,
    super::sorted_set::algebra::COMMANDS,
    super::sorted_set::pop::COMMANDS,
    super::sorted_set::range::COMMANDS,
    super::sorted_set::remove::COMMANDS,
    super::string::COMMANDS,
    super::subscribe::COMMANDS,
    super::transaction::COMMANDS,
    super::wait::COMMANDS,
];

/// As much of a client's bytes as an error reply repeats.
const ECHOED_BYTES_MAX: usize = 128;

static TABLE: LazyLock<Vec<&'static Command>> = LazyLock::new(|| {
    let mut table: Vec<Command> = FAMILIES.iter().copied().flatten().copied().collect();
    table.sort_unstable_by_key(|command| command.name);
    let mut ids = 0..;
    let mut number = |command: &Command| Command { id: ids.next().unwrap_or(0), ..*command };
    // It lives as long as the program.
    table
        .iter()
        .map(|command| {
            let subcommands: Vec<Command> = command.subcommands.iter().map(&mut number).collect();
            let command = Command { subcommands: subcommands.leak(), ..number(command) };
            let as_read = command.read_form.map(|form| {
                let row = Command { run: Run::Read(form.run), prepare: None, ..command };
                &*Box::leak(Box::new(row))
            });
            &*Box::leak(Box::new(Command { as_read, ..command }))
        })
        .collect()
});

/// How many commands there are, subcommands included: every id is below it.
pub fn ids_len() -> usize {
    TABLE.iter().map(|command| 1 + command.subcommands.len()).sum()
}

/// Every command, by name; subcommands are in their containers' rows.
pub fn all() -> &'static [&'static Command] {
    &TABLE
}

/// The command of this name, in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let index = TABLE.binary_search_by(|row| compare(row.name.as_bytes(), name)).ok()?;
    TABLE.get(index).copied()
}

/// The row for a request: of a container's subcommand where there is one.
///
/// # Errors
/// An error reply for an unknown command or subcommand.
pub fn find(args: &Args) -> Result<&'static Command, Fail> {
    let name: &[u8] = args.first().map_or(b"", |name| name);
    let command = lookup(name).ok_or_else(|| unknown_command(name, args))?;
    match args.get(1) {
        Some(own) if !command.subcommands.is_empty() => command
            .subcommands
            .iter()
            .find(|row| row.own_name().as_bytes().eq_ignore_ascii_case(own))
            .ok_or_else(|| unknown_subcommand(command, own)),
        _ => Ok(command.form_for(args)),
    }
}

/// The row for a request that the session may make: known, with a fitting number of arguments,
/// and allowed where the session is: before authentication, while it has subscribed to something, while it
/// is shown what others do.
///
/// # Errors
/// The error reply otherwise.
pub fn admit(
    session: &Session,
    server: &ServerState,
    args: &Args,
) -> Result<&'static Command, Fail> {
    let command = find(args)?;
    check(command, session, server, args).inspect_err(|_| server.count_rejected(command))?;
    Ok(command)
}

fn check(
    command: &Command,
    session: &Session,
    server: &ServerState,
    args: &Args,
) -> Result<(), Fail> {
    if !command.accepts(args.len()) {
        return Err(Fail::arity(command.name));
    }
    if command.flags.contains(Flags::PROTECTED) && !server.allows_debug(&session.client) {
        return Err(Fail::text(
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", \
             you can run it from a local connection, otherwise you need to set this option in the \
             configuration file, and then restart the server.",
        ));
    }
    let authenticated = session.authenticated || !server.requires_password();
    if !authenticated && !command.flags.contains(Flags::NO_AUTH) {
        return Err(Fail::text("NOAUTH Authentication required."));
    }
    if session.is_subscriber() && !command.flags.contains(Flags::WHILE_SUBSCRIBED) {
        return Err(Fail::Reply(
            format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context",
                command.name
            )
            .into(),
        ));
    }
    if session.is_monitor && (command.reads_keyspace() || command.has_effects()) {
        return Err(Fail::text("ERR Replica can't interact with the keyspace"));
    }
    Ok(())
}

/// Byte order, with `name` taken in lower case; table names are in lower case already.
fn compare(row: &[u8], name: &[u8]) -> Ordering {
    row.iter().copied().cmp(name.iter().map(u8::to_ascii_lowercase))
}

fn unknown_command(name: &[u8], args: &Args) -> Fail {
    let mut echoed = String::new();
    for arg in args.iter().skip(1) {
        if echoed.len() >= ECHOED_BYTES_MAX {
            break;
        }
        let rest = ECHOED_BYTES_MAX - echoed.len();
        echoed.push_str(&format!("'{}' ", lossy(head(arg, rest))));
    }
    let name = lossy(head(name, ECHOED_BYTES_MAX));
    Fail::Reply(format!("ERR unknown command '{name}', with args beginning with: {echoed}").into())
}

fn unknown_subcommand(container: &Command, own: &Bytes) -> Fail {
    let own = lossy(head(own, ECHOED_BYTES_MAX));
    let container = container.name.to_ascii_uppercase();
    Fail::Reply(format!("ERR unknown subcommand '{own}'. Try {container} HELP.").into())
}

fn head(bytes: &[u8], len_max: usize) -> &[u8] {
    bytes.get(..len_max).unwrap_or(bytes)
}
