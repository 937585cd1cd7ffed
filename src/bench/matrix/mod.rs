//! `pontoon bench`: every contender does every case, in turn, for some rounds.
//!
//! A contender is a way to call storage on a runtime; a case is an engine, a workload and a number of
//! callers. All contenders of an engine share one opened engine, so that they differ in nothing but
//! how they call it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use pontoon_storage::EngineKind;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};

use super::choice::{Named, Workload};
use super::cli::Matrix;
use super::progress::Progress;
use super::result::{Cell, FORMAT, Load, Results, Subject};
use super::{machine, output};
use crate::config::DurabilityChoice;

mod caller;
mod data;
mod describe;
mod keys;
mod load;
mod plan;
mod sample;
mod shared;

use data::{Data, Filling};
use describe::Disk;
use plan::{Case, Entry, Plan};
use sample::{Job, Settings};

/// Memory for the engine's read cache when `--cache-bytes` does not say otherwise.
const CACHE_BYTES: usize = 128 << 20;

/// Refuses flags that contradict each other.
pub(super) fn check(args: &Matrix) -> Result<(), String> {
    Plan::of(args).map(drop)
}

/// Runs the matrix and says what came of it.
pub(super) fn run(args: &Matrix) -> Result<ExitCode, String> {
    let plan = Plan::of(args)?;
    args.output.check()?;
    let dir = make_dir(args)?;
    let persistent = plan.cases.iter().any(|case| case.engine.is_persistent());
    let machine = machine::describe(persistent.then(|| dir.path()));
    let date = machine::date();
    describe::announce(&plan, dir.path(), machine.file_system.as_deref());
    let load_average = machine::load_average();
    let mut matrix = Running::start(args, plan, dir.path());
    matrix.run();
    let Running { plan, cells, notes, failed, .. } = matrix;
    drop(dir);
    let load = match args.rate {
        Some(rate_per_sec) => Load::Open { rate_per_sec },
        None => Load::Closed,
    };
    let mut settings = describe::settings(args, &plan);
    settings.extend(load_average.and_then(describe::busy));
    settings.extend(notes);
    let results = Results {
        format: FORMAT,
        subject: Subject::Storage,
        command: machine::command(),
        date,
        machine,
        versions: machine::versions(),
        settings,
        load,
        cells: cells.into_iter().filter(|cell| !cell.samples.is_empty()).collect(),
    };
    output::print(&describe::text(&results))?;
    args.output.write(&results)?;
    if failed {
        return Err("something failed: see the lines that begin with \"failed\"".into());
    }
    Ok(ExitCode::SUCCESS)
}

/// A matrix that is being measured.
struct Running<'a> {
    args: &'a Matrix,
    plan: Plan,
    dir: &'a Path,
    progress: Progress,
    settings: Settings,
    cells: Vec<Cell>,
    notes: Vec<(String, String)>,
    failed: bool,
}

impl<'a> Running<'a> {
    fn start(args: &'a Matrix, plan: Plan, dir: &'a Path) -> Self {
        let settings = Settings {
            seconds: plan.seconds,
            seed: args.seed,
            rate_per_sec: args.rate,
            durability: durability_choice(args).durability(),
            cache_bytes: args.cache_bytes,
            direct_threads: args.direct_threads.unwrap_or_else(machine::cpus),
        };
        let progress = Progress::start(plan.samples() as u64, plan.duration());
        let cells = Vec::new();
        Self { args, plan, dir, progress, settings, cells, notes: Vec::new(), failed: false }
    }

    /// The cases that share data follow each other. What fails is noted, and the rest goes on.
    fn run(&mut self) {
        let cases = self.plan.cases.clone();
        let key = |case: &Case| (case.engine, case.workload == Workload::GetMiss);
        for cases in cases.chunk_by(|a, b| key(a) == key(b)) {
            let Some((engine, is_cold)) = cases.first().map(key) else { continue };
            let data = match self.fill(engine, is_cold) {
                Ok(data) => data,
                Err(error) => {
                    self.fail(format!("{} cannot be filled: {error}", name(engine)));
                    continue;
                }
            };
            let mut disk = Disk::default();
            for case in cases {
                self.measure(&data, *case, &mut disk);
            }
            if is_cold {
                let cache_bytes = data.filling.cache_bytes();
                self.notes.push(("get-miss".into(), disk.describe(engine, cache_bytes)));
            }
            if let Err(error) = data.close() {
                self.fail(format!("{} cannot be closed: {error}", name(engine)));
            }
        }
    }

