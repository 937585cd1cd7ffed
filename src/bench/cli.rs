//! The command line of `pontoon bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pontoon_storage::EngineKind;

use super::choice::{Flavor, List, Mode, Workload, parse_names, parse_positives};
use crate::cli::{parse_bytes, parse_positive};
use crate::config::DurabilityChoice;

const AFTER_HELP: &str = "\
Without a command, a matrix: every contender (a --bridge on a --runtime) does every --workload
at every --concurrency, in turn, for some rounds. Progress goes to stderr, the results to stdout.

Exit codes: 0 after success, 1 after an error, 2 if the options make no sense.

Examples:
  pontoon bench
      Cached reads and fsynced writes with both bridges, in about two minutes
  pontoon bench --report report.html --json before.json
      The same, as a page with plots, and saved for `pontoon bench compare`
  pontoon bench --bridge all --runtime all --workload ycsb-a --concurrency 256 --seconds 1
      All ways to call storage on one workload
  pontoon bench --bridge pool,direct --pool-threads 1,2,4 --workload get-miss --value-bytes 4kb
      How many threads the pool needs when reads go to the disk
  pontoon bench --workload put-durable --concurrency 4096 --rate 5000
      Latency at 5000 writes a second, stalls included";

pub use super::server::args::Server;

/// `pontoon bench` with one of its commands, or with the flags of the matrix.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub struct Bench {
    /// What to do, if not the matrix.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The matrix.
    #[command(flatten)]
    pub matrix: Matrix,
}

/// The commands beside the matrix.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Look for deadlocks between storage calls and other waiting, with a verdict for each case
    Probes(Probes),
    /// Say what changed between two runs saved with --json
    Compare(Compare),
    /// Load RESP servers (pontoon, Redis, Kvrocks) in turn and report as the matrix does
    Server(Box<Server>),
}

/// The matrix over engines, bridges, runtimes, workloads and concurrency.
#[derive(Debug, Clone, Args)]
pub struct Matrix {
    /// What stores the data: redb, rocksdb, memory, or all of this build [default: all that keep
    /// data]
    #[arg(long, value_name = "ENGINE,…", value_parser = parse_names::<EngineKind>)]
    #[arg(help_heading = COMPARED)]
    pub engine: Option<List<EngineKind>>,

    /// How storage is called. Pontoon's modes: blocking (tokio's spawn_blocking) and pool (dedicated
    /// threads). Baselines to compare them with: direct (synchronous calls on plain threads, no
    /// async), per-call (one spawn_blocking per operation), per-call-pool (one threadpool job per
    /// operation), inline (the engine called on the async thread). Or all
    #[arg(long, value_name = "MODE,…", value_parser = parse_names::<Mode>)]
    #[arg(default_value = "blocking,pool,direct,per-call", help_heading = COMPARED)]
    pub bridge: List<Mode>,

    /// What runs the callers: multi-thread (tokio, a worker for each CPU), current-thread (tokio, one
    /// thread), none (no tokio: the thread pool of the crate futures; for pool and per-call-pool
    /// alone). Or all
    #[arg(long, value_name = "RUNTIME,…", value_parser = parse_names::<Flavor>)]
    #[arg(default_value = "multi-thread,current-thread", help_heading = COMPARED)]
    pub runtime: List<Flavor>,

    /// Threads of the pool, for --bridge pool (those that read; writes have one more, background work
    /// too) and per-call-pool; each number is a contender of its own [default: per-call-pool one for
    /// each CPU; pool what a store has by itself, two for each CPU and at least 16]
    #[arg(long, value_name = "N,…", value_parser = parse_positives, help_heading = COMPARED)]
    pub pool_threads: Option<List<usize>>,

    /// Threads of --bridge direct; fewer at a lower concurrency [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = parse_positive, help_heading = COMPARED)]
    pub direct_threads: Option<usize>,

    /// What callers do. get-hit: read a key that is in the cache; get-miss: read a key that comes from
    /// the disk; put: replace a value, acknowledged as --durability says; put-durable: replace a
    /// value, acknowledged after an fsync; rmw: read and replace a value in one transaction; scan:
    /// read 100 entries. YCSB's, on zipfian keys: ycsb-a: half reads, half updates; ycsb-b: 5 %
    /// updates; ycsb-c: reads; ycsb-d: reads of what is newest, 5 % inserts; ycsb-e: scans, 5 %
    /// inserts; ycsb-f: half reads, half read-modify-writes. Or all
    #[arg(long, value_name = "WORKLOAD,…", value_parser = parse_names::<Workload>)]
    #[arg(default_value = "get-hit,put-durable", help_heading = LOAD)]
    pub workload: List<Workload>,

