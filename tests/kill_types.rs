//! The server is killed while clients fill every type; after the restart each client's keys are what its
//! acknowledged commands made of them.
//!
//! Every client has keys of its own and pipelines seeded commands. What it had been answered when the server
//! was killed must be there; of what was still on its way, the first so many commands, and of each all or
//! nothing. A server that keeps its data in memory, and is sent the same commands, says what that is.
//!
//! `PONTOON_KILL_ROUNDS` sets how often each engine is killed, `PONTOON_KILL_SEED` where it starts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "kill/commands.rs"]
mod commands;
mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use commands::{Generator, Request};
use common::{Client, Reply, Server, encode, persistent_engines};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

const CLIENTS: usize = 4;
const ROUNDS_DEFAULT: u64 = 2;

/// Commands answered, of all clients, before the server is killed: up to so many.
const ANSWERED_MAX: usize = 3_000;

/// Commands that a client sends before it reads.
const PIPELINE_MAX: usize = 24;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// What one client did until the server was gone.
struct History {
    sent: Vec<Request>,
    answered: usize,
}

#[test]
fn what_was_acknowledged_of_every_type_survives_a_kill() {
    for engine in persistent_engines() {
        for round in 0..setting("PONTOON_KILL_ROUNDS", ROUNDS_DEFAULT) {
            let seed = setting("PONTOON_KILL_SEED", 1) + round;
            let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
            let dir = tempfile::tempdir().unwrap();
            let data = dir.path().join("data");
            let bridge = if rng.random_bool(0.5) { "pool" } else { "blocking" };
            let args = ["--engine", engine, "--dir", data.to_str().unwrap(), "--bridge", bridge];
            let mut histories: Vec<History> = Vec::new();
            // Killed twice, so that what a recovery left is recovered once more.
            for life in 0..2 {
                let server = Server::start(&args);
                check_all(&server, &mut histories, &format!("{engine} seed {seed} life {life}"));
                let answered_max = rng.random_range(1..ANSWERED_MAX);
                histories = fill_and_kill(server, seed * 2 + life, answered_max, histories);
            }
            let server = Server::start(&args);
            check_all(&server, &mut histories, &format!("{engine} seed {seed} at the end"));
            assert!(server.stop(Signal::TERM).success());
            let check = common::run(&["check", data.to_str().unwrap()]);
            assert!(check.status.success(), "{engine} seed {seed}: {check:?}");
        }
    }
}

