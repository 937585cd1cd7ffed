#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::keyspace::KeyspaceNames;

fn keyspace() -> KeyspaceId {
    KeyspaceNames::new(1, 4).intern("a").unwrap().id
}

fn put(key: &'static str, value: &'static str) -> Changes {
    let writes = [(key.into(), Some(value.into()))].into();
    let ranges = [].into();
    Changes { keyspaces: vec![KeyspaceChanges { keyspace: keyspace(), ranges, writes }] }
}

fn get(pending: &Pending, key: &str) -> Option<Option<Bytes>> {
    pending.get_many(&[(keyspace(), key.as_bytes())]).pop().unwrap()
}

/// Adds where nothing is to be committed yet.
fn add(pending: &Pending, changes: &Changes) {
    pending.add(changes, |_| panic!("there is not enough")).unwrap();
}

#[test]
fn what_is_being_committed_is_found_until_it_is() {
    let pending = Pending::default();
    add(&pending, &put("k", "1"));
    add(&pending, &put("k", "2"));
    let commit = |changes: &Changes| {
        assert_eq!(changes, &put("k", "2"), "the older value need not be written");
        assert_eq!(get(&pending, "k"), Some(Some("2".into())));
        add(&pending, &put("k", "3"));
        assert_eq!(get(&pending, "k"), Some(Some("3".into())));
        Ok(())
    };
    pending.commit(commit, || Ok(())).unwrap();
    assert_eq!(get(&pending, "k"), Some(Some("3".into())), "it came later");
    let commit = |changes: &Changes| {
        assert_eq!(changes, &put("k", "3"));
        Ok(())
    };
    pending.commit(commit, || Ok(())).unwrap();
    assert_eq!(get(&pending, "k"), None);
    pending.commit(|_| panic!("there is nothing to commit"), || Ok(())).unwrap();
}

#[test]
fn enough_is_committed_in_steps_and_in_the_order_of_keys() {
    let pending = Pending::default();
    let (mut added, mut committed) = (Vec::new(), Vec::new());
    // Each of two keyspaces, and not in order.
    let keyspaces = KeyspaceNames::new(1, 4);
    let keyspaces = ["a", "b"].map(|name| keyspaces.intern(name).unwrap().id);
    while committed.len() < KEYS_MAX {
        let number = added.len();
        let key = Bytes::from(format!("{:03}", number * 7 % 1000));
        let writes = [(key.clone(), Some(number.to_string().into()))].into();
        let keyspace = keyspaces[number % 2];
        added.push((keyspace, key));
        let ranges = [].into();
        let changes = Changes { keyspaces: vec![KeyspaceChanges { keyspace, ranges, writes }] };
        let commit = |changes: &Changes| {
            let mut len = 0;
            for changes in &changes.keyspaces {
                committed.extend(changes.writes.keys().map(|key| (changes.keyspace, key.clone())));
                len += changes.writes.len();
            }
            assert!((1..=STEP_KEYS + 2).contains(&len));
            for (keyspace, key) in &committed {
                let found = pending.get_many(&[(*keyspace, &**key)]).pop().unwrap();
                assert!(found.is_some(), "until all of it is in redb");
            }
            Ok(())
        };
        pending.add(&changes, commit).unwrap();
    }
    let mut expected = added[..KEYS_MAX].to_vec();
    expected.sort();
    assert_eq!(committed, expected, "what came later is not among it");
    let left = |(keyspace, key): &(KeyspaceId, Bytes)| {
        pending.get_many(&[(*keyspace, &**key)]).pop().unwrap().is_some()
    };
    assert!(!added[..KEYS_MAX].iter().any(left));
    assert!(added[KEYS_MAX..].iter().all(left));
}

#[test]
fn no_more_waits_than_twice_the_limit() {
    let pending = Pending::default();
    let value = Bytes::from(vec![0; BYTES_MAX / 16]);
    let mut begun = false;
    for number in 0..KEYS_MAX + 100 {
        // Many small ones are on their way when large ones come.
        let value = if begun { value.clone() } else { Bytes::new() };
        let writes = [(format!("{number:03}").into(), Some(value))].into();
        let changes = KeyspaceChanges { keyspace: keyspace(), ranges: [].into(), writes };
        let commit = |_: &Changes| {
            begun = true;
            Ok(())
        };
        pending.add(&Changes { keyspaces: vec![changes] }, commit).unwrap();
        let layers = pending.read();
        let frozen: usize = layers.frozen.iter().map(|layer| layer.bytes()).sum();
        assert!(layers.upper.bytes() + frozen <= 2 * BYTES_MAX + BYTES_MAX / 8, "{number}");
    }
    assert!(begun);
}

