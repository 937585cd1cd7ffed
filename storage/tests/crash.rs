//! What is there after `kill -9`: a child process writes and prints what was acknowledged, is killed
//! at a random moment, and its directory is opened again and compared.
//!
//! `PONTOON_CRASH_ROUNDS=1000` runs so many rounds for each engine, bridge mode and durability;
//! `PONTOON_CRASH_SEED` repeats the operations and the counts of a run (the exact moment of a kill
//! is up to the scheduler).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

mod common;
#[path = "crash/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::Setup;
use futures::future::join_all;
use pontoon_storage::{Bridge, Durability, EngineKind, Error, Options, Reader, ScanOptions, Store};
use tempfile::TempDir;
use workload::{COUNTER, Rng, SHARED, State, WRITERS, count, operation, own_keyspace, writer_of};

const ROUNDS: &str = "PONTOON_CRASH_ROUNDS";
const SEED: &str = "PONTOON_CRASH_SEED";
const CHILD_DIR: &str = "PONTOON_CRASH_CHILD_DIR";
const CHILD_SETUP: &str = "PONTOON_CRASH_CHILD_SETUP";
const CHILD_DURABILITY: &str = "PONTOON_CRASH_CHILD_DURABILITY";
const CHILD_STARTS: &str = "PONTOON_CRASH_CHILD_STARTS";

/// The longest run of acknowledgements before a kill.
const ACKS_MAX: u64 = 150;

/// One of them is killed while it opens the directory that the one before it left.
const KILLS_PER_KILL_IN_OPEN: u64 = 4;

/// What every engine's first opening creates at the least, files and directories.
const FIRST_FILES_MAX: usize = 5;

/// In each round a few times over.
const INTERVAL: Duration = Duration::from_millis(15);

#[test]
fn every_acknowledged_write_survives_a_kill() {
    for_each_mode(|engine, bridge| crash_rounds(engine, bridge, Durability::Always, 20));
}

#[test]
fn a_kill_takes_the_last_unsynced_writes_alone() {
    for_each_mode(|engine, bridge| {
        crash_rounds(engine, bridge.clone(), Durability::Every(INTERVAL), 6);
        crash_rounds(engine, bridge, Durability::Never, 6);
    });
}

#[test]
fn a_first_open_that_is_killed_leaves_what_can_be_opened() {
    for_each_mode(|engine, bridge| {
        for files in 0..FIRST_FILES_MAX {
            let mut crash = Crash::new(engine, &bridge, Durability::Always);
            let setup = crash.setups[files % crash.setups.len()];
            let acks = crash.run_child(setup, KillAt::Files(files));
            let (found, _) = crash.read_back(setup);
            crash.compare(&acks, found, true);
            crash.round(setup);
        }
    });
}

/// Not a test: what the other tests run as a process of their own, and kill.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let setup = Setup::persistent().swap_remove(number(CHILD_SETUP) as usize);
    let durability = [Durability::Always, Durability::Every(INTERVAL), Durability::Never];
    let options =
        setup.options(Path::new(&dir)).durability(durability[number(CHILD_DURABILITY) as usize]);
    let starts = std::env::var(CHILD_STARTS).unwrap();
    let starts: Vec<u64> = starts.split(',').map(|start| start.parse().unwrap()).collect();
    // The test harness may have begun a line of its own.
    say("\nopening");
    setup.block_on(async {
        let store = Store::open(options).await.unwrap();
        join_all(starts.into_iter().enumerate().map(|(writer, start)| {
            let store = &store;
            async move {
                for index in start.. {
                    let synced = operation(number(SEED), writer, index).run(store).await.unwrap();
                    say(&format!("ack {writer} {index} {synced}"));
                }
            }
        }))
        .await;
    });
}

/// Past the harness, which captures what `println!` prints. Without a reader there is nobody to write
/// for.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}

fn for_each_mode(test: impl Fn(EngineKind, Bridge)) {
    for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
        for bridge in [Bridge::Pool, Bridge::Blocking] {
            test(engine, bridge);
        }
    }
}

