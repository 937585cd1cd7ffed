//! `COMMAND`, and the `HELP` of every container: the table as clients see it.

use bytes::Bytes;

use crate::glob;
use crate::resp::{Args, Encoder};

use super::args::{at_least, is};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::spec::{Command, Flags, Group, KeySpec, Run};
use super::syntax::{Argument, ArgumentKind, parse};
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
            "GETKEYSANDFLAGS <command> [<arg> ...]",
            "    Returns which of the arguments are keys, and what is done with each.",
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
    row("command|docs", -2, Run::Connection(docs)).syntax("[command-name ...]").docs(
        "7.0.0",
        "O(N) with the number of commands",
        "Returns the documentation of commands",
    ),
    row("command|getkeys", -4, Run::Connection(getkeys)).syntax("command arg ...").docs(
        "2.8.13",
        "O(N) with the number of arguments",
        "Returns which of a command's arguments are keys",
    ),
    row("command|getkeysandflags", -4, Run::Connection(getkeysandflags))
        .syntax("command arg ...")
        .docs(
            "7.0.0",
            "O(N) with the number of arguments",
            "Returns which of a command's arguments are keys, and what is done with each",
        ),
    row("command|help", 2, Run::Connection(help)).docs("5.0.0", "O(1)", "Returns a short help"),
    row("command|info", -2, Run::Connection(info)).syntax("[command-name ...]").docs(
        "2.8.13",
        "O(N) with the number of commands",
        "Returns the details of commands",
    ),
    row("command|list", -2, Run::Connection(list))
        .syntax(
            "[FILTERBY <MODULE module-name | ACLCAT category | PATTERN \
             pattern:pattern>]",
        )
        .docs("7.0.0", "O(N) with the number of commands", "Returns the commands' names"),
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
    let (.., keys) = keys_of_request(args)?;
    out.array(keys.len());
    for key in keys {
        out.bulk(&key);
    }
    Ok(())
}

fn getkeysandflags(
    _: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let (command, request, keys) = keys_of_request(args)?;
    let access = command.access_of_keys_of(&request);
    out.array(keys.len());
    for (position, key) in keys.iter().enumerate() {
        out.array(2);
        out.bulk(key);
        reply_names(access.get(position).or(access.last()).map_or(&[][..], Vec::as_slice), out);
    }
    Ok(())
}

/// The arguments behind the first two as a request: its command, itself, and its keys.
fn keys_of_request(args: &Args) -> Result<(&'static Command, Args, Vec<Bytes>), Fail> {
    let ([_, _], request) = at_least(args)?;
    let request = request.to_vec();
    let command = find(&request).map_err(|_| Fail::text("ERR Invalid command specified"))?;
    if command.keys == KeySpec::NONE && command.movable_keys.is_none() {
        return Err(Fail::text("ERR The command has no key arguments"));
    }
    if !command.accepts(request.len()) {
        return Err(Fail::text("ERR Invalid number of arguments specified for command"));
    }
    let keys: Vec<Bytes> = command.keys_of(&request).into_iter().cloned().collect();
    if keys.is_empty() && !command.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(Fail::text("ERR Invalid arguments specified for command"));
    }
    Ok((command, request, keys))
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
    out.set(0);
    reply_key_specs(command, out);
    out.array(command.subcommands.len());
    for subcommand in command.subcommands {
        reply_details(subcommand, out);
    }
}

/// One for each kind of access: where the keys that are accessed in the same way stand.
fn reply_key_specs(command: &Command, out: &mut Encoder) {
    let KeySpec { first, last, step } = command.keys;
    if step == 0 {
        out.set(0);
        return;
    }
    let access = command.access_of_keys();
    // As many as there are keys, if that is fixed; what is said beyond is of keys that stand elsewhere.
    let fixed = u32::try_from(last).ok().map(|last| last.saturating_sub(first) / step + 1);
    let kinds = fixed.map_or(access.len(), |keys| access.len().min(keys as usize));
    let mut specs: Vec<(u32, i64, &[&str])> = Vec::with_capacity(kinds);
    for (access, start) in access.iter().take(kinds).zip((first..).step_by(step as usize)) {
        // The last of them is of all the keys that are left: counted from the first, unless from the end.
        let last = match i64::from(last) {
            _ if specs.len() + 1 < kinds => 0,
            last if last < 0 => last,
            last => last - i64::from(start),
        };
        specs.push((start, last, access));
    }
    out.set(specs.len());
    for (first, last, access) in specs {
        reply_key_spec(first, last, step, access, out);
    }
}

fn reply_key_spec(first: u32, last: i64, step: u32, access: &[&str], out: &mut Encoder) {
    out.map(3);
    out.bulk(b"flags");
    reply_names(access, out);
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
    // A test sees to it that every line makes sense.
    let arguments = parse(command.syntax).unwrap_or_default();
    let is_container = !command.subcommands.is_empty();
    out.map(4 + usize::from(!arguments.is_empty()) + usize::from(is_container));
    reply_pair(b"summary", command.summary.as_bytes(), out);
    reply_pair(b"since", command.since.as_bytes(), out);
    reply_pair(b"group", command.group.name().as_bytes(), out);
    reply_pair(b"complexity", command.complexity.as_bytes(), out);
    if !arguments.is_empty() {
        out.bulk(b"arguments");
        reply_arguments(&arguments, command, out);
    }
    if is_container {
        out.bulk(b"subcommands");
        out.map(command.subcommands.len());
        for subcommand in command.subcommands {
            out.bulk(subcommand.name.as_bytes());
            reply_docs(subcommand, out);
        }
    }
}

fn reply_arguments(arguments: &[Argument], command: &Command, out: &mut Encoder) {
    out.array(arguments.len());
    for argument in arguments {
        let flags: Vec<&str> = [
            (argument.optional, "optional"),
            (argument.multiple, "multiple"),
            (argument.multiple_token, "multiple_token"),
        ]
        .into_iter()
        .filter_map(|(is_set, flag)| is_set.then_some(flag))
        .collect();
        let is_key = argument.kind == ArgumentKind::Key && command.keys != KeySpec::NONE;
        let has_parts = matches!(argument.kind, ArgumentKind::OneOf | ArgumentKind::Block);
        let parts = [is_key, argument.token.is_some(), !flags.is_empty(), has_parts];
        out.map(2 + parts.into_iter().map(usize::from).sum::<usize>());
        reply_pair(b"name", argument.name.as_bytes(), out);
        reply_pair(b"type", argument.kind.name().as_bytes(), out);
        if is_key {
            out.bulk(b"key_spec_index");
            out.integer(0);
        }
        if let Some(token) = &argument.token {
            reply_pair(b"token", token.as_bytes(), out);
        }
        if !flags.is_empty() {
            out.bulk(b"flags");
            reply_names(&flags, out);
        }
        if has_parts {
            out.bulk(b"arguments");
            reply_arguments(&argument.arguments, command, out);
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
pub(super) fn by_full_name(name: &[u8]) -> Option<&'static Command> {
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
        _ if command.flags.contains(Flags::READONLY) => Some("readonly"),
        Run::Read(_) | Run::Write(_) | Run::Connection(_) | Run::Async(..) => None,
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
    if is_command {
        names.push("connection");
    } else if command.subcommands.is_empty() {
        // Redis counts by the flag, which PUBSUB HELP has not.
        let is_counted = command.group != Group::PubSub || command.flags.contains(Flags::PUBSUB);
        names.extend(command.group.category().filter(|_| is_counted));
    }
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
