//! `MULTI`, `EXEC` and `DISCARD`, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::disallowed_methods, reason = "clients at the same time are threads")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Client, Reply, Server, ok};

const ABORTED: &str = "(error) EXECABORT Transaction discarded because of previous errors.";

/// The reply to a transaction of one `PING`: `[PONG]`, or `nil` if a watched key has changed.
fn exec(client: &mut Client) -> String {
    client.pipeline(&["MULTI", "PING", "EXEC"]).pop().unwrap()
}

#[test]
fn what_is_queued_runs_at_once_and_in_order() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.script(
        r#"
        MULTI -> OK
        SET a 1 -> QUEUED
        INCR a -> QUEUED
        GET a -> QUEUED
        PING -> QUEUED
        ECHO hello -> QUEUED
        EXISTS a b -> QUEUED
        UNWATCH -> QUEUED
        EXEC -> [OK 2 "2" PONG "hello" 1 OK]
        GET a -> "2"
        MULTI -> OK
        EXEC -> []
        MULTI -> OK
        DEL a -> QUEUED
        DISCARD -> OK
        GET a -> "2"
        "#,
    );
    // All of it as one pipeline, with something before and behind.
    let lines =
        ["SET a 5", "MULTI", "INCR a", "GET a", "EXEC", "GET a", "MULTI", "DISCARD", "PING"];
    let replies = client.pipeline(&lines);
    let expected = ["OK", "OK", "QUEUED", "QUEUED", r#"[6 "6"]"#, r#""6""#, "OK", "OK", "PONG"];
    assert_eq!(replies, expected);
}

#[test]
fn what_is_out_of_place_is_refused_and_harms_nothing() {
    let server = Server::in_memory(&[]);
    server.connect().script(
        "
        EXEC -> (error) ERR EXEC without MULTI
        EXEC 1 -> (error) EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
        WATCH w -> OK
        MULTI -> OK
        SET w 1 -> QUEUED
        EXEC 1 -> (error) EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
        GET w -> nil
        WATCH w -> OK
        EXEC 1 -> (error) EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command
        SET w 2 -> OK
        MULTI -> OK
        DEL w -> QUEUED
        EXEC -> [1]
        DISCARD -> (error) ERR DISCARD without MULTI
        MULTI -> OK
        MULTI -> (error) ERR MULTI calls can not be nested
        WATCH a -> (error) ERR WATCH inside MULTI is not allowed
        PING -> QUEUED
        EXEC -> [PONG]
        EXEC -> (error) ERR EXEC without MULTI
        UNWATCH -> OK
        ",
    );
}

#[test]
fn an_error_while_queueing_discards_all() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for wrong in ["NOSUCH", "GET", "SHUTDOWN NOW", "CLIENT NOSUCH"] {
        let replies = client.pipeline(&["MULTI", "SET a 1", wrong, "SET b 1", "EXEC"]);
        assert_eq!(replies[1], "QUEUED");
        assert!(replies[2].starts_with("(error) ERR"), "{wrong}: {}", replies[2]);
        assert_eq!(replies[4], ABORTED, "{wrong}");
        client.script(
            "
            PING -> PONG
            EXISTS a b -> 0
            EXEC -> (error) ERR EXEC without MULTI
            ",
        );
    }
    // It counts for more than a changed key, and the keys are watched no more afterwards.
    client.pipeline(&["WATCH a", "SET a 1", "MULTI", "NOSUCH"]);
    client.script(
        "
        EXEC -> (error) EXECABORT Transaction discarded because of previous errors.
        MULTI -> OK
        SHUTDOWN -> (error) ERR Command not allowed inside a transaction
        DISCARD -> OK
        ",
    );
    assert_eq!(exec(&mut client), "[PONG]");
}

#[test]
fn an_error_inside_undoes_that_command_alone() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let long = "k".repeat(70_000);
    let replies = client.pipeline(&[
        "MULTI",
        "SET a x",
        "INCR a",
        &format!("MSET b 1 {long} 2"),
        "APPEND a y",
        "CONFIG SET no-such-setting 1",
        "SELECT 99",
        "SET c 3",
        "EXEC",
    ]);
    let Some(reply) = replies.last() else { panic!() };
    let expected = "[OK (error) ERR value is not an integer or out of range (error) ERR key exceeds \
                    maximum allowed size (65536 bytes) 2 (error) ERR";
    assert!(reply.starts_with(expected), "{reply}");
    assert!(reply.ends_with("(error) ERR DB index is out of range OK]"), "{reply}");
    client.script(
        r#"
        MGET a b c -> ["xy" nil "3"]
        DBSIZE -> 2
        "#,
    );
}

