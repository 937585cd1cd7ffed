//! Random operations, nested savepoints and rollbacks of a transaction against a `BTreeMap`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::engine::{
    Changes, Engine, EngineKind, EngineOptions, KeyspaceChanges, Page, PageLimit, Snapshot,
};
use crate::error::Result;
use crate::keyspace::{Keyspace, KeyspaceId, KeyspaceNames};
use crate::options::{Durability, SizeLimits};
use crate::overlay::Overlay;
use crate::range::KeyRange;
use crate::read::{Reader, ScanOptions};
use crate::shared::Shared;
use crate::transaction::Transaction;

const STORE: u64 = 1;
const KEYSPACES: [&str; 2] = ["a", "b"];
const CASES: u32 = 256;
const EVERYTHING: PageLimit = PageLimit { entries: usize::MAX, bytes: usize::MAX };

type Map = BTreeMap<Bytes, Bytes>;

/// What the transaction must show, by keyspace; and which keyspaces it has written to.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    maps: [Map; 2],
    touched: [bool; 2],
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Bytes, Bytes),
    Delete(usize, Bytes),
    DeleteRange(usize, KeyRange),
    Savepoint { steps: Vec<Step>, fails: bool },
    Check { keyspace: usize, range: KeyRange, reverse: bool, limit: PageLimit },
}

/// One operation of a drain.
#[derive(Debug, Clone)]
struct Operation {
    steps: Vec<Step>,
    fails: bool,
}

fn key() -> impl Strategy<Value = Bytes> {
    vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xff)], 0..3).prop_map(Bytes::from)
}

/// Reversed and empty ranges included.
fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        4 => (key(), key()).prop_map(|(start, end)| KeyRange::new(start, Some(end))),
        1 => key().prop_map(|start| KeyRange::new(start, None)),
        1 => key().prop_map(|end| KeyRange::new("", Some(end))),
        1 => key().prop_map(KeyRange::prefix),
        1 => Just(KeyRange::ALL),
    ]
}

