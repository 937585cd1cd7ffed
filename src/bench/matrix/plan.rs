//! What the flags amount to: which contenders meet on which cases, what is left out and why, and how
//! long it takes.

use std::time::Duration;

use pontoon_storage::EngineKind;

use crate::bench::choice::{Flavor, Mode, Named, Workload};
use crate::bench::cli::Matrix;
use crate::bench::result::{self, Contender};

/// What the whole run is to take when `--seconds` does not say otherwise.
const RUN: Duration = Duration::from_secs(112);

/// The bounds of what `--seconds` is by default.
const SECONDS_MIN: f64 = 0.1;
const SECONDS_MAX: f64 = 2.0;

/// What a sample takes beside its seconds: its warm-up as a part of them, and a constant for starting
/// a runtime and a store and for letting them finish.
pub(super) const WARM_UP: f64 = 0.1;
const SAMPLE_OVERHEAD_SECS: f64 = 0.05;

/// How fast data is filled in, about, in keys and in bytes a second.
const FILL_KEYS_PER_SEC: f64 = 200e3;
const FILL_BYTES_PER_SEC: f64 = 50e6;

/// The largest value: as many as there are callers are in memory at a time.
const VALUE_BYTES_MAX: usize = 16 << 20;

/// The most callers.
const CALLERS_MAX: usize = 1 << 20;

/// How one contender calls, and on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) mode: Mode,
    /// Means nothing to `direct`.
    pub(super) flavor: Flavor,
    /// Of the pool, where they were given.
    pub(super) pool_threads: Option<usize>,
}

impl Entry {
    pub(super) fn contender(&self) -> Contender {
        let mode = self.mode.name();
        let name = match self.pool_threads {
            Some(threads) => format!("{mode} x{threads}"),
            None => mode,
        };
        let runtime = if self.mode == Mode::Direct { String::new() } else { self.flavor.name() };
        Contender { name, runtime, is_baseline: self.mode.is_baseline() }
    }

    /// Why it cannot be, if it cannot.
    fn obstacle(&self) -> Option<String> {
        let needs_tokio = match self.mode {
            Mode::Blocking | Mode::PerCall => "spawn_blocking is tokio's",
            Mode::Inline => "it would block the executor's threads as it does tokio's",
            Mode::Pool | Mode::PerCallPool | Mode::Direct => return None,
        };
        let mode = self.mode.name();
        (self.flavor == Flavor::None).then(|| format!("{mode} with --runtime none ({needs_tokio})"))
    }
}

/// What all contenders do once in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) engine: EngineKind,
    pub(super) workload: Workload,
    pub(super) concurrency: usize,
}

impl Case {
    pub(super) fn result(&self) -> result::Case {
        result::Case {
            engine: EngineKind::name(self.engine).into(),
            workload: self.workload.name(),
            pipeline: 1,
            concurrency: u32::try_from(self.concurrency).unwrap_or(u32::MAX),
        }
    }
}

/// The whole run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// In the order in which they run: by engine, then by what they need of its data.
    pub(super) cases: Vec<Case>,
    pub(super) entries: Vec<Entry>,
    pub(super) rounds: usize,
    /// Of each sample.
    pub(super) seconds: f64,
    /// What was asked for and cannot be, with the reason.
    pub(super) left_out: Vec<String>,
    fill_secs: f64,
}

impl Plan {
    /// # Errors
    /// What contradicts, or that nothing is left.
    pub(super) fn of(args: &Matrix) -> Result<Self, String> {
        check(args)?;
        let mut left_out = Vec::new();
        let entries = entries(args, &mut left_out);
        let cases = cases(args, &mut left_out);
        if entries.is_empty() || cases.is_empty() {
            return Err(format!("nothing is left to measure without {}", left_out.join(", ")));
        }
        let rounds = args.rounds;
        let fill_secs = fill_secs(args, &cases);
        let samples = (cases.len() * entries.len() * rounds) as f64;
        let seconds = args.seconds.unwrap_or_else(|| {
            let each = (RUN.as_secs_f64() - fill_secs) / samples;
            let seconds = (each - SAMPLE_OVERHEAD_SECS) / (1.0 + WARM_UP);
            ((seconds * 100.0).floor() / 100.0).clamp(SECONDS_MIN, SECONDS_MAX)
        });
        Ok(Self { cases, entries, rounds, seconds, left_out, fill_secs })
    }

