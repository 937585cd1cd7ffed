//! `INFO` of a server that runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;
mod harness;

use common::{Reply, Server, persistent_engines};
use futures::executor::block_on;
use harness::Shell;
use pontoon::data::{DbReader, RunState, average_ttl};

#[test]
fn the_storage_shows_its_figures() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let server = Server::start(&["--dir", dir, "--engine", engine, "--durability", "everysec"]);
        let mut client = server.connect();
        for (field, value) in
            [("engine", engine), ("bridge", "pool"), ("durability", "everysec"), ("read_only", "0")]
        {
            while client.call(&["INFO", "storage"]).text().len() < 500 {}
            assert_eq!(client.info(&format!("storage_{field}")), value, "{field}");
        }
        assert_eq!(client.call(&["CONFIG", "SET", "durability", "always"]), common::ok());
        assert_eq!(client.info("storage_durability"), "always");
        let number = |client: &mut common::Client, field: &str| -> f64 {
            client.info(field).parse().unwrap_or_else(|_| panic!("{field}"))
        };
        let before = number(&mut client, "storage_syncs");
        client.call(&["SET", "a", "1"]);
        while number(&mut client, "storage_syncs") <= before {}
        assert!(number(&mut client, "storage_commits") >= 1.0);
        assert!(number(&mut client, "storage_disk_bytes") > 0.0);
        assert!(number(&mut client, "write_lane_drains") >= 1.0);
        assert!(number(&mut client, "write_lane_mean_batch") >= 1.0);
        for lane in ["read", "write", "background"] {
            assert!(number(&mut client, &format!("{lane}_lane_queued")) >= 0.0);
        }
        for field in ["cache_hits", "cache_misses", "cache_hit_rate", "cache_bytes"] {
            assert!(number(&mut client, field) >= 0.0, "{field}");
        }
    }
}

#[test]
fn rates_rise_while_there_is_something_to_do() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    while client.info("instantaneous_ops_per_sec") == "0" {}
    while client.info("instantaneous_output_kbps") == "0.00" {}
    while client.info("instantaneous_input_kbps") == "0.00" {}
}

#[test]
fn the_average_time_that_keys_have_left_is_measured() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.call(&["SET", "forever", "1"]);
    client.call(&["SET", "a", "1", "EX", "1000"]);
    client.call(&["SET", "b", "1", "EX", "3000"]);
    let ttl = loop {
        let line = client.info("db0");
        assert!(line.starts_with("keys=3,expires=2,avg_ttl="), "{line}");
        let ttl: u64 = line.rsplit('=').next().unwrap().parse().unwrap();
        if ttl > 0 {
            break ttl;
        }
    };
    assert!((1_900_000..=2_000_000).contains(&ttl), "{ttl}");
    client.call(&["PERSIST", "a"]);
    client.call(&["PERSIST", "b"]);
    assert_eq!(client.info("db0"), "keys=3,expires=0,avg_ttl=0");
}

#[test]
fn a_sample_of_many_keys_is_near_the_average() {
    let mut shell = Shell::new();
    let average = |shell: &Shell| {
        let (databases, now_ms) = (shell.databases.clone(), shell.now_ms);
        let found = shell.store.view(move |view| {
            let mut state = RunState::new(&databases, now_ms);
            average_ttl(&mut DbReader::new(view, &mut state, 0))
        });
        block_on(found).unwrap()
    };
    assert_eq!(average(&shell), None);
    shell.run("SET forever 1");
    assert_eq!(average(&shell), None);
    shell.run("SET a 1 PX 100");
    shell.run("SET b 1 PX 300");
    assert_eq!(average(&shell), Some(200));
    let lines: Vec<String> =
        (0..4000).map(|n| format!("SET key:{n} 1 PX {}", 1000 + n % 100 * 10)).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    for lines in lines.chunks(500) {
        shell.pipeline(lines);
    }
    for _ in 0..10 {
        // Near the end of the hashes a sample is small, or empty.
        if let Some(average) = average(&shell) {
            assert!((1000..2000).contains(&average), "{average}");
        }
    }
}

#[test]
fn changes_since_the_last_checkpoint_are_counted() {
    let engine = persistent_engines().next().expect("redb");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&["--dir", dir.path().to_str().unwrap(), "--engine", engine]);
    let mut client = server.connect();
    let changes = |client: &mut common::Client| client.info("rdb_changes_since_last_save");
    assert_eq!(changes(&mut client), "0");
    for (command, expected) in [
        (&["SETBIT", "bits", "3", "1"][..], "1"),
        (&["SETBIT", "bits", "3", "1"], "1"),
        (&["SETBIT", "bits", "4", "1"], "2"),
        (&["GET", "bits"], "2"),
        (&["HSET", "bits", "f", "v"], "2"),
        (&["MSET", "a", "1", "b", "2"], "4"),
        (&["DEL", "a", "nothing"], "5"),
        (&["SAVE"], "0"),
        (&["INCR", "b"], "1"),
    ] {
        client.call(command);
        assert_eq!(changes(&mut client), expected, "{command:?}");
    }
}

#[test]
fn discarded_values_are_counted_until_they_are_swept() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let large = "x".repeat(100_000);
    for key in ["a", "b", "c"] {
        client.call(&["SET", key, &large]);
    }
    assert_eq!(client.info("lazyfreed_objects"), "0");
    assert_eq!(client.info("lazyfree_pending_objects"), "0");
    client.call(&["DEL", "a", "b"]);
    while client.info("lazyfree_pending_objects") != "0" {}
    assert_eq!(client.info("lazyfreed_objects"), "2");
    client.call(&["FLUSHDB"]);
    while client.info("lazyfree_pending_objects") != "0" {}
    assert_eq!(client.info("lazyfreed_objects"), "3", "a database counts as one");
    client.call(&["CONFIG", "RESETSTAT"]);
    assert_eq!(client.info("lazyfreed_objects"), "0");
}

#[test]
fn blocked_clients_are_counted_whatever_they_wait_for() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let mut waiting = [server.connect(), server.connect()];
    waiting[0].send(&common::encode(&[b"BLPOP", b"list", b"0"]));
    waiting[1].send(&common::encode(&[b"WAIT", b"1", b"0"]));
    while client.info("blocked_clients") != "2" {}
    // One that waits for no key is sent on like the others.
    let Reply::Bulk(list) = client.call(&["CLIENT", "LIST"]) else { panic!("no list") };
    let list = String::from_utf8(list).unwrap();
    let line = list.lines().find(|line| line.contains(" cmd=wait ")).unwrap();
    assert!(line.contains(" flags=b "), "{line}");
    let id = line.strip_prefix("id=").and_then(|rest| rest.split(' ').next()).unwrap();
    assert_eq!(client.call(&["CLIENT", "UNBLOCK", id, "ERROR"]), Reply::Integer(1));
    assert!(waiting[1].read().text().starts_with("UNBLOCKED "));
    assert_eq!(client.info("errorstat_UNBLOCKED"), "count=1");
    while client.info("blocked_clients") != "1" {}
    assert_eq!(client.call(&["CLIENT", "UNBLOCK", id]), Reply::Integer(0));
}
