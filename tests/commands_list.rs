//! Lists, without sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::VecDeque;

use bytes::Bytes;
use harness::Shell;
use pontoon::resp::Protocol;
use pontoon_storage::{KeyRange, Reader};
use proptest::prelude::*;

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

/// How many elements are stored by themselves, and how many versions wait to be swept.
fn stored(shell: &Shell) -> (usize, usize) {
    let elements = shell.dump(shell.databases.elements()).len();
    let system = shell.dump(shell.databases.system());
    (elements, system.iter().filter(|(key, _)| key.starts_with(b"garbage/")).count())
}

#[test]
fn a_queue_that_is_emptied_leaves_nothing_to_sweep() {
    let mut shell = Shell::new();
    for _ in 0..3 {
        shell.check(&format!("RPUSH l {} a b c", large()), "4");
        assert_eq!(stored(&shell), (4, 0));
        shell.check("LPOP l", &format!("\"{}\"", large()));
        shell.check("LPOP l 2", "[\"a\" \"b\"]");
        assert_eq!(stored(&shell), (1, 0));
        shell.check("RPOP l", "\"c\"");
        assert_eq!(stored(&shell), (0, 0));
        shell.check(&format!("RPUSH l {} a", large()), "2");
        shell.check("LTRIM l 1 0", "OK");
        assert_eq!(stored(&shell), (0, 0));
    }
    shell.check(&format!("RPUSH l {} a", large()), "2");
    shell.check("DEL l", "1");
    assert_eq!(stored(&shell), (2, 1));
    shell.sweep(100);
    assert_eq!(stored(&shell), (0, 0));
}

/// Elements "0" to "19999".
fn long_list(shell: &mut Shell) {
    let push: Vec<String> = (0..20_000).map(|n| n.to_string()).collect();
    shell.check(&format!("RPUSH l {}", push.join(" ")), "20000");
}