/// Rounds on one directory, each from what the one before it left.
fn crash_rounds(engine: EngineKind, bridge: Bridge, durability: Durability, rounds: u64) {
    let rounds = variable(ROUNDS).unwrap_or(rounds);
    let mut crash = Crash::new(engine, &bridge, durability);
    for round in 0..rounds {
        println!("round {round}");
        crash.round(crash.setups[round as usize % crash.setups.len()]);
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

fn same_mode(a: &Bridge, b: &Bridge) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn random_seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Where a writer stands, as far as the last round has shown.
#[derive(Debug, Clone, Default)]
struct Writer {
    /// The index of its next operation.
    next: u64,
    counted: u64,
    state: State,
}

/// A line of a child: that operation has been acknowledged, maybe with all before it synced.
struct Ack {
    writer: usize,
    index: u64,
    synced: bool,
}

/// When a child is killed.
#[derive(Clone, Copy)]
enum KillAt {
    /// As soon as it begins to open.
    Opening,
    /// Once its directory holds so many files and directories.
    Files(usize),
    /// Once it has acknowledged more than so many operations.
    Acks(u64),
}

struct Crash {
    dir: PathBuf,
    /// What removes it in the end.
    _above: TempDir,
    setups: Vec<usize>,
    durability: Durability,
    seed: u64,
    rng: Rng,
    writers: Vec<Writer>,
}

impl Crash {
    /// In a new directory.
    fn new(engine: EngineKind, bridge: &Bridge, durability: Durability) -> Self {
        let seed = variable(SEED).unwrap_or_else(random_seed);
        println!("{engine:?} {bridge:?} {durability:?}, {SEED}={seed}");
        let above = tempfile::tempdir().unwrap();
        let setups = Setup::persistent()
            .iter()
            .enumerate()
            .filter(|(_, s)| s.engine == engine && same_mode(&s.bridge, bridge))
            .map(|(index, _)| index)
            .collect();
        Self {
            dir: above.path().join("store"),
            _above: above,
            setups,
            durability,
            seed,
            rng: Rng(seed),
            writers: vec![Writer::default(); WRITERS],
        }
    }

    fn round(&mut self, setup: usize) {
        let acks_until_kill = self.rng.below(ACKS_MAX);
        let acks = self.run_child(setup, KillAt::Acks(acks_until_kill));
        if self.rng.below(KILLS_PER_KILL_IN_OPEN) == 0 {
            self.run_child(setup, KillAt::Opening);
        }
        let (found, unsynced_dies) = self.read_back(setup);
        self.compare(&acks, found, self.durability == Durability::Always || !unsynced_dies);
    }

    /// Starts a child and kills it. Returns all that it acknowledged, in its order.
    fn run_child(&self, setup: usize, kill_at: KillAt) -> Vec<Ack> {
        let starts: Vec<String> = self.writers.iter().map(|w| w.next.to_string()).collect();
        let durability = match self.durability {
            Durability::Always => "0",
            Durability::Every(_) => "1",
            Durability::Never => "2",
        };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, &self.dir)
            .env(CHILD_SETUP, setup.to_string())
            .env(CHILD_DURABILITY, durability)
            .env(CHILD_STARTS, starts.join(","))
            .env(SEED, self.seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        while next_line(&mut out).expect("it ended by itself") != "opening" {}
        let mut acks = Vec::new();
        match kill_at {
            KillAt::Opening => {}
            KillAt::Files(files) => {
                while count_files(&self.dir) < files {
                    std::thread::yield_now();
                }
            }
            KillAt::Acks(until) => {
                while acks.len() as u64 <= until {
                    acks.push(parse_ack(&next_line(&mut out).expect("it ended by itself")));
                }
            }
        }
        kill(&mut child);
        while let Some(line) = next_line(&mut out) {
            acks.push(parse_ack(&line));
        }
        acks
    }

    /// Everything that the directory holds now, and whether its engine keeps what is not synced in
    /// the process alone.
    fn read_back(&self, setup: usize) -> (BTreeMap<(String, String), Vec<u8>>, bool) {
        let setup = Setup::persistent().swap_remove(setup);
        let unsynced_dies = Arc::new(AtomicBool::new(false));
        let options = setup.options(&self.dir).durability(self.durability);
        let options = asking(options, setup.engine, &unsynced_dies);
        let found = setup.block_on(async {
            let store = Store::open(options).await.unwrap();
            let names = store.keyspaces().await.unwrap();
            let keyspaces: Vec<_> = names.iter().map(|n| store.keyspace(n).unwrap()).collect();
            let found = store.view(move |view| {
                let mut found = BTreeMap::new();
                for keyspace in keyspaces {
                    for entry in view.scan(&keyspace, .., ScanOptions::default()) {
                        let (key, value) = entry?;
                        let key = String::from_utf8(key.to_vec()).unwrap();
                        found.insert((keyspace.name().to_owned(), key), value.to_vec());
                    }
                }
                Ok::<_, Error>(found)
            });
            let found = found.await.unwrap();
            store.close().await.unwrap();
            found
        });
        (found, unsynced_dies.load(Ordering::SeqCst))
    }

    /// Checks what was found against what was acknowledged, and goes on from there.
    fn compare(&mut self, acks: &[Ack], mut found: State, nothing_lost: bool) {
        let counter = found.remove(&(SHARED[0].into(), COUNTER.into()));
        let mut by_writer = vec![State::new(); WRITERS];
        for ((keyspace, key), value) in found {
            let writer = writer_of(&key).filter(|&writer| {
                writer < WRITERS
                    && (SHARED.contains(&keyspace.as_str()) || keyspace == own_keyspace(writer))
            });
            let writer = writer.unwrap_or_else(|| panic!("nobody wrote {keyspace} {key}"));
            by_writer[writer].insert((keyspace, key), value);
        }
        let seen: Vec<Seen> = by_writer
            .iter()
            .enumerate()
            .map(|(writer, found)| self.see(writer, acks, found))
            .collect();
        let lines = Lines { acks, seen: &seen };
        if nothing_lost {
            lines.assert_there(acks.len(), "all was synced, or the engine loses nothing");
        }
        for (line, ack) in acks.iter().enumerate().filter(|(_, ack)| ack.synced) {
            let upto = lines.submitted_after(ack.writer, ack.index);
            lines.assert_there(upto, "a sync came later");
            assert!(seen[ack.writer].most > ack.index, "a synced write is gone: line {line}");
        }
        for (writer, seen) in seen.iter().enumerate() {
            if seen.least > self.writers[writer].next {
                let upto = lines.submitted_after(writer, seen.least - 1);
                lines.assert_there(upto, "a later write is there");
            }
        }
        for (writer, (seen, state)) in seen.iter().zip(by_writer).enumerate() {
            self.writers[writer].go_on(self.seed, writer, seen.most, state);
        }
        let counted: u64 = self.writers.iter().map(|writer| writer.counted).sum();
        assert_eq!(count(counter.as_deref()), counted, "the counter and the counts disagree");
    }

    /// How many of `writer`'s operations, one after the other, lead to what was found. One more than
    /// it acknowledged may have been done. (Two numbers, as some operations change nothing.)
    fn see(&self, writer: usize, acks: &[Ack], found: &State) -> Seen {
        let Writer { next, state, .. } = &self.writers[writer];
        let acked = acks.iter().filter(|ack| ack.writer == writer).count() as u64;
        let mut state = state.clone();
        let mut fits = Vec::new();
        for index in *next..=next + acked + 1 {
            if state == *found {
                fits.push(index);
            }
            operation(self.seed, writer, index).apply(&mut state);
        }
        let (Some(&least), Some(&most)) = (fits.first(), fits.last()) else {
            let next_acked = next + acked;
            panic!("writer {writer} (at {next}, acknowledged to {next_acked}) left {found:?}");
        };
        Seen { least, most }
    }
}

impl Writer {
    fn go_on(&mut self, seed: u64, writer: usize, next: u64, state: State) {
        let counts = |index: &u64| operation(seed, writer, *index).is_count();
        self.counted += (self.next..next).filter(counts).count() as u64;
        self.next = next;
        self.state = state;
    }
}

/// The numbers of operations that what was found may come from.
struct Seen {
    least: u64,
    most: u64,
}

/// What was acknowledged in one round, line by line.
struct Lines<'r> {
    acks: &'r [Ack],
    seen: &'r [Seen],
}

impl Lines<'_> {
    /// How many lines were printed before that operation was submitted: a writer submits one when
    /// the one before it has been printed.
    fn submitted_after(&self, writer: usize, index: u64) -> usize {
        let is_before = |ack: &Ack| ack.writer == writer && ack.index + 1 == index;
        self.acks.iter().position(is_before).map_or(0, |line| line + 1)
    }

    /// The first `lines` acknowledged operations must all be there.
    fn assert_there(&self, lines: usize, why: &str) {
        for (line, &Ack { writer, index, .. }) in self.acks[..lines].iter().enumerate() {
            let there = self.seen[writer].most;
            assert!(there > index, "line {line}, writer {writer}'s {index}, is gone, though {why}");
        }
    }
}

