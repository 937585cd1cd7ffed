//! To be written.

use std::process::ExitCode;

use super::cli;

pub(super) fn run(_args: &cli::Matrix) -> Result<ExitCode, String> {
    Err("not there yet".into())
}
