//! The child: it opens a store, writes, and prints what was acknowledged, until its disk is gone.

use std::io::Write;
use std::path::{Path, PathBuf};

use futures::future::join_all;
use pontoon_storage::{Durability, Options, Store};

use crate::INTERVAL;
use crate::common::Setup;
use crate::workload::operation;

/// All that a child is told, as one variable of its environment each.
#[derive(Debug, Clone)]
pub struct Task {
    pub dir: PathBuf,
    /// Index into [`Setup::persistent`].
    pub setup: usize,
    pub durability: Durability,
    pub quick_repair: bool,
    pub seed: u64,
    /// Each writer's first operation, with commas between.
    pub starts: String,
    /// Each writer ends after so many, and the store is closed.
    pub operations_max: u64,
    /// Where checkpoints are made meanwhile, one after the other: see [`checkpoint`].
    pub checkpoints: Option<PathBuf>,
}

const PREFIX: &str = "PONTOON_POWER_CHILD_";

impl Task {
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let durability = match self.durability {
            Durability::Always => "0",
            Durability::Every(_) => "1",
            Durability::Never => "2",
        };
        let pairs = [
            ("DIR", path(&self.dir)),
            ("SETUP", self.setup.to_string()),
            ("DURABILITY", durability.into()),
            ("QUICK_REPAIR", self.quick_repair.to_string()),
            ("SEED", self.seed.to_string()),
            ("STARTS", self.starts.clone()),
            ("OPERATIONS", self.operations_max.to_string()),
            ("CHECKPOINTS", self.checkpoints.as_deref().map(path).unwrap_or_default()),
        ];
        pairs.into_iter().map(|(name, value)| (format!("{PREFIX}{name}"), value)).collect()
    }

    fn from_environment() -> Option<Self> {
        let text = |name: &str| std::env::var(format!("{PREFIX}{name}")).ok();
        let number = |name: &str| text(name).unwrap().parse::<u64>().unwrap();
        let durability = [Durability::Always, Durability::Every(INTERVAL), Durability::Never];
        Some(Self {
            dir: text("DIR")?.into(),
            setup: number("SETUP") as usize,
            durability: durability[number("DURABILITY") as usize],
            quick_repair: text("QUICK_REPAIR").unwrap() == "true",
            seed: number("SEED"),
            starts: text("STARTS").unwrap(),
            operations_max: number("OPERATIONS"),
            checkpoints: text("CHECKPOINTS").filter(|path| !path.is_empty()).map(PathBuf::from),
        })
    }

    pub fn options(&self) -> Options {
        let setup = Setup::persistent().swap_remove(self.setup);
        setup.options(&self.dir).durability(self.durability).redb_quick_repair(self.quick_repair)
    }
}

pub fn child() {
    let Some(task) = Task::from_environment() else { return };
    let setup = Setup::persistent().swap_remove(task.setup);
    // The test harness may have begun a line of its own.
    say("\nopening");
    setup.block_on(async {
        let store = must(Store::open(task.options()).await);
        let starts = task.starts.split(',').map(|start| start.parse().unwrap());
        let writers = join_all(starts.enumerate().map(|(writer, start): (usize, u64)| {
            let (store, seed) = (&store, task.seed);
            async move {
                for index in (start..).take(task.operations_max as usize) {
                    let synced = must(operation(seed, writer, index).run(store).await);
                    say(&format!("ack {writer} {index} {synced}"));
                }
            }
        }));
        let checkpoints = async {
            for number in 0.. {
                let Some(first) = &task.checkpoints else { break };
                must(store.checkpoint(checkpoint(first, number)).await);
                say(&format!("checkpoint {number}"));
            }
        };
        futures::future::join(writers, checkpoints).await;
        must(store.close().await);
        say("closed");
    });
}

/// The directory of the `number`-th checkpoint.
pub fn checkpoint(first: &Path, number: u64) -> PathBuf {
    first.with_extension(number.to_string())
}

/// Ends at once where the disk has gone: nothing said from then on would count.
fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("the child ends: {error}");
        std::process::exit(1)
    })
}

/// Past the harness, which captures what `println!` prints.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    must(out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()));
}
