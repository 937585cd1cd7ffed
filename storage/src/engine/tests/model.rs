//! Random batches against a `BTreeMap`, with snapshots held and the engine reopened in between.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use super::*;

type Model = BTreeMap<&'static str, BTreeMap<Bytes, Bytes>>;

const KEYSPACES: [&str; 2] = ["a", "b"];

/// Few enough cases for every build; the sequences inside are long.
const CASES: u32 = 32;

#[derive(Debug, Clone)]
enum Step {
    Apply {
        changes: Vec<(&'static str, Ranges, Writes)>,
        sync: bool,
    },
    /// More keys at once than random batches ever hold.
    Fill {
        keyspace: &'static str,
        prefix: u8,
        count: u8,
    },
    DropKeyspace(&'static str),
    Hold,
    Reopen,
}

type Ranges = BTreeMap<Bytes, Option<Bytes>>;
type Writes = BTreeMap<Bytes, Option<Bytes>>;

fn key() -> impl Strategy<Value = Bytes> {
    vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xff)], 0..4).prop_map(Bytes::from)
}

/// Neighbours in a sorted set of bounds make ranges that are disjoint and never touch.
fn ranges() -> impl Strategy<Value = Ranges> {
    prop_oneof![
        3 => Just(Ranges::new()),
        2 => btree_set(key(), 0..6).prop_map(|bounds| {
            let bounds: Vec<Bytes> = bounds.into_iter().collect();
            bounds.chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned())).collect()
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let keyspace = || prop::sample::select(&KEYSPACES[..]);
    let writes = || btree_map(key(), option::weighted(0.8, key()), 0..12);
    let changes = (keyspace(), ranges(), writes()).prop_map(|change| vec![change]);
    let both = (ranges(), writes(), ranges(), writes())
        .prop_map(|(r1, w1, r2, w2)| vec![("a", r1, w1), ("b", r2, w2)]);
    prop_oneof![
        8 => (prop_oneof![changes, both], any::<bool>())
            .prop_map(|(changes, sync)| Step::Apply { changes, sync }),
        2 => (keyspace(), prop_oneof![Just(b'a'), Just(0xff)], 60u8..=255)
            .prop_map(|(keyspace, prefix, count)| Step::Fill { keyspace, prefix, count }),
        1 => keyspace().prop_map(Step::DropKeyspace),
        1 => Just(Step::Hold),
        1 => Just(Step::Reopen),
    ]
}

fn apply_to_model(model: &mut Model, keyspace: &'static str, ranges: &Ranges, writes: &Writes) {
    let map = model.entry(keyspace).or_default();
    for (start, end) in ranges {
        let range = KeyRange { start: start.clone(), end: end.clone() };
        map.retain(|key, _| !range.contains(key));
    }
    for (key, value) in writes {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

fn run_step(f: &mut Fixture, model: &mut Model, step: &Step) {
    match step {
        Step::Apply { changes, sync } => {
            let mut batch = Vec::new();
            for (name, ranges, writes) in changes {
                apply_to_model(model, name, ranges, writes);
                let keyspace = f.keyspace(name);
                let (ranges, writes) = (ranges.clone(), writes.clone());
                batch.push(KeyspaceChanges { keyspace, ranges, writes });
            }
            f.apply_with(batch, *sync);
        }
        Step::Fill { keyspace, prefix, count } => {
            let writes: Writes = (0..*count)
                .map(|i| (Bytes::from(vec![*prefix, i]), Some(Bytes::from(vec![i]))))
                .collect();
            apply_to_model(model, keyspace, &Ranges::new(), &writes);
            f.apply_with(
                [KeyspaceChanges { writes, ..change(f.keyspace(keyspace)) }],
                count % 4 == 0,
            );
        }
        Step::DropKeyspace(name) => {
            let existed = f.engine().drop_keyspace(f.keyspace(name)).unwrap();
            assert_eq!(existed, model.remove(name).is_some());
        }
        Step::Reopen if f.kind.is_persistent() => f.reopen(),
        Step::Reopen | Step::Hold => {}
    }
}

/// Reads single keys without a snapshot: what an engine has not made part of one yet must be found, too.
fn check_points(f: &Fixture, model: &Model) {
    let short = (0..=255u8).map(|byte| vec![byte]);
    let filled =
        [b'a', 0xff].into_iter().flat_map(|first| (0..=255u8).map(move |i| vec![first, i]));
    let keys: Vec<Vec<u8>> = short.chain(filled).collect();
    let mut asked = Vec::new();
    for name in KEYSPACES {
        asked.extend(keys.iter().map(|key| (name, (f.keyspace(name), &key[..]))));
        let known = model.get(name).into_iter().flatten();
        asked.extend(known.map(|(key, _)| (name, (f.keyspace(name), &key[..]))));
    }
    let (names, asked): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
    for ((name, (_, key)), found) in names.iter().zip(&asked).zip(f.engine().get_many(&asked, &()))
    {
        let expected = model.get(name).and_then(|map| map.get(*key));
        assert_eq!(found.unwrap().as_ref(), expected, "{key:?}");
    }
}

/// Reads everything in each way there is, page by page.
fn check(f: &Fixture, snapshot: &dyn Snapshot, model: &Model) {
    let nothing = BTreeMap::new();
    for name in KEYSPACES {
        let keyspace = f.keyspace(name);
        let expected = model.get(name).unwrap_or(&nothing);
        let in_order: Vec<_> = expected.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut reversed = in_order.clone();
        reversed.reverse();
        for limit in [EVERYTHING, PageLimit { entries: 7, bytes: 40 }] {
            assert_eq!(paged(snapshot, keyspace, false, limit), in_order);
            assert_eq!(paged(snapshot, keyspace, true, limit), reversed);
        }
        let mut asked: Vec<(KeyspaceId, &[u8])> = vec![(keyspace, b"never there")];
        asked.extend(expected.keys().map(|key| (keyspace, &key[..])));
        for ((_, key), found) in asked.iter().zip(snapshot.get_many(&asked)) {
            let found = found.unwrap();
            assert_eq!(found.as_ref(), expected.get(*key));
            assert_eq!(snapshot.get(keyspace, key).unwrap(), found);
        }
        check_inner_range(snapshot, keyspace, expected);
    }
}

fn check_inner_range(
    snapshot: &dyn Snapshot,
    keyspace: KeyspaceId,
    expected: &BTreeMap<Bytes, Bytes>,
) {
    let range = KeyRange::from(&b"a"[..]..&b"b"[..]);
    let bounds = (Bound::Included(&b"a"[..]), Bound::Excluded(&b"b"[..]));
    let inside: Vec<_> =
        expected.range::<[u8], _>(bounds).map(|(k, v)| (k.clone(), v.clone())).collect();
    let page = snapshot.page(keyspace, &range, false, EVERYTHING).unwrap();
    assert_eq!(page.entries, inside);
}

fn paged(
    snapshot: &dyn Snapshot,
    keyspace: KeyspaceId,
    reverse: bool,
    limit: PageLimit,
) -> Vec<(Bytes, Bytes)> {
    let mut range = KeyRange::ALL;
    let mut all = Vec::new();
    loop {
        let page = snapshot.page(keyspace, &range, reverse, limit).unwrap();
        let last = page.entries.last().map(|(key, _)| key.clone());
        all.extend(page.entries);
        match last {
            Some(last) if page.more && reverse => range.end = Some(last),
            Some(last) if page.more => range.start = crate::range::successor(&last),
            _ => return all,
        }
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
    fn engines_do_what_a_map_does(steps in vec(step(), 1..25)) {
        for kind in EngineKind::AVAILABLE {
            let mut f = Fixture::new(*kind);
            let mut model = Model::new();
            let mut held = None;
            for (number, step) in steps.iter().enumerate() {
                if matches!(step, Step::Hold) {
                    held = Some((f.snapshot(), model.clone()));
                }
                if matches!(step, Step::Reopen) {
                    held = None;
                }
                run_step(&mut f, &mut model, step);
                check_points(&f, &model);
                // In between, changes heap up that no snapshot has asked for.
                if number % 3 == 0 {
                    check(&f, &*f.snapshot(), &model);
                    check_points(&f, &model);
                }
                if let Some((snapshot, model)) = &held {
                    check(&f, &**snapshot, model);
                }
            }
            let existing: Vec<&str> = model.keys().copied().collect();
            assert_eq!(f.engine().keyspaces().unwrap(), existing);
        }
    }
}
