//! `pontoon check`: its exit codes and what it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Server, ok, persistent_engines, run};
use futures::executor::block_on;
use pontoon_storage::{EngineKind, Options, Store};
use rustix::process::Signal;

/// Exit code, stdout and stderr.
fn check(args: &[&str]) -> (i32, String, String) {
    let output = run(&[&["check"], args].concat());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn serve(engine: &str, dir: &str) -> Server {
    Server::start(&["--engine", engine, "--dir", dir])
}

/// A directory with some keys; one has an expiry, and one is kept in chunks.
fn write(engine: &str, dir: &Path) {
    let server = serve(engine, dir.to_str().unwrap());
    let mut client = server.connect();
    for number in 0..500 {
        assert_eq!(client.call(&["SET", &format!("key{number}"), &"v".repeat(200)]), ok());
    }
    assert_eq!(client.call(&["SET", "passing", "v", "EX", "1000"]), ok());
    assert_eq!(client.call(&["SET", "long", &"v".repeat(1 << 20)]), ok());
    assert!(server.stop(Signal::TERM).success());
}

fn kind_of(name: &str) -> EngineKind {
    EngineKind::AVAILABLE.iter().copied().find(|kind| kind.name() == name).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_sound_directory_is_0() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        write(engine, dir.path());
        let place = dir.path().to_str().unwrap();
        let (code, out, err) = check(&[place]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.starts_with(&format!("{place}: {engine}, ")), "{out}");
        assert!(out.contains("keyspace meta, entries: 502,"), "{out}");
        assert!(out.ends_with("no damage found\n"), "{out}");
        assert_eq!(check(&["--engine", engine, place]).0, 0);
        assert!(serve(engine, place).stop(Signal::TERM).success());
    }
}

#[test]
fn what_a_killed_server_leaves_is_0() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let server = serve(engine, place);
        assert_eq!(server.connect().call(&["SET", "k", "v"]), ok());
        server.stop(Signal::KILL);
        let (code, out, err) = check(&[place]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.contains("keyspace meta, entries: 1,"), "{out}");
    }
}

#[test]
fn damage_is_1_and_its_file_is_named() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        write(engine, dir.path());
        let holds_data =
            |path: &PathBuf| fs::read(path).unwrap().windows(9).any(|w| w == b"vvvvvvvvv");
        let file = files(&dir.path().join("data")).into_iter().find(holds_data).unwrap();
        let mut bytes = fs::read(&file).unwrap();
        let at = bytes.windows(9).position(|w| w == b"vvvvvvvvv").unwrap();
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
        let (code, out, err) = check(&[dir.path().to_str().unwrap()]);
        assert_eq!((code, err.as_str()), (1, ""), "{out}");
        let line = out.lines().find(|line| line.starts_with("damage: ")).unwrap();
        assert!(line.contains(file.file_name().unwrap().to_str().unwrap()), "{out}");
        assert!(out.ends_with(" found\n"), "{out}");
    }
}

/// What the storage has no reason to doubt.
#[test]
fn records_that_make_no_sense_are_1_and_another_format_is_2() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        write(engine, dir.path());
        let place = dir.path().to_str().unwrap();
        let put = |keyspace: &str, key: &[u8], value: &[u8]| {
            let options = Options::new(dir.path()).engine(kind_of(engine));
            let store = block_on(Store::open(options)).unwrap();
            let ks = store.keyspace(keyspace).unwrap();
            block_on(store.put(&ks, key.to_vec(), value.to_vec())).unwrap();
            block_on(store.close()).unwrap();
        };
        put("meta", b"short", b"");
        let (code, out, _) = check(&[place]);
        assert_eq!(code, 1, "{out}");
        assert!(out.contains("keyspace meta: key short: "), "{out}");
        assert!(out.ends_with("1 damage found\n"), "{out}");
        put("system", b"format", &99u32.to_be_bytes());
        let (code, out, err) = check(&[place]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains("format 99"), "{err}");
    }
}

#[test]
fn what_another_program_has_stored_is_not_judged() {
    for engine in persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path()).engine(kind_of(engine));
        let store = block_on(Store::open(options)).unwrap();
        let ks = store.keyspace("meta").unwrap();
        block_on(store.put(&ks, "its", "own")).unwrap();
        block_on(store.close()).unwrap();
        let (code, out, _) = check(&[dir.path().to_str().unwrap()]);
        assert_eq!(code, 0, "{out}");
    }
}

#[test]
fn what_cannot_be_checked_is_2() {
    let (code, _, err) = check(&[]);
    assert_eq!(code, 2, "{err}");
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    let unchecked = |args: &[&str], needle: &str| {
        let (code, out, err) = check(args);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.starts_with("pontoon: ") && err.contains(needle), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    };
    unchecked(&[absent.to_str().unwrap()], "absent is not there");
    assert!(!absent.exists());
    unchecked(&[dir.path().to_str().unwrap()], "is not a Pontoon directory");
    for engine in persistent_engines() {
        let place = dir.path().join(engine);
        let place = place.to_str().unwrap();
        let server = serve(engine, place);
        unchecked(&[place], "is already open");
        assert!(server.stop(Signal::TERM).success());
        let other = persistent_engines().find(|other| *other != engine);
        if let Some(other) = other {
            unchecked(&["--engine", other, place], &format!("holds {engine} data"));
        }
    }
}

#[test]
fn its_help_says_what_the_exit_codes_mean() {
    let (code, out, _) = check(&["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("Exit codes: 0 if no damage was found"), "{out}");
}
