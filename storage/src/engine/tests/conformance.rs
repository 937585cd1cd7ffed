//! One test a behaviour; the macro at the end runs each over each engine.

use super::*;
use crate::error::Error;

fn gets_what_was_put(engine: EngineKind) {
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    f.apply([change(ks).put("k", "v").put("l", "w")]);
    assert_eq!(f.get(ks, b"k").unwrap(), "v");
    assert_eq!(f.get(ks, b"m"), None);
    f.apply([change(ks).put("k", "v2").delete("l").delete("never there")]);
    assert_eq!(f.get(ks, b"k").unwrap(), "v2");
    assert_eq!(f.get(ks, b"l"), None);
}

fn empty_keys_and_values_are_entries(engine: EngineKind) {
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    f.apply([change(ks).put("", "empty key").put("empty value", "")]);
    assert_eq!(f.get(ks, b"").unwrap(), "empty key");
    assert_eq!(f.get(ks, b"empty value").unwrap(), "");
    let entries = entries_of(&*f.snapshot(), ks);
    assert_eq!(entries[0], (Bytes::new(), "empty key".into()));
    f.apply([change(ks).delete("")]);
    assert_eq!(f.get(ks, b""), None);
}

fn keys_are_in_byte_order(engine: EngineKind) {
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    let in_order: [&[u8]; 6] = [b"", b"\0", b"\0\0", b"a", b"a\xff", b"\xff"];
    f.apply([in_order.iter().rev().fold(change(ks), |c, key| c.put(*key, "v"))]);
    let found: Vec<Bytes> = entries_of(&*f.snapshot(), ks).into_iter().map(|e| e.0).collect();
    assert_eq!(found, in_order);
}

fn large_values_come_back_whole(engine: EngineKind) {
    let mut f = Fixture::new(engine);
    let ks = f.keyspace("a");
    let large: Bytes = (0..20 << 20).map(|i: u32| (i ^ (i >> 11)) as u8).collect::<Vec<_>>().into();
    f.apply([change(ks).put("large", large.clone()).put("large2", "after")]);
    if engine.is_persistent() {
        f.reopen();
    }
    assert_eq!(f.get(ks, b"large").unwrap(), large);
    let limit = PageLimit { entries: 10, bytes: 1 };
    let page = f.snapshot().page(ks, &KeyRange::ALL, false, limit).unwrap();
    assert_eq!(keys(&page), ["large"]);
    assert!(page.more);
}

fn large_keys_work(engine: EngineKind) {
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    let (key, next) = (vec![7u8; 64 << 10], vec![8u8; 64 << 10]);
    f.apply([change(ks).put(key.clone(), "v").put(next.clone(), "w")]);
    assert_eq!(f.get(ks, &key).unwrap(), "v");
    f.apply([change(ks).delete_range(KeyRange::new(key.clone(), Some(next.clone().into())))]);
    assert_eq!(f.get(ks, &key), None);
    assert_eq!(f.get(ks, &next).unwrap(), "w");
}

/// Both below and above the number of keys at which an engine may change how it deletes a range.
fn ranges_are_deleted_before_the_writes_are_made(engine: EngineKind) {
    for count in [10, 500] {
        let f = Fixture::new(engine);
        let ks = f.keyspace("a");
        f.apply([change(ks).put_numbered(0..count)]);
        let (from, to, inside) = (numbered(2), numbered(count - 2), numbered(count / 2));
        f.apply([change(ks).delete_range(from..to).put(inside.clone(), "new")]);
        let left = entries_of(&*f.snapshot(), ks);
        let expected = [numbered(0), numbered(1), inside, numbered(count - 2), numbered(count - 1)];
        assert_eq!(
            left.iter().map(|e| &e.0[..]).collect::<Vec<_>>(),
            expected.map(String::into_bytes)
        );
        assert_eq!(left[2].1, "new");
    }
}

fn ranges_without_end_reach_the_last_key(engine: EngineKind) {
    for count in [10, 500] {
        let f = Fixture::new(engine);
        let ks = f.keyspace("a");
        f.apply([change(ks).put_numbered(0..count).put([0xff; 40].as_slice().to_vec(), "last")]);
        let before = f.snapshot();
        f.apply([change(ks).delete_range(numbered(3)..).put("zz", "new")]);
        let left = entries_of(&*f.snapshot(), ks);
        let expected = [numbered(0), numbered(1), numbered(2), "zz".into()];
        assert_eq!(
            left.iter().map(|e| &e.0[..]).collect::<Vec<_>>(),
            expected.map(String::into_bytes)
        );
        assert_eq!(entries_of(&*before, ks).len(), count + 1);
    }
}

