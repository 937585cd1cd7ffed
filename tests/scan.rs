//! `SCAN` returns every key that is there throughout, exactly once, whatever else comes and goes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeMap;

use harness::{Shell, with_each_persistent_engine};
use pontoon::data::encoding::{self, Record};
use proptest::prelude::*;

/// One call: the next cursor and the keys.
fn scan(shell: &mut Shell, cursor: &str, options: &str) -> (String, Vec<String>) {
    let reply = shell.run(&format!("SCAN {cursor} {options}"));
    let inside = reply.strip_prefix("[\"").unwrap().strip_suffix("]]").unwrap();
    let (cursor, keys) = inside.split_once("\" [").unwrap();
    let keys = keys.split(' ').filter(|key| !key.is_empty());
    (cursor.to_owned(), keys.map(|key| key.trim_matches('"').to_owned()).collect())
}

/// A whole iteration, with `between` run after each call: how often each key came.
fn iterate(
    shell: &mut Shell,
    options: &str,
    mut between: impl FnMut(&mut Shell),
) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    let mut cursor = "0".to_owned();
    loop {
        let (next, keys) = scan(shell, &cursor, options);
        for key in keys {
            *seen.entry(key).or_default() += 1;
        }
        if next == "0" {
            return seen;
        }
        assert!(next.parse::<u64>().unwrap() > cursor.parse::<u64>().unwrap());
        cursor = next;
        between(shell);
    }
}

#[test]
fn a_call_ends_early_when_its_keys_are_long() {
    let mut shell = Shell::new();
    let padding = "k".repeat(60_000);
    for index in 0..100 {
        shell.check(&format!("SET {padding}{index} v"), "OK");
    }
    let (cursor, keys) = scan(&mut shell, "0", "COUNT 1000");
    assert_ne!(cursor, "0");
    assert!((1..100).contains(&keys.len()), "{}", keys.len());
    let seen = iterate(&mut shell, "COUNT 1000", |_| {});
    assert_eq!(seen.len(), 100);
    assert!(seen.values().all(|times| *times == 1));
}

#[test]
fn options_and_errors() {
    let mut shell = Shell::new();
    shell.run("MSET one 1 two 2 three 3");
    assert_eq!(iterate(&mut shell, "MATCH t*", |_| {}).len(), 2);
    assert_eq!(iterate(&mut shell, "COUNT 1 MATCH *o* TYPE string", |_| {}).len(), 2);
    assert_eq!(iterate(&mut shell, "TYPE STRING", |_| {}).len(), 3);
    assert_eq!(iterate(&mut shell, "TYPE hash", |_| {}).len(), 0);
    assert_eq!(iterate(&mut shell, "TYPE nonsense", |_| {}).len(), 0);
    shell.script(
        r#"
        SCAN '' COUNT 9 TYPE hash -> ["0" []]
        SCAN x -> (error) ERR invalid cursor
        SCAN -1 -> ["0" []]
        SCAN -+1 -> (error) ERR invalid cursor
        SCAN --1 -> (error) ERR invalid cursor
        SCAN 18446744073709551616 -> (error) ERR invalid cursor
        SCAN 18446744073709551615 -> ["0" []]
        SCAN 0 COUNT 0 -> (error) ERR syntax error
        SCAN 0 COUNT -5 -> (error) ERR syntax error
        SCAN 0 COUNT x -> (error) ERR value is not an integer or out of range
        SCAN 0 COUNT -> (error) ERR syntax error
        SCAN 0 WHAT 1 -> (error) ERR syntax error
        SCAN -> (error) ERR wrong number of arguments for 'scan' command
        "#,
    );
}

#[test]
fn a_call_looks_at_about_count_keys() {
    let mut shell = Shell::new();
    for n in 0..100 {
        shell.run(&format!("SET key:{n} 1"));
    }
    let (_, keys) = scan(&mut shell, "0", "");
    assert_eq!(keys.len(), 10);
    let (_, keys) = scan(&mut shell, "0", "COUNT 37");
    assert_eq!(keys.len(), 37);
    let (cursor, keys) = scan(&mut shell, "0", "COUNT 100");
    assert_eq!((cursor.as_str(), keys.len()), ("0", 100));
    let (cursor, keys) = scan(&mut shell, "0", "COUNT 9223372036854775807");
    assert_eq!((cursor.as_str(), keys.len()), ("0", 100));
}

