//! One runtime for each core, with one server behind all of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;

use common::{Client, Reply, Server, bulk, encode, error, ok, run};
use rustix::process::Signal;

/// More than one core, however many the machine has.
const CORES: [&str; 4] = ["--runtime", "per-core", "--worker-threads", "4"];

/// So many that each core has some: the system spreads them by their addresses.
const CLIENTS: usize = 64;

fn server(args: &[&str]) -> Server {
    Server::in_memory(&[&CORES[..], args].concat())
}

fn clients(server: &Server) -> Vec<Client> {
    (0..CLIENTS).map(|_| server.connect()).collect()
}

#[test]
fn every_core_has_its_thread_and_all_see_the_same_data() {
    for bridge in ["pool", "blocking"] {
        let server = server(&["--bridge", bridge, "--bind", "127.0.0.1,127.0.0.2"]);
        let mut clients = clients(&server);
        for client in &mut clients {
            client.call(&["INCR", "n"]);
        }
        for client in &mut clients {
            assert_eq!(client.call(&["GET", "n"]), bulk(CLIENTS.to_string()));
        }
        assert_eq!(clients[0].info("connected_clients"), CLIENTS.to_string());
        if cfg!(target_os = "linux") {
            let tasks = format!("/proc/{}/task", clients[0].info("process_id"));
            let threads = fs::read_dir(tasks)
                .unwrap()
                .map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
            let cores = threads.filter(|name| name.starts_with("pontoon-core-")).count();
            assert_eq!(cores, 3, "the first is the main thread");
        }
        let second = std::net::TcpStream::connect(("127.0.0.2", server.port)).unwrap();
        assert_eq!(Client::new(second).call(&["GET", "n"]), bulk(CLIENTS.to_string()));
    }
}

#[test]
fn the_limit_of_clients_is_one_for_all_cores() {
    let server = server(&["--maxclients", "8"]);
    let mut clients = clients(&server);
    let mut served = 0;
    for client in &mut clients {
        client.send(&encode(&[b"PING"]));
        match client.read() {
            Reply::Simple(text) => {
                assert_eq!(text, "PONG");
                served += 1;
            }
            refusal => assert_eq!(refusal, error("ERR max number of clients reached")),
        }
    }
    assert_eq!(served, 8);
}

#[test]
fn a_client_is_woken_by_one_of_another_core() {
    let server = server(&[]);
    let (mut waiting, mut pushing) = (clients(&server), clients(&server));
    for (index, client) in waiting.iter_mut().enumerate() {
        client.send(&encode(&[b"BLPOP", index.to_string().as_bytes(), b"0"]));
    }
    for (index, client) in pushing.iter_mut().rev().enumerate() {
        let key = index.to_string();
        assert_eq!(client.call(&["RPUSH", &key, "v"]), Reply::Integer(1));
    }
    for (index, client) in waiting.iter_mut().enumerate() {
        assert_eq!(client.read(), Reply::Array(vec![bulk(index.to_string()), bulk("v")]));
    }
}

#[test]
fn a_stop_reaches_every_core() {
    for how in ["TERM", "SHUTDOWN", "SHUTDOWN NOW"] {
        let server = server(&[]);
        let mut clients = clients(&server);
        for client in &mut clients {
            assert_eq!(client.call(&["PING"]), Reply::Simple("PONG".into()));
        }
        if how == "TERM" {
            server.signal(Signal::TERM);
        } else {
            let args: Vec<&[u8]> = how.split(' ').map(str::as_bytes).collect();
            clients[0].send(&encode(&args));
        }
        for client in &mut clients {
            client.assert_closed();
        }
        assert_eq!(server.wait().code(), Some(0), "{how}");
    }
}

#[test]
fn two_servers_do_not_share_a_port() {
    let first = server(&[]);
    assert_eq!(first.connect().call(&["SET", "k", "v"]), ok());
    let port = first.port.to_string();
    for runtime in ["per-core", "current-thread"] {
        let output = run(&["--runtime", runtime, "--engine", "memory", "--port", &port]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("cannot listen on 127.0.0.1"), "{stderr}");
    }
}
