//! Redis's settings that mean nothing here, each with the reason: whoever sets one is told so, rather
//! than left to believe that it did something.

/// Settings of Redis 7.0 that are refused for one reason.
struct Refused {
    why: &'static str,
    /// Those that `CONFIG SET` can change in Redis.
    live: &'static [&'static str],
    /// Those that it cannot.
    immutable: &'static [&'static str],
}

/// Why Redis's setting of this name, in lower case, is refused; `None` for any other name.
pub fn why_refused(name: &str) -> Option<&'static str> {
    let knows = |group: &&Refused| group.live.contains(&name) || group.immutable.contains(&name);
    REFUSED.iter().find(knows).map(|group| group.why)
}

/// Whether `CONFIG SET` refuses the setting of this name in Redis as well.
pub fn is_immutable_in_redis(name: &str) -> bool {
    REFUSED.iter().any(|group| group.immutable.contains(&name))
}

static REFUSED: &[Refused] = &[
    Refused {
        why: "Pontoon has no such layout: values are stored one element a record, whatever their \
              size",
        live: &[
            "hash-max-listpack-entries",
            "hash-max-listpack-value",
            "hash-max-ziplist-entries",
            "hash-max-ziplist-value",
            "hll-sparse-max-bytes",
            "list-compress-depth",
            "list-max-listpack-size",
            "list-max-ziplist-size",
            "set-max-intset-entries",
            "stream-node-max-bytes",
            "stream-node-max-entries",
            "zset-max-listpack-entries",
            "zset-max-listpack-value",
            "zset-max-ziplist-entries",
            "zset-max-ziplist-value",
        ],
        immutable: &[],
    },
    Refused {
        why: "Pontoon has no such layout: data is on the disk, and what is removed is always freed \
              in the background",
        live: &[
            "active-defrag-cycle-max",
            "active-defrag-cycle-min",
            "active-defrag-ignore-bytes",
            "active-defrag-max-scan-fields",
            "active-defrag-threshold-lower",
            "active-defrag-threshold-upper",
            "activedefrag",
            "activerehashing",
            "jemalloc-bg-thread",
            "lazyfree-lazy-eviction",
            "lazyfree-lazy-expire",
            "lazyfree-lazy-server-del",
            "lazyfree-lazy-user-del",
            "lazyfree-lazy-user-flush",
        ],
        immutable: &["disable-thp"],
    },
    Refused {
        why: "nothing is ever evicted for want of memory",
        live: &[
            "lfu-decay-time",
            "lfu-log-factor",
            "maxmemory-clients",
            "maxmemory-eviction-tenacity",
            "maxmemory-samples",
        ],
        immutable: &[],
    },
    Refused {
        why: "Pontoon has neither Redis's snapshot file nor its log: the engine keeps the data",
        live: &[
            "aof-disable-auto-gc",
            "aof-load-truncated",
            "aof-rewrite-incremental-fsync",
            "aof-timestamp-enabled",
            "aof-use-rdb-preamble",
            "auto-aof-rewrite-min-size",
            "auto-aof-rewrite-percentage",
            "dbfilename",
            "key-load-delay",
            "loading-process-events-interval-bytes",
            "no-appendfsync-on-rewrite",
            "rdb-del-sync-files",
            "rdb-key-save-delay",
            "rdb-save-incremental-fsync",
            "rdbcompression",
            "sanitize-dump-payload",
            "stop-writes-on-bgsave-error",
        ],
        immutable: &["appenddirname", "appendfilename", "rdbchecksum"],
    },
    Refused {
        why: "there is no replication",
        live: &[
            "masterauth",
            "masteruser",
            "min-replicas-max-lag",
            "min-replicas-to-write",
            "min-slaves-max-lag",
            "min-slaves-to-write",
            "propagation-error-behavior",
            "repl-backlog-size",
            "repl-backlog-ttl",
            "repl-disable-tcp-nodelay",
            "repl-diskless-load",
            "repl-diskless-sync",
            "repl-diskless-sync-delay",
            "repl-diskless-sync-max-replicas",
            "repl-ping-replica-period",
            "repl-ping-slave-period",
            "repl-timeout",
            "replica-announce-ip",
            "replica-announce-port",
            "replica-announced",
            "replica-ignore-disk-write-errors",
            "replica-ignore-maxmemory",
            "replica-lazy-flush",
            "replica-priority",
            "replica-read-only",
            "replica-serve-stale-data",
            "slave-announce-ip",
            "slave-announce-port",
            "slave-ignore-maxmemory",
            "slave-lazy-flush",
            "slave-priority",
            "slave-read-only",
            "slave-serve-stale-data",
        ],
        immutable: &["replicaof", "slaveof"],
    },
    Refused {
        why: "there is no cluster",
        live: &[
            "cluster-allow-pubsubshard-when-down",
            "cluster-allow-reads-when-down",
            "cluster-allow-replica-migration",
            "cluster-announce-bus-port",
            "cluster-announce-hostname",
            "cluster-announce-ip",
            "cluster-announce-port",
            "cluster-announce-tls-port",
            "cluster-link-sendbuf-limit",
            "cluster-migration-barrier",
            "cluster-node-timeout",
            "cluster-preferred-endpoint-type",
            "cluster-replica-no-failover",
            "cluster-replica-validity-factor",
            "cluster-require-full-coverage",
            "cluster-slave-no-failover",
            "cluster-slave-validity-factor",
        ],
        immutable: &["cluster-config-file", "cluster-enabled", "cluster-port"],
    },
    Refused {
        why: "there is no TLS",
        live: &[
            "tls-auth-clients",
            "tls-ca-cert-dir",
            "tls-ca-cert-file",
            "tls-cert-file",
            "tls-ciphers",
            "tls-ciphersuites",
            "tls-client-cert-file",
            "tls-client-key-file",
            "tls-client-key-file-pass",
            "tls-cluster",
            "tls-dh-params-file",
            "tls-key-file",
            "tls-key-file-pass",
            "tls-port",
            "tls-prefer-server-ciphers",
            "tls-protocols",
            "tls-replication",
            "tls-session-cache-size",
            "tls-session-cache-timeout",
            "tls-session-caching",
        ],
        immutable: &[],
    },
    Refused {
        why: "there is no scripting, no ACL, no client-side caching and no module",
        live: &[
            "acl-pubsub-default",
            "acllog-max-len",
            "busy-reply-threshold",
            "lua-time-limit",
            "tracking-table-max-keys",
        ],
        immutable: &["aclfile", "enable-module-command"],
    },
    Refused {
        why: "threads and tasks are chosen by the settings bridge, pool-threads, runtime and \
              worker-threads, and run when there is work",
        live: &["active-expire-effort", "dynamic-hz", "hz", "watchdog-period"],
        immutable: &[
            "aof_rewrite_cpulist",
            "bgsave_cpulist",
            "bio_cpulist",
            "io-threads",
            "io-threads-do-reads",
            "server_cpulist",
        ],
    },
    Refused {
        why: "it is left to what starts the server: a service manager, the shell or a container",
        live: &[
            "crash-log-enabled",
            "crash-memcheck-enabled",
            "ignore-warnings",
            "oom-score-adj",
            "oom-score-adj-values",
            "proc-title-template",
            "use-exit-on-panic",
        ],
        immutable: &[
            "always-show-logo",
            "daemonize",
            "logfile",
            "pidfile",
            "set-proc-title",
            "supervised",
            "syslog-enabled",
            "syslog-facility",
            "syslog-ident",
        ],
    },
    Refused {
        why: "a signal ends the server as SHUTDOWN does; shutdown-timeout says how long it may take",
        live: &["shutdown-on-sigint", "shutdown-on-sigterm"],
        immutable: &[],
    },
    Refused {
        why: "clients connect over TCP, to the addresses of bind and the port of port",
        live: &["bind-source-addr"],
        immutable: &["socket-mark-id", "unixsocket", "unixsocketperm"],
    },
    Refused {
        why: "no setting is held back from a client that has authenticated",
        live: &[],
        immutable: &["enable-protected-configs"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::find;

    #[test]
    fn each_name_is_there_once_and_is_no_setting() {
        let all = REFUSED.iter().flat_map(|group| group.live.iter().chain(group.immutable));
        let mut names: Vec<&str> = all.copied().collect();
        let len = names.len();
        assert!(len > 150);
        for name in &names {
            assert!(find(name).is_none(), "{name}");
            assert!(why_refused(name).is_some(), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), len);
    }

    #[test]
    fn another_name_is_nobodys() {
        assert_eq!(why_refused("hash-max-nonsense"), None);
        assert!(is_immutable_in_redis("daemonize"));
        assert!(!is_immutable_in_redis("hz"));
    }
}
