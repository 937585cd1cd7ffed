//! Clients that wait for a list or a sorted set, over sockets: who is served, when, and what becomes of those who leave.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use common::{Client, PATIENCE, Reply, Server, bulk, encode, error, ok, persistent_engines};
use rustix::process::Signal;

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

/// A server that keeps nothing, and a client that looks on and acts.
struct Stage {
    server: Server,
    actor: Client,
}

impl Stage {
    fn new() -> Self {
        let server = Server::in_memory(&[]);
        let actor = server.connect();
        Self { server, actor }
    }

    /// A client that has begun `line` and waits, as the `nth`.
    #[track_caller]
    fn waiting(&mut self, nth: usize, line: &str) -> Client {
        let mut client = self.server.connect();
        begin(&mut client, line);
        self.until_blocked(nth);
        client
    }

    /// Waits until as many clients wait.
    #[track_caller]
    fn until_blocked(&mut self, clients: usize) {
        until_blocked(&mut self.actor, clients);
    }

    #[track_caller]
    fn check(&mut self, line: &str, reply: Reply) {
        assert_eq!(run(&mut self.actor, line), reply, "{line}");
    }

    /// Runs `lines` in one transaction.
    #[track_caller]
    fn transact(&mut self, lines: &[&str]) -> Reply {
        self.check("MULTI", ok());
        for line in lines {
            self.check(line, Reply::Simple("QUEUED".into()));
        }
        run(&mut self.actor, "EXEC")
    }
}

#[track_caller]
fn until_blocked(actor: &mut Client, clients: usize) {
    let begun = Instant::now();
    while actor.info("blocked_clients") != clients.to_string() {
        assert!(begun.elapsed() < PATIENCE, "there are never {clients} clients that wait");
    }
}

fn begin(client: &mut Client, line: &str) {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    client.send(&encode(&words));
}

fn run(client: &mut Client, line: &str) -> Reply {
    begin(client, line);
    client.read()
}

fn bulks(words: &str) -> Reply {
    Reply::Array(words.split_whitespace().map(bulk).collect())
}

fn int(number: i64) -> Reply {
    Reply::Integer(number)
}

#[test]
fn who_comes_first_is_served_first() {
    let mut stage = Stage::new();
    let mut clients: Vec<_> = (1..=5).map(|nth| stage.waiting(nth, "BLPOP q 0")).collect();
    stage.check("RPUSH q a b c", int(3));
    for (client, element) in clients.iter_mut().zip(["a", "b", "c"]) {
        assert_eq!(client.read(), bulks(&format!("q {element}")));
    }
    stage.until_blocked(2);
    stage.check("EXISTS q", int(0));
    stage.check("RPUSH q d", int(1));
    assert_eq!(clients[3].read(), bulks("q d"));
    stage.check("RPUSH q e f", int(2));
    assert_eq!(clients[4].read(), bulks("q e"));
    stage.check("LRANGE q 0 -1", bulks("f"));
    stage.until_blocked(0);
}

#[test]
fn each_command_takes_from_its_end() {
    let mut stage = Stage::new();
    for (line, reply, left) in [
        ("BLPOP q 0", bulks("q c"), "b a"),
        ("BRPOP q 0", bulks("q a"), "c b"),
        ("BLMPOP 0 1 q LEFT COUNT 2", Reply::Array(vec![bulk("q"), bulks("c b")]), "a"),
        ("BLMPOP 0 1 q RIGHT", Reply::Array(vec![bulk("q"), bulks("a")]), "c b"),
        ("BLMOVE q q LEFT RIGHT 0", bulk("c"), "b a c"),
        ("BLMOVE q q RIGHT RIGHT 0", bulk("a"), "c b a"),
        ("BRPOPLPUSH q q 0", bulk("a"), "a c b"),
    ] {
        let mut client = stage.waiting(1, line);
        stage.check("LPUSH q a b c", int(3));
        assert_eq!(client.read(), reply, "{line}");
        stage.check("LRANGE q 0 -1", bulks(left));
        stage.check("DEL q", int(1));
    }
}