#[test]
fn all_of_it_goes_by_one_reading_of_the_clock() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let mut lines = vec!["MULTI", "SET a 1 PX 5000"];
    lines.extend(["PTTL a"; 2000]);
    lines.push("EXEC");
    let reply = client.pipeline(&lines).pop().unwrap();
    assert_eq!(reply, format!("[OK{}]", " 5000".repeat(2000)));
}

#[test]
fn the_selected_database_lasts_if_it_runs() {
    let server = Server::in_memory(&[]);
    server.connect().script(
        r#"
        SET a zero -> OK
        MULTI -> OK
        GET a -> QUEUED
        SELECT 3 -> QUEUED
        SET a three -> QUEUED
        GET a -> QUEUED
        EXEC -> ["zero" OK OK "three"]
        GET a -> "three"
        MULTI -> OK
        SELECT 4 -> QUEUED
        DISCARD -> OK
        GET a -> "three"
        WATCH a -> OK
        SET a three -> OK
        MULTI -> OK
        SELECT 4 -> QUEUED
        EXEC -> nil
        GET a -> "three"
        MULTI -> OK
        SELECT 0 -> QUEUED
        CLIENT SETNAME inside -> QUEUED
        EXEC -> [OK OK]
        GET a -> "zero"
        CLIENT GETNAME -> "inside"
        "#,
    );
}

