#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::super::super::result::Load;
use super::super::fixtures::{cell, run};
use super::super::group::groups;
use super::*;

fn conclusion(results: &Results) -> Conclusion {
    conclude(results, &groups(results))
}

/// What is concluded of these cells of the storage.
fn of(cells: Vec<Cell>) -> Conclusion {
    conclusion(&run(Subject::Storage, cells))
}

/// `name` on `multi-thread` with three rounds around each throughput.
fn line(name: &str, by_concurrency: &[(u32, f64)]) -> Vec<Cell> {
    let runtime = if name == "direct" { "" } else { "multi-thread" };
    let cell = |(at, per_sec): &(u32, f64)| {
        cell(name, runtime, *at, &[*per_sec, per_sec * 1.01, per_sec * 0.99])
    };
    by_concurrency.iter().map(cell).collect()
}

#[track_caller]
fn assert_says(sentences: &[String], said: &str) {
    assert!(
        sentences.iter().any(|sentence| sentence.contains(said)),
        "{said:?} is not in {sentences:#?}"
    );
}

#[test]
fn a_lead_from_some_concurrency_on() {
    let pool = line("pool", &[(1, 1e4), (16, 1e5), (256, 1.3e5), (4096, 1.3e5)]);
    let blocking = line("blocking", &[(1, 1e4), (16, 1e5), (256, 1e5), (4096, 1e5)]);
    let told = of([pool, blocking].concat());
    assert_eq!(
        told.modes,
        [
            "redb, get-hit, multi-thread: pool is 1.3 times faster than blocking at 256 and above; equal up to 16."
        ]
    );
    assert_says(
        &told.lead,
        "4 cases on which Pontoon's modes can be compared: pool is fastest in 2 (by 1.3 times); no single best in 2",
    );
}

#[test]
fn a_lead_everywhere_with_factors_that_differ() {
    let told =
        of([line("pool", &[(1, 2e4), (16, 3e5)]), line("blocking", &[(1, 1e4), (16, 1e5)])]
            .concat());
    assert_says(&told.modes, "pool is 2.0 to 3.0 times faster than blocking at every concurrency.");
}

#[test]
fn lines_that_cross() {
    let told =
        of([line("pool", &[(1, 1e4), (16, 3e5)]), line("blocking", &[(1, 2e4), (16, 1e5)])]
            .concat());
    assert_says(
        &told.modes,
        "blocking is 2.0 times faster than pool at 1; pool is 3.0 times faster than blocking at 16.",
    );
}

#[test]
fn ties_are_no_lead() {
    let told =
        of([line("pool", &[(1, 1e4), (16, 1e5)]), line("blocking", &[(1, 1.02e4), (16, 0.98e5)])]
            .concat());
    assert_says(&told.modes, "pool and blocking are equal within noise at every concurrency.");
}

#[test]
fn rounds_that_do_not_agree_are_a_tie_however_far_the_medians_are() {
    let pool = cell("pool", "none", 1, &[2e5, 2e5, 0.9e5]);
    let blocking = cell("blocking", "none", 1, &[1e5, 1e5, 1e5]);
    assert_says(&of(vec![pool, blocking]).modes, "equal within noise");
}

#[test]
fn numbers_of_threads_of_one_mode_meet_each_other_only_where_there_is_no_other_mode() {
    let pools = [line("pool x1", &[(16, 1e5)]), line("pool x4", &[(16, 2e5)])].concat();
    assert_says(&of(pools.clone()).modes, "pool x4 is 2.0 times faster than pool x1 at 16.");
    let told = of([pools, line("blocking", &[(16, 1.5e5)])].concat());
    assert_says(&told.modes, "pool is 1.3 times faster than blocking at 16.");
}

#[test]
fn one_round_says_nothing_of_noise() {
    let told = of(vec![cell("pool", "none", 1, &[2e5]), cell("blocking", "none", 1, &[1e5])]);
    assert_says(&told.lead, "one round only, which says nothing about noise");
    let told = of([line("pool", &[(1, 2e5)]), line("blocking", &[(1, 1e5)])].concat());
    assert!(!told.lead.iter().any(|sentence| sentence.contains("one round")), "{:?}", told.lead);
}

#[test]
fn what_the_bridge_costs_is_told() {
    let pool = line("pool", &[(1, 1e4), (16, 4e5), (256, 1e6)]);
    let direct = line("direct", &[(1, 2e5), (16, 4e5), (256, 5e5)]);
    let told = of([pool, direct].concat());
    assert_says(
        &told.by_group[0][0],
        "The best mode reaches 0.050 at 1 of the throughput of direct calls; equals direct calls at 16; \
         is faster than direct calls by a factor of 2.0 at 256.",
    );
    assert_says(
        &told.lead,
        "slower in 1 (it reaches 0.050 of direct's throughput), equal in 1 and faster in 1 (by 2.0 times), of 3 cases",
    );
}

