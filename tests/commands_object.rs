//! `OBJECT`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn encodings_of_strings() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        MSET a 12345678901234567890 b -5 c 0 d 012 e -0 f x g 1.5 -> OK
        SET empty '' -> OK
        SET min -9223372036854775808 -> OK
        SET max 9223372036854775807 -> OK
        OBJECT ENCODING a -> "embstr"
        OBJECT ENCODING b -> "int"
        OBJECT ENCODING c -> "int"
        OBJECT ENCODING d -> "embstr"
        OBJECT ENCODING e -> "embstr"
        OBJECT ENCODING f -> "embstr"
        OBJECT ENCODING g -> "embstr"
        OBJECT ENCODING empty -> "embstr"
        OBJECT ENCODING min -> "int"
        OBJECT ENCODING max -> "int"
        OBJECT ENCODING missing -> nil
        "#,
    );
    for (len, encoding) in [(44, "embstr"), (45, "raw"), (5000, "raw")] {
        shell.run_args(&[b"SET", b"a", &vec![b'1'; len]]);
        shell.check("OBJECT ENCODING a", &format!("\"{encoding}\""));
    }
}

#[test]
fn encodings_of_collections() {
    let mut shell = Shell::new();
    let long = "x".repeat(65);
    for (make, encoding) in [
        ("RPUSH k a", "quicklist"),
        ("SADD k 1 2 3", "intset"),
        ("SADD k 1 2 a", "hashtable"),
        ("SADD k 9223372036854775807 -9223372036854775808", "intset"),
        ("SADD k 9223372036854775808", "hashtable"),
        ("HSET k f v", "listpack"),
        (&format!("HSET k f {long}"), "hashtable"),
        (&format!("HSET k {long} v"), "hashtable"),
        ("ZADD k 1 a", "listpack"),
        (&format!("ZADD k 1 {long}"), "skiplist"),
    ] {
        shell.run("DEL k");
        shell.run(make);
        shell.check("OBJECT ENCODING k", &format!("\"{encoding}\""));
        shell.check("OBJECT REFCOUNT k", "1");
        // It is what was copied, moved or renamed.
        shell.run("COPY k copy REPLACE");
        shell.check("OBJECT ENCODING copy", &format!("\"{encoding}\""));
    }
    for (command, fit, small, large) in [
        ("SADD k {n}", 512, "intset", "hashtable"),
        ("HSET k f{n} v", 512, "listpack", "hashtable"),
        ("ZADD k 1 m{n}", 128, "listpack", "skiplist"),
    ] {
        shell.run("DEL k");
        for number in 0..fit {
            shell.run(&command.replace("{n}", &number.to_string()));
        }
        shell.check("OBJECT ENCODING k", &format!("\"{small}\""));
        shell.run(&command.replace("{n}", "99999"));
        shell.check("OBJECT ENCODING k", &format!("\"{large}\""));
    }
}

#[test]
fn the_rest_of_object() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        SET a x -> OK
        OBJECT REFCOUNT a -> 1
        OBJECT REFCOUNT missing -> nil
        OBJECT IDLETIME a -> (error) ERR idle time not tracked: the server keeps no access times
        OBJECT IDLETIME missing -> nil
        OBJECT FREQ a -> (error) ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
        OBJECT FREQ missing -> nil
        OBJECT -> (error) ERR wrong number of arguments for 'object' command
        OBJECT ENCODING -> (error) ERR wrong number of arguments for 'object|encoding' command
        OBJECT NOSUCH a -> (error) ERR unknown subcommand 'NOSUCH'. Try OBJECT HELP.
        "#,
    );
    assert!(shell.run("OBJECT HELP").contains("OBJECT <subcommand>"));
    // It counts as a look at the key, but nobody is told of what was missing.
    assert_eq!(shell.events("OBJECT ENCODING missing"), "none");
    let hits = shell.server.stats.keyspace_hits.load(std::sync::atomic::Ordering::Relaxed);
    shell.run("OBJECT ENCODING a");
    let after = shell.server.stats.keyspace_hits.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(after, hits + 1);
}
