//! To be written: the results as a table for a terminal.

use super::result::Results;

/// The results as text.
pub(super) fn render(_results: &Results) -> String {
    String::new()
}