#[test]
fn a_baseline_that_beats_pontoon_is_told() {
    let told =
        of([line("pool", &[(1, 1e4), (16, 1e5)]), line("per-call", &[(1, 1.5e4), (16, 5e4)])]
            .concat());
    assert_says(&told.lead, "it is beaten in 1: per-call is fastest in 1 (by 1.5 times)");
    assert_says(
        &told.by_group[0][0],
        "per-call is 1.5 times faster than Pontoon's best mode at 1; \
         Pontoon's best mode is 2.0 times faster than per-call at 16.",
    );
    let told = of([line("pool", &[(1, 1e4)]), line("per-call", &[(1, 1e3)])].concat());
    assert_says(&told.lead, "none beats it");
}

#[test]
fn puts_that_share_an_fsync_are_told() {
    let mut cells = [line("pool", &[(256, 14e3)]), line("direct", &[(256, 1e3)])].concat();
    for cell in &mut cells {
        cell.case.workload = "durable-put".into();
        let shared = if cell.contender.is_baseline { 1 } else { 140 };
        cell.samples.iter_mut().for_each(|sample| sample.syncs = Some(sample.operations / shared));
    }
    let told = of(cells);
    assert_says(
        &told.lead,
        "at 256, 140 puts share an fsync, and the throughput is 14 times that of direct.",
    );
}

#[test]
fn an_fsync_that_nobody_waited_for_is_no_group_commit() {
    let mut cells = [line("pool", &[(256, 14e3)]), line("direct", &[(256, 1e3)])].concat();
    cells.iter_mut().flat_map(|cell| &mut cell.samples).for_each(|sample| sample.syncs = Some(1));
    let told = of(cells);
    assert!(!told.lead.iter().any(|sentence| sentence.contains("fsync")), "{:?}", told.lead);
}

#[test]
fn who_stalls_the_runtime_is_named() {
    let mut cells = [line("pool", &[(16, 1e5)]), line("inline", &[(16, 1e5)])].concat();
    let late = |cells: &mut [Cell], name: &str, p999_us| {
        let own = cells.iter_mut().filter(|cell| cell.contender.name == name);
        let stall = super::super::super::result::Stall { p999_us, max_us: p999_us * 2.0 };
        own.for_each(|cell| cell.samples.iter_mut().for_each(|sample| sample.stall = Some(stall)));
    };
    late(&mut cells, "pool", 1200.0);
    late(&mut cells, "inline", 1500.0);
    assert_says(
        &of(cells.clone()).lead,
        "No contender stalls the runtime: a task that ticks every millisecond is at the most 1.5 ms late",
    );
    late(&mut cells, "inline", 140e3);
    let told = of(cells.clone());
    assert_says(
        &told.lead,
        "inline by up to 140 ms (redb get-hit, multi-thread, 16). Pontoon's modes that do not stay below 1.2 ms.",
    );
    late(&mut cells, "pool", 20e3);
    assert_says(&of(cells).lead, "pool by up to 20 ms");
}

#[test]
fn three_servers_where_two_lead_together() {
    let server = |name: &str, per_sec: f64| {
        let mut cell = cell(name, "", 100, &[per_sec, per_sec * 1.01]);
        (cell.case.engine, cell.case.workload) = (String::new(), "set".into());
        cell
    };
    let told = |pontoon| {
        let cells =
            vec![server("pontoon", pontoon), server("redis", 2e5), server("kvrocks 2", 1e5)];
        conclusion(&run(Subject::Server, cells))
    };
    assert_eq!(told(2e5).modes, ["set: pontoon and redis lead together at 100."]);
    assert_eq!(told(0.5e5).modes, ["set: redis is 2.0 times faster than kvrocks 2 at 100."]);
}

#[test]
fn at_a_fixed_rate_the_tail_decides_and_who_falls_behind_is_named() {
    let mut results = run(
        Subject::Storage,
        [line("pool", &[(16, 1e4)]), line("blocking", &[(16, 1e4)]), line("pool", &[(256, 5e3)])]
            .concat(),
    );
    results.load = Load::Open { rate_per_sec: 1e4 };
    for cell in &mut results.cells {
        let p99_us = if cell.contender.name == "pool" { 100.0 } else { 150.0 };
        cell.samples.iter_mut().for_each(|sample| sample.latency.p99_us = p99_us);
    }
    let told = conclusion(&results);
    assert_says(&told.modes, "the p99 of pool is 1.5 times lower than that of blocking at 16.");
    assert_says(
        &told.lead,
        "do not keep up with the rate of 10 k/s everywhere: pool multi-thread in 1 case.",
    );
}

#[test]
fn errors_are_told() {
    let mut cells = line("pool", &[(16, 1e4)]);
    cells[0].samples[1].errors = 7;
    assert_says(&of(cells).lead, "answered with an error: 7 of pool");
}

#[test]
fn nothing_to_compare_is_said_to_be_so() {
    let nothing = "There is no case on which two of Pontoon's modes can be compared.";
    assert_says(&of(Vec::new()).lead, nothing);
    assert_says(&of(line("pool", &[(16, 1e4)])).lead, nothing);
    assert_says(
        &of([line("pool", &[(16, 1e4)]), line("blocking", &[(16, 0.0)])].concat()).lead,
        nothing,
    );
}
