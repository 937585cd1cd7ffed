//! The server as a whole: its databases' sizes, settings, state and end.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::data::DATABASES;
use crate::glob;
use crate::resp::{Args, Encoder};

use super::args::{at_least, database, exactly, int, is, lossy};
use super::context::{ConnectionContext, ReadContext, WriteContext};
use super::fail::Fail;
use super::info;
use super::introspect::help;
use super::server_state::ShutdownRequest;
use super::spec::{Command, Flags, Group, Run};

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const CONFIG: Flags = ANY_TIME.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::DANGEROUS);
const FLUSH: Flags = Flags::KEYSPACE.or(Flags::DANGEROUS);

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[
    row("config", -2, Run::Connection(help))
        .docs("2.0.0", "depends on the subcommand", "A container for the server's settings")
        .container(
            CONFIG_SUBCOMMANDS,
            &[
                "GET <pattern> [<pattern> ...]",
                "    Returns the settings whose names match.",
                "RESETSTAT",
                "    Sets the counters of INFO to zero.",
                "REWRITE",
                "    Fails: the server has no configuration file.",
                "SET <name> <value> [<name> <value> ...]",
                "    Fails: settings are made when the server starts.",
            ],
        ),
    row("dbsize", 1, Run::Read(dbsize)).flags(Flags::FAST.or(Flags::KEYSPACE)).docs(
        "1.0.0",
        "O(1)",
        "Returns the number of keys in the database",
    ),
    row("flushall", -1, Run::Write(flushall)).flags(FLUSH).docs(
        "1.0.0",
        "O(1), the space is freed in the background",
        "Removes all keys of all databases",
    ),
    row("flushdb", -1, Run::Write(flushdb)).flags(FLUSH).docs(
        "1.0.0",
        "O(1), the space is freed in the background",
        "Removes all keys of the database",
    ),
    row("info", -1, Run::Read(info)).flags(ANY_TIME.or(Flags::DANGEROUS)).docs(
        "1.0.0",
        "O(1)",
        "Returns figures about the server, by section",
    ),
    row("shutdown", -1, Run::Connection(shutdown))
        .flags(CONFIG.or(Flags::NO_MULTI).or(Flags::ALLOW_BUSY))
        .docs("1.0.0", "O(1)", "Stops the server; everything acknowledged is saved already"),
    row("swapdb", 3, Run::Write(swapdb)).flags(FLUSH.or(Flags::FAST)).docs(
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

const CONFIG_SUBCOMMANDS: &[Command] = &[
    row("config|get", -3, Run::Connection(config_get)).flags(CONFIG).docs(
        "2.0.0",
        "O(N) with the number of settings",
        "Returns the settings whose names match",
    ),
    row("config|help", 2, Run::Connection(help)).flags(ANY_TIME).docs(
        "5.0.0",
        "O(1)",
        "Returns a short help",
    ),
    row("config|resetstat", 2, Run::Connection(config_resetstat)).flags(CONFIG).docs(
        "2.0.0",
        "O(1)",
        "Sets the counters of INFO to zero",
    ),
    row("config|rewrite", 2, Run::Connection(config_rewrite)).flags(CONFIG).docs(
        "2.8.0",
        "O(1)",
        "Fails: the server has no configuration file",
    ),
    row("config|set", -4, Run::Connection(config_set)).flags(CONFIG).docs(
        "2.0.0",
        "O(N) with the number of settings",
        "Fails: settings are made when the server starts",
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

fn config_get(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _], patterns) = at_least(args)?;
    let is_asked_for = |name: &str| {
        patterns.iter().any(|pattern| glob::matches_ignoring_case(pattern, name.as_bytes()))
    };
    let config = &context.server.settings.config;
    let found: Vec<_> = config.iter().filter(|(name, _)| is_asked_for(name)).collect();
    out.map(found.len());
    for (name, value) in found {
        out.bulk(name.as_bytes());
        out.bulk(value.as_bytes());
    }
    Ok(())
}

fn config_set(
    context: &mut ConnectionContext<'_>,
    args: &Args,
    _: &mut Encoder,
) -> Result<(), Fail> {
    let ([_, _], settings) = at_least(args)?;
    let known = |name: &[u8]| context.server.settings.config.iter().any(|(n, _)| is(name, n));
    for setting in settings.chunks(2) {
        let [name, _] = setting else { return Err(Fail::arity("config|set")) };
        if !known(name) {
            let name = lossy(name);
            let text =
                format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'");
            return Err(Fail::Reply(text.into()));
        }
    }
    let name = settings.first().map(|name| lossy(name)).unwrap_or_default();
    let text = format!(
        "ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config"
    );
    Err(Fail::Reply(text.into()))
}

fn config_resetstat(
    context: &mut ConnectionContext<'_>,
    _: &Args,
    out: &mut Encoder,
) -> Result<(), Fail> {
    context.server.stats.reset();
    out.ok();
    Ok(())
}

fn config_rewrite(_: &mut ConnectionContext<'_>, _: &Args, _: &mut Encoder) -> Result<(), Fail> {
    Err(Fail::text("ERR The server is running without a config file"))
}

fn since_1970(now: SystemTime) -> std::time::Duration {
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}
