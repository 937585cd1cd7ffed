//! After any sequence of commands the counts are exact, the expiry index holds what it must and no
//! more, and no element is without a key or an entry in the list of garbage.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;

use harness::Shell;
use pontoon::data::encoding::{self, KeyCounts, Record};
use pontoon::data::string::CHUNK_BYTES;
use proptest::prelude::*;

const KEYS: &[&str] = &["a", "b", "c", "d"];

/// Checks the whole store.
fn check_books(shell: &Shell) {
    let databases = &shell.databases;
    let meta = shell.dump(databases.meta());
    let system = shell.dump(databases.system());
    let find = |key: &[u8]| system.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
    let has = |key: Vec<u8>| system.iter().any(|(k, _)| *k == key);
    let mut index = BTreeSet::new();
    let mut versions = BTreeSet::new();
    let mut live = BTreeSet::new();
    for db in 0..pontoon::data::DATABASES {
        let namespace = find(&encoding::database_key(db)).unwrap();
        let namespace = encoding::decode_namespace(&namespace).unwrap();
        let counts = KeyCounts::decode(&find(&encoding::counts_key(db)).unwrap()).unwrap();
        assert!(live.insert(namespace), "two databases share a namespace");
        let range = encoding::namespace_range(namespace);
        let (mut keys, mut expiring) = (0, 0);
        for (stored_key, stored) in meta.iter().filter(|(key, _)| range.contains(key)) {
            let (hash, key) = encoding::split_record_key(stored_key).unwrap();
            assert_eq!(hash, encoding::hash(&key));
            let record = Record::decode(stored.clone()).unwrap();
            keys += 1;
            if let Some(at_ms) = record.expires_at_ms {
                expiring += 1;
                index.insert(encoding::expiry_key(namespace, at_ms, hash, &key));
            }
            if let Some(version) = record.version {
                assert!(versions.insert((namespace, version)), "a version is used twice");
                assert!(!has(encoding::garbage_key(namespace, version)));
            }
        }
        assert_eq!(counts, KeyCounts { keys, expiring }, "database {db}");
    }
    let is_flushed = |stored: &[u8]| {
        let namespace = u64::from_be_bytes(stored[..8].try_into().unwrap());
        let flushed = has(encoding::flushed_key(namespace));
        assert!(flushed != live.contains(&namespace), "namespace {namespace} is lost or both");
        flushed
    };
    for (key, _) in &meta {
        is_flushed(key);
    }
    let stored: BTreeSet<_> = shell
        .dump(databases.expiry())
        .into_iter()
        .map(|(key, _)| key.to_vec())
        .filter(|key| !is_flushed(key))
        .collect();
    assert_eq!(stored, index);
    for (key, _) in shell.dump(databases.elements()) {
        let part = |at: usize| u64::from_be_bytes(key[at..at + 8].try_into().unwrap());
        let (namespace, version) = (part(0), part(8));
        let is_known = is_flushed(&key)
            || versions.contains(&(namespace, version))
            || has(encoding::garbage_key(namespace, version));
        assert!(is_known, "version {version} has no key");
    }
}

fn command() -> impl Strategy<Value = String> {
    let key = || prop::sample::select(KEYS);
    let long = "x".repeat(CHUNK_BYTES + 1);
    let value = prop_oneof![Just("1".to_owned()), Just(long)];
    prop_oneof![
        (key(), value.clone()).prop_map(|(k, v)| format!("SET {k} {v}")),
        (key(), value.clone(), 1..50).prop_map(|(k, v, ms)| format!("SET {k} {v} PX {ms}")),
        (key(), value.clone()).prop_map(|(k, v)| format!("SET {k} {v} KEEPTTL")),
        (key(), value.clone()).prop_map(|(k, v)| format!("APPEND {k} {v}")),
        (key(), key(), value).prop_map(|(k, l, v)| format!("MSET {k} {v} {l} {v}")),
        (key(), 0..40_000).prop_map(|(k, at)| format!("SETRANGE {k} {at} x")),
        (key(), -1..50).prop_map(|(k, ms)| format!("PEXPIRE {k} {ms}")),
        (key(), -1..50).prop_map(|(k, ms)| format!("GETEX {k} PX {ms}")),
        key().prop_map(|k| format!("PERSIST {k}")),
        key().prop_map(|k| format!("INCR {k}")),
        key().prop_map(|k| format!("GETDEL {k}")),
        (key(), key()).prop_map(|(k, l)| format!("DEL {k} {l}")),
        (key(), key()).prop_map(|(k, l)| format!("RENAME {k} {l}")),
        Just("FLUSHDB".to_owned()),
        Just("FLUSHALL".to_owned()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Run(Vec<String>),
    Select(u8),
    Wait(u64),
    Expire,
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(command(), 1..6).prop_map(Step::Run),
        1 => (0..2u8).prop_map(Step::Select),
        2 => (1..30u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
        2 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn they_are_right_after_every_step(steps in prop::collection::vec(step(), 1..25)) {
        let mut shell = Shell::new();
        for step in steps {
            match step {
                Step::Run(lines) => {
                    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
                    shell.pipeline(&lines);
                }
                Step::Select(db) => shell.check(&format!("SELECT {db}"), "OK"),
                Step::Wait(ms) => shell.now_ms += ms,
                Step::Expire => {
                    shell.expire_step(2);
                }
                Step::Sweep => {
                    shell.sweep_step(2);
                }
            }
            check_books(&shell);
        }
        shell.check("FLUSHALL", "OK");
        shell.sweep(100);
        check_books(&shell);
        for keyspace in [
            shell.databases.meta(),
            shell.databases.elements(),
            shell.databases.expiry(),
        ] {
            prop_assert!(shell.dump(keyspace).is_empty(), "the sweep leaves nothing");
        }
    }
}