#[test]
fn whatever_brings_the_list_wakes() {
    for (line, expected) in [
        ("LPUSH q a", "q a"),
        ("RPUSH q a b", "q a"),
        ("RENAME source q", "q s1"),
        ("RENAMENX source q", "q s1"),
        ("LMOVE source q LEFT LEFT", "q s1"),
        ("RPOPLPUSH source q", "q s2"),
        ("BLMOVE source q RIGHT LEFT 0", "q s2"),
        ("LINSERT q BEFORE a b", ""),
        ("COPY source q", "q s1"),
        ("SORT source ALPHA DESC STORE q", "q s2"),
    ] {
        let mut stage = Stage::new();
        stage.check("RPUSH source s1 s2", int(2));
        let mut client = stage.waiting(1, "BLPOP q 0");
        run(&mut stage.actor, line);
        if expected.is_empty() {
            stage.until_blocked(1);
        } else {
            assert_eq!(client.read(), bulks(expected), "{line}");
        }
    }
}

#[test]
fn lists_from_another_database_wake() {
    for line in ["SWAPDB 0 1", "SWAPDB 1 0", "MOVE q 1", "COPY q q DB 1"] {
        let mut stage = Stage::new();
        stage.check("RPUSH q a b", int(2));
        stage.check("RPUSH other a b", int(2));
        let mut clients = Vec::new();
        for nth in 1..=2 {
            let mut client = stage.server.connect();
            run(&mut client, "SELECT 1");
            begin(&mut client, "BLPOP nothing q 0");
            stage.until_blocked(nth);
            clients.push(client);
        }
        run(&mut stage.actor, line);
        assert_eq!(clients[0].read(), bulks("q a"), "{line}");
        assert_eq!(clients[1].read(), bulks("q b"), "{line}");
    }
}

#[test]
fn a_transaction_is_over_before_anybody_is_served() {
    let mut stage = Stage::new();
    let mut client = stage.waiting(1, "BLPOP q 0");
    let reply = stage.transact(&["LPUSH q a", "LPUSH q b", "LRANGE q 0 -1", "LPUSH q c"]);
    assert_eq!(reply, Reply::Array(vec![int(1), int(2), bulks("b a"), int(3)]));
    assert_eq!(client.read(), bulks("q c"));
    stage.check("LRANGE q 0 -1", bulks("b a"));
}

#[test]
fn what_is_gone_at_the_end_of_a_transaction_wakes_nobody() {
    let mut stage = Stage::new();
    let mut client = stage.waiting(1, "BLPOP q 0");
    stage.transact(&["LPUSH q a", "DEL q"]);
    stage.transact(&["LPUSH q a", "DEL q", "SET q v"]);
    stage.transact(&["DEL q", "LPUSH q a", "RENAME q other"]);
    stage.until_blocked(1);
    stage.check("LPUSH q b", int(1));
    assert_eq!(client.read(), bulks("q b"));
}

#[test]
fn another_type_under_the_key_wakes_nobody() {
    let mut stage = Stage::new();
    let mut client = stage.waiting(1, "BLPOP q 0");
    stage.check("SET q v", ok());
    stage.check("LPUSH q a", error(WRONG_TYPE));
    stage.until_blocked(1);
    stage.check("DEL q", int(1));
    stage.check("LPUSH q a", int(1));
    assert_eq!(client.read(), bulks("q a"));
}

#[test]
fn what_serves_one_serves_the_next() {
    let mut stage = Stage::new();
    let mut first = stage.waiting(1, "BLMOVE a b LEFT RIGHT 0");
    let mut second = stage.waiting(2, "BRPOPLPUSH b c 0");
    let mut third = stage.waiting(3, "BLPOP c 0");
    stage.check("LPUSH a x", int(1));
    assert_eq!(first.read(), bulk("x"));
    assert_eq!(second.read(), bulk("x"));
    assert_eq!(third.read(), bulks("c x"));
    stage.check("EXISTS a b c", int(0));
    stage.until_blocked(0);
}

