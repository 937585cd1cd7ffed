//! Real system calls that fail under an engine: a child process works on a store while strace makes the n-th
//! `fdatasync`, `write`, `openat` … of each of its threads return an error. It must end in order, believe no
//! fsync that failed, and leave a directory that opens again with all that was acknowledged.
//!
//! `PONTOON_IO_ROUNDS=300` tries so many points for each engine and durability; `PONTOON_IO_SEED` repeats
//! the operations and points of a run. Without strace it says so and passes, unless `PONTOON_REQUIRE_STRACE=1`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

#[allow(dead_code)]
#[path = "crash/check.rs"]
mod check;
#[path = "failing_calls/child.rs"]
mod child_process;
mod common;
#[path = "failing_calls/strace.rs"]
mod strace;
#[path = "crash/workload.rs"]
mod workload;

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use check::{Ack, Writers, everything_in, parse_ack};
use child_process::{PROBES, Task};
use common::Setup;
use pontoon_storage::{Durability, EngineKind, Options, Store};
use strace::{Event, Fault, Strace};
use tempfile::TempDir;
use workload::Rng;

const ROUNDS: &str = "PONTOON_IO_ROUNDS";
const SEED: &str = "PONTOON_IO_SEED";
const REQUIRE: &str = "PONTOON_REQUIRE_STRACE";
const CHILD: &str = "PONTOON_IO_CHILD";

/// For each engine and durability.
const ROUNDS_IN_CI: u64 = 7;

/// After so many the directory is made anew, so that creating one fails as well.
const ROUNDS_PER_DIRECTORY: u64 = 5;

/// A few times over while a child works.
const INTERVAL: Duration = Duration::from_millis(15);

const DURABILITIES: [Durability; 3] =
    [Durability::Always, Durability::Every(INTERVAL), Durability::Never];

/// A child that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Calls, errors, and up to which call of a thread is tried.
const FAULTS: &[(&str, &str, u64)] = &[
    ("fdatasync,fsync", "EIO", 40),
    ("fdatasync,fsync", "ENOSPC", 40),
    ("sync_file_range", "EIO", 4),
    ("write,pwrite64,pwritev", "ENOSPC", 60),
    ("write,pwrite64,pwritev", "EIO", 60),
    ("write,pwrite64,pwritev", "EINTR", 60),
    ("fallocate,ftruncate", "ENOSPC", 12),
    ("openat", "EMFILE", 40),
    ("openat", "EIO", 40),
    ("read,pread64,preadv", "EIO", 60),
    ("rename,mkdir,link", "EIO", 6),
    ("unlink,rmdir,unlinkat", "EIO", 6),
    ("fstat,newfstatat,statx", "EIO", 30),
];

#[test]
fn a_failing_call_costs_nothing_that_was_acknowledged_always() {
    for_each_engine(0);
}

#[test]
fn a_failing_call_costs_nothing_that_was_acknowledged_and_synced_every() {
    for_each_engine(1);
}

#[test]
fn a_failing_call_costs_nothing_that_was_acknowledged_and_synced_never() {
    for_each_engine(2);
}

/// Not a test: what the others run as a process of its own, and make fail.
#[test]
fn child() {
    let Some(told) = std::env::var_os(CHILD) else { return };
    let told = told.into_string().unwrap();
    let [setup, durability, seed, starts, above] = told.splitn(5, ' ').collect::<Vec<_>>()[..]
    else {
        panic!("{told}")
    };
    let number = |text: &str| text.parse::<u64>().unwrap();
    let setup = Setup::persistent().swap_remove(number(setup) as usize);
    let options = options(&setup, Path::new(above), number(durability) as usize);
    child_process::run(Task {
        options,
        bridge: setup.bridge,
        runtime: setup.runtime,
        seed: number(seed),
        starts: starts.split(',').map(number).collect(),
        checkpoint: Path::new(above).join("checkpoint"),
    });
}

/// With caches so small that reads reach the disk.
fn options(setup: &Setup, above: &Path, durability: usize) -> Options {
    let options = setup.options(&above.join("store")).durability(DURABILITIES[durability]);
    options.engine_cache_bytes(16 << 10).write_buffer_bytes(64 << 10)
}

