//! Whether what concurrent clients see of a few keys could have been seen by clients that took turns,
//! while the store is closed, dropped, killed and opened again.
//!
//! `PONTOON_LINEARIZABLE_ROUNDS=30` takes so many histories of each setup, as
//! `scripts/linearizable.sh` does; `PONTOON_LINEARIZABLE_SEED` repeats the operations of a run (what
//! meets what is up to the scheduler).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

#[path = "linearizable/broken.rs"]
mod broken;
#[path = "linearizable/checker.rs"]
mod checker;
#[path = "linearizable/clients.rs"]
mod clients;
mod common;
#[path = "linearizable/history.rs"]
mod history;
#[path = "linearizable/killed.rs"]
mod killed;
#[path = "linearizable/operation.rs"]
mod operation;
#[path = "crash/workload.rs"]
#[allow(dead_code)]
mod workload;

use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};

use broken::{FAULTS, breaking};
use checker::{Done, Verdict, check};
use clients::{CLIENTS, Part, Record, run_all};
use common::Setup;
use history::{Event, STATES_MAX, assert_linearizable, verdict};
use operation::{FewKeys, KEYS, Operation, Way};
use pontoon_storage::{Durability, Options, Store};
use workload::Rng;

const ROUNDS: &str = "PONTOON_LINEARIZABLE_ROUNDS";
const SEED: &str = "PONTOON_LINEARIZABLE_SEED";

/// Operations of one client from one opening to the next.
const OPERATIONS: u64 = 30;

/// How often a store that keeps its data is opened in one history.
const OPENINGS: u64 = 3;

/// How often it is killed in one.
const KILLS: u64 = 3;

/// Of a history that fits no order all states must be looked at: one with more is passed over.
const STATES_TRIED: usize = 20_000;

/// Histories until a broken engine must have been found out; the first or second does it as a rule.
const TRIES_MAX: u64 = 200;

#[test]
fn concurrent_clients_see_one_order_also_over_reopenings() {
    let rounds = variable(ROUNDS).unwrap_or(1);
    let seed = variable(SEED).unwrap_or_else(random_seed);
    println!("{SEED}={seed}");
    let setups = Setup::all();
    let (mut histories, mut operations) = (0, 0);
    for round in 0..rounds {
        for setup in &setups {
            println!("round {round} {setup:?}");
            let seed = seed.wrapping_add(histories);
            let dir = tempfile::tempdir().unwrap();
            let events = events_of(setup, &dir.path().join("store"), seed, |options| options);
            operations += assert_linearizable(seed, &events);
            histories += 1;
        }
    }
    println!(
        "result: reopened | {histories} histories | {operations} operations | all linearizable"
    );
}

#[test]
fn concurrent_clients_see_one_order_also_over_kills() {
    let seed = variable(SEED).unwrap_or_else(random_seed);
    println!("{SEED}={seed}");
    // Few of them where nothing else is asked for: each takes some processes.
    let (rounds, step) = variable(ROUNDS).map_or((1, 4), |rounds| (rounds, 1));
    let (mut histories, mut operations) = (0, 0);
    for round in 0..rounds {
        for (number, setup) in Setup::persistent().iter().enumerate().step_by(step) {
            println!("round {round} {setup:?}");
            let seed = seed.wrapping_add(histories);
            let dir = tempfile::tempdir().unwrap();
            let events = killed::events_of(number, setup, &dir.path().join("store"), seed, KILLS);
            operations += assert_linearizable(seed, &events);
            histories += 1;
        }
    }
    let kills = histories * KILLS;
    println!(
        "result: killed | {histories} histories, {kills} kills | {operations} operations | all linearizable"
    );
}

/// Engines that break their promises, each in one way, are found out.
#[test]
fn what_breaks_the_order_is_found() {
    let seed = variable(SEED).unwrap_or_else(random_seed);
    println!("{SEED}={seed}");
    for fault in FAULTS {
        let mut seeds = seed..seed.saturating_add(TRIES_MAX);
        let found = seeds.find(|&seed| {
            let dir = tempfile::tempdir().unwrap();
            let setup = Setup::all().swap_remove(3 * (seed % 5) as usize + 1);
            let events = events_of(&setup, dir.path(), seed, |options| breaking(options, fault));
            matches!(verdict(seed, &events, STATES_TRIED), Verdict::Not(_))
        });
        assert!(found.is_some(), "{fault:?} went unnoticed");
    }
}