/// Lets every client go on with its commands, and kills the server once they have had so many answers.
fn fill_and_kill(
    server: Server,
    seed: u64,
    answered_max: usize,
    histories: Vec<History>,
) -> Vec<History> {
    let answered = AtomicUsize::new(0);
    let mut histories = histories.into_iter();
    let mut server = Some(server);
    thread::scope(|scope| {
        let port = server.as_ref().unwrap().port;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let history = histories.next().unwrap_or(History { sent: vec![], answered: 0 });
                let answered = &answered;
                let generator = Generator::new(seed * 100 + number as u64, number);
                scope.spawn(move || run_client(port, generator, history, answered))
            })
            .collect();
        while answered.load(Relaxed) < answered_max {
            thread::yield_now();
        }
        drop(server.take());
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// Sends commands until the server is gone.
fn run_client(
    port: u16,
    mut generator: Generator,
    history: History,
    answered: &AtomicUsize,
) -> History {
    let History { mut sent, answered: mut done } = history;
    // What was on its way when the server was killed before has been settled by the check.
    assert_eq!(sent.len(), done);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut replies = Replies::default();
    loop {
        let batch: Vec<Request> = (0..generator.below(PIPELINE_MAX) + 1)
            .flat_map(|_| generator.next_requests())
            .collect();
        let mut bytes = Vec::new();
        for request in &batch {
            let args: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
            bytes.extend(encode(&args));
        }
        let expected = batch.len();
        sent.extend(batch);
        if stream.write_all(&bytes).is_err() {
            break;
        }
        let mut got = 0;
        while got < expected {
            match replies.read(&mut stream) {
                Some(count) => {
                    got += count;
                    done += count;
                    answered.fetch_add(count, Relaxed);
                }
                None => return History { sent, answered: done },
            }
        }
    }
    History { sent, answered: done }
}

/// Counts replies as they come in; what they say is of no interest here.
#[derive(Default)]
struct Replies {
    buffer: Vec<u8>,
}

impl Replies {
    /// How many have come whole; `None`: no more will.
    fn read(&mut self, stream: &mut TcpStream) -> Option<usize> {
        let mut chunk = [0; 16 << 10];
        match stream.read(&mut chunk) {
            Ok(0) => return None,
            Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Some(0),
            Err(_) => return None,
        }
        let (mut count, mut at) = (0, 0);
        while let Some(end) = reply_end(&self.buffer, at) {
            (count, at) = (count + 1, end);
        }
        self.buffer.drain(..at);
        Some(count)
    }
}

/// Where the reply at `at` ends, if it is whole.
fn reply_end(bytes: &[u8], at: usize) -> Option<usize> {
    let line_end = bytes[at..].windows(2).position(|window| window == b"\r\n")? + at;
    let number = || std::str::from_utf8(&bytes[at + 1..line_end]).unwrap().parse::<i64>().unwrap();
    let mut end = line_end + 2;
    match bytes[at] {
        b'$' if number() >= 0 => {
            end += number() as usize + 2;
            (end <= bytes.len()).then_some(end)
        }
        b'*' => {
            for _ in 0..number().max(0) {
                end = reply_end(bytes, end)?;
            }
            Some(end)
        }
        _ => Some(end),
    }
}

/// Checks each client's keys against what a server in memory makes of its commands, and takes out of the
/// histories what has had no effect.
fn check_all(server: &Server, histories: &mut [History], what: &str) {
    for (number, history) in histories.iter_mut().enumerate() {
        let reference = Server::in_memory(&[]);
        // What it sends may end inside of a transaction, so another client looks at what came of it.
        let (mut model, mut looking) = (reference.connect(), reference.connect());
        let found = dump(&mut server.connect(), number);
        for request in &history.sent[..history.answered] {
            call(&mut model, request);
        }
        let mut applied = history.answered;
        let mut expected = dump(&mut looking, number);
        while expected != found {
            let Some(request) = history.sent.get(applied) else {
                let at = found.iter().zip(&expected).position(|(f, e)| f != e);
                panic!(
                    "{what}: client {number}, {} answered of {} sent: found {:?}, expected {:?}",
                    history.answered,
                    history.sent.len(),
                    at.map(|at| &found[at]),
                    at.map(|at| &expected[at]),
                );
            };
            call(&mut model, request);
            applied += 1;
            expected = dump(&mut looking, number);
        }
        history.sent.truncate(applied);
        let is = |request: &Request, name: &str| request[0] == name.as_bytes();
        if let Some(begun) = history.sent.iter().rposition(|request| is(request, "MULTI"))
            && !history.sent[begun..].iter().any(|request| is(request, "EXEC"))
        {
            history.sent.truncate(begun);
        }
        history.answered = history.sent.len();
    }
}

fn call(client: &mut Client, request: &Request) -> Reply {
    let args: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
    client.send(&encode(&args));
    client.read()
}

/// All that can be read of a client's keys, in a form that does not depend on order where Redis has none.
fn dump(client: &mut Client, number: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for key in commands::keys(number) {
        let kind = client.call(&["TYPE", &key]).text().to_owned();
        let value = match kind.as_str() {
            "none" => continue,
            "string" => client.call(&["GET", &key]),
            "hash" => sorted_pairs(client.call(&["HGETALL", &key])),
            "list" => client.call(&["LRANGE", &key, "0", "-1"]),
            "set" => sorted(client.call(&["SMEMBERS", &key])),
            "zset" => client.call(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]),
            other => panic!("{other}"),
        };
        let expiry = client.call(&["PEXPIRETIME", &key]);
        lines.push(format!("{key} {kind} {expiry:?} {value:?}"));
    }
    lines
}

fn sorted(reply: Reply) -> Reply {
    let Reply::Array(mut elements) = reply else { panic!("{reply:?}") };
    elements.sort_by_key(|element| format!("{element:?}"));
    Reply::Array(elements)
}

fn sorted_pairs(reply: Reply) -> Reply {
    let Reply::Array(elements) = reply else { panic!("{reply:?}") };
    let pairs = elements.chunks(2).map(|pair| Reply::Array(pair.to_vec())).collect();
    sorted(Reply::Array(pairs))
}
