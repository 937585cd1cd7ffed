//! `pontoon bench server`, as its user sees it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "a server that misbehaves runs beside the load")]

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Output;
use std::thread;

use common::{Reply, Server, command};
use pontoon::bench::result::{Load, Results, Subject};
use socket2::{Domain, Socket, Type};

/// Runs `pontoon bench server` with `args` and small settings; also returns the results, if it saved
/// any.
fn bench(args: &[&str], variables: &[(&str, &str)]) -> (Output, Option<Results>) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("results.json");
    let is_given = |small: &str| {
        let (flag, _) = small.split_once('=').unwrap();
        args.iter().any(|arg| arg.starts_with(flag))
    };
    let small = ["--keys=50", "--seconds=0.05", "--rounds=1", "--threads=2"];
    let small = small.into_iter().filter(|small| !is_given(small));
    let mut command = command(&["bench", "server", "--json", json.to_str().unwrap()]);
    let output = command.args(small).args(args).envs(variables.iter().copied()).output().unwrap();
    let results = std::fs::read(json).ok().map(|json| serde_json::from_slice(&json).unwrap());
    (output, results)
}

fn addr(name: &str, port: u16) -> String {
    format!("--addr={name}=127.0.0.1:{port}")
}

#[track_caller]
fn assert_ended(output: &Output, code: i32, needles: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for needle in needles {
        assert!(stderr.contains(needle), "{needle:?} is not in {stderr:?}");
    }
}

/// A server that answers each read on its first `replies.len()` connections with the replies that
/// stand for the connection, in turn, and closes it after the last.
fn scripted_server(replies: Vec<Vec<&'static str>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for replies in replies {
            let (mut stream, _) = listener.accept().unwrap();
            for reply in replies {
                if stream.read(&mut [0; 4096]).unwrap_or(0) == 0 {
                    break;
                }
                stream.write_all(reply.as_bytes()).unwrap();
            }
        }
    });
    port
}

#[test]
fn every_workload_runs_on_several_servers_without_errors() {
    let servers = [Server::in_memory(&[]), Server::in_memory(&["--runtime", "current-thread"])];
    let (output, results) = bench(
        &[
            &addr("one", servers[0].port),
            &addr("two", servers[1].port),
            "--workload=ping,get,set,mixed,incr,mget",
            "--connections=1,7",
            "--pipeline=1,4",
            "--value-bytes=23",
            "--rounds=2",
            "--db=3",
        ],
        &[],
    );
    assert_ended(&output, 0, &["24 cases x 2 rounds x 2 servers"]);
    let results = results.unwrap();
    assert_eq!((results.subject, results.load), (Subject::Server, Load::Closed));
    assert!(results.command.starts_with("pontoon bench server --json "), "{}", results.command);
    let version = format!("pontoon {}", env!("CARGO_PKG_VERSION"));
    assert!(results.versions.contains(&("two".into(), version)), "{:?}", results.versions);
    let cells: BTreeSet<_> = results.cells.iter().map(|c| (&c.case, &c.contender.name)).collect();
    assert_eq!((results.cells.len(), cells.len()), (48, 48));
    for cell in &results.cells {
        let rounds: Vec<u32> = cell.samples.iter().map(|sample| sample.round).collect();
        assert_eq!(rounds, [0, 1]);
        for sample in &cell.samples {
            assert!(sample.operations > 0 && sample.errors == 0, "{cell:?}");
            assert!(sample.seconds >= 0.05, "{cell:?}");
            assert!(sample.latency.p50_us > 0.0, "{cell:?}");
            assert!(sample.latency.p50_us <= sample.latency.max_us, "{cell:?}");
            assert_eq!(sample.cpu_us_per_op.is_some(), cfg!(target_os = "linux"), "{cell:?}");
            assert_eq!(sample.peak_memory_bytes.is_some(), cfg!(target_os = "linux"), "{cell:?}");
        }
    }
    let table = String::from_utf8(output.stdout).unwrap();
    for shown in ["mget, 7 connections", "one", "two"] {
        assert!(table.contains(shown), "{shown:?} is not in {table}");
    }
    for server in &servers {
        let mut client = server.connect();
        assert_eq!(client.call(&["DBSIZE"]), Reply::Integer(0));
        client.call(&["SELECT", "3"]);
        assert_eq!(client.call(&["STRLEN", "key:000000000049"]), Reply::Integer(23));
        assert_eq!(client.call(&["EXISTS", "key:000000000050"]), Reply::Integer(0));
        assert_ne!(client.call(&["GET", "counter:000000000007"]), Reply::Null);
    }
}

