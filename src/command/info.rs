//! The text of `INFO`: Redis's sections and names, for what is true here. What has no counterpart
//! is left out rather than made up.

use std::fmt::{Display, Write};
use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::data::{DATABASES, DbReader};
use crate::labelled::number_behind;

use super::args::is;
use super::fail::Fail;
use super::server_state::{REDIS_VERSION, ServerState};

/// Every section with what writes it, in order.
const SECTIONS: &[(&str, Section)] = &[
    ("Server", Section::Server(server)),
    ("Clients", Section::Server(clients)),
    ("Memory", Section::Server(memory)),
    ("Persistence", Section::Server(persistence)),
    ("Stats", Section::Server(stats)),
    ("Replication", Section::Server(replication)),
    ("CPU", Section::Server(cpu)),
    ("Cluster", Section::Server(cluster)),
    ("Storage", Section::Server(storage)),
    ("Keyspace", Section::Data(keyspace)),
];

/// Ticks a second of the times in `/proc/self/stat`; the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

enum Section {
    Server(fn(&ServerState, &mut Fields)),
    Data(fn(&mut DbReader<'_>, &mut Fields) -> Result<(), Fail>),
}

/// The sections called `names`, in their own order; all of them for no name, `default`, `all` or
/// `everything`. Unknown names are ignored.
///
/// # Errors
/// The storage's.
pub(super) fn text(
    db: &mut DbReader<'_>,
    state: &ServerState,
    names: &[Bytes],
) -> Result<String, Fail> {
    let everything = names.is_empty()
        || names.iter().any(|name| ["default", "all", "everything"].iter().any(|n| is(name, n)));
    let mut text = String::new();
    for (title, section) in SECTIONS {
        if !everything && !names.iter().any(|name| is(name, title)) {
            continue;
        }
        let mut fields = Fields::default();
        match section {
            Section::Server(write) => write(state, &mut fields),
            Section::Data(write) => write(db, &mut fields)?,
        }
        let gap = if text.is_empty() { "" } else { "\r\n" };
        text.push_str(&format!("{gap}# {title}\r\n{}", fields.0));
    }
    Ok(text)
}

#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, name: impl Display, value: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn add_bytes(&mut self, name: &str, bytes: u64) {
        self.add(name, bytes);
        self.add(format_args!("{name}_human"), human(bytes));
    }
}

fn server(state: &ServerState, fields: &mut Fields) {
    let uptime = state.started.elapsed().as_secs();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    fields.add("redis_version", REDIS_VERSION);
    fields.add("pontoon_version", env!("CARGO_PKG_VERSION"));
    fields.add("redis_mode", "standalone");
    fields.add("os", operating_system());
    fields.add("arch_bits", usize::BITS);
    fields.add("process_id", std::process::id());
    fields.add("run_id", &state.run_id);
    fields.add("tcp_port", state.settings.port);
    fields.add("server_time_usec", clock.as_micros());
    fields.add("uptime_in_seconds", uptime);
    fields.add("uptime_in_days", uptime / 86_400);
    if let Ok(path) = std::env::current_exe() {
        fields.add("executable", path.display());
    }
    let config = state.live.current();
    let file = config.file.as_deref().map(|path| path.display().to_string());
    fields.add("config_file", file.unwrap_or_default());
}

fn clients(state: &ServerState, fields: &mut Fields) {
    fields.add("connected_clients", state.clients.len());
    fields.add("maxclients", state.live.clients_max());
    fields.add("blocked_clients", state.waiting.len() + state.pause.waiting_len());
    fields.add("tracking_clients", 0);
}

