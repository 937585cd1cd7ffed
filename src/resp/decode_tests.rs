#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::super::{Encoder, Protocol};
use super::*;

type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// What comes out when `stream` arrives in `pieces`.
fn decode_pieces<'p>(limits: Limits, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut decoder = Decoder::new(limits);
    let mut input = BytesMut::new();
    let mut requests = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(args)) => requests.push(args.iter().map(|arg| arg.to_vec()).collect()),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn decode_all(stream: &[u8]) -> Outcome {
    decode_pieces(Limits::default(), [stream])
}

/// Cuts `stream` at each of `cuts`, taken modulo its length.
fn cut<'s>(stream: &'s [u8], cuts: &[usize]) -> Vec<&'s [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    at.sort_unstable();
    at.insert(0, 0);
    at.push(stream.len());
    at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

fn encode(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut encoder = Encoder::new(Protocol::Resp2);
    for request in requests {
        encoder.array(request.len());
        for arg in request {
            encoder.bulk_bytes(Bytes::copy_from_slice(arg));
        }
    }
    encoder.into_chunks().flatten().collect()
}

#[track_caller]
fn assert_error(stream: &[u8], text: &str) {
    let (_, error) = decode_all(stream);
    assert_eq!(error.expect("an error").to_string(), text, "{}", stream.escape_ascii());
}

#[test]
fn errors_have_the_texts_of_redis() {
    assert_error(b"*x\r\n", "Protocol error: invalid multibulk length");
    assert_error(b"*1048577\r\n", "Protocol error: invalid multibulk length");
    assert_error(b"*9999999999999999999\r\n", "Protocol error: invalid multibulk length");
    assert_error(b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length");
    assert_error(b"*1\r\n$+1\r\n", "Protocol error: invalid bulk length");
    assert_error(b"*1\r\n$536870913\r\n", "Protocol error: invalid bulk length");
    assert_error(b"*1\r\n:1\r\n", "Protocol error: expected '$', got ':'");
    assert_error(b"*1\r\n\r\n", "Protocol error: expected '$', got ' '");
    assert_error(b"*1\r\n\x01\r\n", "Protocol error: expected '$', got '\\x01'");
    assert_error(b"get \"x\r\n", "Protocol error: unbalanced quotes in request");
    assert_error(&[b'a'; 65537], "Protocol error: too big inline request");
    assert_error(
        &[b"*".as_slice(), &[b'1'; 65537]].concat(),
        "Protocol error: too big mbulk count string",
    );
    assert_error(
        &[b"*1\r\n$".as_slice(), &[b'1'; 65537]].concat(),
        "Protocol error: too big bulk count string",
    );
}

#[test]
fn an_inline_request_may_be_as_long_as_the_limit() {
    let line = vec![b'a'; 65536];
    let (requests, error) = decode_all(&[&line, b"\n".as_slice()].concat());
    assert_eq!((requests, error), (vec![vec![line]], None));
}

#[test]
fn empty_requests_are_skipped() {
    let (requests, error) = decode_all(b"\r\n\n*0\r\n*-1\r\n   \r\n*1\r\n$0\r\n\r\nPING\r\n");
    assert_eq!(requests, [vec![b"".to_vec()], vec![b"PING".to_vec()]]);
    assert_eq!(error, None);
}

#[test]
fn an_unauthenticated_client_has_narrower_limits() {
    let outcome = |stream: &[u8], authenticated| {
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_authenticated(authenticated);
        decoder.decode(&mut BytesMut::from(stream)).map_err(|error| error.to_string())
    };
    assert_eq!(outcome(b"*11\r\n", true), Ok(None));
    assert_eq!(outcome(b"*10\r\n", false), Ok(None));
    assert_eq!(
        outcome(b"*11\r\n", false),
        Err("Protocol error: unauthenticated multibulk length".into())
    );
    assert_eq!(outcome(b"*1\r\n$16384\r\n", false), Ok(None));
    assert_eq!(
        outcome(b"*1\r\n$16385\r\n", false),
        Err("Protocol error: unauthenticated bulk length".into())
    );
}

#[test]
fn a_request_has_a_limit_over_all_its_arguments() {
    let limits = Limits { bulk_bytes_max: 10, buffered_bytes_max: 15, ..Limits::default() };
    let (_, error) = decode_pieces(limits, [b"*2\r\n$10\r\n0123456789\r\n$6\r\n".as_slice()]);
    assert_eq!(error, Some(ProtocolError::RequestTooBig));
    let (requests, error) = decode_pieces(
        limits,
        [b"*2\r\n$10\r\n0123456789\r\n$5\r\nabcde\r\n*1\r\n$10\r\n0123456789\r\n".as_slice()],
    );
    assert_eq!((requests.len(), error), (2, None));
}

#[test]
fn announced_lengths_allocate_nothing() {
    let mut decoder = Decoder::new(Limits::default());
    let mut input = BytesMut::from("*1048576\r\n$536870912\r\nabc");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert_eq!(decoder.args.capacity(), 0);
    assert_eq!(decoder.spans.capacity(), 0);
    assert!(input.capacity() < 1024, "{}", input.capacity());
    assert_eq!(decoder.missing_bytes(input.len()), 536870912 + 2 - 3);
}

#[test]
fn a_big_argument_is_handed_over_without_a_copy() {
    let mut decoder = Decoder::new(Limits::default());
    let mut input = BytesMut::from("*2\r\n$3\r\nSET\r\n$100000\r\n01234");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert_eq!(input, "01234", "what precedes the big argument has left the buffer");
    input.reserve(decoder.missing_bytes(input.len()) + "rest".len());
    let address = input.as_ptr();
    input.extend_from_slice(&[b'x'; 99_995]);
    input.extend_from_slice(b"\r\nrest");
    let args = decoder.decode(&mut input).unwrap().unwrap();
    assert_eq!(args[0], "SET");
    assert_eq!((args[1].as_ptr(), args[1].len()), (address, 100_000));
    assert_eq!(input, "rest");
}

#[test]
fn bytes_seen_without_a_line_end_are_not_looked_at_again() {
    let mut decoder = Decoder::new(Limits::default());
    let mut input = BytesMut::from("inline without an end");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert_eq!(decoder.scanned, input.len());
    let mut decoder = Decoder::new(Limits::default());
    let mut input = BytesMut::from("*2\r\n$3\r\nGET\r\n$12");
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert_eq!((decoder.position, decoder.scanned), (13, 3));
}

fn arg() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (BIG_BULK_BYTES - 2..BIG_BULK_BYTES + 3).prop_map(|len| vec![b'v'; len]),
    ]
}

