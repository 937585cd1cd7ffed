//! The race of the record cache with commits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use pontoon_storage_model::check::check;
use pontoon_storage_model::record::commits_and_reads;

#[test]
fn no_reader_sees_less_than_was_acknowledged() {
    check(|| commits_and_reads(false));
}

#[test]
fn nothing_deleted_by_range_comes_back() {
    check(|| commits_and_reads(true));
}
