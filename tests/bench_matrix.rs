//! `pontoon bench` and `pontoon bench probes`, as a child process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use pontoon::bench::result::{Cell, FORMAT, Load, Results, Subject};

/// Settings with which a matrix is over soon.
const TINY: [&str; 8] =
    ["--seconds", "0.05", "--rounds", "2", "--keys", "500", "--concurrency", "1,20"];

/// Runs the tiny matrix with `args`; what it saved and what it said.
fn measure(args: &[&str]) -> (Results, String) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("results.json");
    let args = [&["bench"], &TINY[..], args, &["--json", json.to_str().unwrap()]].concat();
    let output = common::run(&args);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}\n{stdout}");
    (serde_json::from_slice(&fs::read(json).unwrap()).unwrap(), stdout)
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn contender(cell: &Cell) -> String {
    format!("{} {}", cell.contender.name, cell.contender.runtime).trim().to_owned()
}

fn operations<'a>(cells: impl Iterator<Item = &'a Cell>) -> u64 {
    cells.flat_map(|cell| &cell.samples).map(|sample| sample.operations).sum()
}

#[test]
fn every_contender_does_every_case_in_every_round() {
    let args = ["--engine", "memory", "--bridge", "all", "--runtime", "all"];
    let (results, stdout) = measure(&[&args[..], &["--workload", "get-hit,get-miss,rmw"]].concat());
    assert_eq!((results.format, results.subject), (FORMAT, Subject::Storage));
    assert_eq!(results.load, Load::Closed);
    let contenders: BTreeSet<String> = results.cells.iter().map(contender).collect();
    let expected = [
        "blocking current-thread",
        "blocking multi-thread",
        "direct",
        "inline current-thread",
        "inline multi-thread",
        "per-call current-thread",
        "per-call multi-thread",
        "per-call-pool current-thread",
        "per-call-pool multi-thread",
        "per-call-pool none",
        "pool current-thread",
        "pool multi-thread",
        "pool none",
    ];
    assert_eq!(contenders, expected.map(str::to_owned).into());
    let cases: BTreeSet<_> = results.cells.iter().map(|cell| cell.case.clone()).collect();
    // Not get-miss, for which memory has no disk.
    assert_eq!(cases.len(), 2 * 2);
    assert_eq!(results.cells.len(), cases.len() * contenders.len());
    for cell in &results.cells {
        let rounds: Vec<u32> = cell.samples.iter().map(|sample| sample.round).collect();
        assert_eq!(rounds, [0, 1], "{cell:?}");
        for sample in &cell.samples {
            assert_eq!(sample.errors, 0, "{cell:?}");
            let on_tokio = !["", "none"].contains(&cell.contender.runtime.as_str());
            assert_eq!(sample.stall.is_some(), on_tokio, "{cell:?}");
            assert_eq!(sample.mean_batch.is_some(), !cell.contender.is_baseline, "{cell:?}");
        }
    }
    for name in &contenders {
        let cells = results.cells.iter().filter(|cell| contender(cell) == *name);
        assert!(operations(cells) > 0, "{name}");
    }
    assert!(stdout.contains("memory, rmw, concurrency 20; ratio = throughput over that of direct"));
    for left_out in ["get-miss with --engine memory", "inline with --runtime none"] {
        assert!(stdout.contains(&format!("left out: {left_out}")), "{stdout}");
    }
}

#[test]
fn every_workload_succeeds() {
    let args = ["--engine", "memory", "--bridge", "pool,per-call", "--workload", "all"];
    let (results, _) = measure(&[&args[..], &["--runtime", "multi-thread"]].concat());
    let workloads: BTreeSet<String> =
        results.cells.iter().map(|cell| cell.case.workload.clone()).collect();
    assert_eq!(workloads.len(), 11);
    for name in workloads {
        let cells = || results.cells.iter().filter(|cell| cell.case.workload == name);
        assert!(operations(cells()) > 0, "{name}");
        assert!(cells().flat_map(|cell| &cell.samples).all(|sample| sample.errors == 0), "{name}");
    }
}

#[test]
fn engines_that_keep_data_are_measured_on_the_disk_and_leave_none_behind() {
    for engine in common::persistent_engines() {
        let dir = tempfile::tempdir().unwrap();
        let workloads = "get-hit,get-miss,put-durable,ycsb-d";
        let args =
            ["--engine", engine, "--workload", workloads, "--bridge", "pool,blocking,direct"];
        let (results, stdout) =
            measure(&[&args[..], &["--dir", dir.path().to_str().unwrap()]].concat());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(results.machine.fdatasync_us.unwrap() > 0.0);
        assert_eq!(results.cells.len(), 4 * 2 * 5);
        let samples = || results.cells.iter().flat_map(|cell| &cell.samples);
        assert!(samples().all(|sample| sample.errors == 0));
        // How many a window takes is the disk's affair: it may be shorter than one.
        assert!(samples().all(|sample| sample.syncs.is_some()));
        assert!(stdout.contains(&format!("get-miss: on {engine}, ")), "{stdout}");
    }
}

#[test]
fn an_open_loop_answers_what_arrives() {
    let args = ["--engine", "memory", "--rate", "400", "--workload", "ycsb-a", "--bridge", "all"];
    let (results, stdout) = measure(&args);
    assert_eq!(results.load, Load::Open { rate_per_sec: 400.0 });
    for sample in results.cells.iter().flat_map(|cell| &cell.samples) {
        // What arrived in the warm-up may be answered in the window, too: 2 of 20.
        assert!(sample.operations <= 22, "{sample:?}");
        assert!(!sample.latency.curve.is_empty(), "{sample:?}");
    }
    assert!(stdout.starts_with(|c: char| c.is_ascii_alphanumeric()), "{stdout}");
    assert!(stdout.contains("Open loop: 400 operations a second"), "{stdout}");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let cases: [(&[&str], i32, &str); 5] = [
        (&["--bridge", "swim"], 2, "per-call-pool"),
        (&["--bridge", "direct", "--pool-threads", "2"], 2, "--pool-threads is for"),
        (&["--bridge", "inline", "--runtime", "none"], 2, "nothing is left to measure"),
        (&["--json", "/missing/results.json"], 1, "cannot write --json /missing/results.json"),
        (&["--dir", "/missing"], 1, "--dir"),
    ];
    for (args, code, needle) in cases {
        let args = [&["bench"], args].concat();
        let output = common::run(&args);
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(needle), "{args:?}: {stderr}");
        assert_eq!(stdout, "");
    }
}

#[test]
fn probes_find_no_deadlock_but_in_naive_code() {
    let output = common::run(&["bench", "probes", "--timeout-secs", "60"]);
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}\n{stdout}");
    let count = |needle: &str| stdout.lines().filter(|line| line.contains(needle)).count();
    assert_eq!(count("no deadlock ("), 4 * 2 * 2, "{stdout}");
    assert_eq!(count("DEADLOCK (not done after 1 s), as it should"), 4 * 2, "{stdout}");
}

#[test]
fn a_probe_out_of_time_is_a_deadlock() {
    let output = common::run(&["bench", "probes", "--timeout-secs", "0.000001"]);
    let (stdout, _) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("blocking    DEADLOCK"), "{stdout}");
}