#[test]
fn a_circle_ends_when_everybody_has_been_served() {
    let mut stage = Stage::new();
    let mut there = stage.waiting(1, "BRPOPLPUSH a b 0");
    let mut back = stage.waiting(2, "BRPOPLPUSH b a 0");
    let mut itself = stage.waiting(3, "BRPOPLPUSH a a 0");
    stage.check("RPUSH a x", int(1));
    for client in [&mut there, &mut back, &mut itself] {
        assert_eq!(client.read(), bulk("x"));
    }
    stage.check("LRANGE a 0 -1", bulks("x"));
    stage.check("EXISTS b", int(0));
}

#[test]
fn a_destination_of_a_wrong_type_is_an_error_that_costs_no_element() {
    let mut stage = Stage::new();
    stage.check("SET s v", ok());
    let mut first = stage.waiting(1, "BRPOPLPUSH q s 0");
    let mut second = stage.waiting(2, "BLMOVE q s LEFT LEFT 0");
    let mut third = stage.waiting(3, "BLPOP q 0");
    stage.check("RPUSH q a", int(1));
    assert_eq!(first.read(), error(WRONG_TYPE));
    assert_eq!(second.read(), error(WRONG_TYPE));
    assert_eq!(third.read(), bulks("q a"));
    let mut alone = stage.waiting(1, "BLMOVE q s LEFT LEFT 0");
    stage.check("RPUSH q b c", int(2));
    assert_eq!(alone.read(), error(WRONG_TYPE));
    stage.check("LRANGE q 0 -1", bulks("b c"));
    stage.check("GET s", bulk("v"));
}

#[test]
fn one_may_wait_for_several_keys() {
    let mut stage = Stage::new();
    let mut client = stage.waiting(1, "BLPOP a b b a 0");
    stage.check("LPUSH b 1", int(1));
    assert_eq!(client.read(), bulks("b 1"));
    let mut client = stage.waiting(1, "BLPOP a b b a 0");
    stage.check("LPUSH a 2", int(1));
    assert_eq!(client.read(), bulks("a 2"));
    // The key that was ready first, not the one named first.
    let mut client = stage.waiting(1, "BLMPOP 0 2 a b LEFT");
    stage.transact(&["RPUSH b 3", "RPUSH a 4"]);
    assert_eq!(client.read(), Reply::Array(vec![bulk("b"), bulks("3")]));
    stage.check("LRANGE a 0 -1", bulks("4"));
    // It is in no line any more.
    stage.check("RPUSH b 5", int(1));
    stage.check("LRANGE b 0 -1", bulks("5"));
}

#[test]
fn each_is_served_with_the_type_it_waits_for() {
    let mut stage = Stage::new();
    let mut sets = [stage.waiting(1, "BZPOPMIN k other 0"), stage.waiting(2, "BZMPOP 0 1 k MAX")];
    let mut list = stage.waiting(3, "BLPOP k 0");
    let mut last = stage.waiting(4, "BZPOPMAX k 0");
    stage.check("RPUSH k a", int(1));
    assert_eq!(list.read(), bulks("k a"));
    stage.until_blocked(3);
    stage.check("ZADD k 1 x 2 y 3 z", int(3));
    assert_eq!(sets[0].read(), bulks("k x 1"));
    let pair = Reply::Array(vec![bulks("z 3")]);
    assert_eq!(sets[1].read(), Reply::Array(vec![bulk("k"), pair]));
    assert_eq!(last.read(), bulks("k y 2"));
    stage.check("EXISTS k", int(0));
    let mut client = stage.waiting(1, "BZPOPMIN a b 0");
    stage.transact(&["ZADD b 1 x", "ZADD a 1 y"]);
    assert_eq!(client.read(), bulks("b x 1"));
}

