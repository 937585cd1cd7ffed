//! Commands for those who look after a server, as far as they need no socket.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;
use pontoon::command::Settings;

#[test]
fn there_is_no_replication() {
    Shell::new().script(
        r#"
        ROLE -> ["master" 0 []]
        REPLICAOF NO ONE -> OK
        replicaof no one -> OK
        SLAVEOF NO ONE -> OK
        REPLICAOF 127.0.0.1 6379 -> (error) ERR Pontoon has no replication: it cannot be the replica of another server
        SLAVEOF NO TWO -> (error) ERR Pontoon has no replication: it cannot be the replica of another server
        "#,
    );
}

#[test]
fn lolwut_draws_and_says_the_version() {
    let mut shell = Shell::new();
    for line in ["LOLWUT", "LOLWUT VERSION 5", "lolwut version 6 30", "LOLWUT 40 5"] {
        let text = shell.run(line);
        assert!(text.ends_with(&format!("Redis ver. {}\\n\"", pontoon::command::REDIS_VERSION)));
        assert!(text.contains("======"), "{text}");
    }
    shell.check("LOLWUT VERSION x", "(error) ERR value is not an integer or out of range");
    shell.check("LOLWUT x", "(error) ERR value is not an integer or out of range");
}

#[test]
fn one_save_is_asked_for_at_a_time() {
    let mut shell = Shell::with_settings(Settings { persistent: true, ..Settings::default() });
    // Here nobody makes them.
    shell.script(
        "
        BGSAVE x -> (error) ERR syntax error
        BGSAVE -> Background saving started
        BGSAVE -> (error) ERR Background save already in progress
        BGSAVE SCHEDULE -> (error) ERR Background save already in progress
        ",
    );
    let info = shell.run("INFO persistence");
    assert!(info.contains("rdb_bgsave_in_progress:1\\r"), "{info}");
    assert!(info.contains("rdb_current_bgsave_time_sec:0\\r"), "{info}");
    let started = shell.run("LASTSAVE");
    shell.server.saves.end(Ok(()), 4_000_000_000);
    assert_ne!(started, "4000000000");
    shell.check("LASTSAVE", "4000000000");
    let info = shell.run("INFO persistence");
    for field in ["rdb_bgsave_in_progress:0", "rdb_last_save_time:4000000000", "rdb_saves:1"] {
        assert!(info.contains(&format!("{field}\\r")), "{field}: {info}");
    }
}

/// The bytes that everything of a kind takes in the store, books aside.
fn stored_bytes(shell: &Shell) -> usize {
    let databases = shell.databases.clone();
    let keyspaces = [databases.meta(), databases.elements(), databases.expiry()];
    let entries = keyspaces.into_iter().flat_map(|keyspace| shell.dump(keyspace));
    entries.map(|(key, value)| key.len() + value.len()).sum()
}

#[test]
fn memory_usage_is_what_a_key_takes_in_the_store() {
    let elements: Vec<String> = (0..600).map(|n| format!("{n}:{}", "x".repeat(n % 50))).collect();
    let elements = elements.join(" ");
    let scored: Vec<String> = (0..600).map(|n| format!("{n} member:{n}")).collect();
    for (line, exact) in [
        ("SET key value".to_owned(), true),
        ("SET key value EX 100".to_owned(), true),
        (format!("SET key {}", "x".repeat(100_000)), true),
        ("RPUSH key a b c".to_owned(), true),
        (format!("RPUSH key {elements}"), true),
        (format!("ZADD key {}", scored.join(" ")), true),
    ] {
        let mut shell = Shell::new();
        shell.run(&line);
        let stored = stored_bytes(&shell);
        let shown = line.get(..20).unwrap_or(&line);
        if exact {
            shell.check("MEMORY USAGE key SAMPLES 0", &stored.to_string());
        }
        // An estimate, where it is one, is near.
        for samples in ["", "SAMPLES 5", "SAMPLES 512", "samples 100 SAMPLES 500"] {
            let estimate: usize =
                shell.run(&format!("MEMORY USAGE key {samples}")).parse().unwrap();
            assert!(
                (stored / 3..=stored * 3).contains(&estimate),
                "{shown} {samples}: {estimate} for {stored}"
            );
        }
    }
}

#[test]
fn memory_answers_with_what_is_known() {
    let mut shell = Shell::new();
    shell.run("SET a 1");
    shell.server.set_storage_stats(|| vec![("cache_bytes".into(), "77".into())]);
    shell.script(
        r#"
        MEMORY USAGE nope -> nil
        MEMORY USAGE a SAMPLES -> (error) ERR syntax error
        MEMORY USAGE a SAMPLES -1 -> (error) ERR syntax error
        MEMORY USAGE a SAMPLES x -> (error) ERR value is not an integer or out of range
        MEMORY USAGE a x 1 -> (error) ERR syntax error
        MEMORY USAGE -> (error) ERR wrong number of arguments for 'memory|usage' command
        MEMORY PURGE -> OK
        MEMORY MALLOC-STATS -> "Stats not supported for the current allocator"
        MEMORY NOPE -> (error) ERR unknown subcommand 'NOPE'. Try MEMORY HELP.
        "#,
    );
    let stats = shell.run("MEMORY STATS");
    for field in ["\"keys.count\" 1 ", "\"record-cache.bytes\" 77 ", "\"peak.allocated\" "] {
        assert!(stats.contains(field), "{field}: {stats}");
    }
    assert!(shell.run("MEMORY DOCTOR").contains("the record cache keeps 0.0 MiB"));
}
