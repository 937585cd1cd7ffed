//! Expiry: set, read, and seen by every command.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn the_four_ways_to_set_and_to_read_it() {
    Shell::new().script(
        "
        EXPIRE a 10 -> 0
        TTL a -> -2
        PTTL a -> -2
        EXPIRETIME a -> -2
        PEXPIRETIME a -> -2
        SET a 1 -> OK
        TTL a -> -1
        PTTL a -> -1
        EXPIRETIME a -> -1
        PEXPIRETIME a -> -1
        EXPIRE a 10 -> 1
        TTL a -> 10
        EXPIRETIME a -> 1600000010
        PEXPIRE a 1500 -> 1
        PTTL a -> 1500
        TTL a -> 2
        PEXPIRETIME a -> 1600000001500
        EXPIREAT a 1600000020 -> 1
        TTL a -> 20
        PEXPIREAT a 1600000000499 -> 1
        TTL a -> 0
        PERSIST a -> 1
        PERSIST a -> 0
        PERSIST missing -> 0
        TTL a -> -1
        ",
    );
}

#[test]
fn under_conditions() {
    Shell::new().script(
        "
        SET a 1 -> OK
        EXPIRE a 10 XX -> 0
        EXPIRE a 10 GT -> 0
        EXPIRE a 100 NX -> 1
        EXPIRE a 10 NX -> 0
        EXPIRE a 50 GT -> 0
        EXPIRE a 100 GT -> 0
        EXPIRE a 200 GT -> 1
        EXPIRE a 300 LT -> 0
        EXPIRE a 150 XX LT -> 1
        TTL a -> 150
        PERSIST a -> 1
        EXPIRE a 10 LT -> 1
        TTL a -> 10
        EXPIRE a 10 NX XX -> (error) ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE a 10 NX GT -> (error) ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE a 10 GT LT -> (error) ERR GT and LT options at the same time are not compatible
        EXPIRE a 10 what -> (error) ERR Unsupported option what
        EXPIRE a x what -> (error) ERR Unsupported option what
        EXPIRE a x -> (error) ERR value is not an integer or out of range
        TTL a -> 10
        ",
    );
}

#[test]
fn in_the_past_removes() {
    Shell::new().script(
        "
        MSET a 1 b 2 c 3 d 4 -> OK
        EXPIRE a -1 -> 1
        EXPIRE b 0 -> 1
        PEXPIREAT c 1600000000000 -> 1
        EXPIREAT d -9223372036854775 -> 1
        EXISTS a b c d -> 0
        DBSIZE -> 0
        ",
    );
}

#[test]
fn overflow_is_an_error() {
    Shell::new().script(
        "
        SET a 1 -> OK
        EXPIRE a 9223372036854775807 -> (error) ERR invalid expire time in 'expire' command
        EXPIRE a 9223372036854776 -> (error) ERR invalid expire time in 'expire' command
        EXPIRE a -9223372036854776 -> (error) ERR invalid expire time in 'expire' command
        PEXPIRE a 9223372036854775807 -> (error) ERR invalid expire time in 'pexpire' command
        EXPIREAT a 9223372036854776 -> (error) ERR invalid expire time in 'expireat' command
        PEXPIREAT a 9223372036854775807 -> 1
        PEXPIRETIME a -> 9223372036854775807
        ",
    );
}

