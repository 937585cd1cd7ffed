//! Damaged files: bits flipped, sectors zeroed, bytes overwritten, files cut off, pages swapped, files
//! deleted. Nothing may abort, hang, or let a panic through, and the offline check must say so
//! wherever the data is not what it was.
//!
//! A process of its own runs a batch of trials with bounded memory, so that what kills it or holds
//! it up is seen. `PONTOON_CORRUPTION_TRIALS=5000` runs so many for each engine and state;
//! `PONTOON_CORRUPTION_SEED` makes another series; `PONTOON_CORRUPTION_LOG` names a file for a line of each.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub, dead_code)]
#![allow(clippy::disallowed_methods)] // a thread that reads what a child prints

#[path = "corruption/base.rs"]
mod base;
#[path = "corruption/damage.rs"]
mod damage;
#[path = "common/tree.rs"]
mod tree;
#[path = "corruption/trial.rs"]
mod trial;
#[path = "crash/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use base::{Expected, build};
use damage::Damage;
use pontoon_storage::EngineKind;
use trial::Outcome;

const TRIALS: &str = "PONTOON_CORRUPTION_TRIALS";
const SEED: &str = "PONTOON_CORRUPTION_SEED";
const LOG: &str = "PONTOON_CORRUPTION_LOG";
const CHILD_BASE: &str = "PONTOON_CORRUPTION_CHILD_BASE";
const CHILD_ENGINE: &str = "PONTOON_CORRUPTION_CHILD_ENGINE";
const CHILD_TRIALS: &str = "PONTOON_CORRUPTION_CHILD_TRIALS";

/// For each engine and state, in an ordinary run.
const TRIALS_DEFAULT: u64 = 100;

/// A trial takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Address space of a child, in KiB: a hundred times what it needs, and less than a damaged length
/// can ask for.
const ADDRESS_SPACE_KIB: u64 = 8 << 20;

#[test]
#[cfg(feature = "redb")]
fn damage_to_redb_harms_no_process_and_the_check_finds_what_reads_do_not() {
    let (seen, _) = trials(EngineKind::Redb);
    assert_soft_landing(&seen);
}

#[test]
#[cfg(feature = "rocksdb")]
fn damage_to_rocksdb_is_never_served_as_data() {
    let (seen, lines) = trials(EngineKind::Rocksdb);
    assert_soft_landing(&seen);
    let silent: Vec<_> = lines.iter().filter(|line| line.outcome == Outcome::Silent).collect();
    assert!(silent.is_empty(), "{silent:#?}");
    // The end of the log is all that can go without an error: it may look as a crash leaves it.
    let cut: Vec<_> = lines
        .iter()
        .filter(|line| line.outcome == Outcome::Cut && !line.what.contains(".log "))
        .collect();
    assert!(cut.is_empty(), "{cut:#?}");
}

fn assert_soft_landing(seen: &BTreeMap<Outcome, u64>) {
    for outcome in [Outcome::DetectedAtOpen, Outcome::Harmless] {
        assert!(seen.contains_key(&outcome), "the trials are not what they should be: {seen:?}");
    }
}

/// What one trial was and came to.
#[derive(Debug, Clone)]
struct Line {
    outcome: Outcome,
    complaint: String,
    what: String,
}

