//! What flushes and removals leave is swept in bounded steps, and a crash between two steps loses
//! nothing: all that is to do is in the store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeSet;

use futures::executor::block_on;
use harness::{Shell, with_each_persistent_engine};
use pontoon::data::string::CHUNK_BYTES;
use pontoon::data::{self, Databases};
use pontoon_storage::{Error, Options, Reader, Store};

fn left(shell: &Shell) -> usize {
    let databases = &shell.databases;
    [databases.meta(), databases.elements(), databases.expiry()]
        .map(|keyspace| shell.dump(keyspace).len())
        .iter()
        .sum()
}

#[test]
fn steps_are_bounded_and_come_to_an_end() {
    let mut shell = Shell::new();
    for n in 0..50 {
        shell.run(&format!("SET key:{n} 1 EX 100"));
    }
    shell.run_args(&[b"SET", b"long", &vec![b'x'; 20 * CHUNK_BYTES]]);
    assert_eq!(left(&shell), 51 + 50 + 20);
    assert!(!shell.sweep_step(10), "nothing to sweep yet");

    shell.check("FLUSHALL", "OK");
    shell.check("SET new 1", "OK");
    let mut before = left(&shell);
    let mut steps = 0;
    while shell.sweep_step(10) {
        let now = left(&shell);
        assert!(before - now <= 10, "a step removed {}", before - now);
        before = now;
        steps += 1;
    }
    assert!(steps >= 12);
    assert_eq!(left(&shell), 1);
    shell.check("GET new", "\"1\"");
    assert!(!shell.sweep_step(10));
}

#[test]
fn the_chunks_of_what_is_gone_are_swept_and_others_stay() {
    let mut shell = Shell::new();
    let long = vec![b'x'; 5 * CHUNK_BYTES];
    for key in ["deleted", "overwritten", "replaced", "expired", "kept", "moved"] {
        shell.run_args(&[b"SET", key.as_bytes(), &long]);
    }
    shell.script(
        "
        DEL deleted -> 1
        SET overwritten short -> OK
        RENAME moved replaced -> OK
        PEXPIRE expired 10 -> 1
        ",
    );
    shell.now_ms += 11;
    assert_eq!(shell.expire_step(10).removed, 1);
    let elements = shell.databases.elements().clone();
    assert_eq!(shell.dump(&elements).len(), 30);
    shell.sweep(2);
    assert_eq!(shell.dump(&elements).len(), 10);
    assert_eq!(shell.get(b"kept").unwrap(), long);
    assert_eq!(shell.get(b"replaced").unwrap(), long);
}

#[test]
fn a_sweep_goes_on_after_a_restart() {
    let long = vec![b'x'; 3 * CHUNK_BYTES];
    with_each_persistent_engine(|open| {
        let mut shell = open();
        for n in 0..30 {
            shell.run(&format!("SET key:{n} 1"));
        }
        shell.run("FLUSHDB");
        shell.run_args(&[b"SET", b"long", &long]);
        shell.run("DEL long");
        shell.run_args(&[b"SET", b"stays", &long]);
        assert!(shell.sweep_step(10));
        shell.close();

        let mut shell = open();
        assert_eq!(left(&shell), 20 + 3 + 1 + 3);
        let databases = shell.databases.clone();
        let garbage = shell.store.view(move |view| data::has_garbage(view, &databases));
        assert!(block_on(garbage).unwrap());
        shell.sweep(10);
        assert_eq!(left(&shell), 1 + 3);
        assert_eq!(shell.get(b"stays").unwrap(), long);
        shell.check("DBSIZE", "1");
        shell.close();
    });
}

#[test]
fn versions_and_namespaces_are_never_given_twice() {
    let long = vec![b'x'; CHUNK_BYTES];
    with_each_persistent_engine(|open| {
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let mut shell = open();
            for _ in 0..2 {
                shell.run_args(&[b"SET", b"k", &long]);
                let elements = shell.databases.elements().clone();
                let keys = shell.dump(&elements);
                let latest = keys.last().unwrap().0.slice(..16);
                assert!(seen.insert(latest), "namespace and version were used before");
                shell.run("DEL k");
                shell.run("SET other 1");
                shell.run("FLUSHDB");
                shell.sweep(10);
            }
            shell.close();
        }
    });
}

#[test]
fn data_of_an_unknown_format_is_refused() {
    let store = block_on(Store::open(Options::in_memory())).unwrap();
    block_on(Databases::open(&store)).unwrap();
    let system = store.keyspace("system").unwrap();
    block_on(store.put(&system, "format", [0u8, 0, 0, 9])).unwrap();
    match block_on(Databases::open(&store)) {
        Err(Error::Unsupported(text)) => {
            assert!(text.contains("format 9") && text.contains("format 3"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let kept = store.view(move |view| view.get(&system, b"format"));
    assert_eq!(block_on(kept).unwrap().unwrap(), [0u8, 0, 0, 9][..]);
}
