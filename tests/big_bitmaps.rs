//! Bitmaps too long to be walked through where others wait, over a socket: they are read elsewhere, and
//! what the client sees is the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Reply, Server, bulk, encode, ok};

/// Just above what is walked through in place.
const BYTES: i64 = (4 << 20) + (64 << 10);

#[test]
fn replies_come_in_order_and_see_what_was_written_before() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let last = (BYTES - 1).to_string();
    let requests: &[(&[&str], Reply)] = &[
        (&["SETRANGE", "a", &last, "x"], Reply::Integer(BYTES)),
        (&["BITCOUNT", "a"], Reply::Integer(4)),
        (&["SETBIT", "a", "100", "1"], Reply::Integer(0)),
        (&["BITCOUNT", "a"], Reply::Integer(5)),
        (&["BITPOS", "a", "1", "20"], Reply::Integer((BYTES - 1) * 8 + 1)),
        (&["SET", "to", "short", "EX", "100"], ok()),
        (&["BITOP", "NOT", "to", "a"], Reply::Integer(BYTES)),
        (&["TTL", "to"], Reply::Integer(-1)),
        (&["BITCOUNT", "to"], Reply::Integer(BYTES * 8 - 5)),
        (&["BITPOS", "to", "0"], Reply::Integer(100)),
        (&["BITPOS", "to", "0", "13"], Reply::Integer((BYTES - 1) * 8 + 1)),
        (&["BITOP", "XOR", "a", "a", "a"], Reply::Integer(BYTES)),
        (&["BITCOUNT", "a"], Reply::Integer(0)),
        (&["BITOP", "NOT", "x", "a", "to"], not_of_several()),
        (&["MULTI"], ok()),
        (&["BITOP", "AND", "and", "to", "a"], Reply::Simple("QUEUED".into())),
        (&["BITCOUNT", "and"], Reply::Simple("QUEUED".into())),
        (&["EXEC"], Reply::Array(vec![Reply::Integer(BYTES), Reply::Integer(0)])),
        (&["GETRANGE", "to", "0", "0"], bulk(b"\xff")),
        (&["LCS", "a", "missing", "LEN"], Reply::Integer(0)),
    ];
    for (request, _) in requests {
        client.send(&encode(&request.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>()));
    }
    for (request, reply) in requests {
        assert_eq!(client.read(), *reply, "{request:?}");
    }
}

fn not_of_several() -> Reply {
    Reply::Error("ERR BITOP NOT must be called with a single source key.".into())
}
