//! Long strings, in chunks, behave as short ones do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use harness::Shell;
use pontoon::data::string::{self, CHUNK_BYTES, INLINE_BYTES_MAX};
use pontoon::data::{DbWriter, RunState};
use proptest::prelude::*;

/// Bytes that differ from place to place, so that a misplaced chunk shows.
fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|place| (place / 7) as u8 ^ (place as u8).wrapping_mul(seed | 1)).collect()
}

#[test]
fn strings_of_every_telling_length_come_back() {
    let mut shell = Shell::new();
    for edge in [INLINE_BYTES_MAX, CHUNK_BYTES, 2 * CHUNK_BYTES, 70 * CHUNK_BYTES] {
        for len in [edge - 1, edge, edge + 1] {
            let value = pattern(len, 3);
            assert_eq!(shell.run_args(&[b"SET", b"k", &value]), "OK");
            assert_eq!(shell.get(b"k").unwrap(), value, "{len}");
            shell.check("STRLEN k", &len.to_string());
        }
    }
}

#[test]
fn only_the_chunks_that_change_are_written() {
    let mut shell = Shell::new();
    shell.run_args(&[b"SET", b"k", &pattern(10 * CHUNK_BYTES + 5, 1)]);
    let elements = shell.databases.elements().clone();
    let before = shell.dump(&elements);
    assert_eq!(before.len(), 11);
    shell.run_args(&[b"SETRANGE", b"k", (3 * CHUNK_BYTES - 1).to_string().as_bytes(), b"xy"]);
    shell.run_args(&[b"APPEND", b"k", b"z"]);
    let after = shell.dump(&elements);
    let changed: Vec<usize> = (0..11).filter(|&index| before[index] != after[index]).collect();
    assert_eq!(changed, [2, 3, 10]);
}

#[test]
fn a_gap_is_zeros_and_takes_no_room() {
    let mut shell = Shell::new();
    shell.run("SET k start");
    shell.check("SETRANGE k 100000000 end", "100000003");
    shell.check("STRLEN k", "100000003");
    shell.check("GETRANGE k 0 6", "\"start\\x00\\x00\"");
    shell.check("GETRANGE k 99999998 -1", "\"\\x00\\x00end\"");
    shell.check("GETRANGE k 50000000 50000003", "\"\\x00\\x00\\x00\\x00\"");
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements).len(), 2);
}

#[test]
fn a_long_string_is_no_number() {
    let mut shell = Shell::new();
    shell.run_args(&[b"SET", b"k", &vec![b'1'; INLINE_BYTES_MAX + 1]]);
    shell.check("INCR k", "(error) ERR value is not an integer or out of range");
    shell.check("INCRBYFLOAT k 1", "(error) ERR value is not a valid float");
}

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>),
    Append(Vec<u8>),
    SetRange(usize, Vec<u8>),
    GetRange(i64, i64),
    Rename,
    Delete,
    Sweep,
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let len = prop_oneof![
        0..40usize,
        INLINE_BYTES_MAX - 3..INLINE_BYTES_MAX + 3,
        CHUNK_BYTES - 3..CHUNK_BYTES + 3,
        0..3 * CHUNK_BYTES,
    ];
    (len, any::<u8>()).prop_map(|(len, seed)| pattern(len, seed))
}

fn step() -> impl Strategy<Value = Step> {
    let offset = prop_oneof![0..100usize, CHUNK_BYTES - 3..CHUNK_BYTES + 3, 0..4 * CHUNK_BYTES];
    let index = -70_000..70_000i64;
    prop_oneof![
        1 => value().prop_map(Step::Set),
        4 => value().prop_map(Step::Append),
        4 => (offset, value()).prop_map(|(offset, value)| Step::SetRange(offset, value)),
        4 => (index.clone(), index).prop_map(|(start, end)| Step::GetRange(start, end)),
        1 => Just(Step::Rename),
        1 => Just(Step::Delete),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn they_follow_a_plain_vector(steps in prop::collection::vec(step(), 1..25)) {
        let mut shell = Shell::new();
        let mut model: Option<Vec<u8>> = None;
        for step in steps {
            match step {
                Step::Set(value) => {
                    shell.run_args(&[b"SET", b"k", &value]);
                    model = Some(value);
                }
                Step::Append(value) => {
                    let reply = shell.run_args(&[b"APPEND", b"k", &value]);
                    let model = model.get_or_insert_default();
                    model.extend(value);
                    prop_assert_eq!(reply, model.len().to_string());
                }
                Step::SetRange(offset, value) => {
                    let place = offset.to_string();
                    let reply = shell.run_args(&[b"SETRANGE", b"k", place.as_bytes(), &value]);
                    if !value.is_empty() {
                        let model = model.get_or_insert_default();
                        model.resize(model.len().max(offset + value.len()), 0);
                        model[offset..offset + value.len()].copy_from_slice(&value);
                    }
                    prop_assert_eq!(reply, model.as_ref().map_or(0, Vec::len).to_string());
                }
                Step::GetRange(start, end) => {
                    let reply = shell.run(&format!("GETRANGE k {start} {end}"));
                    let part = plain_range(model.as_deref().unwrap_or_default(), start, end);
                    prop_assert_eq!(reply, format!("\"{}\"", part.escape_ascii()));
                }
                Step::Rename => {
                    if model.is_some() {
                        shell.check("RENAME k other", "OK");
                        shell.check("RENAME other k", "OK");
                    }
                }
                Step::Delete => {
                    shell.check("DEL k", if model.take().is_some() { "1" } else { "0" });
                }
                Step::Sweep => shell.sweep(3),
            }
            prop_assert_eq!(shell.get(b"k"), model.clone());
        }
    }
}

/// What `GETRANGE` says in so many words.
fn plain_range(value: &[u8], start: i64, end: i64) -> &[u8] {
    let len = value.len() as i64;
    if start < 0 && end < 0 && start > end {
        return b"";
    }
    let start = if start < 0 { (len + start).max(0) } else { start };
    let end = if end < 0 { (len + end).max(0) } else { end }.min(len - 1);
    if start > end || len == 0 { b"" } else { &value[start as usize..=end as usize] }
}

#[test]
fn a_short_chunk_does_not_hold_what_it_was_cut_from() {
    struct Received {
        bytes: Vec<u8>,
        _held: Arc<()>,
    }
    impl AsRef<[u8]> for Received {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    let shell = Shell::new();
    let held = Arc::new(());
    let received =
        Bytes::from_owner(Received { bytes: vec![b'v'; 1 << 20], _held: Arc::clone(&held) });
    let value = received.slice(..10_000);
    drop(received);
    let now_ms = shell.now_ms;
    shell.update(move |tx, databases| {
        let mut state = RunState::new(databases, now_ms);
        string::set(&mut DbWriter::new(tx, &mut state, 0), b"k", None, value, None)?;
        Ok(state.write_books(tx)?)
    });
    assert_eq!(Arc::strong_count(&held), 1);
}
