//! The ticker: deadlines, the interval and the watch, against its end and against each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use pontoon_storage_model::check::{check, check_one_in};
use pontoon_storage_model::ticks;

#[test]
fn a_call_starts_or_its_deadline_comes() {
    check(|| ticks::deadlines(false));
}

#[test]
fn the_end_leaves_no_deadline_behind() {
    check(|| ticks::deadlines(true));
}

#[test]
fn a_deadline_ends_what_nothing_else_does() {
    check(ticks::deadlines_alone_end_calls);
}

#[test]
fn nothing_is_called_after_the_end() {
    check(ticks::the_interval_and_the_end);
}

#[test]
fn nobody_waits_with_the_watch_off() {
    check_one_in(10, ticks::the_watch_goes_off_and_somebody_comes);
}
