//! Random changes against a model, with segments so short that there are many; and after each, whether the
//! counts are those of what is stored.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use futures::executor::block_on;
use pontoon_storage::{Error, Options, Store};
use proptest::prelude::*;

use super::super::{DbWriter, KEY_BYTES_MAX, RunState, STORAGE_KEY_BYTES_MAX};
use super::interval::Span;
use super::*;

type Model = BTreeMap<Bytes, f64>;

#[derive(Debug, Clone)]
enum Change {
    Put(Vec<(u8, i8)>),
    Remove(Vec<u8>),
    DropRanks(u16, u16),
    DropScores(i8, i8),
    Pop(u8, bool),
    Store(Vec<(u8, i8)>),
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let puts = |len| prop::collection::vec((any::<u8>(), any::<i8>()), len);
    prop::collection::vec(
        prop_oneof![
            12 => puts(1..40).prop_map(Change::Put),
            4 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Change::Remove),
            2 => (0u16..200, 0u16..30).prop_map(|(start, len)| Change::DropRanks(start, len)),
            2 => (any::<i8>(), 0i8..20).prop_map(|(min, len)| Change::DropScores(min, min.saturating_add(len))),
            2 => (1u8..30, any::<bool>()).prop_map(|(count, reverse)| Change::Pop(count, reverse)),
            1 => puts(0..100).prop_map(Change::Store),
        ],
        1..30,
    )
}

/// A name long enough that a handful are too many for a record; in some, all begin alike for longer than
/// a segment's start may be.
fn name(number: u8, alike_len: usize) -> Bytes {
    let mut name = vec![b'm'; alike_len];
    name.extend_from_slice(format!("{number:03}").as_bytes());
    name.into()
}

fn sorted(model: &Model) -> Vec<Scored> {
    let mut members: Vec<_> =
        model.iter().map(|(member, score)| (member.clone(), *score)).collect();
    members.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(&b.0)));
    members
}

fn key() -> Bytes {
    Bytes::from_static(b"key")
}

fn apply(db: &mut DbWriter<'_>, model: &mut Model, change: &Change, alike_len: usize) {
    if let Change::Store(pairs) = change {
        model.clear();
        model.extend(pairs.iter().map(|(n, score)| (name(*n, alike_len), f64::from(*score))));
        store(db, &key(), &sorted(model)).unwrap();
        return;
    }
    let mut editor = SortedSetEditor::open(db, &key()).unwrap();
    let in_order = sorted(model);
    let mut expected = vec![];
    let slice = match change {
        Change::Put(pairs) => {
            for (n, score) in pairs {
                let (member, score) = (name(*n, alike_len), f64::from(*score));
                let old = editor.score(db, &member).unwrap();
                assert_eq!(old, model.insert(member.clone(), score));
                editor.put(db, &member, old, score).unwrap();
            }
            None
        }
        Change::Remove(numbers) => {
            for member in numbers.iter().map(|n| name(*n, alike_len)) {
                let score = editor.score(db, &member).unwrap();
                assert_eq!(score, model.remove(&member));
                if let Some(score) = score {
                    editor.remove(db, &member, score).unwrap();
                }
            }
            None
        }
        Change::DropRanks(start, len) => {
            let (start, len) = (usize::from(*start), usize::from(*len));
            expected.extend(in_order.iter().skip(start).take(len).cloned());
            Some(Slice { offset: start as u64, limit: len as u64, ..Slice::ALL })
        }
        Change::DropScores(min, max) => {
            let (min, max) = (f64::from(*min), f64::from(*max));
            expected.extend(in_order.into_iter().filter(|(_, s)| (min..=max).contains(s)));
            let bound = |score| ScoreBound { score, exclusive: false };
            Some(Slice { interval: Interval::Scores(bound(min), bound(max)), ..Slice::ALL })
        }
        Change::Pop(count, reverse) => {
            let mut in_order = in_order;
            if *reverse {
                in_order.reverse();
            }
            expected.extend(in_order.into_iter().take(usize::from(*count)));
            Some(Slice { reverse: *reverse, limit: u64::from(*count), ..Slice::ALL })
        }
        Change::Store(_) => unreachable!(),
    };
    if let Some(slice) = slice {
        let mut removed = vec![];
        let visit = |score, member: &Bytes| removed.push((member.clone(), score));
        let count = editor.remove_slice(db, &slice, visit).unwrap();
        assert_eq!((count, &removed), (expected.len() as u64, &expected));
        model.retain(|member, _| !expected.iter().any(|(gone, _)| gone == member));
    }
    assert_eq!(editor.save(db).unwrap(), !model.is_empty());
}

