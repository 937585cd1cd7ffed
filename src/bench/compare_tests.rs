#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::super::report::fixtures;
use super::*;

fn spread(figures: &[f64]) -> Spread {
    Spread::of(figures.iter().copied()).unwrap()
}

fn storage(cells: Vec<Cell>) -> Results {
    fixtures::run(Subject::Storage, cells)
}

fn pool(per_sec: &[f64]) -> Results {
    storage(vec![fixtures::cell("pool", "multi-thread", 256, per_sec)])
}

#[test]
fn rounds_that_overlap_are_the_same() {
    let before = spread(&[100.0, 110.0, 140.0]);
    assert_eq!(change(before, spread(&[135.0, 200.0, 210.0]), true), Change::Same);
    assert_eq!(change(before, spread(&[141.0, 200.0, 210.0]), true), Change::Better);
    assert_eq!(change(before, spread(&[141.0, 200.0, 210.0]), false), Change::Worse);
    assert_eq!(change(before, spread(&[50.0, 60.0, 99.0]), true), Change::Worse);
}

#[test]
fn medians_within_5_percent_are_the_same() {
    let before = spread(&[100.0, 100.0, 100.0]);
    assert_eq!(change(before, spread(&[104.0, 104.5, 105.0]), true), Change::Same);
    assert_eq!(change(before, spread(&[105.0, 105.5, 106.0]), true), Change::Better);
}

#[test]
fn from_nothing_to_something_is_a_change() {
    let (nothing, something) = (spread(&[0.0]), spread(&[5.0]));
    assert_eq!(change(nothing, nothing, true), Change::Same);
    assert_eq!(change(nothing, something, true), Change::Better);
    assert_eq!(change(something, nothing, true), Change::Worse);
    let comparison = compare(&pool(&[0.0, 0.0]), &pool(&[5e3, 5e3])).unwrap();
    assert!(comparison.text.contains("0/s -> 5 k/s faster"), "{}", comparison.text);
}

#[test]
fn a_run_is_the_same_as_itself() {
    for (name, results) in fixtures::all() {
        let Comparison { text, slower } = compare(&results, &results).unwrap();
        assert_eq!(slower, 0, "{name}");
        assert!(!text.contains("differ") && !text.contains("Only in"), "{name}: {text}");
        assert!(text.contains("\n0 faster, 0 slower, "), "{name}: {text}");
    }
}

#[test]
fn what_changed_is_counted_and_said_with_the_rule() {
    let comparison = compare(&pool(&[1e5, 1.1e5, 1.05e5]), &pool(&[5e4, 5.5e4, 5.25e4])).unwrap();
    let text = &comparison.text;
    assert_eq!(comparison.slower, 1);
    assert!(text.contains(RULE), "{text}");
    let line = "redb get-hit at 256: pool multi-thread   105 k/s -> 52.5 k/s x0.50 SLOWER";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("x2.00 HIGHER"), "{text}");
    assert!(text.ends_with("\n0 faster, 1 slower, 0 the same within noise\n"), "{text}");
}

#[test]
fn a_slower_baseline_is_told_but_is_no_slower_pontoon() {
    let cells = |per_sec| {
        let direct = fixtures::cell("direct", "", 1, &[per_sec, per_sec]);
        storage(vec![direct, fixtures::cell("pool", "multi-thread", 1, &[1e5, 1e5])])
    };
    let comparison = compare(&cells(2e5), &cells(1e5)).unwrap();
    assert_eq!(comparison.slower, 0);
    let said = "rather than with Pontoon: 0 faster, 1 slower, 0 the same within noise\n0 faster, 0 slower, 1 the same";
    assert!(comparison.text.contains(said), "{}", comparison.text);
}