#[test]
fn replies_are_in_the_protocol_that_is_spoken() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let lines = ["MULTI", "GET missing", "COMMAND INFO nosuch", "COMMAND DOCS get", "EXEC"];
    let reply = client.pipeline(&lines).pop().unwrap();
    assert!(reply.starts_with(r#"[nil [nil] ["get" ["summary" "#), "{reply}");
    client.run("HELLO 3");
    let reply = client.pipeline(&lines).pop().unwrap();
    assert!(reply.starts_with(r#"[nil [nil] {"get" {"summary" "#), "{reply}");
    // A null of its own, which is not the one of RESP2.
    client.pipeline(&["WATCH a", "SET a 1", "MULTI"]);
    client.send(b"EXEC\r\n");
    assert_eq!(client.read_bytes(3), b"_\r\n");
    client.run("HELLO 2");
    client.pipeline(&["WATCH a", "SET a 1", "MULTI"]);
    client.send(b"EXEC\r\n");
    assert_eq!(client.read_bytes(5), b"*-1\r\n");
    // From one to the other in the middle.
    let docs = "COMMAND DOCS nosuch";
    let replies = client.pipeline(&["MULTI", docs, "HELLO 3", docs, "EXEC", docs]);
    assert!(replies[4].starts_with(r#"[[] {"server" "redis""#), "{}", replies[4]);
    assert!(replies[4].ends_with("} {}]"), "{}", replies[4]);
    assert_eq!(replies[5], "{}");
}

#[test]
fn command_tells_what_kinds_of_commands_they_are() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let fast = "[noscript loading stale fast allow_busy]";
    for (name, arity, flags, keys) in [
        ("multi", 1, fast, "0 0 0"),
        ("exec", 1, "[noscript loading stale skip_slowlog]", "0 0 0"),
        ("discard", 1, fast, "0 0 0"),
        ("watch", -2, fast, "1 -1 1"),
        ("unwatch", 1, fast, "0 0 0"),
    ] {
        let info = client.run(&format!("COMMAND INFO {name}"));
        let expected = format!("[[\"{name}\" {arity} {flags} {keys} [@transaction @");
        assert!(info.starts_with(&expected), "{info}");
    }
}

#[test]
fn leaving_in_the_middle_runs_nothing() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    client.pipeline(&["MULTI", "SET a 1"]);
    assert_eq!(client.run("RESET"), "RESET");
    assert_eq!(client.run("EXEC"), "(error) ERR EXEC without MULTI");
    let mut leaving = server.connect();
    leaving.pipeline(&["MULTI", "SET a 1"]);
    leaving.end_sending();
    leaving.assert_closed();
    let mut quitting = server.connect();
    assert_eq!(quitting.pipeline(&["MULTI", "SET a 1", "QUIT"])[2], "OK");
    quitting.assert_closed();
    assert_eq!(client.run("EXISTS a"), "0");
}

#[test]
fn what_would_wait_does_not() {
    let server = Server::in_memory(&[]);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.script(
        r#"
        MULTI -> OK
        BLPOP l 0 -> QUEUED
        BRPOPLPUSH l m 0 -> QUEUED
        BLMOVE l m LEFT LEFT 0 -> QUEUED
        BLMPOP 0 1 l LEFT -> QUEUED
        BZPOPMIN z 0 -> QUEUED
        RPUSH l a b -> QUEUED
        BLPOP l 0 -> QUEUED
        EXEC -> [nil nil nil nil nil 2 ["l" "a"]]
        RPOP l -> "b"
        "#,
    );
    // Who waits is served after all of a transaction, with what it has left.
    other.send(b"BLPOP l 0\r\n");
    while client.info("blocked_clients") != "1" {}
    client.script(
        r#"
        MULTI -> OK
        RPUSH l x -> QUEUED
        LPOP l -> QUEUED
        RPUSH l y z -> QUEUED
        EXEC -> [1 "x" 2]
        "#,
    );
    assert_eq!(other.read().to_string(), r#"["l" "y"]"#);
    client.script(r#"LRANGE l 0 -1 -> ["z"]"#);
    // And by what another database brings.
    client.run("DEL l");
    other.send(b"BLPOP l 0\r\n");
    while client.info("blocked_clients") != "1" {}
    client.pipeline(&["SELECT 1", "RPUSH l s", "SWAPDB 0 1"]);
    assert_eq!(other.read().to_string(), r#"["l" "s"]"#);
}

#[test]
fn what_walks_many_keys_sees_what_the_transaction_did() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let mut lines = vec!["MULTI".to_owned()];
    lines.extend((0..3000).map(|key| format!("SET key:{key} 1")));
    lines.extend(["KEYS key:29*".into(), "DBSIZE".into(), "FLUSHDB".into(), "KEYS *".into()]);
    lines.push("EXEC".into());
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    client.pipeline(&lines[..lines.len() - 1]);
    let Reply::Array(replies) = client.call(&["EXEC"]) else { panic!() };
    let [.., keys, size, flushed, nothing] = replies.as_slice() else { panic!() };
    let Reply::Array(keys) = keys else { panic!() };
    assert_eq!(keys.len(), 111);
    assert_eq!(size, &Reply::Integer(3000));
    assert_eq!(flushed, &ok());
    assert_eq!(nothing, &Reply::Array(vec![]));
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
fn nobody_sees_half_of_a_transaction() {
    with_each_bridge(|server| {
        let is_over = Arc::new(AtomicBool::new(false));
        with_clients(server, 4, |mut client, number_of_client| {
            if number_of_client == 0 {
                for round in 0..300 {
                    let set =
                        [format!("SET a {round}"), "SET b x".into(), format!("SET b {round}")];
                    let reply =
                        client.pipeline(&["MULTI", &set[0], &set[1], &set[2], "EXEC"]).pop();
                    assert_eq!(reply.unwrap(), "[OK OK OK]");
                }
                is_over.store(true, Ordering::Relaxed);
                return;
            }
            let mut latest = -1;
            while !is_over.load(Ordering::Relaxed) {
                let Reply::Array(both) = client.call(&["MGET", "a", "b"]) else { panic!() };
                assert_eq!(both[0], both[1]);
                if both[0] != Reply::Null {
                    // Nor does anybody see an earlier one after a later one.
                    assert!(number(&both[0]) >= latest);
                    latest = number(&both[0]);
                }
            }
        });
    });
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let args =
        ["--engine", "redb", "--durability", "always", "--dir", dir.path().to_str().unwrap()];
    let server = Server::start(&args);
    let mut client = server.connect();
    let replies = client.pipeline(&["MULTI", "SET a 1", "INCR a", "SELECT 1", "SET b 2", "EXEC"]);
    assert_eq!(replies[5], "[OK 2 OK OK]");
    server.stop(rustix::process::Signal::KILL);
    Server::start(&args).connect().script(
        r#"
        GET a -> "2"
        SELECT 1 -> OK
        GET b -> "2"
        "#,
    );
}

fn number(reply: &Reply) -> i64 {
    reply.text().parse().unwrap()
}
