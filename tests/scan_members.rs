//! `HSCAN` and `SSCAN` return every member that is there throughout, exactly once, whatever else comes and
//! goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeMap;

use bytes::Bytes;
use harness::{START_MS, Shell, with_each_persistent_engine};
use pontoon::data::{DbWriter, Editor, Kind, RunState};
use proptest::prelude::*;

/// One call: the next cursor and what it returned.
fn scan(shell: &mut Shell, line: &str) -> (String, Vec<String>) {
    let reply = shell.run(line);
    let inside = reply.strip_prefix("[\"").expect(&reply).strip_suffix("]]").unwrap();
    let (cursor, parts) = inside.split_once("\" [").unwrap();
    let parts = parts.split(' ').filter(|part| !part.is_empty());
    (cursor.to_owned(), parts.map(|part| part.trim_matches('"').to_owned()).collect())
}

/// A whole iteration over a set, with `between` run after each call: how often each member came.
fn iterate(
    shell: &mut Shell,
    options: &str,
    mut between: impl FnMut(&mut Shell),
) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    let mut cursor = "0".to_owned();
    loop {
        let (next, members) = scan(shell, &format!("SSCAN s {cursor} {options}"));
        for member in members {
            *seen.entry(member).or_default() += 1;
        }
        if next == "0" {
            return seen;
        }
        assert!(next.parse::<u64>().unwrap() > cursor.parse::<u64>().unwrap());
        cursor = next;
        between(shell);
    }
}

fn fill(shell: &mut Shell, name: &str, size: usize) {
    let line = (0..size).fold("SADD s".to_owned(), |line, n| line + &format!(" {name}:{n}"));
    shell.check(&line, &size.to_string());
}

#[test]
fn a_packed_one_is_returned_whole() {
    let mut shell = Shell::new();
    fill(&mut shell, "m", 50);
    let (cursor, members) = scan(&mut shell, "SSCAN s 0 COUNT 3");
    assert_eq!((cursor.as_str(), members.len()), ("0", 50));
    // A cursor from when it was large.
    let (cursor, members) = scan(&mut shell, "SSCAN s 9000000000000000000 COUNT 3");
    assert_eq!((cursor.as_str(), members.len()), ("0", 50));
    shell.run("HSET h f v g w");
    let (_, parts) = scan(&mut shell, "HSCAN h 0");
    let mut pairs: Vec<_> = parts.chunks(2).map(<[String]>::concat).collect();
    pairs.sort();
    assert_eq!(pairs, ["fv", "gw"]);
}

#[test]
fn options_and_errors() {
    let mut shell = Shell::new();
    fill(&mut shell, "m", 300);
    shell.run("HSET h one 1 two 2 three 3");
    assert_eq!(iterate(&mut shell, "MATCH m:1*", |_| {}).len(), 111);
    assert_eq!(iterate(&mut shell, "COUNT 7 match *9", |_| {}).len(), 30);
    assert_eq!(iterate(&mut shell, "MATCH x*", |_| {}).len(), 0);
    for (count, returned) in [("", 10), ("COUNT 37", 37), ("COUNT 299", 299)] {
        let (cursor, members) = scan(&mut shell, &format!("SSCAN s 0 {count}"));
        assert_eq!((cursor == "0", members.len()), (false, returned));
    }
    for count in ["300", "9223372036854775807"] {
        let (cursor, members) = scan(&mut shell, &format!("SSCAN s 0 COUNT {count}"));
        assert_eq!((cursor.as_str(), members.len()), ("0", 300));
    }
    // Only fields are matched.
    let (_, parts) = scan(&mut shell, "HSCAN h 0 MATCH t*");
    assert_eq!(parts.len(), 4);
    assert_eq!(scan(&mut shell, "HSCAN h 0 MATCH 2").1.len(), 0);
    shell.script(
        r#"
        SSCAN s 18446744073709551615 -> ["0" []]
        SSCAN s x -> (error) ERR invalid cursor
        SSCAN none x -> (error) ERR invalid cursor
        SSCAN none 0 WHAT -> ["0" []]
        SSCAN s 0 COUNT 0 -> (error) ERR syntax error
        SSCAN s 0 COUNT x -> (error) ERR value is not an integer or out of range
        SSCAN s 0 COUNT -> (error) ERR syntax error
        SSCAN s 0 TYPE set -> (error) ERR syntax error
        HSCAN h 0 NOVALUES -> (error) ERR syntax error
        SSCAN s -> (error) ERR wrong number of arguments for 'sscan' command
        "#,
    );
}