/// Whether what is stored is the model, and the directory and the counts are right.
fn check(db: &mut DbReader<'_>, model: &Model) {
    let Some(set) = SortedSet::read(db, &key()).unwrap() else {
        assert!(model.is_empty());
        return;
    };
    let expected = sorted(model);
    assert_eq!(set.size(), expected.len() as u64);
    let mut found = vec![];
    set.for_each(db, &Slice::ALL, |score, member| {
        found.push((member, score));
        Ok(true)
    })
    .unwrap();
    assert_eq!(found, expected);
    let names: Vec<_> = expected.iter().map(|(member, _)| member).collect();
    let scores: Vec<_> = expected.iter().map(|(_, score)| Some(*score)).collect();
    assert_eq!(set.scores(db, &names).unwrap(), scores);
    let members = super::super::encoding::hashed::range_from(bytes_of::MEMBER_PREFIX, 0);
    let mut members_len = 0;
    let count = |_, _| {
        members_len += 1;
        Ok(true)
    };
    set.collection.for_each(db, members, false, count).unwrap();
    assert_eq!(members_len, expected.len());
    check_segments(db, &set);
}

fn check_segments(db: &mut DbReader<'_>, set: &SortedSet) {
    let mut counts = Vec::new();
    set.collection
        .for_each(db, bytes_of::counts(0, usize::MAX), false, |subkey, stored| {
            let first = bytes_of::block_of(&subkey)? * bytes_of::COUNTS_PER_BLOCK;
            assert_eq!(first, counts.len(), "each block but the last is full");
            counts.extend(bytes_of::decode_counts(&stored)?);
            Ok(true)
        })
        .unwrap();
    let Some(directory) = set.directory(db).unwrap() else {
        assert!(counts.is_empty());
        assert_eq!(set.collection.get(db, bytes_of::DIRECTORY_SUBKEY).unwrap(), None);
        let is_uneven = set.rank_walk_len() > 0;
        let len_max = segments::len_max(set.size());
        assert!(is_uneven || set.collection.is_packed() || set.size() < 4 * len_max);
        return;
    };
    assert_eq!(counts.len(), directory.segments_len());
    let len_max = segments::len_max(set.size());
    assert!(
        directory.segments_len() as u64 <= 2 + 8 * set.size() / len_max,
        "{} segments of {}",
        directory.segments_len(),
        set.size()
    );
    for (segment, count) in counts.into_iter().enumerate() {
        let start = directory.start(segment).unwrap();
        let span = Span { start, end: directory.start(segment + 1) };
        let mut inside = 0;
        set.collection
            .for_each(db, span.range(), false, |_, _| {
                inside += 1;
                Ok(true)
            })
            .unwrap();
        assert_eq!(count, inside, "segment {segment}");
    }
}

/// Ranks, counts, and slices from any place on.
fn check_ranks(db: &mut DbReader<'_>, model: &Model) {
    let Some(set) = SortedSet::read(db, &key()).unwrap() else { return };
    let expected = sorted(model);
    for (rank, (member, score)) in expected.iter().enumerate() {
        let behind = expected.len() - 1 - rank;
        assert_eq!(set.rank(db, member, false).unwrap(), Some(rank as u64));
        assert_eq!(set.rank(db, member, true).unwrap(), Some(behind as u64));
        let place = set.place_at(db, rank as u64).unwrap().unwrap();
        assert_eq!(place, bytes_of::place_of(&bytes_of::place_subkey(*score, member)));
    }
    assert_eq!(set.place_at(db, set.size()).unwrap(), None);
    for (min, max) in [(-200, 200), (-50, 50), (0, 0), (-128, -100), (90, 127), (5, 4)] {
        for (min_exclusive, max_exclusive) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let min = ScoreBound { score: f64::from(min), exclusive: min_exclusive };
            let max = ScoreBound { score: f64::from(max), exclusive: max_exclusive };
            let is_inside = |score: f64| {
                (score > min.score || score == min.score && !min.exclusive)
                    && (score < max.score || score == max.score && !max.exclusive)
            };
            let mut inside: Vec<_> =
                expected.iter().filter(|(_, score)| is_inside(*score)).cloned().collect();
            let interval = Interval::Scores(min, max);
            assert_eq!(set.count(db, &interval).unwrap(), inside.len() as u64);
            for reverse in [false, true] {
                for offset in [0, 3, SKIPPED_MAX as usize + 1, 180] {
                    let (offset_u64, limit) = (offset as u64, 7);
                    let slice =
                        Slice { interval: interval.clone(), reverse, offset: offset_u64, limit };
                    let mut found = vec![];
                    set.for_each(db, &slice, |score, member| {
                        found.push((member, score));
                        Ok(true)
                    })
                    .unwrap();
                    let wanted: Vec<_> = inside.iter().skip(offset).take(7).cloned().collect();
                    assert_eq!(found, wanted, "{slice:?}");
                }
                inside.reverse();
            }
        }
    }
}

