//! The flags of `pontoon bench server`.

use std::fmt;

use clap::{Args, ValueEnum};

use crate::bench::cli::Output;
use crate::cli::parse_bytes;

/// Commands that one connection may send at once: far more than any client does.
const PIPELINE_MAX: u32 = 10_000;

/// As many as there are ports for on one address.
const CONNECTIONS_MAX: u32 = 60_000;

/// What a string of Redis can hold.
const VALUE_BYTES_MAX: usize = 512 << 20;

const AFTER_HELP: &str = "\
Servers take turns within each round of each case. Latency is that of a batch of --pipeline
commands. CPU time, context switches and memory are those of the server, where it is reached over
loopback and the system lets this process look into it.

Exit codes: 0 after success, 1 if a server failed or a command did, 2 if the options make no sense.

Examples:
  pontoon bench server --addr pontoon=127.0.0.1:7000 --addr redis=127.0.0.1:6379
      GET and SET from 1 to 10,000 connections, in about two minutes
  pontoon bench server --addr pontoon=127.0.0.1:7000 --workload set --connections 1000 --rate 20000
      Latency at 20,000 commands a second, stalls included";

/// The load on RESP servers.
#[derive(Clone, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Server {
    /// A server to load, as NAME=HOST:PORT or HOST:PORT; several times for several servers, which
    /// take turns. The load writes the keys key:000000000000 and up (counter:… with incr) there
    #[arg(long, value_name = "[NAME=]HOST:PORT", default_value = "127.0.0.1:6379")]
    #[arg(value_parser = Address::parse)]
    pub addr: Vec<Address>,

    /// User to AUTH as, with --password
    #[arg(long, value_name = "NAME", requires = "password")]
    pub user: Option<String>,

    /// Password to AUTH with; a server that has none is loaded without. Better set by the environment
    /// variable, as others on the machine can see the command line
    #[arg(long, env = "PONTOON_BENCH_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub password: Option<String>,

    /// Database to SELECT
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub db: u32,

    /// What to send
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "get,set",
        value_name = "NAME,…"
    )]
    pub workload: Vec<Workload>,

    /// Connections at a time
    #[arg(long, alias = "concurrency", value_delimiter = ',', default_value = "1,50,1000,10000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(CONNECTIONS_MAX)))]
    #[arg(value_name = "N,…")]
    pub connections: Vec<u32>,

    /// Commands that a connection sends at once, before it reads the replies
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_name = "N,…")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(PIPELINE_MAX)))]
    pub pipeline: Vec<u32>,

    /// Keys; each command takes any of them with equal probability
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub keys: u64,

    /// Bytes of a value, or as in 4kb, 1mb
    #[arg(long, default_value = "100", value_name = "BYTES", value_parser = parse_value_bytes)]
    pub value_bytes: usize,

    /// Seconds that each server is loaded for in each case and round
    #[arg(long, default_value_t = 1.0, value_name = "SECS", value_parser = parse_seconds)]
    pub seconds: f64,

    /// Rounds in each case; in each of them every server has its turn
    #[arg(long, default_value_t = 3, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,

    /// Open loop: commands that arrive each second over all connections, whatever the replies do;
    /// latency counts from when a command was to be sent [default: closed loop]
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub rate: Option<f64>,

    /// What the keys and values are drawn from: equal seeds, equal commands
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,

    /// Threads that load [default: half the CPUs, so that a server on this machine has the others]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,

    #[command(flatten)]
    /// Where the results go.
    pub output: Output,
}

/// What is shown of a password is that there is one.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addr", &self.addr)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// A server and what to call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// What tables and plots call it.
    pub name: String,
    /// `HOST:PORT`.
    pub place: String,
}

