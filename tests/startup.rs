//! Starting: what is announced, and what keeps a server from starting.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use common::{Reply, Server, bulk, command, ok, persistent_engines, run};
use rustix::process::Signal;

#[track_caller]
fn assert_fails(output: &Output, code: i32, needles: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "{output:?}");
    for needle in needles {
        assert!(stderr.contains(needle), "{needle:?} is not in {stderr:?}");
    }
    if code == 1 {
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
}

#[test]
fn one_line_says_where_it_listens_and_where_the_data_is() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("data");
        let place = place.to_str().unwrap();
        let server =
            Server::start(&["--engine", engine, "--dir", place, "--durability", "everysec"]);
        let expected = format!(
            "pontoon {} listening on 127.0.0.1:{}, {engine} in {place} (bridge pool, durability \
             everysec)\n",
            env!("CARGO_PKG_VERSION"),
            server.port
        );
        assert_eq!(server.announcement, expected);
        assert_eq!(server.connect().call(&["SET", "k", "v"]), ok());
    }
}

#[test]
fn only_an_engine_that_keeps_data_claims_durability() {
    let shown = |server: &Server, appendonly: &str, durability: &str, announced: &str| {
        let mut client = server.connect();
        for (name, value) in
            [("appendfsync", durability), ("appendonly", appendonly), ("durability", durability)]
        {
            let reply = client.call(&["CONFIG", "GET", name]);
            assert_eq!(reply, Reply::Array(vec![bulk(name), bulk(value)]));
        }
        let enabled = if appendonly == "yes" { "1" } else { "0" };
        assert_eq!(client.info("aof_enabled"), enabled);
        let announced = format!("durability {announced})");
        assert!(server.announcement.contains(&announced), "{}", server.announcement);
    };
    shown(&Server::in_memory(&[]), "no", "no", "none");
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let server = Server::start(&["--engine", engine, "--dir", place]);
        shown(&server, "yes", "always", "always");
    }
}

#[test]
fn every_bridge_and_runtime_serves() {
    for bridge in ["pool", "blocking"] {
        for runtime in ["multi-thread", "current-thread", "per-core"] {
            let server = Server::in_memory(&["--bridge", bridge, "--runtime", runtime]);
            let mut client = server.connect();
            assert_eq!(client.call(&["SET", "k", "v"]), ok());
            assert_eq!(client.call(&["GET", "k"]), bulk("v"));
        }
    }
}

#[test]
fn settings_come_from_the_environment_too_and_the_command_line_wins() {
    let server = Server::spawn({
        let mut command = command(&["serve", "--engine", "memory", "--bridge", "pool"]);
        command.env("PONTOON_PORT", "0").env("PONTOON_MAXCLIENTS", "77");
        command.env("PONTOON_BRIDGE", "blocking");
        command
    });
    assert!(server.announcement.contains("bridge pool"), "{}", server.announcement);
    let reply = server.connect().call(&["CONFIG", "GET", "maxclients"]);
    assert_eq!(reply, Reply::Array(vec![bulk("maxclients"), bulk("77")]));
}

#[test]
fn several_addresses_share_one_port() {
    let server = Server::in_memory(&["--bind", "127.0.0.1,127.0.0.2"]);
    let second = format!("127.0.0.1:{port} and 127.0.0.2:{port}", port = server.port);
    assert!(server.announcement.contains(&second), "{}", server.announcement);
    let stream = std::net::TcpStream::connect(("127.0.0.2", server.port)).unwrap();
    assert_eq!(common::Client::new(stream).call(&["PING"]), Reply::Simple("PONG".into()));
}

#[test]
fn a_taken_port_is_one_clear_line_and_leaves_the_data_alone() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("data");
    let output = run(&["--port", &port, "--engine", "memory"]);
    assert_fails(&output, 1, &["pontoon: cannot listen on 127.0.0.1", &port]);
    for engine in persistent_engines() {
        let args = ["--port", &port, "--engine", engine, "--dir", place.to_str().unwrap()];
        assert_fails(&run(&args), 1, &["pontoon: cannot listen on 127.0.0.1", &port]);
        assert!(!place.exists());
    }
}

#[test]
fn a_locked_directory_is_one_clear_line() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let args = ["--engine", engine, "--dir", place, "--port", "0"];
        let _server = Server::start(&args[..4]);
        assert_fails(&run(&args), 1, &["pontoon: ", place, "already open"]);
    }
}

#[test]
fn a_directory_of_another_engine_is_one_clear_line() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let args = ["--engine", engine, "--dir", place, "--port", "0"];
        assert!(Server::start(&args[..4]).stop(Signal::TERM).success());
        // Not every build has a second engine that leaves a directory behind.
        let marker = dir.path().join("PONTOON");
        let text = fs::read_to_string(&marker).unwrap();
        assert!(text.contains(engine), "{text}");
        fs::write(&marker, text.replace(engine, "another")).unwrap();
        assert_fails(&run(&args), 1, &["pontoon: ", place, "another", engine]);
    }
}

#[test]
fn contradictory_settings_are_errors_of_usage() {
    let output = run(&["--bridge", "blocking", "--pool-threads", "2"]);
    assert_fails(&output, 2, &["--pool-threads", "--bridge"]);
    let output = run(&["--port", "ninety"]);
    assert_fails(&output, 2, &["ninety", "--port"]);
}

#[test]
fn a_misspelt_variable_is_an_error_of_usage() {
    let mut command = command(&["--engine", "memory", "--port", "0"]);
    command.env("PONTOON_REQUIREPAS", "secret");
    let output = command.output().unwrap();
    assert_fails(&output, 2, &["PONTOON_REQUIREPAS ", "PONTOON_REQUIREPASS?"]);
}

#[test]
fn help_and_version_go_to_stdout() {
    let output = run(&["--help"]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for part in ["Network:", "Storage:", "Threads:", "Operation:", "Examples:", "PONTOON_DIR"] {
        assert!(help.contains(part), "{part:?} is not in {help}");
    }
    let version = String::from_utf8(run(&["--version"]).stdout).unwrap();
    assert_eq!(version, format!("pontoon {}\n", env!("CARGO_PKG_VERSION")));
}
