//! The same with the clients in a process of their own, which is killed again and again.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use pontoon_storage::Store;

use crate::clients::{CLIENTS, Part, Record, run_all};
use crate::common::Setup;
use crate::history::Event;
use crate::workload::Rng;
use crate::{SEED, parts};

const DIR: &str = "PONTOON_LINEARIZABLE_CHILD_DIR";
const SETUP: &str = "PONTOON_LINEARIZABLE_CHILD_SETUP";
const STARTS: &str = "PONTOON_LINEARIZABLE_CHILD_STARTS";

/// The most that is answered before a kill.
const ANSWERS_MAX: u64 = 120;

/// What clients see of the store in `dir` over some kills and, in this process, after the last.
pub fn events_of(number: usize, setup: &Setup, dir: &Path, seed: u64, kills: u64) -> Vec<Event> {
    let mut events = Vec::new();
    let mut rng = Rng(seed);
    for _ in 0..kills {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let starts: Vec<String> = nexts(&events).iter().map(u64::to_string).collect();
        command
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(DIR, dir)
            .env(SETUP, number.to_string())
            .env(STARTS, starts.join(","))
            .env(SEED, seed.to_string());
        events.extend(run_and_kill(&mut command, rng.below(ANSWERS_MAX)));
        events.push(Event::Cut);
    }
    let events = Arc::new(Mutex::new(events));
    let record: Record = {
        let events = Arc::clone(&events);
        Arc::new(move |event| events.lock().unwrap().push(event))
    };
    let parts = parts(seed, &nexts(&events.lock().unwrap()), |_, _| None);
    setup.block_on(async {
        let store = Store::open(setup.options(dir)).await.unwrap();
        run_all(setup, &store, parts, &record).await;
        store.close().await.unwrap();
    });
    std::mem::take(&mut *events.lock().unwrap())
}

/// Where each client is to go on.
fn nexts(events: &[Event]) -> Vec<u64> {
    let mut nexts = vec![0; CLIENTS];
    for event in events {
        if let Event::Called(client, index) = event {
            nexts[*client] = index + 1;
        }
    }
    nexts
}

/// The whole lines of a child that is killed after so many answers.
fn run_and_kill(command: &mut Command, answers: u64) -> Vec<Event> {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.strip_suffix('\n').map(Event::parse)
    };
    let mut events = Vec::new();
    let mut answered = 0;
    while answered <= answers {
        let event = next().expect("it ended by itself");
        answered += u64::from(matches!(event, Some(Event::Answered(..))));
        events.extend(event);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while let Some(event) = next() {
        events.extend(event);
    }
    events
}

/// Opens the store and runs its clients until it is killed, if the environment says so.
pub fn child() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let setup = Setup::persistent().swap_remove(number(SETUP) as usize);
    let starts = std::env::var(STARTS).unwrap();
    let parts = starts.split(',').enumerate().map(|(client, from)| Part {
        seed: number(SEED),
        client,
        from: from.parse().unwrap(),
        to: u64::MAX,
        close_before: None,
    });
    let parts = parts.collect();
    let record: Record = Arc::new(|event: Event| say(&event.line()));
    // The test harness may have begun a line of its own.
    say("");
    setup.block_on(async {
        let store = Store::open(setup.options(Path::new(&dir))).await.unwrap();
        run_all(&setup, &store, parts, &record).await;
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
