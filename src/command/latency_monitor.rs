//! What the latency monitor keeps: for each kind of event, when it took long, and how long.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

use super::clients::lock;

/// Samples kept of one kind of event: one a second at the most, as in Redis.
const SAMPLES_MAX: usize = 160;

/// A command that Redis counts among the fast ones.
pub(super) const FAST_COMMAND: &str = "fast-command";
/// Any other command.
pub(super) const COMMAND: &str = "command";
/// Serving a client that has waited for a key.
pub(super) const UNBLOCKING: &str = "command-unblocking";
/// One step of the sweep of expired keys.
pub(super) const EXPIRE_CYCLE: &str = "expire-cycle";

/// See the module. The kinds of events are the constants of this module, so that there are few.
#[derive(Debug, Default)]
pub struct LatencyMonitor(Mutex<BTreeMap<&'static str, Series>>);

/// What is known of one kind of event.
#[derive(Debug, Clone, Default)]
pub(super) struct Series {
    /// The latest last.
    samples: VecDeque<Sample>,
    /// The longest ever, in milliseconds.
    max_ms: u64,
}

/// The longest event of one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// The second, since 1970.
    pub(super) time: u64,
    /// How long it took, in milliseconds.
    pub(super) ms: u64,
}

/// What the samples of one kind of event have in common.
#[derive(Debug, PartialEq)]
pub(super) struct Summary {
    pub(super) samples: usize,
    pub(super) least_ms: u64,
    pub(super) greatest_ms: u64,
    pub(super) mean_ms: u64,
    /// The mean of the differences to the mean.
    pub(super) deviation_ms: u64,
    /// Seconds from one to the next, on average.
    pub(super) period: f64,
}

impl LatencyMonitor {
    /// Keeps an event of second `time` that took `spent`.
    pub(super) fn add(&self, event: &'static str, time: u64, spent: Duration) {
        let ms = u64::try_from(spent.as_millis()).unwrap_or(u64::MAX);
        lock(&self.0).entry(event).or_default().add(Sample { time, ms });
    }

    /// All events, by name.
    pub(super) fn all(&self) -> Vec<(&'static str, Series)> {
        lock(&self.0).iter().map(|(event, series)| (*event, series.clone())).collect()
    }

    /// The events called `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<(&'static str, Series)> {
        let events = lock(&self.0);
        let (event, series) = events.iter().find(|(event, _)| event.as_bytes() == name)?;
        Some((event, series.clone()))
    }

    /// Forgets the events called `name`, in any case; all of them for `None`. Returns how many kinds it
    /// forgot.
    pub(super) fn reset(&self, name: Option<&[u8]>) -> usize {
        let mut events = lock(&self.0);
        let before = events.len();
        events.retain(|event, _| {
            !name.is_none_or(|name| event.as_bytes().eq_ignore_ascii_case(name))
        });
        before - events.len()
    }
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.ms);
        match self.samples.back_mut() {
            Some(last) if last.time == sample.time => last.ms = last.ms.max(sample.ms),
            _ => {
                if self.samples.len() >= SAMPLES_MAX {
                    self.samples.pop_front();
                }
                self.samples.push_back(sample);
            }
        }
    }

    /// The samples, the latest last.
    pub(super) fn samples(&self) -> impl ExactSizeIterator<Item = Sample> + '_ {
        self.samples.iter().copied()
    }

    /// The latest sample.
    pub(super) fn latest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// The longest event ever, in milliseconds.
    pub(super) fn max_ms(&self) -> u64 {
        self.max_ms
    }

    /// What the samples have in common at second `now`; `None` without any.
    pub(super) fn summary(&self, now: u64) -> Option<Summary> {
        let len = self.samples.len() as u64;
        let first = self.samples.front()?;
        let mean = |numbers: &mut dyn Iterator<Item = u64>| {
            numbers.fold(0u64, |sum, ms| sum.saturating_add(ms)) / len
        };
        let mean_ms = mean(&mut self.samples().map(|sample| sample.ms));
        Some(Summary {
            samples: self.samples.len(),
            least_ms: self.samples().map(|sample| sample.ms).min()?,
            greatest_ms: self.samples().map(|sample| sample.ms).max()?,
            mean_ms,
            deviation_ms: mean(&mut self.samples().map(|sample| sample.ms.abs_diff(mean_ms))),
            period: now.saturating_sub(first.time).max(1) as f64 / len as f64,
        })
    }
}

/// Rows of a graph.
const GRAPH_ROWS: u64 = 4;

/// Columns of a graph; with more samples there are several below each other.
const GRAPH_COLUMNS: usize = 80;

/// What fills a place of the graph up to a third, two thirds, and whole.
const GRAPH_STEPS: [char; 3] = ['_', 'o', '#'];

