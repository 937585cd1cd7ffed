//! What `storage/fuzz` hands to a fuzzer, over some random input, so that it does not rot; and what
//! fuzzers have found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
// What is public for the fuzzer's package is nobody else's here.
#![allow(unreachable_pub)]

use proptest::collection::vec;
use proptest::prelude::*;

#[path = "../storage/fuzz/src/encoding.rs"]
mod encoding;
#[path = "../storage/fuzz/src/resp_target.rs"]
mod resp_target;

/// What a stream is made of, more often than any byte.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let parts: &[&[u8]] = &[
        b"*1\r\n",
        b"*2\r\n",
        b"$1\r\n",
        b"$0\r\n\r\n",
        b"$32768\r\n",
        b"\r\n",
        b"a",
        b"\"",
        b"\xfe\x80a",
    ];
    let part = prop_oneof![
        8 => prop::sample::select(parts.to_vec()).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..3),
    ];
    (any::<u8>(), vec(part, 0..12))
        .prop_map(|(first, parts)| [vec![first], parts.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_stored_comes_out_as_it_went_in(data in vec(any::<u8>(), 0..60), tag in 0..8u8, flags in 0..5u8) {
        encoding::encoding(&data);
        encoding::encoding(&[&[tag, flags], data.as_slice()].concat());
    }

    #[test]
    fn a_stream_says_the_same_however_it_is_cut(data in stream()) {
        resp_target::resp(&data);
    }
}
