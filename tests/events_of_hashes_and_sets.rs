//! What commands on hashes and sets tell those who listen for events of keys and those who watch keys: what
//! Redis does, in its order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use harness::Shell;
use pontoon::command::{Watch, WatchedKey};

#[test]
fn hashes() {
    Shell::new().event_script(
        "
        HSET h a 1 b 2 -> new h, hset h
        HSET h a 1 -> hset h
        HMSET h a 1 -> hset h
        HSETNX h a 1 -> none
        HSETNX h c 1 -> hset h
        HINCRBY h a 1 -> hincrby h
        HINCRBYFLOAT h a 1 -> hincrbyfloat h
        HINCRBY i a 1 -> new i, hincrby i
        HDEL h x -> none
        HDEL none x -> none
        HDEL h a b -> hdel h
        HDEL h c x -> hdel h, del h
        ",
    );
}

#[test]
fn sets() {
    Shell::new().event_script(
        "
        SADD s a b c -> new s, sadd s
        SADD s a -> none
        SREM s x -> none
        SREM s a -> srem s
        SREM none a -> none
        SMOVE s t b -> srem s, new t, sadd t
        SMOVE s t x -> none
        SMOVE s s c -> none
        SADD t c -> sadd t
        SMOVE s t c -> srem s, del s
        SPOP none -> none
        SPOP none 2 -> none
        SPOP t 0 -> none
        SPOP t 1 -> spop t
        SPOP t -> spop t, del t
        SADD t a b -> new t, sadd t
        SPOP t 9 -> spop t, del t
        ",
    );
}

#[test]
fn stored_results() {
    Shell::new().event_script(
        "
        SADD a 1 2 3 -> new a, sadd a
        SADD b 3 4 -> new b, sadd b
        SUNIONSTORE d a b -> new d, sunionstore d
        SINTERSTORE d a b -> sinterstore d
        SDIFFSTORE d a b -> sdiffstore d
        SDIFFSTORE d a a -> del d
        SDIFFSTORE d a a -> none
        SINTERSTORE d a none -> keymiss none
        SUNIONSTORE d none -> keymiss none
        SUNIONSTORE a none -> keymiss none, del a
        ",
    );
}

#[test]
fn what_has_expired_is_said_to_have() {
    let mut shell = Shell::new();
    shell.run("SADD s a b");
    shell.run("HSET h a b");
    shell.run("PEXPIRE s 5");
    shell.run("PEXPIRE h 5");
    shell.now_ms += 6;
    shell.event_script(
        "
        SPOP s 2 -> expired s
        HSET h a b -> expired h, new h, hset h
        ",
    );
}

/// Runs a command and returns which of some keys those who watch them find changed, in the order of names.
fn changed(shell: &mut Shell, line: &str) -> String {
    let watches = ["h", "none", "s", "t"].map(|key| {
        let watch = Arc::<Watch>::default();
        let watched =
            WatchedKey { db: 0, key: Bytes::from_static(key.as_bytes()), was_there: true };
        assert!(shell.server.watches.add(&watch, watched));
        (key, watch)
    });
    shell.run(line);
    let changed = watches.iter().filter(|(_, watch)| watch.is_changed()).map(|(key, _)| *key);
    let changed = changed.collect::<Vec<_>>().join(" ");
    watches.iter().for_each(|(_, watch)| shell.server.watches.remove(watch));
    changed
}

#[test]
fn what_those_who_watch_find_changed() {
    let mut shell = Shell::new();
    for (line, keys) in [
        ("HSET h a 1 b 2", "h"),
        ("HSET h a 1", "h"),
        ("HSETNX h a 1", ""),
        ("HSETNX h c 1", "h"),
        ("HINCRBY h a 0", "h"),
        ("HDEL h x", ""),
        ("HDEL h a b c", "h"),
        ("SADD s a b c", "s"),
        ("SADD s a", ""),
        ("SREM s x", ""),
        ("SREM s a", "s"),
        ("SMOVE s t b", "s t"),
        ("SMOVE s t x", ""),
        ("SMOVE s s c", ""),
        ("SADD t c", "t"),
        ("SMOVE s t c", "s"),
        ("SPOP none", ""),
        ("SPOP t 0", ""),
        ("SPOP t 1", "t"),
        ("SPOP t", "t"),
        ("SINTERSTORE t none", ""),
        ("SADD t a", "t"),
        ("SUNIONSTORE t t", "t"),
        ("SDIFFSTORE t t t", "t"),
    ] {
        assert_eq!(changed(&mut shell, line), keys, "{line}");
    }
}