fn the_range_of_everything_empties_the_keyspace(engine: EngineKind) {
    for count in [0, 10, 500] {
        let mut f = Fixture::new(engine);
        let ks = f.keyspace("a");
        f.apply([change(ks).put_numbered(0..count)]);
        let before = f.snapshot();
        f.apply([change(ks).delete_range(..).put("kept", "v")]);
        assert_eq!(entries_of(&*f.snapshot(), ks), [("kept".into(), "v".into())]);
        assert_eq!(entries_of(&*before, ks).len(), count);
        drop(before);
        if engine.is_persistent() {
            f.reopen();
            assert_eq!(entries_of(&*f.snapshot(), ks), [("kept".into(), "v".into())]);
        }
        assert_eq!(f.engine().keyspaces().unwrap(), ["a"]);
    }
}

fn several_ranges_in_one_batch(engine: EngineKind) {
    let f = Fixture::new(engine);
    let (a, b) = (f.keyspace("a"), f.keyspace("b"));
    f.apply([change(a).put_numbered(0..300), change(b).put_numbered(0..300)]);
    f.apply([
        change(a)
            .delete_range(numbered(0)..numbered(100))
            .delete_range(numbered(101)..numbered(103))
            .delete_range(numbered(104)..),
        change(b).delete_range(numbered(1)..),
    ]);
    let snapshot = f.snapshot();
    let left = snapshot.page(a, &KeyRange::ALL, false, EVERYTHING).unwrap();
    assert_eq!(keys(&left), [numbered(100), numbered(103)]);
    let left = snapshot.page(b, &KeyRange::ALL, false, EVERYTHING).unwrap();
    assert_eq!(keys(&left), [numbered(0)]);
}

fn pages_go_both_ways_within_their_range(engine: EngineKind) {
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    f.apply([change(ks).put("a", "1").put("b", "2").put("c", "3").put("d", "4")]);
    let snapshot = f.snapshot();
    let page = |range: KeyRange, reverse, entries| {
        snapshot.page(ks, &range, reverse, PageLimit { entries, bytes: usize::MAX }).unwrap()
    };
    let rows: [(KeyRange, bool, usize, &[&str], bool); 14] = [
        (KeyRange::ALL, false, 9, &["a", "b", "c", "d"], false),
        (KeyRange::ALL, true, 9, &["d", "c", "b", "a"], false),
        (KeyRange::ALL, false, 2, &["a", "b"], true),
        (KeyRange::ALL, true, 2, &["d", "c"], true),
        (KeyRange::from("b".."d"), false, 9, &["b", "c"], false),
        (KeyRange::from("b".."d"), true, 9, &["c", "b"], false),
        (KeyRange::from("b"..="d"), true, 1, &["d"], true),
        (KeyRange::from("bb"..), false, 9, &["c", "d"], false),
        (KeyRange::from("bb"..), true, 9, &["d", "c"], false),
        (KeyRange::from(.."c"), true, 9, &["b", "a"], false),
        (KeyRange::from("x"..), true, 9, &[], false),
        (KeyRange::from("c".."b"), false, 9, &[], false),
        (KeyRange::from("c".."b"), true, 9, &[], false),
        (KeyRange::ALL, false, 0, &["a"], true),
    ];
    for (range, reverse, entries, expected, more) in rows {
        let page = page(range.clone(), reverse, entries);
        assert_eq!(keys(&page), expected, "{range:?} {reverse}");
        assert_eq!(page.more, more, "{range:?} {reverse}");
    }
}

fn pages_end_at_their_bytes(engine: EngineKind) {
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    f.apply([change(ks).put("a", vec![0; 99]).put("b", vec![0; 99]).put("c", vec![0; 99])]);
    let snapshot = f.snapshot();
    let page = |reverse, bytes| {
        let limit = PageLimit { entries: usize::MAX, bytes };
        snapshot.page(ks, &KeyRange::ALL, reverse, limit).unwrap()
    };
    assert_eq!(keys(&page(false, 100)), ["a"]);
    assert_eq!(keys(&page(false, 101)), ["a", "b"]);
    assert_eq!(keys(&page(true, 101)), ["c", "b"]);
    assert_eq!(keys(&page(false, 0)), ["a"]);
    let all = page(false, 301);
    assert_eq!((all.entries.len(), all.more), (3, false));
}

