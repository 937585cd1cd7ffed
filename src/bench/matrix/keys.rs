//! Which key and which operation comes next.
//!
//! The YCSB mixes are those of the core workloads A to F (B. F. Cooper et al., "Benchmarking Cloud
//! Serving Systems with YCSB", SoCC 2010, and the files `workloads/workload[a-f]` of YCSB): zipfian
//! keys with the constant 0.99, the popular ones spread over the key order; D reads what was inserted
//! last, E scans 1 to 100 entries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use crate::bench::choice::Workload;

/// YCSB's `zipfian` constant.
const ZIPF_EXPONENT: f64 = 0.99;

/// Entries of a scan: of the workload `scan`, and at most of YCSB E.
const SCAN_LEN: usize = 100;

/// Random bytes that values are cut from: far more than an engine's compression looks back.
const VALUE_POOL_BYTES: usize = 1 << 20;

/// Key number `n`, spread over the key order, so that neighbours in number are not neighbours on the
/// disk: multiplication by an odd number never maps two to one.
pub(super) fn key(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes())
}

/// One operation, on keys by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    /// Reads a key.
    Read(u64),
    /// Gives a key another value.
    Update(u64),
    /// Reads a key and gives it another value, in one transaction.
    Modify(u64),
    /// Reads some entries from a key on.
    Scan(u64, usize),
    /// Adds a key.
    Insert(u64),
}

/// Values that no engine can compress.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pool: Bytes,
    value_bytes: usize,
}

impl Values {
    pub(super) fn new(value_bytes: usize, seed: u64) -> Self {
        let mut pool = vec![0; VALUE_POOL_BYTES + value_bytes];
        Xoshiro256PlusPlus::seed_from_u64(seed).fill(pool.as_mut_slice());
        Self { pool: pool.into(), value_bytes }
    }

    /// One that follows from `n`.
    pub(super) fn value(&self, n: u64) -> Bytes {
        let begin = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % VALUE_POOL_BYTES as u64) as usize;
        self.pool.slice(begin..begin + self.value_bytes)
    }
}

/// What one caller does, one operation after the other.
#[derive(Debug, Clone)]
pub(super) struct Chooser {
    workload: Workload,
    rng: Xoshiro256PlusPlus,
    keys: u64,
    popularity: Option<Zipf<f64>>,
    /// The number of the next key to insert, which all callers share.
    next_key: Arc<AtomicU64>,
}

