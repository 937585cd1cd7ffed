//! What RESP costs: requests decoded and replies encoded, with no socket, command or store.
//!
//! ```text
//! cargo bench --bench resp -- [FILTER] [--save-baseline NAME] [--baseline NAME]
//! ```
//!
//! Decoding includes the copy of the bytes into the input buffer, as a read from a socket makes it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pontoon::resp::{Decoder, Encoder, Limits, Protocol, SHARED_BYTES_MIN};

const VALUE_BYTES: usize = 100;
const PIPELINE: usize = 64;

/// A request as a client writes it.
fn request(args: &[&[u8]]) -> Vec<u8> {
    let mut encoder = Encoder::new(Protocol::Resp2);
    encoder.array(args.len());
    for arg in args {
        encoder.bulk(arg);
    }
    encoder.into_chunks().flatten().collect()
}

/// Decodes all of `received`, which arrives in pieces of at most `piece_bytes`.
fn decode_all(decoder: &mut Decoder, input: &mut BytesMut, received: &[u8], piece_bytes: usize) {
    for piece in received.chunks(piece_bytes) {
        input.extend_from_slice(piece);
        while let Some(args) = decoder.decode(input).unwrap() {
            black_box(args);
        }
    }
    assert!(input.is_empty(), "the last request is not whole");
}

fn decode(c: &mut Criterion) {
    let value = [b'v'; VALUE_BYTES];
    let get = request(&[b"GET", b"key:000000012345"]);
    let set = request(&[b"SET", b"key:000000012345", &value]);
    let mget: Vec<&[u8]> =
        [&b"MGET"[..]].into_iter().chain([&b"key:000000012345"[..]; 100]).collect();
    let large = request(&[b"SET", b"key:000000012345", &vec![b'v'; 1 << 20]]);
    // What a socket gives in one read at the most.
    let socket_read_bytes = 16 << 10;
    let cases = [
        ("get", get.clone(), 1, usize::MAX),
        ("set_100_bytes", set.clone(), 1, usize::MAX),
        ("get_inline", b"GET key:000000012345\r\n".to_vec(), 1, usize::MAX),
        ("get_pipeline_64", get.repeat(PIPELINE), PIPELINE, usize::MAX),
        ("set_100_bytes_pipeline_64", set.repeat(PIPELINE), PIPELINE, usize::MAX),
        ("mget_100_keys", request(&mget), 1, usize::MAX),
        ("set_1_mib_in_reads_of_16_kib", large, 1, socket_read_bytes),
        // The slowest network there is: each byte resumes where the last one stopped.
        ("set_100_bytes_byte_by_byte", set, 1, 1),
    ];
    let mut group = c.benchmark_group("resp/decode");
    for (name, received, requests, piece_bytes) in cases {
        group.throughput(Throughput::ElementsAndBytes {
            elements: requests as u64,
            bytes: received.len() as u64,
        });
        let mut decoder = Decoder::new(Limits::default());
        let mut input = BytesMut::new();
        group.bench_function(name, |b| {
            b.iter(|| decode_all(&mut decoder, &mut input, &received, piece_bytes));
        });
    }
    group.finish();
}

/// One reply, or all of a run's, from an empty encoder to the chunks that a write takes.
fn encode_case(c: &mut Criterion, name: &str, replies: usize, write: impl Fn(&mut Encoder)) {
    let run = |protocol| {
        let mut encoder = Encoder::new(protocol);
        for _ in 0..replies {
            write(&mut encoder);
        }
        encoder
    };
    let mut group = c.benchmark_group("resp/encode");
    group.throughput(Throughput::ElementsAndBytes {
        elements: replies as u64,
        bytes: run(Protocol::Resp2).len_bytes() as u64,
    });
    group.bench_function(name, |b| {
        b.iter(|| {
            run(black_box(Protocol::Resp2)).into_chunks().for_each(|chunk| drop(black_box(chunk)))
        });
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let value = Bytes::from(vec![b'v'; VALUE_BYTES]);
    let large = Bytes::from(vec![b'v'; SHARED_BYTES_MIN]);
    encode_case(c, "ok", 1, Encoder::ok);
    encode_case(c, "ok_pipeline_64", PIPELINE, Encoder::ok);
    encode_case(c, "integer", 1, |reply| reply.integer(black_box(1_234_567_890)));
    encode_case(c, "bulk_100_bytes", 1, |reply| reply.bulk_bytes(value.clone()));
    encode_case(c, "bulk_100_bytes_pipeline_64", PIPELINE, |reply| reply.bulk_bytes(value.clone()));
    encode_case(c, "bulk_16_kib_shared", 1, |reply| reply.bulk_bytes(large.clone()));
    encode_case(c, "double", 1, |reply| reply.double(black_box(0.1)));
    encode_case(c, "error", 1, |reply| reply.error(black_box("ERR syntax error")));
    encode_case(c, "array_of_100_bulks", 1, |reply| {
        reply.array(100);
        for _ in 0..100 {
            reply.bulk_bytes(value.clone());
        }
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = decode, encode
}
criterion_main!(benches);
