//! Lists too long to be walked where others wait: over sockets, since the lanes matter.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::thread;

use common::{Client, Reply, Server, bulk, encode, persistent_engines};

const LEN: usize = 5000;

fn run(client: &mut Client, line: &str) -> Reply {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    client.send(&encode(&words));
    client.read()
}

#[track_caller]
fn check(client: &mut Client, line: &str, reply: Reply) {
    assert_eq!(run(client, line), reply, "{line}");
}

fn int(number: usize) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap())
}

fn texts(reply: &Reply) -> Vec<&str> {
    let Reply::Array(elements) = reply else { panic!("no array: {reply:?}") };
    elements.iter().map(Reply::text).collect()
}

/// A list of "0" to "4999" at `l`.
fn fill(client: &mut Client) -> Vec<String> {
    let elements: Vec<_> = (0..LEN).map(|n| n.to_string()).collect();
    check(client, &format!("RPUSH l {}", elements.join(" ")), int(LEN));
    elements
}

#[test]
fn a_long_list_is_searched_and_changed_in_the_middle() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let server = Server::start(&["--engine", engine, "--dir", place, "--durability", "no"]);
        let mut client = server.connect();
        let mut model = fill(&mut client);
        check(&mut client, "LPOS l 4000", int(4000));
        check(&mut client, "LPOS l none", Reply::Null);
        check(&mut client, "LPOS l 10 RANK -1", int(10));
        check(&mut client, "LPOS l 4999 MAXLEN 1000", Reply::Null);
        check(&mut client, "LINSERT l BEFORE none x", Reply::Integer(-1));
        for (line, index) in [
            ("LINSERT l BEFORE 4000 x", 4000),
            ("LINSERT l AFTER 1500 x", 1501),
            ("LINSERT l AFTER 4999 x", LEN + 2),
            ("LINSERT l BEFORE 3 x", 3),
        ] {
            model.insert(index, "x".into());
            check(&mut client, line, int(model.len()));
        }
        assert_eq!(texts(&run(&mut client, "LRANGE l 0 -1")), model);
        check(&mut client, "LREM l -1 3000", int(1));
        check(&mut client, "LREM l 1 2000", int(1));
        check(&mut client, "LREM l 0 x", int(4));
        check(&mut client, "LREM l 0 x", int(0));
        check(&mut client, "LREM l 0 x", int(0));
        model.retain(|element| !["x", "2000", "3000"].contains(&element.as_str()));
        assert_eq!(texts(&run(&mut client, "LRANGE l 0 -1")), model);
        check(&mut client, "LINDEX l -1", bulk("4999"));
        // Behind a walk in a pipeline the order is kept.
        for line in ["LREM l 0 4000", "LLEN l", "LPOS l 4999", "LPOP l"] {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            client.send(&encode(&words));
        }
        assert_eq!(client.read(), int(1));
        assert_eq!(client.read(), int(LEN - 3));
        assert_eq!(client.read(), int(LEN - 4));
        assert_eq!(client.read(), bulk("0"));
    }
}

/// A change in the middle is worked out while others push and pop, and must not bring back or lose what
/// they do.
#[test]
fn changes_in_the_middle_lose_nothing_of_others() {
    const ROUNDS: usize = 25;
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    let elements = fill(&mut client);
    thread::scope(|scope| {
        for name in ["left", "right"] {
            let mut client = server.connect();
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    let command = if name == "left" { "LPUSH" } else { "RPUSH" };
                    run(&mut client, &format!("{command} l {name}{n} gone{name}{n}"));
                    let command = if name == "left" { "LPOP" } else { "RPOP" };
                    check(&mut client, &format!("{command} l"), bulk(format!("gone{name}{n}")));
                }
            });
        }
        for part in 0..2 {
            let mut client = server.connect();
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    let element = 1500 + 1000 * part + n;
                    check(&mut client, &format!("LREM l 0 {element}"), int(1));
                    run(&mut client, &format!("LINSERT l AFTER {} new{element}", element + 500));
                }
            });
        }
    });
    let removed =
        |n: usize| (1500..1500 + ROUNDS).contains(&n) || (2500..2500 + ROUNDS).contains(&n);
    let mut expected: BTreeSet<String> =
        elements.into_iter().filter(|element| !removed(element.parse().unwrap())).collect();
    for n in 0..ROUNDS {
        expected.extend(["left", "right"].map(|name| format!("{name}{n}")));
        expected.extend([1500, 2500].map(|first| format!("new{}", first + n)));
    }
    let reply = run(&mut client, "LRANGE l 0 -1");
    let found = texts(&reply);
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().map(String::from).collect::<BTreeSet<_>>(), expected);
}
