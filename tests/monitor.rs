//! `MONITOR`, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Client, Reply, Server, bulk, encode, error, ok, until};

fn monitor(server: &Server) -> Client {
    let mut client = server.connect();
    client.check("MONITOR", ok());
    client
}

/// What is shown next, without when and by whom.
fn shown(monitor: &mut Client) -> String {
    let line = monitor.read();
    let (time, rest) = line.text().split_once(" [").unwrap();
    let (seconds, micros) = time.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().unwrap() > 1_600_000_000);
    assert!(micros.len() == 6 && micros.parse::<u64>().is_ok());
    let (who, what) = rest.split_once("] ").unwrap();
    let (db, addr) = who.split_once(' ').unwrap();
    assert!(addr.starts_with("127.0.0.1:"), "{addr}");
    format!("{db} {what}")
}

#[test]
fn commands_are_shown_as_they_were_sent() {
    let server = Server::in_memory(&[]);
    let (mut monitor, mut client) = (monitor(&server), server.connect());
    for (line, expected) in [
        ("set k v", r#"0 "set" "k" "v""#),
        ("Get k", r#"0 "Get" "k""#),
        ("select 3", r#"3 "select" "3""#),
        ("incr k", r#"3 "incr" "k""#),
        ("lpush k x", r#"3 "lpush" "k" "x""#),
        ("client id", r#"3 "client" "id""#),
        ("publish x y", r#"3 "publish" "x" "y""#),
        ("dbsize", r#"3 "dbsize""#),
        ("hello 3 setname me", r#"3 "hello" "3" "setname" "me""#),
        ("reset", r#"0 "reset""#),
    ] {
        client.ask(line);
        assert_eq!(shown(&mut monitor), expected);
    }
    client.send(&encode(&[b"echo", b"a \"b\"\\\n\r\t\x07\x08\0\xff"]));
    client.read();
    assert_eq!(shown(&mut monitor), r#"0 "echo" "a \"b\"\\\n\r\t\a\b\x00\xff""#);
}

#[test]
fn secrets_and_what_never_ran_are_not_shown() {
    let server = Server::in_memory(&[]);
    let (mut monitor, mut client) = (monitor(&server), server.connect());
    for line in ["NOPE", "GET", "CLIENT LIST", "CONFIG GET port", "CLIENT KILL ID 99999"] {
        client.ask(line);
    }
    for (line, expected) in [
        ("AUTH secret", r#"0 "AUTH" "(redacted)""#),
        ("AUTH user secret", r#"0 "AUTH" "(redacted)" "(redacted)""#),
        (
            "HELLO 2 AUTH user secret SETNAME me",
            r#"0 "HELLO" "2" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me""#,
        ),
    ] {
        client.ask(line);
        assert_eq!(shown(&mut monitor), expected);
    }
}

#[test]
fn a_transaction_is_shown_when_it_runs() {
    let server = Server::in_memory(&[]);
    let (mut monitor, mut client) = (monitor(&server), server.connect());
    for line in ["MULTI", "SET k v", "SELECT 1", "GET k"] {
        client.ask(line);
    }
    assert_eq!(shown(&mut monitor), r#"0 "MULTI""#);
    client.check("EXEC", Reply::Array(vec![ok(), ok(), Reply::Null]));
    for expected in [r#"0 "SET" "k" "v""#, r#"1 "SELECT" "1""#, r#"1 "GET" "k""#, r#"1 "EXEC""#] {
        assert_eq!(shown(&mut monitor), expected);
    }
    client.check("MULTI", ok());
    client.ask("NOPE");
    client.ask("EXEC");
    assert_eq!(shown(&mut monitor), r#"1 "MULTI""#);
    assert_eq!(shown(&mut monitor), r#"1 "EXEC""#);
}

#[test]
fn a_command_that_waits_is_shown_once() {
    let server = Server::in_memory(&[]);
    let (mut monitor, mut client) = (monitor(&server), server.connect());
    client.begin("BLPOP list 0");
    assert_eq!(shown(&mut monitor), r#"0 "BLPOP" "list" "0""#);
    server.connect().check("RPUSH list a", Reply::Integer(1));
    assert_eq!(client.read(), Reply::Array(vec![bulk("list"), bulk("a")]));
    assert_eq!(shown(&mut monitor), r#"0 "RPUSH" "list" "a""#);
    client.ask("PING");
    assert_eq!(shown(&mut monitor), r#"0 "PING""#);
}

#[test]
fn a_monitor_keeps_off_the_data_until_it_is_reset() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.ask("HELLO 3");
    client.check("MONITOR", ok());
    for line in ["GET k", "SET k v", "PUBLISH x y", "KEYS *", "DBSIZE", "FLUSHALL"] {
        client.check(line, error("ERR Replica can't interact with the keyspace"));
    }
    client.check("PING", Reply::Simple("PONG".into()));
    assert_eq!(shown(&mut client), r#"0 "PING""#);
    // A second time it has no answer.
    client.begin("MONITOR");
    client.check("ECHO hi", bulk("hi"));
    assert_eq!(shown(&mut client), r#"0 "ECHO" "hi""#);
    server.connect().ask("GET other");
    client.begin("RESET");
    assert_eq!(shown(&mut client), r#"0 "GET" "other""#);
    assert_eq!(client.read(), Reply::Simple("RESET".into()));
    server.connect().ask("GET other");
    client.check("GET k", Reply::Null);
    client.ask("MULTI");
    client.ask("MONITOR");
    let refused = error("ERR MONITOR isn't allowed for DENY BLOCKING client");
    client.check("EXEC", Reply::Array(vec![refused]));
}

#[test]
fn a_monitor_that_does_not_read_is_cut_off() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let setting = "replica 100000 0 0";
    assert_eq!(client.call(&["CONFIG", "SET", "client-output-buffer-limit", setting]), ok());
    let _slow = monitor(&server);
    let mut quick = monitor(&server);
    assert_eq!(client.info("connected_clients"), "3");
    shown(&mut quick);
    let text = "x".repeat(10_000);
    until("it is cut off", || {
        client.call(&["ECHO", &text]);
        shown(&mut quick);
        let clients = client.info("connected_clients");
        shown(&mut quick);
        clients == "2"
    });
    client.call(&["ECHO", "last"]);
    assert_eq!(shown(&mut quick), r#"0 "ECHO" "last""#);
}