#[test]
fn a_call_ends_early_when_it_comes_to_megabytes() {
    let mut shell = Shell::new();
    let value = vec![b'v'; 300 << 10];
    for n in 0..40 {
        shell.run_args(&[b"HSET", b"h", format!("f{n}").as_bytes(), &value]);
    }
    let (mut cursor, mut fields, mut calls) = ("0".to_owned(), 0, 0);
    loop {
        let (next, parts) = scan(&mut shell, &format!("HSCAN h {cursor} COUNT 1000"));
        assert!(parts.len() / 2 < 20, "{}", parts.len());
        (cursor, fields, calls) = (next, fields + parts.len() / 2, calls + 1);
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(fields, 40);
    assert!(calls > 2);
}

/// Puts members under hashes of our choice, with others beside them to make it large.
fn put_at(shell: &Shell, members: &'static [(u64, &'static str)]) {
    shell.update(move |tx, databases| {
        let mut state = RunState::new(databases, START_MS);
        let mut db = DbWriter::new(tx, &mut state, 0);
        let mut editor = Editor::open(&mut db, &Bytes::from_static(b"s"), Kind::Set)?;
        editor.collection.unpack(&mut db)?;
        for (hash, member) in members {
            let subkey = [&hash.to_be_bytes()[..], member.as_bytes()].concat();
            editor.collection.put(&mut db, &subkey, Bytes::new())?;
        }
        editor.collection.set_size(members.len() as u64);
        editor.save(&mut db)?;
        Ok(state.write_books(tx)?)
    });
}

#[test]
fn equal_hashes_come_together_and_the_ends_of_the_range_once() {
    const MAX: u64 = (1 << 63) - 1;
    const MEMBERS: &[(u64, &str)] = &[
        (0, "zero"),
        (0, "zero-too"),
        (1, "one"),
        (7, "a"),
        (7, "b"),
        (7, "c"),
        (7, "d"),
        (9, "nine"),
        (MAX, "last"),
        (MAX, "last-too"),
    ];
    for count in 1..8 {
        let mut shell = Shell::new();
        put_at(&shell, MEMBERS);
        let mut calls = vec![];
        let mut cursor = "0".to_owned();
        loop {
            let (next, members) = scan(&mut shell, &format!("SSCAN s {cursor} COUNT {count}"));
            calls.push(members);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        let all: Vec<_> = calls.concat();
        let expected: Vec<_> = MEMBERS.iter().map(|(_, member)| *member).collect();
        assert_eq!(all, expected, "COUNT {count}");
        for group in [["zero", "zero-too"], ["a", "d"], ["last", "last-too"]] {
            let call = calls.iter().find(|call| call.iter().any(|m| m == group[0])).unwrap();
            assert!(call.iter().any(|member| member == group[1]), "COUNT {count}: {calls:?}");
        }
    }
}

#[test]
fn a_cursor_outlives_the_process() {
    with_each_persistent_engine(|open| {
        let mut shell = open();
        fill(&mut shell, "m", 200);
        let (cursor, mut seen) = scan(&mut shell, "SSCAN s 0 COUNT 75");
        shell.close();
        let mut shell = open();
        let (end, rest) = scan(&mut shell, &format!("SSCAN s {cursor} COUNT 200"));
        assert_eq!((end.as_str(), seen.len(), rest.len()), ("0", 75, 125));
        seen.extend(rest);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 200);
        shell.close();
    });
}

#[derive(Debug, Clone)]
enum Change {
    Add(u32),
    Remove(u32),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![(0..200u32).prop_map(Change::Add), (0..200u32).prop_map(Change::Remove)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn members_that_stay_are_returned_once(
        count in 1..12usize,
        changes in prop::collection::vec(prop::collection::vec(change(), 0..6), 60),
    ) {
        let mut shell = Shell::new();
        fill(&mut shell, "stays", 40);
        fill(&mut shell, "comes", 100);
        let mut changes = changes.into_iter();
        let seen = iterate(&mut shell, &format!("COUNT {count}"), |shell| {
            for change in changes.next().unwrap_or_default() {
                match change {
                    Change::Add(n) => shell.run(&format!("SADD s comes:{n}")),
                    Change::Remove(n) => shell.run(&format!("SREM s comes:{n}")),
                };
            }
        });
        for n in 0..40 {
            prop_assert_eq!(seen.get(&format!("stays:{n}")), Some(&1), "stays:{}", n);
        }
        prop_assert!(seen.values().all(|&times| times == 1), "{:?}", seen);
    }
}
