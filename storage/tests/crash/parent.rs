//! What kills: one directory, the children that work in it one after the other, and what is found
//! each time.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pontoon_storage::{Bridge, Durability, EngineKind, Options, Store};
use tempfile::TempDir;

use crate::check::{Ack, Writers, everything_in};
use crate::child::{self, BULK, DURABILITIES, Job, VARIANTS, bulk, copies_of};
use crate::common::Setup;
use crate::round::{KillAt, Round};
use crate::workload::{Rng, State};
use crate::{SEED, variable};

/// The longest run of acknowledgements before a kill.
const ACKS_MAX: u64 = 150;

/// One of them is killed while it opens the directory that the one before it left.
const KILLS_PER_KILL_IN_OPEN: u64 = 4;

/// The most openings cut off in a row.
const OPENS_KILLED_MAX: u64 = 4;

/// How long a phase is taken to last until one has been seen whole.
const PHASE_GUESS: Duration = Duration::from_millis(2);

pub struct Crash {
    pub dir: PathBuf,
    /// What removes it in the end.
    _above: TempDir,
    engine: EngineKind,
    bridge: Bridge,
    pub setups: Vec<usize>,
    durability: Durability,
    seed: u64,
    rng: Rng,
    pub writers: Writers,
    bulk_is_there: bool,
    /// About how long each phase takes.
    spans: BTreeMap<&'static str, Duration>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    kills: u64,
    kills_inside: u64,
    acknowledged: usize,
    lost: usize,
    oldest_lost: Duration,
}