#[test]
fn all_of_it_can_be_asked_for_in_the_middle() {
    let pending = Pending::default();
    let committed = RefCell::new(Vec::new());
    let commit = |changes: &Changes| {
        let keys = changes.keyspaces.iter().flat_map(|changes| changes.writes.keys());
        committed.borrow_mut().extend(keys.cloned());
        Ok(())
    };
    let mut added = 0;
    while committed.borrow().is_empty() {
        let writes = [(format!("{added:03}").into(), None)].into();
        let changes = KeyspaceChanges { keyspace: keyspace(), ranges: [].into(), writes };
        pending.add(&Changes { keyspaces: vec![changes] }, commit).unwrap();
        added += 1;
    }
    pending.add(&put("later", "1"), commit).unwrap();
    pending.commit(commit, || Ok(())).unwrap();
    let mut expected: Vec<Bytes> = (0..added).map(|n| format!("{n:03}").into()).collect();
    expected.push("later".into());
    assert_eq!(*committed.borrow(), expected);
    assert!(pending.read().frozen.is_empty());
}

#[test]
fn what_is_added_beside_snapshots_is_all_committed() {
    let pending = Pending::default();
    let (committed, is_over) = (Mutex::new(0), AtomicBool::new(false));
    let commit = |changes: &Changes| {
        *committed.lock().unwrap() += changes.keyspaces[0].writes.len();
        Ok(())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(snapshot(&pending));
            }
        });
        for number in 0..20_000 {
            let writes = [(format!("{number:05}").into(), None)].into();
            let changes = KeyspaceChanges { keyspace: keyspace(), ranges: [].into(), writes };
            pending.add(&Changes { keyspaces: vec![changes] }, commit).unwrap();
        }
        pending.commit(commit, || Ok(())).unwrap();
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(*committed.lock().unwrap(), 20_000);
}

/// Or a copy that is made of what redb has would have a part of a batch.
#[test]
fn nothing_is_committed_before_who_asked_for_all_of_it_is_done() {
    let pending = Pending::default();
    let writes = |from: usize| {
        let keys = from..from + KEYS_MAX - 1;
        let writes = keys.map(|n| (format!("{n:03}").into(), Some("1".into()))).collect();
        let changes = KeyspaceChanges { keyspace: keyspace(), ranges: [].into(), writes };
        Changes { keyspaces: vec![changes] }
    };
    let then = || {
        add(&pending, &writes(0));
        Ok(())
    };
    pending.commit(|_| panic!("there is nothing to commit"), then).unwrap();
    let mut committed = 0;
    let commit = |changes: &Changes| {
        committed += changes.keyspaces[0].writes.len();
        Ok(())
    };
    pending.add(&writes(KEYS_MAX), commit).unwrap();
    assert!(committed > 0);
}

#[test]
fn a_failed_commit_is_the_last_and_loses_nothing_that_was_visible() {
    let pending = Pending::default();
    add(&pending, &put("k", "1"));
    let failed = RefCell::new(0);
    let commit = |_: &Changes| {
        *failed.borrow_mut() += 1;
        Err(Error::engine("the disk is gone"))
    };
    pending.commit(commit, || Ok(())).unwrap_err();
    pending.commit(commit, || Ok(())).unwrap_err();
    assert_eq!(*failed.borrow(), 1, "it is not tried again");
    pending.add(&put("k", "2"), commit).unwrap_err();
    assert_eq!(get(&pending, "k"), Some(Some("1".into())));
}

#[test]
fn a_panic_is_a_failed_commit() {
    let pending = Pending::default();
    add(&pending, &put("k", "1"));
    pending.commit(|_| panic!("on purpose"), || Ok(())).unwrap_err();
    pending.add(&put("k", "2"), |_| Ok(())).unwrap_err();
    pending.commit(|_| Ok(()), || Ok(())).unwrap_err();
    assert_eq!(get(&pending, "k"), Some(Some("1".into())));
}

