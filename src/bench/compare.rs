//! What changed between two runs, as text.
//!
//! Two runs never share a round, so there are no ratios to lean on as within a run: a figure counts as
//! changed if its rounds of before and of after do not overlap, and the medians differ by more than 5 %.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use super::cli;
use super::output;
use super::report::format;
use super::report::verdict::{FACTOR_MIN, Measure};
use super::result::{Cell, FORMAT, Load, Results, Sample, Spread, Subject};

const RULE: &str = "Changed is what has rounds that do not overlap and medians more than 5 % apart; all else is the \
                    same within noise.";

/// Prints what changed. 0, also if it became slower, unless `args` want that to fail.
///
/// # Errors
///
/// A file that cannot be read, is no run of this version, or is of another subject than the other.
pub(super) fn run(args: &cli::Compare) -> Result<ExitCode, String> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let comparison = compare(&before, &after)?;
    output::print(&comparison.text)?;
    let has_failed = args.fail_if_slower && comparison.slower > 0;
    Ok(if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(file: &Path) -> Result<Results, String> {
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|why| format!("cannot read {name}: {why}"))?;
    parse(&text).map_err(|why| format!("{name} {why}"))
}

/// The run that `text` holds, or what is wrong with it, to follow the file's name.
fn parse(text: &str) -> Result<Results, String> {
    const SAVE: &str = "give a file that pontoon bench --json has written";
    let json: serde_json::Value =
        serde_json::from_str(text).map_err(|why| format!("is not JSON ({why}): {SAVE}"))?;
    match json.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return Err(format!(
                "has format {format}, and this pontoon reads format {FORMAT}: repeat the run with this version"
            ));
        }
        None => return Err(format!("is no run of pontoon bench: {SAVE}")),
    }
    serde_json::from_value(json).map_err(|why| format!("is damaged ({why}): {SAVE}"))
}

/// What changed between two runs.
#[derive(Debug)]
struct Comparison {
    text: String,
    /// Cells that became slower, baselines aside.
    slower: usize,
}

fn compare(before: &Results, after: &Results) -> Result<Comparison, String> {
    if before.subject != after.subject {
        return Err("one run is of the storage and the other of servers, which cannot be compared: give two \
                    of the same kind"
            .into());
    }
    let mut text =
        format!("A: {}  {}\nB: {}  {}\n", before.date, before.command, after.date, after.command);
    for difference in differences(before, after) {
        text += &format!("Beware, {difference}\n");
    }
    if before.cells.iter().chain(&after.cells).any(|cell| cell.samples.len() < 2) {
        text +=
            "Beware, with one round nothing is known of the noise: take its changes for hints\n";
    }
    text += &format!("{RULE}\n");
    let pairs = before.cells.iter().filter_map(|cell| Some((cell, twin(cell, after)?)));
    let rows: Vec<Row> = pairs.map(|(a, b)| row(a, b, before, after)).collect();
    text += &table(&rows);
    text += &alone("A", before, after);
    text += &alone("B", after, before);
    let (baselines, counted): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.is_baseline);
    let tally = Tally::of(&counted);
    if !baselines.is_empty() {
        let machine = Tally::of(&baselines);
        text += &format!(
            "\nBaselines, which change with the machine rather than with Pontoon: {machine}"
        );
    }
    text += &format!("\n{tally}\n");
    Ok(Comparison { text, slower: tally.slower })
}

/// What should be the same and is not.
fn differences(before: &Results, after: &Results) -> Vec<String> {
    let machine = |results: &Results| {
        let machine = &results.machine;
        let fixed = [
            ("CPU", machine.cpu.clone()),
            ("usable CPUs", machine.cpus.to_string()),
            ("memory", format::bytes(machine.memory_bytes as f64)),
            ("system", machine.system.clone()),
            ("file system", machine.file_system.clone().unwrap_or_else(|| format::NONE.into())),
        ];
        fixed.map(|(name, value)| (name.to_owned(), value)).to_vec()
    };
    let load = |results: &Results| {
        let load = match results.load {
            Load::Closed => "closed loop".into(),
            Load::Open { rate_per_sec } => {
                format!("open loop at {}", format::per_sec(rate_per_sec))
            }
        };
        vec![("load".to_owned(), load)]
    };
    let mut found = Vec::new();
    for (what, a, b) in [
        ("the machine differs", machine(before), machine(after)),
        ("the load differs", load(before), load(after)),
        ("settings differ", before.settings.clone(), after.settings.clone()),
        ("versions differ", before.versions.clone(), after.versions.clone()),
    ] {
        let differing = differing(&a, &b);
        if !differing.is_empty() {
            found.push(format!("{what}: {}", differing.join("; ")));
        }
    }
    found
}

/// `name A -> B` for each value that only one has or that differs.
fn differing(before: &[(String, String)], after: &[(String, String)]) -> Vec<String> {
    let get = |pairs: &[(String, String)], name: &str| {
        pairs.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
    };
    let only_after = after.iter().filter(|(name, _)| get(before, name).is_none());
    let names = before.iter().chain(only_after).map(|(name, _)| name);
    let pairs = names.map(|name| (name, get(before, name), get(after, name)));
    let shown = |value: Option<String>| value.unwrap_or_else(|| format::NONE.into());
    pairs
        .filter(|(_, a, b)| a != b)
        .map(|(name, a, b)| format!("{name} {} -> {}", shown(a), shown(b)))
        .collect()
}

