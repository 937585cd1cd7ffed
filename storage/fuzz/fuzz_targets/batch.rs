//! See `batch` in the storage crate's `fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pontoon_storage::fuzz::batch(data));