fn for_each_engine(durability: usize) {
    if !strace::is_usable() {
        assert!(std::env::var_os(REQUIRE).is_none(), "{REQUIRE} is set, and strace does not work");
        eprintln!("strace does not work here: no system call was made to fail");
        return;
    }
    for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
        let seed = variable(SEED).unwrap_or_else(random_seed);
        let durability_name = DURABILITIES[durability];
        println!("{engine:?} {durability_name:?}, {SEED}={seed}");
        let mut trial = Trial::new(engine, durability, seed);
        let mut tally = BTreeMap::new();
        for round in 0..variable(ROUNDS).unwrap_or(ROUNDS_IN_CI) {
            if round > 0 && round % ROUNDS_PER_DIRECTORY == 0 {
                trial.begin_anew();
            }
            trial.round(round, &mut tally);
        }
        eprintln!("{engine:?} {durability_name:?}: {tally:?}");
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

fn random_seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// How often what was seen.
type Tally = BTreeMap<&'static str, u64>;

struct Trial {
    above: TempDir,
    setups: Vec<usize>,
    durability: usize,
    seed: u64,
    rng: Rng,
    writers: Writers,
}

impl Trial {
    fn new(engine: EngineKind, durability: usize, seed: u64) -> Self {
        let setups = Setup::persistent().into_iter().enumerate();
        let setups = setups.filter(|(_, setup)| setup.engine == engine).map(|(index, _)| index);
        Self {
            above: tempfile::tempdir().unwrap(),
            setups: setups.collect(),
            durability,
            seed,
            rng: Rng(seed),
            writers: Writers::new(seed),
        }
    }

    fn begin_anew(&mut self) {
        self.above = tempfile::tempdir().unwrap();
        self.writers = Writers::new(self.seed);
    }

    fn round(&mut self, round: u64, tally: &mut Tally) {
        let (calls, error, most) = FAULTS[self.rng.below(FAULTS.len() as u64) as usize];
        let fault = Fault {
            calls,
            error,
            nth: 1 + self.rng.below(most),
            // A call that is interrupted for ever is tried again for ever.
            and_all_after: error != "EINTR" && self.rng.below(4) == 0,
        };
        let setup = self.setups[self.rng.below(self.setups.len() as u64) as usize];
        let what = format!("round {round}, setup {setup}, {fault:?}");
        println!("{what}");
        let ran = self.run_child(setup, &fault);
        let count = |tally: &mut Tally, what, n: usize| *tally.entry(what).or_default() += n as u64;
        let outcome = Outcome::of(&ran, &fault);
        assert_no_failed_sync_was_believed(&ran, self.durability == 0, &what);
        count(tally, "points", 1);
        count(tally, "points reached", usize::from(outcome.failures > 0));
        count(tally, "calls failed", outcome.failures);
        count(tally, "opens failed", usize::from(!outcome.opened));
        count(tally, "commits failed", usize::from(outcome.commit_failed));
        count(tally, "closes failed", usize::from(outcome.close_failed));
        count(tally, "checkpoints failed", usize::from(outcome.checkpoint == Some(false)));
        count(tally, "reads failed", outcome.reads_failed);
        count(tally, "acknowledged", outcome.acks.len());

        let checkpoint = self.above.path().join("checkpoint");
        let setup = Setup::persistent().swap_remove(setup);
        setup.block_on(async {
            if outcome.checkpoint == Some(true) {
                let copy = setup.options(&checkpoint);
                let store = Store::open(copy).await.expect("a checkpoint that was acknowledged");
                everything_in(&store).await;
                store.close().await.unwrap();
                std::fs::remove_dir_all(&checkpoint).unwrap();
            } else {
                // Removing what is left may have failed, too.
                let _ = std::fs::remove_dir_all(&checkpoint);
                let _ = std::fs::remove_dir_all(checkpoint.with_extension("partial"));
            }
            let options = options(&setup, self.above.path(), self.durability);
            let store = Store::open(options).await.unwrap_or_else(|error| {
                panic!("{what} left what does not open: {error}\n{}", ran.said.join("\n"))
            });
            let mut found = everything_in(&store).await;
            found.retain(|(keyspace, _), _| keyspace != PROBES);
            let nothing_lost = self.durability == 0
                || setup.engine == EngineKind::Rocksdb
                || outcome.opened && !outcome.close_failed;
            self.writers.compare(&outcome.acks, found, nothing_lost);
            let probes = store.keyspace(PROBES).unwrap();
            store.drop_keyspace(&probes).await.unwrap();
            store.close().await.unwrap();
        });
    }

    fn run_child(&self, setup: usize, fault: &Fault) -> Ran {
        let above = self.above.path();
        let starts = self.writers.starts();
        let told =
            format!("{setup} {} {} {starts} {}", self.durability, self.seed, above.display());
        let complaints = above.join("stderr");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CHILD, told)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&complaints).unwrap())
            .spawn()
            .unwrap();
        let lines = lines_of(&mut child);
        let mut said = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line == "opening" => break,
                Ok(_) => {}
                Err(_) => panic!("it did not start"),
            }
        }
        let strace = Strace::attach(child.id(), fault, &above.join("strace"));
        child.stdin.take().unwrap().write_all(b"!").unwrap();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => said.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    child.kill().unwrap();
                    panic!("it hangs: {fault:?}, {said:?}");
                }
            }
        }
        let status = child.wait().unwrap();
        let events = strace.finish();
        let complaints = std::fs::read_to_string(complaints).unwrap();
        assert!(status.success(), "{fault:?}: {status}, {complaints}, {said:?}");
        assert!(!complaints.contains("panicked"), "{fault:?}: {complaints}, {said:?}");
        assert!(said.iter().any(|line| line == "end"), "{fault:?}: {said:?}");
        Ran { said, events }
    }
}