/// The next whole line that is the child's own; what a kill has cut off counts for nothing.
fn next_line(out: &mut BufReader<ChildStdout>) -> Option<String> {
    loop {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let line = line.strip_suffix('\n')?;
        if line == "opening" || line.starts_with("ack ") {
            return Some(line.to_owned());
        }
    }
}

fn parse_ack(line: &str) -> Ack {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, writer, index, synced] = words[..] else { panic!("not an acknowledgement: {line}") };
    Ack {
        writer: writer.parse().unwrap(),
        index: index.parse().unwrap(),
        synced: synced.parse().unwrap(),
    }
}

/// Files and directories below `dir`, those that come and go meanwhile maybe not counted.
fn count_files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|entry| 1 + count_files(&entry.path())).sum()
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{status}");
    #[cfg(not(unix))]
    assert!(!status.success());
}

/// `options` whose engine tells, when opened, whether what is not synced dies with its process.
fn asking(options: Options, kind: EngineKind, dies: &Arc<AtomicBool>) -> Options {
    let dies = Arc::clone(dies);
    options.custom_engine(
        kind.name(),
        Arc::new(move |dir: &Path, engine_options, names| {
            let engine = kind.open(dir, engine_options, names)?;
            dies.store(engine.unsynced_dies_with_process(), Ordering::SeqCst);
            Ok(engine)
        }),
    )
}