fn snapshots_do_not_see_what_comes_later(engine: EngineKind) {
    let f = Fixture::new(engine);
    let (a, b) = (f.keyspace("a"), f.keyspace("b"));
    f.apply([change(a).put_numbered(0..300)]);
    let snapshot = f.snapshot();
    f.apply([
        change(a).delete_range(numbered(5)..).put(numbered(1), "new"),
        change(b).put("k", "v"),
    ]);
    assert_eq!(entries_of(&*snapshot, a).len(), 300);
    assert_eq!(snapshot.get(a, numbered(1).as_bytes()).unwrap().unwrap(), "value 1");
    assert_eq!(snapshot.get(b, b"k").unwrap(), None);
    assert_eq!(f.get(b, b"k").unwrap(), "v");
}

fn unsynced_changes_are_visible_at_once(engine: EngineKind) {
    let mut f = Fixture::new(engine);
    let ks = f.keyspace("a");
    let before = f.snapshot();
    f.apply_with([change(ks).put("k", "1")], false);
    let between = f.snapshot();
    f.apply_with([change(ks).put("k", "2")], false);
    assert_eq!(before.get(ks, b"k").unwrap(), None);
    assert_eq!(between.get(ks, b"k").unwrap().unwrap(), "1");
    assert_eq!(f.get(ks, b"k").unwrap(), "2");
    drop((before, between));
    if engine.is_persistent() {
        f.reopen();
        assert_eq!(f.get(ks, b"k").unwrap(), "2");
    }
}

/// The second keyspace is read for the first time only after it is gone.
fn dropped_keyspaces_stay_in_older_snapshots(engine: EngineKind) {
    let f = Fixture::new(engine);
    let (a, b) = (f.keyspace("a"), f.keyspace("b"));
    f.apply([change(a).put_numbered(0..300), change(b).put_numbered(0..300)]);
    let snapshot = f.snapshot();
    assert_eq!(snapshot.get(a, b"00001").unwrap().unwrap(), "value 1");
    assert!(f.engine().drop_keyspace(a).unwrap());
    assert!(f.engine().drop_keyspace(b).unwrap());
    assert!(!f.engine().drop_keyspace(a).unwrap());
    assert_eq!(f.get(a, b"00001"), None);
    f.apply([change(a).put("00001", "anew")]);
    for ks in [a, b] {
        assert_eq!(entries_of(&*snapshot, ks).len(), 300);
        assert_eq!(snapshot.get(ks, b"00001").unwrap().unwrap(), "value 1");
    }
    assert_eq!(entries_of(&*f.snapshot(), a), [("00001".into(), "anew".into())]);
    assert_eq!(entries_of(&*f.snapshot(), b), []);
}

fn dropped_keyspaces_stay_dropped(engine: EngineKind) {
    let mut f = Fixture::new(engine);
    let (a, b) = (f.keyspace("a"), f.keyspace("b"));
    f.apply([change(a).put("k", "v"), change(b).put("k", "v")]);
    f.engine().drop_keyspace(a).unwrap();
    if engine.is_persistent() {
        f.reopen();
    }
    assert_eq!(f.engine().keyspaces().unwrap(), ["b"]);
    assert_eq!(f.get(a, b"k"), None);
    assert_eq!(f.get(b, b"k").unwrap(), "v");
}

fn get_many_answers_in_the_order_asked(engine: EngineKind) {
    let f = Fixture::new(engine);
    let (a, b, missing) = (f.keyspace("a"), f.keyspace("b"), f.keyspace("missing"));
    f.apply([change(a).put_numbered(0..100), change(b).put("", "b empty").put("k", "b k")]);
    let snapshot = f.snapshot();
    let asked: Vec<(KeyspaceId, &[u8])> = vec![
        (b, b"k"),
        (a, b"00099"),
        (missing, b"k"),
        (a, b"00001"),
        (b, b""),
        (a, b"k"),
        (a, b"00001"),
        (b, b"none"),
        (a, b"00050"),
    ];
    let expected = [
        Some("b k"),
        Some("value 99"),
        None,
        Some("value 1"),
        Some("b empty"),
        None,
        Some("value 1"),
        None,
        Some("value 50"),
    ];
    for len in 0..=asked.len() {
        let found: Vec<Option<Bytes>> =
            snapshot.get_many(&asked[..len]).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, expected[..len].iter().map(|v| v.map(Bytes::from)).collect::<Vec<_>>());
    }
}

