#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

fn written(protocol: Protocol, write: impl FnOnce(&mut Encoder)) -> String {
    let mut encoder = Encoder::new(protocol);
    write(&mut encoder);
    let len_bytes = encoder.len_bytes();
    let bytes: Vec<u8> = encoder.into_chunks().flatten().collect();
    assert_eq!(bytes.len(), len_bytes);
    String::from_utf8(bytes).unwrap()
}

#[track_caller]
fn assert_written(write: impl Fn(&mut Encoder), resp2: &str, resp3: &str) {
    assert_eq!(written(Protocol::Resp2, &write), resp2);
    assert_eq!(written(Protocol::Resp3, &write), resp3);
}

#[test]
fn every_reply_in_both_protocols() {
    assert_written(|e| e.simple("PONG"), "+PONG\r\n", "+PONG\r\n");
    assert_written(Encoder::ok, "+OK\r\n", "+OK\r\n");
    assert_written(|e| e.error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
    assert_written(
        |e| e.integer(i64::MIN),
        ":-9223372036854775808\r\n",
        ":-9223372036854775808\r\n",
    );
    assert_written(|e| e.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n");
    assert_written(|e| e.bulk_bytes("hi".into()), "$2\r\nhi\r\n", "$2\r\nhi\r\n");
    assert_written(Encoder::null, "$-1\r\n", "_\r\n");
    assert_written(Encoder::null_array, "*-1\r\n", "_\r\n");
    assert_written(|e| e.array(3), "*3\r\n", "*3\r\n");
    assert_written(|e| e.map(3), "*6\r\n", "%3\r\n");
    assert_written(|e| e.set(3), "*3\r\n", "~3\r\n");
    assert_written(|e| e.push(3), "*3\r\n", ">3\r\n");
    assert_written(|e| e.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
    assert_written(|e| e.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
    assert_written(|e| e.boolean(true), ":1\r\n", "#t\r\n");
    assert_written(|e| e.boolean(false), ":0\r\n", "#f\r\n");
    assert_written(|e| e.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
    assert_written(|e| e.big_number("-12"), "$3\r\n-12\r\n", "(-12\r\n");
}

#[test]
fn a_large_value_is_shared() {
    let value = Bytes::from(vec![b'v'; SHARED_BYTES_MIN]);
    let mut encoder = Encoder::new(Protocol::Resp2);
    encoder.bulk_bytes(value.clone());
    let chunks: Vec<Bytes> = encoder.into_chunks().collect();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1].as_ptr(), value.as_ptr());
}

/// Something written, for comparing an encoder with one that only wrote what stays.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Integer(i64),
    Bulk(usize),
}

impl Piece {
    fn write(self, encoder: &mut Encoder) {
        match self {
            Piece::Integer(number) => encoder.integer(number),
            Piece::Bulk(len) => encoder.bulk_bytes(vec![b'v'; len].into()),
        }
    }
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = prop_oneof![
        any::<i64>().prop_map(Piece::Integer),
        (0usize..20).prop_map(Piece::Bulk),
        (SHARED_BYTES_MIN - 1..SHARED_BYTES_MIN + 2).prop_map(Piece::Bulk),
    ];
    prop::collection::vec(piece, 0..6)
}

proptest! {
    #[test]
    fn what_is_taken_back_never_leaves(
        steps in prop::collection::vec((pieces(), pieces(), any::<bool>()), 0..5),
        before in pieces(),
    ) {
        let mut plain = Encoder::new(Protocol::Resp2);
        let mut encoder = Encoder::new(Protocol::Resp2);
        for piece in &before {
            piece.write(&mut plain);
            piece.write(&mut encoder);
        }
        let outer = encoder.mark();
        for (kept, undone, _) in &steps {
            for piece in kept {
                piece.write(&mut plain);
                piece.write(&mut encoder);
            }
            let mark = encoder.mark();
            for piece in undone {
                piece.write(&mut encoder);
            }
            encoder.truncate_to(mark);
            prop_assert_eq!(encoder.len_bytes(), plain.len_bytes());
        }
        if steps.iter().any(|(.., whole)| *whole) {
            encoder.truncate_to(outer);
            plain = Encoder::new(Protocol::Resp2);
            before.iter().for_each(|piece| piece.write(&mut plain));
        }
        prop_assert_eq!(encoder.len_bytes(), plain.len_bytes());
        let chunks: Vec<Bytes> = encoder.into_chunks().collect();
        prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
        let expected: Vec<u8> = plain.into_chunks().flatten().collect();
        prop_assert_eq!(chunks.into_iter().flatten().collect::<Vec<u8>>(), expected);
    }

    #[test]
    fn appending_is_writing_on(first in pieces(), second in pieces()) {
        let mut whole = Encoder::new(Protocol::Resp2);
        let (mut left, mut right) = (resp2(), resp2());
        for piece in &first { piece.write(&mut whole); piece.write(&mut left); }
        for piece in &second { piece.write(&mut whole); piece.write(&mut right); }
        left.append(right);
        prop_assert_eq!(left.len_bytes(), whole.len_bytes());
        let expected: Vec<u8> = whole.into_chunks().flatten().collect();
        prop_assert_eq!(left.into_chunks().flatten().collect::<Vec<u8>>(), expected);
    }
}

fn resp2() -> Encoder {
    Encoder::new(Protocol::Resp2)
}
