//! A server's process, when it runs on this machine: what it costs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::bench::measure::Usage;
use crate::labelled::number_behind;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// A process of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    dir: PathBuf,
}

impl Process {
    /// The process that `INFO` of the server at `address` calls `id`, if that listens there on this
    /// machine.
    ///
    /// # Errors
    /// Why nothing can be said of it.
    pub(super) fn find(id: &str, address: SocketAddr) -> Result<Self, String> {
        if !address.ip().is_loopback() {
            return Err("it is not reached over loopback".into());
        }
        let id: u32 = id.parse().map_err(|_| "INFO has no process_id")?;
        let process = Self { dir: PathBuf::from(format!("/proc/{id}")) };
        let sockets = listening_sockets(&process.dir, address.port());
        let files = fs::read_dir(process.dir.join("fd"))
            .map_err(|error| format!("cannot look into process {id}: {error}"))?;
        let listens = files.flatten().any(|file| {
            let target = fs::read_link(file.path()).unwrap_or_default();
            sockets.iter().any(|socket| Path::new(socket) == target)
        });
        let elsewhere = || format!("process {id} of this machine does not listen on its port");
        if listens { Ok(process) } else { Err(elsewhere()) }
    }

    /// What it has used since it began, threads that have ended excepted for context switches.
    pub(super) fn usage(&self) -> Option<Usage> {
        let stat = fs::read_to_string(self.dir.join("stat")).ok()?;
        let cpu_us = cpu_ticks(&stat)? * 1e6 / rustix::param::clock_ticks_per_second() as f64;
        let threads = fs::read_dir(self.dir.join("task")).ok()?;
        let switches = threads
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
            .map(|status| {
                let count = |name| number_behind(&status, name).unwrap_or(0);
                count("voluntary_ctxt_switches:") + count("nonvoluntary_ctxt_switches:")
            })
            .sum::<u64>() as f64;
        Some(Usage { cpu_us, switches })
    }

    /// Memory that it occupies now.
    pub(super) fn memory_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(self.dir.join("status")).ok()?;
        number_behind(&status, "VmRSS:").map(|kib| kib * 1024)
    }
}

/// The sockets that listen on `port`, as the links in a process's `fd` call them, in the network
/// namespace of the process.
fn listening_sockets(process: &Path, port: u16) -> Vec<String> {
    let tables = ["net/tcp", "net/tcp6"].map(|table| fs::read_to_string(process.join(table)));
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    lines.filter_map(|line| listening_socket(line, port)).collect()
}

fn listening_socket(line: &str, port: u16) -> Option<String> {
    let mut words = line.split_whitespace().skip(1);
    let (_, local_port) = words.next()?.rsplit_once(':')?;
    let (state, inode) = (words.nth(1)?, words.nth(5)?);
    let listens = state == LISTENING && u16::from_str_radix(local_port, 16) == Ok(port);
    listens.then(|| format!("socket:[{inode}]"))
}

/// User and system time in `/proc/PID/stat`; the process's name before them may hold anything.
fn cpu_ticks(stat: &str) -> Option<f64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut ticks = behind_name.split_whitespace().skip(11).map(str::parse::<u64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 6 7 20 0 1 0 9 10 11";
        assert_eq!(cpu_ticks(stat), Some(300.0));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn a_listening_socket_is_known_by_port_and_state() {
        let line = "   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     \
                    0        0 4711 1 0000000000000000 100 0 0 10 0";
        assert_eq!(listening_socket(line, 6379).unwrap(), "socket:[4711]");
        assert_eq!(listening_socket(line, 6380), None);
        assert_eq!(listening_socket(&line.replace(" 0A ", " 01 "), 6379), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found_by_what_it_listens_on() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = std::process::id().to_string();
        let process = Process::find(&own, address).unwrap();
        assert!(process.memory_bytes().unwrap() > 1 << 20);
        assert!(process.usage().unwrap().switches > 0.0);
        assert!(Process::find("x", address).unwrap_err().contains("process_id"));
        assert!(Process::find(&own, "192.0.2.1:1".parse().unwrap()).is_err());
        drop(listener);
        assert!(Process::find(&own, address).unwrap_err().contains("does not listen"));
    }
}
