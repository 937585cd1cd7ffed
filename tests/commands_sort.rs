//! `SORT` and `SORT_RO`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use harness::Shell;

#[test]
fn numbers_and_words() {
    Shell::new().script(
        r#"
        SORT missing -> []
        RPUSH l 10 9 2 -1 2.5 1e1 -> 6
        SORT l -> ["-1" "2" "2.5" "9" "10" "1e1"]
        SORT l ASC -> ["-1" "2" "2.5" "9" "10" "1e1"]
        SORT l DESC -> ["1e1" "10" "9" "2.5" "2" "-1"]
        SORT l DESC ASC -> ["-1" "2" "2.5" "9" "10" "1e1"]
        sort l alpha -> ["-1" "10" "1e1" "2" "2.5" "9"]
        SORT l ALPHA DESC -> ["9" "2.5" "2" "1e1" "10" "-1"]
        LRANGE l 0 -1 -> ["10" "9" "2" "-1" "2.5" "1e1"]
        RPUSH words b a c ab '' -> 5
        SORT words ALPHA -> ["" "a" "ab" "b" "c"]
        SORT words -> (error) ERR One or more scores can't be converted into double
        RPUSH odd inf -inf '' +3 0 -0 -> 6
        SORT odd -> ["-inf" "" "-0" "0" "+3" "inf"]
        RPUSH odd 1e400 -> 7
        SORT odd -> (error) ERR One or more scores can't be converted into double
        SORT odd BY nosort -> ["inf" "-inf" "" "+3" "0" "-0" "1e400"]
        RPUSH nan nan -> 1
        SORT nan -> (error) ERR One or more scores can't be converted into double
        "#,
    );
}

