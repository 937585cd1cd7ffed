//! Sorted sets: unions, intersections and differences; taking members, and waiting for them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn union_intersection_and_difference() {
    Shell::new().script(
        r#"
        ZADD one 1 a 2 b 3 c -> 3
        ZADD two 10 b 20 c 30 d -> 3
        ZUNION 2 one two -> ["a" "b" "c" "d"]
        ZUNION 2 one two WITHSCORES -> ["a" "1" "b" "12" "c" "23" "d" "30"]
        ZUNION 2 one two WEIGHTS 2 -1 WITHSCORES -> ["d" "-30" "c" "-14" "b" "-6" "a" "2"]
        ZUNION 2 one two AGGREGATE MIN WITHSCORES -> ["a" "1" "b" "2" "c" "3" "d" "30"]
        ZUNION 2 one two WITHSCORES AGGREGATE max WEIGHTS 1 0.1 -> ["a" "1" "b" "2" "c" "3" "d" "3"]
        ZUNION 2 one missing -> ["a" "b" "c"]
        ZUNION 1 missing -> []
        ZUNION 2 one one WITHSCORES -> ["a" "2" "b" "4" "c" "6"]
        ZINTER 2 one two WITHSCORES -> ["b" "12" "c" "23"]
        ZINTER 2 one two AGGREGATE SUM WEIGHTS 0 1 WITHSCORES -> ["b" "10" "c" "20"]
        ZINTER 2 one missing -> []
        ZINTER 3 one two one WITHSCORES -> ["b" "14" "c" "26"]
        ZDIFF 2 one two WITHSCORES -> ["a" "1"]
        ZDIFF 2 two one -> ["d"]
        ZDIFF 1 one -> ["a" "b" "c"]
        ZDIFF 2 one missing -> ["a" "b" "c"]
        ZDIFF 2 missing one -> []
        ZDIFF 2 one one -> []
        ZINTERCARD 2 one two -> 2
        ZINTERCARD 2 one two LIMIT 1 -> 1
        ZINTERCARD 2 one two LIMIT 0 -> 2
        ZINTERCARD 2 one missing -> 0
        "#,
    );
}

#[test]
fn infinities_and_what_is_no_number() {
    Shell::new().script(
        r#"
        ZADD up inf a inf b -> 2
        ZADD down -inf a 0 b -> 2
        ZUNION 2 up down WITHSCORES -> ["a" "0" "b" "inf"]
        ZUNION 1 down WEIGHTS inf WITHSCORES -> ["a" "-inf" "b" "0"]
        ZINTER 2 down up WEIGHTS inf 0 AGGREGATE MIN WITHSCORES -> ["a" "-inf" "b" "0"]
        "#,
    );
}

#[test]
fn results_are_stored() {
    Shell::new().script(
        r#"
        ZADD one 1 a 2 b -> 2
        ZADD two 10 b 20 c -> 2
        ZUNIONSTORE to 2 one two -> 3
        ZRANGE to 0 -1 WITHSCORES -> ["a" "1" "b" "12" "c" "20"]
        ZINTERSTORE to 2 one two WEIGHTS 1 2 AGGREGATE MAX -> 1
        ZRANGE to 0 -1 WITHSCORES -> ["b" "20"]
        ZDIFFSTORE to 2 one two -> 1
        ZRANGE to 0 -1 WITHSCORES -> ["a" "1"]
        ZUNIONSTORE one 2 one two -> 3
        ZRANGE one 0 -1 WITHSCORES -> ["a" "1" "b" "12" "c" "20"]
        SET to string EX 100 -> OK
        ZINTERSTORE to 2 one missing -> 0
        EXISTS to -> 0
        SET to string EX 100 -> OK
        ZDIFFSTORE to 1 two -> 2
        TTL to -> -1
        ZUNIONSTORE to 1 missing -> 0
        EXISTS to -> 0
        ZUNIONSTORE to 1 missing -> 0
        "#,
    );
}