#[test]
fn many_elements_go_at_once() {
    let mut shell = Shell::new();
    long_list(&mut shell);
    shell.check("LTRIM l 5000 -5001", "OK");
    assert_eq!(stored(&shell), (10_000, 0));
    shell.script(
        "
        LLEN l -> 10000
        LINDEX l 0 -> \"5000\"
        LINDEX l -1 -> \"14999\"
        LPOS l 14999 -> 9999
        LPUSH l first -> 10001
        RPUSH l last -> 10002
        LRANGE l 0 1 -> [\"first\" \"5000\"]
        LRANGE l -2 -1 -> [\"14999\" \"last\"]
        LINSERT l BEFORE 9000 x -> 10003
        LRANGE l 4000 4002 -> [\"8999\" \"x\" \"9000\"]
        LREM l 0 x -> 1
        LRANGE l 4000 4001 -> [\"8999\" \"9000\"]
        LTRIM l 1 0 -> OK
        EXISTS l -> 0
        ",
    );
    assert_eq!(stored(&shell), (10_002, 1));
}

#[test]
fn little_of_much_is_stored_anew() {
    for (command, left) in [
        ("LTRIM l 19997 -1", r#"["19997" "19998" "19999"]"#),
        ("LTRIM l 10 12", r#"["10" "11" "12"]"#),
        ("RPOP l 19998", r#"["0" "1"]"#),
        ("LPOP l 20000", "[]"),
    ] {
        let mut shell = Shell::new();
        long_list(&mut shell);
        shell.check("EXPIRE l 100", "1");
        shell.run(command);
        shell.check("LRANGE l 0 -1", left);
        shell.check("TTL l", if left == "[]" { "-2" } else { "100" });
        assert_eq!(stored(&shell), (20_000, 1), "{command}");
        shell.sweep(1000);
        assert_eq!(stored(&shell), (0, 0), "{command}");
        shell.run("RPUSH l more");
        shell.check("LINDEX l -1", "\"more\"");
    }
    // What is left may be too much to be moved.
    let mut shell = Shell::new();
    long_list(&mut shell);
    shell.check(&format!("LPUSH l {0} {0}", "x".repeat(600_000)), "20002");
    shell.check("LTRIM l 0 2", "OK");
    shell.check("LINDEX l 2", "\"0\"");
    assert_eq!(stored(&shell), (3, 0));
}

#[test]
fn damage_is_an_error_and_no_wrong_answer() {
    let mut shell = Shell::new();
    shell.check(&format!("RPUSH l a {} b c", large()), "4");
    shell.update(|tx, databases| {
        let elements = databases.elements().clone();
        let limit = pontoon_storage::engine::PageLimit { entries: 3, bytes: usize::MAX };
        let page = tx.page(&elements, &KeyRange::ALL, false, limit)?;
        tx.delete(&elements, page.entries[2].0.clone())?;
        Ok(())
    });
    for line in ["LRANGE l 0 -1", "LINDEX l 2", "LREM l 0 c", "LPOS l c", "RPOP l 2"] {
        let reply = shell.run(line);
        assert!(reply.starts_with("(error) ERR ") && reply.contains("gap"), "{line}: {reply}");
    }
    shell.check("LINDEX l -1", "\"c\"");
    shell.check("DEL l", "1");
}

/// A change of a list, as it is made to a deque.
#[derive(Debug, Clone)]
enum Change {
    Push(bool, Vec<u8>),
    Pop(bool, usize),
    Set(usize, u8),
    Insert(bool, u8, u8),
    Remove(i64, u8),
    Trim(i64, i64),
    Turn(bool, bool),
}

/// Elements of a few values, short or long: 10 of the long ones fill a record.
fn element(value: u8) -> String {
    let len = if value % 4 == 0 { 100 } else { 3 };
    format!("{value:0len$}")
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let value = 0..12u8;
    let change = prop_oneof![
        4 => (any::<bool>(), prop::collection::vec(value.clone(), 1..12)).prop_map(|(left, values)| Change::Push(left, values)),
        2 => (any::<bool>(), 1..8usize).prop_map(|(left, count)| Change::Pop(left, count)),
        1 => (0..60usize, value.clone()).prop_map(|(index, value)| Change::Set(index, value)),
        2 => (any::<bool>(), value.clone(), value.clone()).prop_map(|(after, pivot, value)| Change::Insert(after, pivot, value)),
        2 => (-3..4i64, value).prop_map(|(count, value)| Change::Remove(count, value)),
        1 => (-30..30i64, -30..60i64).prop_map(|(start, stop)| Change::Trim(start, stop)),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(from, to)| Change::Turn(from, to)),
    ];
    prop::collection::vec(change, 1..60)
}

fn apply(shell: &mut Shell, model: &mut VecDeque<String>, change: &Change) {
    let name = |left: bool| if left { "L" } else { "R" };
    match change {
        Change::Push(left, values) => {
            let values: Vec<_> = values.iter().map(|value| element(*value)).collect();
            for value in &values {
                if *left { model.push_front(value.clone()) } else { model.push_back(value.clone()) }
            }
            let line = format!("{}PUSH l {}", name(*left), values.join(" "));
            shell.check(&line, &model.len().to_string());
        }
        Change::Pop(left, count) => {
            let mut popped = Vec::new();
            for _ in 0..*count {
                popped.extend(if *left { model.pop_front() } else { model.pop_back() });
            }
            let reply = match &popped[..] {
                [] => "nil".into(),
                [one] if *count == 1 => format!("{one:?}"),
                all => list(all.iter()),
            };
            let count = if *count == 1 { String::new() } else { format!(" {count}") };
            shell.check(&format!("{}POP l{count}", name(*left)), &reply);
        }
        Change::Set(index, value) => {
            let value = element(*value);
            let is_empty = model.is_empty();
            let reply = match model.get_mut(*index) {
                Some(place) => {
                    place.clone_from(&value);
                    "OK"
                }
                None if is_empty => "(error) ERR no such key",
                None => "(error) ERR index out of range",
            };
            shell.check(&format!("LSET l {index} {value}"), reply);
        }
        Change::Insert(after, pivot, value) => {
            let (pivot, value) = (element(*pivot), element(*value));
            let reply = match model.iter().position(|one| *one == pivot) {
                None if model.is_empty() => "0".into(),
                None => "-1".into(),
                Some(index) => {
                    model.insert(index + usize::from(*after), value.clone());
                    model.len().to_string()
                }
            };
            let place = if *after { "AFTER" } else { "BEFORE" };
            shell.check(&format!("LINSERT l {place} {pivot} {value}"), &reply);
        }
        Change::Remove(count, value) => {
            let value = element(*value);
            let mut left = if *count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
            let mut kept = VecDeque::new();
            let before = model.len();
            let mut keep = |one: String| {
                let is_removed = one == value && left > 0;
                left -= usize::from(is_removed);
                (!is_removed).then_some(one)
            };
            if *count < 0 {
                model.drain(..).rev().filter_map(&mut keep).for_each(|one| kept.push_front(one));
            } else {
                model.drain(..).filter_map(&mut keep).for_each(|one| kept.push_back(one));
            }
            *model = kept;
            shell.check(&format!("LREM l {count} {value}"), &(before - model.len()).to_string());
        }
        Change::Trim(start, stop) => {
            let len = model.len() as i64;
            let from_left = |index: i64| if index < 0 { index + len } else { index };
            let (first, last) = (from_left(*start).max(0), from_left(*stop));
            let mut index = -1;
            model.retain(|_| {
                index += 1;
                (first..=last).contains(&index)
            });
            shell.check(&format!("LTRIM l {start} {stop}"), "OK");
        }
        Change::Turn(from, to) => {
            let end = |left: bool| if left { "LEFT" } else { "RIGHT" };
            let moved = if *from { model.pop_front() } else { model.pop_back() };
            let reply = moved.as_ref().map_or("nil".into(), |moved| format!("{moved:?}"));
            if let Some(moved) = moved {
                if *to { model.push_front(moved) } else { model.push_back(moved) }
            }
            shell.check(&format!("LMOVE l l {} {}", end(*from), end(*to)), &reply);
        }
    }
}

fn list<'e>(elements: impl Iterator<Item = &'e String>) -> String {
    let elements: Vec<_> = elements.map(|element| format!("{element:?}")).collect();
    format!("[{}]", elements.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn a_list_is_a_deque(changes in changes()) {
        let mut shell = Shell::new();
        let mut model = VecDeque::new();
        for change in &changes {
            apply(&mut shell, &mut model, change);
            shell.check("LRANGE l 0 -1", &list(model.iter()));
            shell.check("LLEN l", &model.len().to_string());
            shell.check("EXISTS l", &usize::from(!model.is_empty()).to_string());
        }
        // Nothing is stored that is not in it.
        let (elements, garbage) = stored(&shell);
        prop_assert!(elements == 0 || elements == model.len(), "{elements} of {}", model.len());
        prop_assert_eq!(garbage, 0);
    }
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
