//! The command line: what can be said, what it means, and what contradicts.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use crate::bench;
use crate::check;
use crate::config::Config;
use crate::restore;
use crate::settings::{self, Flags, Wrong};
use crate::variables;

pub(crate) use crate::settings::parse_engine;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub enum Action {
    /// Run the server.
    Serve(Box<Config>),
    /// Measure.
    Bench(Box<bench::cli::Bench>),
    /// Look for damage.
    Check(check::Check),
    /// Make data of a checkpoint.
    Restore(restore::Restore),
}

/// Understands `args`, the program's name first, and the `PONTOON_…` environment variables.
/// `variables` are the names of all variables of the environment: one that looks like a setting and
/// is none is refused, since a misspelt password would leave the server open.
///
/// # Errors
/// What to show the user, and with which exit code: help and version are of that kind, too.
pub fn parse(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    variables: impl IntoIterator<Item = OsString>,
) -> Result<Action, clap::Error> {
    let cli = Cli::try_parse_from(args).map_err(explained)?;
    variables::check(&Cli::command(), variables)
        .map_err(|why| Cli::command().error(ErrorKind::UnknownArgument, why))?;
    let serve = match cli.command {
        Some(Command::Serve(serve)) => serve,
        Some(Command::Bench(bench)) => {
            let conflict = |why| Cli::command().error(ErrorKind::ArgumentConflict, why);
            return bench.check().map_err(conflict).map(|()| Action::Bench(bench));
        }
        Some(Command::Check(check)) => return Ok(Action::Check(check)),
        Some(Command::Restore(restore)) => return Ok(Action::Restore(restore)),
        None => cli.serve,
    };
    let config = settings::assemble(serve.given, serve.file.as_deref());
    let config = config.map_err(|wrong| match wrong {
        Wrong::Value(why) => Cli::command().error(ErrorKind::InvalidValue, why),
        Wrong::Conflict(why) => Cli::command().error(ErrorKind::ArgumentConflict, why),
    })?;
    Ok(Action::Serve(Box::new(config)))
}

/// `error`, with the reason if the option is one of Redis's that means nothing here.
fn explained(error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    match settings::why_refused(option.trim_start_matches('-')) {
        Some(why) if error.kind() == ErrorKind::UnknownArgument => {
            Cli::command().error(error.kind(), format!("{option} cannot be set: {why}"))
        }
        _ => error,
    }
}

const AFTER_HELP: &str = "\
Every option can also be set by the environment variable shown with it, and in the file of
--config, by its name. The command line wins over the environment, the environment over the file.
Any other variable that begins with PONTOON_ is an error. A password is better set in one of those
ways: others on the machine can see the command line.

Exit codes: 0 after a stop in order, 1 if the server cannot start or stop, 2 if the options make no
sense, 130 or 143 after a second SIGINT or SIGTERM, which stops at once.

Examples:
  pontoon
      Serve redb in ./pontoon-data on 127.0.0.1:6379
  pontoon --port 7000 --dir /var/lib/pontoon --durability everysec
      Answers before the fsync, which follows within a second: a power loss, and with redb a kill
      too, may take what was written since
  pontoon --config pontoon.toml --port 7000
      As the file says, but on another port
  pontoon --bind 0.0.0.0 --requirepass SECRET
      Serve the network; without a password only loopback clients are served
  pontoon --engine memory --runtime current-thread
      Keep nothing; one thread for all connections";

/// A Redis-compatible server over durable, ordered storage.
#[derive(Debug, Parser)]
#[command(name = "pontoon", version, args_conflicts_with_subcommands = true)]
#[command(after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a subcommand, too)
    #[command(after_help = AFTER_HELP)]
    Serve(Flags),
    /// Measure what the bridge costs and what the lanes give, or load a server
    Bench(Box<bench::cli::Bench>),
    /// Look for damage in a directory that no server runs on
    Check(check::Check),
    /// Make a directory of data of what SAVE or BGSAVE has made
    Restore(restore::Restore),
}

pub(crate) fn parse_positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a number".into()),
    }
}

/// A number of bytes with the units of `redis.conf`.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    usize::try_from(settings::parse_bytes(text)?).map_err(|_| "too many bytes".into())
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
