//! The command line: what can be said, what it means, and what contradicts.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use pontoon_storage::EngineKind;
use tracing_subscriber::EnvFilter;

use crate::bench;
use crate::check;
use crate::config::{BridgeChoice, Config, DurabilityChoice, RuntimeChoice};
use crate::variables;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub enum Action {
    /// Run the server.
    Serve(Box<Config>),
    /// Measure.
    Bench(Box<bench::cli::Bench>),
    /// Look for damage.
    Check(check::Check),
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
    let cli = Cli::try_parse_from(args)?;
    variables::check(&Cli::command(), variables)
        .map_err(|why| Cli::command().error(ErrorKind::UnknownArgument, why))?;
    let serve = match cli.command {
        Some(Command::Serve(serve)) => serve,
        Some(Command::Bench(bench)) => {
            let conflict = |why| Cli::command().error(ErrorKind::ArgumentConflict, why);
            return bench.check().map_err(conflict).map(|()| Action::Bench(bench));
        }
        Some(Command::Check(check)) => return Ok(Action::Check(check)),
        None => cli.serve,
    };
    let config = serve.into_config().map_err(|(kind, why)| Cli::command().error(kind, why))?;
    Ok(Action::Serve(Box::new(config)))
}

const AFTER_HELP: &str = "\
Every option can also be set by the environment variable shown with it; the command line wins. Any
other variable that begins with PONTOON_ is an error. A password is better set that way: others on the
machine can see the command line.

Exit codes: 0 after a stop in order, 1 if the server cannot start or stop, 2 if the options make no sense,
130 or 143 after a second SIGINT or SIGTERM, which stops at once.

Examples:
  pontoon
      Serve redb in ./pontoon-data on 127.0.0.1:6379
  pontoon --port 7000 --dir /var/lib/pontoon --durability everysec
      Answers before the fsync, which follows within a second: a power loss, and with redb a kill
      too, may take what was written since
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
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a subcommand, too)
    #[command(after_help = AFTER_HELP)]
    Serve(Serve),
    /// Measure what the bridge costs and what the lanes give, or load a server
    Bench(Box<bench::cli::Bench>),
    /// Look for damage in a directory that no server runs on
    Check(check::Check),
}

#[derive(Debug, Args)]
struct Serve {
    /// Addresses to listen on, separated by commas or blanks
    #[arg(long, env = "PONTOON_BIND", default_value = "127.0.0.1", value_name = "ADDR,…")]
    #[arg(value_parser = parse_bind, help_heading = NETWORK)]
    bind: BindList,

    /// TCP port to listen on; 0 takes one that is free
    #[arg(long, env = "PONTOON_PORT", default_value_t = 6379, value_name = "PORT")]
    #[arg(help_heading = NETWORK)]
    port: u16,

    /// Clients at a time; lowered to what the limit of open files allows
    #[arg(long, env = "PONTOON_MAXCLIENTS", default_value_t = 10_000, value_name = "N")]
    #[arg(value_parser = parse_positive, help_heading = NETWORK)]
    maxclients: usize,

    /// Password that clients must AUTH with
    #[arg(long, env = "PONTOON_REQUIREPASS", hide_env_values = true, value_name = "PASSWORD")]
    #[arg(help_heading = NETWORK)]
    requirepass: Option<String>,

    /// Without a password, serve loopback clients alone
    #[arg(long, env = "PONTOON_PROTECTED_MODE", default_value = "yes", value_name = "yes|no")]
    #[arg(action = ArgAction::Set, value_parser = yes_no(), help_heading = NETWORK)]
    protected_mode: bool,

    /// Directory of the data; created if need be [default: ./pontoon-data]
    #[arg(long, env = "PONTOON_DIR", value_name = "DIR", help_heading = STORAGE)]
    dir: Option<PathBuf>,

