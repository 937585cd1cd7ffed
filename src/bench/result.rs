//! What a run measured: the model that the table, the JSON file, the report and the comparison share.

use serde::{Deserialize, Serialize};

/// The version of the JSON format; another is refused.
pub const FORMAT: u32 = 1;

/// One run of `pontoon bench` or `pontoon bench server`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// What was loaded.
    pub subject: Subject,
    /// The command that repeats it.
    pub command: String,
    /// When it began, in UTC, as RFC 3339 writes it.
    pub date: String,
    /// Where it ran.
    pub machine: Machine,
    /// What ran: names and versions.
    pub versions: Vec<(String, String)>,
    /// What was the same for all cells: names and values, as the flags have them.
    pub settings: Vec<(String, String)>,
    /// Closed or open loop.
    pub load: Load,
    /// What was measured, in the order of the table.
    pub cells: Vec<Cell>,
}

/// What was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The storage crate in this process.
    Storage,
    /// RESP servers.
    Server,
}

/// How operations arrive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// Each caller calls, waits, and calls again; latency counts from the call.
    Closed,
    /// Operations arrive at a fixed rate whatever the answers do; latency counts from the intended start,
    /// so that a stall is not hidden.
    Open {
        /// Arrivals a second.
        rate_per_sec: f64,
    },
}

/// Where a run took place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The CPU's model.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Operating system and kernel.
    pub system: String,
    /// File system of the data, if there was any.
    pub file_system: Option<String>,
    /// Median time of an fdatasync of 4 KiB there, in microseconds.
    pub fdatasync_us: Option<f64>,
}

/// One contender on one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// What all contenders did.
    pub case: Case,
    /// Who did it.
    pub contender: Contender,
    /// One for each round, in order.
    pub samples: Vec<Sample>,
}

/// What all contenders did: contenders with equal cases can be compared. Cases that differ in
/// `concurrency` alone are one plot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Case {
    /// The engine's name; empty for servers.
    pub engine: String,
    /// The workload's name: `get-hit`, `ycsb-a`, `set`.
    pub workload: String,
    /// Commands sent at once by a connection; 1 for storage.
    pub pipeline: u32,
    /// Callers, or connections.
    pub concurrency: u32,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Contender {
    /// What tables and plots call it: `pool x2`, `blocking`, `redis`. Unique together with `runtime`.
    pub name: String,
    /// The runtime's name (`multi-thread`, `current-thread`, `none`); empty for servers and `direct`.
    pub runtime: String,
    /// Whether it is something to compare with rather than one of Pontoon's modes.
    pub is_baseline: bool,
}

/// One contender on one case in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Which round, from 0. Ratios are taken within a round.
    pub round: u32,
    /// Operations answered.
    pub operations: u64,
    /// Operations answered with an error.
    pub errors: u64,
    /// Time that took, in seconds.
    pub seconds: f64,
    /// How long an operation took.
    pub latency: Latency,
    /// CPU time of the process (of the server's, for servers) per operation, in microseconds.
    pub cpu_us_per_op: Option<f64>,
    /// Voluntary and involuntary context switches of the process per operation.
    pub switches_per_op: Option<f64>,
    /// Fsyncs of the store.
    pub syncs: Option<u64>,
    /// Operations that shared one drain, on average.
    pub mean_batch: Option<f64>,
    /// Memory of the process (of the server's, for servers) at its peak, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// How late a task on the same runtime that ticks every millisecond was woken.
    pub stall: Option<Stall>,
}

/// Latency of operations, in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Mean.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 99 of 100 were faster.
    pub p99_us: f64,
    /// 999 of 1000 were faster.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
    /// Points of the percentile curve, ascending: fraction (0 to 1) and microseconds.
    pub curve: Vec<(f64, f64)>,
}

/// How late the probe task was woken, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    /// 999 of 1000 ticks were less late.
    pub p999_us: f64,
    /// The worst.
    pub max_us: f64,
}

impl Sample {
    /// Operations a second.
    pub fn throughput(&self) -> f64 {
        if self.seconds > 0.0 { self.operations as f64 / self.seconds } else { 0.0 }
    }
}

impl Cell {
    /// Median, least and greatest of a figure over the rounds; `None` where no round has it.
    pub fn spread(&self, figure: impl Fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(figure))
    }

    /// Operations a second over the rounds.
    pub fn throughput(&self) -> Option<Spread> {
        self.spread(|sample| Some(sample.throughput()))
    }

    /// Throughput over that of `other` in the same round: median and spread of the ratios.
    pub fn ratio_to(&self, other: &Cell) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(|sample| {
            let beside = other.samples.iter().find(|beside| beside.round == sample.round)?;
            let throughput = beside.throughput();
            (throughput > 0.0).then(|| sample.throughput() / throughput)
        }))
    }
}

/// A figure over several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of some figures; `None` if there are none. What is no number is left out.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().filter(|f| f.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = |at: usize| figures.get(at).copied().unwrap_or(max);
        let len = figures.len();
        let median = (middle((len - 1) / 2) + middle(len / 2)) / 2.0;
        Some(Self { min, median, max })
    }
}
