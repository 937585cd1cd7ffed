//! The settings of a server, once they are known to make sense.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use pontoon_storage::{Durability, EngineKind};

use crate::resp::Limits;

/// The record cache is on unless it is turned off: who runs a server of Redis's kind expects what is
/// read often to come from memory, and this much is less than the server's other memory.
pub const CACHE_BYTES_DEFAULT: usize = 64 << 20;

/// Everything `pontoon serve` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on.
    pub bind: Vec<IpAddr>,
    /// TCP port; 0 lets the system choose.
    pub port: u16,
    /// Where the data is; unused by the memory engine.
    pub dir: PathBuf,
    /// What stores it.
    pub engine: EngineKind,
    /// Memory for the record cache, in bytes; 0: none.
    pub cache_bytes: usize,
    /// Memory for the engine's read cache, in bytes; `None`: the storage's default.
    pub engine_cache_bytes: Option<usize>,
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
    /// The log's filter: a level, or `tracing` directives.
    pub log: String,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BridgeChoice {
    /// Dedicated threads
    Pool,
    /// tokio's `spawn_blocking`
    Blocking,
}

/// Which tokio runtime serves the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeChoice {
    /// Several threads
    MultiThread,
    /// One thread for all connections; storage still has its own
    CurrentThread,
}

impl DurabilityChoice {
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
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            BridgeChoice::Pool => "pool",
            BridgeChoice::Blocking => "blocking",
        }
    }
}

impl RuntimeChoice {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            RuntimeChoice::MultiThread => "multi-thread",
            RuntimeChoice::CurrentThread => "current-thread",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            port: 6379,
            dir: PathBuf::from("./pontoon-data"),
            engine: default_engine(),
            cache_bytes: CACHE_BYTES_DEFAULT,
            engine_cache_bytes: None,
            durability: DurabilityChoice::Always,
            bridge: BridgeChoice::Pool,
            pool_threads: None,
            runtime: default_runtime(),
            worker_threads: None,
            clients_max: 10_000,
            password: None,
            protected_mode: true,
            shutdown_timeout: Duration::from_secs(10),
            log: "info".into(),
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

    /// When a write is acknowledged, for people and `CONFIG GET`: `none` where nothing lasts.
    pub fn durability_name(&self) -> &'static str {
        if self.engine.is_persistent() { self.durability.name() } else { "none" }
    }

    /// The settings by name, as `CONFIG GET` shows them: Redis's names where Redis has the same
    /// setting, and what clients ask for by habit. `port` and `clients_max` are what came of them.
    pub fn entries(&self, port: u16, clients_max: usize) -> Vec<(String, String)> {
        let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
        let threads = |threads: Option<usize>| threads.map_or("0".into(), |n| n.to_string());
        let bind: Vec<String> = self.bind.iter().map(IpAddr::to_string).collect();
        let persistent = self.engine.is_persistent();
        // Of Redis's own values, the one that promises nothing.
        let appendfsync = if persistent { self.durability.name() } else { "no" };
        let entries = [
            ("appendfsync", appendfsync.into()),
            ("appendonly", yes_no(persistent)),
            ("bind", bind.join(" ")),
            ("bridge", self.bridge.name().into()),
            ("cache-bytes", self.cache_bytes.to_string()),
            ("databases", crate::data::DATABASES.to_string()),
            ("dir", self.dir.display().to_string()),
            ("durability", self.durability_name().into()),
            ("engine", self.engine.name().into()),
            ("log", self.log.clone()),
            ("maxclients", clients_max.to_string()),
            ("maxmemory", "0".into()),
            ("maxmemory-policy", "noeviction".into()),
            ("pool-threads", threads(self.pool_threads)),
            ("port", port.to_string()),
            ("proto-max-bulk-len", Limits::default().bulk_bytes_max.to_string()),
            ("protected-mode", yes_no(self.protected_mode)),
            ("requirepass", self.password.clone().unwrap_or_default()),
            ("runtime", self.runtime.name().into()),
            ("save", String::new()),
            ("shutdown-timeout", self.shutdown_timeout.as_secs().to_string()),
            ("timeout", "0".into()),
            ("worker-threads", threads(self.worker_threads)),
        ];
        entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
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
