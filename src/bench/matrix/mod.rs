//! `pontoon bench`: every contender does every case, in turn, for some rounds.
//!
//! A contender is a way to call storage on a runtime; a case is an engine, a workload and a number of
//! callers. All contenders of an engine share one opened engine, so that they differ in nothing but
//! how they call it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, ExitCode};

use pontoon_storage::{Durability, EngineKind};
use tempfile::TempDir;

use super::choice::{Mode, Named, Workload};
use super::cli::Matrix;
use super::progress::Progress;
use super::result::{Cell, FORMAT, Load, Results, Sample, Subject};
use super::{machine, output, table};
use crate::config::DurabilityChoice;

mod caller;
mod data;
mod keys;
mod load;
mod plan;
mod sample;
mod shared;

use data::{Data, Filling};
use plan::{Case, Plan};
use sample::{EVICTION_PERIOD, Job, Settings};

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
    announce(&plan, dir.path(), machine.file_system.as_deref());
    let mut matrix = Running::start(args, plan, dir.path());
    matrix.run()?;
    let Running { plan, cells, notes, failed, .. } = matrix;
    drop(dir);
    let load = match args.rate {
        Some(rate_per_sec) => Load::Open { rate_per_sec },
        None => Load::Closed,
    };
    let mut settings = settings(args, &plan);
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
    output::print(&text(&results))?;
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
            durability: durability(args),
            direct_threads: args.direct_threads.unwrap_or_else(machine::cpus),
        };
        let progress = Progress::start(plan.samples() as u64, plan.duration());
        let cells = Vec::new();
        Self { args, plan, dir, progress, settings, cells, notes: Vec::new(), failed: false }
    }

    /// The cases that share data follow each other.
    fn run(&mut self) -> Result<(), String> {
        let cases = self.plan.cases.clone();
        let key = |case: &Case| (case.engine, case.workload == Workload::GetMiss);
        for cases in cases.chunk_by(|a, b| key(a) == key(b)) {
            let Some((engine, is_cold)) = cases.first().map(key) else { continue };
            let data = self.fill(engine, is_cold)?;
            let mut disk = Disk::default();
            for case in cases {
                self.measure(&data, *case, &mut disk);
            }
            if is_cold {
                let cache_bytes = data.filling.cache_bytes();
                self.notes.push(("get-miss".into(), disk.describe(engine, cache_bytes)));
            }
            data.close().map_err(|error| format!("cannot close {}: {error}", name(engine)))?;
        }
        Ok(())
    }

    fn fill(&self, kind: EngineKind, is_cold: bool) -> Result<Data, String> {
        let filling = Filling {
            kind,
            keys: self.args.keys as u64,
            value_bytes: self.args.value_bytes,
            cache_bytes: self.args.cache_bytes.unwrap_or(CACHE_BYTES),
            is_cold,
            seed: self.args.seed,
        };
        let dir = self.dir.join(format!("{}{}", name(kind), if is_cold { "-cold" } else { "" }));
        let step = |keys| self.progress.step(format!("filling {}: {keys} keys", name(kind)));
        Data::fill(&dir, filling, step)
            .map_err(|error| format!("cannot fill {}: {error}", name(kind)))
    }

    /// All rounds of one case. Each begins with another contender, so that none always follows the
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
            for turn in 0..entries.len() {
                let at = (round + turn) % entries.len();
                let Some(entry) = entries.get(at).copied() else { continue };
                self.progress.step(title(&case, &entry.contender().name));
                let round = u32::try_from(round).unwrap_or(u32::MAX);
                let job = Job { data, entry, case, round, settings: self.settings };
                let problem = match job.take() {
                    Ok(taken) => {
                        disk.add(&taken.sample, taken.disk_bytes);
                        if let Some(cell) = self.cells.get_mut(first + at) {
                            cell.samples.push(taken.sample);
                        }
                        taken.error
                    }
                    Err(why) => Some(why),
                };
                if let Some(why) = problem {
                    self.fail(format!("{}: {why}", title(&case, &entry.contender().name)));
                }
                self.progress.done();
            }
        }
    }

    fn fail(&mut self, what: String) {
        self.failed = true;
        let note = ("failed".to_owned(), what);
        if !self.notes.contains(&note) {
            self.progress.say(&format!("pontoon: failed: {}", note.1));
            self.notes.push(note);
        }
    }
}

/// What was read from the disk while reads were to go there.
#[derive(Debug, Default)]
struct Disk {
    bytes: u64,
    operations: u64,
}

