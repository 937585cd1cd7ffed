//! The storage's figures for `INFO`, which must not wait for them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pontoon_storage::{CacheStats, LaneStats, Stats};
use tokio::time::{MissedTickBehavior, interval};

use crate::service::Service;

/// How old the figures get.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the figures that `INFO` shows fresh, until the server stops.
pub(crate) async fn sample(service: Arc<Service>) {
    let latest = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&latest);
    service
        .state
        .set_storage_stats(move || shown.lock().unwrap_or_else(PoisonError::into_inner).clone());
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match service.storage().await.store.stats().await {
            Ok(stats) => {
                *latest.lock().unwrap_or_else(PoisonError::into_inner) = lines(&stats);
            }
            Err(error) => tracing::debug!(%error, "the storage has no figures for the moment"),
        }
    }
}

fn lines(stats: &Stats) -> Vec<(String, String)> {
    let mut lines = vec![
        ("storage_engine".to_owned(), stats.engine.clone()),
        ("storage_read_only".into(), u8::from(stats.read_only).to_string()),
        ("storage_disk_bytes".into(), stats.storage.disk_bytes.to_string()),
        ("storage_memory_bytes".into(), stats.storage.memory_bytes.to_string()),
        ("storage_commits".into(), stats.commits.to_string()),
        ("storage_syncs".into(), stats.syncs.to_string()),
        ("storage_commit_usec".into(), stats.commit_micros.to_string()),
        ("storage_snapshots".into(), stats.snapshots.to_string()),
    ];
    lines.extend(cache_lines(&stats.cache));
    for (lane, figures) in
        [("read", &stats.read), ("write", &stats.write), ("background", &stats.background)]
    {
        lines.extend(lane_lines(lane, figures));
    }
    let details = stats.storage.details.iter();
    lines.extend(details.map(|(name, value)| (format!("engine_{name}"), value.clone())));
    lines
}

fn cache_lines(figures: &CacheStats) -> impl Iterator<Item = (String, String)> {
    [
        ("hits", figures.hits.to_string()),
        ("misses", figures.misses.to_string()),
        ("hit_rate", format!("{:.3}", figures.hit_rate())),
        ("records", figures.records.to_string()),
        ("bytes", figures.bytes.to_string()),
        ("bytes_max", figures.bytes_max.to_string()),
    ]
    .map(|(name, figure)| (format!("cache_{name}"), figure))
    .into_iter()
}

fn lane_lines(lane: &str, figures: &LaneStats) -> impl Iterator<Item = (String, String)> {
    [
        ("queued", figures.queued.to_string()),
        ("drains", figures.drains.to_string()),
        ("operations", figures.operations.to_string()),
        ("mean_batch", format!("{:.2}", figures.mean_batch())),
        ("waited", figures.waited.to_string()),
        ("cancelled", figures.cancelled.to_string()),
        ("panicked", figures.panicked.to_string()),
    ]
    .map(|(name, figure)| (format!("{lane}_lane_{name}"), figure))
    .into_iter()
}
