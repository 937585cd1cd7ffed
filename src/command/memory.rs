//! `MEMORY`: what keys take in the store, and what the process takes in memory.

use std::fmt::Write;

use crate::data::{DATABASES, usage};
use crate::resp::{Args, Encoder, parse_integer};

use super::args::{at_least, is};
use super::context::{ConnectionContext, ReadContext, WALK_ELEMENTS_MAX};
use super::fail::Fail;
use super::info::resident_bytes;
use super::introspect::help;
use super::server_state::ServerState;
use super::spec::{Command, Flags, Group, Run};

/// Elements of a large value that `MEMORY USAGE` looks at unless it is asked for another number. More than
/// Redis's 5, since a page of them costs the engine hardly more.
const SAMPLES_DEFAULT: u64 = 512;
const _: () = assert!(SAMPLES_DEFAULT <= WALK_ELEMENTS_MAX);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[row("memory", -2, Run::Connection(help))
    .docs("4.0.0", "depends on the subcommand", "A container for what is known about memory")
    .container(
        SUBCOMMANDS,
        &[
            "DOCTOR",
            "    Returns a report for people.",
            "MALLOC-STATS",
            "    Returns that the allocator keeps no figures.",
            "PURGE",
            "    Does nothing: the allocator gives memory back by itself.",
            "STATS",
            "    Returns what the process takes in memory.",
            "USAGE <key> [SAMPLES <count>]",
            "    Returns the bytes that a key takes in the store. Of a large value <count> elements",
            "    are looked at (default: 512; 0: all of them).",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("memory|doctor", 2, Run::Read(doctor)).docs(
        "4.0.0",
        "O(1)",
        "Returns a report about memory for people",
    ),
    row("memory|help", 2, Run::Connection(help)).flags(Flags::LOADING.or(Flags::STALE)).docs(
        "4.0.0",
        "O(1)",
        "Returns a short help",
    ),
    row("memory|malloc-stats", 2, Run::Connection(malloc_stats)).docs(
        "4.0.0",
        "O(1)",
        "Returns that the allocator keeps no figures",
    ),
    row("memory|purge", 2, Run::Connection(purge)).docs(
        "4.0.0",
        "O(1)",
        "Does nothing: the allocator gives memory back by itself",
    ),
    row("memory|stats", 2, Run::Read(stats)).docs(
        "4.0.0",
        "O(1)",
        "Returns what the process takes in memory",
    ),
    row("memory|usage", -3, Run::Read(usage_of))
        .keys(2, 2, 1)
        .syntax("key [SAMPLES count:integer]")
        .access("RO")
        .docs(
            "4.0.0",
            "O(N) with the number of elements looked at",
            "Returns the bytes that a key takes in the store",
        ),
];

fn usage_of(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _, key], mut options) = at_least(args)?;
    let mut samples = SAMPLES_DEFAULT;
    while let [option, rest @ ..] = options {
        let [count, rest @ ..] = rest else { return Err(Fail::SYNTAX) };
        if !is(option, "samples") {
            return Err(Fail::SYNTAX);
        }
        let count = parse_integer(count).ok_or(Fail::NOT_AN_INTEGER)?;
        samples = match u64::try_from(count).map_err(|_| Fail::SYNTAX)? {
            0 => u64::MAX,
            count => count,
        };
        options = rest;
    }
    // Those too whose time has come, as in Redis: they take their bytes until they are removed.
    let Some((record, _)) = context.db.lookup_with_expired(key)? else {
        out.null();
        return Ok(());
    };
    if record.version.is_some() {
        context.walk(samples.min(record.size))?;
    }
    let usage = usage(&mut context.db, key, &record, samples)?;
    out.integer(number(usage.total()));
    Ok(())
}

fn stats(context: &mut ReadContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let mut keys = 0u64;
    for db in 0..DATABASES {
        keys += context.db.database(db).key_counts()?.0;
    }
    let (resident, peak) = resident_bytes().unwrap_or_default();
    let fields = [
        ("peak.allocated", peak),
        ("total.allocated", resident),
        ("keys.count", keys),
        ("record-cache.bytes", storage_figure(context.server, "cache_bytes")),
        ("engine.bytes", storage_figure(context.server, "storage_memory_bytes")),
        ("dataset.disk-bytes", storage_figure(context.server, "storage_disk_bytes")),
    ];
    out.map(fields.len() + 1);
    for (name, figure) in fields {
        out.bulk(name.as_bytes());
        out.integer(number(figure));
    }
    out.bulk(b"peak.percentage");
    out.double(resident as f64 * 100.0 / peak.max(1) as f64);
    Ok(())
}

fn doctor(context: &mut ReadContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let server = context.server;
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    let (resident, peak) = resident_bytes().unwrap_or_default();
    let (cache, engine) =
        (storage_figure(server, "cache_bytes"), storage_figure(server, "storage_memory_bytes"));
    let mut text = format!(
        "The process takes {}, and took {} at the most. Data is in the store; of it the record cache \
         keeps {} and the engine {} in memory.\n",
        mib(resident),
        mib(peak),
        mib(cache),
        mib(engine),
    );
    let others = resident.saturating_sub(cache.saturating_add(engine));
    let clients = server.clients.len();
    let _ = writeln!(
        text,
        "The rest, {}, is the program, {clients} clients with what they send and receive, and what \
         the allocator holds for reuse.",
        mib(others)
    );
    text.push_str(
        "The settings cache-bytes and engine-cache-bytes bound the first two, maxclients and \
         client-output-buffer-limit the third.\n",
    );
    out.verbatim("txt", text.as_bytes());
    Ok(())
}

fn malloc_stats(_: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.bulk(b"Stats not supported for the current allocator");
    Ok(())
}

fn purge(_: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    out.ok();
    Ok(())
}

/// A figure of the section `storage` of `INFO`; 0 if there is none yet.
fn storage_figure(server: &ServerState, name: &str) -> u64 {
    let lines = server.storage_stats();
    let line = lines.iter().find(|(found, _)| found == name);
    line.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