#[test]
fn what_is_no_combination() {
    Shell::new().script(
        "
        ZADD z 1 a -> 1
        SET s 1 -> OK
        ZUNION 0 z -> (error) ERR at least 1 input key is needed for 'zunion' command
        ZINTERSTORE to -1 z -> (error) ERR at least 1 input key is needed for 'zinterstore' command
        ZINTERCARD x z -> (error) ERR value is not an integer or out of range
        ZDIFF 2 z -> (error) ERR syntax error
        ZUNION 1 z what -> (error) ERR syntax error
        ZUNION 1 s what -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        ZUNION 1 z WEIGHTS -> (error) ERR syntax error
        ZUNION 1 z WEIGHTS x -> (error) ERR weight value is not a float
        ZUNION 1 z WEIGHTS 1 2 -> (error) ERR syntax error
        ZUNION 1 z AGGREGATE -> (error) ERR syntax error
        ZUNION 1 z AGGREGATE avg -> (error) ERR syntax error
        ZUNION 1 z LIMIT 1 -> (error) ERR syntax error
        ZDIFF 1 z WEIGHTS 1 -> (error) ERR syntax error
        ZDIFF 1 z AGGREGATE SUM -> (error) ERR syntax error
        ZUNIONSTORE to 1 z WITHSCORES -> (error) ERR syntax error
        ZDIFFSTORE to 1 z WITHSCORES -> (error) ERR syntax error
        ZINTERCARD 1 z WEIGHTS 1 -> (error) ERR syntax error
        ZINTERCARD 1 z WITHSCORES -> (error) ERR syntax error
        ZINTERCARD 1 z LIMIT -> (error) ERR syntax error
        ZINTERCARD 1 z LIMIT -1 -> (error) ERR LIMIT can't be negative
        ZINTERCARD 1 z LIMIT x -> (error) ERR LIMIT can't be negative
        EXISTS to -> 0
        ",
    );
}

#[test]
fn members_are_popped() {
    Shell::new().script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d 5 e -> 5
        ZPOPMIN z -> ["a" "1"]
        ZPOPMAX z -> ["e" "5"]
        ZPOPMIN z 0 -> []
        ZPOPMIN z 2 -> ["b" "2" "c" "3"]
        ZPOPMAX z 10 -> ["d" "4"]
        EXISTS z -> 0
        ZPOPMIN z -> []
        ZPOPMIN z 1 -> []
        ZPOPMIN z -1 -> (error) ERR value is out of range, must be positive
        ZPOPMAX z x -> (error) ERR value is out of range, must be positive
        ZPOPMIN z 1 2 -> (error) ERR syntax error
        ZADD y 1 a 2 b 3 c -> 3
        ZMPOP 2 z y MIN -> ["y" [["a" "1"]]]
        ZMPOP 2 z y max COUNT 5 -> ["y" [["c" "3"] ["b" "2"]]]
        ZMPOP 2 z y MIN -> nil
        ZMPOP 0 z MIN -> (error) ERR numkeys should be greater than 0
        ZMPOP x z MIN -> (error) ERR numkeys should be greater than 0
        ZMPOP 1 z MID -> (error) ERR syntax error
        ZMPOP 2 z MIN -> (error) ERR syntax error
        ZMPOP 3 z y MIN -> (error) ERR syntax error
        ZMPOP 1 z MIN COUNT -> (error) ERR syntax error
        ZMPOP 1 z MIN COUNT 0 -> (error) ERR count should be greater than 0
        ZMPOP 1 z MIN COUNT x -> (error) ERR count should be greater than 0
        ZMPOP 1 z MIN COUNT 1 COUNT 1 -> (error) ERR syntax error
        "#,
    );
}

#[test]
fn those_that_wait_pop_what_is_there() {
    Shell::new().script(
        r#"
        ZADD z 1 a 2 b 3 c 4 d -> 4
        BZPOPMIN missing z 0 -> ["z" "a" "1"]
        BZPOPMAX z other 1.5 -> ["z" "d" "4"]
        BZMPOP 0 2 missing z MAX COUNT 9 -> ["z" [["c" "3"] ["b" "2"]]]
        BZPOPMIN z 0 -> blocked
        BZPOPMAX z 0.01 -> blocked
        BZMPOP 1 1 z MIN -> blocked
        BZPOPMIN z x -> (error) ERR timeout is not a float or out of range
        BZPOPMAX z -1 -> (error) ERR timeout is negative
        BZMPOP x 1 z MIN -> (error) ERR timeout is not a float or out of range
        BZMPOP x 2 z y -> (error) ERR syntax error
        BZMPOP 0 0 z MIN -> (error) ERR numkeys should be greater than 0
        SET z string -> OK
        BZPOPMIN missing z x -> (error) ERR timeout is not a float or out of range
        BZPOPMIN missing z 0 -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}