    fn fill(&self, kind: EngineKind, is_cold: bool) -> pontoon_storage::Result<Data> {
        let filling = Filling {
            kind,
            keys: self.args.keys as u64,
            value_bytes: self.args.value_bytes,
            cache_bytes: self.args.engine_cache_bytes.unwrap_or(CACHE_BYTES),
            is_cold,
            seed: self.args.seed,
        };
        let dir = self.dir.join(format!("{}{}", name(kind), if is_cold { "-cold" } else { "" }));
        let step = |keys| self.progress.step(format!("filling {}: {keys} keys", name(kind)));
        Data::fill(&dir, filling, step)
    }

    /// All rounds of one case. Each has an order of its own, so that no contender always follows the
    /// same.
    fn measure(&mut self, data: &Data, case: Case, disk: &mut Disk) {
        let first = self.cells.len();
        let entries = self.plan.entries.clone();
        self.cells.extend(entries.iter().map(|entry| Cell {
            case: case.result(),
            contender: entry.contender(),
            samples: Vec::new(),
        }));
        for round in 0..self.plan.rounds {
            let mut order: Vec<_> = entries.iter().copied().enumerate().collect();
            let seed = self.args.seed.wrapping_add((first + round) as u64);
            order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
            for (at, entry) in order {
                self.progress.step(title(&case, &name_of(entry)));
                let round = u32::try_from(round).unwrap_or(u32::MAX);
                let job = Job { data, entry, case, round, settings: self.settings };
                let problem = match job.take() {
                    Ok(taken) => {
                        disk.add(&taken.sample, taken.disk_bytes);
                        if taken.given_up > 0 {
                            self.note("given up", title(&case, &name_of(entry)));
                        }
                        if let Some(cell) = self.cells.get_mut(first + at) {
                            cell.samples.push(taken.sample);
                        }
                        taken.error
                    }
                    Err(why) => Some(why),
                };
                if let Some(why) = problem {
                    self.fail(format!("{}: {why}", title(&case, &name_of(entry))));
                }
                self.progress.done();
            }
        }
    }

    fn fail(&mut self, what: String) {
        self.failed = true;
        let line = format!("pontoon: failed: {what}");
        if self.note("failed", what) {
            self.progress.say(&line);
        }
    }

    /// Whether it is new.
    fn note(&mut self, name: &str, what: String) -> bool {
        let note = (name.to_owned(), what);
        let is_new = !self.notes.contains(&note);
        if is_new {
            self.notes.push(note);
        }
        is_new
    }
}

fn name_of(entry: Entry) -> String {
    let contender = entry.contender();
    match contender.runtime.as_str() {
        "" => contender.name,
        runtime => format!("{} on {runtime}", contender.name),
    }
}

fn title(case: &Case, contender: &str) -> String {
    let Case { engine, workload, concurrency } = case;
    format!("{}, {}, concurrency {concurrency}: {contender}", name(*engine), workload.name())
}

fn name(engine: EngineKind) -> &'static str {
    EngineKind::name(engine)
}

fn durability_choice(args: &Matrix) -> DurabilityChoice {
    args.durability.unwrap_or(DurabilityChoice::Everysec)
}

/// A new directory for the data, removed when dropped, and when a signal ends the run.
fn make_dir(args: &Matrix) -> Result<TempDir, String> {
    let persistent = plan::engines(args).iter().any(|engine| engine.is_persistent());
    let parent = match &args.dir {
        Some(dir) => dir.clone(),
        None if persistent => PathBuf::from("."),
        None => std::env::temp_dir(),
    };
    let dir = tempfile::Builder::new().prefix("pontoon-bench-").tempdir_in(&parent);
    let dir = dir.map_err(|error| {
        format!("cannot make a directory in {} (--dir says where): {error}", parent.display())
    })?;
    remove_on_signal(dir.path().to_owned());
    Ok(dir)
}

/// Removes `dir` when a signal ends the run. Without this the data would stay behind; should it not
/// work, that is all.
#[allow(clippy::disallowed_methods)] // it waits for a signal, and runs nothing of the storage
fn remove_on_signal(dir: PathBuf) {
    std::thread::spawn(move || -> std::io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let code = runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            // As shells report a process that a signal has ended. Not SIGHUP, which `nohup` ignores.
            std::io::Result::Ok(tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            })
        })?;
        // The engine may be adding a file at this very moment.
        let _ = fs::remove_dir_all(&dir).or_else(|_| fs::remove_dir_all(&dir));
        process::exit(code)
    });
}
