//! The flags.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use pontoon_storage::EngineKind;
use tokio::runtime::{Builder, Runtime};

use crate::contender::Contender;

/// The same workload through Pontoon's lanes and through other ways to call a blocking store from async
/// code; one table on stdout.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// Engines of the contenders that share one: memory, redb, rocksdb (a build with `--features rocksdb`)
    #[arg(long, value_delimiter = ',', value_parser = engine, default_value = "redb")]
    pub(crate) engine: Vec<EngineKind>,
    /// What the callers do
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Workload::value_variants().to_vec())]
    pub(crate) workload: Vec<Workload>,
    /// Callers that each call, wait, and call again
    #[arg(long, value_delimiter = ',', value_parser = at_least_one, default_value = "1,16,256,4096")]
    pub(crate) concurrency: Vec<usize>,
    /// Runtimes that the callers run on
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Flavor::value_variants().to_vec())]
    pub(crate) runtime: Vec<Flavor>,
    /// Who takes part; ratios need spawn-blocking
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contender::value_variants().to_vec())]
    pub(crate) contenders: Vec<Contender>,
    /// How long each contender is measured in each round; the calls under way then are waited for
    #[arg(long, value_parser = seconds, default_value = "0.15")]
    pub(crate) seconds: f64,
    /// Turns of each contender in each case
    #[arg(long, value_parser = at_least_one, default_value = "3")]
    pub(crate) rounds: usize,
    /// Keys in each store, with values of 100 bytes
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), default_value = "100000")]
    pub(crate) keys: u64,
    /// Where the stores' temporary directory is made [default: the system's]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Print a Markdown table rather than plain text
    #[arg(long)]
    pub(crate) markdown: bool,
}

fn engine(name: &str) -> Result<EngineKind, String> {
    let found = EngineKind::AVAILABLE.iter().find(|engine| engine.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = EngineKind::AVAILABLE.iter().map(|engine| engine.name()).collect();
        format!("this build has {}; RocksDB needs `--features rocksdb`", names.join(", "))
    })
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("give a whole number from 1 on".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.001..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give seconds between 0.001 and 3600".to_owned()),
    }
}

/// What the callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// Get a key that is there, from the engine's cache
    Get,
    /// Replace a value, without an fsync
    Put,
    /// Replace a value, fsynced when the call returns
    DurablePut,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Workload::Get => "get",
            Workload::Put => "put",
            Workload::DurablePut => "durable put",
        }
    }

    /// Memory is never durable.
    pub(crate) fn suits(self, kind: EngineKind) -> bool {
        self != Workload::DurablePut || kind.is_persistent()
    }
}

/// What polls the callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flavor {
    /// tokio with two workers
    MultiThread,
    /// tokio on the thread that waits
    CurrentThread,
}

impl Flavor {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Flavor::MultiThread => "multi-thread",
            Flavor::CurrentThread => "current-thread",
        }
    }

    pub(crate) fn build(self) -> Runtime {
        match self {
            Flavor::MultiThread => Builder::new_multi_thread().worker_threads(2).build().unwrap(),
            Flavor::CurrentThread => Builder::new_current_thread().build().unwrap(),
        }
    }
}
