//! `SAVE`, `BGSAVE`, `LASTSAVE`, and `pontoon restore`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use common::{Client, Reply, Server, bulk, error, ok, persistent_engines, run};

/// A place for a server's data, with its checkpoints beside it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn start(&self, name: &str, engine: &str) -> Server {
        start(&self.path(name), engine)
    }

    /// The checkpoints, the oldest first.
    fn checkpoints(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(self.path("data-checkpoints"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        found.sort();
        found
    }
}

fn start(dir: &Path, engine: &str) -> Server {
    Server::start(&["--dir", dir.to_str().unwrap(), "--engine", engine])
}

/// Restores, which is expected to work.
fn restore(from: &Path, to: &Path) {
    let output = run(&["restore", from.to_str().unwrap(), "--dir", to.to_str().unwrap()]);
    let (said, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert!(output.status.success(), "{errors}");
    let expected = format!("{}: ", to.display());
    assert!(said.starts_with(&expected) && said.contains(" restored from "), "{said}");
}

/// Waits until the save that was begun has ended.
fn finish_save(client: &mut Client, saves: u64) {
    while client.info("rdb_bgsave_in_progress") != "0" {}
    assert_eq!(client.info("rdb_saves"), saves.to_string());
    assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
}

#[test]
fn a_checkpoint_is_the_data_of_its_moment() {
    for engine in persistent_engines() {
        let place = Place::new();
        let server = place.start("data", engine);
        let mut client = server.connect();
        client.call(&["SET", "kept", "before"]);
        client.call(&["SET", "gone", "before"]);
        client.call(&["SET", "long", &"x".repeat(100_000)]);
        client.call(&["SET", "expiring", "1", "EX", "5000"]);
        client.call(&["RPUSH", "list", "a", "b", "c"]);
        let members: Vec<String> = (0..3000).map(|n| format!("member:{n}")).collect();
        for member in &members {
            client.send(&common::encode(&[b"ZADD", b"zset", b"1", member.as_bytes()]));
        }
        for _ in &members {
            assert_eq!(client.read(), Reply::Integer(1));
        }
        client.call(&["SELECT", "3"]);
        client.call(&["SET", "other", "3"]);
        client.call(&["SELECT", "0"]);
        let before = client.call(&["LASTSAVE"]);
        assert_eq!(client.call(&["BGSAVE"]).text(), "Background saving started");
        finish_save(&mut client, 1);
        let (Reply::Integer(before), Reply::Integer(after)) = (before, client.call(&["LASTSAVE"]))
        else {
            panic!("no times");
        };
        assert!(after >= before);
        client.call(&["SET", "kept", "after"]);
        client.call(&["SET", "new", "after"]);
        client.call(&["DEL", "gone", "list"]);
        client.call(&["ZADD", "zset", "2", "new"]);

        let [checkpoint] = &place.checkpoints()[..] else { panic!("{:?}", place.checkpoints()) };
        restore(checkpoint, &place.path("restored"));
        let restored = place.start("restored", engine);
        let mut client = restored.connect();
        assert_eq!(client.call(&["DBSIZE"]), Reply::Integer(6));
        for (key, value) in [("kept", "before"), ("gone", "before"), ("expiring", "1")] {
            assert_eq!(client.call(&["GET", key]), bulk(value), "{key}");
        }
        assert_eq!(client.call(&["STRLEN", "long"]), Reply::Integer(100_000));
        let list = ["a", "b", "c"].map(bulk).to_vec();
        assert_eq!(client.call(&["LRANGE", "list", "0", "-1"]), Reply::Array(list));
        assert_eq!(client.call(&["ZCARD", "zset"]), Reply::Integer(3000));
        assert_eq!(client.call(&["ZSCORE", "zset", "new"]), Reply::Null);
        assert!(matches!(client.call(&["TTL", "expiring"]), Reply::Integer(4000..=5000)));
        client.call(&["SELECT", "3"]);
        assert_eq!(client.call(&["GET", "other"]), bulk("3"));
        // It is data of its own.
        client.call(&["FLUSHALL"]);
        let mut client = server.connect();
        assert_eq!(client.call(&["GET", "kept"]), bulk("after"));
        drop(restored);
        restore(checkpoint, &place.path("again"));
        let again = place.start("again", engine);
        assert_eq!(again.connect().call(&["GET", "kept"]), bulk("before"));
    }
}

#[test]
fn a_checkpoint_under_load_is_one_state_that_was() {
    for engine in persistent_engines() {
        let place = Place::new();
        let server = place.start("data", engine);
        let (acknowledged, stop) = (AtomicI64::new(0), AtomicI64::new(0));
        let (least, greatest) = thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut client = server.connect();
                while stop.load(Ordering::SeqCst) == 0 {
                    // Two keys that no state has different.
                    for request in [&["MULTI"][..], &["INCR", "a"], &["INCR", "b"]] {
                        client.call(request);
                    }
                    let Reply::Array(counts) = client.call(&["EXEC"]) else { panic!("no counts") };
                    let Reply::Integer(count) = counts[0] else { panic!("no count") };
                    acknowledged.store(count, Ordering::SeqCst);
                }
            });
            let mut client = server.connect();
            while acknowledged.load(Ordering::SeqCst) < 10 {}
            let least = acknowledged.load(Ordering::SeqCst);
            assert_eq!(client.call(&["SAVE"]), ok());
            // One more may have been committed and not been acknowledged yet.
            let greatest = acknowledged.load(Ordering::SeqCst) + 1;
            stop.store(1, Ordering::SeqCst);
            writer.join().unwrap();
            (least, greatest)
        });
        restore(&place.checkpoints()[0], &place.path("restored"));
        let restored = place.start("restored", engine);
        let Reply::Array(counts) = restored.connect().call(&["MGET", "a", "b"]) else {
            panic!("no counts")
        };
        assert_eq!(counts[0], counts[1]);
        let count: i64 = counts[0].text().parse().unwrap();
        assert!((least..=greatest).contains(&count), "{least} {count} {greatest}");
    }
}

