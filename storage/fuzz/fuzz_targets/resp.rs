//! See `resp` in this package's library.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pontoon_fuzz::resp_target::resp(data));
