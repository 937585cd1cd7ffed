//! What commands on hashes and sets tell those who listen for keyspace events and those who watch keys:
//! what Redis does, in its order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use harness::Shell;
use pontoon::command::{Run, WriteContext, find};
use pontoon::data::{DbWriter, Interest, RunState};
use pontoon::resp::{Args, Encoder};

/// Runs a command that writes and returns its events and, behind a `|`, the keys it touched.
fn events(shell: &mut Shell, line: &str) -> String {
    let args: Args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    let (server, client) = (Arc::clone(&shell.server), Arc::clone(&shell.session.client));
    let now_ms = shell.now_ms;
    shell.update(move |tx, databases| {
        let interest = Interest { watching: true, waiting: false, event_classes: u32::MAX };
        let mut state = RunState::with_interest(databases, now_ms, interest);
        let Run::Write(run) = find(&args).unwrap().run else { panic!("it does not write") };
        let mut context = WriteContext {
            db: DbWriter::new(tx, &mut state, 0),
            server: &server,
            client: &client,
            may_walk: true,
            is_woken: false,
            woken_by: None,
        };
        run(&mut context, &args, &mut Encoder::default()).unwrap();
        let name = |key: &Bytes| String::from_utf8(key.to_vec()).unwrap();
        let mut said: Vec<String> = state
            .effects
            .events
            .iter()
            .map(|event| format!("{} {}", event.name, name(&event.key)))
            .collect();
        let mut touched: Vec<_> =
            state.effects.touched.iter().filter_map(|touch| touch.key.as_ref()).map(name).collect();
        touched.dedup();
        said.push(format!("| {}", touched.join(" ")));
        state.write_books(tx)?;
        Ok(said.join(", "))
    })
}

#[track_caller]
fn check(shell: &mut Shell, script: &str) {
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (command, expected) = line.split_once(" -> ").unwrap();
        assert_eq!(events(shell, command).trim_end(), expected, "{command}");
    }
}

#[test]
fn hashes() {
    check(
        &mut Shell::new(),
        "
        HSET h a 1 b 2 -> new h, hset h, | h
        HSET h a 1 -> hset h, | h
        HMSET h a 1 -> hset h, | h
        HSETNX h a 1 -> |
        HSETNX h c 1 -> hset h, | h
        HINCRBY h a 1 -> hincrby h, | h
        HINCRBYFLOAT h a 1 -> hincrbyfloat h, | h
        HINCRBY i a 1 -> new i, hincrby i, | i
        HDEL h x -> |
        HDEL none x -> |
        HDEL h a b -> hdel h, | h
        HDEL h c x -> hdel h, del h, | h
        ",
    );
}

#[test]
fn sets() {
    check(
        &mut Shell::new(),
        "
        SADD s a b c -> new s, sadd s, | s
        SADD s a -> |
        SREM s x -> |
        SREM s a -> srem s, | s
        SREM none a -> |
        SMOVE s t b -> srem s, new t, sadd t, | s t
        SMOVE s t x -> |
        SMOVE s s c -> |
        SADD t c -> sadd t, | t
        SMOVE s t c -> srem s, del s, | s
        SPOP none -> |
        SPOP none 2 -> |
        SPOP t 0 -> |
        SPOP t 1 -> spop t, | t
        SPOP t -> spop t, del t, | t
        SADD t a b -> new t, sadd t, | t
        SPOP t 9 -> spop t, del t, | t
        ",
    );
}

#[test]
fn stored_results() {
    check(
        &mut Shell::new(),
        "
        SADD a 1 2 3 -> new a, sadd a, | a
        SADD b 3 4 -> new b, sadd b, | b
        SUNIONSTORE d a b -> new d, sunionstore d, | d
        SINTERSTORE d a b -> sinterstore d, | d
        SDIFFSTORE d a b -> sdiffstore d, | d
        SDIFFSTORE d a a -> del d, | d
        SDIFFSTORE d a a -> |
        SINTERSTORE d a none -> keymiss none, |
        SUNIONSTORE d none -> keymiss none, |
        SUNIONSTORE a none -> keymiss none, del a, | a
        ",
    );
}

#[test]
fn what_has_expired_is_said_to_have() {
    let mut shell = Shell::new();
    events(&mut shell, "SADD s a b");
    events(&mut shell, "HSET h a b");
    shell.run("PEXPIRE s 5");
    shell.run("PEXPIRE h 5");
    shell.now_ms += 6;
    check(
        &mut shell,
        "
        SPOP s 2 -> expired s, | s
        HSET h a b -> expired h, new h, hset h, | h
        ",
    );
}