#[test]
fn at_a_fixed_rate_latency_decides() {
    let open = |p99_us: f64| {
        let mut results = pool(&[1e4, 1e4]);
        results.load = Load::Open { rate_per_sec: 1e4 };
        results.cells[0].samples.iter_mut().for_each(|sample| sample.latency.p99_us = p99_us);
        results
    };
    assert_eq!(compare(&open(100.0), &open(200.0)).unwrap().slower, 1);
    assert_eq!(compare(&open(200.0), &open(100.0)).unwrap().slower, 0);
}

#[test]
fn cells_of_one_run_alone_are_listed() {
    let before = storage(vec![
        fixtures::cell("pool", "", 1, &[1e5]),
        fixtures::cell("pool", "", 16, &[1e5]),
    ]);
    let after = storage(vec![
        fixtures::cell("pool", "", 1, &[1e5]),
        fixtures::cell("blocking", "", 16, &[1e5]),
    ]);
    let text = compare(&before, &after).unwrap().text;
    assert!(text.contains("Only in A:\n  redb get-hit at 16: pool\n"), "{text}");
    assert!(text.contains("Only in B:\n  redb get-hit at 16: blocking\n"), "{text}");
    assert!(text.contains("with one round nothing is known of the noise"), "{text}");
}

#[test]
fn other_conditions_are_named() {
    let before = pool(&[1e5, 1e5]);
    let mut after = before.clone();
    after.machine.cpus = 64;
    after.settings[0].1 = "7".into();
    after.settings.push(("durability".into(), "sync".into()));
    after.versions[1].1 = "4.1.0".into();
    after.load = Load::Open { rate_per_sec: 1000.0 };
    let text = compare(&before, &after).unwrap().text;
    for said in [
        "the machine differs: usable CPUs 4 -> 64\n",
        "settings differ: keys 100000 -> 7; durability – -> sync\n",
        "versions differ: redb 4.0.0 -> 4.1.0\n",
        "the load differs: load closed loop -> open loop at 1 k/s\n",
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
}

#[test]
fn servers_and_storage_are_refused() {
    let why = compare(&fixtures::storage(), &fixtures::server()).unwrap_err();
    assert!(why.contains("cannot be compared"), "{why}");
}

#[test]
fn files_that_are_no_runs_are_refused_with_what_to_do() {
    let results = pool(&[1e5, 2e5]);
    let run = serde_json::to_string(&results).unwrap();
    assert_eq!(parse(&run).unwrap(), results);
    let other = run.replacen("\"format\":1", "\"format\":99", 1);
    for (text, needle) in [
        ("# Report", "is not JSON"),
        ("{}", "is no run of pontoon bench"),
        ("[1]", "is no run of pontoon bench"),
        (r#"{"format":1}"#, "is damaged"),
        (other.as_str(), "has format 99, and this pontoon reads format 1"),
    ] {
        let why = parse(text).unwrap_err();
        assert!(why.contains(needle) && why.contains(": "), "{text:.20}: {why}");
    }
}

#[test]
fn slower_fails_only_where_asked() {
    let dir = tempfile::tempdir().unwrap();
    let save = |name: &str, results: &Results| {
        let file = dir.path().join(name);
        fs::write(&file, serde_json::to_string(results).unwrap()).unwrap();
        file
    };
    let before = save("a.json", &pool(&[1e5, 1e5]));
    let after = save("b.json", &pool(&[1e4, 1e4]));
    let code = |before: &Path, after: &Path, fail_if_slower| {
        let args = cli::Compare { before: before.into(), after: after.into(), fail_if_slower };
        format!("{:?}", run(&args).unwrap())
    };
    let [success, failure] = [ExitCode::SUCCESS, ExitCode::FAILURE].map(|code| format!("{code:?}"));
    assert_eq!(code(&before, &after, false), success);
    assert_eq!(code(&before, &after, true), failure);
    assert_eq!(code(&after, &before, true), success);
    let missing = cli::Compare { before, after: dir.path().join("c.json"), fail_if_slower: false };
    assert!(run(&missing).unwrap_err().contains("cannot read"));
}