fn with_store(run: impl FnOnce(&mut DbWriter<'_>) + Send + 'static) {
    let options = Options::in_memory().key_bytes_max(STORAGE_KEY_BYTES_MAX).pool_threads(1);
    let store = block_on(Store::open(options)).unwrap();
    let databases = block_on(super::super::Databases::open(&store)).unwrap();
    let done = store.update(move |tx| {
        let mut state = RunState::new(&databases, 1);
        run(&mut DbWriter::new(tx, &mut state, 0));
        Ok::<_, Error>(())
    });
    block_on(done).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn counts_are_exact_after_any_changes(
        changes in changes(), alike_len in prop_oneof![4 => Just(40usize), 1 => Just(200)],
    ) {
        with_store(move |db| {
            let mut model = Model::new();
            for change in &changes {
                apply(db, &mut model, change, alike_len);
                check(&mut db.reader(), &model);
            }
            check_ranks(&mut db.reader(), &model);
        });
    }
}

#[test]
fn segments_are_longer_in_larger_sets() {
    let min = segments::SEGMENT_LEN_MIN;
    let small = min * min / 4;
    for (size, expected) in [
        (0, min),
        (1, min),
        (small, min),
        (small + 1, 2 * min),
        (4 * small, 2 * min),
        (4 * small + 1, 4 * min),
        (16 * small, 4 * min),
        (16 * small + 1, 8 * min),
    ] {
        assert_eq!(segments::len_max(size), expected, "{size}");
    }
}

/// Members in ascending order, as times are added, and then all taken from the front.
#[test]
fn a_queue_by_time_is_divided_and_merged() {
    with_store(|db| {
        let mut model = Model::new();
        let mut segments_max = 0;
        for n in 0..600u32 {
            let mut editor = SortedSetEditor::open(db, &key()).unwrap();
            let member = Bytes::from(format!("{n:040}"));
            editor.put(db, &member, None, f64::from(n)).unwrap();
            editor.save(db).unwrap();
            model.insert(member, f64::from(n));
        }
        check(&mut db.reader(), &model);
        while !model.is_empty() {
            let mut editor = SortedSetEditor::open(db, &key()).unwrap();
            if let Some(directory) = editor.set().directory(&mut db.reader()).unwrap() {
                segments_max = segments_max.max(directory.segments_len());
            }
            let slice = Slice { limit: 5, ..Slice::ALL };
            let mut popped = vec![];
            editor.remove_slice(db, &slice, |_, member| popped.push(member.clone())).unwrap();
            editor.save(db).unwrap();
            for member in popped {
                assert_eq!(model.pop_first().unwrap().0, member);
            }
            check(&mut db.reader(), &model);
        }
        assert!(segments_max > 10, "{segments_max}");
    });
}

/// Names that cannot be told apart where segments begin: found all the same, by walking.
#[test]
fn names_that_begin_alike_for_long_are_not_divided() {
    with_store(|db| {
        let mut model = Model::new();
        for n in 0..100 {
            let mut editor = SortedSetEditor::open(db, &key()).unwrap();
            editor.put(db, &name(n, 200), None, 1.0).unwrap();
            editor.save(db).unwrap();
            model.insert(name(n, 200), 1.0);
        }
        let set = SortedSet::read(&mut db.reader(), &key()).unwrap().unwrap();
        assert_eq!(set.rank_walk_len(), 100);
        assert!(!set.is_divided());
        check(&mut db.reader(), &model);
        check_ranks(&mut db.reader(), &model);
        let stored: Vec<_> = sorted(&model);
        store(db, &key(), &stored).unwrap();
        let set = SortedSet::read(&mut db.reader(), &key()).unwrap().unwrap();
        assert_eq!(set.rank_walk_len(), 100);
        check(&mut db.reader(), &model);
    });
}

#[test]
fn the_longest_member_and_no_longer() {
    with_store(|db| {
        let longest = vec![b'm'; KEY_BYTES_MAX];
        let mut editor = SortedSetEditor::open(db, &key()).unwrap();
        editor.put(db, &longest, None, 1.0).unwrap();
        let longer = vec![b'm'; KEY_BYTES_MAX + 1];
        let refused = editor.put(db, &longer, None, 1.0);
        assert!(matches!(refused, Err(super::super::Error::MemberTooLong)));
        assert!(editor.save(db).unwrap());
        let set = SortedSet::read(&mut db.reader(), &key()).unwrap().unwrap();
        assert_eq!(set.score(&mut db.reader(), &longest).unwrap(), Some(1.0));
        assert_eq!(set.score(&mut db.reader(), &longer).unwrap(), None);
    });
}