/// What a child said, by a thread that reads on whatever the test does.
#[allow(clippy::disallowed_methods)]
fn lines_of(child: &mut Child) -> mpsc::Receiver<String> {
    let out = BufReader::new(child.stdout.take().unwrap());
    let (send, lines) = mpsc::sync_channel(1 << 16);
    std::thread::spawn(move || {
        for line in out.lines() {
            if send.send(line.unwrap()).is_err() {
                break;
            }
        }
    });
    lines
}

/// Once the fsync of what holds acknowledged data has failed, nothing that is asked for later may be called
/// durable: a second fsync reports success though the data of the first one is gone.
fn assert_no_failed_sync_was_believed(ran: &Ran, always: bool, what: &str) {
    let is_sync_of_data = |event: &Event| match event {
        Event::Failed { call, path } => {
            let is_data = path.ends_with(".log") || path.ends_with("data.redb");
            call.ends_with("sync") && path.contains("/store/") && is_data
        }
        Event::Synced { .. } | Event::Said(_) => false,
    };
    let Some(failed) = ran.events.iter().position(is_sync_of_data) else { return };
    let Event::Failed { path: failed_path, .. } = &ran.events[failed] else { return };
    // As redb's when it is dropped, to note that it was closed: what had been acknowledged was there before.
    let is_ack = |event: &Event| matches!(event, Event::Said(line) if line.starts_with("ack "));
    let acknowledged = ran.events[..failed].iter().rposition(is_ack).unwrap_or(0);
    let is_synced = |event: &Event| matches!(event, Event::Synced { path } if path == failed_path);
    let is_unneeded = always || ran.events[acknowledged..failed].iter().any(is_synced);
    let mut submitted = HashSet::new();
    for event in &ran.events[failed..] {
        let Event::Said(line) = event else { continue };
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["submit", writer, index] => {
                submitted.insert((writer, index));
            }
            ["ack", writer, index, synced] if submitted.contains(&(writer, index)) => {
                let durable = always || synced == "true";
                assert!(!durable, "{what}: {line} after a failed fsync, {:#?}", ran.events);
            }
            ["close", "ok"] if !is_unneeded => {
                panic!("{what}: {line} after a failed fsync, {:#?}", ran.events)
            }
            _ => {}
        }
    }
}

struct Ran {
    said: Vec<String>,
    events: Vec<Event>,
}

impl Ran {
    /// How each call of that name ended.
    fn ended(&self, what: &str) -> Vec<String> {
        let words = self.said.iter().filter_map(|line| line.split_once(' '));
        words.filter(|(first, _)| *first == what).map(|(_, end)| end.to_owned()).collect()
    }
}

struct Outcome {
    acks: Vec<Ack>,
    failures: usize,
    opened: bool,
    commit_failed: bool,
    close_failed: bool,
    checkpoint: Option<bool>,
    reads_failed: usize,
}

impl Outcome {
    /// Reads what was said, and checks it as far as it can be checked without the directory.
    fn of(ran: &Ran, fault: &Fault) -> Self {
        let all = || format!("{fault:?}: {:#?}", ran.said);
        let is_failed = |event: &&Event| matches!(event, Event::Failed { .. });
        let failures = ran.events.iter().filter(is_failed).count();
        let ended = |what| ran.ended(what);
        let wrong = [ended("late"), ended("wrong")].concat();
        assert!(wrong.is_empty(), "after a failed commit: {wrong:?}, {}", all());
        let failed_with = |what| {
            let mut ends = ended(what);
            ends.retain(|end| end != "ok");
            ends
        };
        let mut commit_failed = false;
        for failed in failed_with("write") {
            commit_failed |= failed.starts_with("Commit ");
            let known = ["Commit ", "ReadOnly ", "Engine "];
            assert!(known.iter().any(|known| failed.starts_with(known)), "{failed}, {}", all());
        }
        for what in ["open", "checkpoint", "keyspaces", "stats", "snapshot", "read"] {
            for failed in failed_with(what) {
                assert!(failed.starts_with("Engine "), "{what}: {failed}, {}", all());
            }
        }
        let close = failed_with("close");
        for failed in &close {
            let known = ["Commit ", "Engine "];
            assert!(known.iter().any(|known| failed.starts_with(known)), "{failed}, {}", all());
        }
        assert!(!commit_failed || !close.is_empty(), "closed in spite of a lost commit: {}", all());
        let opened = ended("open") == ["ok"];
        let acks = ran.said.iter().filter(|line| line.starts_with("ack "));
        Self {
            acks: acks.map(|line| parse_ack(line)).collect(),
            failures,
            opened,
            commit_failed,
            close_failed: !close.is_empty(),
            checkpoint: ended("checkpoint").first().map(|end| end == "ok"),
            reads_failed: failed_with("read").len(),
        }
    }
}