    /// What stores the data: redb, rocksdb or memory; a directory remembers its engine [default:
    /// redb, where the build has it]
    #[arg(long, env = "PONTOON_ENGINE", value_name = "ENGINE")]
    #[arg(value_parser = parse_engine, help_heading = STORAGE)]
    engine: Option<EngineKind>,

    /// When a write is acknowledged [default: always]
    #[arg(long, env = "PONTOON_DURABILITY", value_name = "WHEN")]
    #[arg(value_enum, help_heading = STORAGE)]
    durability: Option<DurabilityChoice>,

    /// Memory for the record cache, which answers reads of single keys without a storage call, in
    /// bytes or as in 512mb, 2gb; 0 turns it off
    #[arg(long, env = "PONTOON_CACHE_BYTES", default_value = "64mb", value_name = "BYTES")]
    #[arg(value_parser = parse_bytes, help_heading = STORAGE)]
    cache_bytes: usize,

    /// Memory for the engine's read cache, in bytes or as in 512mb, 2gb [default: 128mb]
    #[arg(long, env = "PONTOON_ENGINE_CACHE_BYTES", value_name = "BYTES")]
    #[arg(value_parser = parse_bytes, help_heading = STORAGE)]
    engine_cache_bytes: Option<usize>,

    /// How blocking storage calls leave the async threads
    #[arg(long, env = "PONTOON_BRIDGE", default_value = "pool", value_name = "MODE")]
    #[arg(value_enum, help_heading = THREADS)]
    bridge: BridgeChoice,

    /// Threads that read, with --bridge pool; writes have one more, background work too [default:
    /// two for each CPU, and at least 16: most are used only while reads wait for the disk]
    #[arg(long, env = "PONTOON_POOL_THREADS", value_name = "N")]
    #[arg(value_parser = parse_positive, help_heading = THREADS)]
    pool_threads: Option<usize>,

    /// Which tokio runtime serves the connections [default: current-thread on one or two CPUs, where
    /// the storage's threads and the clients need the others; else multi-thread]
    #[arg(long, env = "PONTOON_RUNTIME", value_name = "FLAVOR", value_enum)]
    #[arg(help_heading = THREADS)]
    runtime: Option<RuntimeChoice>,

    /// Threads of the runtime, with --runtime multi-thread [default: one for each CPU]
    #[arg(long, env = "PONTOON_WORKER_THREADS", value_name = "N")]
    #[arg(value_parser = parse_positive, help_heading = THREADS)]
    worker_threads: Option<usize>,

    /// Seconds that SIGINT, SIGTERM and SHUTDOWN let running commands take; a second signal stops at
    /// once
    #[arg(long, env = "PONTOON_SHUTDOWN_TIMEOUT_SECS", default_value_t = 10, value_name = "SECS")]
    #[arg(help_heading = OPERATION)]
    shutdown_timeout_secs: u32,

    /// What to log to stderr: off, error, warn, info, debug, trace, or directives such as
    /// info,pontoon::server=debug
    #[arg(long, env = "PONTOON_LOG", default_value = "info", value_name = "LEVEL")]
    #[arg(value_parser = parse_log, help_heading = OPERATION)]
    log: String,
}

const NETWORK: &str = "Network";
const STORAGE: &str = "Storage";
const THREADS: &str = "Threads";
const OPERATION: &str = "Operation";

