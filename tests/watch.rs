//! `WATCH` and `UNWATCH`, over sockets: what makes `EXEC` do nothing, and what does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "clients at the same time are threads")]

mod common;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Client, Reply, Server, bulk, ok};

/// The reply to a transaction of one `PING`: `[PONG]`, or `nil` if a watched key has changed.
fn exec(client: &mut Client) -> String {
    client.pipeline(&["MULTI", "PING", "EXEC"]).pop().unwrap()
}

#[test]
fn a_change_of_a_watched_key_aborts() {
    let server = Server::in_memory(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    let changes = [
        "SET a 2",
        // The same value is a change as well.
        "SET a 1",
        "GETSET a 1",
        "MSET b 5 a 1",
        "APPEND a x",
        "SETRANGE a 0 1",
        "INCR a",
        "INCRBYFLOAT a 1",
        "DEL a",
        "UNLINK a",
        "GETDEL a",
        "EXPIRE a 100",
        "EXPIRE a -1",
        "GETEX a EX 100",
        "GETEX e EX 100",
        "PERSIST e",
        "RENAME a b",
        "RENAME b a",
        "COPY b a REPLACE",
        "MOVE a 1",
        "SORT missing STORE a",
        "SORT l STORE a",
        "SUNIONSTORE a s",
        "SADD s 2",
        "SREM s 1",
        "RPUSH l x",
        "LPOP l",
        "HSET h f w",
        "HDEL h f",
        "ZADD z 2 m",
        "ZREM z m",
        "SET absent 1",
        "RENAME b absent",
        "COPY b absent",
        "FLUSHDB",
        "FLUSHALL",
        "SWAPDB 0 1",
    ];
    for change in changes {
        client.pipeline(&["FLUSHALL", "MSET a 1 b 2", "SET e 1 PXAT 99999999999000"]);
        client.pipeline(&["RPUSH l 1", "SADD s 1", "HSET h f v", "ZADD z 1 m"]);
        client.script("WATCH x a y absent e l s h z -> OK");
        let reply = other.run(change);
        assert!(!reply.starts_with("(error)"), "{change}: {reply}");
        assert_eq!(exec(&mut client), "nil", "{change}");
        // After an abort nothing is watched any more.
        other.run("SET a 1");
        assert_eq!(exec(&mut client), "[PONG]", "{change}");
    }
}

#[test]
fn nothing_else_aborts() {
    let server = Server::in_memory(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    for innocent in [
        "PING",
        "GET a",
        "STRLEN a",
        "TTL a",
        "TYPE a",
        "SET b 5",
        "SETNX a 5",
        "SET a 5 NX",
        "SET absent 5 XX",
        "MSETNX b 1 a 1",
        "SETRANGE a 1 ''",
        "INCR text",
        "EXPIRE absent 10",
        "EXPIRE a 10 XX",
        "PERSIST a",
        "GETEX a",
        "GETEX a PERSIST",
        "DEL absent",
        "GETDEL absent",
        "RENAME a a",
        "RENAMENX b a",
        "COPY a c",
        "COPY b a",
        "COPY b a DB 1",
        "TOUCH a",
        "OBJECT ENCODING a",
        "SORT missing STORE absent",
        "SWAPDB 1 2",
        "KEYS *",
    ] {
        client.pipeline(&["FLUSHALL", "MSET a 1 b 2 text x"]);
        client.script("WATCH a absent text -> OK");
        other.run(innocent);
        assert_eq!(exec(&mut client), "[PONG]", "{innocent}");
    }
    // What a failing command wrote before it failed is no change either.
    client.run("WATCH a");
    other.run(&format!("MSET a 1 {} 2", "k".repeat(70_000)));
    assert_eq!(exec(&mut client), "[PONG]");
}

#[test]
fn the_own_change_counts_too_and_only_until_exec() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.pipeline(&["SET x 30", "WATCH x", "SET x 40"]);
    assert_eq!(exec(&mut client), "nil");
    client.pipeline(&["WATCH x", "MULTI", "SET x 1", "EXEC", "SET x 2"]);
    assert_eq!(exec(&mut client), "[PONG]");
    client.pipeline(&["WATCH x", "SET x 40", "UNWATCH"]);
    assert_eq!(exec(&mut client), "[PONG]");
    client.pipeline(&["WATCH x", "SET x 10", "MULTI", "DISCARD"]);
    assert_eq!(exec(&mut client), "[PONG]");
    client.pipeline(&["WATCH x", "MULTI", "DISCARD", "SET x 10"]);
    assert_eq!(exec(&mut client), "[PONG]");
    client.pipeline(&["WATCH x", "SET x 1", "RESET"]);
    assert_eq!(exec(&mut client), "[PONG]");
}

/// The changes before and behind a `WATCH`, in one crossing to the write lane.
#[test]
fn a_pipeline_keeps_the_order_of_watch_and_changes() {
    let server = Server::in_memory(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    let mut last = |lines: &[&str]| client.pipeline(lines).pop().unwrap();
    assert_eq!(last(&["WATCH x", "SET x 1", "MULTI", "PING", "EXEC"]), "nil");
    assert_eq!(last(&["SET x 1", "WATCH x", "MULTI", "PING", "EXEC"]), "[PONG]");
    // The same while somebody else watches.
    other.script("WATCH x -> OK");
    assert_eq!(last(&["SET x 2", "WATCH x", "GET x", "MULTI", "PING", "EXEC"]), "[PONG]");
    assert_eq!(last(&["DEL x", "WATCH x", "FLUSHDB", "MULTI", "PING", "EXEC"]), "[PONG]");
    assert_eq!(last(&["WATCH x", "SET x 2", "MULTI", "PING", "EXEC"]), "nil");
    assert_eq!(last(&["FLUSHDB", "WATCH x", "MULTI", "PING", "EXEC"]), "[PONG]");
    assert_eq!(exec(&mut other), "nil");
}

#[test]
fn flushes_and_swaps_change_only_what_was_there() {
    let server = Server::in_memory(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    for (before, change, reply) in [
        (&["SET x 30"][..], "FLUSHALL", "nil"),
        (&["SET y 30"], "FLUSHALL", "[PONG]"),
        (&["SET x 30"], "FLUSHDB", "nil"),
        (&["SET y 30"], "FLUSHDB", "[PONG]"),
        (&["SELECT 1", "SET x 30", "SELECT 0"], "FLUSHDB", "[PONG]"),
        (&["SET x 30"], "SWAPDB 0 1", "nil"),
        (&["SET x 30"], "SWAPDB 1 0", "nil"),
        (&["SELECT 1", "SET x 30", "SELECT 0"], "SWAPDB 0 1", "nil"),
        (&["SELECT 1", "SET y 30", "SELECT 0"], "SWAPDB 0 1", "[PONG]"),
        (&["SET x 30"], "SWAPDB 0 0", "[PONG]"),
        (&["SET x 30"], "SWAPDB 1 2", "[PONG]"),
    ] {
        client.run("FLUSHALL");
        client.pipeline(before);
        client.script("WATCH x -> OK");
        assert_eq!(other.run(change), "OK");
        assert_eq!(exec(&mut client), reply, "{before:?} {change}");
    }
}

#[test]
fn the_database_of_a_watched_key_is_remembered() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.pipeline(&["SELECT 5", "SET x 30", "WATCH x", "SELECT 1", "SET x 10", "SELECT 5"]);
    assert_eq!(exec(&mut client), "[PONG]");
    client.pipeline(&["SELECT 5", "WATCH x", "SELECT 1", "WATCH x", "SELECT 5", "SET x 1"]);
    assert_eq!(exec(&mut client), "nil");
}

#[test]
fn a_watched_key_whose_time_comes_aborts() {
    let server = Server::in_memory(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    // Its time has come, whether or not it has been removed: by reading it is not.
    client.pipeline(&["SET x foo PX 20", "WATCH x"]);
    while other.run("EXISTS x") != "0" {}
    assert_eq!(exec(&mut client), "nil");
    // Swept.
    client.pipeline(&["SET x foo PX 1", "WATCH x"]);
    while other.run("DBSIZE") != "0" {}
    assert_eq!(exec(&mut client), "nil");
    // Removed by a command that writes.
    client.pipeline(&["SET x foo PX 20", "WATCH x"]);
    while other.run("EXISTS x") != "0" {}
    other.run("DEL x");
    assert_eq!(exec(&mut client), "nil");
    // A key that expires in its turn after it has come to be is watched from when it was absent.
    client.pipeline(&["WATCH x"]);
    other.run("SET x foo PX 1");
    while other.run("DBSIZE") != "0" {}
    assert_eq!(exec(&mut client), "nil");
}

/// A time long past: the sweep, if it comes at all, cannot come between the commands of one pipeline.
#[test]
fn a_key_whose_time_had_come_is_as_good_as_absent() {
    let server = Server::in_memory(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    for innocent in ["PING", "EXISTS x", "DEL x", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "EXPIRE x 9"]
    {
        client.run("FLUSHALL");
        let replies = client.pipeline(&["SET x foo PXAT 1", "WATCH x"]);
        assert_eq!(replies, ["OK", "OK"]);
        other.run(innocent);
        assert_eq!(exec(&mut client), "[PONG]", "{innocent}");
    }
    // Until it is swept.
    client.pipeline(&["SET x foo PX 1", "WATCH y"]);
    while other.run("EXISTS x") != "0" {}
    client.run("WATCH x");
    while other.run("DBSIZE") != "0" {}
    assert_eq!(exec(&mut client), "[PONG]");
    // But not a value that comes in its place.
    for change in ["SET x 1", "SETNX x 1", "APPEND x 1"] {
        client.pipeline(&["SET x foo PXAT 1", "WATCH x"]);
        other.run(change);
        assert_eq!(exec(&mut client), "nil", "{change}");
    }
    // Nothing, in place of what had expired, and the other way round.
    for (first, second) in [(0, 1), (1, 0)] {
        let lines = [
            "FLUSHALL".into(),
            format!("SELECT {first}"),
            "SET x foo PXAT 1".into(),
            format!("SELECT {second}"),
            "WATCH x".into(),
            "SWAPDB 0 1".into(),
        ];
        client.pipeline(&lines.each_ref().map(String::as_str));
        other.pipeline(&["SELECT 0", "DEL x", "SELECT 1", "DEL x", "SELECT 0"]);
        assert_eq!(exec(&mut client), "[PONG]");
    }
    client.run("SELECT 0");
    // What had expired, in place of what had expired.
    let stale = ["FLUSHALL", "SELECT 1", "SET x 1 PXAT 1", "SELECT 0", "SET x 2 PXAT 1", "WATCH x"];
    client.pipeline(&stale);
    other.run("SWAPDB 0 1");
    assert_eq!(exec(&mut client), "[PONG]");
}

/// The servers that the tests below run on: redb, with either bridge.
fn with_each_bridge(test: impl Fn(&Server)) {
    for bridge in ["pool", "blocking"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap();
        let args = ["--engine", "redb", "--bridge", bridge, "--dir", dir];
        test(&Server::start(&[&args[..], &["--durability", "everysec"]].concat()));
    }
}

/// Runs `body` once for each of `count` clients, all at the same time.
fn with_clients(server: &Server, count: usize, body: impl Fn(Client, usize) + Sync) {
    thread::scope(|scope| {
        for number in 0..count {
            let (client, body) = (server.connect(), &body);
            scope.spawn(move || body(client, number));
        }
    });
}

#[test]
fn of_those_who_watch_the_same_key_exactly_one_wins_each_round() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 8;
    with_each_bridge(|server| {
        let barrier = Barrier::new(CLIENTS);
        let winners: Vec<AtomicBool> = (0..ROUNDS).map(|_| AtomicBool::new(false)).collect();
        with_clients(server, CLIENTS, |mut client, _| {
            for winner in &winners {
                client.script("WATCH counter -> OK");
                let counter = client.call(&["GET", "counter"]);
                let next = if counter == Reply::Null { 1 } else { number(&counter) + 1 };
                // All of them have read before the first of them writes.
                barrier.wait();
                client.pipeline(&["MULTI", &format!("SET counter {next}")]);
                match client.call(&["EXEC"]) {
                    Reply::Null => {}
                    reply => {
                        assert_eq!(reply, Reply::Array(vec![ok()]));
                        assert!(!winner.swap(true, Ordering::Relaxed), "two winners");
                    }
                }
                barrier.wait();
            }
        });
        assert!(winners.iter().all(|winner| winner.load(Ordering::Relaxed)), "a round without one");
        assert_eq!(server.connect().call(&["GET", "counter"]), bulk(ROUNDS.to_string()));
    });
}

#[test]
fn increments_by_watching_add_up() {
    const CLIENTS: usize = 5;
    const INCREMENTS: usize = 12;
    with_each_bridge(|server| {
        with_clients(server, CLIENTS, |mut client, number_of_client| {
            for round in 0..INCREMENTS {
                loop {
                    client.script("WATCH counter -> OK");
                    let counter = client.call(&["GET", "counter"]);
                    let next = if counter == Reply::Null { 1 } else { number(&counter) + 1 };
                    let set = format!("SET counter {next}");
                    // With a round trip for each command, and as one pipeline.
                    if round % 2 == 0 {
                        client.script("MULTI -> OK");
                        assert_eq!(client.run(&set), "QUEUED");
                        assert_eq!(
                            client.run(&format!("INCR client:{number_of_client}")),
                            "QUEUED"
                        );
                        if client.run("EXEC") != "nil" {
                            break;
                        }
                    } else {
                        let incr = format!("INCR client:{number_of_client}");
                        if client.pipeline(&["MULTI", &set, &incr, "EXEC"])[3] != "nil" {
                            break;
                        }
                    }
                }
            }
        });
        let mut client = server.connect();
        assert_eq!(client.call(&["GET", "counter"]), bulk((CLIENTS * INCREMENTS).to_string()));
        for number in 0..CLIENTS {
            let key = format!("client:{number}");
            assert_eq!(client.call(&["GET", &key]), bulk(INCREMENTS.to_string()));
        }
    });
}

fn number(reply: &Reply) -> i64 {
    reply.text().parse().unwrap()
}
