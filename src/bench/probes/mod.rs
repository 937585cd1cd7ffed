//! `pontoon bench probes`.

use std::process::ExitCode;

use super::cli;

pub(super) fn run(_args: &cli::Probes) -> Result<ExitCode, String> {
    Err("not there yet".into())
}