impl Chooser {
    /// For caller number `caller` on `keys` keys.
    pub(super) fn new(
        workload: Workload,
        keys: u64,
        seed: u64,
        caller: usize,
        next_key: &Arc<AtomicU64>,
    ) -> Self {
        // Callers must not do the same at the same time.
        let seed = seed.wrapping_add((caller as u64).wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self {
            workload,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            keys,
            popularity: Zipf::new(keys as f64, ZIPF_EXPONENT).ok(),
            next_key: Arc::clone(next_key),
        }
    }

    /// The next operation.
    pub(super) fn choose(&mut self) -> Op {
        let workload = self.workload;
        match workload {
            Workload::GetHit | Workload::GetMiss => Op::Read(self.uniform()),
            Workload::Put | Workload::PutDurable => Op::Update(self.uniform()),
            Workload::Rmw => Op::Modify(self.uniform()),
            Workload::Scan => Op::Scan(self.uniform(), SCAN_LEN),
            Workload::YcsbA if self.is_one_of_100(50) => Op::Update(self.popular()),
            Workload::YcsbB if self.is_one_of_100(5) => Op::Update(self.popular()),
            Workload::YcsbF if self.is_one_of_100(50) => Op::Modify(self.popular()),
            Workload::YcsbD | Workload::YcsbE if self.is_one_of_100(5) => {
                Op::Insert(self.next_key.fetch_add(1, Ordering::Relaxed))
            }
            Workload::YcsbA | Workload::YcsbB | Workload::YcsbC | Workload::YcsbF => {
                Op::Read(self.popular())
            }
            Workload::YcsbD => Op::Read(self.newest()),
            Workload::YcsbE => Op::Scan(self.popular(), self.rng.random_range(1..=SCAN_LEN)),
        }
    }

    /// Something random to make a value from.
    pub(super) fn salt(&mut self) -> u64 {
        self.rng.random()
    }

    fn is_one_of_100(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn uniform(&mut self) -> u64 {
        self.rng.random_range(0..self.keys)
    }

    /// Few keys often, most seldom. Their numbers are ranks: `key` spreads them over the key order.
    fn popular(&mut self) -> u64 {
        match &self.popularity {
            Some(zipf) => (zipf.sample(&mut self.rng) as u64).clamp(1, self.keys) - 1,
            None => self.uniform(),
        }
    }

    /// The later a key was inserted, the more often. It may still be on its way.
    fn newest(&mut self) -> u64 {
        let age = self.popular();
        let newest = self.next_key.load(Ordering::Relaxed).saturating_sub(1);
        newest.saturating_sub(age)
    }
}

/// Whether every key that is read must be there: not where the newest may still be on its way.
pub(super) fn must_find(workload: Workload) -> bool {
    workload != Workload::YcsbD
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const KEYS: u64 = 10_000;

    fn chosen(workload: Workload, count: usize) -> Vec<Op> {
        let mut chooser = Chooser::new(workload, KEYS, 7, 0, &Arc::new(AtomicU64::new(KEYS)));
        (0..count).map(|_| chooser.choose()).collect()
    }

    #[test]
    fn the_mixes_are_those_of_ycsb() {
        type Is = fn(&Op) -> bool;
        let update: Is = |op| matches!(op, Op::Update(_));
        let modify: Is = |op| matches!(op, Op::Modify(_));
        let insert: Is = |op| matches!(op, Op::Insert(_));
        let read: Is = |op| matches!(op, Op::Read(_));
        let scan: Is = |op| matches!(op, Op::Scan(_, 1..=100));
        let mixes = [
            (Workload::YcsbA, read, 0.5, update),
            (Workload::YcsbB, read, 0.95, update),
            (Workload::YcsbC, read, 1.0, update),
            (Workload::YcsbD, read, 0.95, insert),
            (Workload::YcsbE, scan, 0.95, insert),
            (Workload::YcsbF, read, 0.5, modify),
        ];
        for (workload, usual, share, other) in mixes {
            let ops = chosen(workload, 20_000);
            let found = ops.iter().filter(|op| usual(op)).count() as f64 / ops.len() as f64;
            assert!((found - share).abs() < 0.01, "{workload:?}: {found}");
            assert!(ops.iter().all(|op| usual(op) || other(op)), "{workload:?}");
        }
    }

    #[test]
    fn zipfian_keys_are_as_popular_as_their_rank_says() {
        let mut counts = vec![0_u32; KEYS as usize];
        let draws = 200_000;
        for op in chosen(Workload::YcsbC, draws) {
            let Op::Read(n) = op else { panic!("{op:?}") };
            counts[n as usize] += 1;
        }
        let harmonic: f64 = (1..=KEYS).map(|rank| (rank as f64).powf(-ZIPF_EXPONENT)).sum();
        for rank in [1, 2, 10] {
            let expected = draws as f64 * f64::from(rank).powf(-ZIPF_EXPONENT) / harmonic;
            let found = f64::from(counts[rank as usize - 1]);
            assert!((found / expected - 1.0).abs() < 0.1, "{rank}: {found}, not {expected}");
        }
    }

    #[test]
    fn d_reads_the_newest_most() {
        let ops = chosen(Workload::YcsbD, 20_000);
        let mut newest = KEYS - 1;
        let mut hits = 0;
        for op in ops {
            match op {
                Op::Insert(n) => newest = n,
                Op::Read(n) => hits += u32::from(n == newest),
                other => panic!("{other:?}"),
            }
        }
        assert!(hits > 1500, "{hits}");
    }

    #[test]
    fn uniform_keys_reach_every_key() {
        let ops = chosen(Workload::GetHit, 200_000);
        let found: HashSet<u64> =
            ops.iter().map(|op| if let Op::Read(n) = op { *n } else { panic!("{op:?}") }).collect();
        assert_eq!(found.len() as u64, KEYS);
        assert_eq!(found.iter().max(), Some(&(KEYS - 1)));
    }

    #[test]
    fn a_seed_repeats_itself_and_callers_differ() {
        assert_eq!(chosen(Workload::YcsbE, 100), chosen(Workload::YcsbE, 100));
        let next_key = Arc::new(AtomicU64::new(KEYS));
        let mut other = Chooser::new(Workload::YcsbC, KEYS, 7, 1, &next_key);
        let others: Vec<Op> = (0..100).map(|_| other.choose()).collect();
        assert_ne!(chosen(Workload::YcsbC, 100), others);
    }

    #[test]
    fn keys_differ_and_values_have_their_size() {
        let keys: HashSet<Bytes> = (0..10_000).map(key).collect();
        assert_eq!(keys.len(), 10_000);
        let values = Values::new(100, 1);
        assert_eq!(values.value(3).len(), 100);
        assert_ne!(values.value(3), values.value(4));
        assert_eq!(Values::new(0, 1).value(9).len(), 0);
    }
}