impl Disk {
    fn add(&mut self, sample: &Sample, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.bytes += bytes;
            self.operations += sample.operations;
        }
    }

    fn describe(&self, engine: EngineKind, cache_bytes: usize) -> String {
        let read = if self.operations == 0 {
            "the system does not say how much was read from the disk".into()
        } else {
            let kib = self.bytes as f64 / 1024.0 / self.operations as f64;
            format!("{kib:.1} KiB per operation were read from the disk")
        };
        format!(
            "on {}, {read}; the engine's cache was {} KiB, and the system was asked every {} ms to \
             forget the files; what the device or a hypervisor holds in memory is beyond that",
            name(engine),
            cache_bytes / 1024,
            EVICTION_PERIOD.as_millis()
        )
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

fn durability(args: &Matrix) -> Durability {
    match durability_choice(args) {
        DurabilityChoice::Always => Durability::Always,
        DurabilityChoice::Everysec => Durability::EVERY_SECOND,
        DurabilityChoice::No => Durability::Never,
    }
}

/// A new directory for the data, removed when dropped, and when SIGINT ends the run.
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
    remove_on_interrupt(dir.path().to_owned());
    Ok(dir)
}

/// Without this the data would stay behind; should it not work, that is all.
#[allow(clippy::disallowed_methods)] // it waits for a signal, and runs nothing of the storage
fn remove_on_interrupt(dir: PathBuf) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(tokio::signal::ctrl_c())?;
        // The engine may be adding a file at this very moment.
        let _ = fs::remove_dir_all(&dir).or_else(|_| fs::remove_dir_all(&dir));
        process::exit(130);
        #[allow(unreachable_code)] // it says what `?` returns
        std::io::Result::Ok(())
    });
}

fn announce(plan: &Plan, dir: &Path, file_system: Option<&str>) {
    let took =
        humantime::format_duration(std::time::Duration::from_secs(plan.duration().as_secs()));
    let place = match file_system {
        Some(kind) => format!("data on {kind} in {}", dir.display()),
        None => "data in memory".into(),
    };
    let (samples, seconds) = (plan.samples(), plan.seconds);
    // A closed stderr leaves the results to tell.
    let _ = writeln!(
        std::io::stderr(),
        "{samples} samples of {seconds} s, about {took} in all; {place}"
    );
}

/// What was the same for all cells, by the names of the flags.
fn settings(args: &Matrix, plan: &Plan) -> Vec<(String, String)> {
    let threads = args.direct_threads.unwrap_or_else(machine::cpus);
    let entries = [
        ("rounds", args.rounds.to_string()),
        ("seconds", plan.seconds.to_string()),
        ("keys", args.keys.to_string()),
        ("value-bytes", args.value_bytes.to_string()),
        ("durability", durability_choice(args).name().to_owned()),
        ("cache-bytes", args.cache_bytes.unwrap_or(CACHE_BYTES).to_string()),
        ("direct-threads", threads.to_string()),
        ("seed", args.seed.to_string()),
    ];
    let mut settings: Vec<_> = entries.map(|(name, value)| (name.to_owned(), value)).into();
    let mut note = |name: &str, value: String| settings.push((name.to_owned(), value));
    for what in &plan.left_out {
        note("left out", what.clone());
    }
    if plan.entries.iter().any(|entry| entry.mode == Mode::Direct) {
        note(
            "direct",
            format!("{threads} plain threads at the most, whatever the concurrency; no runtime"),
        );
    }
    if plan.entries.iter().any(|entry| entry.mode.is_baseline()) {
        note(
            "baselines",
            "call the engine once per operation; their read-modify-writes take turns behind a mutex"
                .into(),
        );
    }
    if args.rate.is_some() {
        note(
            "open loop",
            "a thread lets operations in when they are due, and its being late counts; what waits a \
             second (or --seconds, if that is more) after the end is given up and counts as having \
             taken that long"
                .into(),
        );
    }
    note("MiB", "includes what earlier samples left allocated".into());
    settings
}

/// The names of settings that are flags, and so need no line below the table.
fn is_note(name: &str) -> bool {
    ["left out", "failed", "direct", "baselines", "open loop", "get-miss", "MiB"].contains(&name)
}

fn text(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "{}, {} CPUs, {}; fdatasync {}\n",
        machine.cpu,
        machine.cpus,
        machine.system,
        machine.fdatasync_us.map_or("not measured".into(), |us| format!("{us:.0} us (median)"))
    );
    let flags = results.settings.iter().filter(|(name, _)| !is_note(name));
    let flags: Vec<String> = flags.map(|(name, value)| format!("{name} {value}")).collect();
    text.push_str(&flags.join(", "));
    text.push('\n');
    text.push_str(&table::render(results));
    text.push('\n');
    for (name, value) in results.settings.iter().filter(|(name, _)| is_note(name)) {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text
}
