//! Runs made up for tests: like real ones in shape and size, and always the same.

use super::super::result::{
    Case, Cell, Contender, FORMAT, Latency, Load, Machine, Results, Sample, Stall, Subject,
};

/// Numbers between 0 and 1 that look like noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// `value`, at the most `share` off.
    fn around(&mut self, value: f64, share: f64) -> f64 {
        value * (1.0 + (self.next() * 2.0 - 1.0) * share)
    }
}

/// A sample of a round with nothing optional.
pub(in crate::bench) fn sample(round: u32, per_sec: f64, p99_us: f64) -> Sample {
    Sample {
        round,
        operations: per_sec as u64,
        errors: 0,
        seconds: 1.0,
        latency: Latency {
            mean_us: p99_us / 3.0,
            p50_us: p99_us / 4.0,
            p99_us,
            p999_us: p99_us * 2.5,
            max_us: p99_us * 9.0,
            curve: Vec::new(),
        },
        cpu_us_per_op: None,
        switches_per_op: None,
        syncs: None,
        mean_batch: None,
        peak_memory_bytes: None,
        stall: None,
    }
}

/// A cell with one round for each throughput, of `engine` `redb` and workload `get-hit`.
pub(in crate::bench) fn cell(name: &str, runtime: &str, concurrency: u32, per_sec: &[f64]) -> Cell {
    let is_baseline = ["direct", "per-call", "per-call-pool", "inline"].contains(&name);
    let rounds = (0..).zip(per_sec);
    Cell {
        case: Case { engine: "redb".into(), workload: "get-hit".into(), pipeline: 1, concurrency },
        contender: Contender { name: name.into(), runtime: runtime.into(), is_baseline },
        samples: rounds
            .map(|(round, per_sec)| sample(round, *per_sec, f64::from(concurrency) * 3e6 / per_sec))
            .collect(),
    }
}

/// A run of these cells.
pub(in crate::bench) fn run(subject: Subject, cells: Vec<Cell>) -> Results {
    Results {
        format: FORMAT,
        subject,
        command: "pontoon bench --engine redb,rocksdb --workload get-hit,durable-put --rounds 3"
            .into(),
        date: "2026-02-03T04:05:06Z".into(),
        machine: Machine {
            cpu: "AMD EPYC 9V74 80-Core Processor".into(),
            cpus: 4,
            memory_bytes: 16 << 30,
            system: "Linux 6.12.8".into(),
            file_system: Some("ext4".into()),
            fdatasync_us: Some(812.0),
        },
        versions: vec![("pontoon".into(), "0.1.0".into()), ("redb".into(), "4.0.0".into())],
        settings: vec![
            ("keys".into(), "100000".into()),
            ("value-bytes".into(), "100".into()),
            ("seconds".into(), "0.5".into()),
        ],
        load: Load::Closed,
        cells,
    }
}

fn full_sample(noise: &mut Noise, round: u32, per_sec: f64, concurrency: u32) -> Sample {
    let per_sec = noise.around(per_sec, 0.06);
    let mean = f64::from(concurrency) * 1e6 / per_sec;
    let tail = noise.around(1.0, 0.2);
    let curve = (0..=44).map(|n| {
        let one_in = 10f64.powf(f64::from(n) / 8.0);
        (1.0 - 1.0 / one_in, mean * (0.5 + tail * f64::from(n).powf(1.7) / 40.0))
    });
    let curve: Vec<(f64, f64)> = curve.collect();
    let at = |n: usize| curve.get(n).map_or(mean, |(_, us)| *us);
    Sample {
        latency: Latency {
            mean_us: mean,
            p50_us: at(2),
            p99_us: at(16),
            p999_us: at(24),
            max_us: at(44),
            curve,
        },
        cpu_us_per_op: Some(noise.around(2.0 + 2e5 / per_sec, 0.1)),
        switches_per_op: Some(noise.around(0.4, 0.3)),
        peak_memory_bytes: Some((80 << 20) + u64::from(concurrency) * 2000),
        ..sample(round, per_sec, 0.0)
    }
}