    /// Samples in all.
    pub(super) fn samples(&self) -> usize {
        self.cases.len() * self.entries.len() * self.rounds
    }

    /// What it should take.
    pub(super) fn duration(&self) -> Duration {
        let each = self.seconds * (1.0 + WARM_UP) + SAMPLE_OVERHEAD_SECS;
        Duration::from_secs_f64(self.fill_secs + self.samples() as f64 * each)
    }
}

/// The engines to measure: by default those whose data outlives the process.
pub(super) fn engines(args: &Matrix) -> Vec<EngineKind> {
    match &args.engine {
        Some(engines) => engines.0.clone(),
        None => EngineKind::all().into_iter().filter(|kind| kind.is_persistent()).collect(),
    }
}

fn check(args: &Matrix) -> Result<(), String> {
    let has = |is_meant: fn(Mode) -> bool| args.bridge.0.iter().any(|mode| is_meant(*mode));
    if args.pool_threads.is_some() && !has(Mode::has_pool) {
        return Err("--pool-threads is for --bridge pool and per-call-pool".into());
    }
    if args.direct_threads.is_some() && !has(|mode| mode == Mode::Direct) {
        return Err("--direct-threads is for --bridge direct".into());
    }
    if args.value_bytes > VALUE_BYTES_MAX {
        return Err(format!("--value-bytes is {}, and can be {VALUE_BYTES_MAX}", args.value_bytes));
    }
    if let Some(most) = args.concurrency.0.iter().find(|callers| **callers > CALLERS_MAX) {
        return Err(format!("--concurrency {most} is more than {CALLERS_MAX}"));
    }
    let engines = engines(args);
    if engines.is_empty() {
        return Err("this build has no engine that keeps data: say --engine memory".into());
    }
    if !engines.iter().any(|engine| engine.is_persistent()) {
        if args.durability.is_some() {
            return Err("--engine memory has no durability: leave --durability out".into());
        }
        if args.engine_cache_bytes.is_some() {
            return Err("--engine memory has no read cache: leave --engine-cache-bytes out".into());
        }
        if args.dir.is_some() {
            return Err("--engine memory keeps nothing in --dir: leave it out".into());
        }
    }
    Ok(())
}

fn entries(args: &Matrix, left_out: &mut Vec<String>) -> Vec<Entry> {
    let given: Vec<Option<usize>> = match &args.pool_threads {
        Some(threads) => threads.0.iter().copied().map(Some).collect(),
        None => vec![None],
    };
    let mut entries = Vec::new();
    for &mode in &args.bridge.0 {
        // `direct` has no runtime, and so runs once, whatever the runtimes are.
        let flavors =
            if mode == Mode::Direct { &[Flavor::None] } else { args.runtime.0.as_slice() };
        let pools = if mode.has_pool() { given.as_slice() } else { &[None] };
        for &flavor in flavors {
            for &pool_threads in pools {
                let entry = Entry { mode, flavor, pool_threads };
                match entry.obstacle() {
                    Some(obstacle) => left_out.push(obstacle),
                    None => entries.push(entry),
                }
            }
        }
    }
    entries
}

fn cases(args: &Matrix, left_out: &mut Vec<String>) -> Vec<Case> {
    let mut cases = Vec::new();
    for engine in engines(args) {
        // Last, as it needs data of its own.
        let (misses, others): (Vec<_>, Vec<_>) =
            args.workload.0.iter().partition(|workload| **workload == Workload::GetMiss);
        for workload in others.into_iter().chain(misses) {
            if workload == Workload::GetMiss && !engine.is_persistent() {
                left_out.push("get-miss with --engine memory (it has no disk)".into());
                continue;
            }
            let concurrency = args.concurrency.0.iter();
            cases.extend(concurrency.map(|&concurrency| Case { engine, workload, concurrency }));
        }
    }
    cases
}

fn fill_secs(args: &Matrix, cases: &[Case]) -> f64 {
    let data_sets = engines(args).into_iter().map(|engine| {
        let of_engine = || cases.iter().filter(|case| case.engine == engine);
        let has = |is_miss| of_engine().any(|case| (case.workload == Workload::GetMiss) == is_miss);
        usize::from(has(false)) + usize::from(has(true))
    });
    let keys = args.keys as f64;
    let each = keys / FILL_KEYS_PER_SEC + keys * args.value_bytes as f64 / FILL_BYTES_PER_SEC;
    data_sets.sum::<usize>() as f64 * each
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
