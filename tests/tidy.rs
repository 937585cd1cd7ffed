//! Rules of this repository that no compiler checks. Each failure says why the rule is there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines from which on a file must say why it is so long.
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text files of the repository with their paths, which are relative and use `/`.
fn files() -> Vec<(String, String)> {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let mut skipped: BTreeSet<PathBuf> =
        ignored.lines().map(|line| root().join(line.trim_matches('/'))).collect();
    // In a worktree it is a file with the path of the machine.
    skipped.insert(root().join(".git"));
    let mut found = Vec::new();
    let mut dirs = vec![root().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if skipped.contains(&path) {
                continue;
            }
            if path.is_dir() {
                dirs.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let relative = path.strip_prefix(root()).unwrap();
                let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
                found.push((parts.join("/"), text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 50, "only {} files found", found.len());
    found
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

/// Where in the files a line is that `is_wrong`, as `path:line: text`.
fn wrong_lines(
    files: &[(String, String)],
    is_wrong: impl Fn(&str) -> bool,
) -> impl Iterator<Item = String> {
    files.iter().flat_map(move |(path, text)| {
        let wrong = text.lines().enumerate().filter(|(_, line)| is_wrong(line));
        wrong.map(|(n, line)| format!("{path}:{}: {}", n + 1, line.trim())).collect::<Vec<_>>()
    })
}

fn assert_none(wrong: impl Iterator<Item = String>, why: &str) {
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{why}\n{}", wrong.join("\n"));
}

/// Whether `text` has `word` with no letter, digit or underscore beside it, in any case.
fn has_word(text: &str, word: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.into_iter().any(|found| found.eq_ignore_ascii_case(word))
}

/// What stands between backquotes, line by line, outside code blocks.
fn code_spans(page: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut spans = Vec::new();
    for line in page.lines() {
        in_block ^= line.starts_with("```");
        if !in_block {
            spans.extend(line.split('`').skip(1).step_by(2));
        }
    }
    spans
}

/// `file::function`, as a page names a test.
fn as_test_name(span: &str) -> Option<(&str, &str)> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let (file, function) = span.split_once("::")?;
    (is_name(file) && is_name(function) && function != "exit").then_some((file, function))
}

/// Whether `text` has a test called `name`: marked as one, or in the list of a macro that marks it.
fn has_test(text: &str, name: &str) -> bool {
    let declaration = format!("fn {name}(");
    let Some(at) = text
        .lines()
        .position(|line| line.trim_start().trim_start_matches("async ").starts_with(&declaration))
    else {
        return false;
    };
    let before: Vec<&str> = text.lines().take(at).map(str::trim).collect();
    let attributes = before.iter().rev().take_while(|line| line.starts_with(['#', '/']));
    let is_marked = attributes.into_iter().any(|line| ["#[test]", "#[tokio::test]"].contains(line));
    let is_listed = text.contains("macro_rules!") && text.lines().any(|line| line.trim() == name);
    is_marked || is_listed
}

#[test]
fn every_test_that_a_page_names_exists() {
    let sources = rust_files();
    for (page, named_min) in [("docs/guarantees.md", 40), ("docs/runtimes.md", 8)] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let named: BTreeSet<_> = code_spans(&text).into_iter().filter_map(as_test_name).collect();
        assert!(named.len() >= named_min, "{page} names {} tests alone: {named:?}", named.len());
        let missing = named.into_iter().filter(|(file, function)| {
            let file = format!("/{file}.rs");
            !sources.iter().any(|(path, text)| path.ends_with(&file) && has_test(text, function))
        });
        assert_none(
            missing.map(|(file, function)| format!("{page}: {file}::{function}")),
            "a guarantee without its test is a hope: name the test as file::function, or write it",
        );
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let pages = files().into_iter().filter(|(path, _)| path.ends_with(".md"));
    let mut broken = Vec::new();
    for (page, text) in pages {
        let dir = root().join(&page).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            if !target.contains("://") && !file.is_empty() && !dir.join(file).exists() {
                broken.push(format!("{page}: {target}"));
            }
        }
    }
    assert_none(broken.into_iter(), "a link to a page that is not there helps nobody");
}

#[test]
fn the_readmes_test_command_is_what_ci_runs() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let why = "what a contributor runs and what CI runs must be the same command";
    assert!(read("README.md").contains("\nscripts/test.sh\n"), "README.md: {why}");
    let ci = read(".ci/run");
    let commands = ci.lines().filter(|line| !line.starts_with('#'));
    assert!(commands.into_iter().any(|line| line.contains("scripts/test.sh")), ".ci/run: {why}");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    // In two parts, so that this file names none either.
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let is_wrong = |line: &str| places.iter().any(|place| line.contains(place));
    assert_none(
        wrong_lines(&files(), is_wrong),
        "a path of one machine is wrong on every other: use relative paths or the environment",
    );
}

#[test]
fn no_dependency_needs_a_newer_rust_than_we_promise() {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let run = |args: &[&str]| {
        let output = Command::new(&cargo).args(args).current_dir(root()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Of this platform, which is what has been downloaded.
    let version = run(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = run(&[
        "metadata",
        "--locked",
        "--format-version=1",
        "--all-features",
        "--filter-platform",
        host,
    ]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let resolved: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["id"].as_str().unwrap())
        .collect();
    let ours = minor_version(env!("CARGO_PKG_RUST_VERSION"));
    let mut newer = Vec::new();
    let mut known = 0;
    for package in metadata["packages"].as_array().unwrap() {
        let id = package["id"].as_str().unwrap();
        let Some(needs) = package["rust_version"].as_str() else { continue };
        if !resolved.contains(id) {
            continue;
        }
        known += 1;
        if minor_version(needs) > ours {
            newer.push(format!("{id} needs {needs}"));
        }
    }
    assert!(known > 20, "only {known} packages say what they need");
    let why = format!(
        "the oldest Rust that we promise is {}: choose an older version of these, or promise less",
        env!("CARGO_PKG_RUST_VERSION")
    );
    assert_none(newer.into_iter(), &why);
}

/// Major, minor and patch of a Rust version; what is left out is 0.
fn minor_version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

#[test]
fn the_storage_knows_nothing_of_the_protocol() {
    let storage: Vec<_> =
        rust_files().into_iter().filter(|(path, _)| path.starts_with("storage/src/")).collect();
    assert!(!storage.is_empty());
    // A comment may compare a setting with the one that readers know.
    let is_wrong = |line: &str| {
        let is_comment = line.trim_start().starts_with("//");
        has_word(line, "resp") || !is_comment && has_word(line, "redis")
    };
    assert_none(
        wrong_lines(&storage, is_wrong),
        "programs embed the storage without the server: what the protocol needs belongs in src/",
    );
    let manifest = fs::read_to_string(root().join("storage/Cargo.toml")).unwrap();
    let depends =
        manifest.lines().any(|line| line.starts_with("pontoon ") || line.starts_with("pontoon."));
    assert!(!depends, "storage/Cargo.toml: the storage cannot depend on the server above it");
}

#[test]
fn long_files_say_why() {
    let long = rust_files().into_iter().filter(|(_, text)| {
        let mut header = text.lines().take_while(|line| line.starts_with("//"));
        text.lines().count() > LINES_MAX && !header.any(|line| line.starts_with("//! Long because"))
    });
    assert_none(
        long.map(|(path, text)| format!("{path}: {} lines", text.lines().count())),
        "a file is one idea: split it, or say in its first comment `//! Long because …`",
    );
}

#[test]
fn no_test_sleeps() {
    let sleep = concat!("sl", "eep(");
    let tests: Vec<_> =
        rust_files().into_iter().filter(|(path, _)| path.contains("tests/")).collect();
    assert!(tests.len() > 30, "only {} files of tests", tests.len());
    assert_none(
        wrong_lines(&tests, |line| line.contains(sleep)),
        "a sleep is too short on a slow machine and too long on a fast one: wait for what happens",
    );
}

/// Where the wall clock may be read: to say what time it is, and when keys expire.
const READS_THE_CLOCK: [&str; 9] = [
    "src/bench/machine.rs",
    "src/command/context.rs",
    "src/command/execute.rs",
    "src/command/info/mod.rs",
    "src/command/monitor.rs",
    "src/command/server.rs",
    "src/command/server_state.rs",
    "src/run.rs",
    "src/saver.rs",
];

#[test]
fn the_wall_clock_drives_nothing_but_expiry() {
    let mut sources = rust_files();
    sources.retain(|(path, _)| {
        (path.starts_with("src/") || path.starts_with("storage/src/"))
            && !READS_THE_CLOCK.contains(&&path[..])
    });
    assert_none(
        wrong_lines(&sources, |line| has_word(line, "SystemTime")),
        "the wall clock may be set at any time: deadlines and intervals take `Instant`",
    );
}
