//! What is there after `kill -9`: a child process writes and prints what was acknowledged, is killed
//! at a random moment, and its directory is opened again and compared.
//!
//! `PONTOON_CRASH_ROUNDS=1000` runs so many rounds for each engine, bridge mode and durability;
//! `PONTOON_CRASH_SEED` repeats the operations and the counts of a run (the exact moment of a kill
//! is up to the scheduler).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

#[path = "crash/check.rs"]
mod check;
mod common;
#[path = "crash/workload.rs"]
mod workload;

use std::hash::{BuildHasher, Hasher};
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use check::{Ack, Writers, everything_in, next_line, parse_ack};
use common::Setup;
use futures::future::join_all;
use pontoon_storage::{Bridge, Durability, EngineKind, Options, Store};
use tempfile::TempDir;
use workload::{Rng, State, operation};

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
            crash.writers.compare(&acks, found, true);
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
    writers: Writers,
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
            writers: Writers::new(seed),
        }
    }

    fn round(&mut self, setup: usize) {
        let acks_until_kill = self.rng.below(ACKS_MAX);
        let acks = self.run_child(setup, KillAt::Acks(acks_until_kill));
        if self.rng.below(KILLS_PER_KILL_IN_OPEN) == 0 {
            self.run_child(setup, KillAt::Opening);
        }
        let (found, unsynced_dies) = self.read_back(setup);
        self.writers.compare(&acks, found, self.durability == Durability::Always || !unsynced_dies);
    }

    /// Starts a child and kills it. Returns all that it acknowledged, in its order.
    fn run_child(&self, setup: usize, kill_at: KillAt) -> Vec<Ack> {
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
            .env(CHILD_STARTS, self.writers.starts())
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
    fn read_back(&self, setup: usize) -> (State, bool) {
        let setup = Setup::persistent().swap_remove(setup);
        let unsynced_dies = Arc::new(AtomicBool::new(false));
        let options = setup.options(&self.dir).durability(self.durability);
        let options = asking(options, setup.engine, &unsynced_dies);
        let found = setup.block_on(async {
            let store = Store::open(options).await.unwrap();
            let found = everything_in(&store).await;
            store.close().await.unwrap();
            found
        });
        (found, unsynced_dies.load(Ordering::SeqCst))
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
