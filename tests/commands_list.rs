//! Lists, without sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use bytes::Bytes;
use harness::Shell;
use pontoon::resp::Protocol;

const WRONG_TYPE: &str =
    "(error) WRONGTYPE Operation against a key holding the wrong kind of value";

/// An element that takes a list beyond what a record holds.
fn large() -> String {
    "x".repeat(1100)
}

#[test]
fn elements_come_and_go_at_both_ends() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        LPUSH l a -> 1
        LPUSH l b c -> 3
        RPUSH l d e -> 5
        TYPE l -> list
        LLEN l -> 5
        LRANGE l 0 -1 -> ["c" "b" "a" "d" "e"]
        LPOP l -> "c"
        RPOP l -> "e"
        LPOP l 2 -> ["b" "a"]
        LPOP l 0 -> []
        RPOP l 10 -> ["d"]
        EXISTS l -> 0
        LPOP l -> nil
        RPOP l -> nil
        LPOP l 1 -> nil
        LPOP l 0 -> nil
        LLEN l -> 0
        RPUSH l 1 2 3 4 -> 4
        RPOP l 3 -> ["4" "3" "2"]
        LRANGE l 0 -1 -> ["1"]
        "#,
    );
}

#[test]
fn a_count_must_make_sense() {
    let mut shell = Shell::new();
    shell.script(
        "
        LPOP l -1 -> (error) ERR value is out of range, must be positive
        RPOP l x -> (error) ERR value is out of range, must be positive
        LPOP l 1 2 -> (error) ERR wrong number of arguments for 'lpop' command
        RPOP l 1 2 -> (error) ERR wrong number of arguments for 'rpop' command
        LPUSH l -> (error) ERR wrong number of arguments for 'lpush' command
        ",
    );
}

#[test]
fn what_is_not_there_is_null_of_the_right_kind() {
    let mut shell = Shell::new();
    for (line, resp2) in [
        ("LPOP l", "$-1\r\n"),
        ("RPOP l 1", "*-1\r\n"),
        ("LINDEX l 0", "$-1\r\n"),
        ("LPOS l a", "$-1\r\n"),
        ("LMOVE l m LEFT LEFT", "$-1\r\n"),
        ("RPOPLPUSH l m", "$-1\r\n"),
        ("LMPOP 1 l LEFT", "*-1\r\n"),
    ] {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        shell.session.protocol = Protocol::Resp2;
        assert_eq!(shell.reply_bytes(&args), resp2.as_bytes(), "{line}");
        shell.session.protocol = Protocol::Resp3;
        assert_eq!(shell.reply_bytes(&args), b"_\r\n", "{line}");
    }
}

#[test]
fn pushx_adds_to_what_is_there_alone() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        LPUSHX l a -> 0
        RPUSHX l a -> 0
        EXISTS l -> 0
        RPUSH l b -> 1
        LPUSHX l a z -> 3
        RPUSHX l c d -> 5
        LRANGE l 0 -1 -> ["z" "a" "b" "c" "d"]
        "#,
    );
}

#[test]
fn a_list_keeps_its_expiry() {
    let mut shell = Shell::new();
    shell.script(
        "
        RPUSH l a b c -> 3
        EXPIRE l 100 -> 1
        RPUSH l d -> 4
        LPOP l -> \"a\"
        LSET l 0 x -> OK
        LINSERT l BEFORE x w -> 4
        LREM l 1 x -> 1
        LTRIM l 0 1 -> OK
        TTL l -> 100
        ",
    );
    shell.now_ms += 100_001;
    shell.script(
        "
        LLEN l -> 0
        LINSERT l BEFORE w v -> 0
        LREM l 0 w -> 0
        RPUSH l a -> 1
        TTL l -> -1
        ",
    );
}

#[test]
fn elements_have_indices_from_both_ends() {
    for filler in [String::from("f"), large()] {
        let mut shell = Shell::new();
        shell.check(&format!("RPUSH l a b c {filler}"), "4");
        shell.script(&format!(
            r#"
            LINDEX l 0 -> "a"
            LINDEX l 2 -> "c"
            LINDEX l -1 -> "{filler}"
            LINDEX l -4 -> "a"
            LINDEX l 4 -> nil
            LINDEX l -5 -> nil
            LINDEX l x -> (error) ERR value is not an integer or out of range
            LINDEX none x -> nil
            LSET l 1 B -> OK
            LSET l -4 A -> OK
            LSET l 4 x -> (error) ERR index out of range
            LSET l -5 x -> (error) ERR index out of range
            LSET l x x -> (error) ERR value is not an integer or out of range
            LSET none x x -> (error) ERR no such key
            LRANGE l 0 2 -> ["A" "B" "c"]
            LRANGE l 1 1 -> ["B"]
            LRANGE l -100 0 -> ["A"]
            LRANGE l 3 100 -> ["{filler}"]
            LRANGE l 2 1 -> []
            LRANGE l 4 9 -> []
            LRANGE l 0 -5 -> []
            LRANGE none 0 -1 -> []
            LRANGE l x 1 -> (error) ERR value is not an integer or out of range
            LRANGE none 1 x -> (error) ERR value is not an integer or out of range
            "#,
        ));
    }
}

