//! Strings behave as in Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn get_and_set() {
    Shell::new().script(
        r#"
        GET a -> nil
        SET a 1 -> OK
        get a -> "1"
        SET a '' -> OK
        GET a -> ""
        STRLEN a -> 0
        STRLEN missing -> 0
        GET -> (error) ERR wrong number of arguments for 'get' command
        GET a b -> (error) ERR wrong number of arguments for 'get' command
        SET a -> (error) ERR wrong number of arguments for 'set' command
        "#,
    );
}

#[test]
fn set_under_conditions() {
    Shell::new().script(
        r#"
        SET a 1 XX -> nil
        SET a 1 NX -> OK
        SET a 2 NX -> nil
        GET a -> "1"
        SET a 2 xx -> OK
        GET a -> "2"
        SET a 3 GET -> "2"
        SET a 4 NX GET -> "3"
        GET a -> "3"
        SET b 1 NX GET -> nil
        GET b -> "1"
        SET c 1 XX GET -> nil
        EXISTS c -> 0
        SET a 1 NX XX -> (error) ERR syntax error
        SET a 1 XX NX -> (error) ERR syntax error
        SET a 1 NX NX -> nil
        SET a 1 BOGUS -> (error) ERR syntax error
        SETNX a 9 -> 0
        SETNX d 9 -> 1
        GET d -> "9"
        "#,
    );
}

#[test]
fn set_with_an_expiry() {
    Shell::new().script(
        r#"
        SET a 1 EX 10 -> OK
        TTL a -> 10
        SET a 1 PX 1500 -> OK
        PTTL a -> 1500
        SET a 1 EXAT 1600000100 -> OK
        TTL a -> 100
        SET a 1 PXAT 1600000000250 -> OK
        PTTL a -> 250
        SET a 2 KEEPTTL -> OK
        PTTL a -> 250
        SET a 2 XX KEEPTTL GET -> "2"
        PTTL a -> 250
        SET a 2 -> OK
        PTTL a -> -1
        SETEX a 7 v -> OK
        TTL a -> 7
        PSETEX a 70 v -> OK
        PTTL a -> 70
        GETSET a w -> "v"
        PTTL a -> -1
        GETSET missing w -> nil
        SET a 1 EX 10 EX 20 -> OK
        TTL a -> 20
        "#,
    );
}

#[test]
fn expiries_that_cannot_be() {
    Shell::new().script(
        r#"
        SET a 1 EX 0 -> (error) ERR invalid expire time in 'set' command
        SET a 1 PX -1 -> (error) ERR invalid expire time in 'set' command
        SET a 1 EX 9223372036854775807 -> (error) ERR invalid expire time in 'set' command
        SET a 1 PX 9223372036854775807 -> (error) ERR invalid expire time in 'set' command
        SET a 1 EX ten -> (error) ERR value is not an integer or out of range
        SET a 1 EX -> (error) ERR syntax error
        SET a 1 EX 10 PX 10 -> (error) ERR syntax error
        SET a 1 EX 10 KEEPTTL -> (error) ERR syntax error
        SET a 1 KEEPTTL EX 10 -> (error) ERR syntax error
        SETEX a 0 v -> (error) ERR invalid expire time in 'setex' command
        SETEX a 9223372036854775807 v -> (error) ERR invalid expire time in 'setex' command
        PSETEX a -1 v -> (error) ERR invalid expire time in 'psetex' command
        PSETEX a x v -> (error) ERR value is not an integer or out of range
        EXISTS a -> 0
        "#,
    );
}

#[test]
fn a_time_in_the_past_makes_a_key_that_is_gone() {
    Shell::new().script(
        r#"
        SET a 1 PXAT 1 -> OK
        GET a -> nil
        EXISTS a -> 0
        SET a 2 NX -> OK
        GET a -> "2"
        "#,
    );
}

