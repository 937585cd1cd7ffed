//! Commands on keys as such.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn del_exists_type_and_touch() {
    Shell::new().script(
        "
        MSET a 1 b 2 c 3 -> OK
        EXISTS a b a missing -> 3
        TOUCH a missing -> 1
        TYPE a -> string
        TYPE missing -> none
        DEL a missing a -> 1
        UNLINK b c -> 2
        DBSIZE -> 0
        DEL a -> 0
        ",
    );
}

#[test]
fn rename() {
    Shell::new().script(
        r#"
        RENAME a b -> (error) ERR no such key
        SET a 1 EX 100 -> OK
        RENAME a b -> OK
        EXISTS a -> 0
        GET b -> "1"
        TTL b -> 100
        RENAME b b -> OK
        GET b -> "1"
        SET c 3 -> OK
        RENAME b c -> OK
        GET c -> "1"
        TTL c -> 100
        DBSIZE -> 1
        RENAMENX c c -> 0
        SET d 4 -> OK
        RENAMENX d c -> 0
        RENAMENX d e -> 1
        GET e -> "4"
        TTL e -> -1
        RENAMENX missing x -> (error) ERR no such key
        DBSIZE -> 2
        "#,
    );
}

#[test]
fn randomkey_finds_some_key() {
    let mut shell = Shell::new();
    shell.check("RANDOMKEY", "nil");
    shell.run("SET only 1");
    shell.check("RANDOMKEY", "\"only\"");
    shell.run("MSET a 1 b 2 c 3");
    for _ in 0..50 {
        let key = shell.run("RANDOMKEY");
        assert!(["\"only\"", "\"a\"", "\"b\"", "\"c\""].contains(&&*key), "{key}");
    }
    shell.run("FLUSHDB");
    shell.run("SET gone 1 PX 5");
    shell.now_ms += 6;
    shell.check("RANDOMKEY", "nil");
}

#[test]
fn keys_match_a_pattern() {
    let mut shell = Shell::new();
    shell.run("MSET one 1 two 2 three 3 four 4");
    let mut sorted = |pattern: &str| {
        let reply = shell.run(&format!("KEYS {pattern}"));
        let mut keys: Vec<_> =
            reply.trim_matches(['[', ']']).split(' ').map(str::to_owned).collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(sorted("*o*"), r#""four" "one" "two""#);
    assert_eq!(sorted("t??"), r#""two""#);
    assert_eq!(sorted("*"), r#""four" "one" "three" "two""#);
    assert_eq!(sorted("x*"), "");
    shell.run("PEXPIRE one 10");
    shell.now_ms += 11;
    shell.check("KEYS on*", "[]");
}

#[test]
fn databases_are_apart() {
    Shell::new().script(
        r#"
        SET a 0 -> OK
        SELECT 15 -> OK
        GET a -> nil
        SET a 15 -> OK
        SET b 15 -> OK
        DBSIZE -> 2
        SELECT 0 -> OK
        GET a -> "0"
        DBSIZE -> 1
        FLUSHDB -> OK
        DBSIZE -> 0
        GET a -> nil
        SELECT 15 -> OK
        GET a -> "15"
        FLUSHALL -> OK
        DBSIZE -> 0
        KEYS * -> []
        FLUSHDB ASYNC -> OK
        FLUSHALL sync -> OK
        FLUSHALL now -> (error) ERR syntax error
        SELECT 16 -> (error) ERR DB index is out of range
        SELECT -1 -> (error) ERR DB index is out of range
        SELECT x -> (error) ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn a_flush_and_what_follows_it_in_one_run() {
    let mut shell = Shell::new();
    shell.run("MSET a 1 b 2");
    let replies =
        shell.pipeline(&["SET c 3 EX 5", "FLUSHDB", "SET a 9", "GET a", "EXISTS b c", "DBSIZE"]);
    assert_eq!(replies, ["OK", "OK", "OK", "\"9\"", "0", "1"]);
    shell.check("GET a", "\"9\"");
    shell.check("DBSIZE", "1");
}
