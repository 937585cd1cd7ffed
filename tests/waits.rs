//! `WAIT` and `WAITAOF`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Reply, Server, bulk, encode, error, ok, persistent_engines};
use rustix::process::Signal;

fn pair(local: i64, replicas: i64) -> Reply {
    Reply::Array(vec![Reply::Integer(local), Reply::Integer(replicas)])
}

#[test]
fn nobody_acknowledges_a_write() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for (request, reply) in [
        (["WAIT", "0", "0"], Reply::Integer(0)),
        (["WAIT", "-1", "0"], Reply::Integer(0)),
        (["WAIT", "0", "100000"], Reply::Integer(0)),
        (["WAIT", "1", "1"], Reply::Integer(0)),
        (["WAIT", "x", "1"], error("ERR value is not an integer or out of range")),
        (["WAIT", "x", "y"], error("ERR value is not an integer or out of range")),
        (["WAIT", "1", "y"], error("ERR timeout is not an integer or out of range")),
        (["WAIT", "1", "-1"], error("ERR timeout is negative")),
        (["WAIT", "0", "-1"], error("ERR timeout is negative")),
        (["WAIT", "1", "9223372036854775807"], error("ERR timeout is out of range")),
    ] {
        assert_eq!(client.call(&request), reply, "{request:?}");
    }
    client.call(&["MULTI"]);
    client.call(&["WAIT", "1", "0"]);
    client.call(&["WAITAOF", "0", "1", "0"]);
    // Nothing waits in a transaction.
    assert_eq!(client.call(&["EXEC"]), Reply::Array(vec![Reply::Integer(0), pair(0, 0)]));
}

#[test]
fn a_client_that_waits_may_leave_and_is_let_go_when_the_server_stops() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let mut leaving = server.connect();
    leaving.send(&encode(&[b"WAIT", b"1", b"0"]));
    while client.info("blocked_clients") != "1" {}
    assert_eq!(client.call(&["SET", "a", "1"]), ok());
    drop(leaving);
    while client.info("blocked_clients") != "0" {}
    // The slow log is for what the server does, not for what clients wait for.
    assert_eq!(client.call(&["WAIT", "1", "50"]), Reply::Integer(0));
    let log = format!("{:?}", client.call(&["SLOWLOG", "GET", "-1"]));
    assert!(!log.contains(&format!("{:?}", b"WAIT".to_vec())), "{log}");
    let stats = client.call(&["INFO", "commandstats"]);
    let wait = stats.text().lines().find(|line| line.starts_with("cmdstat_wait:")).unwrap();
    assert!(wait.starts_with("cmdstat_wait:calls=2,"), "{wait}");
    let mut waiting = server.connect();
    waiting.send(&encode(&[b"WAIT", b"1", b"0"]));
    while client.info("blocked_clients") != "1" {}
    assert!(server.stop(Signal::TERM).success());
}

#[test]
fn waitaof_checks_its_arguments() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for (request, reply) in [
        (["WAITAOF", "2", "0", "0"], "ERR value is out of range, value must between 0 and 1"),
        (["WAITAOF", "x", "0", "0"], "ERR value is not an integer or out of range"),
        (["WAITAOF", "0", "-1", "0"], "ERR value is out of range, must be positive"),
        (["WAITAOF", "0", "x", "0"], "ERR value is out of range, must be positive"),
        (["WAITAOF", "1", "0", "x"], "ERR timeout is not an integer or out of range"),
        (["WAITAOF", "1", "0", "-1"], "ERR timeout is negative"),
        (
            ["WAITAOF", "1", "0", "0"],
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ),
    ] {
        assert_eq!(client.call(&request), error(reply), "{request:?}");
    }
    assert_eq!(client.call(&["WAITAOF", "0", "0", "0"]), pair(0, 0));
    assert_eq!(client.call(&["WAITAOF", "0", "1", "1"]), pair(0, 0));
}

#[test]
fn waitaof_returns_once_the_disk_has_it() {
    for engine in persistent_engines() {
        for durability in ["no", "everysec", "always"] {
            let dir = tempfile::tempdir().unwrap();
            let args = [
                "--dir",
                dir.path().to_str().unwrap(),
                "--engine",
                engine,
                "--durability",
                durability,
            ];
            let server = Server::start(&args);
            let mut client = server.connect();
            assert_eq!(client.call(&["SET", "a", "1"]), ok());
            // In one pipeline: it is about what came before it.
            let mut requests = encode(&[b"SET", b"b", b"2"]);
            requests.extend(encode(&[b"WAITAOF", b"1", b"0", b"0"]));
            client.send(&requests);
            assert_eq!(client.read(), ok());
            assert_eq!(client.read(), pair(1, 0));
            // There are no replicas: it waits for its time, and the disk has it meanwhile.
            assert_eq!(client.call(&["WAITAOF", "1", "1", "1000"]), pair(1, 0));
            server.stop(Signal::KILL);
            let server = Server::start(&args);
            let values = server.connect().call(&["MGET", "a", "b"]);
            assert_eq!(values, Reply::Array(vec![bulk("1"), bulk("2")]), "{engine} {durability}");
        }
    }
}
