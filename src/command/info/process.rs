//! The process as the system sees it.

use std::fs;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use crate::command::server_state::ServerState;
use crate::labelled::number_behind;

use super::Fields;

/// Ticks a second of the times in `/proc/self/task/…/stat`; the same on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// What the process occupies stands for what it uses: the allocator keeps no count.
pub(super) fn memory(state: &ServerState, fields: &mut Fields) {
    if let Some((resident, peak)) = resident_bytes() {
        fields.add_bytes("used_memory", resident);
        fields.add_bytes("used_memory_rss", resident);
        fields.add_bytes("used_memory_peak", peak);
        let percent = resident as f64 * 100.0 / peak.max(1) as f64;
        fields.add("used_memory_peak_perc", format_args!("{percent:.2}%"));
    }
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    if let Some(kib) = number_behind(&machine, "MemTotal:") {
        fields.add_bytes("total_system_memory", kib << 10);
    }
    fields.add_bytes("maxmemory", 0);
    fields.add("maxmemory_policy", "noeviction");
    fields.add("lazyfree_pending_objects", state.stats.discarded.load(Relaxed));
    fields.add("lazyfreed_objects", state.stats.freed.load(Relaxed));
}

/// Bytes that the process occupies in memory, and the most that it ever did.
pub(in super::super) fn resident_bytes() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |label| number_behind(&status, label).map(|kib| kib << 10);
    Some((bytes("VmRSS:")?, bytes("VmHWM:")?))
}

pub(super) fn cpu(_: &ServerState, fields: &mut Fields) {
    for (who, suffix) in [(UsageWho::RUSAGE_SELF, ""), (UsageWho::RUSAGE_CHILDREN, "_children")] {
        if let Ok(usage) = getrusage(who) {
            let (system, user) = (usage.system_time(), usage.user_time());
            let system = duration(system.tv_sec(), system.tv_usec());
            add_times(fields, suffix, system, duration(user.tv_sec(), user.tv_usec()));
        }
    }
    if let Some((user, system)) = main_thread_times() {
        add_times(fields, "_main_thread", system, user);
    }
}

fn add_times(fields: &mut Fields, suffix: &str, system: Duration, user: Duration) {
    for (name, time) in [("sys", system), ("user", user)] {
        let seconds = time.as_secs_f64();
        fields.add(format_args!("used_cpu_{name}{suffix}"), format_args!("{seconds:.6}"));
    }
}

fn duration(seconds: i64, micros: i64) -> Duration {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let micros = u64::try_from(micros).unwrap_or(0);
    Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros))
}

/// User and system time of the thread that the process began with, which serves connections if no other
/// does.
fn main_thread_times() -> Option<(Duration, Duration)> {
    let id = std::process::id();
    let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat")).ok()?;
    // The thread's name, in brackets, may hold anything; the times follow it as the 12th and 13th
    // field.
    let mut times = stat.rsplit(')').next()?.split_whitespace().skip(11);
    let mut next = || {
        let ticks: u64 = times.next()?.parse().ok()?;
        Some(Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SECOND)))
    };
    next().zip(next())
}

pub(super) fn operating_system() -> String {
    let read = |name| {
        let text = fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.map(|text| text.trim().to_owned()).ok()
    };
    match (read("ostype"), read("osrelease")) {
        (Some(kind), Some(release)) => format!("{kind} {release} {}", std::env::consts::ARCH),
        _ => format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }
}