/// Runs all trials of an engine, and fails on what may never be.
fn trials(engine: EngineKind) -> (BTreeMap<Outcome, u64>, Vec<Line>) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (count, seed) = (number(TRIALS).unwrap_or(TRIALS_DEFAULT), number(SEED).unwrap_or(1));
    let mut log = std::env::var_os(LOG).map(|path| {
        let path = format!("{}.{}", path.to_str().unwrap(), engine.name());
        File::create(path).unwrap()
    });
    let place = tempfile::tempdir().unwrap();
    build(engine, place.path());
    let (mut seen, mut lines) = (BTreeMap::new(), Vec::new());
    for state in ["clean", "killed"] {
        let mut of_state = BTreeMap::new();
        let mut next = 0;
        while next < count {
            let mut child = ChildRun::start(engine, &place.path().join(state), seed, next, count);
            while let Some(line) = child.next_line() {
                *of_state.entry(line.outcome).or_insert(0) += 1;
                if let Some(log) = &mut log {
                    let Line { outcome, complaint, what } = &line;
                    writeln!(log, "{state} {next} {outcome:?} | {complaint} | {what}").unwrap();
                }
                lines.push(line);
                next += 1;
            }
        }
        eprintln!("{} {state}, seed {seed}: {of_state:?}", engine.name());
        of_state.into_iter().for_each(|(outcome, n)| *seen.entry(outcome).or_insert(0) += n);
    }
    let never = |line: &&Line| {
        matches!(line.outcome, Outcome::Panicked | Outcome::Hung | Outcome::Died)
            || !line.complaint.is_empty()
    };
    let never: Vec<_> = lines.iter().filter(never).collect();
    assert!(
        never.is_empty(),
        "{} of {}: {:#?}",
        never.len(),
        lines.len(),
        &never[..never.len().min(10)]
    );
    (seen, lines)
}

/// A child that runs trials one after the other.
struct ChildRun {
    child: Child,
    lines: Receiver<String>,
    running: Option<String>,
}

impl ChildRun {
    fn start(engine: EngineKind, base: &Path, seed: u64, from: u64, to: u64) -> Self {
        let limited = format!("ulimit -v {ADDRESS_SPACE_KIB}; ulimit -c 0; exec \"$0\" \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &limited])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(CHILD_ENGINE, engine.name())
            .env(CHILD_BASE, base)
            .env(CHILD_TRIALS, format!("{seed} {from} {to}"))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = sync_channel(64);
        std::thread::spawn(move || {
            for line in out.split(b'\n').map_while(Result::ok) {
                if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, running: None }
    }

    /// What the next trial came to; `None` when the child has ended in order.
    fn next_line(&mut self) -> Option<Line> {
        loop {
            let outcome = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => match line.split_once('\t') {
                    Some(("start", what)) => {
                        self.running = Some(what.to_owned());
                        continue;
                    }
                    Some(("done", rest)) => {
                        self.running = None;
                        let mut fields = rest.split('\t');
                        let mut field = || fields.next().unwrap().to_owned();
                        let (name, complaint, what) = (field(), field(), field());
                        let outcome = Outcome::ALL.into_iter().find(|o| o.name() == name).unwrap();
                        return Some(Line { outcome, complaint, what });
                    }
                    // Of the test harness.
                    _ => continue,
                },
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => Outcome::Hung,
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Outcome::Died,
            };
            let _ = self.child.kill();
            let status = self.child.wait().unwrap();
            let Some(what) = self.running.take() else {
                assert!(outcome == Outcome::Died && status.success(), "between trials: {status}");
                return None;
            };
            return Some(Line {
                outcome,
                complaint: String::new(),
                what: format!("{what} ({status})"),
            });
        }
    }
}

impl Drop for ChildRun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what the others run as a process of its own.
#[test]
fn child() {
    let Some(base) = std::env::var_os(CHILD_BASE) else { return };
    let base = Path::new(&base);
    let engine = std::env::var(CHILD_ENGINE).unwrap();
    let engine = EngineKind::AVAILABLE.iter().find(|kind| kind.name() == engine).unwrap();
    let numbers = std::env::var(CHILD_TRIALS).unwrap();
    let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
    let expected = Expected::new();
    for number in numbers[1]..numbers[2] {
        let damage = Damage::choose(base, numbers[0], number);
        say(&format!("start\t{damage}"));
        let place = tempfile::tempdir_in(base.parent().unwrap()).unwrap();
        let report = trial::run(*engine, base, &place.path().join("store"), &damage, &expected);
        let (outcome, complaint) = (report.outcome, report.complaint.unwrap_or_default());
        let (checked, detail) = (report.checked, report.detail.replace('\t', " "));
        say(&format!("done\t{outcome:?}\t{complaint}\t{damage} {checked:?} | {detail}"));
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}
