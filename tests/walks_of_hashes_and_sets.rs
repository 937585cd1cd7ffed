//! Commands that read many members do not where others wait for them: reads are given back, to be run
//! elsewhere, and those that write do their reading over a snapshot.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::sync::Arc;

use bytes::Bytes;
use futures::executor::block_on;
use harness::Shell;
use pontoon::command::{
    Environment, Request, Watch, admit, execute_prepared, execute_read, execute_write, prepare,
};
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

/// What a command answers that reads over a snapshot and, `later_ms` later, writes.
fn run_in_two_parts(shell: &mut Shell, line: &str, later_ms: u64) -> String {
    let request = request(shell, line);
    let (environment, asked) = (with_environment(shell), request.clone());
    let prepared = block_on(
        shell
            .store
            .view(move |view| Ok::<_, Error>(environment(&mut |env| prepare(view, env, &asked)))),
    );
    let mut out = Encoder::default();
    let prepared = prepared.unwrap().map_err(|fail| fail.encode(&mut out)).ok();
    shell.now_ms += later_ms;
    let environment = with_environment(shell);
    let out = block_on(shell.store.update(move |tx| {
        let mut prepared = prepared;
        environment(&mut |env| match prepared.take() {
            Some(prepared) => {
                execute_prepared(tx, env, &request, &Watch::default(), prepared, &mut out)
            }
            None => Ok(()),
        })?;
        Ok::<_, Error>(out)
    }));
    String::from_utf8(out.unwrap().into_bytes().to_vec()).unwrap()
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
    assert_eq!(run_in_two_parts(&mut shell, "SUNIONSTORE to s", 0), ":2000\r\n");
    shell.check("SCARD to", "2000");
    shell.check("SADD few m1 x", "2");
    assert_eq!(run_in_two_parts(&mut shell, "SINTERSTORE to s few", 0), ":1\r\n");
    shell.check("SMEMBERS to", "[\"m1\"]");
    assert_eq!(run_in_two_parts(&mut shell, "SDIFFSTORE to few s", 0), ":1\r\n");
    shell.check("SMEMBERS to", "[\"x\"]");
    assert_eq!(run_in_two_parts(&mut shell, "SDIFFSTORE to s s", 0), ":0\r\n");
    shell.check("EXISTS to", "0");

    for (count, left) in [(1500, 500), (490, 10), (10, 0)] {
        let reply = run_in_two_parts(&mut shell, &format!("SPOP s {count}"), 0);
        assert!(reply.starts_with(&format!("*{count}\r\n")), "{reply}");
        assert_eq!(reply.lines().count(), 1 + 2 * count);
        shell.check("SCARD s", &left.to_string());
        let reply = shell.run("SMEMBERS s");
        assert_eq!(reply.split(' ').filter(|part| *part != "[]").count(), left);
    }
    assert_eq!(run_in_two_parts(&mut shell, "SPOP s 5", 0), "*0\r\n");
    let failed = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    assert_eq!(run_in_two_parts(&mut shell, "SPOP h 5", 0), failed);
}

/// Time passes between the two parts, which no watch tells of.
#[test]
fn a_set_that_expires_between_the_parts_stays_gone() {
    let mut shell = Shell::new();
    for count in [3, 1990] {
        fill(&mut shell, 2000);
        shell.run("PEXPIRE s 5");
        shell.now_ms += 5;
        assert_eq!(run_in_two_parts(&mut shell, &format!("SPOP s {count}"), 1), "*0\r\n");
        shell.check("EXISTS s", "0");
        shell.run("DEL h");
    }
}
