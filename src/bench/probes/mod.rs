//! `pontoon bench probes`: programs that wait for storage and for something else at once, in ways that
//! can end in a deadlock. Each runs on its own runtime within a time limit, on both flavors and with
//! both bridges; beside each runs naive code of the same shape, which must be caught deadlocking, as a
//! probe that cannot fail proves nothing.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use pontoon_storage::{Bridge, Durability, EngineKind, Options, Store};
use tokio::runtime::{Builder, Runtime};

use super::choice::{Flavor, Named};
use super::{cli, output};

mod naive;
mod program;

use program::Probe;

/// Worker threads of the multi-thread runtime: more than one, so that tasks do run side by side, and
/// few, so that naive code soon blocks them all.
const WORKERS: usize = 2;

/// Threads that read, with the pool: as few as can be.
const POOL_THREADS: usize = 1;

/// How long naive code is watched: it is stuck within milliseconds.
const NAIVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs all of them. 1 if one deadlocks or fails, or if naive code does not.
pub(super) fn run(args: &cli::Probes) -> Result<ExitCode, String> {
    let timeout = Duration::from_secs_f64(args.timeout_secs);
    let dir = tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    let mut all_well = true;
    for (number, probe) in program::PROBES.iter().enumerate() {
        output::print(&format!("{}: {}\n", probe.name, probe.what))?;
        for flavor in [Flavor::MultiThread, Flavor::CurrentThread] {
            let run_naive = probe.naive;
            let naive = Watched::start(move || run_naive(&runtime(flavor)?));
            for bridge in [Bridge::Blocking, Bridge::Pool] {
                let name = format!("{bridge:?}").to_ascii_lowercase();
                let dir = dir.path().join(format!("{number}-{}-{name}", flavor.name()));
                let verdict =
                    Watched::start(move || run_one(probe, flavor, bridge, &dir)).verdict(timeout);
                all_well &= matches!(verdict, Verdict::Done { .. });
                output::print(&format!("  {:<14}  {name:<10}  {verdict}\n", flavor.name()))?;
            }
            let verdict = naive.verdict(NAIVE_TIMEOUT);
            let is_stuck = matches!(verdict, Verdict::Stuck(_));
            all_well &= is_stuck;
            let expected = if is_stuck { ", as it should" } else { ": this probe proves nothing" };
            let naive = "naive code";
            output::print(&format!("  {:<14}  {naive:<10}  {verdict}{expected}\n", flavor.name()))?;
        }
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_one(probe: &Probe, flavor: Flavor, bridge: Bridge, dir: &Path) -> Result<u64, String> {
    let runtime = runtime(flavor)?;
    let options = match EngineKind::all().into_iter().find(|kind| kind.is_persistent()) {
        Some(kind) => Options::new(dir).engine(kind),
        None => Options::in_memory(),
    };
    let mut options = options.bridge(bridge.clone()).durability(Durability::EVERY_SECOND);
    if matches!(bridge, Bridge::Pool) {
        options = options.pool_threads(POOL_THREADS);
    }
    if let Some(operations) = probe.queue_len_max {
        options = options.queue_len_max(operations);
    }
    let outcome = runtime.block_on(async {
        let store = Store::open(options).await?;
        let keyspace = store.keyspace("probe")?;
        let operations = (probe.run)(store.clone(), keyspace).await?;
        store.close().await?;
        Ok::<_, program::Error>(operations)
    });
    outcome.map_err(|error| error.to_string())
}

fn runtime(flavor: Flavor) -> Result<Runtime, String> {
    let mut builder = match flavor {
        Flavor::CurrentThread => Builder::new_current_thread(),
        Flavor::MultiThread | Flavor::None => Builder::new_multi_thread(),
    };
    if flavor != Flavor::CurrentThread {
        builder.worker_threads(WORKERS);
    }
    builder.enable_all().build().map_err(|error| format!("cannot start a runtime: {error}"))
}

/// A program on a thread of its own, which is left behind if it never ends.
struct Watched {
    begun: Instant,
    outcome: Receiver<(Result<u64, String>, Duration)>,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// It ended after so many operations.
    Done { operations: u64, took: Duration },
    /// It ended with an error.
    Failed(String),
    /// It had not ended after this time.
    Stuck(Duration),
}

impl Watched {
    #[allow(clippy::disallowed_methods)] // it must be left behind when it is stuck; no pool allows that
    fn start(program: impl FnOnce() -> Result<u64, String> + Send + 'static) -> Self {
        let (sender, outcome) = sync_channel(1);
        let begun = Instant::now();
        thread::spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(program))
                .unwrap_or_else(|panic| Err(format!("it panicked: {}", message(panic.as_ref()))));
            // Nobody is there any more when it was too late.
            let _ = sender.send((ended, begun.elapsed()));
        });
        Self { begun, outcome }
    }

    /// Waits until it has ended, or until it has had `timeout`.
    fn verdict(self, timeout: Duration) -> Verdict {
        match self.outcome.recv_timeout(timeout.saturating_sub(self.begun.elapsed())) {
            Ok((Ok(operations), took)) => Verdict::Done { operations, took },
            Ok((Err(why), _)) => Verdict::Failed(why),
            Err(RecvTimeoutError::Timeout) => Verdict::Stuck(timeout),
            Err(RecvTimeoutError::Disconnected) => Verdict::Failed("its thread is gone".into()),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Done { operations, took } => {
                write!(f, "no deadlock ({operations} ops in {} ms)", took.as_millis())
            }
            Verdict::Failed(why) => write!(f, "FAILED: {why}"),
            Verdict::Stuck(after) => {
                write!(f, "DEADLOCK (not done after {} s)", after.as_secs_f64())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_ends_fails_panics_and_hangs_is_told_apart() {
        let long = Duration::from_secs(60);
        let done = Watched::start(|| Ok(7)).verdict(long);
        assert!(matches!(done, Verdict::Done { operations: 7, .. }), "{done}");
        let failed = Watched::start(|| Err("no".into())).verdict(long);
        assert_eq!(failed, Verdict::Failed("no".into()));
        let panicked = Watched::start(|| panic!("oh {}", "dear")).verdict(long);
        assert_eq!(panicked.to_string(), "FAILED: it panicked: oh dear");
        #[allow(clippy::disallowed_methods)] // nothing is ever sent
        let (_sender, never) = channel::<()>();
        let stuck = Watched::start(move || never.recv().map(|()| 0).map_err(|e| e.to_string()));
        let short = Duration::from_millis(20);
        assert_eq!(stuck.verdict(short), Verdict::Stuck(short));
    }
}