    /// Callers at a time
    #[arg(long, value_name = "N,…", value_parser = parse_positives)]
    #[arg(default_value = "1,16,256,4096", help_heading = LOAD)]
    pub concurrency: List<usize>,

    /// Operations a second that arrive whatever the answers do (open loop): latency counts from the
    /// intended start, and --concurrency bounds how many run at once. Without it, each caller calls,
    /// waits, and calls again (closed loop)
    #[arg(long, value_name = "N", value_parser = parse_rate, help_heading = LOAD)]
    pub rate: Option<f64>,

    /// Keys that are there
    #[arg(long, value_name = "N", value_parser = parse_positive, default_value = "100000")]
    #[arg(help_heading = LOAD)]
    pub keys: usize,

    /// Size of a value, in bytes or as in 4kb
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "100")]
    #[arg(help_heading = LOAD)]
    pub value_bytes: usize,

    /// When a write is acknowledged, but for put-durable [default: everysec]
    #[arg(long, value_name = "WHEN", value_enum, help_heading = LOAD)]
    pub durability: Option<DurabilityChoice>,

    /// Memory for the record cache of Pontoon's modes, in bytes or as in 512mb; 0: none. Except for
    /// get-miss it holds what fits when the measuring begins
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "0")]
    #[arg(help_heading = LOAD)]
    pub cache_bytes: usize,

    /// Memory for the engine's read cache; get-miss takes less [default: 128mb]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, help_heading = LOAD)]
    pub engine_cache_bytes: Option<usize>,

    /// What random keys follow from: the same seed gives the same keys
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = LOAD)]
    pub seed: u64,

    /// Seconds that each contender is measured in each round [default: what brings the whole run to
    /// about two minutes, from 0.1 to 2]
    #[arg(long, value_name = "SECS", value_parser = parse_seconds, help_heading = RUN)]
    pub seconds: Option<f64>,

    /// Rounds: in each, the contenders of a case take turns
    #[arg(long, value_name = "N", value_parser = parse_positive, default_value = "3")]
    #[arg(help_heading = RUN)]
    pub rounds: usize,

    /// Where to make a directory for the data, which is removed at the end [default: the current
    /// directory]
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    pub dir: Option<PathBuf>,

    /// Where the results go.
    #[command(flatten)]
    pub output: Output,
}

const COMPARED: &str = "What is compared";
const LOAD: &str = "The load";
const RUN: &str = "The run";

fn parse_rate(text: &str) -> Result<f64, String> {
    parse_above_zero(text, 1e9)
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    parse_above_zero(text, 86_400.0)
}

fn parse_above_zero(text: &str, max: f64) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= max => Ok(number),
        Ok(_) => Err(format!("it must be above 0 and at most {max}")),
        Err(_) => Err("not a number".into()),
    }
}

impl Bench {
    /// Refuses what makes no sense together.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.command {
            None => super::matrix::check(&self.matrix),
            Some(_) => Ok(()),
        }
    }
}

/// The deadlock probes.
#[derive(Debug, Clone, Args)]
pub struct Probes {
    /// Seconds after which what has not ended is a deadlock
    #[arg(long, value_name = "SECS", value_parser = parse_seconds, default_value = "10")]
    pub timeout_secs: f64,
}

/// Two runs to compare.
#[derive(Debug, Clone, Args)]
pub struct Compare {
    /// The earlier run
    #[arg(value_name = "A.json")]
    pub before: PathBuf,
    /// The later run
    #[arg(value_name = "B.json")]
    pub after: PathBuf,
    /// Exit with 1 if any of Pontoon's modes, or any server, became slower
    #[arg(long)]
    pub fail_if_slower: bool,
}

/// Where results go beside the table on stdout.
#[derive(Debug, Clone, Args)]
pub struct Output {
    /// Save the results as JSON, for `pontoon bench compare`
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a report with plots: one HTML page that needs no network
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Also write each plot of the report as an SVG file into this directory
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
}