#[test]
fn limits() {
    Shell::new().script(
        r#"
        RPUSH l 5 1 4 2 3 -> 5
        SORT l LIMIT 0 2 -> ["1" "2"]
        SORT l LIMIT 1 2 DESC -> ["4" "3"]
        SORT l LIMIT 3 100 -> ["4" "5"]
        SORT l LIMIT 5 1 -> []
        SORT l LIMIT 100 1 -> []
        SORT l LIMIT 0 0 -> []
        SORT l LIMIT -5 2 -> ["1" "2"]
        SORT l LIMIT 2 -1 -> ["3" "4" "5"]
        SORT l LIMIT 2 -7 -> ["3" "4" "5"]
        SORT l LIMIT 0 1 LIMIT 1 1 -> ["2"]
        SORT l LIMIT 2 9223372036854775807 -> ["3" "4" "5"]
        SORT l LIMIT 9223372036854775807 9223372036854775807 -> []
        SORT l LIMIT -9223372036854775808 -9223372036854775808 -> ["1" "2" "3" "4" "5"]
        SORT l BY x LIMIT 1 2 -> ["1" "4"]
        SORT l BY x DESC -> ["3" "2" "4" "1" "5"]
        SORT l BY x DESC LIMIT 1 3 -> ["2" "4" "1"]
        SORT l BY x LIMIT 3 9 -> ["2" "3"]
        SORT l BY x LIMIT 0 0 -> []
        SORT l BY x LIMIT 5 1 -> []
        SORT l LIMIT 1 -> (error) ERR syntax error
        SORT l LIMIT x 1 -> (error) ERR value is not an integer or out of range
        SORT l LIMIT 1 9223372036854775808 -> (error) ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn by_what_is_elsewhere() {
    Shell::new().script(
        r#"
        RPUSH l a b c d -> 4
        MSET w_a 3 w_b 1 w_c 2 w_d -5 -> OK
        SORT l BY w_* -> ["d" "b" "c" "a"]
        SORT l BY w_* DESC -> ["a" "c" "b" "d"]
        SORT l BY w_* LIMIT 1 2 -> ["b" "c"]
        DEL w_c -> 1
        SORT l BY w_* -> ["d" "c" "b" "a"]
        SORT l BY none_* -> ["a" "b" "c" "d"]
        SORT l BY none_* DESC -> ["d" "c" "b" "a"]
        SET w_c x -> OK
        SORT l BY w_* -> (error) ERR One or more scores can't be converted into double
        SORT l BY w_* ALPHA -> ["d" "b" "a" "c"]
        DEL w_a -> 1
        SORT l BY w_* ALPHA -> ["a" "d" "b" "c"]
        SORT l BY w_* ALPHA DESC -> ["c" "b" "d" "a"]
        RPUSH w_a 1 -> 1
        SORT l BY w_* ALPHA -> ["a" "d" "b" "c"]
        SORT l BY nosort BY w_* -> ["a" "b" "c" "d"]
        SORT l BY w_* BY nosort -> ["a" "b" "c" "d"]
        SORT l BY none_* BY w_* ALPHA -> ["a" "d" "b" "c"]
        SORT l BY w_a -> ["a" "b" "c" "d"]
        SORT l BY -> (error) ERR syntax error
        "#,
    );
}

#[test]
fn get_what_is_elsewhere() {
    Shell::new().script(
        r#"
        RPUSH l 2 1 3 -> 3
        MSET v_1 one v_2 two v_1_x ONE x_1*y star -> OK
        SORT l GET v_* -> ["one" "two" nil]
        SORT l GET # GET v_* -> ["1" "one" "2" "two" "3" nil]
        SORT l GET v_*_x GET x_**y LIMIT 0 1 -> ["ONE" "star"]
        SORT l GET nothing -> [nil nil nil]
        SORT l GET ## -> [nil nil nil]
        SORT l BY nosort GET # -> ["2" "1" "3"]
        SORT l GET v_* LIMIT 1 1 -> ["two"]
        SORT l LIMIT 9 1 GET # -> []
        SORT l GET -> (error) ERR syntax error
        SORT l GET # DESC GET v_* ALPHA -> ["3" nil "2" "two" "1" "one"]
        "#,
    );
}

#[test]
fn store() {
    Shell::new().script(
        r#"
        RPUSH l 3 1 2 -> 3
        MSET v_1 one v_3 three -> OK
        SORT l STORE to -> 3
        LRANGE to 0 -1 -> ["1" "2" "3"]
        SET other x EX 100 -> OK
        SORT l DESC GET v_* GET # STORE other -> 6
        LRANGE other 0 -1 -> ["three" "3" "" "2" "one" "1"]
        TTL other -> -1
        SORT l LIMIT 0 1 STORE to -> 1
        LRANGE to 0 -1 -> ["1"]
        SORT l STORE x STORE to -> 3
        EXISTS x -> 0
        SORT l BY nosort STORE l -> 3
        LRANGE l 0 -1 -> ["3" "1" "2"]
        SORT l STORE l -> 3
        LRANGE l 0 -1 -> ["1" "2" "3"]
        SORT l LIMIT 5 5 STORE to -> 0
        EXISTS to -> 0
        SORT missing STORE other -> 0
        EXISTS other -> 0
        SORT missing STORE other -> 0
        RPUSH words b a -> 2
        SORT words STORE l -> (error) ERR One or more scores can't be converted into double
        LLEN l -> 3
        SORT l STORE -> (error) ERR syntax error
        "#,
    );
}

#[test]
fn what_is_refused() {
    Shell::new().script(
        "
        SET s x -> OK
        SORT s -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        SORT s STORE x -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        SORT_RO s -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        SORT s NOSUCH -> (error) ERR syntax error
        SORT s LIMIT x 1 NOSUCH -> (error) ERR value is not an integer or out of range
        SORT -> (error) ERR wrong number of arguments for 'sort' command
        SORT_RO -> (error) ERR wrong number of arguments for 'sort_ro' command
        SORT_RO s STORE x -> (error) ERR syntax error
        ",
    );
}

#[test]
fn sort_ro() {
    Shell::new().script(
        r#"
        RPUSH l 3 1 2 -> 3
        MSET w_1 3 w_2 2 w_3 1 -> OK
        SORT_RO l BY w_* GET # GET w_* DESC LIMIT 0 2 -> ["1" "3" "2" "2"]
        SORT_RO missing -> []
        "#,
    );
}

#[test]
fn sets() {
    Shell::new().script(
        r#"
        SADD s 10 9 2 -1 -> 4
        SORT s -> ["-1" "2" "9" "10"]
        SORT s DESC LIMIT 1 2 -> ["9" "2"]
        SORT s ALPHA -> ["-1" "10" "2" "9"]
        MSET w_10 1 w_9 2 w_2 3 w_-1 4 -> OK
        SORT s BY w_* -> ["10" "9" "2" "-1"]
        SORT s BY w_* GET # GET w_* LIMIT 3 1 -> ["-1" "4"]
        SORT s BY nosort STORE to -> 4
        LRANGE to 0 -1 -> ["-1" "10" "2" "9"]
        SORT s BY nosort DESC LIMIT 0 2 STORE to -> 2
        LRANGE to 0 -1 -> ["9" "2"]
        SADD words b a c -> 3
        SORT words -> (error) ERR One or more scores can't be converted into double
        SORT words BY nosort STORE to -> 3
        LRANGE to 0 -1 -> ["a" "b" "c"]
        "#,
    );
    let mut shell = Shell::new();
    shell.run("SADD s a b c d");
    // In some order, whichever way round it is asked for.
    let order = shell.run("SMEMBERS s");
    shell.check("SORT s BY nosort", &order);
    shell.check("SORT s BY nosort DESC", &order);
    let first_two: Vec<&str> = order.trim_matches(['[', ']']).split(' ').take(2).collect();
    shell.check("SORT s BY nosort LIMIT 0 2", &format!("[{}]", first_two.join(" ")));
}

#[test]
fn sorted_sets() {
    Shell::new().script(
        r#"
        ZADD z 1 a 5 b 2 c 10 d 3 e -> 5
        SORT z ALPHA DESC -> ["e" "d" "c" "b" "a"]
        SORT z BY nosort -> ["a" "c" "e" "b" "d"]
        SORT z BY nosort DESC -> ["d" "b" "e" "c" "a"]
        SORT z BY nosort ASC LIMIT 0 1 -> ["a"]
        SORT z BY nosort DESC LIMIT 0 2 -> ["d" "b"]
        SORT z BY nosort LIMIT 5 10 -> []
        SORT z BY nosort LIMIT -10 100 -> ["a" "c" "e" "b" "d"]
        SORT z BY nosort DESC LIMIT 1 2 STORE to -> 2
        LRANGE to 0 -1 -> ["b" "e"]
        SORT z -> (error) ERR One or more scores can't be converted into double
        SORT_RO z ALPHA LIMIT 1 2 -> ["b" "c"]
        "#,
    );
}

#[test]
fn fields_of_hashes() {
    Shell::new().script(
        r#"
        RPUSH l 1 2 3 -> 3
        HSET h_1 w 3 v one -> 2
        HSET h_2 w 2 v two -> 2
        HSET h_3 w 1 -> 1
        SORT l BY h_*->w -> ["3" "2" "1"]
        SORT l BY h_*->w GET # GET h_*->v -> ["3" nil "2" "two" "1" "one"]
        SORT l BY h_*->none DESC -> ["3" "2" "1"]
        SORT l GET h_*-> -> [nil nil nil]
        SET h_3-> x -> OK
        SORT l GET h_*-> -> [nil nil "x"]
        SORT l GET h_* -> [nil nil nil]
        SET s_1 x -> OK
        SORT l GET s_*->w -> [nil nil nil]
        SORT l BY h_*->v -> (error) ERR One or more scores can't be converted into double
        SORT l BY h_*->v ALPHA -> ["3" "1" "2"]
        SORT l BY h_*->w GET h_*->v STORE to -> 3
        LRANGE to 0 -1 -> ["" "two" "one"]
        HSET 2x a->b c -> 1
        SORT l GET *x->a->b -> [nil "c" nil]
        "#,
    );
}

#[test]
fn keys_are_found_as_redis_finds_them() {
    Shell::new().script(
        r#"
        COMMAND GETKEYS SORT abc STORE def -> ["abc" "def"]
        COMMAND GETKEYS SORT abc STORE invalid STORE stillbad STORE def -> ["abc" "def"]
        COMMAND GETKEYS SORT abc BY store GET store LIMIT store store STORE def -> ["abc" "def"]
        COMMAND GETKEYS SORT abc -> ["abc"]
        COMMAND GETKEYS SORT abc STORE -> ["abc"]
        COMMAND GETKEYS SORT_RO abc -> ["abc"]
        "#,
    );
}

#[test]
fn events() {
    Shell::new().event_script(
        "
        SORT l STORE to -> keymiss l
        SORT l -> keymiss l
        RPUSH l 1 2 -> new l, rpush l
        SORT l STORE to -> new to, sortstore to
        SORT l STORE to -> sortstore to
        SORT l BY w_* GET v_* -> keymiss w_1, keymiss w_2, keymiss v_1, keymiss v_2
        SORT_RO l -> none
        SET s 1 -> new s, set s
        SORT l STORE s -> sortstore s
        SORT l LIMIT 5 1 STORE to -> del to
        PEXPIREAT l 99999999999000 -> expire l
        SORT l STORE l -> sortstore l
        SADD t 1 2 -> new t, sadd t
        SORT t BY nosort STORE z -> new z, sortstore z
        HSET h_1 f 1 -> new h_1, hset h_1
        SORT t BY h_*->f STORE z -> keymiss h_2, sortstore z
        ",
    );
}

/// It is run as a command that reads, but `COMMAND` says what Redis says.
#[test]
fn only_with_store_it_is_a_write() {
    use pontoon::command::{find, lookup};
    let args = |line: &str| line.split(' ').map(|word| word.to_owned().into()).collect();
    for (line, is_write) in [
        ("sort l", false),
        ("sort l by store get store", false),
        ("sort l store to", true),
        ("SORT l DESC STORE to LIMIT 0 1", true),
        ("sort l nosuch", true),
        ("sort_ro l", false),
    ] {
        let command = find(&args(line)).unwrap();
        assert_eq!(command.is_write(), is_write, "{line}");
        assert_eq!(command.id, lookup(command.name.as_bytes()).unwrap().id);
    }
    let mut shell = Shell::new();
    let expected = [
        r#"["sort" -2 [write denyoom movablekeys] 1 1 1"#,
        r#"[@write @set @sortedset @list @slow @dangerous]"#,
    ];
    let info = shell.run("COMMAND INFO sort");
    assert!(expected.iter().all(|part| info.contains(part)), "{info}");
    let info = shell.run("COMMAND INFO sort_ro");
    assert!(info.contains(r#"["sort_ro" -2 [readonly movablekeys] 1 1 1"#), "{info}");
}

#[test]
fn a_long_list_is_sorted_as_a_short_one_is() {
    let mut shell = Shell::new();
    // Numbers in no order, without repetition.
    let numbers: Vec<u32> = (0..5000u32).map(|number| number * 1237 % 5003).collect();
    for chunk in numbers.chunks(500) {
        let words: Vec<String> = chunk.iter().map(ToString::to_string).collect();
        shell.run(&format!("RPUSH l {}", words.join(" ")));
    }
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    let show = |numbers: &[u32]| {
        let words: Vec<String> = numbers.iter().map(|number| format!("\"{number}\"")).collect();
        format!("[{}]", words.join(" "))
    };
    shell.check("SORT l", &show(&sorted));
    shell.check("SORT l BY nosort LIMIT 700 900", &show(&numbers[700..1600]));
    shell.check("SORT l STORE to", "5000");
    shell.check("LRANGE to 0 -1", &show(&sorted));
    sorted.reverse();
    shell.check("SORT l DESC LIMIT 10 20", &show(&sorted[10..30]));
}