#[test]
fn getdel_and_getex() {
    Shell::new().script(
        r#"
        GETDEL a -> nil
        SET a 1 -> OK
        GETDEL a -> "1"
        EXISTS a -> 0
        GETEX a EX 10 -> nil
        SET a 1 -> OK
        GETEX a -> "1"
        TTL a -> -1
        GETEX a EX 10 -> "1"
        TTL a -> 10
        GETEX a -> "1"
        TTL a -> 10
        GETEX a PXAT 1600000000999 -> "1"
        PTTL a -> 999
        GETEX a PERSIST -> "1"
        TTL a -> -1
        GETEX a EXAT 1 -> "1"
        EXISTS a -> 0
        SET a 1 -> OK
        GETEX a EX 0 -> (error) ERR invalid expire time in 'getex' command
        GETEX a EX 1 PERSIST -> (error) ERR syntax error
        GETEX a PERSIST EX 1 -> (error) ERR syntax error
        GETEX a KEEPTTL -> (error) ERR syntax error
        GETEX a NX -> (error) ERR syntax error
        GETEX a EX -> (error) ERR syntax error
        GETEX missing EX 0 -> nil
        "#,
    );
}

#[test]
fn several_at_once() {
    Shell::new().script(
        r#"
        MSET a 1 b 2 a 3 -> OK
        MGET a b c a -> ["3" "2" nil "3"]
        MSETNX c 1 a 2 -> 0
        MGET a c -> ["3" nil]
        MSETNX c 1 d 2 c 3 -> 1
        MGET c d -> ["3" "2"]
        DBSIZE -> 4
        MSET a -> (error) ERR wrong number of arguments for 'mset' command
        MSET a 1 b -> (error) ERR wrong number of arguments for 'mset' command
        MSETNX a 1 b -> (error) ERR wrong number of arguments for 'msetnx' command
        "#,
    );
}

#[test]
fn integers() {
    Shell::new().script(
        r#"
        INCR n -> 1
        INCRBY n 10 -> 11
        DECR n -> 10
        DECRBY n 20 -> -10
        GET n -> "-10"
        EXPIRE n 100 -> 1
        INCR n -> -9
        TTL n -> 100
        SET n 9223372036854775807 -> OK
        INCR n -> (error) ERR increment or decrement would overflow
        GET n -> "9223372036854775807"
        SET n -9223372036854775808 -> OK
        DECR n -> (error) ERR increment or decrement would overflow
        DECRBY n -9223372036854775808 -> (error) ERR decrement would overflow
        INCRBY n 1.5 -> (error) ERR value is not an integer or out of range
        INCRBY n 9223372036854775808 -> (error) ERR value is not an integer or out of range
        SET n 010 -> OK
        INCR n -> (error) ERR value is not an integer or out of range
        SET n +1 -> OK
        INCR n -> (error) ERR value is not an integer or out of range
        SET n '' -> OK
        INCR n -> (error) ERR value is not an integer or out of range
        "#,
    );
    let mut shell = Shell::new();
    shell.run_args(&[b"SET", b"n", b" 1"]);
    shell.check("INCR n", "(error) ERR value is not an integer or out of range");
}

#[test]
fn decimals() {
    Shell::new().script(
        r#"
        INCRBYFLOAT f 10.50 -> "10.5"
        INCRBYFLOAT f 0.1 -> "10.6"
        GET f -> "10.6"
        INCRBYFLOAT f -5 -> "5.6"
        SET f 5.0e3 -> OK
        INCRBYFLOAT f 2.0e2 -> "5200"
        PEXPIRE f 5000 -> 1
        INCRBYFLOAT f 1 -> "5201"
        PTTL f -> 5000
        INCRBYFLOAT f x -> (error) ERR value is not a valid float
        SET f x -> OK
        INCRBYFLOAT f 1 -> (error) ERR value is not a valid float
        SET f 1 -> OK
        INCRBYFLOAT f inf -> (error) ERR increment would produce NaN or Infinity
        GET f -> "1"
        "#,
    );
}

