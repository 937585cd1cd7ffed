//! The settings of a server, once they are known to make sense.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use pontoon_storage::engine::EngineOptions;
use pontoon_storage::{Durability, EngineKind};

use crate::command::NotifyFlags;
use crate::resp::Limits;
use crate::settings::OutputLimits;

/// The record cache is on unless it is turned off: who runs a server of Redis's kind expects what is
/// read often to come from memory, and this much is less than the server's other memory.
pub const CACHE_BYTES_DEFAULT: usize = 64 << 20;

/// Everything `pontoon serve` can be told. The table of [`crate::settings`] has a row for each field.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on.
    pub bind: Vec<IpAddr>,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
    /// Where the data is; unused by the memory engine.
    pub dir: PathBuf,
    /// Where checkpoints go; `None`: beside the data.
    pub checkpoint_dir: Option<PathBuf>,
    /// What stores it.
    pub engine: EngineKind,
    /// Memory for the record cache, in bytes; 0: none.
    pub cache_bytes: usize,
    /// Memory for the engine's read cache, in bytes; unused by the memory engine.
    pub engine_cache_bytes: usize,
    /// When a write is acknowledged; unused by the memory engine.
    pub durability: DurabilityChoice,
    /// How blocking calls leave the async threads.
    pub bridge: BridgeChoice,
    /// Threads of the pool that read; `None`: two for each CPU, and at least 16.
    pub pool_threads: Option<usize>,
    /// Which tokio runtime.
    pub runtime: RuntimeChoice,
    /// Threads of the runtime; `None`: one for each CPU.
    pub worker_threads: Option<usize>,
    /// Clients at a time.
    pub clients_max: usize,
    /// What clients must `AUTH` with; `None`: nothing.
    pub password: Option<String>,
    /// Whether, without a password, only loopback clients are served.
    pub protected_mode: bool,
    /// How long a shutdown waits for clients' running commands.
    pub shutdown_timeout: Duration,
    /// Who may use `DEBUG`.
    pub debug_command: DebugCommand,
    /// The log's filter: a level, or `tracing` directives.
    pub log: String,
    /// Connections that may wait to be accepted, for each listening socket.
    pub backlog_len_max: i32,
    /// How long a client may say nothing before it is let go; zero: for ever.
    pub timeout: Duration,
    /// How long a connection may be silent before the system asks whether it is still there; zero:
    /// it never asks.
    pub tcp_keepalive: Duration,
    /// Bytes of replies that may wait for a client.
    pub output_limits: OutputLimits,
    /// Bytes of one request altogether.
    pub query_buffer_bytes_max: u64,
    /// Bytes of one argument of a request.
    pub bulk_bytes_max: u64,
    /// Which keyspace notifications are sent.
    pub notify: NotifyFlags,
    /// Microseconds from which on a command is put into the slow log; negative: none is.
    pub slowlog_slower_than_us: i64,
    /// Entries that the slow log keeps.
    pub slowlog_len_max: u64,
    /// Milliseconds from which on an event is put into the latency monitor; 0: none is.
    pub latency_threshold_ms: u64,
    /// Whether the time of each command is put into a histogram.
    pub latency_tracking: bool,
    /// Which percentiles of those histograms `INFO` shows.
    pub latency_percentiles: Vec<f64>,
    /// The file of settings that some of this is from.
    pub file: Option<PathBuf>,
}

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityChoice {
    /// Once an fsync has put it on the disk; writers that wait together share one. Survives a power
    /// loss
    Always,
    /// Once it is applied; an fsync follows within a second. A crash may cost that second
    Everysec,
    /// Once it is applied; the system decides when it reaches the disk
    No,
}

/// How blocking calls leave the async threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeChoice {
    /// Dedicated threads
    Pool,
    /// tokio's `spawn_blocking`
    Blocking,
}

/// Which tokio runtime serves the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeChoice {
    /// Several threads
    MultiThread,
    /// One thread for all connections; storage still has its own
    CurrentThread,
    /// One thread for each CPU, each with a listening socket and connections of its own
    PerCore,
}

/// Who may use `DEBUG` (`enable-debug-command`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DebugCommand {
    /// Nobody.
    #[default]
    No,
    /// Clients on this machine.
    Local,
    /// Everybody.
    Yes,
}

