//! Requests as clients send them: pipelined, inline, cut anywhere, large, wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a client that sends while it reads is two threads")]

mod common;

use std::io::Write;
use std::thread;

use common::{Reply, Server, bulk, encode, error, ok};

#[test]
fn a_pipeline_is_answered_in_order() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let mut requests = Vec::new();
    for number in 0..5000 {
        let (key, value) = (format!("key:{}", number % 7), number.to_string());
        requests.extend(encode(&[b"SET", key.as_bytes(), value.as_bytes()]));
        requests.extend(encode(&[b"GET", key.as_bytes()]));
        requests.extend(encode(&[b"PING", value.as_bytes()]));
        requests.extend(encode(&[b"NOSUCH"]));
        requests.extend(encode(&[b"INCR", b"counter"]));
    }
    let mut sender = client.sender();
    let sending = thread::spawn(move || sender.write_all(&requests).unwrap());
    for number in 0..5000 {
        assert_eq!(client.read(), ok());
        assert_eq!(client.read(), bulk(number.to_string()));
        assert_eq!(client.read(), bulk(number.to_string()));
        assert!(client.read().text().starts_with("ERR unknown command 'NOSUCH'"));
        assert_eq!(client.read(), Reply::Integer(number + 1));
    }
    sending.join().unwrap();
}

#[test]
fn a_client_may_send_a_whole_pipeline_before_it_reads() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let value = vec![b'v'; 1000];
    client.send(&encode(&[b"SET", b"key", &value]));
    assert_eq!(client.read(), ok());
    // More than the buffers of two sockets hold, in both directions.
    let count = 40_000;
    client.send(&encode(&[b"GET", b"key"]).repeat(count));
    for _ in 0..count {
        assert!(client.read() == Reply::Bulk(value.clone()));
    }
}

#[test]
fn a_failing_command_in_a_pipeline_leaves_the_others_alone() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let requests = [
        encode(&[b"SET", b"text", b"abc"]),
        encode(&[b"INCR", b"text"]),
        encode(&[b"SET", b"number", b"41"]),
        encode(&[b"INCR", b"number"]),
        encode(&[b"GET", b"text"]),
    ];
    client.send(&requests.concat());
    assert_eq!(client.read(), ok());
    assert_eq!(client.read(), error("ERR value is not an integer or out of range"));
    assert_eq!(client.read(), ok());
    assert_eq!(client.read(), Reply::Integer(42));
    assert_eq!(client.read(), bulk("abc"));
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for byte in encode(&[b"ECHO", b"in\r\npieces"]) {
        client.send(&[byte]);
    }
    assert_eq!(client.read(), bulk("in\r\npieces"));
}

#[test]
fn inline_commands_have_the_quoting_of_redis_cli() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.send(b"\r\n  SET 'a key' \"a\\x20value\\n\"\nGET \"a key\"\r\nPING\r\n");
    assert_eq!(client.read(), ok());
    assert_eq!(client.read(), bulk("a value\n"));
    assert_eq!(client.read(), Reply::Simple("PONG".into()));
}

#[test]
fn a_protocol_error_is_answered_behind_what_preceded_it_and_closes() {
    let server = Server::in_memory(&[]);
    for (bytes, text) in [
        (b"*1\r\n:4\r\nPING\r\n".as_slice(), "ERR Protocol error: expected '$', got ':'"),
        (b"*x\r\n", "ERR Protocol error: invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "ERR Protocol error: invalid bulk length"),
        (b"GET \"open\r\n", "ERR Protocol error: unbalanced quotes in request"),
    ] {
        let mut client = server.connect();
        client.send(&[&encode(&[b"SET", b"k", b"v"]), bytes].concat());
        assert_eq!(client.read(), ok());
        assert_eq!(client.read(), error(text));
        client.assert_closed();
    }
}

#[test]
fn quit_is_answered_and_what_follows_it_is_not() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.send(&[encode(&[b"QUIT"]), encode(&[b"SET", b"k", b"v"])].concat());
    assert_eq!(client.read(), ok());
    client.assert_closed();
    assert_eq!(server.connect().call(&["GET", "k"]), Reply::Null);
}

#[test]
fn a_client_that_stops_sending_still_gets_its_replies() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.send(&encode(&[b"PING"]).repeat(1000));
    client.end_sending();
    for _ in 0..1000 {
        assert_eq!(client.read(), Reply::Simple("PONG".into()));
    }
    client.assert_closed();
}

#[test]
fn large_values_come_back_whole() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for len in [16_383, 16_384, 32_767, 32_768, 65_536, 1 << 20, (20 << 20) + 7] {
        let value: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let key = len.to_string();
        let requests = [
            encode(&[b"SET", key.as_bytes(), &value]),
            encode(&[b"GET", key.as_bytes()]),
            encode(&[b"STRLEN", key.as_bytes()]),
        ];
        let mut sender = client.sender();
        let sending = thread::spawn(move || sender.write_all(&requests.concat()).unwrap());
        assert_eq!(client.read(), ok());
        assert!(client.read() == Reply::Bulk(value), "{len} bytes");
        assert_eq!(client.read(), Reply::Integer(i64::from(len)));
        sending.join().unwrap();
    }
}

#[test]
fn replies_beyond_a_runs_limit_are_all_sent() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let value = vec![b'v'; 300 << 10];
    client.send(&encode(&[b"SET", b"k", &value]));
    assert_eq!(client.read(), ok());
    let requests = [encode(&[b"GET", b"k"]), encode(&[b"INCR", b"n"])].concat().repeat(40);
    client.send(&requests);
    for number in 1..=40 {
        assert!(client.read() == Reply::Bulk(value.clone()));
        assert_eq!(client.read(), Reply::Integer(number));
    }
}

#[test]
fn hello_3_changes_the_protocol_from_its_own_reply_on() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let get = encode(&[b"GET", b"nothing"]);
    client.send(&[get.clone(), encode(&[b"HELLO", b"3"]), get].concat());
    assert_eq!(client.read_bytes(5), b"$-1\r\n");
    assert!(matches!(client.read(), Reply::Map(_)));
    assert_eq!(client.read_bytes(3), b"_\r\n");
}

#[test]
fn a_connection_that_speaks_http_is_closed() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET k v\r\n");
    client.assert_closed();
    assert_eq!(server.connect().call(&["GET", "k"]), Reply::Null);
}