#[test]
fn databases_have_lines_of_their_own() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect();
    run(&mut client, "SELECT 1");
    begin(&mut client, "BLPOP q 0");
    stage.until_blocked(1);
    stage.check("LPUSH q a", int(1));
    stage.until_blocked(1);
    stage.check("SELECT 1", ok());
    stage.check("LPUSH q b", int(1));
    assert_eq!(client.read(), bulks("q b"));
    stage.check("SELECT 0", ok());
    stage.check("LRANGE q 0 -1", bulks("a"));
}

#[test]
fn who_waits_in_vain_has_a_null() {
    for (hello, null) in [("HELLO 2", &b"*-1\r\n"[..]), ("HELLO 3", b"_\r\n")] {
        let mut stage = Stage::new();
        run(&mut stage.actor, hello);
        for line in [
            "BLPOP q 0.001",
            "BRPOP q p 0.02",
            "BLMPOP 0.0001 1 q LEFT",
            "BLMOVE q p LEFT LEFT 0.01",
            "BRPOPLPUSH q p 1e-9",
        ] {
            begin(&mut stage.actor, line);
            let bytes = stage.actor.read_bytes(null.len());
            assert_eq!(bytes, null, "{line}: {}", bytes.escape_ascii());
        }
        stage.until_blocked(0);
        stage.check("LPUSH q a", int(1));
        stage.check("LRANGE q 0 -1", bulks("a"));
    }
}

#[test]
fn in_a_transaction_nobody_waits() {
    for (line, null) in [
        ("BLPOP q 0", &b"*-1\r\n"[..]),
        ("BRPOP q 0", b"*-1\r\n"),
        ("BLMPOP 0 1 q LEFT", b"*-1\r\n"),
        ("BLMOVE q p LEFT LEFT 0", b"$-1\r\n"),
        ("BRPOPLPUSH q p 0", b"$-1\r\n"),
    ] {
        let mut stage = Stage::new();
        stage.check("MULTI", ok());
        stage.check(line, Reply::Simple("QUEUED".into()));
        stage.check("LPUSH q a", Reply::Simple("QUEUED".into()));
        stage.check(line, Reply::Simple("QUEUED".into()));
        begin(&mut stage.actor, "EXEC");
        let head = [b"*3\r\n", null, b":1\r\n"].concat();
        assert_eq!(stage.actor.read_bytes(head.len()), head, "{line}");
        assert!(matches!(stage.actor.read(), Reply::Array(_) | Reply::Bulk(_)), "{line}");
        stage.check("EXISTS q", int(0));
    }
}

#[test]
fn who_leaves_gives_up_its_place() {
    let mut stage = Stage::new();
    drop(stage.waiting(1, "BLPOP q 0"));
    stage.until_blocked(0);
    stage.check("LPUSH q a", int(1));
    stage.check("LRANGE q 0 -1", bulks("a"));
    stage.check("DEL q", int(1));

    let mut first = stage.waiting(1, "BLPOP p q 0");
    let second = stage.waiting(2, "BLPOP q p 0");
    let mut third = stage.waiting(3, "BLPOP q 0");
    drop(second);
    stage.until_blocked(2);
    stage.check("RPUSH q a b c", int(3));
    assert_eq!(first.read(), bulks("q a"));
    assert_eq!(third.read(), bulks("q b"));
    stage.check("LRANGE q 0 -1", bulks("c"));
}

