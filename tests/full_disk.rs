//! A disk that fills up under the server: writes are refused with the reason, reads go on, and with room again
//! a restarted server has all that it acknowledged.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;
#[path = "../storage/tests/common/mounts.rs"]
#[allow(unreachable_pub, missing_docs)]
mod mounts;

use common::{Client, Reply, Server, bulk, ok, persistent_engines};
use mounts::{Disk, are_own};
use rustix::process::Signal;

const DISK_KIB: u64 = 32 << 10;

/// Bytes that do not compress, as hexadecimal digits.
fn value(n: u64) -> String {
    let mut state = n + 1;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:08x}", state >> 32)
    };
    (0..2_000).map(|_| next()).collect()
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    if !are_own("a_full_disk_refuses_writes_and_loses_nothing") {
        return;
    }
    for engine in persistent_engines() {
        for durability in ["always", "everysec"] {
            println!("{engine} {durability}");
            let above = tempfile::tempdir().unwrap();
            let disk = Disk::mount(above.path(), "disk", DISK_KIB);
            let dir = disk.path.join("data");
            let place = dir.to_str().unwrap();
            let args = ["--engine", engine, "--dir", place, "--durability", durability];
            let server = Server::start(&args);
            let mut client = server.connect();
            assert_eq!(client.call(&["SET", "first", "v"]), ok());
            disk.fill_but(4 << 10);
            let (acknowledged, refused) = fill(&mut client);
            let Reply::Error(text) = &refused else { panic!("{refused:?}") };
            assert!(text.starts_with("MISCONF "), "{text}");
            assert!(text.contains("No space left") || text.contains("full disk"), "{text}");
            let again = client.call(&["SET", "later", "v"]);
            assert!(again.text().starts_with("MISCONF "), "{again:?}");
            assert_eq!(client.call(&["GET", "first"]), bulk("v"));
            let last = (acknowledged - 1).to_string();
            assert_eq!(client.call(&["GET", &last]), bulk(value(acknowledged - 1)));
            assert_eq!(server.connect().call(&["PING"]), Reply::Simple("PONG".into()));
            let ended = server.stop(Signal::TERM);
            println!("{acknowledged} acknowledged; it ended with {ended}");

            disk.free();
            let server = Server::start(&args);
            let mut client = server.connect();
            let first = client.call(&["GET", "first"]);
            let there = |n: &u64| client.call(&["GET", &n.to_string()]) == bulk(value(*n));
            let there = (0..acknowledged).take_while(there).count() as u64;
            // What redb had not synced was in the memory of the process alone.
            if durability == "always" || engine == "rocksdb" {
                assert_eq!((first, there), (bulk("v"), acknowledged));
            }
            assert_eq!(server.connect().call(&["SET", "later", "v"]), ok());
            assert_eq!(server.stop(Signal::TERM).code(), Some(0));
        }
    }
}

/// Writes until it is refused. Returns how many writes were acknowledged, and the refusal.
fn fill(client: &mut Client) -> (u64, Reply) {
    let limit = 4 * (DISK_KIB << 10) / value(0).len() as u64;
    for n in 0..limit {
        let reply = client.call(&["SET", &n.to_string(), &value(n)]);
        if reply != ok() {
            return (n, reply);
        }
    }
    panic!("the disk has no end");
}
