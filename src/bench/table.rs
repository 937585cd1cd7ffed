//! The results as a table for a terminal: one block for each case, one line for each contender.

use std::fmt::Write;

use super::result::{Case, Cell, Load, Results, Spread, Subject};

/// What ratios are taken to, where it took part.
const BASE: &str = "direct";

/// What stands for a figure that there is not.
const NONE: &str = "-";

/// The results as text, lines of at most 150 columns. A column that is empty for all is left out.
pub(super) fn render(results: &Results) -> String {
    let shown: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| {
            let mut cells = results.cells.iter();
            cells.any(|cell| (column.value)(cell, None) != NONE) || column.name == RATIO
        })
        .collect();
    let mut text = format!("{}\n{LEGEND}\n", load(results.load));
    for case in cases(results) {
        let cells: Vec<&Cell> = results.cells.iter().filter(|cell| cell.case == *case).collect();
        let base = cells.iter().find(|cell| cell.contender.name == BASE).or(cells.first()).copied();
        let mut rows = vec![shown.iter().map(|column| column.name.to_owned()).collect()];
        for cell in &cells {
            rows.push(shown.iter().map(|column| (column.value)(cell, base)).collect());
        }
        let _ = write!(text, "\n{}", title(results.subject, case));
        if let Some(base) = base.filter(|_| cells.len() > 1) {
            let _ = write!(text, "; {RATIO} = throughput over that of {}", base.contender.name);
        }
        text.push('\n');
        push_aligned(&mut text, &shown, &rows);
        for cell in cells {
            let errors: u64 = cell.samples.iter().map(|sample| sample.errors).sum();
            if errors > 0 {
                let _ = writeln!(text, "  {}: {errors} operations failed", name(cell));
            }
        }
    }
    text
}

struct Column {
    name: &'static str,
    is_text: bool,
    /// Of a cell, and of the one its ratio is taken to.
    value: fn(&Cell, Option<&Cell>) -> String,
}

const RATIO: &str = "ratio";

const LEGEND: &str = "Medians over the rounds, with the spread of ops/s and the worst max. Per operation: \
    CPU us, switches (of context). MiB: memory at its peak.";

const COLUMNS: &[Column] = &[
    Column { name: "contender", is_text: true, value: |cell, _| cell.contender.name.clone() },
    Column {
        name: "runtime",
        is_text: true,
        value: |cell, _| match cell.contender.runtime.as_str() {
            "" => NONE.into(),
            runtime => runtime.into(),
        },
    },
    Column {
        name: "ops/s",
        is_text: false,
        value: |cell, _| or_none(cell.throughput(), |spread| count(spread.median)),
    },
    Column {
        name: "(min..max)",
        is_text: false,
        value: |cell, _| {
            let range = |spread: Spread| format!("({}..{})", count(spread.min), count(spread.max));
            or_none(cell.throughput(), range)
        },
    },
    Column {
        name: RATIO,
        is_text: false,
        value: |cell, base| {
            let ratio = base.and_then(|base| cell.ratio_to(base));
            or_none(ratio, |spread| plain(spread.median))
        },
    },
    Column {
        name: "p50",
        is_text: false,
        value: |cell, _| time_of(cell.spread(|sample| Some(sample.latency.p50_us))),
    },
    Column {
        name: "p99",
        is_text: false,
        value: |cell, _| time_of(cell.spread(|sample| Some(sample.latency.p99_us))),
    },
    Column {
        name: "p99.9",
        is_text: false,
        value: |cell, _| time_of(cell.spread(|sample| Some(sample.latency.p999_us))),
    },
    Column {
        name: "max",
        is_text: false,
        value: |cell, _| {
            let worst = cell.spread(|sample| Some(sample.latency.max_us));
            or_none(worst, |spread| time(spread.max))
        },
    },
    Column {
        name: "CPU us",
        is_text: false,
        value: |cell, _| or_none(cell.spread(|s| s.cpu_us_per_op), |spread| plain(spread.median)),
    },
    Column {
        name: "switches",
        is_text: false,
        value: |cell, _| or_none(cell.spread(|s| s.switches_per_op), |spread| plain(spread.median)),
    },
    Column {
        name: "fsyncs",
        is_text: false,
        value: |cell, _| {
            let syncs = cell.spread(|sample| sample.syncs.map(|syncs| syncs as f64));
            or_none(syncs, |spread| count(spread.median))
        },
    },
    Column {
        name: "batch",
        is_text: false,
        value: |cell, _| or_none(cell.spread(|s| s.mean_batch), |spread| plain(spread.median)),
    },
    Column {
        name: "MiB",
        is_text: false,
        value: |cell, _| {
            let peak = cell.spread(|sample| sample.peak_memory_bytes.map(|bytes| bytes as f64));
            or_none(peak, |spread| format!("{:.0}", spread.median / f64::from(1 << 20)))
        },
    },
    Column {
        name: "stall p99.9/max",
        is_text: false,
        value: |cell, _| {
            let p999 = cell.spread(|sample| sample.stall.map(|stall| stall.p999_us));
            let max = cell.spread(|sample| sample.stall.map(|stall| stall.max_us));
            match (p999, max) {
                (Some(p999), Some(max)) => format!("{}/{}", time(p999.median), time(max.max)),
                _ => NONE.into(),
            }
        },
    },
];

