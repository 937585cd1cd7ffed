//! The gate of held snapshots: every order of its steps, where the steps themselves have one order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use pontoon_storage_model::check::{check, check_every};
use pontoon_storage_model::gate;

const AT_MOST: usize = 200_000;

#[test]
fn a_release_waits_for_the_view_that_runs() {
    check_every(AT_MOST, gate::a_release_beside_a_read);
}

#[test]
fn the_close_releases_each_once() {
    // It releases in the order of a hash map, which is another each time.
    check(gate::the_close_beside_a_read_and_a_release);
}

#[test]
fn no_more_are_held_than_there_may_be() {
    check_every(AT_MOST, gate::two_for_one_place);
}