impl Address {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, place) = text.split_once('=').unwrap_or((text, text));
        if name.is_empty() {
            return Err("a name is missing before the =".into());
        }
        let port = place.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let port = port.and_then(|(_, port)| port.parse::<u16>().ok()).filter(|port| *port > 0);
        if port.is_none() {
            return Err("expected NAME=HOST:PORT or HOST:PORT, such as redis=127.0.0.1:6379".into());
        }
        Ok(Self { name: name.into(), place: place.into() })
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// PING, which touches no data
    Ping,
    /// GET of a key that is there
    Get,
    /// SET of a key that is there
    Set,
    /// GET and SET, half of each (YCSB A, with all keys equally probable)
    Mixed,
    /// INCR
    Incr,
    /// MGET of ten keys that are there, as one command
    Mget,
}

impl Workload {
    /// What the flag and the results call it.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Ping => "ping",
            Workload::Get => "get",
            Workload::Set => "set",
            Workload::Mixed => "mixed",
            Workload::Incr => "incr",
            Workload::Mget => "mget",
        }
    }

    /// Whether the keys must be there before.
    pub(super) fn needs_keys(self) -> bool {
        !matches!(self, Workload::Ping | Workload::Incr)
    }
}

fn parse_value_bytes(text: &str) -> Result<usize, String> {
    match parse_bytes(text)? {
        bytes if bytes > VALUE_BYTES_MAX => Err("a string has 512mb at the most".into()),
        bytes => Ok(bytes),
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.01 to 86400".into()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=10e6).contains(&rate) => Ok(rate),
        _ => Err("expected commands a second, from 0.1 to 10000000".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        server: Server,
    }

    pub(in crate::bench::server) fn parse(args: &[&str]) -> Result<Server, String> {
        let args = [&["bench"], args].concat();
        Cli::try_parse_from(args).map(|cli| cli.server).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_are_split_at_commas() {
        let server = parse(&[
            "--addr=a=localhost:1",
            "--addr=[::1]:2",
            "--workload=get,ping",
            "--concurrency=1,2",
            "--pipeline=3,4",
            "--value-bytes=4kb",
        ]);
        let server = server.unwrap();
        let addr = |name: &str, place: &str| Address { name: name.into(), place: place.into() };
        assert_eq!(server.addr, [addr("a", "localhost:1"), addr("[::1]:2", "[::1]:2")]);
        assert_eq!(server.workload, [Workload::Get, Workload::Ping]);
        assert_eq!((server.connections, server.pipeline), (vec![1, 2], vec![3, 4]));
        assert_eq!(server.value_bytes, 4096);
    }

    #[test]
    fn the_defaults_are_whole_and_every_workload_has_the_name_of_its_flag() {
        let server = parse(&[]).unwrap();
        assert_eq!(server.addr[0].place, "127.0.0.1:6379");
        assert_eq!(server.workload, [Workload::Get, Workload::Set]);
        assert_eq!(server.connections, [1, 50, 1000, 10_000]);
        for workload in Workload::value_variants() {
            assert_eq!(workload.to_possible_value().unwrap().get_name(), workload.name());
        }
    }

    #[test]
    fn senseless_values_are_refused() {
        for (args, needle) in [
            (["--addr=redis"], "HOST:PORT"),
            (["--addr=:6379"], "HOST:PORT"),
            (["--addr=localhost:0"], "HOST:PORT"),
            (["--addr=localhost:70000"], "HOST:PORT"),
            (["--addr==localhost:1"], "a name is missing"),
            (["--workload=got"], "got"),
            (["--connections=0"], "0"),
            (["--connections=1,,2"], "--connections"),
            (["--pipeline=0"], "0"),
            (["--keys=0"], "0"),
            (["--value-bytes=513mb"], "512mb"),
            (["--value-bytes=1xb"], "units"),
            (["--seconds=0"], "expected seconds"),
            (["--seconds=NaN"], "expected seconds"),
            (["--rate=-1"], "expected commands"),
            (["--rate=inf"], "expected commands"),
            (["--rounds=0"], "0"),
            (["--user=me"], "--password"),
        ] {
            let error = parse(&args).unwrap_err();
            assert!(error.contains(needle), "{args:?}: {needle:?} is not in {error}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let server = parse(&["--password=secret"]).unwrap();
        assert_eq!(server.password.as_deref(), Some("secret"));
        assert!(!format!("{server:?}").contains("secret"));
    }
}
