//! A store that is asked for more than it can do, whose disk stalls, or that does something long beside
//! what it is asked.
//!
//! ```text
//! cargo bench --bench overload --features rocksdb -- [--part memory,offered,stalls,beside] [--help]
//! ```
//!
//! - `memory`: thousands of tasks write 1 MiB each: what the process holds at its peak.
//! - `offered`: load offered from a quarter to three times of what the store can do, in an open loop.
//! - `stalls`: gets and puts over an engine that now and then stalls for 100 ms.
//! - `beside`: gets beside a scan of all keys, a checkpoint, a range and a keyspace removed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

mod beside;
mod load;
mod memory;
mod offered;
mod stalls;

use std::path::PathBuf;

use clap::Parser;
use pontoon_storage::EngineKind;
use tokio::runtime::Runtime;

/// The server's: what glibc's would keep per thread says nothing of us.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
pub struct Args {
    #[arg(long, value_delimiter = ',', default_value = "memory,offered,stalls,beside")]
    part: Vec<String>,
    #[arg(long, value_delimiter = ',', default_value = "redb,rocksdb")]
    engine: Vec<String>,
    /// Tasks that write 1 MiB each
    #[arg(long, default_value_t = 10_000)]
    writers: u64,
    /// How long each row of a table takes
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Tables of `offered`, whose rows then are medians
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Keys of `beside`
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// Where the data is put, in a directory that is removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
    #[arg(long, hide = true)]
    bench: bool,
    /// Only ask whether it runs
    #[arg(long, hide = true)]
    test: bool,
}

fn main() {
    let mut args = Args::parse();
    if args.test || !args.bench {
        // `cargo test --benches`, which leaves `--bench` out, and `cargo bench -- --test`.
        args = Args { writers: 100, seconds: 0.05, rounds: 1, keys: 20_000, ..args };
    }
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::tempdir_in(&parent).unwrap();
    let engines: Vec<EngineKind> = EngineKind::AVAILABLE
        .iter()
        .copied()
        .filter(|kind| args.engine.iter().any(|name| name == kind.name()))
        .collect();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    println!("{} CPUs, {build} build, 2 workers", num_cpus::get());
    for part in &args.part {
        for &engine in &engines {
            let runtime = runtime();
            let dir = dir.path().join(format!("{part}-{}", engine.name()));
            std::fs::create_dir(&dir).unwrap();
            match part.as_str() {
                "memory" => memory::run(&runtime, engine, &dir, &args),
                "offered" => offered::run(&runtime, engine, &dir, &args),
                "stalls" => stalls::run(&runtime, engine, &dir, &args),
                "beside" => beside::run(&runtime, engine, &dir, &args),
                other => panic!("--part {other}: memory, offered, stalls or beside"),
            }
            std::fs::remove_dir_all(&dir).unwrap();
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
