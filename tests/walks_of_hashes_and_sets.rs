//! Commands that read many members do not where others wait for them: reads are given back, to be run
//! elsewhere, and those that write do their reading over a snapshot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use harness::Shell;
use pontoon::command::{Environment, Request, admit, execute_read, execute_write};
use pontoon::resp::{Args, Encoder};
use pontoon_storage::Error;

fn request(shell: &Shell, line: &str) -> Request {
    let args: Args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    (admit(&shell.session, &shell.server, &args).unwrap(), args)
}

/// Calls `run` with what a run has that may not walk.
fn with_environment<T>(
    shell: &Shell,
) -> impl FnOnce(&mut dyn FnMut(&Environment<'_>) -> T) -> T + Send + 'static {
    let (databases, server) = (shell.databases.clone(), Arc::clone(&shell.server));
    let (client, now_ms) = (Arc::clone(&shell.session.client), shell.now_ms);
    move |run| {
        let (databases, server, client) = (&databases, &server, &client);
        run(&Environment { databases, server, client, db: 0, may_walk: false, now_ms })
    }
}

/// Whether the command is given back because it walks too far.
fn walks(shell: &Shell, line: &str) -> bool {
    let requests = vec![request(shell, line)];
    let environment = with_environment(shell);
    let mut out = Encoder::default();
    let ran = if requests[0].0.is_write() {
        block_on(shell.store.update(move |tx| {
            environment(&mut |env| Ok::<_, Error>(execute_write(tx, env, &requests, &mut out)?.ran))
        }))
    } else {
        block_on(shell.store.view(move |view| {
            environment(&mut |env| Ok::<_, Error>(execute_read(view, env, &requests, &mut out)))
        }))
    };
    let ran = ran.unwrap();
    assert_eq!(ran.done, usize::from(!ran.walks), "{line}");
    ran.walks
}

fn fill(shell: &mut Shell, size: u32) {
    let members = (0..size).fold(String::new(), |line, n| line + &format!(" m{n}"));
    let fields = (0..size).fold(String::new(), |line, n| line + &format!(" f{n} v"));
    shell.check(&format!("SADD s{members}"), &size.to_string());
    shell.check(&format!("HSET h{fields}"), &size.to_string());
}

#[test]
fn what_walks_far_is_given_back() {
    let mut shell = Shell::new();
    fill(&mut shell, 2000);
    shell.run("SADD few m1 m2 m3");
    for line in [
        "HGETALL h",
        "HKEYS h",
        "HVALS h",
        "HRANDFIELD h 1500",
        "HRANDFIELD h -1500",
        "HSCAN h 0 COUNT 1500",
        "SMEMBERS s",
        "SUNION few s",
        "SDIFF s few",
        "SINTER s s",
        "SINTERCARD 2 s s",
        "SRANDMEMBER s 1500",
        "SRANDMEMBER few -1500",
        "SSCAN s 0 COUNT 1500",
        "SUNIONSTORE to s",
        "SDIFFSTORE to s few",
        "SINTERSTORE to s s",
        "SPOP s 1500",
    ] {
        assert!(walks(&shell, line), "{line}");
    }
    for line in [
        "HGET h f1",
        "HLEN h",
        "HRANDFIELD h",
        "HRANDFIELD h -10",
        "HSCAN h 0 COUNT 1000",
        "SCARD s",
        "SINTER few s",
        "SDIFF few s",
        "SINTERSTORE to few s",
        "SRANDMEMBER s 10",
        "SSCAN few 0 COUNT 5000",
        "SPOP s",
        "SPOP s 10",
    ] {
        assert!(!walks(&shell, line), "{line}");
    }
    shell.check("SCARD s", "1989");
}

#[test]
fn what_is_read_first_is_written_then() {
    let mut shell = Shell::new();
    fill(&mut shell, 2000);
    shell.check("SADD few m1 x", "2");
    let mut check = |line: &str, reply: &str, key: &str, members: &str| {
        assert_eq!(shell.run_prepared(line, |_| {}), reply, "{line}");
        shell.check(&format!("SMEMBERS {key}"), members);
    };
    check("SINTERSTORE to s few", "1", "to", "[\"m1\"]");
    check("SDIFFSTORE to few s", "1", "to", "[\"x\"]");
    check("SDIFFSTORE to s s", "0", "to", "[]");
    assert_eq!(shell.run_prepared("SUNIONSTORE to s", |_| {}), "2000");
    shell.check("SCARD to", "2000");
    for (count, left) in [(1500, 500), (490, 10), (10, 0)] {
        let reply = shell.run_prepared(&format!("SPOP s {count}"), |_| {});
        assert_eq!(reply.split(' ').count(), count);
        shell.check("SCARD s", &left.to_string());
        let reply = shell.run("SMEMBERS s");
        assert_eq!(reply.split(' ').filter(|part| *part != "[]").count(), left);
    }
    assert_eq!(shell.run_prepared("SPOP s 5", |_| {}), "[]");
}

#[test]
fn what_changes_between_the_parts_counts() {
    let mut shell = Shell::new();
    fill(&mut shell, 2000);
    let reply = shell.run_prepared("SUNIONSTORE to s", |shell| {
        shell.run("SADD s new");
    });
    assert_eq!(reply, "2001");
    let reply = shell.run_prepared("SPOP s 2001", |shell| {
        shell.run("SREM s new");
    });
    assert_eq!(reply.split(' ').count(), 2000);
    shell.check("EXISTS s", "0");
}

/// Time passes between the parts.
#[test]
fn a_set_that_expires_between_the_parts_is_gone() {
    let mut shell = Shell::new();
    for count in [3, 1990] {
        fill(&mut shell, 2000);
        shell.run("PEXPIRE s 5");
        shell.now_ms += 5;
        let reply = shell.run_prepared(&format!("SPOP s {count}"), |shell| shell.now_ms += 1);
        assert_eq!(reply, "[]");
        shell.check("EXISTS s", "0");
        shell.run("DEL h");
    }
}
