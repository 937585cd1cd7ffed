//! Where and when it ran.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::cli::{Args, Workload};
use crate::subject::{THREADS, VALUE_BYTES};

const FSYNCS: usize = 200;

/// Says it, for data in `dir`.
pub(crate) fn describe(out: &mut impl Write, args: &Args, dir: &Path) -> io::Result<()> {
    writeln!(
        out,
        "{}, {} CPUs ({}), {} {}",
        humantime::format_rfc3339_seconds(SystemTime::now()),
        num_cpus::get(),
        cpu_model(),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )?;
    writeln!(
        out,
        "{} keys, {VALUE_BYTES}-byte values; rounds: {} of {} s, in turn; {THREADS} threads in each pool; closed loop",
        args.keys, args.rounds, args.seconds
    )?;
    let is_durable = args.workload.contains(&Workload::DurablePut)
        && args.engine.iter().any(|engine| engine.is_persistent());
    if is_durable {
        writeln!(out, "fdatasync of 4 KiB: median {:.2?}", fdatasync_time(dir)?)?;
    }
    Ok(())
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "model unknown".to_owned(), |(_, model)| model.trim().to_owned())
}

fn fdatasync_time(dir: &Path) -> io::Result<Duration> {
    let path = dir.join("fsync-probe");
    let mut file = fs::File::create(&path)?;
    let mut times = Vec::with_capacity(FSYNCS);
    for _ in 0..FSYNCS {
        file.write_all(&[7; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    fs::remove_file(path)?;
    times.sort_unstable();
    Ok(times[FSYNCS / 2])
}
