//! What those who have subscribed to events of keys are told, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Client, Reply, Server, bulk, ok, persistent_engines};

/// A client that is told of every event, and one that makes them happen.
fn stage(server: &Server, flags: &str) -> (Client, Client) {
    let (mut listener, mut actor) = (server.connect(), server.connect());
    assert_eq!(actor.call(&["CONFIG", "SET", "notify-keyspace-events", flags]), ok());
    listener.ask("PSUBSCRIBE __key*");
    (listener, actor)
}

#[track_caller]
fn check_event(listener: &mut Client, channel: &str, payload: &str) {
    let parts = ["pmessage", "__key*", channel, payload];
    assert_eq!(listener.read(), Reply::Array(parts.iter().map(bulk).collect()));
}

#[test]
fn events_come_on_the_channels_asked_for() {
    let server = Server::in_memory(&[]);
    let (mut listener, mut actor) = stage(&server, "KA");
    actor.check("SET k v", ok());
    check_event(&mut listener, "__keyspace@0__:k", "set");
    actor.call(&["CONFIG", "SET", "notify-keyspace-events", "EA"]);
    actor.check("SELECT 9", ok());
    actor.check("SET k v", ok());
    check_event(&mut listener, "__keyevent@9__:set", "k");
    actor.call(&["CONFIG", "SET", "notify-keyspace-events", "KEA"]);
    actor.check("DEL k", Reply::Integer(1));
    check_event(&mut listener, "__keyspace@9__:k", "del");
    check_event(&mut listener, "__keyevent@9__:del", "k");
}

#[test]
fn classes_that_are_not_asked_for_do_not_come() {
    let server = Server::in_memory(&[]);
    let (mut listener, mut actor) = stage(&server, "Kg$");
    actor.check("RPUSH list a", Reply::Integer(1));
    actor.check("SET k v", ok());
    check_event(&mut listener, "__keyspace@0__:k", "set");
    actor.check("EXPIRE k 100", Reply::Integer(1));
    check_event(&mut listener, "__keyspace@0__:k", "expire");
    // Classes without a channel to come on.
    actor.call(&["CONFIG", "SET", "notify-keyspace-events", "A"]);
    actor.check("SET k v", ok());
    actor.call(&["CONFIG", "SET", "notify-keyspace-events", ""]);
    actor.check("SET k v", ok());
    actor.call(&["CONFIG", "SET", "notify-keyspace-events", "Kl"]);
    actor.check("RPUSH list b", Reply::Integer(2));
    check_event(&mut listener, "__keyspace@0__:list", "rpush");
}

#[test]
fn a_transaction_is_told_in_order_with_what_it_publishes() {
    let server = Server::in_memory(&[]);
    let (mut listener, mut actor) = stage(&server, "K$");
    listener.ask("SUBSCRIBE x");
    for line in ["MULTI", "SET a 1", "PUBLISH x between", "SET b 1"] {
        actor.ask(line);
    }
    actor.check("EXEC", Reply::Array(vec![ok(), Reply::Integer(1), ok()]));
    check_event(&mut listener, "__keyspace@0__:a", "set");
    assert_eq!(listener.read(), Reply::Array(["message", "x", "between"].map(bulk).into()));
    check_event(&mut listener, "__keyspace@0__:b", "set");
}

#[test]
fn nobody_is_told_of_what_is_not_done() {
    let server = Server::in_memory(&[]);
    let (mut listener, mut actor) = stage(&server, "K$");
    actor.check("SET k text", ok());
    check_event(&mut listener, "__keyspace@0__:k", "set");
    assert!(actor.ask("INCR k").text().starts_with("ERR"));
    actor.check("SET k v NX", Reply::Null);
    actor.check("WATCH k", ok());
    server.connect().check("APPEND k !", Reply::Integer(5));
    check_event(&mut listener, "__keyspace@0__:k", "append");
    actor.check("MULTI", ok());
    actor.ask("SET k v");
    actor.check("EXEC", Reply::Null);
    actor.check("SET last v", ok());
    check_event(&mut listener, "__keyspace@0__:last", "set");
}

#[test]
fn keys_whose_time_has_come_are_told_of_by_the_sweep() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let server = Server::start(&["--engine", engine, "--dir", data.to_str().unwrap()]);
        let (mut listener, mut actor) = stage(&server, "Ex");
        actor.check("PSETEX k 1 v", ok());
        check_event(&mut listener, "__keyevent@0__:expired", "k");
        actor.check("EXISTS k", Reply::Integer(0));
    }
}
