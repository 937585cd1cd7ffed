//! Who is let in: the limit of clients, passwords.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use common::{Client, Reply, Server, encode, error, ok};

#[test]
fn a_client_beyond_the_limit_is_told_and_closed() {
    let server = Server::in_memory(&["--maxclients", "2"]);
    let mut first = server.connect();
    let mut second = server.connect();
    for client in [&mut first, &mut second] {
        assert_eq!(client.call(&["PING"]), Reply::Simple("PONG".into()));
    }
    let mut third = server.connect();
    assert_eq!(third.read(), error("ERR max number of clients reached"));
    third.assert_closed();
    assert_eq!(first.info("rejected_connections"), "1");
    assert_eq!(first.call(&["CONFIG", "GET", "maxclients"]).clone(), config("maxclients", "2"));

    second.send(&encode(&[b"QUIT"]));
    assert_eq!(second.read(), ok());
    second.assert_closed();
    wait_for_clients(&mut first, 1);
    assert_eq!(server.connect().call(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn clients_that_leave_at_any_moment_are_forgotten() {
    let server = Server::in_memory(&[]);
    let mut watcher = server.connect();
    for round in 0..20 {
        let mut client = server.connect();
        match round % 4 {
            0 => {}
            1 => client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\nabc"),
            2 => client.send(&encode(&[b"INCR", b"n"]).repeat(2000)),
            _ => client.send(&encode(&[b"GET", b"n"]).repeat(2000)),
        }
    }
    // Until it has accepted them all, it counts the watcher alone without having forgotten anyone.
    while watcher.info("total_connections_received") != "21" {}
    wait_for_clients(&mut watcher, 1);
}

#[test]
fn a_password_is_asked_for() {
    let server = Server::in_memory(&["--requirepass", "secret"]);
    let mut client = server.connect();
    assert_eq!(client.call(&["GET", "k"]), error("NOAUTH Authentication required."));
    assert_eq!(
        client.call(&["AUTH", "wrong"]),
        error("WRONGPASS invalid username-password pair or user is disabled.")
    );
    assert_eq!(client.call(&["SET", "k", "v"]), error("NOAUTH Authentication required."));
    assert_eq!(client.call(&["AUTH", "secret"]), ok());
    assert_eq!(client.call(&["GET", "k"]), Reply::Null);

    let mut pipelining = server.connect();
    let value = vec![b'v'; 100_000];
    let requests = [encode(&[b"AUTH", b"secret"]), encode(&[b"SET", b"k", &value])];
    pipelining.send(&requests.concat());
    assert_eq!(pipelining.read(), ok());
    assert_eq!(pipelining.read(), ok(), "the limits of strangers end with AUTH");
}

#[test]
fn a_stranger_cannot_send_much() {
    let server = Server::in_memory(&["--requirepass", "secret"]);
    let mut client = server.connect();
    client.send(b"*11\r\n");
    assert_eq!(client.read(), error("ERR Protocol error: unauthenticated multibulk length"));
    client.assert_closed();
    let mut client = server.connect();
    client.send(b"*2\r\n$3\r\nGET\r\n$16385\r\n");
    assert_eq!(client.read(), error("ERR Protocol error: unauthenticated bulk length"));
    client.assert_closed();
}

fn config(name: &str, value: &str) -> Reply {
    Reply::Array(vec![common::bulk(name), common::bulk(value)])
}

/// Asks until the server counts `count` clients; it learns of a client's end in its own time.
fn wait_for_clients(watcher: &mut Client, count: usize) {
    while watcher.info("connected_clients") != count.to_string() {}
}
