//! The parent: it owns the disk, cuts its power, and compares.

use std::hash::{BuildHasher, Hasher};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use pontoon_faults::{Disk, Mount};
use pontoon_storage::{Durability, EngineKind, Error, Store};

use crate::INTERVAL;
use crate::check::{Ack, Writers, everything_in, next_line, parse_ack};
use crate::common::Setup;
use crate::workload::{Rng, State};
use crate::writing::{Task, checkpoint};

const SEED: &str = "PONTOON_POWER_SEED";

/// In so many rounds once all begins on an empty disk.
const ROUNDS_PER_DISK: u64 = 10;

/// Changes of the disk, fsyncs included, before the power goes: while a store opens, or later.
const CHANGES_MAX: [u64; 3] = [40, 150, 800];

/// The same beside checkpoints, each of which takes some hundred.
const CHANGES_MAX_BESIDE_CHECKPOINTS: u64 = 1_500;

/// What each writer does beside checkpoints, so that some are made while nobody writes any more.
const OPERATIONS_BESIDE_CHECKPOINTS: u64 = 60;

/// Power losses in a row while a store is opened again, at the most.
const CUTS_IN_RECOVERY_MAX: u64 = 3;

/// What each writer does before a store is closed.
const OPERATIONS_BEFORE_CLOSE: u64 = 12;

/// How [`Error::Corrupted`] begins.
const DAMAGED: &str = "the data is damaged";

/// One round at a time: a process that another test is just starting holds copies of our descriptors
/// until it runs, and a disk whose files are open cannot be unmounted.
static ROUND: Mutex<()> = Mutex::new(());

#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub engine: EngineKind,
    pub durability: Durability,
    pub quick_repair: bool,
}

/// What is done while the power goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Writing,
    Checkpoints,
    Closing,
}

/// What a child has told before its end.
#[derive(Default)]
struct Told {
    acks: Vec<Ack>,
    checkpoints: u64,
    closed: bool,
    /// Why it ended by itself, with the power still there.
    failed: Option<String>,
}

pub struct Power {
    case: Case,
    setups: Vec<usize>,
    rng: Rng,
    seed: u64,
    disk: Disk,
    writers: Writers,
    rounds: u64,
    cuts: u64,
    acknowledged: u64,
    unsynced_lost: u64,
    checkpoints: u64,
    refused: u64,
    manifests_torn: u64,
}

pub fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

impl Power {
    pub fn new(case: Case) -> Self {
        let random = || std::collections::hash_map::RandomState::new().build_hasher().finish();
        let seed = variable(SEED).unwrap_or_else(random);
        println!("{case:?}, {SEED}={seed}");
        let setups = Setup::persistent();
        let setups = setups.iter().enumerate().filter(|(_, setup)| setup.engine == case.engine);
        Self {
            case,
            setups: setups.map(|(index, _)| index).collect(),
            rng: Rng(seed),
            seed,
            disk: Disk::new(seed),
            writers: Writers::new(seed),
            rounds: 0,
            cuts: 0,
            acknowledged: 0,
            unsynced_lost: 0,
            checkpoints: 0,
            refused: 0,
            manifests_torn: 0,
        }
    }

    pub fn summary(&self) -> String {
        let Case { engine, durability, quick_repair } = self.case;
        let repair = if quick_repair { ", quick repair" } else { "" };
        format!(
            "power loss: {}, {durability:?}{repair}: {} rounds, {} cuts, {} acknowledged, {} not synced \
             and lost, 0 others lost, {} checkpoints found, {} refused to open, {} by a torn manifest",
            engine.name(),
            self.rounds,
            self.cuts,
            self.acknowledged,
            self.unsynced_lost,
            self.checkpoints,
            self.refused,
            self.manifests_torn,
        )
    }

