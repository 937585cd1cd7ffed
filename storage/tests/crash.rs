//! What is there after `kill -9`: a child process writes and prints what was acknowledged, is killed
//! at a random moment, and its directory is opened again and compared. In some tests that moment is
//! inside a phase: an opening, a recovery, a close, a checkpoint, the drop of a keyspace.
//!
//! `PONTOON_CRASH_ROUNDS=1000` runs so many rounds for each engine, bridge mode and durability, and
//! `PONTOON_CRASH_PHASE_ROUNDS` so many for each phase, as `scripts/crash.sh` does; `PONTOON_CRASH_SEED`
//! repeats the operations and the counts of a run (the exact moment of a kill is up to the scheduler).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

#[path = "crash/check.rs"]
mod check;
#[path = "crash/child.rs"]
mod child;
mod common;
#[path = "crash/parent.rs"]
mod parent;
#[path = "crash/round.rs"]
mod round;
#[path = "crash/told.rs"]
mod told;
#[path = "crash/workload.rs"]
mod workload;

use child::INTERVAL;
use parent::Crash;
use pontoon_storage::{Bridge, Durability, EngineKind};

const ROUNDS: &str = "PONTOON_CRASH_ROUNDS";
const PHASE_ROUNDS: &str = "PONTOON_CRASH_PHASE_ROUNDS";
const SEED: &str = "PONTOON_CRASH_SEED";

/// Where nothing else is asked for.
const ROUNDS_DEFAULT: u64 = 20;
const PHASE_ROUNDS_DEFAULT: u64 = 6;

/// What every engine's first opening creates at the least, files and directories.
const FIRST_FILES_MAX: usize = 5;

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let rounds = variable(ROUNDS).unwrap_or(ROUNDS_DEFAULT);
    for_each_directory("writes", &[Durability::Always], rounds, Crash::kill_writers);
}

#[test]
fn a_kill_takes_the_last_unsynced_writes_alone() {
    let durabilities = [Durability::Every(INTERVAL), Durability::Never];
    let rounds = variable(ROUNDS).unwrap_or(ROUNDS_DEFAULT);
    for_each_directory("writes", &durabilities, rounds, Crash::kill_writers);
}

#[test]
fn a_first_open_that_is_killed_leaves_what_can_be_opened() {
    for_each_mode(|engine, bridge| {
        for files in 0..FIRST_FILES_MAX {
            let mut crash = Crash::new(engine, &bridge, Durability::Always);
            let setup = crash.setups[files % crash.setups.len()];
            crash.kill_in_open(setup);
            crash.kill_in_open(setup);
            crash.kill_writers(setup);
            let mut crash = Crash::new(engine, &bridge, Durability::Always);
            crash.kill_in_first_open(setup, files);
            crash.kill_writers(setup);
        }
    });
}

#[test]
fn a_recovery_that_is_killed_again_and_again_loses_nothing_more() {
    in_phase("recovery", Crash::kill_in_recovery);
}

#[test]
fn a_close_that_is_killed_loses_nothing_more_and_nothing_once_it_has_ended() {
    in_phase("close", Crash::kill_in_close);
}

#[test]
fn a_checkpoint_that_is_killed_is_whole_or_not_there() {
    in_phase("checkpoint", Crash::kill_in_checkpoint);
}

#[test]
fn a_keyspace_is_whole_or_gone_when_its_drop_is_killed() {
    in_phase("drop", Crash::kill_in_drop);
}

/// Not a test: what the other tests run as a process of their own, and kill.
#[test]
fn child() {
    child::run();
}

fn in_phase(what: &str, round: fn(&mut Crash, usize)) {
    let durabilities = [Durability::Always, Durability::Every(INTERVAL)];
    let rounds = variable(PHASE_ROUNDS).unwrap_or(PHASE_ROUNDS_DEFAULT);
    for_each_directory(what, &durabilities, rounds, round);
}

/// A directory for each engine, mode and durability; each round goes on from what the one before it
/// left.
fn for_each_directory(
    what: &str,
    durabilities: &[Durability],
    rounds: u64,
    round: fn(&mut Crash, usize),
) {
    for &durability in durabilities {
        for_each_mode(|engine, bridge| {
            let mut crash = Crash::new(engine, &bridge, durability);
            for number in 0..rounds {
                println!("round {number}");
                let setup = crash.setups[number as usize % crash.setups.len()];
                round(&mut crash, setup);
            }
            crash.report(what);
        });
    }
}

/// Side by side: most of the time is the disk's.
fn for_each_mode(test: impl Fn(EngineKind, Bridge) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
            for bridge in [Bridge::Pool, Bridge::Blocking] {
                scope.spawn(move || test(engine, bridge));
            }
        }
    });
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}
