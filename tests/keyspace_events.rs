//! What those who listen for events of keys hear of commands on keys, expiries and strings.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn of_strings() {
    Shell::new().event_script(
        "
        SET a 1 -> new a, set a
        SET a 2 -> set a
        SET a 2 NX -> none
        SET b 2 XX -> none
        SET b 2 XX GET -> keymiss b
        SET a 3 EX 100 -> set a, expire a
        SET a 3 KEEPTTL -> set a
        SET a 4 GET PX 5000 -> set a, expire a
        SETNX a 1 -> none
        SETNX b 1 -> new b, set b
        SETEX a 100 1 -> set a, expire a
        PSETEX c 100000 1 -> new c, set c, expire c
        GETSET a 1 -> set a
        GETSET d 1 -> keymiss d, new d, set d
        GETDEL d -> del d
        GETDEL d -> keymiss d
        MSET a 1 d 2 -> set a, new d, set d
        MSETNX a 1 e 2 -> none
        MSETNX e 1 f 2 e 3 -> new e, set e, new f, set f, set e
        APPEND a x -> append a
        APPEND g x -> new g, append g
        SETRANGE a 1 y -> setrange a
        SETRANGE a 1 '' -> none
        SETRANGE h 1 y -> new h, setrange h
        SETRANGE i 1 '' -> none
        SET n 1 -> new n, set n
        INCR n -> incrby n
        DECR n -> incrby n
        INCRBY n 5 -> incrby n
        DECRBY n 5 -> incrby n
        INCR a -> none
        INCR m -> new m, incrby m
        INCRBYFLOAT n 1.5 -> incrbyfloat n
        INCRBYFLOAT o 1.5 -> new o, incrbyfloat o
        GETEX n -> none
        GETEX missing EX 10 -> keymiss missing
        GETEX n EX 100 -> expire n
        GETEX n PERSIST -> persist n
        GETEX n PERSIST -> none
        GETEX n PXAT 1 -> del n
        GET a -> none
        GET missing -> keymiss missing
        MGET a missing b -> keymiss missing
        STRLEN missing -> keymiss missing
        GETRANGE missing 0 1 -> keymiss missing
        ",
    );
}

#[test]
fn a_time_in_the_past_deletes_when_the_key_is_next_used() {
    Shell::new().event_script(
        "
        SET a 1 PXAT 1 -> new a, set a, expire a
        DEL a -> expired a
        ",
    );
}

#[test]
fn of_expiries() {
    Shell::new().event_script(
        "
        EXPIRE a 10 -> none
        SET a 1 -> new a, set a
        EXPIRE a 10 -> expire a
        EXPIRE a 10 NX -> none
        PEXPIRE a 10000 -> expire a
        EXPIREAT a 99999999999 -> expire a
        PEXPIREAT a 99999999999000 -> expire a
        TTL a -> none
        TTL missing -> keymiss missing
        PTTL missing -> keymiss missing
        EXPIRETIME missing -> keymiss missing
        PEXPIRETIME missing -> keymiss missing
        PERSIST a -> persist a
        PERSIST a -> none
        EXPIRE a -1 -> del a
        SET a 1 -> new a, set a
        PEXPIREAT a 1 -> del a
        ",
    );
}

#[test]
fn of_keys() {
    Shell::new().event_script(
        "
        MSET a 1 b 2 c 3 -> new a, set a, new b, set b, new c, set c
        DEL missing a missing b -> del a, del b
        UNLINK c a -> del c
        MSET a 1 b 2 -> new a, set a, new b, set b
        RENAME a c -> new c, rename_from a, rename_to c
        RENAME c b -> new b, rename_from c, rename_to b
        RENAME b b -> none
        RENAME missing b -> none
        SET a 1 -> new a, set a
        RENAMENX a b -> none
        RENAMENX a c -> new c, rename_from a, rename_to c
        EXISTS b missing c -> keymiss missing
        TOUCH b missing c -> keymiss missing
        TYPE missing -> keymiss missing
        RANDOMKEY -> none
        KEYS * -> none
        DBSIZE -> none
        FLUSHDB -> none
        SET a 1 -> new a, set a
        FLUSHALL -> none
        ",
    );
}

#[test]
fn with_the_number_of_the_database() {
    let mut shell = Shell::new();
    shell.run("SELECT 9");
    assert_eq!(shell.events("SET a 1"), "new 9:a, set 9:a");
}

#[test]
fn of_a_key_whose_time_has_come() {
    let mut shell = Shell::new();
    shell.run("SET a 1 PX 10");
    shell.run("SET b 1 PX 10");
    shell.run("SET c 1 PX 10");
    shell.now_ms += 11;
    // Found by a command that writes, and by one that only reads: that leaves it to the sweep.
    assert_eq!(shell.events("INCR a"), "expired a, new a, incrby a");
    assert_eq!(shell.events("GET b"), "keymiss b");
    let swept = shell.events_of(|shell| {
        shell.expire_step(100);
    });
    let mut swept: Vec<_> = swept.split(", ").collect();
    swept.sort_unstable();
    assert_eq!(swept, ["expired b", "expired c"]);
}

#[test]
fn nothing_of_what_is_undone_or_of_classes_that_are_off() {
    let mut shell = Shell::new();
    // The first pair is undone with the second, whose key is too long.
    let long = "k".repeat(70_000);
    let line = format!("MSET a 1 {long} 2");
    assert_eq!(shell.events(&line), "none");
    let silent = shell.events_of(|shell| {
        shell.listen_for("Ex");
        shell.run("SET a 1 PX 10");
        shell.now_ms += 11;
        shell.run("SET a 1");
    });
    assert_eq!(silent, "expired a");
}