    pub fn round(&mut self) {
        let _alone = ROUND.lock().unwrap_or_else(PoisonError::into_inner);
        if self.rounds.is_multiple_of(ROUNDS_PER_DISK) {
            self.begin_anew();
        }
        let setup = self.setups[self.rng.below(self.setups.len() as u64) as usize];
        let kind = match self.rng.below(10) {
            0..6 => Kind::Writing,
            6 | 7 => Kind::Checkpoints,
            _ => Kind::Closing,
        };
        let changes_max = match kind {
            Kind::Checkpoints => CHANGES_MAX_BESIDE_CHECKPOINTS,
            _ => CHANGES_MAX[self.rng.below(CHANGES_MAX.len() as u64) as usize],
        };
        let changes = 1 + self.rng.below(changes_max);
        println!("round {}: {kind:?}, setup {setup}, cut after {changes} changes", self.rounds);
        let told = self.cut_power(setup, kind, changes);
        for _ in 0..self.rng.below(2) * self.rng.below(CUTS_IN_RECOVERY_MAX + 1) {
            // What is written meanwhile, if it comes to that, must not be taken for the others'.
            let changes = 1 + self.rng.below(CHANGES_MAX[0]);
            println!("cut again after {changes} changes");
            self.cut_power_in_recovery(setup, changes);
        }
        match self.read_back(setup) {
            Some(found) => self.compare(&told, found),
            None => self.begin_anew(),
        }
        self.rounds += 1;
    }

    fn begin_anew(&mut self) {
        self.seed = self.seed.wrapping_add(self.rounds);
        self.disk = Disk::new(self.rng.below(u64::MAX));
        self.writers = Writers::new(self.seed);
    }

    fn compare(&mut self, told: &Told, found: State) {
        let before = self.writers.next();
        let nothing_lost = self.case.durability == Durability::Always || told.closed;
        self.writers.compare(&told.acks, found, nothing_lost);
        for (writer, (before, after)) in before.iter().zip(self.writers.next()).enumerate() {
            let acked = told.acks.iter().filter(|ack| ack.writer == writer).count() as u64;
            self.unsynced_lost += acked.saturating_sub(after - before);
        }
        self.acknowledged += told.acks.len() as u64;
    }

    fn task(&self, setup: usize, disk: &Path) -> Task {
        Task {
            dir: disk.join("store"),
            setup,
            durability: self.case.durability,
            quick_repair: self.case.quick_repair,
            seed: self.seed,
            starts: self.writers.starts(),
            operations_max: u64::MAX,
            checkpoints: None,
        }
    }

    /// Lets a child work on the disk until the power is cut.
    fn cut_power(&mut self, setup: usize, kind: Kind, changes: u64) -> Told {
        let mount = self.mount();
        let mut task = self.task(setup, &mount.path());
        match kind {
            Kind::Writing => {}
            Kind::Checkpoints => {
                task.checkpoints = Some(self.first_checkpoint(&mount));
                task.operations_max = OPERATIONS_BESIDE_CHECKPOINTS;
            }
            Kind::Closing => task.operations_max = OPERATIONS_BEFORE_CLOSE,
        }
        let told = run_child(&mount, &task, changes);
        assert_eq!(told.failed, None);
        self.lose_power(mount);
        if kind == Kind::Checkpoints {
            self.check_checkpoints(setup, &told);
        }
        told
    }

    /// Those of former rounds are still there.
    fn first_checkpoint(&self, mount: &Mount) -> PathBuf {
        mount.path().join(format!("round{}", self.rounds))
    }

    /// The same while a child opens what the last power loss left. It does not come to writing.
    fn cut_power_in_recovery(&mut self, setup: usize, changes: u64) {
        let mount = self.mount();
        let task = Task { operations_max: 0, ..self.task(setup, &mount.path()) };
        let told = run_child(&mount, &task, changes);
        if let Some(why) = &told.failed {
            assert!(
                self.may_be_refused() && why.contains(DAMAGED) || self.is_torn_manifest(why),
                "it could not be opened: {why}"
            );
        }
        self.lose_power(mount);
    }

    fn mount(&mut self) -> Mount {
        Mount::new(std::mem::replace(&mut self.disk, Disk::new(0))).unwrap()
    }