#[test]
fn an_open_loop_sends_what_arrives_and_no_more() {
    let server = Server::in_memory(&[]);
    let (output, results) = bench(
        &[
            &addr("one", server.port),
            "--workload=get",
            "--connections=3",
            "--pipeline=1,5",
            "--rate=1000",
            "--seconds=0.2",
        ],
        &[],
    );
    assert_ended(&output, 0, &[]);
    let results = results.unwrap();
    assert_eq!(results.load, Load::Open { rate_per_sec: 1000.0 });
    assert_eq!(results.cells.len(), 2);
    for cell in &results.cells {
        let operations = cell.samples[0].operations;
        // Each of the two threads may have begun one batch more than its part.
        let most = 200 + 2 * u64::from(cell.case.pipeline);
        assert!(operations > 0 && operations <= most, "{cell:?}");
        assert_eq!(operations % u64::from(cell.case.pipeline), 0, "{cell:?}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named_and_the_others_go_on() {
    // Bound, so that nobody else takes the port, but not listening.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let missing = socket.local_addr().unwrap().as_socket().unwrap().port();
    let place = format!("missing (127.0.0.1:{missing}): cannot connect");

    let (output, results) = bench(&[&addr("missing", missing)], &[]);
    assert_ended(&output, 1, &[&place, "there is no server to load"]);
    assert!(output.stdout.is_empty() && results.is_none());

    let server = Server::in_memory(&[]);
    let (output, results) = bench(
        &[&addr("missing", missing), &addr("one", server.port), "--connections=2", "--pipeline=1"],
        &[],
    );
    assert_ended(&output, 1, &[&place]);
    let results = results.unwrap();
    let names: Vec<_> = results.cells.iter().map(|cell| cell.contender.name.as_str()).collect();
    assert_eq!(names, ["one", "one"]);
}

#[test]
fn a_password_comes_from_the_environment() {
    let server = Server::in_memory(&["--requirepass", "the-secret"]);
    let open = Server::in_memory(&[]);
    let args = [
        &addr("closed", server.port)[..],
        &addr("open", open.port),
        "--connections=2",
        "--pipeline=2",
        "--workload=set",
    ];
    let (output, results) = bench(&args, &[("PONTOON_BENCH_PASSWORD", "the-secret")]);
    assert_ended(&output, 0, &[]);
    let results = results.unwrap();
    assert_eq!(results.cells.len(), 2);
    assert!(!serde_json::to_string(&results).unwrap().contains("the-secret"));

    let (output, _) = bench(&args, &[("PONTOON_BENCH_PASSWORD", "another")]);
    assert_ended(&output, 1, &["closed (", "it answered AUTH with WRONGPASS"]);
    let (output, _) = bench(&args, &[]);
    assert_ended(&output, 1, &["closed (", "NOAUTH"]);
}

#[test]
fn a_connection_that_breaks_counts_what_it_had_sent() {
    let pong = "+PONG\r\n";
    // PING and INFO; then PING and two commands of the load.
    let port = scripted_server(vec![vec![pong; 2], vec![pong; 3]]);
    let args = ["--workload=ping", "--connections=1", "--pipeline=1", "--seconds=60"];
    let (output, results) = bench(&[&[addr("frail", port).as_str()], &args[..]].concat(), &[]);
    assert_ended(&output, 1, &["frail: ping, 1 connections x 1: 1 of 3 commands failed"]);
    let sample = &results.unwrap().cells[0].samples[0];
    assert_eq!((sample.operations, sample.errors), (2, 1));
}

#[test]
fn errors_of_the_server_are_counted_and_the_first_is_shown() {
    let pong = "+PONG\r\n";
    let load =
        vec![pong, "+PONG\r\n-ERR first\r\n", "-ERR second\r\n+PONG\r\n", "HTTP/1.1 200\r\n"];
    let port = scripted_server(vec![vec![pong; 2], load]);
    let args = ["--workload=ping", "--connections=1", "--pipeline=2", "--seconds=60"];
    let (output, results) = bench(&[&[addr("odd", port).as_str()], &args[..]].concat(), &[]);
    assert_ended(&output, 1, &["odd: ping, 1 connections x 2: 4 of 6 commands failed: ERR first"]);
    let sample = &results.unwrap().cells[0].samples[0];
    assert_eq!((sample.operations, sample.errors), (2, 4));
}

#[test]
fn flags_that_contradict_are_refused() {
    let (output, results) = bench(&["--addr=a=localhost:1", "--addr=a=localhost:2"], &[]);
    assert_ended(&output, 2, &["two servers are called a"]);
    assert!(results.is_none());
}