impl DebugCommand {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::No, Self::Local, Self::Yes];

    /// Its name as a value of the setting.
    pub fn name(self) -> &'static str {
        match self {
            DebugCommand::No => "no",
            DebugCommand::Local => "local",
            DebugCommand::Yes => "yes",
        }
    }
}

impl DurabilityChoice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Always, Self::Everysec, Self::No];

    /// Its name on the command line, which is `appendfsync`'s in Redis.
    pub fn name(self) -> &'static str {
        match self {
            DurabilityChoice::Always => "always",
            DurabilityChoice::Everysec => "everysec",
            DurabilityChoice::No => "no",
        }
    }

    /// What it is to the storage.
    pub fn durability(self) -> Durability {
        match self {
            DurabilityChoice::Always => Durability::Always,
            DurabilityChoice::Everysec => Durability::EVERY_SECOND,
            DurabilityChoice::No => Durability::Never,
        }
    }
}

impl BridgeChoice {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Pool, Self::Blocking];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            BridgeChoice::Pool => "pool",
            BridgeChoice::Blocking => "blocking",
        }
    }
}

impl RuntimeChoice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::MultiThread, Self::CurrentThread, Self::PerCore];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            RuntimeChoice::MultiThread => "multi-thread",
            RuntimeChoice::CurrentThread => "current-thread",
            RuntimeChoice::PerCore => "per-core",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            port: 6379,
            dir: PathBuf::from("./pontoon-data"),
            checkpoint_dir: None,
            engine: default_engine(),
            cache_bytes: CACHE_BYTES_DEFAULT,
            engine_cache_bytes: EngineOptions::default().cache_bytes,
            durability: DurabilityChoice::Always,
            bridge: BridgeChoice::Pool,
            pool_threads: None,
            runtime: default_runtime(),
            worker_threads: None,
            clients_max: 10_000,
            password: None,
            protected_mode: true,
            shutdown_timeout: Duration::from_secs(10),
            log: "notice".into(),
            debug_command: DebugCommand::No,
            backlog_len_max: 511,
            timeout: Duration::ZERO,
            tcp_keepalive: Duration::from_secs(300),
            output_limits: OutputLimits::default(),
            query_buffer_bytes_max: Limits::default().buffered_bytes_max as u64,
            bulk_bytes_max: Limits::default().bulk_bytes_max as u64,
            notify: NotifyFlags::NONE,
            slowlog_slower_than_us: 10_000,
            slowlog_len_max: 128,
            latency_threshold_ms: 0,
            latency_tracking: true,
            latency_percentiles: vec![50.0, 99.0, 99.9],
            file: None,
        }
    }
}

impl Config {
    /// Where the data is, for people.
    pub fn place(&self) -> String {
        if self.engine.is_persistent() {
            format!("{} in {}", self.engine.name(), self.dir.display())
        } else {
            "data in memory alone".into()
        }
    }

    /// How many threads accept connections, each for itself.
    pub fn cores(&self) -> usize {
        match self.runtime {
            RuntimeChoice::MultiThread | RuntimeChoice::CurrentThread => 1,
            RuntimeChoice::PerCore => self.worker_threads.unwrap_or_else(num_cpus::get).max(1),
        }
    }

    /// Where checkpoints go. `<dir>-checkpoints` unless it is said, so that one disk has both, which makes a
    /// checkpoint of RocksDB cheap.
    pub fn checkpoints(&self) -> PathBuf {
        self.checkpoint_dir.clone().unwrap_or_else(|| {
            let mut name = self.dir.file_name().unwrap_or("pontoon".as_ref()).to_owned();
            name.push("-checkpoints");
            self.dir.with_file_name(name)
        })
    }

    /// When a write is acknowledged, for people: `none` where nothing lasts.
    pub fn durability_name(&self) -> &'static str {
        if self.engine.is_persistent() { self.durability.name() } else { "none" }
    }
}

/// Where there are but one or two CPUs, more than one thread for the connections costs more than it
/// brings: see `docs/benchmarks.md`.
fn default_runtime() -> RuntimeChoice {
    if num_cpus::get() <= 2 { RuntimeChoice::CurrentThread } else { RuntimeChoice::MultiThread }
}

/// redb where the build has it: it needs no C++ library.
fn default_engine() -> EngineKind {
    [EngineKind::Redb, EngineKind::Rocksdb]
        .into_iter()
        .find(|kind| EngineKind::AVAILABLE.contains(kind))
        .unwrap_or(EngineKind::Memory)
}
