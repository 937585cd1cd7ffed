//! What the parts of the storage cost, each alone: a trip through a lane, an answer of the record cache, the
//! overlay of a transaction, and the engines below.
//!
//! ```text
//! cargo bench -p pontoon-storage --bench parts [--features rocksdb] -- [FILTER] [--save-baseline NAME]
//! ```
//!
//! How the parts do together under many callers is another question: `pontoon bench` and
//! `cargo bench --bench bridge` answer it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

mod cache;
mod data;
mod engine;
mod lane;
mod overlay;

// A part has a file, and its name here.
criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50);
    targets = lane::trips, cache::answers, overlay::operations, engine::calls
}
criterion_main!(benches);