#[test]
fn what_creates_a_keyspace_alone_or_deletes_a_range_cannot_wait() {
    let mut changes = put("k", "1");
    assert!(can_wait(&changes));
    changes.keyspaces.iter_mut().for_each(|changes| changes.writes.clear());
    assert!(!can_wait(&changes));
    let mut changes = put("k", "1");
    for changes in &mut changes.keyspaces {
        changes.ranges.insert("a".into(), None);
    }
    assert!(!can_wait(&changes));
}

/// An engine that holds nothing.
struct Empty;

impl Snapshot for Empty {
    fn get(&self, _: KeyspaceId, _: &[u8]) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn page(&self, _: KeyspaceId, _: &KeyRange, _: bool, _: PageLimit) -> Result<Page> {
        Ok(Page::default())
    }
}

fn snapshot(pending: &Pending) -> Box<dyn Snapshot> {
    pending.snapshot(|| Ok(Box::new(Empty))).unwrap()
}

/// What a snapshot has, by each way to ask it.
fn all(snapshot: &dyn Snapshot) -> Vec<(Bytes, Bytes)> {
    let range = KeyRange { start: Bytes::new(), end: None };
    let limit = PageLimit { entries: 100, bytes: usize::MAX };
    let page = snapshot.page(keyspace(), &range, false, limit).unwrap();
    for key in ["a", "b", "c"] {
        let entry = page.entries.iter().find(|(found, _)| found == key);
        let expected = Ok(entry.map(|(_, value)| value.clone()));
        assert_eq!(snapshot.get(keyspace(), key.as_bytes()).map_err(|_| ()), expected);
        let found = snapshot.get_many(&[(keyspace(), key.as_bytes()), (keyspace(), b"no")]);
        let found: Vec<_> = found.into_iter().map(|found| found.map_err(|_| ())).collect();
        assert_eq!(found, [expected, Ok(None)]);
    }
    page.entries
}

#[test]
fn a_snapshot_keeps_what_was_pending_when_it_was_taken() {
    let pending = Pending::default();
    let mut deletes = put("b", "");
    deletes.keyspaces[0].writes.insert("b".into(), None);
    add(&pending, &put("a", "1"));
    let first = snapshot(&pending);
    add(&pending, &put("a", "2"));
    add(&pending, &put("b", "2"));
    let second = snapshot(&pending);
    add(&pending, &deletes);
    add(&pending, &put("c", "3"));
    let third = snapshot(&pending);
    let entries = |of: &[(&'static str, &'static str)]| -> Vec<(Bytes, Bytes)> {
        of.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let expected = [
        entries(&[("a", "1")]),
        entries(&[("a", "2"), ("b", "2")]),
        entries(&[("a", "2"), ("c", "3")]),
    ];
    for _ in 0..2 {
        let snapshots = [&first, &second, &third];
        assert_eq!(snapshots.map(|snapshot| all(&**snapshot)), expected);
        // What is committed in redb is no matter of theirs.
        pending
            .commit(
                |changes| {
                    let writes = &changes.keyspaces[0].writes;
                    let newest = [("a", Some("2")), ("b", None), ("c", Some("3"))];
                    let newest = newest.map(|(key, value)| (key.into(), value.map(Bytes::from)));
                    assert_eq!(writes, &newest.into());
                    Ok(())
                },
                || Ok(()),
            )
            .unwrap();
    }
}

#[test]
fn snapshots_that_come_and_go_leave_one_layer() {
    let pending = Pending::default();
    for n in 0..3 {
        add(&pending, &put("k", "1"));
        let snapshot = snapshot(&pending);
        assert_eq!(pending.read().frozen.len(), 1, "{n}");
        // As the write lane does, which lets go of its own behind the commit.
        add(&pending, &put("l", "2"));
        drop(snapshot);
    }
}

#[test]
fn snapshots_that_stay_make_no_more_than_so_many_layers() {
    let pending = Pending::default();
    let mut kept = Vec::new();
    let mut is_enough = false;
    while !is_enough {
        assert!(kept.len() <= LAYERS_MAX);
        let commit = |_: &Changes| {
            is_enough = true;
            Ok(())
        };
        pending.add(&put("k", "1"), commit).unwrap();
        kept.push(snapshot(&pending));
    }
    pending.commit(|_| Ok(()), || Ok(())).unwrap();
    add(&pending, &put("k", "1"));
}