    fn lose_power(&mut self, mount: Mount) {
        let disk = mount.unmount().unwrap();
        self.cuts += 1;
        let seed = self.rng.below(u64::MAX);
        println!("{} changes not fsynced, loss {seed}", disk.unsynced());
        self.disk = disk.after_power_loss(seed);
    }

    /// All that is in the store now. Where the disk's damage refuses opening, what the guarantees advise is done;
    /// None where they know no remedy.
    fn read_back(&mut self, setup: usize) -> Option<State> {
        let damaged = self.disk.clone();
        let mount = self.mount();
        let task = self.task(setup, &mount.path());
        let found = read(&task);
        self.disk = mount.unmount().unwrap();
        let found = match found {
            Err(error @ Error::Corrupted(_)) if self.is_torn_manifest(&error.to_string()) => {
                println!("refused for good: {error}");
                self.manifests_torn += 1;
                return None;
            }
            Err(error @ Error::Corrupted(_)) if self.may_be_refused() => {
                println!("refused: {error}");
                self.refused += 1;
                self.disk = damaged;
                let mount = self.mount();
                let task = Task {
                    durability: Durability::Every(INTERVAL),
                    ..self.task(setup, &mount.path())
                };
                let found = read(&task);
                self.disk = mount.unmount().unwrap();
                found
            }
            found => found,
        };
        Some(found.unwrap())
    }

    /// A record that RocksDB was writing to its manifest, torn out of order: it takes that for damage.
    fn is_torn_manifest(&self, why: &str) -> bool {
        self.case.engine.name() == "rocksdb" && why.contains("MANIFEST") && why.contains(DAMAGED)
    }

    fn may_be_refused(&self) -> bool {
        self.case.engine.name() == "rocksdb" && self.case.durability == Durability::Always
    }

    /// Each that was acknowledged is there, and all that are there are whole: some state that the
    /// writers have passed.
    fn check_checkpoints(&mut self, setup: usize, told: &Told) {
        let before = self.disk.clone();
        let mount = self.mount();
        for number in 0..=told.checkpoints {
            let dir = checkpoint(&self.first_checkpoint(&mount), number);
            if !dir.exists() {
                assert_eq!(number, told.checkpoints, "an acknowledged checkpoint is gone");
                continue;
            }
            let acks =
                told.acks.iter().map(|ack| Ack { synced: false, ..*ack }).collect::<Vec<_>>();
            let found = read(&Task { dir, ..self.task(setup, &mount.path()) }).unwrap();
            self.writers.clone().compare(&acks, found, false);
            self.checkpoints += 1;
        }
        drop(mount.unmount().unwrap());
        self.disk = before;
    }
}

fn read(task: &Task) -> Result<State, Error> {
    Setup::persistent().swap_remove(task.setup).block_on(async {
        let store = Store::open(task.options()).await?;
        let found = everything_in(&store).await;
        store.close().await?;
        Ok(found)
    })
}

/// Cuts the power after so many changes, or when the child has closed its store.
fn run_child(mount: &Mount, task: &Task, changes: u64) -> Told {
    mount.with(|disk| disk.cut_power_after(changes));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .envs(task.environment())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut errors = child.stderr.take().unwrap();
    let mut told = Told::default();
    std::thread::scope(|scope| {
        let killed = scope.spawn(|| {
            mount.wait_for_power_cut();
            kill(&mut child);
        });
        while let Some(line) = next_line(&mut out) {
            match line.split(' ').next() {
                Some("ack") => told.acks.push(parse_ack(&line)),
                Some("checkpoint") => told.checkpoints += 1,
                Some("closed") => told.closed = true,
                _ => {}
            }
        }
        let was_cut = mount.with(|disk| !disk.has_power());
        mount.with(Disk::cut_power);
        killed.join().unwrap();
        let mut why = String::new();
        errors.read_to_string(&mut why).unwrap();
        told.failed = (!was_cut && !told.closed).then_some(why);
    });
    told
}

fn kill(child: &mut Child) {
    // It may have ended.
    let _ = child.kill();
    child.wait().unwrap();
}