fn requests() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    prop::collection::vec(prop::collection::vec(arg(), 1..6), 0..6)
}

/// Bytes that often look like RESP.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"*2\r\n$3\r\nGET\r\n".to_vec()),
        Just(b"$1\r\nk\r\n".to_vec()),
        Just(b"*1\r\n$40000\r\n".to_vec()),
        (-2i64..30).prop_map(|n| n.to_string().into_bytes()),
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(requests in requests(), cuts: Vec<usize>) {
        let stream = encode(&requests);
        let outcome = decode_pieces(Limits::default(), cut(&stream, &cuts));
        prop_assert_eq!(outcome, (requests, None));
    }

    #[test]
    fn any_cut_of_any_bytes_gives_the_same(stream in noise(), cuts: Vec<usize>) {
        let whole = decode_all(&stream);
        let bytewise = decode_pieces(Limits::default(), stream.chunks(1));
        prop_assert_eq!(&bytewise, &whole);
        prop_assert_eq!(decode_pieces(Limits::default(), cut(&stream, &cuts)), whole);
    }

    #[test]
    fn any_cut_gives_the_same_at_the_limits(stream in noise(), cuts: Vec<usize>) {
        let limits = Limits {
            bulk_bytes_max: 6,
            args_max: 3,
            inline_bytes_max: 8,
            buffered_bytes_max: 9,
            ..Limits::default()
        };
        let whole = decode_pieces(limits, [stream.as_slice()]);
        prop_assert_eq!(decode_pieces(limits, stream.chunks(1)), whole.clone());
        prop_assert_eq!(decode_pieces(limits, cut(&stream, &cuts)), whole);
    }
}
