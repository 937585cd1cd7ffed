//! The text of `INFO`: Redis's sections and names, for what is true here. What has no counterpart
//! is left out rather than made up.

mod figures;
mod process;

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::data::{DATABASES, DbReader};

use super::args::is;
use super::fail::Fail;
use super::server_state::{REDIS_VERSION, ServerState};

pub(super) use process::resident_bytes;

/// Every section, in order.
const SECTIONS: &[Section] = &[
    Section::new("Server", Source::Server(server)),
    Section::new("Clients", Source::Server(clients)),
    Section::new("Memory", Source::Server(process::memory)),
    Section::new("Persistence", Source::Server(persistence)),
    Section::new("Stats", Source::Server(figures::stats)),
    Section::new("Replication", Source::Server(replication)),
    Section::new("CPU", Source::Server(process::cpu)),
    // Redis knows it by two names.
    Section { other_name: "module_list", ..Section::new("Modules", Source::Server(|_, _| {})) },
    Section::asked_for("Commandstats", Source::Server(figures::commands)),
    Section::new("Errorstats", Source::Server(figures::errors)),
    Section::asked_for("Latencystats", Source::Server(figures::latencies)),
    Section::new("Cluster", Source::Server(cluster)),
    Section::new("Storage", Source::Server(storage)),
    Section::new("Keyspace", Source::Data(keyspace)),
];

struct Section {
    title: &'static str,
    other_name: &'static str,
    is_default: bool,
    source: Source,
}

/// What writes a section.
enum Source {
    Server(fn(&ServerState, &mut Fields)),
    Data(fn(&mut DbReader<'_>, &ServerState, &mut Fields) -> Result<(), Fail>),
}

impl Section {
    const fn new(title: &'static str, source: Source) -> Self {
        Self { title, other_name: "", is_default: true, source }
    }

    /// One that only those see who name it, or ask for all.
    const fn asked_for(title: &'static str, source: Source) -> Self {
        Self { title, other_name: "", is_default: false, source }
    }

    /// Whether `name`, in any case, is one that it comes with.
    fn is_called(&self, name: &[u8]) -> bool {
        is(name, self.title)
            || is(name, self.other_name)
            || is(name, "all")
            || is(name, "everything")
            || is(name, "default") && self.is_default
    }
}

/// The sections called `names`, in their own order; those of `default` for no name. Unknown names are
/// ignored.
///
/// # Errors
/// The storage's.
pub(super) fn text(
    db: &mut DbReader<'_>,
    state: &ServerState,
    names: &[Bytes],
) -> Result<String, Fail> {
    let is_wanted = |section: &Section| {
        names.is_empty() && section.is_default || names.iter().any(|name| section.is_called(name))
    };
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| is_wanted(section)) {
        let mut fields = Fields::default();
        match section.source {
            Source::Server(write) => write(state, &mut fields),
            Source::Data(write) => write(db, state, &mut fields)?,
        }
        let gap = if text.is_empty() { "" } else { "\r\n" };
        text.push_str(&format!("{gap}# {}\r\n{}", section.title, fields.0));
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
    fields.add("os", process::operating_system());
    fields.add("arch_bits", usize::BITS);
    if cfg!(target_os = "linux") {
        fields.add("multiplexing_api", "epoll");
    }
    fields.add("process_id", std::process::id());
    fields.add("process_supervised", "no");
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
    let blocked = state.waiting.len() + state.parked.len() + state.pause.waiting_len();
    fields.add("blocked_clients", blocked);
    fields.add("tracking_clients", 0);
}

fn persistence(state: &ServerState, fields: &mut Fields) {
    fields.add("loading", 0);
    fields.add("async_loading", 0);
    let saves = state.saves.figures();
    if let Some(bytes) = saves.current_bytes {
        fields.add("current_save_bytes", bytes);
    }
    let changes = state.stats.changes.load(Relaxed);
    fields.add("rdb_changes_since_last_save", changes.saturating_sub(saves.changes));
    fields.add("rdb_bgsave_in_progress", u8::from(saves.current_secs.is_some()));
    fields.add("rdb_last_save_time", saves.last_time);
    fields.add("rdb_last_bgsave_status", if saves.last_ok { "ok" } else { "err" });
    let or_never = |secs: Option<u64>| secs.map_or("-1".into(), |secs| secs.to_string());
    fields.add("rdb_last_bgsave_time_sec", or_never(saves.last_secs));
    fields.add("rdb_current_bgsave_time_sec", or_never(saves.current_secs));
    fields.add("rdb_saves", saves.made);
    // As `appendonly` says it: the log is what makes writes last in Redis.
    fields.add("aof_enabled", u8::from(state.settings.persistent));
    fields.add("aof_rewrite_in_progress", 0);
    let status = if state.last_write_ok.load(Relaxed) { "ok" } else { "err" };
    fields.add("aof_last_write_status", status);
}

/// Nothing is replicated: these say so, by the names that clients look for.
fn replication(_: &ServerState, fields: &mut Fields) {
    fields.add("role", "master");
    fields.add("connected_slaves", 0);
    fields.add("master_failover_state", "no-failover");
    fields.add("master_repl_offset", 0);
    fields.add("repl_backlog_active", 0);
}

fn cluster(_: &ServerState, fields: &mut Fields) {
    fields.add("cluster_enabled", 0);
}

fn storage(state: &ServerState, fields: &mut Fields) {
    let config = state.live.current();
    fields.add("storage_bridge", config.bridge.name());
    fields.add("storage_durability", config.durability_name());
    for (name, value) in state.storage_stats() {
        fields.add(name, value);
    }
}

fn keyspace(db: &mut DbReader<'_>, state: &ServerState, fields: &mut Fields) -> Result<(), Fail> {
    for (index, average_ttl) in (0..DATABASES).zip(&state.average_ttl) {
        let (keys, expiring) = db.database(index).key_counts()?;
        let ttl = if expiring > 0 { average_ttl.load(Relaxed) } else { 0 };
        if keys > 0 {
            fields.add(
                format_args!("db{index}"),
                format_args!("keys={keys},expires={expiring},avg_ttl={ttl}"),
            );
        }
    }
    Ok(())
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
