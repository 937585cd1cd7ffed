//! `pontoon bench`: what the bridge costs and what the lanes give, on this machine and this workload.
//!
//! Four commands share one model of results ([`result`]) and so one table, one report and one
//! comparison: the matrix over the storage crate (`pontoon bench`), the deadlock probes
//! (`pontoon bench probes`), the load on any RESP server (`pontoon bench server`), and the comparison
//! of two earlier runs (`pontoon bench compare`).

use std::process::ExitCode;

pub mod choice;
pub mod cli;
pub mod measure;
pub mod result;

mod compare;
mod machine;
mod matrix;
mod output;
mod probes;
mod progress;
mod report;
mod server;
mod table;

/// Runs what `args` ask for. Results go to stdout, progress and errors to stderr. 0 after success, 1
/// after an error.
pub(crate) fn run(args: cli::Bench) -> ExitCode {
    let outcome = match args.command {
        None => matrix::run(&args.matrix),
        Some(cli::Command::Probes(probes)) => probes::run(&probes),
        Some(cli::Command::Compare(compare)) => compare::run(&compare),
        Some(cli::Command::Server(server)) => server::run(&server),
    };
    match outcome {
        Ok(code) => code,
        Err(why) => crate::launch::fail(&why),
    }
}
