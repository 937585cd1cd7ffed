//! The examples of `docs/encoding.md` are what is really stored.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::fmt::Write;
use std::{env, fs};

use harness::Shell;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/encoding.md");

/// Of a longer value the dump shows the beginning.
const SHOWN_BYTES: usize = 32;

/// The commands that the page names, and every byte they leave.
fn example() -> (String, Vec<(String, String)>) {
    let mut shell = Shell::new();
    shell.script(
        "
        SET greeting hello -> OK
        SET token abc PXAT 1600000060000 -> OK
        SETRANGE page 20000 x -> 20001
        SETRANGE draft 5000 x -> 5001
        DEL draft -> 1
        HSET user name Ann -> 1
        SELECT 1 -> OK
        SET a 1 -> OK
        FLUSHDB -> OK
        ",
    );
    let mut dump = String::new();
    let mut entries = Vec::new();
    let databases = &shell.databases;
    for keyspace in [databases.meta(), databases.elements(), databases.expiry(), databases.system()]
    {
        writeln!(dump, "{}", keyspace.name()).unwrap();
        for (key, value) in shell.dump(keyspace) {
            writeln!(dump, "  {}\n    = {}", hex(&key), hex(&value)).unwrap();
            entries.push((plain_hex(&key), plain_hex(&value)));
        }
    }
    (dump, entries)
}

fn hex(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_BYTES) {
        Some(shown) if bytes.len() > SHOWN_BYTES => {
            format!("{}... ({} bytes)", plain_hex(shown), bytes.len())
        }
        _ if bytes.is_empty() => "(empty)".into(),
        _ => plain_hex(bytes),
    }
}

fn plain_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The contents of the page's fenced blocks of this kind.
fn blocks<'p>(page: &'p str, kind: &str) -> Vec<&'p str> {
    page.split(&format!("```{kind}\n"))
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_dump_is_what_is_stored() {
    let (dump, _) = example();
    let page = fs::read_to_string(PATH).unwrap();
    let [written] = blocks(&page, "dump")[..] else { panic!("one dump") };
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(
            PATH,
            page.replace(&format!("```dump\n{written}```"), &format!("```dump\n{dump}```")),
        )
        .expect("docs/encoding.md can be written");
        return;
    }
    assert!(
        written == dump,
        "the dump in docs/encoding.md is out of date; if the change of format is meant, refresh it \
         with\n    UPDATE_DOCS=1 cargo test --test docs_encoding\nThe store wrote:\n{dump}"
    );
}

/// Each explained entry is in the store byte by byte: hexadecimal first on each line, then, behind
/// two blanks, words; `=` divides key and value.
#[test]
fn the_explained_entries_are_stored() {
    let (_, entries) = example();
    let page = fs::read_to_string(PATH).unwrap();
    let explained = blocks(&page, "explained");
    assert!(!explained.is_empty());
    for block in explained {
        let bytes: String =
            block.lines().map(|line| line.split("  ").next().unwrap().replace(' ', "")).collect();
        let (key, value) = bytes.split_once('=').expect("a '=' line");
        assert!(
            entries.contains(&(key.to_owned(), value.to_owned())),
            "{key} = {value} is not stored"
        );
    }
}