fn reading_creates_nothing(engine: EngineKind) {
    let mut f = Fixture::new(engine);
    let ks = f.keyspace("missing");
    let snapshot = f.snapshot();
    assert_eq!(snapshot.get(ks, b"k").unwrap(), None);
    assert_eq!(snapshot.page(ks, &KeyRange::ALL, true, EVERYTHING).unwrap(), Page::default());
    assert_eq!(snapshot.get_many(&[(ks, b"a"), (ks, b"b"), (ks, b"c")]).len(), 3);
    drop(snapshot);
    assert!(!f.engine().drop_keyspace(ks).unwrap());
    assert_eq!(f.engine().keyspaces().unwrap(), Vec::<String>::new());
    if engine.is_persistent() {
        f.reopen();
        assert_eq!(f.engine().keyspaces().unwrap(), Vec::<String>::new());
    }
}

fn keyspaces_are_named_in_byte_order(engine: EngineKind) {
    let mut f = Fixture::new(engine);
    for name in ["b", "a", "~", "A"] {
        f.apply([change(f.keyspace(name)).put("k", name.to_owned())]);
    }
    // Touched, though nothing is left in it.
    f.apply([change(f.keyspace("empty")).delete("k")]);
    assert_eq!(f.engine().keyspaces().unwrap(), ["A", "a", "b", "empty", "~"]);
    if engine.is_persistent() {
        f.reopen();
        assert_eq!(f.engine().keyspaces().unwrap(), ["A", "a", "b", "empty", "~"]);
    }
}

/// Numbers are handed out anew in each process, so that only names may reach the disk.
fn what_was_applied_is_there_after_reopening(engine: EngineKind) {
    if !engine.is_persistent() {
        return;
    }
    let mut f = Fixture::new(engine);
    let (a, b) = (f.keyspace("a"), f.keyspace("b"));
    f.apply([change(a).put_numbered(0..2000), change(b).put("k", "v")]);
    f.apply([change(a).delete_range(numbered(100)..numbered(1900)).delete(numbered(3))]);
    let before = entries_of(&*f.snapshot(), a);
    assert_eq!(before.len(), 199);
    f.names = new_names();
    let (b, a) = (f.keyspace("b"), f.keyspace("a"));
    f.reopen();
    assert_eq!(entries_of(&*f.snapshot(), a), before);
    assert_eq!(f.get(b, b"k").unwrap(), "v");
}

fn acknowledged_changes_survive_a_kill(engine: EngineKind) {
    if !engine.is_persistent() {
        return;
    }
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    f.apply_with([change(ks).put("applied with sync", "v")], true);
    f.apply_with([change(ks).put("applied", "v")], false);
    f.engine().sync().unwrap();
    f.apply_with([change(ks).put("unsynced", "v")], false);

    let copy = copy_as_after_a_kill(f.dir.path());
    let engine_after = open(engine, copy.path(), &f.names);
    let snapshot = engine_after.snapshot().unwrap();
    assert_eq!(snapshot.get(ks, b"applied with sync").unwrap().unwrap(), "v");
    assert_eq!(snapshot.get(ks, b"applied").unwrap().unwrap(), "v");
    let survives = !f.engine().unsynced_dies_with_process();
    assert_eq!(snapshot.get(ks, b"unsynced").unwrap().is_some(), survives);
}

fn a_checkpoint_is_a_copy_that_opens(engine: EngineKind) {
    let f = Fixture::new(engine);
    let (a, b, empty) = (f.keyspace("a"), f.keyspace("b"), f.keyspace("empty"));
    let large = Bytes::from(vec![3u8; 9 << 20]);
    f.apply([change(a).put_numbered(0..5000), change(b).put("large", large), change(empty)]);
    f.apply_with([change(b).put("unsynced", "v").put("", "")], false);
    let into = tempfile::tempdir().unwrap();
    let into = into.path().join("copy");
    std::fs::create_dir(&into).unwrap();
    let made = f.engine().checkpoint(&into);
    if !engine.is_persistent() {
        assert!(matches!(made, Err(Error::Unsupported(_))));
        return;
    }
    made.unwrap();
    f.apply([change(a).delete_range(..), change(b).put("later", "v")]);

    let copy = open(engine, &into, &f.names);
    assert_eq!(copy.keyspaces().unwrap(), ["a", "b", "empty"]);
    let snapshot = copy.snapshot().unwrap();
    assert_eq!(entries_of(&*snapshot, a).len(), 5000);
    let of_b = snapshot.page(b, &KeyRange::ALL, false, EVERYTHING).unwrap();
    assert_eq!(keys(&of_b), ["", "large", "unsynced"]);
    assert_eq!(of_b.entries[1].1.len(), 9 << 20);
    drop(snapshot);
    let changes = Changes { keyspaces: vec![change(a).put("k", "only in the copy")] };
    copy.apply(&changes, true).unwrap();
    assert_eq!(f.get(a, b"k"), None);
}

