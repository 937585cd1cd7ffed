//! See `encoding` in this package's library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pontoon_fuzz::encoding::encoding(data));
