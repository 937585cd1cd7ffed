//! Running a scenario under many schedules.

use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// Schedules tried per scenario and scheduler, unless `PONTOON_MODEL_ITERATIONS` says more.
const ITERATIONS: usize = 1_000;

/// Places in a schedule where PCT lets another thread overtake: more than any race here needs.
const PCT_DEPTH: usize = 3;

/// Tries `scenario` under random schedules, and under ones that starve some thread as long as they can
/// (probabilistic concurrency testing). A failure prints the schedule, for `shuttle::replay`.
///
/// # Panics
/// When `scenario` does, or deadlocks, under one of them.
pub fn check(scenario: impl Fn() + Send + Sync + Copy + 'static) {
    check_one_in(1, scenario);
}

/// As [`check`], with one in `n` of the schedules: for scenarios of many thousand steps.
///
/// # Panics
/// As [`check`] does.
pub fn check_one_in(n: usize, scenario: impl Fn() + Send + Sync + Copy + 'static) {
    let iterations = std::env::var("PONTOON_MODEL_ITERATIONS").ok();
    let iterations = iterations.and_then(|n| n.parse().ok()).unwrap_or(ITERATIONS).div_ceil(n);
    run(RandomScheduler::new(iterations), scenario);
    run(PctScheduler::new(PCT_DEPTH, iterations), scenario);
}

/// Tries every schedule of `scenario`, which must use neither the clock nor chance, and returns how
/// many there are.
///
/// # Panics
/// When `scenario` does, or deadlocks, under one of them; or when there are more than `at_most`.
pub fn check_every(at_most: usize, scenario: impl Fn() + Send + Sync + 'static) -> usize {
    let schedules = run(DfsScheduler::new(Some(at_most), false), scenario);
    assert!(schedules < at_most, "there are more than {at_most} schedules");
    eprintln!("{schedules} schedules: all there are");
    schedules
}

fn run(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Send + Sync + 'static) -> usize {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.silence_warnings = true;
    Runner::new(scheduler, config).run(move || {
        crate::threads::one_fault_in(0);
        scenario();
    })
}
