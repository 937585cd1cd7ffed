//! `COMMAND`, and the `HELP` of every container: the table as clients see it.

use crate::glob;
use crate::resp::{Args, Encoder};

use super::args::{at_least, is};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::spec::{Command, Flags, Group, KeySpec, Run};
use super::table::{all, find, lookup};

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server).flags(ANY_TIME)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[row("command", -1, Run::Connection(command))
    .docs("2.8.13", "O(N) with the number of commands", "Returns what the commands are")
    .container(
        SUBCOMMANDS,
        &[
            "(no subcommand)",
            "    Returns the details of all commands.",
            "COUNT",
            "    Returns how many commands there are.",
            "DOCS [<name> ...]",
            "    Returns the documentation of the commands named, or of all.",
            "GETKEYS <command> [<arg> ...]",
            "    Returns which of the arguments are keys.",
            "INFO [<name> ...]",
            "    Returns the details of the commands named, or of all.",
            "LIST [FILTERBY <MODULE <name>|ACLCAT <category>|PATTERN <pattern>>]",
            "    Returns the commands' names.",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("command|count", 2, Run::Connection(count)).docs(
        "2.8.13",
        "O(1)",
        "Returns how many commands there are",
    ),
    row("command|docs", -2, Run::Connection(docs)).docs(
        "7.0.0",
        "O(N) with the number of commands",
        "Returns the documentation of commands",
    ),
    row("command|getkeys", -4, Run::Connection(getkeys)).docs(
        "2.8.13",
        "O(N) with the number of arguments",
        "Returns which of a command's arguments are keys",
    ),
    row("command|help", 2, Run::Connection(help)).docs("5.0.0", "O(1)", "Returns a short help"),
    row("command|info", -2, Run::Connection(info)).docs(
        "2.8.13",
        "O(N) with the number of commands",
        "Returns the details of commands",
    ),
    row("command|list", -2, Run::Connection(list)).docs(
        "7.0.0",
        "O(N) with the number of commands",
        "Returns the commands' names",
    ),
];

/// The `HELP` of the container that the request names.
///
/// # Errors
/// None from a row of the table.
pub(super) fn help(
    _: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([name], _) = at_least(args)?;
    let container = lookup(name).ok_or(Fail::SYNTAX)?;
    let title = container.name.to_ascii_uppercase();
    out.array(container.help.len() + 3);
    out.simple(&format!("{title} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in container.help.iter().copied().chain(["HELP", "    Prints this help."]) {
        out.simple(line);
    }
    Ok(())
}

fn command(_: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    reply_all_details(out);
    Ok(())
}

fn count(_: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.integer(all().len() as i64);
    Ok(())
}

fn info(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], names) = at_least(args)?;
    if names.is_empty() {
        reply_all_details(out);
        return Ok(());
    }
    out.array(names.len());
    for name in names {
        match by_full_name(name) {
            Some(command) => reply_details(command, out),
            None => out.null(),
        }
    }
    Ok(())
}

fn docs(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], names) = at_least(args)?;
    let chosen: Vec<&Command> = if names.is_empty() {
        all().to_vec()
    } else {
        names.iter().filter_map(|name| by_full_name(name)).collect()
    };
    out.map(chosen.len());
    for command in chosen {
        out.bulk(command.name.as_bytes());
        reply_docs(command, out);
    }
    Ok(())
}

fn list(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], options) = at_least(args)?;
    let mut names: Vec<&Command> = all()
        .iter()
        .flat_map(|&command| [command].into_iter().chain(command.subcommands))
        .collect();
    match options {
        [] => {}
        [filter, kind, wanted] if is(filter, "filterby") => {
            if is(kind, "module") {
                names.clear();
            } else if is(kind, "aclcat") {
                names.retain(|command| categories(command).iter().any(|name| is(wanted, name)));
            } else if is(kind, "pattern") {
                names
                    .retain(|command| glob::matches_ignoring_case(wanted, command.name.as_bytes()));
            } else {
                return Err(Fail::SYNTAX);
            }
        }
        _ => return Err(Fail::SYNTAX),
    }
    out.array(names.len());
    for command in names {
        out.bulk(command.name.as_bytes());
    }
    Ok(())
}

fn getkeys(_: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], request) = at_least(args)?;
    let request = request.to_vec();
    let command = find(&request).map_err(|_| Fail::text("ERR Invalid command specified"))?;
    if command.keys == KeySpec::NONE && command.movable_keys.is_none() {
        return Err(Fail::text("ERR The command has no key arguments"));
    }
    if !command.accepts(request.len()) {
        return Err(Fail::text("ERR Invalid number of arguments specified for command"));
    }
    let keys = command.keys_of(&request);
    out.array(keys.len());
    for key in keys {
        out.bulk(key);
    }
    Ok(())
}

