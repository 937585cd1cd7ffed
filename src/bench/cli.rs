//! The command line of `pontoon bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

pub use super::server::args::Server;

/// `pontoon bench` with one of its commands, or with the flags of the matrix.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
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
    #[command(flatten)]
    /// Where the results go.
    pub output: Output,
}

/// The deadlock probes.
#[derive(Debug, Clone, Args)]
pub struct Probes {}

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
