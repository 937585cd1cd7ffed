//! Where and with what a run took place.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::result::Machine;
use crate::labelled::number_behind;

/// How many times an fdatasync is timed, and for how long at the most: disks differ a thousandfold.
const SYNCS: usize = 200;
const SYNCS_TIME_MAX: Duration = Duration::from_secs(1);

/// Describes the machine and, if the data is on a disk, the file system under `data_dir` and how long
/// an fdatasync takes there.
pub(super) fn describe(data_dir: Option<&Path>) -> Machine {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    Machine {
        cpu: cpu_of(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.into()),
        cpus: cpus(),
        memory_bytes: memory_of(&read("/proc/meminfo")).unwrap_or(0),
        system: system(&read("/etc/os-release"), &read("/proc/sys/kernel/osrelease")),
        file_system: data_dir.and_then(|dir| {
            let dir = dir.canonicalize().ok()?;
            file_system_of(&read("/proc/self/mountinfo"), &dir)
        }),
        fdatasync_us: data_dir.and_then(|dir| median_sync_us(dir).ok()),
    }
}

/// CPUs that this process may use.
pub(super) fn cpus() -> usize {
    thread::available_parallelism().map_or_else(|_| num_cpus::get(), usize::from)
}

/// How many threads of the whole machine wanted a CPU in the last minute, on average.
pub(super) fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// The names and versions of what this program is made of.
pub(super) fn versions() -> Vec<(String, String)> {
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let own = format!("{} ({build} build)", env!("CARGO_PKG_VERSION"));
    vec![("pontoon".into(), own)]
}

/// The command that repeats this run, quoted where a shell needs it.
pub(super) fn command() -> String {
    let args = std::env::args_os().skip(1).map(|arg| quoted(&arg.to_string_lossy()));
    std::iter::once("pontoon".to_owned()).chain(args).collect::<Vec<_>>().join(" ")
}

/// Now, in UTC, as RFC 3339 writes it.
pub(super) fn date() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

/// `arg` as a shell wants it.
pub(super) fn quoted(arg: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=@%+".contains(c);
    if !arg.is_empty() && arg.chars().all(is_plain) {
        return arg.to_owned();
    }
    format!("'{}'", arg.replace('\'', r"'\''"))
}

fn value_of<'t>(text: &'t str, name: &str, separator: char) -> Option<&'t str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(separator)?;
        (found.trim() == name).then(|| value.trim().trim_matches('"'))
    })
}

fn cpu_of(cpuinfo: &str) -> Option<String> {
    let names = ["model name", "Model", "Hardware"];
    names.iter().find_map(|name| value_of(cpuinfo, name, ':')).map(str::to_owned)
}

fn memory_of(meminfo: &str) -> Option<u64> {
    number_behind(meminfo, "MemTotal:").map(|kib| kib * 1024)
}

fn system(os_release: &str, kernel: &str) -> String {
    let name = value_of(os_release, "PRETTY_NAME", '=').unwrap_or(std::env::consts::OS);
    match kernel.trim() {
        "" => name.to_owned(),
        kernel => format!("{name}, kernel {kernel}"),
    }
}

/// The type of the file system that `dir` is on. Each line of `mountinfo` has the mount point in
/// fifth place and the type behind a lone dash: see proc_pid_mountinfo(5).
fn file_system_of(mountinfo: &str, dir: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        // Blanks in a path are written in octal.
        let point = mount.split(' ').nth(4)?.replace("\\040", " ");
        dir.starts_with(&point).then(|| (point.len(), kind.split(' ').next()))
    });
    // Of two at one place, the later hides the earlier.
    let (_, kind) = mounts.max_by_key(|(len, _)| *len)?;
    kind.map(str::to_owned)
}

/// The median time of an fdatasync of 4 KiB more in a file in `dir`.
fn median_sync_us(dir: &Path) -> io::Result<f64> {
    let mut file = tempfile::tempfile_in(dir)?;
    let mut times = Vec::with_capacity(SYNCS);
    let begun = Instant::now();
    while times.len() < SYNCS && (times.is_empty() || begun.elapsed() < SYNCS_TIME_MAX) {
        file.write_all(&[7; 4096])?;
        let begun = Instant::now();
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_is_understood() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 3.00GHz\n";
        assert_eq!(cpu_of(cpuinfo).as_deref(), Some("Some CPU @ 3.00GHz"));
        assert_eq!(
            memory_of("MemTotal:       24689584 kB\nMemFree: 1 kB\n"),
            Some(24_689_584 << 10)
        );
        let system = system("NAME=x\nPRETTY_NAME=\"Some Linux 12\"\n", "6.1.0-9\n");
        assert_eq!(system, "Some Linux 12, kernel 6.1.0-9");
    }

    #[test]
    fn the_file_system_is_that_of_the_nearest_mount() {
        let mountinfo = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
            23 22 0:21 / /mnt rw - tmpfs tmpfs rw\n\
            24 23 0:22 / /mnt/a\\040b rw - xfs /dev/vdb rw\n";
        let of = |dir: &str| file_system_of(mountinfo, Path::new(dir));
        assert_eq!(of("/srv/data").as_deref(), Some("ext4"));
        assert_eq!(of("/mnt/x").as_deref(), Some("tmpfs"));
        assert_eq!(of("/mnt/a b/c").as_deref(), Some("xfs"));
        assert_eq!(of("/mntx").as_deref(), Some("ext4"));
    }

    #[test]
    fn a_command_is_quoted_for_a_shell() {
        assert_eq!(quoted("--keys=1,2"), "--keys=1,2");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted(""), "''");
    }
}
