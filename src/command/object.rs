//! `OBJECT`: how Redis would keep a value.

use crate::data;
use crate::resp::{Args, Encoder};

use super::args::exactly;
use super::context::ReadContext;
use super::fail::Fail;
use super::introspect::help;
use super::spec::{Command, Flags, Run};

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).flags(Flags::KEYSPACE)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[Command::new("object", -2, Run::Connection(help))
    .docs("2.2.3", "depends on the subcommand", "A container for what is known of values as such")
    .container(
        SUBCOMMANDS,
        &[
            "ENCODING <key>",
            "    Returns Redis's name for how it would keep the value.",
            "FREQ <key>",
            "    Fails: no value is evicted, so that uses are not counted.",
            "IDLETIME <key>",
            "    Fails: when a value was used last is not kept.",
            "REFCOUNT <key>",
            "    Returns 1: values are not shared.",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("object|encoding", 3, Run::Read(encoding)).keys(2, 2, 1).access("RO").syntax("key").docs(
        "2.2.3",
        "O(1)",
        "Returns Redis's name for how it would keep a value",
    ),
    row("object|freq", 3, Run::Read(freq)).keys(2, 2, 1).access("RO").syntax("key").docs(
        "4.0.0",
        "O(1)",
        "Fails: uses of values are not counted",
    ),
    row("object|help", 2, Run::Connection(help)).flags(Flags::LOADING.or(Flags::STALE)).docs(
        "6.2.0",
        "O(1)",
        "Returns a short help",
    ),
    row("object|idletime", 3, Run::Read(idletime)).keys(2, 2, 1).access("RO").syntax("key").docs(
        "2.2.3",
        "O(1)",
        "Fails: when a value was used last is not kept",
    ),
    row("object|refcount", 3, Run::Read(refcount)).keys(2, 2, 1).access("RO").syntax("key").docs(
        "2.2.3",
        "O(1)",
        "Returns how often a value is shared: it never is",
    ),
];

fn encoding(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, _, key] = exactly(args)?;
    match context.db.inspect(key)? {
        Some(record) => out.bulk(data::encoding_name(&record)?.as_bytes()),
        None => out.null(),
    }
    Ok(())
}

fn refcount(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let [_, _, key] = exactly(args)?;
    match context.db.inspect(key)? {
        Some(_) => out.integer(1),
        None => out.null(),
    }
    Ok(())
}

fn idletime(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    refuse(context, args, out, "ERR idle time not tracked: the server keeps no access times")
}

fn freq(context: &mut ReadContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let text = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that \
         when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    refuse(context, args, out, text)
}

/// Nothing of what is not there, and `text` of what is.
fn refuse(
    context: &mut ReadContext<'_>,
    args: &Args,
    out: &mut Encoder,
    text: &'static str,
) -> Result<(), Fail> {
    let [_, _, key] = exactly(args)?;
    if context.db.inspect(key)?.is_some() {
        return Err(Fail::text(text));
    }
    out.null();
    Ok(())
}