/// Two engines, two workloads, four concurrencies, all contenders, three rounds.
pub(in crate::bench) fn storage() -> Results {
    let noise = &mut Noise(1);
    let mut contenders = vec![("direct", "", true)];
    for runtime in ["multi-thread", "current-thread"] {
        for mode in ["blocking", "pool x1", "pool x2", "pool x4"] {
            contenders.push((mode, runtime, false));
        }
        for baseline in ["per-call", "per-call-pool", "inline"] {
            contenders.push((baseline, runtime, true));
        }
    }
    contenders.push(("pool x2", "none", false));
    let mut cells = Vec::new();
    for engine in ["redb", "rocksdb"] {
        for workload in ["get-hit", "durable-put"] {
            for concurrency in [1, 16, 256, 4096] {
                for (name, runtime, is_baseline) in &contenders {
                    let durable = workload == "durable-put";
                    let callers = f64::from(concurrency);
                    let shared = 1.0 + callers / (1.0 + callers / 150.0);
                    let per_sec = match (*name, durable) {
                        ("direct", true) | ("inline", true) => 1100.0,
                        ("direct", false) => 400e3 * callers.min(4.0),
                        ("inline", false) => 390e3 * callers.min(1.6),
                        ("per-call", true) | ("per-call-pool", true) => 900.0,
                        ("per-call", false) => 70e3 * callers.min(2.2),
                        ("per-call-pool", false) => 90e3 * callers.min(1.2),
                        ("blocking", true) => 900.0 * shared,
                        ("blocking", false) => 42e3 * shared.min(9.0),
                        (_, true) => 920.0 * shared,
                        (pool, false) => {
                            let threads = f64::from(pool.ends_with("x4")) * 0.2;
                            36e3 * shared.min(12.0) * (1.0 + threads)
                        }
                    };
                    let per_sec = if engine == "redb" { per_sec } else { per_sec * 0.8 };
                    let sample = |round| {
                        let mut sample = full_sample(noise, round, per_sec, concurrency);
                        let batch = if *is_baseline { 1.0 } else { shared };
                        sample.mean_batch = (!is_baseline).then_some(batch);
                        sample.syncs = durable.then_some((sample.operations as f64 / batch) as u64);
                        let late = if *name == "inline" && durable { 140e3 } else { 1100.0 };
                        let stall = Stall { p999_us: noise.around(late, 0.2), max_us: late * 3.0 };
                        sample.stall = (!runtime.is_empty() && *runtime != "none").then_some(stall);
                        sample
                    };
                    cells.push(Cell {
                        case: Case {
                            engine: engine.into(),
                            workload: workload.into(),
                            pipeline: 1,
                            concurrency,
                        },
                        contender: Contender {
                            name: (*name).into(),
                            runtime: (*runtime).into(),
                            is_baseline: *is_baseline,
                        },
                        samples: (0..3).map(sample).collect(),
                    });
                }
            }
        }
    }
    run(Subject::Storage, cells)
}

/// Three servers, up to 10,000 connections, two pipelines.
pub(in crate::bench) fn server() -> Results {
    let noise = &mut Noise(2);
    let mut cells = Vec::new();
    for workload in ["set", "get"] {
        for pipeline in [1, 16] {
            for concurrency in [1, 100, 1000, 10_000] {
                for (name, fast) in [("pontoon", 1.0), ("redis", 1.5), ("kvrocks", 0.97)] {
                    let callers = f64::from(concurrency * pipeline);
                    let per_sec = fast * 20e3 * callers.powf(0.35);
                    cells.push(Cell {
                        case: Case {
                            engine: String::new(),
                            workload: workload.into(),
                            pipeline,
                            concurrency,
                        },
                        contender: Contender {
                            name: name.into(),
                            runtime: String::new(),
                            is_baseline: name != "pontoon",
                        },
                        samples: (0..3)
                            .map(|round| full_sample(noise, round, per_sec, concurrency))
                            .collect(),
                    });
                }
            }
        }
    }
    let mut results = run(Subject::Server, cells);
    results.command =
        "pontoon bench server --addr pontoon=127.0.0.1:6379 --addr redis=127.0.0.1:6380".into();
    results
}

/// The same at a fixed rate, which the slowest does not keep up with alone.
pub(in crate::bench) fn server_open() -> Results {
    let mut results = server();
    results.load = Load::Open { rate_per_sec: 20_000.0 };
    for cell in &mut results.cells {
        for sample in &mut cell.samples {
            sample.operations = sample.operations.min(20_000);
        }
    }
    results
}

/// One cell, one round, nothing optional, nothing done, and names that would break a careless page.
pub(in crate::bench) fn degenerate() -> Results {
    let mut cell = cell("<b>\"pool\" & 'co'</b>", "", 1, &[0.0]);
    for sample in &mut cell.samples {
        (sample.seconds, sample.latency) =
            (0.0, Latency { p99_us: f64::NAN, ..Latency::default() });
    }
    let mut results = run(Subject::Storage, vec![cell]);
    results.machine.file_system = None;
    results.machine.fdatasync_us = None;
    results.command = "pontoon bench --engine '</pre><script>alert(1)</script>'".into();
    results
}

/// All of them, with names.
pub(in crate::bench) fn all() -> Vec<(&'static str, Results)> {
    vec![
        ("storage", storage()),
        ("server", server()),
        ("server-open", server_open()),
        ("degenerate", degenerate()),
        ("empty", run(Subject::Storage, Vec::new())),
    ]
}
