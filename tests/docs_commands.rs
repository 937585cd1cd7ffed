//! `docs/commands.md` is what the command table says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{env, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/commands.md");

#[test]
fn the_page_follows_the_table() {
    let rendered = pontoon::command::commands_markdown();
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PATH, &rendered).expect("docs/commands.md can be written");
    }
    let written = fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        written == rendered,
        "docs/commands.md is out of date; refresh it with\n    \
         UPDATE_DOCS=1 cargo test --test docs_commands"
    );
}
