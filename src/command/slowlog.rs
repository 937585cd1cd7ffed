//! `SLOWLOG`: the latest commands that took long, with what they were.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use crate::resp::{Args, Encoder, parse_integer};

use super::args::at_least;
use super::clients::{Client, lock};
use super::context::ConnectionContext;
use super::fail::Fail;
use super::introspect::help;
use super::redact::redacted;
use super::spec::{Command, Flags, Group, Run};

/// Arguments that an entry keeps; of more, the last says how many there were.
const ARGUMENTS_MAX: usize = 32;

/// Bytes that an entry keeps of an argument.
const ARGUMENT_BYTES_MAX: usize = 128;

/// Entries that `SLOWLOG GET` returns unless it is asked for another number.
const GET_DEFAULT: usize = 10;

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const ADMIN: Flags = ANY_TIME.or(Flags::ADMIN).or(Flags::DANGEROUS);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[row("slowlog", -2, Run::Connection(help))
    .docs("2.2.12", "depends on the subcommand", "A container for the log of slow commands")
    .container(
        SUBCOMMANDS,
        &[
            "GET [<count>]",
            "    Returns the latest entries, 10 unless it is said, all for -1. Each has",
            "    id, time, duration in microseconds, arguments, client address and name.",
            "LEN",
            "    Returns how many entries there are.",
            "RESET",
            "    Removes all entries.",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("slowlog|get", -2, Run::Connection(get)).flags(ADMIN).syntax("[count:integer]").docs(
        "2.2.12",
        "O(N) with the number of entries returned",
        "Returns the latest entries of the log of slow commands",
    ),
    row("slowlog|help", 2, Run::Connection(help)).flags(ANY_TIME).docs(
        "6.2.0",
        "O(1)",
        "Returns a short help",
    ),
    row("slowlog|len", 2, Run::Connection(len)).flags(ADMIN).docs(
        "2.2.12",
        "O(1)",
        "Returns how many entries the log of slow commands has",
    ),
    row("slowlog|reset", 2, Run::Connection(reset)).flags(ADMIN).docs(
        "2.2.12",
        "O(N) with the number of entries",
        "Removes all entries of the log of slow commands",
    ),
];

/// The log. What it keeps of a command is bounded, and so is the number of entries, by
/// `slowlog-max-len`.
#[derive(Debug, Default)]
pub struct SlowLog(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    /// The latest first.
    entries: VecDeque<Entry>,
    next_id: i64,
}

#[derive(Debug, Clone)]
struct Entry {
    id: i64,
    /// When the command ended, in seconds since 1970.
    time: u64,
    micros: u64,
    arguments: Vec<Bytes>,
    addr: String,
    name: Bytes,
}

impl SlowLog {
    /// Adds a command, which ended at `time`, in seconds since 1970; keeps `len_max` entries.
    pub(super) fn add(
        &self,
        command: &Command,
        args: &Args,
        client: &Client,
        time: u64,
        spent: Duration,
        len_max: u64,
    ) {
        let arguments = trimmed(&redacted(command, args));
        let name = client.profile().name.clone();
        let micros = u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        let mut log = lock(&self.0);
        let id = log.next_id;
        log.next_id += 1;
        let addr = client.addr.clone();
        log.entries.push_front(Entry { id, time, micros, arguments, addr, name });
        log.shorten(len_max);
    }

    /// How many entries there are, of which `len_max` are kept.
    pub(super) fn len(&self, len_max: u64) -> usize {
        let mut log = lock(&self.0);
        log.shorten(len_max);
        log.entries.len()
    }

    fn latest(&self, count: usize, len_max: u64) -> Vec<Entry> {
        let mut log = lock(&self.0);
        log.shorten(len_max);
        log.entries.iter().take(count).cloned().collect()
    }

    fn reset(&self) {
        lock(&self.0).entries.clear();
    }
}

impl Entries {
    fn shorten(&mut self, len_max: u64) {
        self.entries.truncate(usize::try_from(len_max).unwrap_or(usize::MAX));
    }
}

/// As Redis cuts them: copies, since a slice would keep all of the request.
fn trimmed(args: &[Bytes]) -> Vec<Bytes> {
    let mut kept: Vec<Bytes> =
        args.iter().take(ARGUMENTS_MAX).map(|arg| trimmed_one(arg)).collect();
    if args.len() > ARGUMENTS_MAX {
        kept.pop();
        let more = args.len() - kept.len();
        kept.push(format!("... ({more} more arguments)").into());
    }
    kept
}

fn trimmed_one(arg: &[u8]) -> Bytes {
    match arg.split_at_checked(ARGUMENT_BYTES_MAX) {
        Some((head, rest)) if !rest.is_empty() => {
            let mark = format!("... ({} more bytes)", rest.len());
            [head, mark.as_bytes()].concat().into()
        }
        _ => Bytes::copy_from_slice(arg),
    }
}

fn get(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], options) = at_least(args)?;
    let count = match options {
        [] => GET_DEFAULT,
        [count] if **count == *b"-1" => usize::MAX,
        [count] => parse_integer(count)
            .and_then(|count| usize::try_from(count).ok())
            .ok_or(Fail::text("ERR count should be greater than or equal to -1"))?,
        _ => return Err(Fail::subcommand_syntax(args)),
    };
    let server = context.server;
    let entries = server.slowlog.latest(count, server.live.slowlog_len_max());
    out.array(entries.len());
    for entry in entries {
        out.array(6);
        out.integer(entry.id);
        out.integer(entry.time as i64);
        out.integer(i64::try_from(entry.micros).unwrap_or(i64::MAX));
        out.array(entry.arguments.len());
        for argument in entry.arguments {
            out.bulk(&argument);
        }
        out.bulk(entry.addr.as_bytes());
        out.bulk(&entry.name);
    }
    Ok(())
}

fn len(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let server = context.server;
    let len = server.slowlog.len(server.live.slowlog_len_max());
    out.integer(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(())
}

fn reset(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    context.server.slowlog.reset();
    out.ok();
    Ok(())
}
