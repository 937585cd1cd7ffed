//! Stopping: by signal, by `SHUTDOWN`, in order, at once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::net::TcpStream;

use common::{Client, Reply, Server, bulk, encode, ok, persistent_engines};
use rustix::process::Signal;

#[test]
fn a_signal_ends_it_in_order_and_keeps_the_data() {
    for engine in persistent_engines() {
        for (signal, bridge) in [(Signal::TERM, "pool"), (Signal::INT, "blocking")] {
            let dir = tempfile::tempdir().unwrap();
            let place = dir.path().to_str().unwrap();
            let runtime = if bridge == "pool" { "per-core" } else { "multi-thread" };
            let place = ["--engine", engine, "--dir", place, "--durability", "no"];
            let args = [&place[..], &["--bridge", bridge, "--runtime", runtime]].concat();
            let server = Server::start(&args);
            let mut client = server.connect();
            assert_eq!(client.call(&["SET", "k", "v"]), ok());
            assert_eq!(server.stop(signal).code(), Some(0));
            client.assert_closed();
            let server = Server::start(&args);
            assert_eq!(server.connect().call(&["GET", "k"]), bulk("v"));
        }
    }
}

#[test]
fn a_kill_costs_nothing_that_was_acknowledged() {
    for engine in persistent_engines() {
        for bridge in ["pool", "blocking"] {
            for runtime in ["multi-thread", "current-thread", "per-core"] {
                let dir = tempfile::tempdir().unwrap();
                let place = dir.path().to_str().unwrap();
                let options = ["--engine", engine, "--bridge", bridge, "--runtime", runtime];
                let args = [&options[..], &["--dir", place]].concat();
                let server = Server::start(&args);
                assert_eq!(server.connect().call(&["SET", "k", "v"]), ok());
                server.stop(Signal::KILL);
                let server = Server::start(&args);
                assert_eq!(server.connect().call(&["GET", "k"]), bulk("v"), "{args:?}");
            }
        }
    }
}

#[test]
fn shutdown_ends_it_in_order() {
    for args in [["SHUTDOWN"].as_slice(), &["SHUTDOWN", "NOSAVE"], &["SHUTDOWN", "NOW"]] {
        let server = Server::in_memory(&[]);
        let mut idle = server.connect();
        assert_eq!(idle.call(&["SET", "k", "v"]), ok());
        let mut client = server.connect();
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        client.send(&encode(&args));
        client.assert_closed();
        idle.assert_closed();
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_client_that_takes_no_replies_holds_it_no_longer_than_the_deadline() {
    for runtime in ["multi-thread", "per-core"] {
        let server = Server::in_memory(&["--shutdown-timeout", "0", "--runtime", runtime]);
        let _stuck = stuck_client(&server);
        assert_eq!(server.stop(Signal::TERM).code(), Some(0));
    }
}

#[test]
fn a_terminal_that_closes_does_not_end_it() {
    let server = Server::in_memory(&[]);
    server.signal(Signal::HUP);
    assert_eq!(server.connect().call(&["PING"]), Reply::Simple("PONG".into()));
    assert_eq!(server.stop(Signal::TERM).code(), Some(0));
}

#[test]
fn a_second_interrupt_ends_it_at_once() {
    for runtime in ["multi-thread", "per-core"] {
        let args = ["--shutdown-timeout", "100000", "--runtime", runtime];
        let server = Server::in_memory(&args);
        let _stuck = stuck_client(&server);
        server.signal(Signal::TERM);
        // The first signal has been heard once nobody listens any more.
        while TcpStream::connect(("127.0.0.1", server.port)).is_ok() {}
        // Nobody at a keyboard: it goes on stopping.
        server.signal(Signal::TERM);
        assert_eq!(server.stop(Signal::INT).code(), Some(130));
    }
}

/// A client in the middle of a reply that is larger than what the system holds for it, and that it
/// does not read.
fn stuck_client(server: &Server) -> Client {
    let mut client = server.connect();
    let value = vec![b'v'; 1 << 20];
    client.send(&encode(&[b"SET", b"large", &value]));
    assert_eq!(client.read(), ok());
    client.send(&encode(&[b"MGET", b"large"]));
    client.read();
    let mut keys = vec![b"MGET".as_slice()];
    keys.resize(65, b"large");
    client.send(&encode(&keys));
    assert_eq!(client.read_bytes(5), b"*64\r\n");
    client
}
