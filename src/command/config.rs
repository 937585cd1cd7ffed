//! `CONFIG`: the settings as clients see and change them. What they are is in [`crate::settings`].

use std::borrow::Cow;

use crate::glob;
use crate::resp::{Args, Encoder};
use crate::settings::{SetError, Setting, TABLE, find};

use super::args::{at_least, is};
use super::context::{ConnectionContext, ReadContext};
use super::fail::Fail;
use super::introspect::help;
use super::spec::{Command, Flags, Group, Run};

const ANY_TIME: Flags = Flags::LOADING.or(Flags::STALE);
const ADMIN: Flags = ANY_TIME.or(Flags::ADMIN).or(Flags::NOSCRIPT).or(Flags::DANGEROUS);

/// As much of a client's text as an error reply repeats.
const ECHOED_CHARS_MAX: usize = 128;

const fn row(name: &'static str, arity: i32, run: Run) -> Command {
    Command::new(name, arity, run).group(Group::Server)
}

/// The table's rows.
pub(super) const COMMANDS: &[Command] = &[row("config", -2, Run::Connection(help))
    .docs("2.0.0", "depends on the subcommand", "A container for the server's settings")
    .container(
        SUBCOMMANDS,
        &[
            "GET <pattern> [<pattern> ...]",
            "    Returns the settings whose names match.",
            "RESETSTAT",
            "    Sets the counters of INFO to zero.",
            "REWRITE",
            "    Writes the settings that were changed into the file of --config.",
            "SET <name> <value> [<name> <value> ...]",
            "    Changes settings: all of them, or none.",
        ],
    )];

const SUBCOMMANDS: &[Command] = &[
    row("config|get", -3, Run::Connection(get)).flags(ADMIN).syntax("parameter ...").docs(
        "2.0.0",
        "O(N) with the number of settings",
        "Returns the settings whose names match",
    ),
    row("config|help", 2, Run::Connection(help)).flags(ANY_TIME).docs(
        "5.0.0",
        "O(1)",
        "Returns a short help",
    ),
    row("config|resetstat", 2, Run::Connection(resetstat)).flags(ADMIN).docs(
        "2.0.0",
        "O(1)",
        "Sets the counters of INFO to zero",
    ),
    // It waits for the disk, which only a lane may: as a walk it has the background lane's.
    row("config|rewrite", 2, Run::Read(rewrite)).flags(ADMIN.or(Flags::WALKING)).docs(
        "2.8.0",
        "O(N) with the size of the file",
        "Writes the settings that were changed into the file of settings",
    ),
    row("config|set", -4, Run::Connection(set)).flags(ADMIN).syntax("(parameter value) ...").docs(
        "2.0.0",
        "O(N) with the number of settings",
        "Changes settings",
    ),
];

fn get(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], patterns) = at_least(args)?;
    let config = context.server.live.current();
    let mut found: Vec<(Cow<'_, str>, &Setting)> = Vec::new();
    for pattern in patterns {
        let is_new = |setting: &&Setting, found: &[(Cow<'_, str>, &Setting)]| {
            !found.iter().any(|(_, earlier)| std::ptr::eq(*earlier, *setting))
        };
        if has_wildcard(pattern) {
            for setting in TABLE {
                let matches = glob::matches_ignoring_case(pattern, setting.name.as_bytes());
                if matches && is_new(&setting, &found) {
                    found.push((setting.name.into(), setting));
                }
            }
        } else if let Some((name, setting)) = named(pattern)
            && is_new(&setting, &found)
        {
            found.push((name, setting));
        }
    }
    out.map(found.len());
    for (name, setting) in found {
        out.bulk(name.as_bytes());
        out.bulk(setting.kind.show(&config).as_bytes());
    }
    Ok(())
}

/// A setting, with its name as it was asked for.
fn named(name: &[u8]) -> Option<(Cow<'_, str>, &'static Setting)> {
    let name = str::from_utf8(name).ok()?;
    find(&name.to_ascii_lowercase()).map(|setting| (name.into(), setting))
}

fn has_wildcard(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| b"[*?".contains(byte))
}

fn set(context: &mut ConnectionContext<'_>, args: &Args, out: &mut Encoder) -> Result<(), Fail> {
    let ([_, _], settings) = at_least(args)?;
    let (pairs, []) = settings.as_chunks::<2>() else { return Err(Fail::SYNTAX) };
    let mut texts = Vec::with_capacity(pairs.len());
    for [name, value] in pairs {
        let name = str::from_utf8(name).map_err(|_| unknown(&String::from_utf8_lossy(name)))?;
        let value = str::from_utf8(value).map_err(|_| refused(name, "argument must be UTF-8"))?;
        texts.push((name, value));
    }
    context.server.live.set(&texts).map_err(|error| match error {
        SetError::Unknown(name) => unknown(&name),
        SetError::Refused { name, why } => refused(&name, &why),
    })?;
    out.ok();
    Ok(())
}

fn unknown(name: &str) -> Fail {
    let name = head(name);
    Fail::Reply(
        format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'").into(),
    )
}

fn refused(name: &str, why: &str) -> Fail {
    let name = head(name);
    Fail::Reply(
        format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}").into(),
    )
}

fn head(text: &str) -> String {
    text.chars().take(ECHOED_CHARS_MAX).collect()
}

fn resetstat(context: &mut ConnectionContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    context.server.reset_stats();
    out.ok();
    Ok(())
}

fn rewrite(context: &mut ReadContext<'_>, _: &Args, out: &mut Encoder) -> Result<(), Fail> {
    match context.server.live.rewrite() {
        Ok(()) => {
            out.ok();
            Ok(())
        }
        Err(None) => Err(Fail::text("ERR The server is running without a config file")),
        Err(Some(why)) => {
            tracing::warn!(why, "CONFIG REWRITE failed");
            Err(Fail::Reply(format!("ERR Rewriting config file: {why}").into()))
        }
    }
}

/// Whether nobody but the one who sets the setting called `name` may see its value.
pub(super) fn is_secret(name: &[u8]) -> bool {
    let refused = ["masterauth", "masteruser"];
    named(name).is_some_and(|(_, setting)| setting.is_secret)
        || refused.iter().any(|secret| is(name, secret))
}
