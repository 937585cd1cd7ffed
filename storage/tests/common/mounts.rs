//! File systems of a test's own: small, read-only, full. The test runs itself again as a process with mounts
//! that nobody else sees and that end with it.
#![allow(dead_code)]

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "PONTOON_INSIDE_OWN_MOUNTS";
const REQUIRE: &str = "PONTOON_REQUIRE_MOUNT";

/// Whether this is the process with mounts of its own, whose business the test is. Else it is started and
/// waited for, and the test is over. Where that is not allowed the test says so and passes, unless
/// `PONTOON_REQUIRE_MOUNT=1`. `test` is the name of the test that calls.
pub fn are_own(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let may =
        Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !may.is_ok_and(|output| output.status.success()) {
        assert!(
            std::env::var_os(REQUIRE).is_none(),
            "{REQUIRE} is set, and nothing can be mounted"
        );
        eprintln!("{test}: mounting a file system is not allowed here; nothing was tried");
        return false;
    }
    let status = Command::new("unshare")
        .arg("-rm")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .status()
        .unwrap();
    assert!(status.success(), "{test}: {status}");
    false
}

/// A file system in memory.
pub struct Disk {
    pub path: PathBuf,
}

impl Disk {
    /// Of so many KiB, mounted on the directory `name` in `above`.
    pub fn mount(above: &Path, name: &str, kib: u64) -> Self {
        let path = above.join(name);
        std::fs::create_dir(&path).unwrap();
        let size = format!("size={kib}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&path).status();
        assert!(mounted.unwrap().success());
        Self { path }
    }

    /// `"ro"` or `"rw"`.
    pub fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let mounted = Command::new("mount").args(["-o", &options]).arg(&self.path).status();
        assert!(mounted.unwrap().success());
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }

    /// Takes all the room but about `kib` KiB.
    pub fn fill_but(&self, kib: u64) {
        let mut ballast =
            OpenOptions::new().append(true).create(true).open(self.ballast()).unwrap();
        while ballast.write_all(&[b'b'; 4096]).is_ok() {}
        let len = ballast.metadata().unwrap().len();
        ballast.set_len(len.saturating_sub(kib * 1024)).unwrap();
    }

    pub fn free(&self) {
        // Shorter, and not gone: what watches the directory for strangers sees the same.
        File::create(self.ballast()).unwrap();
    }
}