/// A picture of the samples in plain characters: a column each, the highest for the longest, with how
/// long ago it was written below it from top to bottom.
pub(super) fn graph(event: &str, series: &Series, now: u64) -> String {
    let Some(Summary { least_ms, greatest_ms, .. }) = series.summary(now) else {
        return String::new();
    };
    let mut text = format!(
        "{event} - high {greatest_ms} ms, low {least_ms} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(GRAPH_COLUMNS),
    );
    let samples: Vec<Sample> = series.samples().collect();
    for samples in samples.chunks(GRAPH_COLUMNS) {
        let steps_len = GRAPH_STEPS.len() as u64;
        // From 0 to the last step of the uppermost row.
        let height = |sample: &Sample| {
            let range = u128::from((greatest_ms - least_ms).max(1));
            let top = u128::from(GRAPH_ROWS * steps_len - 1);
            (u128::from(sample.ms - least_ms) * top / range) as u64
        };
        for row in (0..GRAPH_ROWS).rev() {
            let line: String = samples
                .iter()
                .map(|sample| match height(sample).checked_sub(row * steps_len) {
                    None => ' ',
                    Some(step) => *GRAPH_STEPS.get(step as usize).unwrap_or(&'|'),
                })
                .collect();
            let _ = writeln!(text, "{}", line.trim_end());
        }
        let labels: Vec<Vec<char>> = samples
            .iter()
            .map(|sample| age(now.saturating_sub(sample.time)).chars().collect())
            .collect();
        let longest = labels.iter().map(Vec::len).max().unwrap_or(0);
        text.push('\n');
        for row in 0..longest {
            let line: String =
                labels.iter().map(|label| label.get(row).copied().unwrap_or(' ')).collect();
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn monitor(samples: &[(u64, u64)]) -> LatencyMonitor {
        let monitor = LatencyMonitor::default();
        for &(time, ms) in samples {
            monitor.add(COMMAND, time, Duration::from_millis(ms));
        }
        monitor
    }

    #[test]
    fn a_second_has_one_sample_and_old_ones_go() {
        let monitor = monitor(&[(1, 10), (1, 30), (1, 20), (2, 5)]);
        let (_, series) = monitor.get(b"command").unwrap();
        let samples: Vec<_> = series.samples().collect();
        assert_eq!(samples, [Sample { time: 1, ms: 30 }, Sample { time: 2, ms: 5 }]);
        assert_eq!(series.max_ms(), 30);
        for time in 3..1000 {
            monitor.add(COMMAND, time, Duration::from_millis(7));
        }
        let (_, series) = monitor.get(b"command").unwrap();
        assert_eq!(series.samples().len(), SAMPLES_MAX);
        assert_eq!(series.latest(), Some(Sample { time: 999, ms: 7 }));
        assert_eq!(series.max_ms(), 30);
        assert!(monitor.get(b"Command").is_none());
    }

    #[test]
    fn resetting_takes_names_in_any_case() {
        let monitor = monitor(&[(1, 10)]);
        monitor.add(FAST_COMMAND, 1, Duration::from_millis(1));
        assert_eq!(monitor.reset(Some(b"nope")), 0);
        assert_eq!(monitor.reset(Some(b"COMMAND")), 1);
        assert_eq!(monitor.all().len(), 1);
        assert_eq!(monitor.reset(None), 1);
        assert!(monitor.all().is_empty());
    }

    #[test]
    fn a_summary_has_means_and_extremes() {
        let (_, series) = monitor(&[(10, 100), (20, 200), (30, 600)]).get(b"command").unwrap();
        let expected = Summary {
            samples: 3,
            least_ms: 100,
            greatest_ms: 600,
            mean_ms: 300,
            deviation_ms: 200,
            period: 10.0,
        };
        assert_eq!(series.summary(40), Some(expected));
        assert_eq!(Series::default().summary(40), None);
    }

    #[test]
    fn a_graph_rises_with_the_time() {
        let samples: Vec<_> = (0..12).map(|step| (100 + step, 50 + 10 * step)).collect();
        let (_, series) = monitor(&samples).get(b"command").unwrap();
        let graph = graph("command", &series, 190);
        let expected = "\
command - high 160 ms, low 50 ms (all time high 160 ms)
--------------------------------------------------------------------------------
         _o#
      _o#|||
   _o#||||||
_o#|||||||||

111111111111
mmmmmmmmmmmm
";
        assert_eq!(graph, expected);
    }

    #[test]
    fn many_samples_are_drawn_below_each_other() {
        let samples: Vec<_> = (0..100).map(|time| (time, u64::MAX / 2)).collect();
        let (_, series) = monitor(&samples).get(b"command").unwrap();
        assert_eq!(graph("command", &series, 99).lines().filter(|line| line.is_empty()).count(), 8);
    }
}
