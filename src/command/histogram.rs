//! How the times of a command are spread: a histogram that many threads write to at once.
//!
//! As an HDR histogram of two digits has it, which is what Redis keeps: each power of two of the time,
//! in nanoseconds, is divided into 128 equal buckets, so that a value read back is at most 1 % off. A
//! time is one addition to one counter; the memory, 24 KiB, is the same however many there are.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The longest time that is told from longer ones: a second, as in Redis.
const NANOS_MAX: u64 = 1_000_000_000;

/// Bits of a time that count, but for the first, which is set.
const DIGITS: u32 = 7;

/// Buckets for every time up to [`NANOS_MAX`].
const BUCKETS: usize = bucket_of(NANOS_MAX) + 1;

/// Where the steps of [`Distribution::cumulative`] begin, in nanoseconds: about a microsecond.
const FIRST_STEP_NANOS: u64 = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Histogram(Box<[AtomicU64]>);

/// What a histogram held at one moment, more or less: threads went on writing to it.
#[derive(Debug)]
pub(super) struct Distribution {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Counts a time.
    pub(super) fn record(&self, nanos: u64) {
        if let Some(bucket) = self.0.get(bucket_of(nanos)) {
            bucket.fetch_add(1, Relaxed);
        }
    }

    /// Forgets all times.
    pub(super) fn reset(&self) {
        for bucket in &self.0 {
            bucket.store(0, Relaxed);
        }
    }

    /// What is in it; `None` if nothing is.
    pub(super) fn read(&self) -> Option<Distribution> {
        let counts: Vec<u64> = self.0.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let total = counts.iter().sum();
        (total > 0).then_some(Distribution { counts, total })
    }
}

impl Distribution {
    /// How many times it holds.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The time, in nanoseconds, that `percent` of 100 are not longer than.
    pub(super) fn percentile(&self, percent: f64) -> u64 {
        let wanted = (percent / 100.0 * self.total as f64).round().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return if percent == 0.0 { least_of(bucket) } else { greatest_of(bucket) };
            }
        }
        NANOS_MAX
    }

    /// By times that double from step to step, in microseconds: how many are not longer. Steps that add
    /// nothing are left out.
    pub(super) fn cumulative(&self) -> Vec<(u64, u64)> {
        let mut steps = Vec::new();
        let (mut seen, mut next, mut step) = (0, 0, FIRST_STEP_NANOS);
        while seen < self.total {
            let bucket = bucket_of(step);
            let added: u64 = self.counts.get(next..=bucket).unwrap_or_default().iter().sum();
            if added > 0 {
                seen += added;
                let last = if step > NANOS_MAX { step - 1 } else { greatest_of(bucket) };
                steps.push((last / 1000, seen));
            }
            if step > NANOS_MAX {
                break;
            }
            (next, step) = (bucket + 1, step * 2);
        }
        steps
    }
}

const fn bucket_of(nanos: u64) -> usize {
    let nanos = if nanos > NANOS_MAX { NANOS_MAX } else { nanos };
    let shift = (nanos | 1).ilog2().saturating_sub(DIGITS);
    ((shift as usize) << DIGITS) + (nanos >> shift) as usize
}

fn least_of(bucket: usize) -> u64 {
    let shift = (bucket >> DIGITS).saturating_sub(1);
    let first = bucket - (shift << DIGITS);
    (first as u64) << shift
}

fn greatest_of(bucket: usize) -> u64 {
    let shift = (bucket >> DIGITS).saturating_sub(1);
    least_of(bucket) + (1 << shift) - 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_one_another_and_are_narrow() {
        let mut expected = 0;
        for bucket in 0..BUCKETS {
            assert_eq!(least_of(bucket), expected);
            for nanos in [least_of(bucket), greatest_of(bucket)] {
                assert!(nanos > NANOS_MAX || bucket_of(nanos) == bucket, "{nanos}");
            }
            let width = greatest_of(bucket) - least_of(bucket);
            assert!(width * 100 <= least_of(bucket), "{bucket}");
            expected = greatest_of(bucket) + 1;
        }
        assert!(expected > NANOS_MAX);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_those_of_the_times() {
        let histogram = Histogram::new();
        assert!(histogram.read().is_none());
        for micros in 1..=1000 {
            histogram.record(micros * 1000);
        }
        let spread = histogram.read().unwrap();
        assert_eq!(spread.total(), 1000);
        for (percent, micros) in [(50.0, 500), (99.0, 990), (99.9, 999), (100.0, 1000)] {
            let nanos = spread.percentile(percent);
            assert!((micros * 1000..=micros * 1010).contains(&nanos), "{percent}: {nanos}");
        }
        assert!((990..=1000).contains(&spread.percentile(0.0)));
        histogram.reset();
        assert!(histogram.read().is_none());
    }

    #[test]
    fn steps_double_and_skip_what_is_empty() {
        let histogram = Histogram::new();
        for micros in [1, 1, 3, 30, 100, 5_000_000] {
            histogram.record(micros * 1000);
        }
        // The times that Redis shows for these steps.
        let expected = [(1, 2), (4, 3), (33, 4), (132, 5), (1_073_741, 6)];
        assert_eq!(histogram.read().unwrap().cumulative(), expected);
    }
}
