//! To be written: the results as a page with plots.

use super::cli::Output;
use super::result::Results;

/// Writes the files that `output` asks for.
pub(super) fn write(_results: &Results, _output: &Output) -> Result<(), String> {
    Err("not there yet".into())
}
