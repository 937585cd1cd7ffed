//! The elements of lists as they are stored: packed, by themselves, and gone; and a list against a model.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::VecDeque;

use harness::Shell;
use pontoon_storage::{KeyRange, Reader};
use proptest::prelude::*;

/// An element that takes a list beyond what a record holds.
fn large() -> String {
    "x".repeat(1100)
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

#[test]
fn a_change_worked_out_before_is_that_of_the_list_as_it_is_then() {
    for filler in [String::from("f"), large()] {
        let mut shell = Shell::new();
        shell.check(&format!("RPUSH l a b {filler} b c"), "5");
        assert_eq!(shell.run_prepared("LREM l 1 b", |_| {}), "1");
        assert_eq!(shell.run_prepared("LINSERT l AFTER c d", |_| {}), "5");
        assert_eq!(shell.run_prepared("LREM l 0 none", |_| {}), "0");
        shell.check("LRANGE l 0 -1", &format!("[\"a\" \"{filler}\" \"b\" \"c\" \"d\"]"));
        let removed = shell.run_prepared("LREM l 0 b", |shell| shell.check("LPUSH l b", "6"));
        assert_eq!(removed, "2");
        let inserted = shell.run_prepared("LINSERT l BEFORE a z", |shell| {
            shell.check("LPUSH l y", "5");
        });
        assert_eq!(inserted, "6");
        shell.check("LRANGE l 0 -1", &format!("[\"y\" \"z\" \"a\" \"{filler}\" \"c\" \"d\"]"));
        for line in ["LREM l 0 a", "LINSERT l AFTER a b"] {
            shell.check("EXPIRE l 100", "1");
            let now_ms = shell.now_ms;
            assert_eq!(shell.run_prepared(line, |shell| shell.now_ms += 100_001), "0", "{line}");
            shell.check("EXISTS l", "0");
            shell.now_ms = now_ms;
            shell.run("DEL l");
            shell.check(&format!("RPUSH l a {filler}"), "2");
        }
        assert_eq!(shell.run_prepared("LREM l 0 a", |shell| shell.check("DEL l", "1")), "0");
    }
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
    let len = if value.is_multiple_of(4) { 100 } else { 3 };
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
    #![proptest_config(ProptestConfig { cases: 50, ..ProptestConfig::default() })]

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