fn twin<'r>(cell: &Cell, results: &'r Results) -> Option<&'r Cell> {
    let mut cells = results.cells.iter();
    cells.find(|other| {
        let (own, contender) = (&cell.contender, &other.contender);
        other.case == cell.case && contender.name == own.name && contender.runtime == own.runtime
    })
}

/// How a figure changed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    Better,
    Worse,
    Same,
}

fn change(before: Spread, after: Spread, is_more_better: bool) -> Change {
    let is_overlapping = before.min <= after.max && after.min <= before.max;
    let (low, high) = (before.median.min(after.median), before.median.max(after.median));
    if is_overlapping || high <= low * FACTOR_MIN {
        Change::Same
    } else if (after.median > before.median) == is_more_better {
        Change::Better
    } else {
        Change::Worse
    }
}

/// What the table says of a cell.
struct Row {
    is_baseline: bool,
    /// How it changed in what its load makes it stand for.
    change: Change,
    texts: Vec<String>,
}

/// A figure of a cell, before and after.
struct Figure {
    value: fn(&Sample) -> Option<f64>,
    text: fn(f64) -> String,
    is_more_better: bool,
    better: &'static str,
    worse: &'static str,
}

const THROUGHPUT: Figure = Figure {
    value: |sample| Some(sample.throughput()),
    text: format::per_sec,
    is_more_better: true,
    better: "faster",
    worse: "SLOWER",
};
const P99: Figure = Figure {
    value: |sample| (sample.operations > 0).then_some(sample.latency.p99_us),
    text: format::time,
    is_more_better: false,
    better: "lower",
    worse: "HIGHER",
};
const CPU: Figure = Figure { value: |sample| sample.cpu_us_per_op, ..P99 };

impl Figure {
    /// How it changed, and that in words.
    fn compare(&self, before: &Cell, after: &Cell) -> (Change, String) {
        let (Some(a), Some(b)) = (before.spread(self.value), after.spread(self.value)) else {
            return (Change::Same, format::NONE.into());
        };
        let change = change(a, b, self.is_more_better);
        let word = match change {
            Change::Same => "same",
            Change::Better => self.better,
            Change::Worse => self.worse,
        };
        let ratio = if a.median > 0.0 { b.median / a.median } else { f64::NAN };
        let (a, b) = ((self.text)(a.median), (self.text)(b.median));
        // Two digits would hide changes of some percent.
        let ratio = if ratio.is_finite() { format!(" x{ratio:.2}") } else { String::new() };
        (change, format!("{a} -> {b}{ratio} {word}"))
    }
}

fn row(a: &Cell, b: &Cell, before: &Results, after: &Results) -> Row {
    let (throughput, throughput_text) = THROUGHPUT.compare(a, b);
    let (p99, p99_text) = P99.compare(a, b);
    let (_, cpu_text) = CPU.compare(a, b);
    // At a fixed rate latency decides, unless one run did not keep up with it.
    let is_by_p99 = [before, after].iter().all(|run| Measure::of(run.load) == Measure::P99);
    let is_by_p99 = is_by_p99 && throughput == Change::Same;
    Row {
        is_baseline: a.contender.is_baseline && before.subject == Subject::Storage,
        change: if is_by_p99 { p99 } else { throughput },
        texts: vec![name(a), throughput_text, p99_text, cpu_text],
    }
}

/// `redb get-hit 256 pool x2 multi-thread`.
fn name(cell: &Cell) -> String {
    let (case, contender) = (&cell.case, &cell.contender);
    let pipeline =
        if case.pipeline == 1 { String::new() } else { format!("pipeline {}", case.pipeline) };
    let at = format!("at {}:", case.concurrency);
    let words = [&case.engine, &case.workload, &pipeline, &at, &contender.name, &contender.runtime];
    let words: Vec<&str> =
        words.into_iter().map(String::as_str).filter(|w| !w.is_empty()).collect();
    words.join(" ")
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return "\nThe two runs have no cell in common.\n".into();
    }
    let head = ["", "throughput", "p99", "CPU/operation"].map(str::to_owned).to_vec();
    let lines: Vec<&Vec<String>> =
        [&head].into_iter().chain(rows.iter().map(|row| &row.texts)).collect();
    let mut widths = vec![0; head.len()];
    for line in &lines {
        for (width, text) in widths.iter_mut().zip(*line) {
            *width = text.chars().count().max(*width);
        }
    }
    let mut table = String::from("\n");
    for line in lines {
        let padded = line.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        table += padded.collect::<Vec<_>>().join("   ").trim_end();
        table.push('\n');
    }
    table
}

/// The cells that `results` have and `other` lack.
fn alone(name_of_run: &str, results: &Results, other: &Results) -> String {
    let cells = results.cells.iter().filter(|cell| twin(cell, other).is_none());
    let lines: String = cells.map(|cell| format!("  {}\n", name(cell))).collect();
    if lines.is_empty() { lines } else { format!("\nOnly in {name_of_run}:\n{lines}") }
}

/// How many cells changed which way.
#[derive(Debug, PartialEq)]
struct Tally {
    faster: usize,
    slower: usize,
    same: usize,
}

impl Tally {
    fn of(rows: &[&Row]) -> Self {
        let count = |change| rows.iter().filter(|row| row.change == change).count();
        Self {
            faster: count(Change::Better),
            slower: count(Change::Worse),
            same: count(Change::Same),
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { faster, slower, same } = self;
        write!(f, "{faster} faster, {slower} slower, {same} the same within noise")
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