#[test]
fn trimming_leaves_what_is_between() {
    for filler in [String::from("f"), large()] {
        let mut shell = Shell::new();
        for (range, left) in [
            ("0 -1", r#"["a" "b" "c" "d" F]"#),
            ("1 2", r#"["b" "c"]"#),
            ("0 0", r#"["a"]"#),
            ("-2 -1", r#"["d" F]"#),
            ("1 -2", r#"["b" "c" "d"]"#),
            ("3 1", "[]"),
            ("5 10", "[]"),
            ("0 -6", "[]"),
            ("0 10", r#"["a" "b" "c" "d" F]"#),
            ("-10 10", r#"["a" "b" "c" "d" F]"#),
            ("-10 -5", r#"["a"]"#),
        ] {
            shell.run("DEL l");
            shell.check(&format!("RPUSH l a b c d {filler}"), "5");
            shell.check(&format!("LTRIM l {range}"), "OK");
            let left = left.replace('F', &format!("\"{filler}\""));
            shell.check("LRANGE l 0 -1", &left);
            shell.check("EXISTS l", if left == "[]" { "0" } else { "1" });
        }
        shell.script(
            "
            LTRIM none 0 1 -> OK
            LTRIM none x 1 -> (error) ERR value is not an integer or out of range
            ",
        );
    }
}

#[test]
fn insertion_is_beside_the_first_pivot() {
    for filler in [String::from("f"), large()] {
        let mut shell = Shell::new();
        shell.script(&format!(
            r#"
            LINSERT l BEFORE a x -> 0
            LINSERT l BESIDE a x -> (error) ERR syntax error
            RPUSH l a b c b {filler} -> 5
            LINSERT l before b 1 -> 6
            LINSERT l AFTER b 2 -> 7
            LINSERT l AFTER {filler} 3 -> 8
            LINSERT l BEFORE a 4 -> 9
            LINSERT l BEFORE {filler} 5 -> 10
            LINSERT l AFTER none 6 -> -1
            LRANGE l 0 -1 -> ["4" "a" "1" "b" "2" "c" "b" "5" "{filler}" "3"]
            "#,
        ));
    }
}

#[test]
fn elements_are_removed_by_value() {
    for filler in [String::from("f"), large()] {
        let mut shell = Shell::new();
        let all = format!("RPUSH l a b {filler} a b c a b a");
        for (count, removed, left) in [
            ("0", "4", r#"["b" F "b" "c" "b"]"#),
            ("1", "1", r#"["b" F "a" "b" "c" "a" "b" "a"]"#),
            ("2", "2", r#"["b" F "b" "c" "a" "b" "a"]"#),
            ("-1", "1", r#"["a" "b" F "a" "b" "c" "a" "b"]"#),
            ("-3", "3", r#"["a" "b" F "b" "c" "b"]"#),
            ("100", "4", r#"["b" F "b" "c" "b"]"#),
            ("-9223372036854775808", "4", r#"["b" F "b" "c" "b"]"#),
        ] {
            shell.run("DEL l");
            shell.check(&all, "9");
            shell.check(&format!("LREM l {count} a"), removed);
            shell.check("LRANGE l 0 -1", &left.replace('F', &format!("\"{filler}\"")));
        }
        shell.script(&format!(
            "
            LREM l 0 none -> 0
            LREM l x a -> (error) ERR value is not an integer or out of range
            LREM none 0 a -> 0
            LREM l 0 {filler} -> 1
            LREM l 0 b -> 3
            LREM l 0 c -> 1
            EXISTS l -> 0
            "
        ));
    }
}

#[test]
fn elements_are_found_by_value() {
    for filler in [String::from("f"), large()] {
        let mut shell = Shell::new();
        shell.check(&format!("RPUSH l a b c 1 2 3 c c {filler}"), "9");
        shell.script(
            "
            LPOS l a -> 0
            LPOS l c -> 2
            LPOS l none -> nil
            LPOS l c RANK 2 -> 6
            LPOS l c RANK -1 -> 7
            LPOS l c RANK -3 -> 2
            LPOS l c RANK 4 -> nil
            LPOS l c RANK 0 -> (error) ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list
            LPOS l c COUNT 0 -> [2 6 7]
            LPOS l c COUNT 1 -> [2]
            LPOS l c COUNT 2 RANK 2 -> [6 7]
            LPOS l c RANK -1 COUNT 2 -> [7 6]
            LPOS l c RANK -9223372036854775808 COUNT 0 -> []
            LPOS l none COUNT 2 -> []
            LPOS none a -> nil
            LPOS none a COUNT 0 -> []
            LPOS l c MAXLEN 2 -> nil
            LPOS l c MAXLEN 3 -> 2
            LPOS l c RANK -1 MAXLEN 3 COUNT 0 -> [7 6]
            LPOS l c MAXLEN 0 COUNT 0 -> [2 6 7]
            LPOS l c COUNT -1 -> (error) ERR COUNT can't be negative
            LPOS l c COUNT x -> (error) ERR COUNT can't be negative
            LPOS l c MAXLEN -1 -> (error) ERR MAXLEN can't be negative
            LPOS l c RANK x -> (error) ERR value is not an integer or out of range
            LPOS l c RANK -> (error) ERR syntax error
            LPOS l c FIRST 1 -> (error) ERR syntax error
            ",
        );
    }
}

#[test]
fn elements_move_from_list_to_list() {
    for filler in [String::from("f"), large()] {
        let mut shell = Shell::new();
        shell.script(&format!(
            r#"
            RPUSH a 1 2 3 {filler} -> 4
            LMOVE a b LEFT RIGHT -> "1"
            LMOVE a b right left -> "{filler}"
            RPOPLPUSH a b -> "3"
            LRANGE a 0 -1 -> ["2"]
            LRANGE b 0 -1 -> ["3" "{filler}" "1"]
            LMOVE a b LEFT LEFT -> "2"
            EXISTS a -> 0
            LMOVE a b LEFT LEFT -> nil
            RPOPLPUSH a b -> nil
            LMOVE b b LEFT RIGHT -> "2"
            LRANGE b 0 -1 -> ["3" "{filler}" "1" "2"]
            RPOPLPUSH b b -> "2"
            LMOVE b b LEFT LEFT -> "2"
            LRANGE b 0 -1 -> ["2" "3" "{filler}" "1"]
            RPUSH one {filler} -> 1
            LMOVE one one LEFT RIGHT -> "{filler}"
            LRANGE one 0 -1 -> ["{filler}"]
            LMOVE b c MIDDLE LEFT -> (error) ERR syntax error
            LMOVE b c LEFT MIDDLE -> (error) ERR syntax error
            "#,
        ));
    }
}

#[test]
fn the_first_list_with_elements_gives_them() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        RPUSH a 1 2 3 -> 3
        RPUSH b 4 5 -> 2
        LMPOP 2 none a LEFT -> ["a" ["1"]]
        LMPOP 2 a b RIGHT COUNT 10 -> ["a" ["3" "2"]]
        LMPOP 2 a b right count 1 -> ["b" ["5"]]
        LMPOP 1 b LEFT COUNT 1 -> ["b" ["4"]]
        EXISTS a b -> 0
        LMPOP 2 a b LEFT -> nil
        LMPOP 0 a LEFT -> (error) ERR numkeys should be greater than 0
        LMPOP x a LEFT -> (error) ERR numkeys should be greater than 0
        LMPOP 9223372036854775807 a LEFT -> (error) ERR syntax error
        LMPOP 2 a LEFT -> (error) ERR syntax error
        LMPOP 1 a b -> (error) ERR syntax error
        LMPOP 1 a LEFT COUNT -> (error) ERR syntax error
        LMPOP 1 a LEFT COUNT 0 -> (error) ERR count should be greater than 0
        LMPOP 1 a LEFT COUNT x -> (error) ERR count should be greater than 0
        LMPOP 1 a LEFT COUNT 1 COUNT 1 -> (error) ERR syntax error
        LMPOP 1 a LEFT TWICE 1 -> (error) ERR syntax error
        COMMAND GETKEYS LMPOP 2 a b LEFT -> ["a" "b"]
        COMMAND GETKEYS BLMPOP 0 1 a LEFT -> ["a"]
        COMMAND GETKEYS BLPOP a b 0 -> ["a" "b"]
        COMMAND GETKEYS BLMOVE a b LEFT LEFT 0 -> ["a" "b"]
        "#,
    );
}

#[test]
fn what_is_no_list_is_refused() {
    let mut shell = Shell::new();
    shell.check("SET s v", "OK");
    for line in [
        "LPUSH s a",
        "RPUSHX s a",
        "LPOP s",
        "RPOP s 0",
        "LLEN s",
        "LINDEX s x",
        "LSET s x x",
        "LRANGE s 0 -1",
        "LTRIM s 0 -1",
        "LINSERT s BEFORE a b",
        "LREM s 0 a",
        "LPOS s a",
        "LMOVE s l LEFT LEFT",
        "RPOPLPUSH s l",
        "LMPOP 2 none s LEFT",
        "BLPOP none s 1",
        "BRPOP s 0",
        "BLMOVE s l LEFT LEFT 0",
        "BRPOPLPUSH s l 0",
        "BLMPOP 0 1 s LEFT",
    ] {
        shell.check(line, WRONG_TYPE);
    }
    shell.check("RPUSH l a", "1");
    for line in ["LMOVE l s LEFT LEFT", "RPOPLPUSH l s", "BLMOVE l s LEFT LEFT 0"] {
        shell.check(line, WRONG_TYPE);
    }
    shell.script(
        "
        LRANGE l 0 -1 -> [\"a\"]
        GET l -> (error) WRONGTYPE Operation against a key holding the wrong kind of value
        LMOVE none s LEFT LEFT -> nil
        ",
    );
}

#[test]
fn blocking_commands_take_what_is_there() {
    let mut shell = Shell::new();
    shell.script(
        r#"
        RPUSH a 1 2 3 4 5 6 -> 6
        BLPOP none a 0 -> ["a" "1"]
        BRPOP a none 0 -> ["a" "6"]
        BLMOVE a b LEFT RIGHT 0 -> "2"
        BRPOPLPUSH a b 0 -> "5"
        BLMPOP 0 2 none a RIGHT COUNT 5 -> ["a" ["4" "3"]]
        LRANGE b 0 -1 -> ["5" "2"]
        EXISTS a -> 0
        BLPOP a 0 -> blocked
        BRPOP a a2 1 -> blocked
        BLMOVE a b LEFT LEFT 0 -> blocked
        BRPOPLPUSH a b 0 -> blocked
        BLMPOP 0 1 a LEFT -> blocked
        LPUSH a 1 -> 1
        LRANGE a 0 -1 -> ["1"]
        "#,
    );
    for (line, timeout) in [
        ("BLPOP a", 0),
        ("BRPOP a b", 0),
        ("BLMOVE a b LEFT LEFT", 0),
        ("BRPOPLPUSH a b", 0),
        ("BLMPOP 1 a LEFT", 1),
    ] {
        for (value, complaint) in [
            ("x", "ERR timeout is not a float or out of range"),
            ("-1", "ERR timeout is negative"),
            ("1e30", "ERR timeout is out of range"),
        ] {
            let mut words: Vec<&str> = line.split(' ').collect();
            words.insert(if timeout == 0 { words.len() } else { timeout }, value);
            shell.check(&words.join(" "), &format!("(error) {complaint}"));
        }
    }
    shell.script(
        "
        BLMPOP x 0 a LEFT -> (error) ERR numkeys should be greater than 0
        BLMPOP x 1 a UP -> (error) ERR syntax error
        BLMOVE a b UP LEFT x -> (error) ERR syntax error
        ",
    );
}

#[test]
fn renaming_and_overwriting_take_the_whole_list() {
    let mut shell = Shell::new();
    shell.check(&format!("RPUSH l a {} b", large()), "3");
    shell.script(
        "
        RENAME l m -> OK
        EXISTS l -> 0
        LLEN m -> 3
        LINDEX m -1 -> \"b\"
        SET m v -> OK
        DEL m -> 1
        RPUSH m x -> 1
        LRANGE m 0 -1 -> [\"x\"]
        ",
    );
}

#[test]
fn values_of_any_bytes_come_back() {
    let mut shell = Shell::new();
    let values: Vec<Vec<u8>> =
        vec![vec![], (0..=255).collect(), vec![b'\r', b'\n'], vec![7; 100_000]];
    for value in &values {
        shell.run_args(&[b"RPUSH", b"l", value]);
    }
    for (index, value) in values.iter().enumerate() {
        let reply = shell.reply_bytes(&[b"LINDEX", b"l", index.to_string().as_bytes()]);
        let head = format!("${}\r\n", value.len());
        assert_eq!(Bytes::from(reply), [head.as_bytes(), value, b"\r\n"].concat());
    }
}
