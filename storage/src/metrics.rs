//! Counters, and the statistics that users see.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::EngineStats;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, by: u64) {
        if by > 0 {
            self.0.fetch_add(by, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct LaneMetrics {
    pub(crate) drains: Counter,
    pub(crate) operations: Counter,
    pub(crate) waited: Counter,
    pub(crate) refused: Counter,
    pub(crate) expired: Counter,
    pub(crate) cancelled: Counter,
    pub(crate) panicked: Counter,
}

impl LaneMetrics {
    pub(crate) fn stats(&self, queued: usize) -> LaneStats {
        LaneStats {
            queued: queued as u64,
            drains: self.drains.get(),
            operations: self.operations.get(),
            waited: self.waited.get(),
            refused: self.refused.get(),
            expired: self.expired.get(),
            cancelled: self.cancelled.get(),
            panicked: self.panicked.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct StoreMetrics {
    pub(crate) commits: Counter,
    pub(crate) syncs: Counter,
    pub(crate) commit_micros: Counter,
}

/// What a store has done since it was opened, and what it holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The engine's name.
    pub engine: String,
    /// The read lane.
    pub read: LaneStats,
    /// The write lane.
    pub write: LaneStats,
    /// The background lane.
    pub background: LaneStats,
    /// Batches applied.
    pub commits: u64,
    /// Batches applied with an fsync, and fsyncs on their own.
    pub syncs: u64,
    /// Time spent applying batches, fsyncs included, in microseconds.
    pub commit_micros: u64,
    /// Snapshots and scans held now.
    pub snapshots: u64,
    /// Whether a failed commit makes the store refuse writes.
    pub read_only: bool,
    /// The record cache; all 0 when it is off.
    pub cache: CacheStats,
    /// What the engine says of itself.
    pub storage: EngineStats,
}

/// What the record cache has done since the store was opened, and what it holds now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Lookups that found their key, those included that a commit in flight then sent to the engine.
    pub hits: u64,
    /// Lookups that did not, and went to the engine.
    pub misses: u64,
    /// Records held now, keys known to be absent among them.
    pub records: u64,
    /// Bytes that they take, keys and bookkeeping included.
    pub bytes: u64,
    /// Bytes that they may take at the most.
    pub bytes_max: u64,
}

impl CacheStats {
    /// The part of the lookups that found their key, from 0 to 1.
    pub fn hit_rate(&self) -> f64 {
        let lookups = self.hits + self.misses;
        if lookups == 0 { 0.0 } else { self.hits as f64 / lookups as f64 }
    }
}

/// What one lane has done since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneStats {
    /// Operations that wait now.
    pub queued: u64,
    /// Drains run.
    pub drains: u64,
    /// Operations run.
    pub operations: u64,
    /// Operations that had to wait for room in the queue.
    pub waited: u64,
    /// Operations refused because the queue was full.
    pub refused: u64,
    /// Operations whose deadline passed while they were queued.
    pub expired: u64,
    /// Operations whose caller was gone before they started.
    pub cancelled: u64,
    /// Operations that panicked.
    pub panicked: u64,
}

impl LaneStats {
    /// Operations a drain, on average.
    pub fn mean_batch(&self) -> f64 {
        if self.drains == 0 { 0.0 } else { self.operations as f64 / self.drains as f64 }
    }
}
