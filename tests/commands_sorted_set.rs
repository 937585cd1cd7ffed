//! Sorted sets: adding, scores, ranks, ranges, removing. `commands_sorted_set_algebra.rs` has unions and their
//! like, and what takes members; `commands_sorted_set_random.rs` compares large sets with a model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

const WRONG: &str = "(error) WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn zadd_and_zscore() {
    Shell::new().script(
        r#"
        ZADD z 1 a -> 1
        ZADD z 1 a 2 b 3 c -> 2
        ZADD z 5 a -> 0
        ZSCORE z a -> "5"
        ZSCORE z b -> "2"
        ZSCORE z missing -> nil
        ZSCORE missing a -> nil
        ZCARD z -> 3
        ZCARD missing -> 0
        TYPE z -> zset
        ZADD z CH 6 a 2 b 7 d -> 2
        ZADD z 1.5 a -inf b +inf c 1e3 d -> 0
        ZMSCORE z a b c d e -> ["1.5" "-inf" "inf" "1000" nil]
        ZMSCORE missing a b -> [nil nil]
        ZADD z 1 x 2 x 3 x -> 1
        ZSCORE z x -> "3"
        ZADD z 0x10 x -> 0
        ZSCORE z x -> "16"
        ZADD z 0.1 x -> 0
        ZSCORE z x -> "0.10000000000000001"
        ZADD z -0 x -> 0
        ZSCORE z x -> "0"
        "#,
    );
}

#[test]
fn zadd_with_conditions() {
    Shell::new().script(
        r#"
        ZADD z XX 1 a -> 0
        EXISTS z -> 0
        ZADD z NX 1 a -> 1
        ZADD z NX 2 a -> 0
        ZSCORE z a -> "1"
        ZADD z xx 2 a 2 b -> 0
        ZSCORE z a -> "2"
        ZSCORE z b -> nil
        ZADD z XX CH 3 a 2 b -> 1
        ZADD z GT 2 a 2 b -> 1
        ZSCORE z a -> "3"
        ZADD z GT CH 4 a -> 1
        ZADD z LT CH 5 a 1 b 9 c -> 2
        ZMSCORE z a b c -> ["4" "1" "9"]
        ZADD z XX GT CH 10 c 10 d -> 1
        ZCARD z -> 3
        ZADD z NX XX 1 a -> (error) ERR XX and NX options at the same time are not compatible
        ZADD z GT LT 1 a -> (error) ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z NX GT 1 a -> (error) ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z LT NX 1 a -> (error) ERR GT, LT, and/or NX options at the same time are not compatible
        ZADD z NX XX 1 -> (error) ERR syntax error
        ZADD z NX CH -> (error) ERR syntax error
        ZADD z 1 a 2 -> (error) ERR syntax error
        ZADD z what 1 a -> (error) ERR syntax error
        ZADD z x a -> (error) ERR value is not a valid float
        ZADD z 9 a nan b -> (error) ERR value is not a valid float
        ZADD z 1e400 a -> (error) ERR value is not a valid float
        ZSCORE z a -> "4"
        "#,
    );
}

#[test]
fn zincrby_and_zadd_incr() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        ZINCRBY z 1.5 a -> "1.5"
        ZINCRBY z 1 a -> "2.5"
        ZINCRBY z -2.5 a -> "0"
        ZADD z INCR 3 b -> "3"
        ZADD z INCR NX 3 b -> nil
        ZADD z XX INCR 3 c -> nil
        ZADD missing XX INCR 3 c -> nil
        ZADD z GT INCR -1 b -> nil
        ZADD z LT INCR -1 b -> "2"
        ZADD z INCR 1 a 1 b -> (error) ERR INCR option supports a single increment-element pair
        ZINCRBY z inf a -> "inf"
        ZINCRBY z -inf a -> (error) ERR resulting score is not a number (NaN)
        ZSCORE z a -> "inf"
        ZINCRBY z x a -> (error) ERR value is not a valid float
        ZINCRBY z incr a -> (error) ERR syntax error
        "#,
    );
    shell.run("HELLO 3");
    shell.script(
        r#"
        ZINCRBY z 0.5 b -> ,2.5
        ZSCORE z a -> ,inf
        ZMSCORE z b x -> [,2.5 nil]
        "#,
    );
}

