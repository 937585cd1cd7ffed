//! The map that an engine with pending writes must look like, and an engine to start from.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::input::Input;
use crate::engine::{Changes, Engine, EngineKind, EngineOptions, KeyspaceChanges, Page, PageLimit};
use crate::keyspace::{Keyspace, KeyspaceNames};
use crate::range::KeyRange;

pub(super) const STORE: u64 = 1;
pub(super) const KEYSPACES: usize = 2;
pub(super) const EVERYTHING: PageLimit = PageLimit { entries: usize::MAX, bytes: usize::MAX };

pub(super) type Map = BTreeMap<Bytes, Bytes>;

/// What must be there, by keyspace.
pub(super) type Maps = [Map; KEYSPACES];

/// An empty memory engine, and its keyspaces.
pub(super) fn engine() -> (Arc<KeyspaceNames>, [Keyspace; KEYSPACES], Box<dyn Engine>) {
    let names = Arc::new(KeyspaceNames::new(STORE, KEYSPACES));
    let keyspaces = ["a", "b"].map(|name| names.intern(name).unwrap());
    let options = EngineOptions::default();
    let engine = EngineKind::Memory.open(Path::new(""), &options, Arc::clone(&names)).unwrap();
    (names, keyspaces, engine)
}

/// Puts some entries into `engine`.
pub(super) fn fill(input: &mut Input<'_>, engine: &dyn Engine, keyspaces: &[Keyspace]) -> Maps {
    let maps: Maps = std::array::from_fn(|_| {
        (0..input.below(8)).map(|_| (input.key(), Bytes::from_static(b"old"))).collect()
    });
    let keyspaces = keyspaces.iter().zip(&maps).map(|(keyspace, map)| KeyspaceChanges {
        keyspace: keyspace.id,
        ranges: BTreeMap::new(),
        writes: map.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect(),
    });
    engine.apply(&Changes { keyspaces: keyspaces.collect() }, false).unwrap();
    maps
}

/// The entries of `range`, in the order asked for.
pub(super) fn entries(map: &Map, range: &KeyRange, reverse: bool) -> Vec<(Bytes, Bytes)> {
    let inside = map.iter().filter(|(key, _)| range.contains(key));
    let mut entries: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
    if reverse {
        entries.reverse();
    }
    entries
}

/// A page ends with the entry that reaches its limit, and says so.
pub(super) fn check_page(page: &Page, expected: &[(Bytes, Bytes)], limit: PageLimit) {
    let (mut len, mut bytes, mut reached) = (0, 0, false);
    for (key, value) in expected {
        len += 1;
        bytes += key.len() + value.len();
        reached = limit.is_reached(len, bytes);
        if reached {
            break;
        }
    }
    assert_eq!(page.entries, expected[..len]);
    assert_eq!(page.more, reached);
}

/// What engines rely on: one element a keyspace, with something in it; ranges disjoint, none of them empty, never touching.
pub(super) fn check_form(changes: &Changes) {
    for (at, keyspace) in changes.keyspaces.iter().enumerate() {
        let others = &changes.keyspaces[at + 1..];
        assert!(others.iter().all(|other| other.keyspace != keyspace.keyspace), "named twice");
        let is_empty = keyspace.ranges.is_empty() && keyspace.writes.is_empty();
        assert!(!is_empty, "an engine would create it for nothing: {keyspace:?}");
        let mut before: Option<&Option<Bytes>> = None;
        for (start, end) in &keyspace.ranges {
            assert!(end.as_ref().is_none_or(|end| start < end), "empty: {keyspace:?}");
            let apart = before.is_none_or(|before| before.as_ref().is_some_and(|end| end < start));
            assert!(apart, "touching: {keyspace:?}");
            before = Some(end);
        }
    }
}

/// The engine holds what `maps` say.
pub(super) fn check_engine(engine: &dyn Engine, keyspaces: &[Keyspace], maps: &Maps) {
    let snapshot = engine.snapshot().unwrap();
    for (keyspace, map) in keyspaces.iter().zip(maps) {
        for reverse in [false, true] {
            let page = snapshot.page(keyspace.id, &KeyRange::ALL, reverse, EVERYTHING).unwrap();
            assert_eq!(page.entries, entries(map, &KeyRange::ALL, reverse));
        }
    }
}