#[test]
fn the_checker_knows_good_histories_from_bad_ones() {
    use Operation::{All, Delete, Get, Put, Swap};
    let done = |operation, called, ended, answer: &[u64]| Done {
        operation,
        called,
        ended,
        answer: Some(answer.to_vec()),
        is_sure: true,
    };
    let maybe = |operation, called, ended| Done {
        answer: None,
        is_sure: false,
        ..done(operation, called, ended, &[])
    };
    let check = |history| check::<FewKeys>([0; KEYS], history, STATES_MAX);
    let put = || done(Put(0, 1), 0, 1, &[]);
    let is_good = |history: Vec<_>| assert_eq!(check(history), Verdict::Linearizable);
    let is_bad = |history: Vec<_>| assert!(matches!(check(history), Verdict::Not(_)));

    is_good(vec![]);
    is_good(vec![put(), done(Get(0), 2, 3, &[1])]);
    // A stale read, and one of what nobody wrote.
    is_bad(vec![put(), done(Get(0), 2, 3, &[0])]);
    is_bad(vec![put(), done(Get(0), 2, 3, &[7])]);
    // At once with the put, either will do; but not the new value and then the old one.
    let slow = || done(Put(0, 1), 0, 9, &[]);
    is_good(vec![slow(), done(Get(0), 1, 2, &[0]), done(Get(0), 3, 4, &[1])]);
    is_bad(vec![slow(), done(Get(0), 1, 2, &[1]), done(Get(0), 3, 4, &[0])]);
    // A lost update: both exchanges saw what was there before.
    let exchange = |called, ended| done(Swap(0, 1), called, ended, &[1, 0]);
    is_bad(vec![put(), exchange(2, 9), exchange(3, 8)]);
    is_good(vec![put(), exchange(2, 9), done(Swap(0, 1), 3, 8, &[0, 1])]);
    // A torn read of a batch.
    let batch = || done(Operation::Write(vec![(0, 5), (1, 5)]), 0, 9, &[]);
    is_bad(vec![batch(), done(All(Way::View), 1, 2, &[5, 0, 0, 0])]);
    is_good(vec![batch(), done(All(Way::View), 1, 2, &[5, 5, 0, 0])]);
    // What may have been done, or not, but once, and not after its end.
    let cut = || maybe(Delete(0), 2, 5);
    is_good(vec![put(), cut(), done(Get(0), 3, 4, &[1]), done(Get(0), 6, 7, &[0])]);
    is_good(vec![put(), cut(), done(Get(0), 6, 7, &[1]), done(Get(0), 8, 9, &[1])]);
    is_bad(vec![put(), cut(), done(Get(0), 6, 7, &[1]), done(Get(0), 8, 9, &[0])]);
    is_bad(vec![put(), cut(), done(Get(0), 3, 4, &[0]), done(Get(0), 6, 7, &[1])]);
}

/// Not a test: what another test runs as a process of its own, and kills.
#[test]
fn child() {
    killed::child();
}

/// What clients see of one store, opened some times.
fn events_of(
    setup: &Setup,
    dir: &Path,
    seed: u64,
    change: impl Fn(Options) -> Options,
) -> Vec<Event> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let record: Record = {
        let events = Arc::clone(&events);
        Arc::new(move |event| events.lock().unwrap().push(event))
    };
    let mut rng = Rng(seed);
    let mut nexts = vec![0; CLIENTS];
    for _ in 0..if setup.engine.is_persistent() { OPENINGS } else { 1 } {
        // What has not been synced is not lost by closing.
        let durability = [Durability::Always, Durability::Never][rng.below(2) as usize];
        let options = change(setup.options(dir).durability(durability));
        let closer = rng.below(2) * CLIENTS as u64 + rng.below(CLIENTS as u64);
        let parts = parts(seed, &nexts, |client, from| {
            (client as u64 == closer).then_some(from + OPERATIONS / 2)
        });
        let waits = rng.below(2) == 0;
        nexts = setup.block_on(async {
            let store = Store::open(options).await.unwrap();
            // Nothing is done between the end of the close that it has waited for and this.
            record(Event::Cut);
            let nexts = run_all(setup, &store, parts, &record).await;
            if waits {
                store.close().await.unwrap();
            }
            nexts
        });
    }
    std::mem::take(&mut *events.lock().unwrap())
}

/// What all clients do from where they stand.
fn parts(seed: u64, nexts: &[u64], close_before: impl Fn(usize, u64) -> Option<u64>) -> Vec<Part> {
    let part = |(client, &from): (usize, &u64)| Part {
        seed,
        client,
        from,
        to: from + OPERATIONS,
        close_before: close_before(client, from),
    };
    nexts.iter().enumerate().map(part).collect()
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect(name))
}

fn random_seed() -> u64 {
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