#[test]
fn members_of_equal_score_are_in_the_order_of_their_bytes() {
    let mut shell = Shell::new();
    for member in [&b"b"[..], b"", b"\xff\xff", b"\0", b"a\0", b"a", b"B"] {
        shell.run_args(&[b"ZADD", b"z", b"1", member]);
    }
    shell.check("ZRANGE z 0 -1", r#"["" "\x00" "B" "a" "a\x00" "b" "\xff\xff"]"#);
    shell.run("ZADD z 0 z -1 y -2.5 x inf w -inf v");
    shell.check(
        "ZRANGE z 0 -1 WITHSCORES",
        r#"["v" "-inf" "x" "-2.5" "y" "-1" "z" "0" "" "1" "\x00" "1" "B" "1" "a" "1" "a\x00" "1" "b" "1" "\xff\xff" "1" "w" "inf"]"#,
    );
}

#[test]
fn zrange_by_rank() {
    Shell::new().script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d -> 4
        ZRANGE z 0 -1 -> ["a" "b" "c" "d"]
        ZRANGE z 1 2 -> ["b" "c"]
        ZRANGE z -2 -1 -> ["c" "d"]
        ZRANGE z -100 100 -> ["a" "b" "c" "d"]
        ZRANGE z 2 1 -> []
        ZRANGE z 4 5 -> []
        ZRANGE z 0 1 REV -> ["d" "c"]
        ZRANGE z 0 1 withscores rev -> ["d" "4" "c" "3"]
        ZREVRANGE z 0 0 -> ["d"]
        ZREVRANGE z -1 -1 WITHSCORES -> ["a" "1"]
        ZREVRANGE z 5 -1 -> []
        ZRANGE missing 0 -1 -> []
        ZREVRANGE missing 0 -1 -> []
        ZRANGE z 0 x -> (error) ERR value is not an integer or out of range
        ZRANGE z 0 -1 LIMIT 0 1 -> (error) ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX
        ZRANGE z 0 -1 LIMIT 3 -1 -> ["a" "b" "c" "d"]
        ZRANGE z 0 -1 LIMIT 1 -> (error) ERR syntax error
        ZRANGE z 0 -1 REV REV -> (error) ERR syntax error
        ZREVRANGE z 0 -1 REV -> (error) ERR syntax error
        ZREVRANGE z 0 -1 BYSCORE -> (error) ERR syntax error
        ZRANGE z 0 -1 BYSCORE BYLEX -> (error) ERR syntax error
        "#,
    );
}

