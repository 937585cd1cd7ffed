//! The table of settings: one row each, and nothing else says which names there are.

use std::path::PathBuf;
use std::time::Duration;

use crate::command::NotifyFlags;
use crate::config::{BridgeChoice, Config, DebugCommand, DurabilityChoice, RuntimeChoice};
use crate::data::DATABASES;
use crate::logging;

use super::kind::{Kind, Shape};
use super::parse::{parse_bind, parse_engine, parse_percentiles, show_percentiles};

/// One setting: what its name is, everywhere, and what can be said of it.
#[derive(Debug)]
pub struct Setting {
    /// Its name: of the flag behind `--`, of the key in a file, and for `CONFIG`.
    pub name: &'static str,
    /// Other names that mean the same, in all three places.
    pub aliases: &'static [&'static str],
    /// What it is listed under.
    pub heading: Heading,
    /// What help calls its value.
    pub value_name: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether `CONFIG SET` can change it.
    pub is_live: bool,
    /// Whether its value must not be shown to bystanders.
    pub is_secret: bool,
}

/// What settings are listed under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heading {
    /// Where clients come from.
    Network,
    /// What one client may do.
    Clients,
    /// Where the data is, and what an acknowledgement means.
    Storage,
    /// What runs on which thread.
    Threads,
    /// What the server tells of itself.
    Observation,
    /// How it is run.
    Operation,
    /// Redis's settings of which there is one value here.
    Fixed,
}

impl Heading {
    /// Its title.
    pub fn title(self) -> &'static str {
        match self {
            Heading::Network => "Network",
            Heading::Clients => "Clients",
            Heading::Storage => "Storage",
            Heading::Threads => "Threads",
            Heading::Observation => "Observation",
            Heading::Operation => "Operation",
            Heading::Fixed => "Fixed",
        }
    }
}

impl Setting {
    const fn new(
        heading: Heading,
        name: &'static str,
        value_name: &'static str,
        kind: Kind,
        doc: &'static str,
    ) -> Self {
        let (aliases, is_live, is_secret) = (&[], false, false);
        Self { name, aliases, heading, value_name, doc, kind, is_live, is_secret }
    }

    const fn live(mut self) -> Self {
        self.is_live = true;
        self
    }

    const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Its name and its other names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// The setting of this name, in lower case.
pub fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| setting.names().any(|own| own == name))
}