#[test]
fn who_is_sent_away_gives_up_its_place() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect();
    let Reply::Integer(id) = run(&mut client, "CLIENT ID") else { panic!("no id") };
    for reason in ["TIMEOUT", "ERROR"] {
        begin(&mut client, "BLMOVE q p LEFT LEFT 0");
        stage.until_blocked(1);
        stage.check(&format!("CLIENT UNBLOCK {id} {reason}"), int(1));
        client.read();
        stage.until_blocked(0);
        stage.check(&format!("CLIENT UNBLOCK {id} {reason}"), int(0));
        stage.check("RPUSH q a", int(1));
        stage.check("LPOP q", bulk("a"));
    }
    begin(&mut client, "BLPOP q 0");
    stage.until_blocked(1);
    stage.check(&format!("CLIENT KILL ID {id}"), int(1));
    client.assert_closed();
    stage.until_blocked(0);
    stage.check("RPUSH q a", int(1));
    stage.check("LPOP q", bulk("a"));
}

#[test]
fn who_wants_no_replies_waits_as_well() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect();
    for line in ["PING", "CLIENT REPLY SKIP", "BLPOP q 0", "PING"] {
        begin(&mut client, line);
    }
    // What was answered before does not wait for it.
    assert_eq!(client.read(), Reply::Simple("PONG".into()));
    stage.until_blocked(1);
    stage.check("RPUSH q a", int(1));
    assert_eq!(client.read(), Reply::Simple("PONG".into()));
    stage.check("EXISTS q", int(0));
}

#[test]
fn who_says_that_it_will_send_no_more_has_left() {
    let mut stage = Stage::new();
    let mut client = stage.waiting(1, "BLPOP q 0");
    client.end_sending();
    client.assert_closed();
    stage.until_blocked(0);
}

#[test]
fn what_is_sent_behind_waits_too() {
    let mut stage = Stage::new();
    let mut client = stage.server.connect();
    let pipeline =
        [&["SET", "before", "1"][..], &["BLPOP", "q", "0"], &["SET", "k", "v"], &["GET", "k"]];
    for args in pipeline {
        begin(&mut client, &args.join(" "));
    }
    // What comes before is answered while it waits.
    assert_eq!(client.read(), ok());
    stage.until_blocked(1);
    begin(&mut client, "BRPOP q 0");
    begin(&mut client, "GET before");
    stage.check("EXISTS k", int(0));
    stage.check("RPUSH q a", int(1));
    assert_eq!(client.read(), bulks("q a"));
    assert_eq!(client.read(), ok());
    assert_eq!(client.read(), bulk("v"));
    stage.until_blocked(1);
    stage.check("RPUSH q b", int(1));
    assert_eq!(client.read(), bulks("q b"));
    assert_eq!(client.read(), bulk("1"));
}

#[test]
fn a_push_that_is_watched_for_may_be_that_of_one_who_waited() {
    let mut stage = Stage::new();
    let mut moving = stage.waiting(1, "BRPOPLPUSH q target 0");
    let mut watching = stage.server.connect();
    assert_eq!(run(&mut watching, "WATCH target"), ok());
    assert_eq!(run(&mut watching, "MULTI"), ok());
    run(&mut watching, "GET other");
    // Waiting changes nothing.
    assert_eq!(run(&mut watching, "EXEC"), Reply::Array(vec![Reply::Null]));
    assert_eq!(run(&mut watching, "WATCH target"), ok());
    stage.check("LPUSH q a", int(1));
    assert_eq!(moving.read(), bulk("a"));
    assert_eq!(run(&mut watching, "MULTI"), ok());
    run(&mut watching, "GET other");
    assert_eq!(run(&mut watching, "EXEC"), Reply::Null);
}

#[test]
fn a_command_that_is_undone_serves_nobody() {
    let mut stage = Stage::new();
    let client = stage.waiting(1, "BLPOP q 0");
    stage.check("RPUSH q", error("ERR wrong number of arguments for 'rpush' command"));
    stage.check("RPUSH other a", int(1));
    stage.check("SET s v", ok());
    stage.check("LMOVE s q LEFT LEFT", error(WRONG_TYPE));
    stage.until_blocked(1);
    drop(client);
}