impl Crash {
    /// In a new directory.
    pub fn new(engine: EngineKind, bridge: &Bridge, durability: Durability) -> Self {
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
            engine,
            bridge: bridge.clone(),
            setups,
            durability,
            seed,
            rng: Rng(seed),
            writers: Writers::new(seed),
            bulk_is_there: false,
            spans: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Writers are killed, at times also who opens after them.
    pub fn kill_writers(&mut self, setup: usize) {
        let kill_at = KillAt::Acks(self.rng.below(ACKS_MAX));
        let round = self.run(Job::Write, setup, &kill_at);
        if self.rng.below(KILLS_PER_KILL_IN_OPEN) == 0 {
            self.kill_in_open(setup);
        }
        self.check(setup, &round);
    }

    /// Of a directory as it is, be there none.
    pub fn kill_in_open(&mut self, setup: usize) {
        let kill_at = self.inside("open", 0);
        self.run(Job::Open, setup, &kill_at);
    }

    /// Writers are killed, and then who opens after them, several in a row.
    pub fn kill_in_recovery(&mut self, setup: usize) {
        let kill_at = KillAt::Acks(self.rng.below(ACKS_MAX));
        let round = self.run(Job::Write, setup, &kill_at);
        for _ in 0..=self.rng.below(OPENS_KILLED_MAX) {
            self.kill_in_open(setup);
        }
        self.check(setup, &round);
    }

    pub fn kill_in_close(&mut self, setup: usize) {
        let kill_at = self.inside("close", 0);
        let round = self.run(Job::Close, setup, &kill_at);
        self.check(setup, &round);
    }

    /// While it fills a keyspace, drops it, or just after.
    pub fn kill_in_drop(&mut self, setup: usize) {
        let (nth, what) = (self.rng.below(3), ["drop", "drop", "fill"][self.rng.below(3) as usize]);
        let kill_at = self.inside(what, nth);
        let round = self.run(Job::Drop, setup, &kill_at);
        self.check(setup, &round);
    }

    pub fn kill_in_checkpoint(&mut self, setup: usize) {
        let copies = copies_of(&self.dir);
        std::fs::create_dir(&copies).unwrap();
        let nth = self.rng.below(3);
        let kill_at = self.inside("checkpoint", nth);
        let round = self.run(Job::Checkpoint, setup, &kill_at);
        self.check_copies(setup, &round, &copies);
        std::fs::remove_dir_all(&copies).unwrap();
        self.check(setup, &round);
    }

    /// In the first opening, once there are so many files and directories.
    pub fn kill_in_first_open(&mut self, setup: usize, files: usize) {
        let dir = self.dir.clone();
        let round =
            Round::run_until(&mut self.command(Job::Write, setup), || count_files(&dir) >= files);
        self.tally.kills += 1;
        self.check(setup, &round);
    }

    /// The `nth` time that a child does `what`, at any moment of it or soon after.
    fn inside(&mut self, what: &'static str, nth: u64) -> KillAt {
        let span = self.spans.get(what).copied().unwrap_or(PHASE_GUESS);
        let micros = self.rng.below(span.as_micros() as u64 * 5 / 4 + 1);
        KillAt::Inside(what, nth, Duration::from_micros(micros))
    }

    /// Runs a child and kills it.
    fn run(&mut self, job: Job, setup: usize, kill_at: &KillAt) -> Round {
        let round = Round::run(&mut self.command(job, setup), kill_at);
        self.tally.kills += 1;
        if let KillAt::Inside(what, nth, _) = *kill_at {
            let phase = &round.phases(what)[nth as usize];
            self.tally.kills_inside += u64::from(phase.ended.is_none());
            let span = self.spans.entry(what).or_insert(PHASE_GUESS);
            *span = match round.time(phase) {
                Some(time) => (*span * 3 + time) / 4,
                None => *span * 17 / 16,
            };
        }
        round
    }

    fn command(&mut self, job: Job, setup: usize) -> Command {
        let close_after = if job == Job::Close { 1 + self.rng.below(ACKS_MAX) } else { u64::MAX };
        let durability = DURABILITIES.iter().position(|&d| d == self.durability).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(child::DIR, &self.dir)
            .env(child::JOB, job.number().to_string())
            .env(child::SETUP, setup.to_string())
            .env(child::VARIANT, self.rng.below(VARIANTS).to_string())
            .env(child::DURABILITY, durability.to_string())
            .env(child::STARTS, self.writers.starts())
            .env(child::CLOSE_AFTER, close_after.to_string())
            .env(SEED, self.seed.to_string());
        command
    }

    /// Everything that `dir` holds now, and whether its engine keeps what is not synced in the process
    /// alone.
    fn read_back(&mut self, setup: usize, dir: &Path) -> (State, bool) {
        let setup = Setup::persistent().swap_remove(setup);
        let unsynced_dies = Arc::new(AtomicBool::new(false));
        let variant = self.rng.below(VARIANTS);
        let options = child::options(&setup, dir, self.durability, variant);
        let options = asking(options, setup.engine, &unsynced_dies);
        let found = setup.block_on(async {
            let store = Store::open(options).await.unwrap();
            let found = everything_in(&store).await;
            store.close().await.unwrap();
            found
        });
        (found, unsynced_dies.load(Ordering::SeqCst))
    }

    /// Checks what the store holds after `round`.
    fn check(&mut self, setup: usize, round: &Round) {
        let dir = self.dir.clone();
        let (mut found, unsynced_dies) = self.read_back(setup, &dir);
        self.check_bulk(round, &mut found);
        let acks = round.acks(round.len());
        let closed = round.phases("close").iter().any(|close| close.ended.is_some());
        let all = self.durability == Durability::Always || !unsynced_dies || closed;
        let lost = if all {
            self.writers.compare(&acks, found, true)
        } else {
            self.writers.compare_kept(&acks, round.synced(), found)
        };
        let ages = round.ages();
        self.tally.acknowledged += acks.len();
        self.tally.lost += lost.len();
        let oldest = lost.iter().map(|&line| ages[line]).max().unwrap_or_default();
        self.tally.oldest_lost = self.tally.oldest_lost.max(oldest);
    }

    /// Takes what is filled and dropped out of what was found: whole or gone, as was said last.
    fn check_bulk(&mut self, round: &Round, found: &mut State) {
        let is_bulk = |keyspace: &str| keyspace == BULK;
        let bulk_found: Vec<_> = found
            .iter()
            .filter(|((keyspace, _), _)| is_bulk(keyspace))
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect();
        found.retain(|(keyspace, _), _| !is_bulk(keyspace));
        let is_there = !bulk_found.is_empty();
        if is_there {
            assert!(bulk().eq(bulk_found), "only a part of what was filled or dropped is there");
        }
        let phases = [round.phases("fill"), round.phases("drop")];
        let last = phases.iter().flatten().max_by_key(|phase| phase.begun);
        let expected = match last {
            None => Some(self.bulk_is_there),
            Some(phase) => phase.ended.map(|_| phase.name == "fill"),
        };
        assert!(expected.is_none_or(|expected| expected == is_there), "there: {is_there}");
        self.bulk_is_there = is_there;
    }

    /// Each copy is whole, a state the store had while it was made, or not there.
    fn check_copies(&mut self, setup: usize, round: &Round, copies: &Path) {
        for phase in round.phases("checkpoint") {
            let copy = copies.join(phase.name.rsplit(' ').next().unwrap());
            if !copy.exists() {
                assert_eq!(phase.ended, None, "{} has gone", phase.name);
                continue;
            }
            let (found, _) = self.read_back(setup, &copy);
            let kept = round.acks(phase.begun).len();
            let until = phase.ended.unwrap_or(round.len());
            // A sync concerns the store and not a copy made before it.
            let acks: Vec<Ack> =
                round.acks(until).into_iter().map(|ack| Ack { synced: false, ..ack }).collect();
            self.writers.clone().compare_kept(&acks, kept, found);
        }
    }

    /// A line for whoever runs many.
    pub fn report(&self, what: &str) {
        let Tally { kills, kills_inside, acknowledged, lost, oldest_lost } = self.tally;
        println!(
            "result: {what} | {} | {:?} | {:?} | {kills} kills, {kills_inside} of them inside a phase | \
             {acknowledged} acknowledged | {lost} lost | oldest lost {oldest_lost:.1?}",
            self.engine.name(),
            self.bridge,
            self.durability,
        );
    }
}

fn same_mode(a: &Bridge, b: &Bridge) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn random_seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Files and directories below `dir`, those that come and go meanwhile maybe not counted.
fn count_files(dir: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|entry| 1 + count_files(&entry.path())).sum()
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
