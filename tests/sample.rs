//! Random elements come equally often, from a small collection and from a large one that is not read
//! whole: the chi-square test that Redis makes of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::executor::block_on;
use harness::{START_MS, Shell};
use pontoon::data::encoding::hashed;
use pontoon::data::{Collection, DbReader, DbWriter, Element, Kind, RunState, Sampler};
use pontoon_storage::Error;
use pontoon_storage::engine::PageLimit;

/// Calls `test` with a collection of these members, behind a prefix, beside others behind other prefixes.
fn with_collection<T: Send + 'static>(
    subkeys: Vec<Bytes>,
    test: impl FnOnce(&mut DbReader<'_>, &Collection) -> T + Send + 'static,
) -> T {
    let shell = Shell::new();
    let collection = shell.update(move |tx, databases| {
        let mut state = RunState::new(databases, START_MS);
        let mut db = DbWriter::new(tx, &mut state, 0);
        let mut collection = Collection::new(Kind::Set);
        for beside in ["a", "z"] {
            collection.put(&mut db, beside.as_bytes(), Bytes::from_static(b"beside"))?;
        }
        for subkey in &subkeys {
            collection.put(&mut db, subkey, Bytes::from_static(b"v"))?;
        }
        collection.set_size(subkeys.len() as u64);
        state.write_books(tx)?;
        Ok(collection)
    });
    let databases = shell.databases.clone();
    let tested = shell.store.view(move |view| {
        let mut state = RunState::new(&databases, START_MS);
        Ok::<_, Error>(test(&mut DbReader::new(view, &mut state, 0), &collection))
    });
    block_on(tested).unwrap()
}

fn members(count: u32) -> Vec<Bytes> {
    (0..count).map(|n| hashed::subkey_behind(b"m", n.to_string().as_bytes())).collect()
}

fn chi_square(drawn: &[Element], size: usize) -> f64 {
    let mut counts: BTreeMap<&Bytes, u32> = BTreeMap::new();
    for (subkey, value) in drawn {
        assert!(subkey.starts_with(b"m") && value == "v");
        *counts.entry(subkey).or_default() += 1;
    }
    let expected = drawn.len() as f64 / size as f64;
    let missing = (size - counts.len()) as f64 * expected;
    let deviation = |count: u32| (f64::from(count) - expected).powi(2) / expected;
    missing + counts.into_values().map(deviation).sum::<f64>()
}

/// What the chi-square of a fair choice among `size` exceeds once in 100,000 times.
fn bound(size: usize) -> f64 {
    // Wilson and Hilferty's approximation.
    let freedom = (size - 1) as f64;
    let part = 2.0 / (9.0 * freedom);
    freedom * (1.0 - part + 4.265 * part.sqrt()).powi(3)
}

#[test]
fn the_bound_is_what_redis_tests_with() {
    assert!((bound(10) - 40.0).abs() < 1.5, "{}", bound(10));
    assert!((bound(30) - 73.0).abs() < 1.5, "{}", bound(30));
}

#[test]
fn elements_come_equally_often() {
    // Packed; large, and read whole for as many; drawn cell by cell.
    for size in [10, 200, 2000] {
        for drawn_at_once in [1, 20, 1000] {
            let drawn = with_collection(members(size), move |db, collection| {
                assert_eq!(collection.is_packed(), size == 10);
                let mut sampler = Sampler::seeded(collection, b"m", 1);
                let mut drawn = vec![];
                while drawn.len() < 10 * size as usize {
                    drawn.extend(sampler.repeated(db, drawn_at_once).unwrap());
                }
                drawn
            });
            let chi_square = chi_square(&drawn, size as usize);
            assert!(chi_square < bound(size as usize), "{size}, {drawn_at_once}: {chi_square}");
        }
    }
}