/// Every setting, in the order in which they are listed. A value may depend on those above it.
pub static TABLE: &[Setting] = &[
    Setting::new(
        Heading::Network,
        "bind",
        "ADDR,…",
        Kind::Text {
            shape: Shape::Words,
            get: |c| c.bind.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            set: |c, text| parse_bind(text).map(|bind| c.bind = bind),
        },
        "Addresses to listen on, separated by commas or blanks",
    ),
    Setting::new(
        Heading::Network,
        "port",
        "PORT",
        integer(0, u16::MAX as i64, |c| c.port.into(), |c, n| put(&mut c.port, n)),
        "TCP port to listen on; 0 takes one that is free",
    ),
    Setting::new(
        Heading::Network,
        "tcp-backlog",
        "N",
        integer(0, INT_MAX, |c| c.backlog_len_max.into(), |c, n| put(&mut c.backlog_len_max, n)),
        "Connections that may wait to be accepted; the system has a limit of its own",
    ),
    Setting::new(
        Heading::Network,
        "tcp-keepalive",
        "SECS",
        integer(
            0,
            KEEPALIVE_SECS_MAX,
            |c| secs(c.tcp_keepalive),
            |c, n| {
                c.tcp_keepalive = duration(n);
            },
        ),
        "Seconds of silence after which the system asks whether a client is still there; 0: never",
    )
    .live(),
    Setting::new(
        Heading::Network,
        "maxclients",
        "N",
        integer(1, u32::MAX as i64, |c| count(c.clients_max), |c, n| put(&mut c.clients_max, n)),
        "Clients at a time; lowered to what the limit of open files allows",
    )
    .live(),
    Setting::new(
        Heading::Network,
        "requirepass",
        "PASSWORD",
        Kind::Text {
            shape: Shape::Word,
            get: |c| c.password.clone().unwrap_or_default(),
            set: |c, text| {
                c.password = Some(text.to_owned()).filter(|text| !text.is_empty());
                Ok(())
            },
        },
        "Password that clients must AUTH with",
    )
    .live()
    .secret(),
    Setting::new(
        Heading::Network,
        "protected-mode",
        "yes|no",
        Kind::YesNo { get: |c| c.protected_mode, set: |c, yes| c.protected_mode = yes },
        "Without a password, serve loopback clients alone",
    )
    .live(),
    Setting::new(
        Heading::Clients,
        "timeout",
        "SECS",
        integer(0, INT_MAX, |c| secs(c.timeout), |c, n| c.timeout = duration(n)),
        "Seconds after which a client that says nothing is let go; 0: never",
    )
    .live(),
    Setting::new(
        Heading::Clients,
        "client-output-buffer-limit",
        "CLASS HARD SOFT SECS …",
        Kind::Text {
            shape: Shape::Words,
            get: |c| c.output_limits.to_string(),
            set: |c, text| c.output_limits.change(text),
        },
        "Bytes of replies that may wait for a client that takes none, by class (normal, replica, \
         pubsub): it is cut off at HARD at once, at SOFT after SECS seconds; 0: no limit",
    )
    .live(),
    Setting::new(
        Heading::Clients,
        "client-query-buffer-limit",
        "BYTES",
        Kind::Bytes {
            min: 1 << 20,
            max: LONG_MAX,
            get: |c| c.query_buffer_bytes_max,
            set: |c, bytes| c.query_buffer_bytes_max = bytes,
        },
        "Memory for one request",
    )
    .live(),
    Setting::new(
        Heading::Clients,
        "proto-max-bulk-len",
        "BYTES",
        Kind::Bytes {
            min: 1 << 20,
            max: LONG_MAX,
            get: |c| c.bulk_bytes_max,
            set: |c, bytes| c.bulk_bytes_max = bytes,
        },
        "The largest argument of a request",
    )
    .live(),
    Setting::new(
        Heading::Clients,
        "notify-keyspace-events",
        "FLAGS",
        Kind::Text {
            shape: Shape::Word,
            get: |c| c.notify.to_string(),
            set: |c, text| {
                let wrong = "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.";
                NotifyFlags::parse(text).map(|flags| c.notify = flags).ok_or_else(|| wrong.into())
            },
        },
        "Which changes of keys subscribers are told of, as letters; none: nothing",
    )
    .live(),
    Setting::new(
        Heading::Storage,
        "dir",
        "DIR",
        Kind::Text {
            shape: Shape::Word,
            get: |c| c.dir.display().to_string(),
            set: |c, text| {
                c.dir = PathBuf::from(text);
                if text.is_empty() { Err("a directory has a name".into()) } else { Ok(()) }
            },
        },
        "Directory of the data; created if need be",
    ),
    Setting::new(
        Heading::Storage,
        "checkpoint-dir",
        "DIR",
        Kind::Text {
            shape: Shape::Word,
            get: |c| c.checkpoints().display().to_string(),
            set: |c, text| {
                c.checkpoint_dir = Some(PathBuf::from(text)).filter(|_| !text.is_empty());
                Ok(())
            },
        },
        "Directory for what SAVE and BGSAVE make, of this server alone; of several the newest two are \
         kept. Unless it is said, it is beside that of the data",
    ),
    Setting::new(
        Heading::Storage,
        "engine",
        "ENGINE",
        Kind::Text {
            shape: Shape::Word,
            get: |c| c.engine.name().into(),
            set: |c, text| parse_engine(text).map(|engine| c.engine = engine),
        },
        "What stores the data: redb, rocksdb or memory; a directory remembers its engine",
    ),
    Setting::new(
        Heading::Storage,
        "durability",
        "WHEN",
        Kind::Choice {
            of: &[
                (
                    "always",
                    "Once an fsync has put it on the disk; writers that wait together share one. \
                     Survives a power loss",
                ),
                (
                    "everysec",
                    "Once it is applied; an fsync follows within a second. A crash may cost that \
                     second: of the machine, or, with redb, of the server",
                ),
                (
                    "no",
                    "Once it is applied; the system decides when it reaches the disk, or, with redb, \
                     which keeps it in the process until then, the server, about every 10 seconds",
                ),
            ],
            get: |c| c.durability.name(),
            set: |c, word| {
                choose(DurabilityChoice::ALL, DurabilityChoice::name, word, &mut c.durability);
            },
        },
        "When a write is acknowledged",
    )
    .aliases(&["appendfsync"])
    .live(),
    Setting::new(
        Heading::Storage,
        "cache-bytes",
        "BYTES",
        memory(|c| c.cache_bytes as u64, |c, bytes| put(&mut c.cache_bytes, bytes)),
        "Memory for the record cache, which answers reads of single keys without a storage call; \
         0 turns it off",
    ),
    Setting::new(
        Heading::Storage,
        "engine-cache-bytes",
        "BYTES",
        memory(|c| c.engine_cache_bytes as u64, |c, bytes| put(&mut c.engine_cache_bytes, bytes)),
        "Memory for the engine's read cache",
    ),
    Setting::new(
        Heading::Threads,
        "bridge",
        "MODE",
        Kind::Choice {
            of: &[("pool", "Dedicated threads"), ("blocking", "tokio's `spawn_blocking`")],
            get: |c| c.bridge.name(),
            set: |c, word| choose(BridgeChoice::ALL, BridgeChoice::name, word, &mut c.bridge),
        },
        "How blocking storage calls leave the async threads",
    ),
    Setting::new(
        Heading::Threads,
        "pool-threads",
        "N",
        threads(|c| c.pool_threads.map_or(0, count), |c, n| c.pool_threads = at_least_one(n)),
        "Threads that read, with --bridge pool; writes have one more, background work too. 0: two \
         for each CPU, and at least 16; most are used only while reads wait for the disk",
    ),
    Setting::new(
        Heading::Threads,
        "runtime",
        "FLAVOR",
        Kind::Choice {
            of: &[
                ("multi-thread", "Several threads"),
                ("current-thread", "One thread for all connections; storage still has its own"),
                (
                    "per-core",
                    "One thread for each CPU, each with a listening socket and connections of its \
                     own",
                ),
            ],
            get: |c| c.runtime.name(),
            set: |c, word| choose(RuntimeChoice::ALL, RuntimeChoice::name, word, &mut c.runtime),
        },
        "Which tokio runtime serves the connections. Unless it is said: current-thread on one or \
         two CPUs, where the storage's threads and the clients need the others; else multi-thread",
    ),
    Setting::new(
        Heading::Threads,
        "worker-threads",
        "N",
        threads(|c| c.worker_threads.map_or(0, count), |c, n| c.worker_threads = at_least_one(n)),
        "Threads of the runtime, with --runtime multi-thread or per-core. 0: one for each CPU",
    ),
    Setting::new(
        Heading::Observation,
        "loglevel",
        "LEVEL",
        Kind::Text {
            shape: Shape::Word,
            get: |c| c.log.clone(),
            set: |c, text| logging::check(text).map(|log| c.log = log),
        },
        "What to log to stderr: debug, verbose, notice, warning, nothing; off, error, warn, info, \
         trace; or directives such as info,pontoon::server=debug",
    )
    .aliases(&["log"])
    .live(),
    Setting::new(
        Heading::Observation,
        "slowlog-log-slower-than",
        "MICROS",
        integer(-1, i64::MAX, |c| c.slowlog_slower_than_us, |c, n| c.slowlog_slower_than_us = n),
        "Microseconds from which on a command is in the slow log; 0: all are, -1: none is",
    )
    .live(),
    Setting::new(
        Heading::Observation,
        "slowlog-max-len",
        "N",
        integer(0, i64::MAX, |c| count(c.slowlog_len_max), |c, n| put(&mut c.slowlog_len_max, n)),
        "Entries that the slow log keeps",
    )
    .live(),
    Setting::new(
        Heading::Observation,
        "latency-monitor-threshold",
        "MILLIS",
        integer(
            0,
            i64::MAX,
            |c| count(c.latency_threshold_ms),
            |c, n| put(&mut c.latency_threshold_ms, n),
        ),
        "Milliseconds from which on the latency monitor keeps an event; 0: none",
    )
    .live(),
    Setting::new(
        Heading::Observation,
        "latency-tracking",
        "yes|no",
        Kind::YesNo { get: |c| c.latency_tracking, set: |c, yes| c.latency_tracking = yes },
        "Keep a histogram of each command's time",
    )
    .live(),
    Setting::new(
        Heading::Observation,
        "latency-tracking-info-percentiles",
        "P …",
        Kind::Text {
            shape: Shape::Words,
            get: |c| show_percentiles(&c.latency_percentiles),
            set: |c, text| parse_percentiles(text).map(|list| c.latency_percentiles = list),
        },
        "Percentiles of those histograms that INFO shows",
    )
    .live(),
    Setting::new(
        Heading::Operation,
        "enable-debug-command",
        "WHO",
        Kind::Choice {
            of: &[("no", "Nobody"), ("local", "Clients on this machine"), ("yes", "Everybody")],
            get: |c| c.debug_command.name(),
            set: |c, word| {
                choose(DebugCommand::ALL, DebugCommand::name, word, &mut c.debug_command)
            },
        },
        "Who may use DEBUG",
    ),
    Setting::new(
        Heading::Operation,
        "shutdown-timeout",
        "SECS",
        integer(0, INT_MAX, |c| secs(c.shutdown_timeout), |c, n| c.shutdown_timeout = duration(n)),
        "Seconds that SIGINT, SIGTERM and SHUTDOWN let running commands take; SIGINT then stops at \
         once",
    )
    .aliases(&["shutdown-timeout-secs"])
    .live(),
    Setting::new(
        Heading::Fixed,
        "appendonly",
        "yes|no",
        Kind::Fixed {
            shape: Shape::YesNo,
            get: |c| if c.engine.is_persistent() { "yes" } else { "no" },
            why: "the engine decides whether data lasts: every one but memory keeps it",
        },
        "Whether data lasts: yes with every engine but memory",
    )
    .live(),
    Setting::new(
        Heading::Fixed,
        "databases",
        "N",
        Kind::Fixed {
            shape: Shape::Integer,
            get: |_| DATABASES_TEXT,
            why: "there are 16 databases",
        },
        "How many databases there are",
    ),
    Setting::new(
        Heading::Fixed,
        "maxmemory",
        "BYTES",
        Kind::Fixed {
            shape: Shape::Bytes,
            get: |_| "0",
            why: "data is on the disk and has no limit in memory; cache-bytes and \
                  engine-cache-bytes bound what is kept of it there",
        },
        "Memory for data: 0, no limit, since it is on the disk",
    )
    .live(),
    Setting::new(
        Heading::Fixed,
        "maxmemory-policy",
        "POLICY",
        Kind::Fixed { shape: Shape::Word, get: |_| "noeviction", why: "nothing is ever evicted" },
        "What is removed for want of memory: nothing",
    )
    .live(),
    Setting::new(
        Heading::Fixed,
        "save",
        "\"\"",
        Kind::Fixed {
            shape: Shape::Words,
            get: |_| "",
            why: "every write is kept as durability says, and there are no snapshots by time",
        },
        "When to make a snapshot by itself: never, since every write is kept",
    )
    .live(),
];

