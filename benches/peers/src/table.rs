//! The table.

use std::io::{self, Write};
use std::time::Duration;

use pontoon_storage::EngineKind;

use crate::cli::{Flavor, Workload};
use crate::contender::Contender;
use crate::load::Sample;

const HEADER: [&str; 11] = [
    "engine",
    "workload",
    "runtime",
    "callers",
    "contender",
    "median/s",
    "min..max/s",
    "ratio",
    "p50",
    "p99",
    "CPU/call",
];

/// Columns before this one are text, which begins at the left.
const FIRST_NUMBER: usize = 5;

/// What all contenders did, and how each did it.
pub(crate) struct Cell {
    pub(crate) engine: EngineKind,
    pub(crate) flavor: Flavor,
    pub(crate) workload: Workload,
    pub(crate) callers: usize,
    pub(crate) rows: Vec<Row>,
}

/// One contender, with a sample for each round.
pub(crate) struct Row {
    pub(crate) contender: Contender,
    pub(crate) samples: Vec<Sample>,
}

impl Row {
    pub(crate) fn new(contender: Contender) -> Self {
        Self { contender, samples: Vec::new() }
    }

    fn median<T: Copy + PartialOrd>(&self, figure: impl Fn(&Sample) -> T) -> T {
        median(self.samples.iter().map(figure).collect())
    }
}

/// Writes all cells as one table, in which an empty line parts them unless it is Markdown.
pub(crate) fn write(out: &mut impl Write, cells: &[Cell], markdown: bool) -> io::Result<()> {
    let mut groups = vec![vec![HEADER.map(str::to_owned)]];
    groups.extend(cells.iter().map(|cell| cell.rows.iter().map(|row| cell.line(row)).collect()));
    let mut widths = [0; HEADER.len()];
    for (at, width) in widths.iter_mut().enumerate() {
        *width = groups.iter().flatten().map(|line| line[at].chars().count()).max().unwrap_or(0);
    }
    for (n, group) in groups.iter().enumerate() {
        if !markdown && n > 0 {
            writeln!(out)?;
        }
        for line in group {
            let text = line.iter().zip(widths).enumerate().map(|(at, (text, width))| match at {
                0..FIRST_NUMBER => format!("{text:<width$}"),
                _ => format!("{text:>width$}"),
            });
            let text: Vec<_> = text.collect();
            if markdown {
                writeln!(out, "| {} |", text.join(" | "))?;
            } else {
                writeln!(out, "{}", text.join("  ").trim_end())?;
            }
        }
        if markdown && n == 0 {
            let rules = widths.iter().enumerate().map(|(at, width)| match at {
                0..FIRST_NUMBER => "-".repeat(*width),
                _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
            });
            writeln!(out, "| {} |", rules.collect::<Vec<_>>().join(" | "))?;
        }
    }
    writeln!(
        out,
        "\nratio: to spawn-blocking in the same round, median. CPU: user and system, of callers too."
    )
}

impl Cell {
    fn line(&self, row: &Row) -> [String; HEADER.len()] {
        let rates = row.samples.iter().map(|sample| sample.per_second);
        let (min, max) =
            rates.fold((f64::INFINITY, 0.0_f64), |(min, max), rate| (min.min(rate), max.max(rate)));
        [
            self.engine_of(row.contender).to_owned(),
            self.workload.name().to_owned(),
            self.flavor.name().to_owned(),
            self.callers.to_string(),
            row.contender.name(),
            format!("{:.0}", row.median(|sample| sample.per_second)),
            format!("{min:.0}..{max:.0}"),
            self.ratio(row).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            micros(row.median(|sample| sample.p50)),
            micros(row.median(|sample| sample.p99)),
            micros(row.median(|sample| sample.cpu_per_call)),
        ]
    }

    /// What the contender called; some bring their own.
    fn engine_of(&self, contender: Contender) -> &'static str {
        match contender {
            Contender::Fjall => "fjall",
            Contender::TokioRusqlite => "sqlite",
            _ => self.engine.name(),
        }
    }

    fn ratio(&self, row: &Row) -> Option<f64> {
        let base = self.rows.iter().find(|row| row.contender == Contender::SpawnBlocking)?;
        let rounds = row.samples.iter().zip(&base.samples);
        Some(median(rounds.map(|(sample, base)| sample.per_second / base.per_second).collect()))
    }
}

/// There is one, since there is a round. Of an even number, the upper of the two in the middle.
fn median<T: Copy + PartialOrd>(mut figures: Vec<T>) -> T {
    figures.sort_by(|a, b| a.partial_cmp(b).unwrap());
    figures[figures.len() / 2]
}

fn micros(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    if micros < 1000.0 { format!("{micros:.2} µs") } else { format!("{:.2} ms", micros / 1000.0) }
}