#[test]
fn a_server_that_stops_waits_for_nobody_who_waits() {
    for line in ["SHUTDOWN", "SHUTDOWN NOW"] {
        let mut stage = Stage::new();
        let mut clients = [stage.waiting(1, "BLPOP q 0"), stage.waiting(2, "BLPOP q p 1000")];
        begin(&mut stage.actor, line);
        for client in &mut clients {
            client.assert_closed();
        }
        assert_eq!(stage.server.wait().code(), Some(0));
    }
    let mut stage = Stage::new();
    let mut client = stage.waiting(1, "BLPOP q 0");
    assert_eq!(stage.server.stop(Signal::TERM).code(), Some(0));
    client.assert_closed();
}

#[test]
fn what_a_client_was_told_outlives_the_server() {
    for engine in persistent_engines() {
        for bridge in ["pool", "blocking"] {
            let dir = tempfile::tempdir().unwrap();
            let place = dir.path().to_str().unwrap();
            let args =
                ["--engine", engine, "--dir", place, "--bridge", bridge, "--durability", "always"];
            let server = Server::start(&args);
            let (mut actor, mut client) = (server.connect(), server.connect());
            begin(&mut client, "BLMOVE from to LEFT LEFT 0");
            until_blocked(&mut actor, 1);
            begin(&mut actor, "RPUSH from a b");
            assert_eq!(client.read(), bulk("a"));
            server.stop(Signal::KILL);
            let server = Server::start(&args);
            let mut client = server.connect();
            assert_eq!(run(&mut client, "LRANGE from 0 -1"), bulks("b"));
            assert_eq!(run(&mut client, "LRANGE to 0 -1"), bulks("a"));
        }
    }
}

#[test]
fn many_who_wait_have_one_each() {
    const CLIENTS: usize = 200;
    let mut stage = Stage::new();
    let mut clients: Vec<_> =
        (1..=CLIENTS).map(|nth| stage.waiting(nth, "BLPOP other q 0")).collect();
    let elements: Vec<_> = (0..CLIENTS + 1).map(|n| n.to_string()).collect();
    stage.check(&format!("RPUSH q {}", elements.join(" ")), int(CLIENTS as i64 + 1));
    for (client, element) in clients.iter_mut().zip(&elements) {
        assert_eq!(client.read(), bulks(&format!("q {element}")));
    }
    stage.until_blocked(0);
    stage.check("LRANGE q 0 -1", bulks(&elements[CLIENTS]));
}

/// Those who wait come, are served and run out of time all at once; each element reaches one of them.
#[test]
fn no_element_is_lost_or_had_twice() {
    const ELEMENTS: usize = 2000;
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let server = Server::start(&["--engine", engine, "--dir", place, "--durability", "no"]);
        let (had, begun) = (Mutex::new(BTreeSet::new()), Instant::now());
        thread::scope(|scope| {
            for line in ["BLPOP q 0.001", "BLPOP p q 0.002", "BRPOP q 0.001", "BRPOP q p 0.003"] {
                let mut client = server.connect();
                let had = &had;
                scope.spawn(move || {
                    while had.lock().unwrap().len() < ELEMENTS {
                        assert!(begun.elapsed() < PATIENCE, "some never come");
                        if let Reply::Array(found) = run(&mut client, line) {
                            let element = found[1].text().to_owned();
                            assert!(had.lock().unwrap().insert(element), "{found:?} twice");
                        }
                    }
                });
            }
            let mut producer = server.connect();
            for n in 0..ELEMENTS {
                let key = if n % 3 == 0 { "p" } else { "q" };
                run(&mut producer, &format!("RPUSH {key} {n}"));
            }
        });
        let mut client = server.connect();
        assert_eq!(run(&mut client, "EXISTS p q"), int(0));
        assert_eq!(client.info("blocked_clients"), "0");
    }
}
