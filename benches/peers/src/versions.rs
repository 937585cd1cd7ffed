//! What ran, as this package's lock file has it.

use std::io::{self, Write};

use pontoon_storage::EngineKind;

use crate::cli::Args;

const LOCK: &str = include_str!("../Cargo.lock");

const PACKAGES: [&str; 8] = [
    "pontoon-storage",
    "redb",
    "tokio",
    "affinitypool",
    "blocking",
    "flume",
    "fjall",
    "tokio-rusqlite",
];

/// RocksDB's own version follows the `+` of the second.
const ROCKSDB_PACKAGES: [&str; 2] = ["rocksdb", "librocksdb-sys"];

pub(crate) fn describe(out: &mut impl Write, args: &Args) -> io::Result<()> {
    let mut packages = PACKAGES.to_vec();
    if args.engine.contains(&EngineKind::Rocksdb) {
        packages.extend(ROCKSDB_PACKAGES);
    }
    let mut versions: Vec<_> =
        packages.iter().map(|name| format!("{name} {}", locked(name))).collect();
    versions.push(format!("SQLite {}", tokio_rusqlite::rusqlite::version()));
    writeln!(out, "{}\n", versions.join(", "))
}

/// The version of a package in the lock file; of several the first.
fn locked(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines().skip_while(|line| *line != name).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = \""));
    version.and_then(|version| version.strip_suffix('"')).expect("a package of the lock file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_has_a_version_of_each_package() {
        for package in PACKAGES.into_iter().chain(ROCKSDB_PACKAGES) {
            let version = locked(package);
            assert!(
                version.starts_with(|first: char| first.is_ascii_digit()),
                "{package} {version}"
            );
        }
        assert!(!LOCK.contains("name = \"no-such-package\""));
    }
}