fn reply_all_details(out: &mut Encoder) {
    out.array(all().len());
    for command in all() {
        reply_details(command, out);
    }
}

/// The ten elements that `COMMAND INFO` has for a command.
fn reply_details(command: &Command, out: &mut Encoder) {
    out.array(10);
    out.bulk(command.name.as_bytes());
    out.integer(i64::from(command.arity));
    reply_names(&flags(command), out);
    let KeySpec { first, last, step } = command.keys;
    for number in [i64::from(first), i64::from(last), i64::from(step)] {
        out.integer(number);
    }
    let categories: Vec<_> = categories(command).iter().map(|name| format!("@{name}")).collect();
    reply_names(&categories, out);
    out.array(0);
    reply_key_specs(command, out);
    out.array(command.subcommands.len());
    for subcommand in command.subcommands {
        reply_details(subcommand, out);
    }
}

fn reply_key_specs(command: &Command, out: &mut Encoder) {
    let KeySpec { first, last, step } = command.keys;
    if step == 0 {
        out.array(0);
        return;
    }
    // Counted from the first key, unless from the end.
    let last = if last < 0 { i64::from(last) } else { i64::from(last) - i64::from(first) };
    out.array(1);
    out.map(3);
    out.bulk(b"flags");
    reply_names(&[if command.is_write() { "RW" } else { "RO" }], out);
    out.bulk(b"begin_search");
    out.map(2);
    reply_pair(b"type", b"index", out);
    out.bulk(b"spec");
    out.map(1);
    out.bulk(b"index");
    out.integer(i64::from(first));
    out.bulk(b"find_keys");
    out.map(2);
    reply_pair(b"type", b"range", out);
    out.bulk(b"spec");
    out.map(3);
    for (name, number) in [("lastkey", last), ("keystep", i64::from(step)), ("limit", 0)] {
        out.bulk(name.as_bytes());
        out.integer(number);
    }
}

fn reply_docs(command: &Command, out: &mut Encoder) {
    out.map(if command.subcommands.is_empty() { 4 } else { 5 });
    reply_pair(b"summary", command.summary.as_bytes(), out);
    reply_pair(b"since", command.since.as_bytes(), out);
    reply_pair(b"group", command.group.name().as_bytes(), out);
    reply_pair(b"complexity", command.complexity.as_bytes(), out);
    if !command.subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map(command.subcommands.len());
        for subcommand in command.subcommands {
            out.bulk(subcommand.name.as_bytes());
            reply_docs(subcommand, out);
        }
    }
}

fn reply_pair(name: &[u8], value: &[u8], out: &mut Encoder) {
    out.bulk(name);
    out.bulk(value);
}

fn reply_names(names: &[impl AsRef<str>], out: &mut Encoder) {
    out.set(names.len());
    for name in names {
        out.simple(name.as_ref());
    }
}

/// A command, or by `container|subcommand` a subcommand.
fn by_full_name(name: &[u8]) -> Option<&'static Command> {
    let container = name.split(|&byte| byte == b'|').next()?;
    let command = lookup(container)?;
    if container.len() == name.len() {
        return Some(command);
    }
    command.subcommands.iter().find(|row| is(name, row.name))
}

fn flags(command: &Command) -> Vec<&'static str> {
    let access = match command.run {
        Run::Read(_) if command.reads_keyspace() => Some("readonly"),
        Run::Write(_) if command.has_effects() => Some("write"),
        Run::Write(_) => None,
        Run::Read(_) | Run::Connection(_) | Run::Async(..) => None,
    };
    let named = Flags::NAMED.iter().filter(|(flag, _)| command.flags.contains(*flag));
    access.into_iter().chain(named.map(|(_, name)| *name)).collect()
}

/// The access control categories, without the `@`.
fn categories(command: &Command) -> Vec<&'static str> {
    let mut names = Vec::new();
    if command.flags.contains(Flags::KEYSPACE) {
        names.push("keyspace");
    }
    match flags(command).first() {
        Some(&"readonly") => names.push("read"),
        Some(&"write") => names.push("write"),
        _ => {}
    }
    // Redis counts COMMAND among the connection's, though it documents it under the server.
    let is_command = command.name.starts_with("command");
    names.extend(command.group.category().or(is_command.then_some("connection")));
    names.extend(command.categories);
    if command.is_blocking() {
        names.push("blocking");
    }
    if command.flags.contains(Flags::ADMIN) {
        names.push("admin");
    }
    names.push(if command.flags.contains(Flags::FAST) { "fast" } else { "slow" });
    if command.flags.contains(Flags::DANGEROUS) {
        names.push("dangerous");
    }
    names
}