#[test]
fn zrange_by_score() {
    Shell::new().script(
        r#"
        ZADD z 1 a 2 b 2 b2 3 c inf d -> 5
        ZRANGEBYSCORE z 1 2 -> ["a" "b" "b2"]
        ZRANGEBYSCORE z (1 2 WITHSCORES -> ["b" "2" "b2" "2"]
        ZRANGEBYSCORE z (1 (3 -> ["b" "b2"]
        ZRANGEBYSCORE z -inf +inf -> ["a" "b" "b2" "c" "d"]
        ZRANGEBYSCORE z (3 (inf -> []
        ZRANGEBYSCORE z 3 2 -> []
        ZRANGEBYSCORE z (2 (2 -> []
        ZRANGEBYSCORE z 2 (2 -> []
        ZRANGEBYSCORE z 1 3 LIMIT 1 2 -> ["b" "b2"]
        ZRANGEBYSCORE z 1 3 LIMIT 0 0 -> []
        ZRANGEBYSCORE z 1 3 LIMIT 2 -1 -> ["b2" "c"]
        ZRANGEBYSCORE z 1 3 LIMIT -1 2 -> []
        ZRANGEBYSCORE z 1 3 LIMIT 5 2 -> []
        ZRANGEBYSCORE z 1 3 WITHSCORES LIMIT 0 1 -> ["a" "1"]
        ZREVRANGEBYSCORE z 3 1 -> ["c" "b2" "b" "a"]
        ZREVRANGEBYSCORE z (3 (1 LIMIT 1 5 -> ["b"]
        ZREVRANGEBYSCORE z 1 3 -> []
        ZRANGE z (1 3 BYSCORE LIMIT 1 1 -> ["b2"]
        ZRANGE z 3 (1 BYSCORE REV WITHSCORES -> ["c" "3" "b2" "2" "b" "2"]
        ZRANGEBYSCORE z x 1 -> (error) ERR min or max is not a float
        ZRANGEBYSCORE z 1 ((2 -> (error) ERR min or max is not a float
        ZRANGEBYSCORE z nan 1 -> (error) ERR min or max is not a float
        ZRANGEBYSCORE z 1 2 LIMIT x 1 -> (error) ERR value is not an integer or out of range
        ZRANGEBYSCORE z 1 2 LIMIT 1 -> (error) ERR syntax error
        ZRANGEBYSCORE missing 1 2 -> []
        ZCOUNT z 2 3 -> 3
        ZCOUNT z (1 +inf -> 4
        ZCOUNT z 5 1 -> 0
        ZCOUNT missing 1 2 -> 0
        ZCOUNT z a 1 -> (error) ERR min or max is not a float
        "#,
    );
}

#[test]
fn zrange_by_name() {
    Shell::new().script(
        r#"
        ZADD z 0 a 0 b 0 c 0 d 0 aa -> 5
        ZRANGEBYLEX z - + -> ["a" "aa" "b" "c" "d"]
        ZRANGEBYLEX z [b (d -> ["b" "c"]
        ZRANGEBYLEX z (a [b -> ["aa" "b"]
        ZRANGEBYLEX z - (b -> ["a" "aa"]
        ZRANGEBYLEX z (b + LIMIT 1 5 -> ["d"]
        ZRANGEBYLEX z + - -> []
        ZRANGEBYLEX z - - -> []
        ZRANGEBYLEX z + + -> []
        ZRANGEBYLEX z [b [b -> ["b"]
        ZRANGEBYLEX z (b [b -> []
        ZRANGEBYLEX z [c [b -> []
        ZRANGEBYLEX z [ + LIMIT 0 1 -> ["a"]
        ZREVRANGEBYLEX z + - LIMIT 0 2 -> ["d" "c"]
        ZREVRANGEBYLEX z (d [b -> ["c" "b"]
        ZRANGE z [b + BYLEX LIMIT 0 2 -> ["b" "c"]
        ZRANGE z + [c BYLEX REV -> ["d" "c"]
        ZRANGE z - + BYLEX WITHSCORES -> (error) ERR syntax error, WITHSCORES not supported in combination with BYLEX
        ZRANGEBYLEX z - + WITHSCORES -> (error) ERR syntax error, WITHSCORES not supported in combination with BYLEX
        ZRANGEBYLEX z a + -> (error) ERR min or max not valid string range item
        ZRANGEBYLEX z -x + -> (error) ERR min or max not valid string range item
        ZRANGEBYLEX z 1 2 -> (error) ERR min or max not valid string range item
        ZRANGEBYLEX missing - + -> []
        ZLEXCOUNT z - + -> 5
        ZLEXCOUNT z (a (c -> 2
        ZLEXCOUNT z + - -> 0
        ZLEXCOUNT missing - + -> 0
        ZLEXCOUNT z a + -> (error) ERR min or max not valid string range item
        ZREMRANGEBYLEX z [aa (c -> 2
        ZREMRANGEBYLEX z x + -> (error) ERR min or max not valid string range item
        ZRANGE z 0 -1 -> ["a" "c" "d"]
        "#,
    );
}

#[test]
fn ranks() {
    Shell::new().script(
        "
        ZADD z 1 a 2 b 2 c 3 d -> 4
        ZRANK z a -> 0
        ZRANK z c -> 2
        ZREVRANK z a -> 3
        ZREVRANK z d -> 0
        ZRANK z missing -> nil
        ZRANK missing a -> nil
        ZREVRANK z missing -> nil
        ZRANK z a WITHSCORE -> (error) ERR wrong number of arguments for 'zrank' command
        ",
    );
}

#[test]
fn removing() {
    Shell::new().script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d 5 e 6 f 7 g -> 7
        ZREM z a missing a -> 1
        ZREM missing a -> 0
        ZREMRANGEBYRANK z 0 0 -> 1
        ZREMRANGEBYRANK z -1 -1 -> 1
        ZREMRANGEBYRANK z 4 9 -> 0
        ZREMRANGEBYRANK missing 0 -1 -> 0
        ZREMRANGEBYRANK z x 1 -> (error) ERR value is not an integer or out of range
        ZRANGE z 0 -1 -> ["c" "d" "e" "f"]
        ZREMRANGEBYSCORE z (3 4 -> 1
        ZREMRANGEBYSCORE z 10 20 -> 0
        ZREMRANGEBYSCORE missing 0 1 -> 0
        ZREMRANGEBYSCORE z x 1 -> (error) ERR min or max is not a float
        ZRANGE z 0 -1 -> ["c" "e" "f"]
        ZREM z c e f -> 3
        EXISTS z -> 0
        ZADD z 1 a -> 1
        ZREMRANGEBYRANK z 0 -1 -> 1
        EXISTS z -> 0
        ZADD z 1 a -> 1
        ZREMRANGEBYSCORE z -inf inf -> 1
        ZCARD z -> 0
        DBSIZE -> 0
        "#,
    );
}

#[test]
fn zrangestore() {
    Shell::new().script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d -> 4
        ZRANGESTORE to z 1 2 -> 2
        ZRANGE to 0 -1 WITHSCORES -> ["b" "2" "c" "3"]
        ZRANGESTORE to z 0 1 REV -> 2
        ZRANGE to 0 -1 WITHSCORES -> ["c" "3" "d" "4"]
        ZRANGESTORE to z (1 3 BYSCORE LIMIT 1 5 -> 1
        ZRANGE to 0 -1 -> ["c"]
        ZRANGESTORE to z [b + BYLEX -> 3
        ZRANGESTORE to z 9 10 -> 0
        EXISTS to -> 0
        SET to string EX 100 -> OK
        ZRANGESTORE to z 0 0 -> 1
        TTL to -> -1
        ZRANGESTORE to missing 0 -1 -> 0
        EXISTS to -> 0
        ZRANGESTORE z z 0 0 -> 1
        ZRANGE z 0 -1 -> ["a"]
        ZRANGESTORE to z 0 -1 WITHSCORES -> (error) ERR syntax error
        ZRANGESTORE to z a -1 -> (error) ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn in_resp3_members_with_scores_are_pairs() {
    let mut shell = Shell::new();
    shell.run("HELLO 3");
    shell.script(
        r#"
        ZADD z 1 a 2.5 b -> 2
        ZRANGE z 0 -1 -> ["a" "b"]
        ZRANGE z 0 -1 WITHSCORES -> [["a" ,1] ["b" ,2.5]]
        ZRANGEBYSCORE z 2 3 WITHSCORES -> [["b" ,2.5]]
        ZREVRANGE z 0 0 WITHSCORES -> [["b" ,2.5]]
        ZUNION 1 z WITHSCORES -> [["a" ,1] ["b" ,2.5]]
        ZPOPMIN z -> ["a" ,1]
        ZPOPMAX z 1 -> [["b" ,2.5]]
        ZADD z 1 a 2 b 3 c -> 3
        ZMPOP 1 z MIN COUNT 2 -> ["z" [["a" ,1] ["b" ,2]]]
        BZPOPMAX z 0 -> ["z" "c" ,3]
        ZMPOP 1 z MIN -> nil
        "#,
    );
}

#[test]
fn other_types_are_refused() {
    let mut shell = Shell::new();
    shell.run("SET s 1");
    for command in [
        "ZADD s 1 a",
        "ZINCRBY s 1 a",
        "ZREM s a",
        "ZSCORE s a",
        "ZMSCORE s a",
        "ZCARD s",
        "ZCOUNT s 0 1",
        "ZLEXCOUNT s - +",
        "ZRANK s a",
        "ZREVRANK s a",
        "ZRANGE s 0 -1",
        "ZREVRANGE s 0 -1",
        "ZRANGEBYSCORE s 0 1",
        "ZRANGEBYLEX s - +",
        "ZRANGESTORE to s 0 -1",
        "ZREMRANGEBYRANK s 0 -1",
        "ZREMRANGEBYSCORE s 0 1",
        "ZREMRANGEBYLEX s - +",
        "ZPOPMIN s",
        "ZPOPMAX s 0",
        "ZMPOP 2 missing s MIN",
        "BZPOPMIN missing s 0",
        "BZMPOP 0 1 s MAX",
        "ZUNION 2 missing s",
        "ZINTER 1 s",
        "ZDIFF 1 s",
        "ZUNIONSTORE to 1 s",
        "ZINTERCARD 1 s",
    ] {
        shell.check(command, WRONG);
    }
    shell.check("GET s", "\"1\"");
}

#[test]
fn an_expiry_outlives_changes_and_ends_the_set() {
    let mut shell = Shell::new();
    shell.run("ZADD z 1 a");
    shell.run("PEXPIRE z 100");
    shell.script(
        "
        ZADD z 2 b -> 1
        ZREM z a -> 1
        PTTL z -> 100
        ",
    );
    shell.now_ms += 101;
    shell.script(
        "
        ZCARD z -> 0
        ZADD z 1 c -> 1
        ZCARD z -> 1
        PTTL z -> -1
        ",
    );
}

#[test]
fn a_failing_command_changes_nothing() {
    let mut shell = Shell::new();
    shell.run("ZADD z 1 a");
    let long = vec![b'x'; 65_537];
    let refused = shell.run_args(&[b"ZADD", b"z", b"1", b"b", b"2", &long]);
    assert_eq!(refused, "(error) ERR member or field exceeds maximum allowed size (65536 bytes)");
    shell.check("ZRANGE z 0 -1", r#"["a"]"#);
    let refused = shell.run_args(&[b"ZADD", &long, b"1", b"b"]);
    assert_eq!(refused, "(error) ERR key exceeds maximum allowed size (65536 bytes)");
    let fits = &long[1..];
    assert_eq!(shell.run_args(&[b"ZADD", b"z", b"2", fits]), "1");
    assert_eq!(shell.run_args(&[b"ZSCORE", b"z", fits]), "\"2\"");
    assert_eq!(shell.run_args(&[b"ZSCORE", b"z", &long]), "nil");
    assert_eq!(shell.run_args(&[b"ZREM", b"z", &long, fits]), "1");
}

#[test]
fn ranges_by_name_over_different_scores_go_by_the_order_of_scores() {
    Shell::new().script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d -> 4
        ZRANGE z [b [c BYLEX -> ["b" "c"]
        ZRANGE z [c [b BYLEX REV -> ["c" "b"]
        ZLEXCOUNT z (b + -> 2
        ZRANGESTORE to z [b [c BYLEX -> 2
        ZRANGE to 0 -1 WITHSCORES -> ["b" "2" "c" "3"]
        ZRANGE z [x [y BYLEX -> []
        "#,
    );
}
