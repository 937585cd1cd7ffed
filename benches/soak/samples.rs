//! What the process holds and how long calls take, every few seconds, and whether that grows.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use pontoon::bench::measure::Held;
use pontoon::bench::result::Spread;

use crate::state::Soak;

/// A figure of each sample, and how much more of it the last quarter may have than the first.
struct Figure {
    name: &'static str,
    /// Growth that is no leak: a part of what there was, and so much beside. `None`: only told.
    may_grow: Option<(f64, f64)>,
}

const fn bounded(name: &'static str, part: f64, beside: f64) -> Figure {
    Figure { name, may_grow: Some((part, beside)) }
}

const fn told(name: &'static str) -> Figure {
    Figure { name, may_grow: None }
}

const FIGURES: [Figure; 18] = [
    told("seconds"),
    bounded("rss_mib", 0.15, 16.0),
    // RocksDB has a descriptor for each file, whose number goes up and down with its compactions.
    bounded("descriptors", 0.10, 8.0),
    bounded("threads", 0.0, 2.0),
    bounded("disk_mib", 0.25, 16.0),
    told("running"),
    told("queued_read"),
    told("queued_write"),
    told("queued_background"),
    told("snapshots"),
    told("calls_per_s"),
    told("get_p50_us"),
    told("get_p99_us"),
    told("get_max_us"),
    told("put_p50_us"),
    told("put_p99_us"),
    told("put_max_us"),
    told("wrong"),
];

/// Fewer say nothing of growth.
const SAMPLES_MIN: usize = 100;

pub struct Samples {
    rows: Vec<[f64; FIGURES.len()]>,
    csv: Option<fs::File>,
    calls_before: (f64, u64),
    away: Vec<f64>,
}

impl Samples {
    pub fn new(csv: Option<&Path>) -> Self {
        let mut csv = csv.map(|path| fs::File::create(path).unwrap());
        if let Some(csv) = &mut csv {
            let names: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
            writeln!(csv, "{}", names.join(",")).unwrap();
        }
        Self { rows: Vec::new(), csv, calls_before: (0.0, 0), away: Vec::new() }
    }

    /// Takes one, `seconds` after the beginning.
    pub fn take(
        &mut self,
        soak: &Soak,
        runtime: &tokio::runtime::Runtime,
        seconds: f64,
        dir: &Path,
    ) {
        let held = Held::now().unwrap_or_default();
        let stats = runtime.block_on(soak.open().0.stats()).unwrap();
        let (gets, puts) = soak.latencies.take();
        let (seconds_before, calls_before) = self.calls_before;
        self.calls_before = (seconds, soak.counts.total());
        let calls = (self.calls_before.1 - calls_before) as f64;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let row = [
            seconds,
            mib(held.resident_bytes),
            held.descriptors as f64,
            held.threads as f64,
            mib(disk_bytes(dir)),
            soak.running() as f64,
            stats.read.queued as f64,
            stats.write.queued as f64,
            stats.background.queued as f64,
            stats.snapshots as f64,
            calls / (seconds - seconds_before),
            gets.p50_us,
            gets.p99_us,
            gets.max_us,
            puts.p50_us,
            puts.p99_us,
            puts.max_us,
            soak.wrong_count() as f64,
        ];
        if let Some(csv) = &mut self.csv {
            let row: Vec<String> = row.iter().map(|figure| format!("{figure:.1}")).collect();
            writeln!(csv, "{}", row.join(",")).unwrap();
        }
        self.rows.push(row);
    }

    /// The store was closed and open again after this time.
    pub fn reopened(&mut self, away: Duration) {
        self.away.push(away.as_secs_f64() * 1e3);
    }

    /// Medians of the first and the last quarter, the line of least squares through all, and a verdict.
    pub fn table(&self) -> String {
        let mut text = format!(
            "\n{:<18}{:>14}{:>14}{:>12}{:>12}{:>16}  verdict\n",
            "figure", "first quarter", "last quarter", "least", "greatest", "growth an hour"
        );
        for (at, figure) in FIGURES.iter().enumerate().skip(1) {
            let (first, last) = self.quarters(at);
            let all = Spread::of(self.rows.iter().map(|row| row[at]));
            let (min, max) = all.map_or((0.0, 0.0), |all| (all.min, all.max));
            let verdict = match (figure.may_grow, self.is_bounded(at)) {
                (None, _) => String::new(),
                (Some((part, beside)), is_bounded) => {
                    let word = if is_bounded { "flat" } else { "GROWS" };
                    format!("{word}: may grow by {:.0} % and {beside}", part * 100.0)
                }
            };
            let _ = writeln!(
                text,
                "{:<18}{first:>14.1}{last:>14.1}{min:>12.1}{max:>12.1}{:>16.1}  {verdict}",
                figure.name,
                self.slope_per_hour(at)
            );
        }
        if self.rows.len() < SAMPLES_MIN {
            let _ = writeln!(text, "growth is judged from {SAMPLES_MIN} samples on");
        }
        if let Some(away) = Spread::of(self.away.iter().copied()) {
            let Spread { min, median, max } = away;
            let _ = writeln!(
                text,
                "closed and opened again {} times: away for {median:.0} ms ({min:.0} to {max:.0})",
                self.away.len()
            );
        }
        text
    }

    /// Whether something has grown beyond its bound. In a short run everything does: caches fill.
    pub fn has_grown(&self) -> bool {
        self.rows.len() >= SAMPLES_MIN && (0..FIGURES.len()).any(|at| !self.is_bounded(at))
    }

    fn is_bounded(&self, at: usize) -> bool {
        let Some((part, beside)) = FIGURES[at].may_grow else { return true };
        let (first, last) = self.quarters(at);
        last <= first * (1.0 + part) + beside
    }

    fn quarters(&self, at: usize) -> (f64, f64) {
        let quarter = self.rows.len().div_ceil(4);
        let median = |rows: &[[f64; FIGURES.len()]]| {
            Spread::of(rows.iter().map(|row| row[at])).map_or(0.0, |spread| spread.median)
        };
        (median(&self.rows[..quarter]), median(&self.rows[self.rows.len() - quarter..]))
    }

    fn slope_per_hour(&self, at: usize) -> f64 {
        let count = self.rows.len().max(1) as f64;
        let mean = |at: usize| self.rows.iter().map(|row| row[at]).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(0), mean(at));
        let (mut xy, mut xx) = (0.0, 0.0);
        for row in &self.rows {
            xy += (row[0] - mean_x) * (row[at] - mean_y);
            xx += (row[0] - mean_x).powi(2);
        }
        if xx > 0.0 { xy / xx * 3_600.0 } else { 0.0 }
    }
}

/// What the files in `dir` take. Those that go away meanwhile count nothing.
fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path()),
        Ok(meta) => allocated_bytes(&meta),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(unix)]
fn allocated_bytes(meta: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(meta) * 512
}

#[cfg(not(unix))]
fn allocated_bytes(meta: &fs::Metadata) -> u64 {
    meta.len()
}