fn limit() -> impl Strategy<Value = PageLimit> {
    prop_oneof![
        (0usize..4).prop_map(|entries| PageLimit { entries, bytes: usize::MAX }),
        (0usize..8).prop_map(|bytes| PageLimit { entries: usize::MAX, bytes }),
        Just(EVERYTHING),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let keyspace = || 0..KEYSPACES.len();
    let leaf = prop_oneof![
        4 => (keyspace(), key(), vec(any::<u8>(), 0..3))
            .prop_map(|(keyspace, key, value)| Step::Put(keyspace, key, value.into())),
        2 => (keyspace(), key()).prop_map(|(keyspace, key)| Step::Delete(keyspace, key)),
        2 => (keyspace(), range()).prop_map(|(keyspace, range)| Step::DeleteRange(keyspace, range)),
        3 => (keyspace(), range(), any::<bool>(), limit()).prop_map(
            |(keyspace, range, reverse, limit)| Step::Check { keyspace, range, reverse, limit }
        ),
    ];
    leaf.prop_recursive(3, 32, 6, |inner| {
        (vec(inner, 0..6), any::<bool>())
            .prop_map(|(steps, fails)| Step::Savepoint { steps, fails })
    })
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation =
        (vec(step(), 0..8), any::<bool>()).prop_map(|(steps, fails)| Operation { steps, fails });
    vec(operation, 1..5)
}

struct Run {
    keyspaces: [Keyspace; 2],
    model: Model,
}

impl Run {
    fn steps(&mut self, tx: &mut Transaction, steps: &[Step]) {
        for step in steps {
            self.step(tx, step);
        }
    }

    fn step(&mut self, tx: &mut Transaction, step: &Step) {
        match step {
            Step::Put(at, key, value) => {
                tx.put(&self.keyspaces[*at], key, value).unwrap();
                self.model.maps[*at].insert(key.clone(), value.clone());
                self.model.touched[*at] = true;
            }
            Step::Delete(at, key) => {
                tx.delete(&self.keyspaces[*at], key).unwrap();
                self.model.maps[*at].remove(key);
                self.model.touched[*at] = true;
            }
            Step::DeleteRange(at, range) => {
                tx.delete_range(&self.keyspaces[*at], range.clone()).unwrap();
                self.model.maps[*at].retain(|key, _| !range.contains(key));
                self.model.touched[*at] |= !range.is_empty();
            }
            Step::Savepoint { steps, fails } => {
                let (before, bytes) = (self.model.clone(), tx.bytes());
                let result = tx.savepoint(|tx| {
                    self.steps(tx, steps);
                    if *fails { Err(()) } else { Ok(()) }
                });
                assert_eq!(result.is_err(), *fails);
                if *fails {
                    self.model = before;
                    assert_eq!(tx.bytes(), bytes);
                }
            }
            Step::Check { keyspace, range, reverse, limit } => {
                self.check(tx, *keyspace, range, *reverse, *limit);
            }
        }
    }

    fn check(
        &self,
        tx: &Transaction,
        at: usize,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) {
        let keyspace = &self.keyspaces[at];
        let expected = entries(&self.model.maps[at], range, reverse);
        let page = tx.page(keyspace, range, reverse, limit).unwrap();
        check_page(&page, &expected, limit);
        let paged = tx.scan(keyspace, range.clone(), ScanOptions { reverse, page: limit });
        assert_eq!(paged.collect::<Result<Vec<_>, _>>().unwrap(), expected);
        let mut asked: Vec<&[u8]> = vec![b"", b"a", b"never there", &[0xff, 0xff]];
        asked.extend(expected.iter().map(|(key, _)| &key[..]));
        let found = tx.get_many(keyspace, &asked).unwrap();
        for (key, found) in asked.iter().zip(found) {
            assert_eq!(found.as_ref(), self.model.maps[at].get(*key));
            assert_eq!(tx.get(keyspace, key).unwrap(), found);
        }
    }

    fn check_everything(&self, tx: &Transaction) {
        for at in 0..KEYSPACES.len() {
            for reverse in [false, true] {
                self.check(tx, at, &KeyRange::ALL, reverse, EVERYTHING);
            }
        }
    }

    /// What the drain hands to its engine brings the engine to where the model is.
    fn check_applied(&self, engine: &dyn Engine, changes: &Changes) {
        check_form(changes);
        for (at, keyspace) in self.keyspaces.iter().enumerate() {
            let named = changes.keyspaces.iter().any(|changes| changes.keyspace == keyspace.id);
            assert_eq!(named, self.model.touched[at], "an undone write creates no keyspace");
        }
        engine.apply(changes, false).unwrap();
        let snapshot = engine.snapshot().unwrap();
        for (at, keyspace) in self.keyspaces.iter().enumerate() {
            let page = snapshot.page(keyspace.id, &KeyRange::ALL, false, EVERYTHING).unwrap();
            assert_eq!(page.entries, entries(&self.model.maps[at], &KeyRange::ALL, false));
        }
    }
}

fn entries(map: &Map, range: &KeyRange, reverse: bool) -> Vec<(Bytes, Bytes)> {
    let inside = map.iter().filter(|(key, _)| range.contains(key));
    let mut entries: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
    if reverse {
        entries.reverse();
    }
    entries
}

/// A page ends with the entry that reaches its limit, and says so.
fn check_page(page: &Page, expected: &[(Bytes, Bytes)], limit: PageLimit) {
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

/// The form that engines rely on: ranges disjoint, none of them empty, never touching.
fn check_form(changes: &Changes) {
    for keyspace in &changes.keyspaces {
        let mut before: Option<&Option<Bytes>> = None;
        for (start, end) in &keyspace.ranges {
            assert!(end.as_ref().is_none_or(|end| start < end), "empty: {keyspace:?}");
            let apart = before.is_none_or(|before| before.as_ref().is_some_and(|end| end < start));
            assert!(apart, "touching: {keyspace:?}");
            before = Some(end);
        }
    }
}

/// Counts the pages that are read of an engine's snapshot.
struct Counted {
    snapshot: Box<dyn Snapshot>,
    pages: AtomicUsize,
}

impl Snapshot for Counted {
    fn get(&self, keyspace: KeyspaceId, key: &[u8]) -> Result<Option<Bytes>> {
        self.snapshot.get(keyspace, key)
    }

    fn page(
        &self,
        keyspace: KeyspaceId,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        self.snapshot.page(keyspace, range, reverse, limit)
    }
}

#[test]
fn what_is_deleted_is_stepped_over_in_few_pages() {
    let names = Arc::new(KeyspaceNames::new(STORE, 16));
    let keyspace = names.intern("a").unwrap().id;
    let engine = EngineKind::Memory.open(Path::new(""), &EngineOptions::default(), names).unwrap();
    let key = |n: usize| Bytes::copy_from_slice(&n.to_be_bytes());
    let writes = (0..2000).map(|n| (key(n), Some(Bytes::new()))).collect();
    let filled = KeyspaceChanges { keyspace, ranges: BTreeMap::new(), writes };
    engine.apply(&Changes { keyspaces: vec![filled] }, false).unwrap();
    let snapshot = engine.snapshot().unwrap();
    let counted = Counted { snapshot, pages: AtomicUsize::new(0) };
    let mut overlay = Overlay::default();
    (0..1000).chain(1100..2000).for_each(|n| overlay.delete(keyspace, key(n)));
    for (reverse, first) in [(false, 1000), (true, 1099)] {
        let page =
            overlay.page(&counted, keyspace, &KeyRange::ALL, reverse, PageLimit::ONE).unwrap();
        assert_eq!(page.entries, [(key(first), Bytes::new())]);
        let pages = counted.pages.swap(0, Ordering::Relaxed);
        assert!(pages < 14, "{pages}");
    }
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_transaction_does_what_a_map_does(
        first in prop::array::uniform2(prop::collection::btree_map(key(), key(), 0..12)),
        operations in operations(),
    ) {
        let names = Arc::new(KeyspaceNames::new(STORE, 16));
        let keyspaces = KEYSPACES.map(|name| names.intern(name).unwrap());
        let options = EngineOptions::default();
        let engine = EngineKind::Memory.open(Path::new(""), &options, Arc::clone(&names)).unwrap();
        let filled = keyspaces.iter().zip(&first).map(|(keyspace, map)| KeyspaceChanges {
            keyspace: keyspace.id,
            ranges: BTreeMap::new(),
            writes: map.iter().map(|(k, v)| (k.clone(), Some(v.clone()))).collect(),
        });
        engine.apply(&Changes { keyspaces: filled.collect() }, false).unwrap();
        let limits = SizeLimits {
            key_bytes_max: 64,
            value_bytes_max: 64,
            transaction_bytes_max: usize::MAX,
        };
        let shared = Shared::new(engine, names, STORE, limits, Durability::Never, None);
        let engine = shared.engine().unwrap();
        let mut tx = Transaction::new(Arc::clone(&engine), &Arc::new(shared));
        let mut run = Run { keyspaces, model: Model { maps: first, touched: [false; 2] } };
        for operation in &operations {
            let before = run.model.clone();
            tx.begin();
            run.steps(&mut tx, &operation.steps);
            run.check_everything(&tx);
            if operation.fails {
                tx.abort();
                run.model = before;
                run.check_everything(&tx);
            }
        }
        run.check_applied(engine.as_ref(), tx.changes());
    }
}