impl Serve {
    fn into_config(self) -> Result<Config, (ErrorKind, String)> {
        let defaults = Config::default();
        let conflict = |why: &str| Err((ErrorKind::ArgumentConflict, why.to_owned()));
        if self.pool_threads.is_some() && self.bridge == BridgeChoice::Blocking {
            return conflict(
                "--pool-threads is for --bridge pool; --bridge blocking uses tokio's threads",
            );
        }
        if self.worker_threads.is_some() && self.runtime == Some(RuntimeChoice::CurrentThread) {
            return conflict("--worker-threads is for --runtime multi-thread");
        }
        // Who asks for workers means the runtime that has them.
        let with_workers = self.worker_threads.map(|_| RuntimeChoice::MultiThread);
        let runtime = self.runtime.or(with_workers).unwrap_or(defaults.runtime);
        let engine = self.engine.unwrap_or(defaults.engine);
        if self.dir.is_some() && !engine.is_persistent() {
            return conflict("--engine memory keeps nothing in --dir: give one or the other");
        }
        if self.durability.is_some() && !engine.is_persistent() {
            return conflict("--engine memory has no durability: leave --durability out");
        }
        if self.engine_cache_bytes.is_some() && !engine.is_persistent() {
            return conflict("--engine memory has no read cache: leave --engine-cache-bytes out");
        }
        if self.requirepass.as_deref() == Some("") {
            let why = "--requirepass is empty: leave it out for no password";
            return Err((ErrorKind::InvalidValue, why.into()));
        }
        Ok(Config {
            bind: self.bind.0,
            port: self.port,
            dir: self.dir.unwrap_or(defaults.dir),
            engine,
            cache_bytes: self.cache_bytes,
            engine_cache_bytes: self.engine_cache_bytes,
            durability: self.durability.unwrap_or(defaults.durability),
            bridge: self.bridge,
            pool_threads: self.pool_threads,
            runtime,
            worker_threads: self.worker_threads,
            clients_max: self.maxclients,
            password: self.requirepass,
            protected_mode: self.protected_mode,
            shutdown_timeout: Duration::from_secs(self.shutdown_timeout_secs.into()),
            log: self.log,
        })
    }
}

/// A type of its own, because clap gives `Vec` a meaning.
#[derive(Debug, Clone)]
struct BindList(Vec<IpAddr>);

fn parse_bind(text: &str) -> Result<BindList, String> {
    let names = text.split([',', ' ', '\t']).filter(|name| !name.is_empty());
    let mut addresses = Vec::new();
    for name in names {
        let address = match name {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => other.parse().map_err(|_| format!("{other:?} is not an IP address"))?,
        };
        if addresses.contains(&address) {
            return Err(format!("{address} is there twice"));
        }
        addresses.push(address);
    }
    if addresses.is_empty() { Err("no address".into()) } else { Ok(BindList(addresses)) }
}

pub(crate) fn parse_engine(text: &str) -> Result<EngineKind, String> {
    let all = [EngineKind::Memory, EngineKind::Redb, EngineKind::Rocksdb];
    let Some(kind) = all.into_iter().find(|kind| kind.name() == text) else {
        return Err("the engines are redb, rocksdb and memory".into());
    };
    if !EngineKind::AVAILABLE.contains(&kind) {
        return Err(format!(
            "this build has no {text} engine; build with `cargo build --features {text}`"
        ));
    }
    Ok(kind)
}

pub(crate) fn parse_positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is needed".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a number".into()),
    }
}

/// A number of bytes with the units of `redis.conf`: `k` is 1000, `kb` is 1024, and so on.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let digits_len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at(digits_len);
    let factor: usize = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err("the units are b, k, kb, m, mb, g and gb".into()),
    };
    let number: usize = digits.parse().map_err(|_| "not a number of bytes")?;
    number.checked_mul(factor).ok_or_else(|| "too many bytes".into())
}

fn parse_log(text: &str) -> Result<String, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let mut directives = text.split(',').map(str::trim);
    // Left to itself, the filter takes a misspelt level for the name of a module.
    if let Some(unknown) =
        directives.find(|directive| !directive.contains('=') && !levels.contains(directive))
    {
        return Err(format!("{unknown:?} is no level; they are {}", levels.join(", ")));
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn yes_no() -> impl TypedValueParser<Value = bool> {
    clap::builder::PossibleValuesParser::new([PossibleValue::new("yes"), PossibleValue::new("no")])
        .map(|word| word == "yes")
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
