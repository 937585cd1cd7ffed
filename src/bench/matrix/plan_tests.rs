#![allow(clippy::unwrap_used)]

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    matrix: Matrix,
}

fn args(flags: &[&str]) -> Matrix {
    let flags = [&["bench", "--engine", "memory"], flags].concat();
    Flags::try_parse_from(flags).unwrap_or_else(|error| panic!("{error}")).matrix
}

fn plan(flags: &[&str]) -> Plan {
    Plan::of(&args(flags)).unwrap_or_else(|why| panic!("{flags:?}: {why}"))
}

fn names(plan: &Plan) -> Vec<String> {
    let contenders = plan.entries.iter().map(Entry::contender);
    contenders.map(|it| format!("{} {}", it.name, it.runtime).trim().to_owned()).collect()
}

#[track_caller]
fn assert_refused(flags: &[&str], needle: &str) {
    let why = Plan::of(&args(flags)).unwrap_err();
    assert!(why.contains(needle), "{needle:?} is not in {why:?}");
}

#[test]
fn the_default_takes_about_two_minutes() {
    let plan = plan(&[]);
    assert_eq!((plan.entries.len(), plan.cases.len(), plan.rounds), (7, 8, 3));
    let planned = plan.duration().as_secs_f64();
    assert!((100.0..120.0).contains(&planned), "{planned}");
    assert!(plan.left_out.is_empty());
}

#[test]
fn a_larger_matrix_takes_shorter_samples_down_to_a_least() {
    let larger = plan(&["--rounds", "6"]);
    assert!(larger.seconds < plan(&[]).seconds);
    assert!((100.0..120.0).contains(&larger.duration().as_secs_f64()));
    let huge = plan(&["--workload", "all", "--bridge", "all", "--runtime", "all"]);
    assert_eq!(huge.seconds, SECONDS_MIN);
    assert!(huge.duration() > RUN);
    let small = plan(&["--bridge", "pool", "--concurrency", "1", "--workload", "put"]);
    assert_eq!(small.seconds, SECONDS_MAX);
    assert_eq!(plan(&["--seconds", "0.25"]).seconds, 0.25);
}

#[test]
fn direct_has_no_runtime_and_each_pool_is_a_contender() {
    let plan = plan(&["--bridge", "direct,pool,per-call-pool", "--pool-threads", "1,4"]);
    let expected = [
        "direct",
        "pool x1 multi-thread",
        "pool x4 multi-thread",
        "pool x1 current-thread",
        "pool x4 current-thread",
        "per-call-pool x1 multi-thread",
        "per-call-pool x4 multi-thread",
        "per-call-pool x1 current-thread",
        "per-call-pool x4 current-thread",
    ];
    assert_eq!(names(&plan), expected);
}

#[test]
fn what_needs_tokio_is_left_out_without_it_and_said_so() {
    let plan = plan(&["--bridge", "all", "--runtime", "none"]);
    assert_eq!(names(&plan), ["pool none", "direct", "per-call-pool none"]);
    let left_out = plan.left_out.join("; ");
    for mode in ["blocking", "per-call", "inline"] {
        assert!(left_out.contains(&format!("{mode} with --runtime none")), "{left_out}");
    }
}

#[test]
fn memory_has_no_misses() {
    let plan = plan(&["--workload", "get-miss,get-hit"]);
    assert!(plan.cases.iter().all(|case| case.workload == Workload::GetHit));
    assert!(plan.left_out.iter().any(|what| what.contains("get-miss")));
    assert_refused(&["--workload", "get-miss"], "nothing is left to measure");
}

#[test]
fn what_contradicts_is_refused() {
    assert_refused(&["--bridge", "direct", "--pool-threads", "2"], "--pool-threads is for");
    assert_refused(&["--bridge", "pool", "--direct-threads", "2"], "--direct-threads is for");
    assert_refused(&["--durability", "no"], "no durability");
    assert_refused(&["--engine-cache-bytes", "1mb"], "no read cache");
    assert_refused(&["--dir", "."], "--dir");
    assert_refused(&["--value-bytes", "1gb"], "--value-bytes is");
    assert_refused(&["--concurrency", "1,2000000"], "2000000 is more");
    assert_refused(&["--bridge", "blocking", "--runtime", "none"], "spawn_blocking");
}