fn a_directory_opens_once_at_a_time(engine: EngineKind) {
    if !engine.is_persistent() {
        return;
    }
    let mut f = Fixture::new(engine);
    let again = engine.open(f.dir.path(), &options(), Arc::clone(&f.names));
    match again.err().unwrap() {
        Error::Locked { dir } => assert_eq!(dir, f.dir.path()),
        other => panic!("{other:?}"),
    }
    f.reopen();
}

fn stats_tell_the_size_on_disk(engine: EngineKind) {
    let f = Fixture::new(engine);
    let ks = f.keyspace("a");
    // Incompressible, so that the engine cannot keep less.
    let mut state = 1u64;
    for batch in 0..8 {
        let mut changes = change(ks);
        for key in 0..32 {
            let value: Vec<u8> = (0..32 << 10)
                .map(|_| {
                    state =
                        state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 56) as u8
                })
                .collect();
            changes = changes.put(format!("{batch} {key}"), value);
        }
        f.apply([changes]);
    }
    let stats = f.engine().stats().unwrap();
    if engine.is_persistent() {
        assert!(stats.disk_bytes >= 8 << 20, "{stats:?}");
    } else {
        assert_eq!(stats.disk_bytes, 0);
    }
    assert!(!stats.details.is_empty());
}

/// The engines are shared by threads that read while one writes.
fn readers_see_batches_whole(engine: EngineKind) {
    let f = Fixture::new(engine);
    let (a, b) = (f.keyspace("a"), f.keyspace("b"));
    let rounds = 60;
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < rounds {
                        let snapshot = f.snapshot();
                        let seen = [a, b].map(|ks| {
                            let value = snapshot.get(ks, b"round").unwrap();
                            value.map_or(0, |v| std::str::from_utf8(&v).unwrap().parse().unwrap())
                        });
                        assert_eq!(seen[0], seen[1]);
                        assert!(seen[0] >= last);
                        last = seen[0];
                    }
                })
            })
            .collect();
        for round in 1..=rounds {
            let value = round.to_string();
            f.apply_with(
                [change(a).put("round", value.clone()), change(b).put("round", value)],
                false,
            );
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

macro_rules! over_every_engine {
    ($($test:ident)*) => {
        over_every_engine!(@engine memory Memory: $($test)*);
        #[cfg(feature = "redb")]
        over_every_engine!(@engine redb Redb: $($test)*);
        #[cfg(feature = "rocksdb")]
        over_every_engine!(@engine rocksdb Rocksdb: $($test)*);
    };
    (@engine $module:ident $kind:ident: $($test:ident)*) => {
        mod $module {
            $(#[test]
            fn $test() {
                super::$test(crate::engine::EngineKind::$kind);
            })*
        }
    };
}

over_every_engine! {
    gets_what_was_put
    empty_keys_and_values_are_entries
    keys_are_in_byte_order
    large_values_come_back_whole
    large_keys_work
    ranges_are_deleted_before_the_writes_are_made
    ranges_without_end_reach_the_last_key
    the_range_of_everything_empties_the_keyspace
    several_ranges_in_one_batch
    pages_go_both_ways_within_their_range
    pages_end_at_their_bytes
    snapshots_do_not_see_what_comes_later
    unsynced_changes_are_visible_at_once
    dropped_keyspaces_stay_in_older_snapshots
    dropped_keyspaces_stay_dropped
    get_many_answers_in_the_order_asked
    reading_creates_nothing
    keyspaces_are_named_in_byte_order
    what_was_applied_is_there_after_reopening
    acknowledged_changes_survive_a_kill
    a_checkpoint_is_a_copy_that_opens
    a_directory_opens_once_at_a_time
    stats_tell_the_size_on_disk
    readers_see_batches_whole
}
