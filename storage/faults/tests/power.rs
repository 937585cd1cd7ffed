//! What is there after a power loss: a child process writes to a disk in memory, which FUSE serves, and
//! prints what was acknowledged. The disk's power is cut at a random change, what was not fsynced
//! survives, is lost or is torn, and the store is opened again and compared.
//!
//! `PONTOON_POWER_ROUNDS=1000` runs so many rounds for each engine and durability; `PONTOON_POWER_SEED`
//! repeats the operations and the kinds of a run (what happens at once is up to the scheduler).
//! Where no disk can be mounted these tests say so and pass, unless `PONTOON_REQUIRE_FUSE=1`.
#![cfg(all(target_os = "linux", any(feature = "redb", feature = "rocksdb")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]
#![allow(unreachable_pub)]

#[path = "../../tests/crash/check.rs"]
mod check;
#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "power/rounds.rs"]
mod rounds;
#[path = "../../tests/crash/workload.rs"]
mod workload;
#[path = "power/writing.rs"]
mod writing;

use std::time::Duration;

use pontoon_storage::{Durability, EngineKind};
use rounds::{Case, Power, variable};

/// In each round a few times over.
const INTERVAL: Duration = Duration::from_millis(15);

const ROUNDS: &str = "PONTOON_POWER_ROUNDS";

/// Rounds of each engine and durability, if nobody asks for more.
const ROUNDS_DEFAULT: u64 = 20;

macro_rules! tests {
    ($($name:ident: $engine:literal, $durability:expr, $quick_repair:literal;)*) => {
        $(
            #[test]
            #[cfg(feature = $engine)]
            fn $name() {
                power_rounds($engine, $durability, $quick_repair);
            }
        )*
    };
}

tests! {
    redb_keeps_what_it_acknowledged: "redb", Durability::Always, false;
    redb_with_quick_repair_keeps_what_it_acknowledged: "redb", Durability::Always, true;
    redb_loses_the_last_unsynced_writes_alone: "redb", Durability::Every(INTERVAL), false;
    redb_with_quick_repair_loses_the_last_unsynced_writes_alone:
        "redb", Durability::Every(INTERVAL), true;
    redb_that_never_syncs_loses_the_last_writes_alone: "redb", Durability::Never, false;
    rocksdb_keeps_what_it_acknowledged: "rocksdb", Durability::Always, false;
    rocksdb_loses_the_last_unsynced_writes_alone: "rocksdb", Durability::Every(INTERVAL), false;
    rocksdb_that_never_syncs_loses_the_last_writes_alone: "rocksdb", Durability::Never, false;
}

/// Not a test: what the other tests run as a process of their own, and kill.
#[test]
fn child() {
    writing::child();
}

fn power_rounds(engine: &str, durability: Durability, quick_repair: bool) {
    if let Some(why) = pontoon_faults::unavailable() {
        assert!(std::env::var_os("PONTOON_REQUIRE_FUSE").is_none_or(|v| v != "1"), "{why}");
        eprintln!("NOT TESTED: power loss of {engine}, because {why}");
        return;
    }
    let engine = EngineKind::AVAILABLE.iter().copied().find(|kind| kind.name() == engine).unwrap();
    let rounds = variable(ROUNDS).unwrap_or(ROUNDS_DEFAULT);
    let mut power = Power::new(Case { engine, durability, quick_repair });
    for _ in 0..rounds {
        power.round();
    }
    println!("{}", power.summary());
}