/// Puts a key under a hash of our choice.
fn put_at(shell: &Shell, hash: u64, key: &'static str) {
    shell.update(move |tx, databases| {
        let record = Record::inline_string("v".into(), None);
        // The first database has the first namespace.
        let stored = encoding::record_key(1, hash, key.as_bytes());
        Ok(tx.put(databases.meta(), stored, record.encode())?)
    });
}

#[test]
fn equal_hashes_come_together_and_the_ends_of_the_range_once() {
    let max = (1 << 63) - 1;
    for count in 1..8 {
        let mut shell = Shell::new();
        for (hash, key) in [
            (0, "zero"),
            (0, "zero-too"),
            (1, "one"),
            (7, "a"),
            (7, "b"),
            (7, "c"),
            (7, "d"),
            (9, "nine"),
            (max, "last"),
            (max, "last-too"),
        ] {
            put_at(&shell, hash, key);
        }
        let mut calls = vec![];
        let mut cursor = "0".to_owned();
        loop {
            let (next, keys) = scan(&mut shell, &cursor, &format!("COUNT {count}"));
            calls.push(keys);
            if next == "0" {
                break;
            }
            cursor = next;
        }
        let all: Vec<_> = calls.concat();
        let expected = ["zero", "zero-too", "one", "a", "b", "c", "d", "nine", "last", "last-too"];
        assert_eq!(all, expected, "COUNT {count}");
        for group in [["zero", "zero-too"], ["a", "d"], ["last", "last-too"]] {
            let call = calls.iter().find(|call| call.iter().any(|key| key == group[0])).unwrap();
            assert!(call.iter().any(|key| key == group[1]), "COUNT {count}: {calls:?}");
        }
    }
}

#[test]
fn a_cursor_outlives_the_process() {
    with_each_persistent_engine(|open| {
        let mut shell = open();
        for n in 0..40 {
            shell.run(&format!("SET key:{n} 1"));
        }
        let (cursor, mut seen) = scan(&mut shell, "0", "COUNT 15");
        shell.close();
        let mut shell = open();
        let (end, rest) = scan(&mut shell, &cursor, "COUNT 100");
        assert_eq!(end, "0");
        assert_eq!((seen.len(), rest.len()), (15, 25));
        seen.extend(rest);
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 40);
        shell.close();
    });
}

#[derive(Debug, Clone)]
enum Change {
    Add(u32),
    Remove(u32),
    Expire(u32),
    Overwrite(u32),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0..200u32).prop_map(Change::Add),
        (0..200u32).prop_map(Change::Remove),
        (0..200u32).prop_map(Change::Expire),
        (0..40u32).prop_map(Change::Overwrite),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn keys_that_stay_are_returned_once(
        count in 1..12usize,
        changes in prop::collection::vec(prop::collection::vec(change(), 0..6), 60),
    ) {
        let mut shell = Shell::new();
        for n in 0..40 {
            shell.run(&format!("SET stays:{n} 1"));
        }
        for n in 0..100 {
            shell.run(&format!("SET comes:{n} 1"));
        }
        let mut changes = changes.into_iter();
        let seen = iterate(&mut shell, &format!("COUNT {count}"), |shell| {
            for change in changes.next().unwrap_or_default() {
                match change {
                    Change::Add(n) => shell.run(&format!("SET comes:{n} 2")),
                    Change::Remove(n) => shell.run(&format!("DEL comes:{n}")),
                    Change::Expire(n) => shell.run(&format!("PEXPIRE comes:{n} -1")),
                    Change::Overwrite(n) => shell.run(&format!("APPEND stays:{n} 2")),
                };
            }
        });
        for n in 0..40 {
            prop_assert_eq!(seen.get(&format!("stays:{n}")), Some(&1), "stays:{}", n);
        }
        prop_assert!(seen.values().all(|&times| times == 1), "{:?}", seen);
    }
}
