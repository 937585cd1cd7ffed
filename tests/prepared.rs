//! Commands that walk far and write: they read first, and write if nothing of what they read has changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;
mod harness;

use std::sync::atomic::Ordering::Relaxed;

use common::{Reply, Server};
use harness::Shell;

/// A shell with a list whose elements have weights.
fn shell() -> Shell {
    let mut shell = Shell::new();
    shell.script(
        "
        RPUSH l a b c -> 3
        MSET w_a 3 w_b 2 w_c 1 v_a A v_b B v_c C other 1 -> OK
        ",
    );
    shell
}

const SORT: &str = "SORT l BY w_* GET v_* STORE to";

#[track_caller]
fn check(line: &str, between: &str, reply: &str, list: &str) {
    let mut shell = shell();
    let got = shell.run_prepared(line, |shell| {
        shell.run(between);
    });
    assert_eq!(got, reply, "{line} with {between}");
    shell.check("LRANGE to 0 -1", list);
    assert!(shell.server.watches.is_empty());
}

#[test]
fn a_change_of_anything_it_has_read_counts() {
    check(SORT, "PING", "3", r#"["C" "B" "A"]"#);
    check(SORT, "SET other 2", "3", r#"["C" "B" "A"]"#);
    check(SORT, "RPUSH l d", "4", r#"["" "C" "B" "A"]"#);
    check(SORT, "DEL l", "0", "[]");
    check(SORT, "RENAME l to", "0", "[]");
    check(SORT, "SET w_c 9", "3", r#"["B" "A" "C"]"#);
    check(SORT, "DEL w_a", "3", r#"["A" "C" "B"]"#);
    check(SORT, "SET v_b x", "3", r#"["C" "x" "A"]"#);
    check(SORT, "RENAME other v_b", "3", r#"["C" "1" "A"]"#);
    check(SORT, "FLUSHALL", "0", "[]");
    check(SORT, "SWAPDB 0 1", "0", "[]");
    let error = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";
    check(SORT, "SET l x", error, "[]");
    // What it is going to replace may change as it likes.
    check(SORT, "RPUSH to x", "3", r#"["C" "B" "A"]"#);
    check(SORT, "SET to x", "3", r#"["C" "B" "A"]"#);
    // More patterns than are looked at one by one.
    let many = format!("SORT l{} STORE to", " GET v_*".repeat(20));
    let many_of = |each: [&str; 3]| {
        let values: Vec<_> =
            each.iter().map(|value| vec![format!("\"{value}\""); 20].join(" ")).collect();
        format!("[{}]", values.join(" "))
    };
    let by_weight = many.replace("SORT l", "SORT l BY w_*");
    check(&by_weight, "SET v_c x", "60", &many_of(["x", "B", "A"]));
}

#[test]
fn nothing_is_read_twice_if_nothing_has_changed() {
    let hits = |between: &str| {
        let mut shell = shell();
        let stats = |shell: &Shell| shell.server.stats.keyspace_hits.load(Relaxed);
        let before = stats(&shell);
        shell.run_prepared(SORT, |shell| {
            shell.run(between);
        });
        stats(&shell) - before
    };
    // The list, and the two of each element.
    assert_eq!(hits("SET other 2"), 7);
    assert_eq!(hits("SET w_a 2"), 14);
}

#[test]
fn a_time_that_comes_in_between_counts() {
    let mut shell = shell();
    shell.run("PEXPIRE l 100");
    let reply = shell.run_prepared(SORT, |shell| shell.now_ms += 101);
    assert_eq!(reply, "0");
    shell.check("EXISTS l to", "0");
}

#[test]
fn copies_and_moves() {
    for (line, between, reply, after) in [
        ("COPY l to", "PING", "1", r#"["a" "b" "c"]"#),
        ("COPY l to", "RPUSH l d", "1", r#"["a" "b" "c" "d"]"#),
        ("COPY l to", "DEL l", "0", "[]"),
        ("COPY l to", "RPUSH to x", "0", r#"["x"]"#),
        ("COPY l to REPLACE", "RPUSH to x", "1", r#"["a" "b" "c"]"#),
        ("COPY l to REPLACE", "SET to x", "1", r#"["a" "b" "c"]"#),
        ("MOVE l 1", "PING", "1", "[]"),
    ] {
        check(line, between, reply, after);
    }
    let mut shell = shell();
    let reply = shell.run_prepared("MOVE l 1", |shell| {
        shell.script(
            "
            SELECT 1 -> OK
            SET l x -> OK
            SELECT 0 -> OK
            ",
        );
    });
    assert_eq!(reply, "0");
    shell.check("LLEN l", "3");
    let reply = shell.run_prepared("COPY l to DB 1", |shell| {
        shell.run("RPUSH l d");
    });
    assert_eq!(reply, "1");
    shell.script(
        r#"
        SELECT 1 -> OK
        LRANGE to 0 -1 -> ["a" "b" "c" "d"]
        "#,
    );
}

/// Over sockets, with values that are far to walk.
#[test]
fn large_values() {
    const LEN: usize = 1500;
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let numbers: Vec<String> = (0..LEN).map(|number| (number * 1237 % 1511).to_string()).collect();
    for chunk in numbers.chunks(1000) {
        client.run(&format!("RPUSH l {}", chunk.join(" ")));
    }
    let mut sorted: Vec<u32> = numbers.iter().map(|number| number.parse().unwrap()).collect();
    sorted.sort_unstable();
    let list = |client: &mut common::Client, line: &str| -> Vec<u32> {
        let words: Vec<&str> = line.split(' ').collect();
        let Reply::Array(elements) = client.call(&words) else { panic!("{line}") };
        elements.iter().map(|element| element.text().parse().unwrap()).collect()
    };
    assert_eq!(client.run("SORT l STORE to"), LEN.to_string());
    assert!(list(&mut client, "LRANGE to 0 -1") == sorted);
    assert!(list(&mut client, "SORT l") == sorted);
    assert!(list(&mut client, "SORT_RO l BY w_*").len() == LEN);
    assert_eq!(client.run("COPY to copy"), "1");
    assert_eq!(client.run("RPUSH to 1"), (LEN + 1).to_string());
    assert!(list(&mut client, "LRANGE copy 0 -1") == sorted);
    assert_eq!(client.run("MOVE copy 3"), "1");
    client.script(
        "
        EXISTS copy -> 0
        MULTI -> OK
        SORT l STORE to -> QUEUED
        COPY to copy -> QUEUED
        SELECT 3 -> QUEUED
        MOVE copy 0 -> QUEUED
        SORT copy STORE to -> QUEUED
        EXEC -> [1500 1 OK 0 1500]
        ",
    );
    assert!(list(&mut client, "LRANGE to 0 -1") == sorted);
    // In one run with others, before and behind.
    let lines = ["SET a 1", "SORT to STORE again", "LLEN again", "SORT x", "COPY to again REPLACE"];
    assert_eq!(client.pipeline(&lines), ["OK", "1500", "1500", "[]", "1"]);
    assert_eq!(client.run("SET to x"), "OK");
    let error = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";
    assert_eq!(client.run("SORT to STORE again"), error);
    client.run("SELECT 0");
    client.run("RPUSH l x");
    let error = "(error) ERR One or more scores can't be converted into double";
    assert_eq!(client.run("SORT l STORE to"), error);
    assert_eq!(client.run("LLEN to"), LEN.to_string());
}