#[test]
fn distinct_elements_come_equally_often_and_once() {
    for (size, count) in [(10, 8), (10, 2), (200, 100), (200, 3), (2000, 20), (2000, 1500)] {
        let drawn = with_collection(members(size), move |db, collection| {
            let mut sampler = Sampler::seeded(collection, b"m", 2);
            let mut drawn = vec![];
            while drawn.len() < 10 * size as usize {
                let once = sampler.distinct(db, count).unwrap();
                let different: BTreeSet<_> = once.iter().map(|(subkey, _)| subkey).collect();
                assert_eq!((once.len() as u64, different.len() as u64), (count, count));
                drawn.extend(once);
            }
            drawn
        });
        let chi_square = chi_square(&drawn, size as usize);
        assert!(chi_square < bound(size as usize), "{count} of {size}: {chi_square}");
    }
}

#[test]
fn repeated_elements_come_in_random_order() {
    let (first, second) = with_collection(members(50), |db, collection| {
        let mut sampler = Sampler::seeded(collection, b"m", 3);
        let pairs: Vec<_> = (0..500).map(|_| sampler.repeated(db, 2).unwrap()).collect();
        let first_is_less = pairs.iter().filter(|pair| pair[0].0 < pair[1].0).count();
        let second_is_less = pairs.iter().filter(|pair| pair[0].0 > pair[1].0).count();
        (first_is_less, second_is_less)
    });
    assert!(first > 180 && second > 180, "{first} and {second} of 500");
}

/// The chi-square test tells a fair choice from one that is not: what is behind a random hash.
#[test]
fn what_is_next_to_a_random_hash_fails_the_test() {
    let drawn = with_collection(members(2000), |db, collection| {
        let mut hashes = Sampler::seeded(collection, b"m", 4);
        let mut next = |_| {
            let (subkey, _) = hashes.one(db).unwrap().unwrap();
            let (hash, _) = hashed::split(1, &subkey).unwrap();
            let start = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
            let range = hashed::range_from(b"m", start);
            collection.page(db, &range, false, PageLimit::ONE).unwrap().entries.pop()
        };
        (0..10_000).filter_map(&mut next).collect::<Vec<_>>()
    });
    let chi_square = chi_square(&drawn, 2000);
    assert!(chi_square > 2.0 * bound(2000), "{chi_square}");
}

#[test]
fn all_and_none_and_more_than_there_are() {
    for size in [0, 1, 10, 300] {
        with_collection(members(size), move |db, collection| {
            let mut sampler = Sampler::new(collection, b"m");
            let all = |drawn: Vec<Element>| {
                drawn.into_iter().map(|(subkey, _)| subkey).collect::<BTreeSet<_>>().len()
            };
            assert_eq!(sampler.distinct(db, 0).unwrap(), []);
            assert_eq!(sampler.repeated(db, 0).unwrap(), []);
            assert_eq!(all(sampler.distinct(db, u64::from(size)).unwrap()), size as usize);
            assert_eq!(all(sampler.distinct(db, u64::MAX).unwrap()), size as usize);
            assert_eq!(sampler.one(db).unwrap().is_some(), size > 0);
            let repeated = sampler.repeated(db, 1000).unwrap().len();
            assert_eq!(repeated, if size > 0 { 1000 } else { 0 });
        });
    }
}

/// Members chosen for their hashes: all in one cell of many, which draws find hardly ever.
#[test]
fn members_in_one_cell_are_found_all_the_same() {
    let size = 20_000u64;
    let crowded = |n: u64| Bytes::from([&b"m"[..], &n.to_be_bytes(), b"x"].concat());
    with_collection((0..size).map(crowded).collect(), |db, collection| {
        let mut sampler = Sampler::seeded(collection, b"m", 5);
        for count in [1, 10, 100] {
            let drawn = sampler.distinct(db, count).unwrap();
            let different: BTreeSet<_> = drawn.iter().map(|(subkey, _)| subkey).collect();
            assert_eq!((drawn.len() as u64, different.len() as u64), (count, count));
        }
        assert_eq!(sampler.repeated(db, 5).unwrap().len(), 5);
        assert_eq!(sampler.distinct(db, 19_000).unwrap().len(), 19_000);
    });
}