#[test]
fn the_newest_two_are_kept() {
    let Some(engine) = persistent_engines().next() else { return };
    let place = Place::new();
    let server = place.start("data", engine);
    let mut client = server.connect();
    fs::create_dir_all(place.path("data-checkpoints").join("notes")).unwrap();
    for n in 0..4 {
        client.call(&["SET", "n", &n.to_string()]);
        assert_eq!(client.call(&["SAVE"]), ok());
    }
    finish_save(&mut client, 4);
    let found = place.checkpoints();
    let [older, newer, notes] = &found[..] else { panic!("{found:?}") };
    assert!(notes.ends_with("notes"));
    for (checkpoint, n) in [(older, "2"), (newer, "3")] {
        let to = place.path(n);
        restore(checkpoint, &to);
        assert_eq!(start(&to, engine).connect().call(&["GET", "n"]), bulk(n));
    }
}

#[test]
fn saves_in_transactions() {
    let Some(engine) = persistent_engines().next() else { return };
    let place = Place::new();
    let server = place.start("data", engine);
    let mut client = server.connect();
    client.call(&["MULTI"]);
    client.call(&["BGSAVE", "SCHEDULE"]);
    client.call(&["LASTSAVE"]);
    let Reply::Array(replies) = client.call(&["EXEC"]) else { panic!("no replies") };
    assert_eq!(replies[0].text(), "Background saving scheduled");
    assert!(matches!(replies[1], Reply::Integer(1..)));
    finish_save(&mut client, 1);
    assert_eq!(client.call(&["BGSAVE", "NOW"]), error("ERR syntax error"));
    client.call(&["MULTI"]);
    assert_eq!(client.call(&["SAVE"]), error("ERR Command not allowed inside a transaction"));
    assert!(client.call(&["EXEC"]).text().starts_with("EXECABORT"));
}

#[test]
fn a_save_that_fails_says_so_and_the_server_goes_on() {
    let Some(engine) = persistent_engines().next() else { return };
    let place = Place::new();
    let file = place.path("file");
    fs::write(&file, "in the way").unwrap();
    let (data, file) = (place.path("data"), file.to_str().unwrap().to_owned());
    let data = data.to_str().unwrap();
    let server = Server::start(&["--dir", data, "--engine", engine, "--checkpoint-dir", &file]);
    let mut client = server.connect();
    client.call(&["SET", "a", "1"]);
    let refused = client.call(&["SAVE"]);
    assert!(refused.text().starts_with("ERR the checkpoint failed: "), "{refused:?}");
    assert!(refused.text().contains(&file), "{refused:?}");
    assert_eq!(client.info("rdb_last_bgsave_status"), "err");
    assert_eq!(client.info("rdb_saves"), "0");
    fs::remove_file(&file).unwrap();
    assert_eq!(client.call(&["SAVE"]), ok());
    assert_eq!(client.info("rdb_last_bgsave_status"), "ok");
    assert_eq!(fs::read_dir(&file).unwrap().count(), 1);
}

#[test]
fn the_memory_engine_has_nothing_to_save() {
    let server = Server::in_memory(&[]);
    let mut client = server.connect();
    for command in ["SAVE", "BGSAVE"] {
        let refused = client.call(&[command]);
        assert!(refused.text().starts_with("ERR the memory engine keeps nothing"), "{refused:?}");
    }
    assert!(matches!(client.call(&["LASTSAVE"]), Reply::Integer(1..)));
    let refused = run(&["--engine", "memory", "--checkpoint-dir", "somewhere"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn restoring_overwrites_nothing() {
    let Some(engine) = persistent_engines().next() else { return };
    let place = Place::new();
    let server = place.start("data", engine);
    let mut client = server.connect();
    client.call(&["SET", "a", "1"]);
    assert_eq!(client.call(&["SAVE"]), ok());
    let checkpoint = place.checkpoints().remove(0);
    for (from, to, why) in [
        (checkpoint.as_path(), "data", "is not empty, and nothing is overwritten"),
        (&place.path("nowhere"), "restored", "is not there"),
        (place.0.path(), "restored", "is not a Pontoon directory"),
        (&place.path("data"), "restored", "is already open"),
    ] {
        let to = place.path(to);
        let output = run(&["restore", from.to_str().unwrap(), "--dir", to.to_str().unwrap()]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.starts_with("pontoon: ") && errors.contains(why), "{why}: {errors}");
    }
    assert!(!place.path("restored").exists());
    assert_eq!(client.call(&["GET", "a"]), bulk("1"));
}