/// What the process occupies stands for what it uses: the allocator keeps no count.
fn memory(_: &ServerState, fields: &mut Fields) {
    if let Some(kib) = number_in("/proc/self/status", "VmRSS:") {
        fields.add_bytes("used_memory", kib << 10);
        fields.add_bytes("used_memory_rss", kib << 10);
    }
    if let Some(kib) = number_in("/proc/self/status", "VmHWM:") {
        fields.add_bytes("used_memory_peak", kib << 10);
    }
    if let Some(kib) = number_in("/proc/meminfo", "MemTotal:") {
        fields.add_bytes("total_system_memory", kib << 10);
    }
    fields.add_bytes("maxmemory", 0);
    fields.add("maxmemory_policy", "noeviction");
}

fn persistence(state: &ServerState, fields: &mut Fields) {
    fields.add("loading", 0);
    fields.add("async_loading", 0);
    fields.add("rdb_bgsave_in_progress", 0);
    // As `appendonly` says it: the log is what makes writes last in Redis.
    fields.add("aof_enabled", u8::from(state.settings.persistent));
    fields.add("aof_rewrite_in_progress", 0);
    let status = if state.last_write_ok.load(Relaxed) { "ok" } else { "err" };
    fields.add("aof_last_write_status", status);
}

fn stats(state: &ServerState, fields: &mut Fields) {
    let stats = &state.stats;
    for (name, counter) in [
        ("total_connections_received", &stats.connections_received),
        ("total_commands_processed", &stats.commands_processed),
        ("total_net_input_bytes", &stats.net_input_bytes),
        ("total_net_output_bytes", &stats.net_output_bytes),
        ("rejected_connections", &stats.connections_rejected),
        ("expired_keys", &stats.expired_keys),
        ("keyspace_hits", &stats.keyspace_hits),
        ("keyspace_misses", &stats.keyspace_misses),
        ("total_error_replies", &stats.error_replies),
    ] {
        fields.add(name, counter.load(Relaxed));
    }
    fields.add("evicted_keys", 0);
}

fn replication(_: &ServerState, fields: &mut Fields) {
    fields.add("role", "master");
    fields.add("connected_slaves", 0);
}

fn cpu(_: &ServerState, fields: &mut Fields) {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // The process's name, in brackets, may hold anything; user and system time follow it as the
    // 12th and 13th field.
    let mut times = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11);
    for name in ["used_cpu_user", "used_cpu_sys"] {
        if let Some(ticks) = times.next().and_then(|ticks| ticks.parse::<u64>().ok()) {
            fields.add(name, format_args!("{:.6}", ticks as f64 / TICKS_PER_SECOND));
        }
    }
}

fn cluster(_: &ServerState, fields: &mut Fields) {
    fields.add("cluster_enabled", 0);
}

fn storage(state: &ServerState, fields: &mut Fields) {
    for (name, value) in state.storage_stats() {
        fields.add(name, value);
    }
}

fn keyspace(db: &mut DbReader<'_>, fields: &mut Fields) -> Result<(), Fail> {
    for index in 0..DATABASES {
        let (keys, expiring) = db.database(index).key_counts()?;
        if keys > 0 {
            fields.add(
                format_args!("db{index}"),
                format_args!("keys={keys},expires={expiring},avg_ttl=0"),
            );
        }
    }
    Ok(())
}

fn operating_system() -> String {
    let read = |name| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.map(|text| text.trim().to_owned()).ok()
    };
    match (read("ostype"), read("osrelease")) {
        (Some(kind), Some(release)) => format!("{kind} {release} {}", std::env::consts::ARCH),
        _ => format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}

fn number_in(path: &str, label: &str) -> Option<u64> {
    number_behind(&fs::read_to_string(path).ok()?, label)
}

/// As Redis shows sizes for people: `512B`, `1.50M`.
fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut units = "KMGTP".chars();
    let mut unit = units.next();
    while size >= 1024.0
        && let Some(larger) = units.next()
    {
        size /= 1024.0;
        unit = Some(larger);
    }
    format!("{size:.2}{}", unit.unwrap_or('K'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (1_572_864, "1.50M"),
            (8 << 30, "8.00G"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