fn load(load: Load) -> String {
    match load {
        Load::Closed => {
            "Closed loop: each caller calls, waits, and calls again; latency counts from \
                         the call."
                .into()
        }
        Load::Open { rate_per_sec } => format!(
            "Open loop: {rate_per_sec} operations a second arrive whatever the answers do; latency \
             counts from the\nintended start, so that a stall is not hidden."
        ),
    }
}

fn cases(results: &Results) -> Vec<&Case> {
    let mut cases: Vec<&Case> = Vec::new();
    for cell in &results.cells {
        if !cases.contains(&&cell.case) {
            cases.push(&cell.case);
        }
    }
    cases
}

fn title(subject: Subject, case: &Case) -> String {
    let Case { engine, workload, pipeline, concurrency } = case;
    match subject {
        Subject::Storage => format!("{engine}, {workload}, concurrency {concurrency}"),
        Subject::Server => format!("{workload}, {concurrency} connections, pipeline {pipeline}"),
    }
}

fn name(cell: &Cell) -> String {
    match cell.contender.runtime.as_str() {
        "" => cell.contender.name.clone(),
        runtime => format!("{} on {runtime}", cell.contender.name),
    }
}

fn push_aligned(text: &mut String, columns: &[&Column], rows: &[Vec<String>]) {
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0))
        .collect();
    for row in rows {
        let mut line = String::new();
        for ((column, width), value) in columns.iter().zip(&widths).zip(row) {
            let _ = match column.is_text {
                true => write!(line, "  {value:<width$}"),
                false => write!(line, "  {value:>width$}"),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn or_none(spread: Option<Spread>, show: impl Fn(Spread) -> String) -> String {
    spread.map_or_else(|| NONE.into(), show)
}

fn time_of(spread: Option<Spread>) -> String {
    or_none(spread, |spread| time(spread.median))
}

/// Three digits and a unit: `812`, `75.4k`, `1.23M`.
fn count(number: f64) -> String {
    match number {
        n if n >= 999_500.0 => format!("{}M", three_digits(n / 1e6)),
        n if n >= 999.5 => format!("{}k", three_digits(n / 1e3)),
        n => format!("{n:.0}"),
    }
}

/// Microseconds with a unit: `7.3us`, `12.5ms`, `1.20s`.
fn time(us: f64) -> String {
    match us {
        us if us >= 999_500.0 => format!("{}s", three_digits(us / 1e6)),
        us if us >= 999.5 => format!("{}ms", three_digits(us / 1e3)),
        us => format!("{}us", three_digits(us)),
    }
}

fn plain(number: f64) -> String {
    if number >= 999.5 { count(number) } else { three_digits(number) }
}

fn three_digits(number: f64) -> String {
    match number {
        n if n >= 99.95 => format!("{n:.0}"),
        n if n >= 9.995 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::result::{Contender, FORMAT, Latency, Machine, Sample, Stall};
    use super::*;

    fn sample(round: u32, operations: u64) -> Sample {
        let latency = Latency {
            mean_us: 10.0,
            p50_us: 9.0,
            p99_us: 1500.0,
            p999_us: 123_456.7,
            max_us: 12_345_678.9,
            curve: Vec::new(),
        };
        Sample {
            round,
            operations,
            errors: 0,
            seconds: 1.0,
            latency,
            cpu_us_per_op: Some(123.456),
            switches_per_op: Some(0.0123),
            syncs: Some(123_456),
            mean_batch: Some(12.34),
            peak_memory_bytes: Some(12_345 << 20),
            stall: Some(Stall { p999_us: 123_456.7, max_us: 999_400.0 }),
        }
    }

    fn results() -> Results {
        let cell = |name: &str, runtime: &str, operations: [u64; 2], concurrency| Cell {
            case: Case {
                engine: "rocksdb".into(),
                workload: "put-durable".into(),
                pipeline: 1,
                concurrency,
            },
            contender: Contender {
                name: name.into(),
                runtime: runtime.into(),
                is_baseline: name == "direct",
            },
            samples: vec![sample(0, operations[0]), sample(1, operations[1])],
        };
        let machine = Machine {
            cpu: String::new(),
            cpus: 2,
            memory_bytes: 0,
            system: String::new(),
            file_system: None,
            fdatasync_us: None,
        };
        Results {
            format: FORMAT,
            subject: Subject::Storage,
            command: String::new(),
            date: String::new(),
            machine,
            versions: Vec::new(),
            settings: Vec::new(),
            load: Load::Closed,
            cells: vec![
                cell("per-call-pool x16", "current-thread", [123_456_789, 111_111_111], 4096),
                cell("direct", "", [100_000, 200_000], 4096),
                cell("direct", "", [812, 812], 1),
            ],
        }
    }

    #[test]
    fn each_case_has_a_block_and_each_contender_a_line() {
        let text = render(&results());
        let lines: Vec<&str> = text.lines().collect();
        let title =
            "rocksdb, put-durable, concurrency 4096; ratio = throughput over that of direct";
        let at = lines.iter().position(|line| *line == title).unwrap();
        assert!(lines[at + 1].starts_with("  contender "), "{text}");
        assert!(lines[at + 2].starts_with("  per-call-pool x16  current-thread   117M"), "{text}");
        assert!(lines[at + 3].contains("150k  (100k..200k)   1.00  9.00us  1.50ms"), "{text}");
        assert_eq!(lines[at + 5], "rocksdb, put-durable, concurrency 1");
        assert!(lines[0].starts_with("Closed loop"));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // 1234.6 and 555.6: their median, not the ratio of the medians.
        assert!(render(&results()).contains("  895  "), "{}", render(&results()));
    }

    #[test]
    fn the_widest_line_fits() {
        let text = render(&results());
        let widest = text.lines().max_by_key(|line| line.len()).unwrap();
        assert!(widest.len() <= 150, "{}: {widest}", widest.len());
    }

    #[test]
    fn what_nobody_has_is_left_out_and_errors_are_told() {
        let mut results = results();
        assert!(render(&results).contains("stall") && render(&results).contains("batch"));
        for sample in results.cells.iter_mut().flat_map(|cell| &mut cell.samples) {
            (sample.stall, sample.mean_batch) = (None, None);
            sample.errors = 2;
        }
        let text = render(&results);
        assert!(!text.contains("stall") && !text.contains("batch"), "{text}");
        assert!(
            text.contains("per-call-pool x16 on current-thread: 4 operations failed"),
            "{text}"
        );
    }

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([count(812.4), count(75_432.0), count(999_700.0)], ["812", "75.4k", "1.00M"]);
        assert_eq!([time(0.5), time(999.7), time(12_345.0)], ["0.50us", "1.00ms", "12.3ms"]);
        assert_eq!([plain(0.0123), plain(12.34), plain(5000.0)], ["0.01", "12.3", "5.00k"]);
    }
}
