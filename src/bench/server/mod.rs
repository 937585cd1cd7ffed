//! `pontoon bench server`: load on RESP servers, so that Pontoon and others stand in one picture.
//!
//! The servers take turns in every round of every case, so that what else happens on the machine
//! falls on all of them. [`request`] and [`reply`] are the wire format as a client sees it,
//! [`connection`] a connection, [`load`] one sample, [`arrivals`] and [`timer`] the open loop, and
//! [`process`] what a server costs.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::launch;
use crate::open_files;

use super::result::{self, Case, Cell, Contender, Results, Subject};
use super::{machine, output, progress, table};

pub(super) mod args;

mod arrivals;
mod connection;
mod load;
mod process;
mod reply;
mod request;
mod target;
mod timer;

use args::{Server, Workload};
use load::Load;
use progress::Progress;
use request::{Requests, Values};
use target::Target;

/// Bytes of requests that all connections together may hold.
const REQUEST_BYTES_MAX: u64 = 2 << 30;

/// What a sample takes beside the load, per connection.
const CONNECTING: Duration = Duration::from_micros(50);

/// Runs the load. Exit code 1 if any server had errors, 2 if the flags contradict.
pub(super) fn run(args: &Server) -> Result<ExitCode, String> {
    if let Err(why) = check(args) {
        launch::fail(&why);
        return Ok(ExitCode::from(2));
    }
    args.output.check()?;
    let connections_max = args.connections.iter().copied().max().unwrap_or(1) as usize;
    let room = open_files::make_some_room(connections_max, 0)?;
    if room < connections_max {
        return Err(format!(
            "the limit of open files has room for {room} connections: raise it (ulimit -n) or lower \
             --connections"
        ));
    }
    let mut run = Run::new(args);
    run.find_targets();
    run.fill();
    if run.targets.is_empty() {
        return Err("there is no server to load".into());
    }
    let results = run.measure();
    if results.cells.is_empty() {
        return Err("nothing was measured".into());
    }
    output::print(&table::render(&results))?;
    args.output.write(&results)?;
    Ok(if run.has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What no flag shows alone.
fn check(args: &Server) -> Result<(), String> {
    let mut names = BTreeSet::new();
    if let Some(twice) = args.addr.iter().find(|addr| !names.insert(&addr.name)) {
        let name = &twice.name;
        return Err(format!("two servers are called {name}: name them with --addr NAME={name}"));
    }
    if args.password.as_deref() == Some("") {
        return Err("--password is empty: leave it out for no password".into());
    }
    let most = cases(args).into_iter().map(|(workload, case)| {
        let command = Requests::bytes_max(workload, args.value_bytes as u64);
        u64::from(case.concurrency) * u64::from(case.pipeline) * command
    });
    if most.max().unwrap_or(0) > REQUEST_BYTES_MAX {
        return Err(format!(
            "the requests of all connections would take more than {} GiB: lower --connections, \
             --pipeline or --value-bytes",
            REQUEST_BYTES_MAX >> 30
        ));
    }
    Ok(())
}

/// In the order of the run. Each once, however often the flags name it.
fn cases(args: &Server) -> Vec<(Workload, Case)> {
    let mut cases: Vec<(Workload, Case)> = Vec::new();
    for &workload in &args.workload {
        for &pipeline in &args.pipeline {
            for &concurrency in &args.connections {
                let name = workload.name().to_owned();
                let case = Case { engine: String::new(), workload: name, pipeline, concurrency };
                if !cases.iter().any(|(_, other)| *other == case) {
                    cases.push((workload, case));
                }
            }
        }
    }
    cases
}

struct Run<'a> {
    args: &'a Server,
    cases: Vec<(Workload, Case)>,
    values: Arc<Values>,
    threads: u32,
    /// Servers that can be loaded.
    targets: Vec<Target>,
    progress: Progress,
    has_errors: bool,
}

impl<'a> Run<'a> {
    fn new(args: &'a Server) -> Self {
        let cases = cases(args);
        let turns = u64::from(args.rounds) * args.addr.len() as u64;
        let per_turn = cases
            .iter()
            .map(|(_, case)| Duration::from_secs_f64(args.seconds) + CONNECTING * case.concurrency);
        let planned = per_turn.sum::<Duration>().mul_f64(turns as f64);
        let progress = Progress::start(cases.len() as u64 * turns, planned);
        progress.say(&format!(
            "{} cases x {} rounds x {} servers: about {}",
            cases.len(),
            args.rounds,
            args.addr.len(),
            humantime::format_duration(Duration::from_secs(planned.as_secs().max(1)))
        ));
        let values = Arc::new(Values::new(args.value_bytes, args.seed));
        let threads = args.threads.unwrap_or((machine::cpus() as u32 / 2).max(1));
        Self { args, cases, values, threads, targets: Vec::new(), progress, has_errors: false }
    }

    fn find_targets(&mut self) {
        for address in &self.args.addr {
            match Target::find(address, self.args) {
                Ok(target) => {
                    if let Err(why) = &target.process {
                        let name = &target.name;
                        self.progress.say(&format!("{name}: no CPU time and memory: {why}"));
                    }
                    self.targets.push(target);
                }
                Err(why) => self.fail(&format!("{} ({})", address.name, address.place), &why),
            }
        }
    }

    /// Sets the keys, where a workload needs them.
    fn fill(&mut self) {
        if !self.args.workload.iter().any(|workload| workload.needs_keys()) {
            return;
        }
        for target in std::mem::take(&mut self.targets) {
            self.progress.step(format!("setting {} keys of {}", self.args.keys, target.name));
            match target.fill(self.args.keys, &self.values, self.args.seed) {
                Ok(()) => self.targets.push(target),
                Err(why) => self.fail(&target.name, &format!("cannot set the keys: {why}")),
            }
        }
    }

    fn measure(&mut self) -> Results {
        let args = self.args;
        let mut results = Results {
            format: result::FORMAT,
            subject: Subject::Server,
            command: command(
                std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()),
            ),
            date: machine::date(),
            machine: machine::describe(None),
            versions: machine::versions(),
            settings: self.settings(),
            load: match args.rate {
                None => result::Load::Closed,
                Some(rate_per_sec) => result::Load::Open { rate_per_sec },
            },
            cells: Vec::new(),
        };
        let versions = self.targets.iter().map(|target| {
            let seen = match &target.process {
                Ok(_) => target.version.clone(),
                Err(why) => format!("{}; no CPU time and memory: {why}", target.version),
            };
            (target.name.clone(), seen)
        });
        results.versions.extend(versions);
        for (workload, case) in self.cases.clone() {
            let cells = self.measure_case(workload, &case);
            results.cells.extend(cells.into_iter().filter(|cell| !cell.samples.is_empty()));
        }
        results
    }

    fn measure_case(&mut self, workload: Workload, case: &Case) -> Vec<Cell> {
        let contender = |name: &str| Contender {
            name: name.into(),
            runtime: String::new(),
            is_baseline: false,
        };
        let cell = |target: &Target| Cell {
            case: case.clone(),
            contender: contender(&target.name),
            samples: Vec::new(),
        };
        let mut turns: Vec<(Target, Cell)> =
            self.targets.iter().map(|target| (target.clone(), cell(target))).collect();
        let mut told = BTreeSet::new();
        let mut skipped = BTreeSet::new();
        for round in 0..self.args.rounds {
            for (target, cell) in &mut turns {
                let Case { workload: what, pipeline, concurrency, .. } = case;
                let title =
                    format!("{}: {what}, {concurrency} connections x {pipeline}", target.name);
                self.progress.step(title.clone());
                if !skipped.contains(&target.name) {
                    match load::run(
                        &self.load(target, workload, case, round),
                        target.process.as_ref().ok(),
                    ) {
                        Ok(mut outcome) => {
                            outcome.sample.round = round;
                            self.has_errors |= outcome.sample.errors > 0;
                            // Once in each case: the rounds say much the same.
                            if told.insert(target.name.clone()) {
                                for note in &outcome.notes {
                                    self.progress.say(&format!("{title}: {note}"));
                                }
                            }
                            cell.samples.push(outcome.sample);
                        }
                        Err(why) => {
                            self.fail(&title, &why);
                            skipped.insert(target.name.clone());
                        }
                    }
                }
                self.progress.done();
            }
        }
        self.drop_the_lost(&skipped);
        turns.into_iter().map(|(_, cell)| cell).collect()
    }

    /// A server that could not do a case may do others, unless it is gone.
    fn drop_the_lost(&mut self, suspects: &BTreeSet<String>) {
        let (progress, targets) = (&self.progress, &mut self.targets);
        targets.retain(|target| {
            let is_there = !suspects.contains(&target.name) || target.is_there();
            if !is_there {
                progress.say(&format!("{}: it is gone; the others go on", target.name));
            }
            is_there
        });
    }

    fn load(&self, target: &Target, workload: Workload, case: &Case, round: u32) -> Load {
        Load {
            access: target.access.clone(),
            workload,
            connections: case.concurrency,
            pipeline: case.pipeline,
            keys: self.args.keys,
            values: Arc::clone(&self.values),
            duration: Duration::from_secs_f64(self.args.seconds),
            rate_per_sec: self.args.rate,
            // All servers get the same commands in a round.
            seed: self.args.seed.wrapping_add(u64::from(round)),
            threads: self.threads,
        }
    }

    fn settings(&self) -> Vec<(String, String)> {
        let args = self.args;
        let setting = |name: &str, value: &dyn ToString| (name.to_owned(), value.to_string());
        vec![
            setting("keys", &args.keys),
            setting("value-bytes", &args.value_bytes),
            setting("seconds", &args.seconds),
            setting("rounds", &args.rounds),
            setting("seed", &args.seed),
            setting("threads", &self.threads),
        ]
    }

    fn fail(&mut self, what: &str, why: &str) {
        self.has_errors = true;
        self.progress.say(&format!("pontoon: {what}: {why}"));
    }
}

