//! What fuzzers try: each function here takes any bytes at all and panics where a promise is broken.
//!
//! `storage/fuzz` hands them to libFuzzer; the ordinary tests run each for a moment, so that none
//! rots. Compiled for those two alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod batch;
mod input;
mod keyspace;
mod model;
mod overlay;

pub use batch::batch;
pub use keyspace::keyspace;
pub use overlay::overlay;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Fewer cases of longer inputs: what a fuzzer builds up takes many steps.
    fn config() -> ProptestConfig {
        ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn an_overlay_does_what_a_map_does(data in vec(any::<u8>(), 0..400)) {
            super::overlay(&data);
        }

        #[test]
        fn a_batch_does_what_its_writes_do(data in vec(any::<u8>(), 0..400)) {
            super::batch(&data);
        }

        #[test]
        fn names_and_ranges_are_what_they_say(data in vec(any::<u8>(), 0..300)) {
            super::keyspace(&data);
        }
    }
}
