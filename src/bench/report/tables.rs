//! All figures of a run, for whoever wants to know exactly.

use super::super::result::{Cell, Load, Results, Sample, Spread};
use super::conclusion::operations_per_sync;
use super::figures::with_range;
use super::format::{bytes, count, escape, factor, per_sec, time};
use super::group::Group;

/// A column: its head, and what it says of a cell beside the case's `direct`.
struct Column {
    head: &'static str,
    about: &'static str,
    text: fn(&Cell, Option<&Cell>) -> Option<String>,
}

fn median(cell: &Cell, figure: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
    cell.spread(figure).map(|spread| spread.median)
}

const COLUMNS: [Column; 17] = [
    Column {
        head: "operations/s",
        about: "median of the rounds, least to greatest",
        text: |cell, _| cell.throughput().map(|spread| with_range(spread, count)),
    },
    Column {
        head: "× direct",
        about: "throughput over that of direct in the same round, median",
        text: |cell, direct| cell.ratio_to(direct?).map(|ratio| with_range(ratio, factor)),
    },
    Column {
        head: "mean",
        about: "latency",
        text: |cell, _| latency(cell, |sample| sample.latency.mean_us),
    },
    Column {
        head: "p50",
        about: "latency",
        text: |cell, _| latency(cell, |sample| sample.latency.p50_us),
    },
    Column {
        head: "p99",
        about: "latency",
        text: |cell, _| latency(cell, |sample| sample.latency.p99_us),
    },
    Column {
        head: "p99.9",
        about: "latency",
        text: |cell, _| latency(cell, |sample| sample.latency.p999_us),
    },
    Column {
        head: "max",
        about: "latency",
        text: |cell, _| latency(cell, |sample| sample.latency.max_us),
    },
    Column {
        head: "CPU/op",
        about: "CPU time of the process per operation",
        text: |cell, _| median(cell, |sample| sample.cpu_us_per_op).map(time),
    },
    Column {
        head: "switches/op",
        about: "context switches of the process per operation",
        text: |cell, _| median(cell, |sample| sample.switches_per_op).map(count),
    },
    Column {
        head: "fsyncs",
        about: "of the store, in a round",
        text: |cell, _| median(cell, |sample| sample.syncs.map(|n| n as f64)).map(count),
    },
    Column {
        head: "ops/fsync",
        about: "operations that share an fsync",
        text: |cell, _| operations_per_sync(cell).map(|Spread { median, .. }| count(median)),
    },
    Column {
        head: "batch",
        about: "operations that share a drain, mean",
        text: |cell, _| median(cell, |sample| sample.mean_batch).map(count),
    },
    Column {
        head: "peak memory",
        about: "of the process",
        text: |cell, _| {
            median(cell, |sample| sample.peak_memory_bytes.map(|n| n as f64)).map(bytes)
        },
    },
    Column {
        head: "stall p99.9",
        about: "how late a task on the same runtime is that ticks every millisecond",
        text: |cell, _| median(cell, |sample| sample.stall.map(|stall| stall.p999_us)).map(time),
    },
    Column {
        head: "stall max",
        about: "the same, at its worst",
        text: |cell, _| median(cell, |sample| sample.stall.map(|stall| stall.max_us)).map(time),
    },
    Column {
        head: "errors",
        about: "operations answered with an error, all rounds",
        text: |cell, _| {
            let errors: u64 = cell.samples.iter().map(|sample| sample.errors).sum();
            (errors > 0).then(|| count(errors as f64))
        },
    },
    Column {
        head: "operations",
        about: "answered, all rounds",
        text: |cell, _| {
            let operations: u64 = cell.samples.iter().map(|sample| sample.operations).sum();
            Some(count(operations as f64))
        },
    },
];

fn latency(cell: &Cell, figure: fn(&Sample) -> f64) -> Option<String> {
    median(cell, |sample| (sample.operations > 0).then(|| figure(sample))).map(time)
}

/// All figures of `group`. A column that would be empty is left out.
pub(super) fn figures(group: &Group<'_>) -> String {
    let row = |cell: &&Cell| {
        let direct = group.direct(cell.case.concurrency);
        COLUMNS.iter().map(|column| (column.text)(cell, direct)).collect::<Vec<_>>()
    };
    let mut cells = group.cells.clone();
    cells.sort_by_key(|cell| cell.case.concurrency);
    let rows: Vec<Vec<Option<String>>> = cells.iter().map(row).collect();
    let is_used = |n: usize| rows.iter().any(|row| row.get(n).is_some_and(Option::is_some));
    let mut head = String::from("<th scope=\"col\">at</th><th scope=\"col\">contender</th>");
    for (_, column) in COLUMNS.iter().enumerate().filter(|(n, _)| is_used(*n)) {
        head += &format!("<th scope=\"col\" title=\"{}\">{}</th>", column.about, column.head);
    }
    let mut body = String::new();
    let mut before = None;
    for (cell, row) in cells.iter().zip(&rows) {
        let concurrency = cell.case.concurrency;
        let class =
            if before.is_some_and(|before| before != concurrency) { " class=\"next\"" } else { "" };
        before = Some(concurrency);
        let contender = &cell.contender;
        let runtime = if contender.runtime.is_empty() {
            String::new()
        } else {
            format!(" <small>{}</small>", escape(&contender.runtime))
        };
        body += &format!(
            "<tr{class}><td>{concurrency}</td><th scope=\"row\">{}{runtime}</th>",
            escape(&contender.name)
        );
        for (_, text) in row.iter().enumerate().filter(|(n, _)| is_used(*n)) {
            body += &format!("<td>{}</td>", text.as_deref().unwrap_or(""));
        }
        body += "</tr>\n";
    }
    format!(
        "<div class=\"scroll\"><table class=\"figures\"><thead><tr>{head}</tr></thead>\n\
         <tbody>\n{body}</tbody></table></div>\n"
    )
}

/// Where and how it ran.
pub(super) fn facts(results: &Results) -> String {
    let machine = &results.machine;
    let mut facts = vec![
        ("Date".to_owned(), results.date.clone()),
        ("CPU".into(), format!("{} ({} usable)", machine.cpu, machine.cpus)),
        ("Memory".into(), bytes(machine.memory_bytes as f64)),
        ("System".into(), machine.system.clone()),
    ];
    facts.extend(machine.file_system.clone().map(|name| ("File system".into(), name)));
    let fdatasync = machine.fdatasync_us.map(|us| ("fdatasync of 4 KiB".into(), time(us)));
    facts.extend(fdatasync);
    let load = match results.load {
        Load::Closed => "closed loop".into(),
        Load::Open { rate_per_sec } => {
            format!("open loop, {}", per_sec(rate_per_sec))
        }
    };
    facts.push(("Load".into(), load));
    facts.extend(results.versions.iter().cloned());
    let mut list = String::new();
    for (name, value) in facts.iter().chain(&results.settings) {
        list += &format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value));
    }
    format!("<dl>\n{list}</dl>\n")
}