/// The command that repeats this run, without its password.
fn command(args: impl Iterator<Item = String>) -> String {
    let mut words = vec!["pontoon".to_owned()];
    let mut is_secret = false;
    for arg in args {
        if std::mem::replace(&mut is_secret, arg == "--password") {
            words.push("…".into());
        } else if arg.starts_with("--password=") {
            words.push("--password=…".into());
        } else {
            words.push(machine::quoted(&arg));
        }
    }
    words.join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Server {
        args::tests::parse(args).unwrap()
    }

    #[test]
    fn every_combination_is_a_case_once() {
        let args = parse(&["--workload=get,get,set", "--connections=1,2", "--pipeline=1,3,1"]);
        let cases = cases(&args);
        assert_eq!(cases.len(), 8);
        let (workload, case) = &cases[3];
        assert_eq!((*workload, case.workload.as_str()), (Workload::Get, "get"));
        assert_eq!((case.pipeline, case.concurrency), (3, 2));
    }

    #[test]
    fn names_that_are_not_unique_are_refused() {
        let why = check(&parse(&["--addr=a=h:1", "--addr=a=h:2"])).unwrap_err();
        assert!(why.contains("two servers are called a"), "{why}");
        check(&parse(&["--addr=a=h:1", "--addr=b=h:1"])).unwrap();
    }

    #[test]
    fn an_empty_password_is_refused() {
        let why = check(&parse(&["--password="])).unwrap_err();
        assert!(why.contains("--password is empty"), "{why}");
    }

    #[test]
    fn a_load_that_does_not_fit_into_memory_is_refused() {
        let large = ["--workload=set", "--value-bytes=1000000", "--connections=10000"];
        let why = check(&parse(&large)).unwrap_err();
        assert!(why.contains("--value-bytes"), "{why}");
        check(&parse(&["--workload=get", "--value-bytes=1000000"])).unwrap();
    }

    #[test]
    fn the_default_run_takes_about_two_minutes_with_two_servers() {
        let args = parse(&["--addr=a=h:1", "--addr=b=h:2"]);
        let seconds = cases(&args).len() as f64 * f64::from(args.rounds) * 2.0 * args.seconds;
        assert!((60.0..=120.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn the_command_keeps_the_password_to_itself() {
        let said = |args: &[&str]| command(args.iter().map(|arg| (*arg).to_owned()));
        let expected = "pontoon bench server --password … --db 1";
        assert_eq!(said(&["bench", "server", "--password", "x y", "--db", "1"]), expected);
        assert_eq!(said(&["--password=x", "a b"]), "pontoon --password=… 'a b'");
    }
}
