//! What a run says beside its figures: what it is about to do, its settings, and how to read them.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use pontoon_storage::EngineKind;

use super::plan::Plan;
use super::sample::EVICTION_PERIOD;
use super::{CACHE_BYTES, durability_choice};
use crate::bench::choice::Mode;
use crate::bench::cli::Matrix;
use crate::bench::result::{Results, Sample};
use crate::bench::{machine, table};

/// The load average for each CPU from which on a machine is busy.
const BUSY: f64 = 0.5;

/// What a read that misses the caches brings in at the least, on average over all reads.
const KIB_PER_MISS_MIN: f64 = 0.1;

/// Says on stderr what is about to happen.
pub(super) fn announce(plan: &Plan, dir: &Path, file_system: Option<&str>) {
    let took = humantime::format_duration(Duration::from_secs(plan.duration().as_secs()));
    let place = match file_system {
        Some(kind) => {
            let dir = dir.canonicalize().unwrap_or_else(|_| dir.into());
            format!("data on {kind} in {}", dir.display())
        }
        None => "data in memory".into(),
    };
    let (samples, seconds) = (plan.samples(), plan.seconds);
    // A closed stderr leaves the results to tell.
    let _ = writeln!(
        std::io::stderr(),
        "{samples} samples of {seconds} s, about {took} in all; {place}"
    );
}

/// What was the same for all cells, by the names of the flags.
pub(super) fn settings(args: &Matrix, plan: &Plan) -> Vec<(String, String)> {
    let threads = args.direct_threads.unwrap_or_else(machine::cpus);
    let entries = [
        ("rounds", args.rounds.to_string()),
        ("seconds", plan.seconds.to_string()),
        ("keys", args.keys.to_string()),
        ("value-bytes", args.value_bytes.to_string()),
        ("durability", durability_choice(args).name().to_owned()),
        ("cache-bytes", args.cache_bytes.to_string()),
        ("engine-cache-bytes", args.engine_cache_bytes.unwrap_or(CACHE_BYTES).to_string()),
        ("direct-threads", threads.to_string()),
        ("seed", args.seed.to_string()),
    ];
    let mut settings: Vec<_> = entries.map(|(name, value)| (name.to_owned(), value)).into();
    let mut note = |name: &str, value: String| settings.push((name.to_owned(), value));
    for what in &plan.left_out {
        note("left out", what.clone());
    }
    if plan.entries.iter().any(|entry| entry.mode == Mode::Direct) {
        note(
            "direct",
            format!("{threads} plain threads at the most, whatever the concurrency; no runtime"),
        );
    }
    if plan.entries.iter().any(|entry| entry.mode.is_baseline()) {
        note(
            "baselines",
            "call the engine once per operation; their read-modify-writes take turns behind a mutex"
                .into(),
        );
    }
    if args.rate.is_some() {
        note(
            "open loop",
            "a thread lets operations in when they are due, and its being late counts".into(),
        );
    }
    note(
        "given up",
        "operations that have not begun some time after the end (as long as the sample, 0.25 to 1 s) \
         count as having taken as long as they waited, so that the latencies of such contenders are \
         too small; they are named below, if there are any"
            .into(),
    );
    note("MiB", "includes what earlier samples left allocated".into());
    settings
}

/// Whether a setting is no flag but a note, which gets a line below the table.
fn is_note(name: &str) -> bool {
    [
        "busy",
        "left out",
        "failed",
        "given up",
        "direct",
        "baselines",
        "open loop",
        "get-miss",
        "MiB",
    ]
    .contains(&name)
}

/// A note when, by the load average before the run, other programs want the CPUs, too.
pub(super) fn busy(load_average: f64) -> Option<(String, String)> {
    let cpus = machine::cpus();
    (load_average > BUSY * cpus as f64).then(|| {
        let what = format!(
            "the load average was {load_average:.1} on {cpus} CPUs before the run: other programs \
             ran, too, and the figures are noisy"
        );
        ("busy".into(), what)
    })
}

/// All that goes to stdout.
pub(super) fn text(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "{}, {} CPUs, {}; fdatasync {}\n",
        machine.cpu,
        machine.cpus,
        machine.system,
        machine.fdatasync_us.map_or("not measured".into(), |us| format!("{us:.0} us (median)"))
    );
    let flags = results.settings.iter().filter(|(name, _)| !is_note(name));
    let flags: Vec<String> = flags.map(|(name, value)| format!("{name} {value}")).collect();
    text.push_str(&flags.join(", "));
    text.push('\n');
    text.push_str(&table::render(results));
    text.push('\n');
    for (name, value) in results.settings.iter().filter(|(name, _)| is_note(name)) {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text
}

/// What was read from the disk while reads were to go there.
#[derive(Debug, Default)]
pub(super) struct Disk {
    bytes: u64,
    operations: u64,
}

impl Disk {
    pub(super) fn add(&mut self, sample: &Sample, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.bytes += bytes;
            self.operations += sample.operations;
        }
    }

    pub(super) fn describe(&self, engine: EngineKind, cache_bytes: usize) -> String {
        let read = if self.operations == 0 {
            "the system does not say how much was read from the disk".into()
        } else {
            let kib = self.bytes as f64 / 1024.0 / self.operations as f64;
            let verdict =
                if kib < KIB_PER_MISS_MIN { ", so that these were no misses" } else { "" };
            format!("{kib:.1} KiB per operation were read from the disk{verdict}")
        };
        format!(
            "on {}, {read}; the engine's cache was {} KiB, and the system was asked every {} ms to \
             forget the files; what the device or a hypervisor holds in memory is beyond that",
            EngineKind::name(engine),
            cache_bytes / 1024,
            EVICTION_PERIOD.as_millis()
        )
    }
}