const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: u64 = i64::MAX as u64;

/// More is an error of the system's (`TCP_KEEPIDLE`), which Redis ignores.
const KEEPALIVE_SECS_MAX: i64 = i16::MAX as i64;

/// More would be a slip of the pen.
const THREADS_MAX: i64 = 1 << 16;

const DATABASES_TEXT: &str = "16";
const _: () = assert!(DATABASES == 16, "what `databases` shows");

const fn integer(min: i64, max: i64, get: fn(&Config) -> i64, set: fn(&mut Config, i64)) -> Kind {
    Kind::Integer { min, max, get, set }
}

/// A number of bytes that a `usize` can count.
const fn memory(get: fn(&Config) -> u64, set: fn(&mut Config, u64)) -> Kind {
    Kind::Bytes { min: 0, max: usize::MAX as u64, get, set }
}

/// A number of threads, of which 0 stands for what the server chooses.
const fn threads(get: fn(&Config) -> i64, set: fn(&mut Config, i64)) -> Kind {
    integer(0, THREADS_MAX, get, set)
}

fn at_least_one(threads: i64) -> Option<usize> {
    usize::try_from(threads).ok().filter(|threads| *threads > 0)
}

/// The kind's range has seen to it that the number fits.
fn put<N, T: TryFrom<N>>(place: &mut T, number: N) {
    if let Ok(number) = number.try_into() {
        *place = number;
    }
}

fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

fn secs(duration: Duration) -> i64 {
    count(duration.as_secs())
}

fn duration(secs: i64) -> Duration {
    Duration::from_secs(secs.try_into().unwrap_or(0))
}

/// The one of `all` that is called `word`, which its kind has checked.
fn choose<T: Copy>(
    all: impl IntoIterator<Item = T>,
    name: fn(T) -> &'static str,
    word: &str,
    place: &mut T,
) {
    if let Some(chosen) = all.into_iter().find(|one| name(*one) == word) {
        *place = chosen;
    }
}
