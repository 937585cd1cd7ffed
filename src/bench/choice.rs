//! What the matrix can be made of: engines, modes, runtimes and workloads by name.

use clap::ValueEnum;
use pontoon_storage::EngineKind;

/// How storage is called: Pontoon's two bridge modes, and what to compare them with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// A store with `Bridge::Blocking`.
    Blocking,
    /// A store with `Bridge::Pool`.
    Pool,
    /// Synchronous calls on plain threads.
    Direct,
    /// One `spawn_blocking` per operation.
    PerCall,
    /// One `threadpool` job per operation.
    PerCallPool,
    /// The engine called on the async thread.
    Inline,
}

impl Mode {
    /// Whether it is something to compare with.
    pub fn is_baseline(self) -> bool {
        !matches!(self, Mode::Blocking | Mode::Pool)
    }

    /// Whether `--pool-threads` means something to it.
    pub fn has_pool(self) -> bool {
        matches!(self, Mode::Pool | Mode::PerCallPool)
    }
}

/// What runs the callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flavor {
    /// tokio with a worker for each CPU.
    MultiThread,
    /// tokio with one thread.
    CurrentThread,
    /// No tokio: the thread pool of the crate `futures`, with a thread for each CPU.
    None,
}

/// What a caller does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workload {
    /// Reads a random key that the engine has in its cache.
    GetHit,
    /// Reads a random key that has to come from the disk.
    GetMiss,
    /// Replaces a random key's value, acknowledged as `--durability` says.
    Put,
    /// Replaces a random key's value, acknowledged once it is on the disk.
    PutDurable,
    /// Reads a random key's value and replaces it by another, in one transaction.
    Rmw,
    /// Reads 100 entries from a random key on.
    Scan,
    /// YCSB A: half reads, half updates.
    YcsbA,
    /// YCSB B: 95 % reads, 5 % updates.
    YcsbB,
    /// YCSB C: reads alone.
    YcsbC,
    /// YCSB D: 95 % reads of what is newest, 5 % inserts.
    YcsbD,
    /// YCSB E: 95 % scans of 1 to 100 entries, 5 % inserts.
    YcsbE,
    /// YCSB F: half reads, half read-modify-writes.
    YcsbF,
}

/// Something that has a name on the command line.
pub(super) trait Named: Copy + PartialEq + 'static {
    /// What `all` stands for.
    fn all() -> Vec<Self>;
    /// Its name.
    fn name(self) -> String;
    /// What is called `name`.
    fn find(name: &str) -> Result<Self, String>;
}

macro_rules! named {
    ($($type:ty),*) => {$(
        impl Named for $type {
            fn all() -> Vec<Self> {
                Self::value_variants().to_vec()
            }

            fn name(self) -> String {
                self.to_possible_value().map_or_else(String::new, |value| value.get_name().into())
            }

            fn find(name: &str) -> Result<Self, String> {
                let known = |all: Vec<Self>| all.into_iter().map(Self::name).collect::<Vec<_>>();
                Self::from_str(name, false).map_err(|_| {
                    format!("{name:?} is none of {}, or all", known(Self::all()).join(", "))
                })
            }
        }
    )*};
}
named!(Mode, Flavor, Workload);

impl Named for EngineKind {
    fn all() -> Vec<Self> {
        Self::AVAILABLE.to_vec()
    }

    fn name(self) -> String {
        EngineKind::name(self).into()
    }

    fn find(name: &str) -> Result<Self, String> {
        crate::cli::parse_engine(name)
    }
}

/// Values separated by commas, none of them twice. A type of its own, because clap gives `Vec` a
/// meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct List<T>(pub(super) Vec<T>);

pub(super) fn parse_names<T: Named>(text: &str) -> Result<List<T>, String> {
    if text == "all" {
        return Ok(List(T::all()));
    }
    parse_list(text, T::find)
}

pub(super) fn parse_positives(text: &str) -> Result<List<usize>, String> {
    parse_list(text, crate::cli::parse_positive)
}

fn parse_list<T: PartialEq>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<List<T>, String> {
    let mut values = Vec::new();
    for word in text.split(',').map(str::trim) {
        let value = parse(word)?;
        if values.contains(&value) {
            return Err(format!("{word} is there twice"));
        }
        values.push(value);
    }
    Ok(List(values))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_at_commas() {
        let List(modes) = parse_names::<Mode>("pool, per-call-pool").unwrap();
        assert_eq!(modes, [Mode::Pool, Mode::PerCallPool]);
        assert_eq!(parse_names::<Workload>("all").unwrap().0.len(), 12);
        assert_eq!(parse_positives("1,16").unwrap().0, [1, 16]);
        assert!(parse_names::<EngineKind>("all").unwrap().0.contains(&EngineKind::Memory));
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        assert!(parse_names::<Mode>("pool,pool").unwrap_err().contains("pool is there twice"));
        let why = parse_names::<Workload>("ycsb-g").unwrap_err();
        assert!(why.contains("\"ycsb-g\"") && why.contains("put-durable"), "{why}");
        assert!(parse_positives("1,0").unwrap_err().contains("at least 1"));
        assert!(parse_names::<Flavor>("").is_err());
    }
}
