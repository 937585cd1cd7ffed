//! How much happens a second at the moment: the `instantaneous_…` fields of `INFO`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::clients::lock;
use super::server_state::Stats;

/// Samples that make up a rate, as in Redis: at ten a second, those of the last 1.6 seconds.
const SAMPLES_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub struct Rates(Mutex<Samples>);

#[derive(Debug, Default)]
struct Samples {
    last: Option<(Instant, Counts)>,
    /// What came to be a second between two samples; the latest last.
    rates: VecDeque<Counts>,
}

/// Counts, or counts a second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands run.
    pub commands: u64,
    /// Bytes received from clients.
    pub input_bytes: u64,
    /// Bytes sent to them.
    pub output_bytes: u64,
}

impl Counts {
    fn each(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            commands: f(self.commands, other.commands),
            input_bytes: f(self.input_bytes, other.input_bytes),
            output_bytes: f(self.output_bytes, other.output_bytes),
        }
    }
}

impl Rates {
    /// Takes a sample of what `stats` say at `now`: to be called ten times a second.
    pub fn sample(&self, now: Instant, stats: &Stats) {
        let counts = Counts {
            commands: stats.commands_processed.load(Relaxed),
            input_bytes: stats.net_input_bytes.load(Relaxed),
            output_bytes: stats.net_output_bytes.load(Relaxed),
        };
        let mut samples = lock(&self.0);
        if let Some((then, before)) = samples.last {
            let nanos = now.saturating_duration_since(then).as_nanos().max(1);
            let a_second = |count: u64, before: u64| {
                // Counters may have been set to 0 in between.
                let rate = u128::from(count.saturating_sub(before)) * 1_000_000_000 / nanos;
                u64::try_from(rate).unwrap_or(u64::MAX)
            };
            if samples.rates.len() >= SAMPLES_MAX {
                samples.rates.pop_front();
            }
            samples.rates.push_back(counts.each(before, a_second));
        }
        samples.last = Some((now, counts));
    }

    /// What happens a second, on average over the latest samples.
    pub fn now(&self) -> Counts {
        let samples = lock(&self.0);
        let len = samples.rates.len().max(1) as u64;
        let none = Counts::default();
        let sum = samples.rates.iter().fold(none, |sum, rate| sum.each(*rate, u64::saturating_add));
        sum.each(none, |sum, _| sum / len)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rates_are_means_of_the_latest_samples() {
        let (rates, stats, begin) = (Rates::default(), Stats::default(), Instant::now());
        let at = |tick: u64| begin + Duration::from_millis(100 * tick);
        rates.sample(at(0), &stats);
        assert_eq!(rates.now(), Counts::default());
        for tick in 1..=8 {
            stats.commands_processed.fetch_add(10, Relaxed);
            stats.net_input_bytes.fetch_add(1000, Relaxed);
            rates.sample(at(tick), &stats);
        }
        let busy = Counts { commands: 100, input_bytes: 10_000, output_bytes: 0 };
        assert_eq!(rates.now(), busy);
        for tick in 9..=16 {
            rates.sample(at(tick), &stats);
        }
        assert_eq!(rates.now().commands, 50);
        stats.reset();
        for tick in 17..=32 {
            rates.sample(at(tick), &stats);
        }
        assert_eq!(rates.now(), Counts::default());
    }
}