#[test]
fn parts() {
    Shell::new().script(
        r#"
        APPEND a Hello -> 5
        APPEND a World -> 10
        GETRANGE a 0 4 -> "Hello"
        SUBSTR a 5 -1 -> "World"
        GETRANGE a -3 -1 -> "rld"
        GETRANGE a -1 -3 -> ""
        GETRANGE a 0 -100 -> "H"
        GETRANGE a 5 2 -> ""
        GETRANGE a 8 100 -> "ld"
        GETRANGE a 100 200 -> ""
        GETRANGE a -9223372036854775808 9223372036854775807 -> "HelloWorld"
        GETRANGE missing 0 -1 -> ""
        GETRANGE a x 1 -> (error) ERR value is not an integer or out of range
        SETRANGE a 5 RUST! -> 10
        GET a -> "HelloRUST!"
        SETRANGE b 3 x -> 4
        GET b -> "\x00\x00\x00x"
        SETRANGE c 3 '' -> 0
        EXISTS c -> 0
        SETRANGE a 100 '' -> 10
        SETRANGE a -1 x -> (error) ERR offset is out of range
        SETRANGE a 536870912 x -> (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE a 9223372036854775807 x -> (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        STRLEN a -> 10
        "#,
    );
}

#[test]
fn appending_keeps_the_expiry() {
    Shell::new().script(
        "
        SET a 1 EX 100 -> OK
        APPEND a 2 -> 2
        TTL a -> 100
        SETRANGE a 0 9 -> 2
        TTL a -> 100
        ",
    );
}

#[test]
fn a_pipeline_sees_its_own_writes_and_undoes_only_what_failed() {
    let mut shell = Shell::new();
    let replies = shell.pipeline(&[
        "SET a 1",
        "GET a",
        "INCR a",
        "SET b x",
        "INCR b",
        "MGET a b",
        "MSETNX c 1 a 2",
        "DBSIZE",
    ]);
    let not_integer = "(error) ERR value is not an integer or out of range";
    let expected =
        ["OK", "\"1\"", "2", "OK", not_integer, "[\"2\" \"x\"]", "0", "2"].map(String::from);
    assert_eq!(replies, expected);
    shell.check("DBSIZE", "2");
}

#[test]
fn a_run_of_reads_answers_each_for_its_own_keys() {
    let mut shell = Shell::new();
    shell.run("MSET a 1 b 2 c 3");
    let replies = shell.pipeline(&[
        "GET b",
        "GET missing",
        "MGET c a b",
        "STRLEN a",
        "GET b",
        "EXISTS a a d",
    ]);
    let expected = ["\"2\"", "nil", "[\"3\" \"1\" \"2\"]", "1", "\"2\"", "2"].map(String::from);
    assert_eq!(replies, expected);
}

#[test]
fn hits_and_misses_are_counted_for_reads() {
    let mut shell = Shell::new();
    shell.script("SET a 1 -> OK\n GET a -> \"1\"\n GET b -> nil\n MGET a b -> [\"1\" nil]");
    let info = shell.run("INFO stats");
    assert!(info.contains("keyspace_hits:2\\r"), "{info}");
    assert!(info.contains("keyspace_misses:2\\r"), "{info}");
}

#[test]
fn keys_have_a_limit() {
    let mut shell = Shell::new();
    let longest = vec![b'k'; 64 << 10];
    assert_eq!(shell.run_args(&[b"SET", &longest, b"v", b"EX", b"10"]), "OK");
    assert_eq!(shell.run_args(&[b"TTL", &longest]), "10");
    let too_long = vec![b'k'; (64 << 10) + 1];
    assert_eq!(shell.run_args(&[b"GET", &too_long]), "nil");
    assert_eq!(
        shell.run_args(&[b"SET", &too_long, b"v"]),
        "(error) ERR key exceeds maximum allowed size (65536 bytes)"
    );
    for command in ["DEL", "UNLINK", "EXISTS", "PERSIST", "STRLEN"] {
        assert_eq!(shell.run_args(&[command.as_bytes(), &too_long]), "0", "{command}");
    }
    for command in ["SREM", "HDEL", "ZREM", "RPUSHX", "LPUSHX"] {
        assert_eq!(shell.run_args(&[command.as_bytes(), &too_long, b"a"]), "0", "{command}");
    }
    for command in ["SPOP", "LPOP", "RPOP"] {
        assert_eq!(shell.run_args(&[command.as_bytes(), &too_long]), "nil", "{command}");
    }
    assert_eq!(shell.run_args(&[b"LTRIM", &too_long, b"0", b"1"]), "OK");
    for command in ["GETDEL", "GETEX"] {
        assert_eq!(shell.run_args(&[command.as_bytes(), &too_long]), "nil", "{command}");
    }
    assert_eq!(shell.run_args(&[b"EXPIRE", &too_long, b"100"]), "0");
    assert_eq!(shell.run_args(&[b"SET", &too_long, b"v", b"XX"]), "nil");
    assert_eq!(shell.run_args(&[b"RENAME", &too_long, b"k"]), "(error) ERR no such key");
    shell.run("SET k v EX 100");
    let refused = "(error) ERR key exceeds maximum allowed size (65536 bytes)";
    let long = vec![b'v'; 20_000];
    for args in [
        [b"RENAME".as_slice(), b"k", &too_long].as_slice(),
        &[b"RENAMENX", b"k", &too_long],
        &[b"SETNX", &too_long, b"v"],
        &[b"GETSET", &too_long, &long],
        &[b"INCR", &too_long],
        &[b"APPEND", &too_long, b"v"],
        &[b"SADD", &too_long, b"v"],
        &[b"HSET", &too_long, b"f", &long],
        &[b"RPUSH", &too_long, b"v", &long],
        &[b"SETRANGE", &too_long, b"9", &long],
        &[b"MSETNX", b"other", &long, &too_long, b"v"],
    ] {
        assert_eq!(shell.run_args(args), refused, "{}", args[0].escape_ascii());
    }
    shell.script("GET k -> \"v\"\nTTL k -> 100\nDEL k -> 1\nDBSIZE -> 1");
    assert_eq!(shell.get(b""), None);
    assert_eq!(shell.run_args(&[b"SET", b"", b"empty"]), "OK");
    assert_eq!(shell.get(b"").unwrap(), b"empty");
}

#[test]
fn a_request_of_more_keys_than_are_read_ahead_is_answered_in_full() {
    let mut shell = Shell::new();
    let pairs: Vec<String> = (0..5000).map(|index| format!("k{index} v{index}")).collect();
    shell.check(&format!("MSET {}", pairs.join(" ")), "OK");
    let keys: Vec<String> = (0..5001).map(|index| format!("k{index}")).collect();
    let values: Vec<String> = (0..5000).map(|index| format!("\"v{index}\"")).collect();
    let mget = format!("MGET {}", keys.join(" "));
    let all = format!("[{} nil]", values.join(" "));
    assert_eq!(shell.pipeline(&[&mget, "GET k4999", &mget]), [&*all, "\"v4999\"", &*all]);
}

/// The only way to fail after the first write is a key that is too long.
#[test]
fn a_command_that_fails_half_way_leaves_nothing() {
    let mut shell = Shell::new();
    shell.run("SET a 1 EX 100");
    let too_long = "k".repeat((64 << 10) + 1);
    let long = "x".repeat(20_000);
    let mset = format!("MSET a 2 b {long} {too_long} 3");
    let replies = shell.pipeline(&["SET c 1", &mset, "DBSIZE", "SET d 1", "MGET a b c d"]);
    assert_eq!(replies[0], "OK");
    assert!(replies[1].starts_with("(error) ERR key exceeds"), "{}", replies[1]);
    assert_eq!(replies[2..], ["2", "OK", "[\"1\" nil \"1\" \"1\"]"]);
    shell.check("DBSIZE", "3");
    shell.check("TTL a", "100");
    assert!(shell.run("INFO keyspace").contains("db0:keys=3,expires=1,"));
    let elements = shell.databases.elements().clone();
    assert!(shell.dump(&elements).is_empty());
}
