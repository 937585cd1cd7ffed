//! What each command has done, and which errors were answered: `INFO commandstats`, `errorstats` and
//! `latencystats`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::clients::lock;
use super::histogram::{Distribution, Histogram};

/// Codes of errors that are counted each; what comes with others is in the total alone. Which codes there
/// are is for commands to say, and few do, but `DEBUG ERROR` says what its client wants.
const CODES_MAX: usize = 128;

/// The longest code, in bytes; what has no blank before that is counted as `ERR`, as in Redis.
const CODE_BYTES_MAX: usize = 30;

/// What one command has done. Alone in its cache line: threads that run different commands must not
/// slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct CommandStats {
    calls: AtomicU64,
    nanos: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
    times: OnceLock<Histogram>,
}

/// The figures of one command at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandFigures {
    /// How often it ran.
    pub calls: u64,
    /// For how long in all, in microseconds.
    pub micros: u64,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it ran and answered with an error.
    pub failed: u64,
}

impl CommandStats {
    pub(super) fn count_call(&self, spent: Duration) {
        self.calls.fetch_add(1, Relaxed);
        self.add_time(spent);
    }

    pub(super) fn add_time(&self, spent: Duration) {
        self.nanos.fetch_add(nanos(spent), Relaxed);
    }

    pub(super) fn count_failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    pub(super) fn count_rejected(&self) {
        self.rejected.fetch_add(1, Relaxed);
    }

    pub(super) fn record_time(&self, spent: Duration) {
        self.times.get_or_init(Histogram::new).record(nanos(spent));
    }

    pub(super) fn reset(&self) {
        for counter in [&self.calls, &self.nanos, &self.failed, &self.rejected] {
            counter.store(0, Relaxed);
        }
        if let Some(times) = self.times.get() {
            times.reset();
        }
    }

    /// What it has done; `None`: nothing.
    pub(super) fn figures(&self) -> Option<CommandFigures> {
        let figures = CommandFigures {
            calls: self.calls.load(Relaxed),
            micros: self.nanos.load(Relaxed) / 1000,
            rejected: self.rejected.load(Relaxed),
            failed: self.failed.load(Relaxed),
        };
        (figures.calls > 0 || figures.rejected > 0 || figures.failed > 0).then_some(figures)
    }

    /// How its times are spread; `None` if none was kept.
    pub(super) fn times(&self) -> Option<Distribution> {
        self.times.get().and_then(Histogram::read)
    }
}

fn nanos(spent: Duration) -> u64 {
    u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX)
}

/// How often each code of error was answered.
#[derive(Debug, Default)]
pub struct ErrorStats(Mutex<BTreeMap<String, u64>>);

impl ErrorStats {
    /// Counts an error by its text.
    pub(super) fn count(&self, text: &str) {
        let code = code_of(text);
        let mut counts = lock(&self.0);
        if let Some(count) = counts.get_mut(code) {
            *count += 1;
        } else if counts.len() < CODES_MAX {
            counts.insert(code.to_owned(), 1);
        }
    }

    pub(super) fn reset(&self) {
        lock(&self.0).clear();
    }

    /// The codes, each with its number, in order.
    pub(super) fn counts(&self) -> Vec<(String, u64)> {
        lock(&self.0).iter().map(|(code, count)| (code.clone(), *count)).collect()
    }
}

fn code_of(text: &str) -> &str {
    match text.split_once(' ') {
        Some((code, _)) if !code.is_empty() && code.len() <= CODE_BYTES_MAX => code,
        _ => "ERR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_first_words_and_bounded() {
        for (text, code) in [
            ("ERR no such key", "ERR"),
            ("WRONGTYPE Operation against", "WRONGTYPE"),
            ("NOCODE", "ERR"),
            ("", "ERR"),
            (" leading", "ERR"),
            ("AVERYLONGWORDTHATISNOCODEOFANYKIND at all", "ERR"),
        ] {
            assert_eq!(code_of(text), code, "{text}");
        }
        let errors = ErrorStats::default();
        for code in 0..1000 {
            errors.count(&format!("C{code} x"));
        }
        errors.count("C1 again");
        let counts = errors.counts();
        assert_eq!(counts.len(), CODES_MAX);
        assert!(counts.contains(&("C1".to_owned(), 2)), "{counts:?}");
        errors.reset();
        assert!(errors.counts().is_empty());
    }

    #[test]
    fn a_command_is_counted_once_it_has_done_something() {
        let stats = CommandStats::default();
        assert_eq!(stats.figures(), None);
        stats.count_call(Duration::from_nanos(1500));
        stats.count_call(Duration::from_nanos(1700));
        stats.count_rejected();
        stats.count_failed();
        let figures = CommandFigures { calls: 2, micros: 3, rejected: 1, failed: 1 };
        assert_eq!(stats.figures(), Some(figures));
        assert!(stats.times().is_none());
        stats.record_time(Duration::from_micros(7));
        assert_eq!(stats.times().map(|times| times.total()), Some(1));
        stats.reset();
        assert!(stats.figures().is_none() && stats.times().is_none());
    }
}