/// A key lives through the very millisecond it expires at, as in Redis.
#[test]
fn what_has_expired_is_gone_for_every_command() {
    let probes = [
        ("GET a", "nil"),
        ("MGET a a", "[nil nil]"),
        ("EXISTS a", "0"),
        ("TYPE a", "none"),
        ("TTL a", "-2"),
        ("STRLEN a", "0"),
        ("GETRANGE a 0 -1", "\"\""),
        ("KEYS *", "[]"),
        ("SCAN 0", "[\"0\" []]"),
        ("RANDOMKEY", "nil"),
        ("DEL a", "0"),
        ("GETDEL a", "nil"),
        ("GETEX a PERSIST", "nil"),
        ("PERSIST a", "0"),
        ("EXPIRE a 100", "0"),
        ("RENAME a b", "(error) ERR no such key"),
        ("SET a 2 XX", "nil"),
        ("SETNX a 2", "1"),
        ("MSETNX a 2", "1"),
        ("APPEND a 2", "1"),
        ("SETRANGE a 1 2", "2"),
        ("INCR a", "1"),
        ("INCRBYFLOAT a 2", "\"2\""),
        ("GETSET a 2", "nil"),
        ("SET a 2 KEEPTTL", "OK"),
    ];
    for (command, reply) in probes {
        let mut shell = Shell::new();
        shell.run("SET a 1 PX 100");
        shell.now_ms += 100;
        shell.check("GET a", "\"1\"");
        shell.now_ms += 1;
        shell.check(command, reply);
        if shell.run("EXISTS a") == "1" {
            shell.check("PTTL a", "-1");
        }
    }
}

#[test]
fn the_sweep_removes_what_nobody_asks_for() {
    let mut shell = Shell::new();
    for n in 0..100 {
        shell.run(&format!("SET short:{n} 1 PX {}", n + 1));
        shell.run(&format!("SET long:{n} 1 PX 1000000"));
    }
    shell.run("SELECT 3");
    shell.run("SET other 1 PX 1");
    shell.run("SELECT 0");
    shell.check("DBSIZE", "200");
    let idle = shell.expire_step(1000);
    assert_eq!((idle.removed, idle.more), (0, false));

    shell.now_ms += 51;
    let first = shell.expire_step(20);
    assert_eq!((first.removed, first.more), (20, true));
    let second = shell.expire_step(1000);
    assert_eq!((second.removed, second.more), (31, false));
    shell.check("DBSIZE", "150");
    shell.check("EXISTS short:49 short:50 long:0", "2");
    let info = shell.run("INFO keyspace");
    assert!(info.contains("db0:keys=150,expires=150,avg_ttl=0"), "{info}");
    assert!(!info.contains("db3"), "{info}");
}

#[test]
fn a_key_that_was_given_more_time_survives_the_sweep() {
    let mut shell = Shell::new();
    shell.script(
        "
        SET a 1 PX 10 -> OK
        PEXPIRE a 100 -> 1
        SET b 1 PX 10 -> OK
        PERSIST b -> 1
        SET c 1 PX 10 -> OK
        SET c 2 -> OK
        SET d 1 PX 10 -> OK
        RENAME d e -> OK
        ",
    );
    shell.now_ms += 11;
    assert_eq!(shell.expire_step(100).removed, 1);
    shell.check("EXISTS a b c e", "3");
    shell.check("DBSIZE", "3");
}

/// Expiry is a time of the wall clock, which may be set.
#[test]
fn a_clock_that_jumps_moves_expiry_with_it() {
    let mut shell = Shell::new();
    shell.script("SET swept 1 PX 1000 -> OK\nSET kept 1 PX 1000 -> OK");
    let set_at = shell.now_ms;

    shell.now_ms = set_at - 3_600_000;
    shell.check("PTTL kept", "3601000");
    assert_eq!(shell.expire_step(100).removed, 0);

    // Hidden at once, in reads and in what they count.
    shell.now_ms = set_at + 3_600_000;
    shell.check("EXISTS swept kept", "0");
    shell.check("GET kept", "nil");

    // A clock set right again before the sweep has come by finds both.
    shell.now_ms = set_at;
    shell.check("EXISTS swept kept", "2");

    shell.now_ms = set_at + 3_600_000;
    assert_eq!(shell.expire_step(1).removed, 1);
    shell.now_ms = set_at;
    assert_eq!(shell.run("EXISTS swept kept"), "1", "what the sweep has removed stays removed");
}
