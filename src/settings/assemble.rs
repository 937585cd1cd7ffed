//! From what flags, variables and a file say to one [`Config`].

use std::fmt;
use std::path::{self, Path, PathBuf};

use crate::config::{BridgeChoice, Config, DurabilityChoice, RuntimeChoice};

use super::file;
use super::table::{Setting, TABLE};

/// A setting that somebody has set.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) setting: &'static Setting,
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// Where a setting was set. What comes first wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    Flag,
    /// The environment variable of this name.
    Variable(&'static str),
    File {
        path: PathBuf,
        line: usize,
        key: String,
    },
}

/// Why there is no configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The file, or a value.
    Value(String),
    /// Settings that contradict each other.
    Conflict(String),
}

/// The configuration that comes of what was `given` as flags and variables, and in `file`: a flag
/// wins over a variable, a variable over the file, the file over the defaults.
pub(crate) fn assemble(mut given: Vec<Given>, path: Option<&Path>) -> Result<Config, Wrong> {
    let mut config = Config::default();
    if let Some(path) = path {
        given.extend(
            file::read(path).and_then(|text| file::parse(path, &text)).map_err(Wrong::Value)?,
        );
        // Absolute, so that `CONFIG REWRITE` finds it whatever becomes of the working directory.
        config.file = Some(std::path::absolute(path).unwrap_or_else(|_| path.into()));
    }
    let mut chosen = Chosen(Vec::new());
    for setting in TABLE {
        let of_setting = given.iter().filter(|given| std::ptr::eq(given.setting, setting));
        let Some(given) = of_setting.min_by_key(|given| &given.origin) else { continue };
        let wrong = |why: String| Wrong::Value(format!("{given}: {why}{}", setting.kind.hint()));
        if setting.is_secret
            && given.text.is_empty()
            && !matches!(given.origin, Origin::File { .. })
        {
            // A variable of the shell that is not set must not leave the server open.
            return Err(Wrong::Value(format!("{given} is empty: leave it out for no password")));
        }
        setting.kind.set(&mut config, &given.text).map_err(wrong)?;
        chosen.0.push(given);
    }
    chosen.check(&mut config)?;
    Ok(config)
}

/// The settings that were set, each by what won.
struct Chosen<'a>(Vec<&'a Given>);

impl Chosen<'_> {
    fn get(&self, name: &str) -> Option<&Given> {
        self.0.iter().find(|given| given.setting.name == name).copied()
    }

    /// Looks for contradictions, and draws conclusions from what was said.
    fn check(&self, config: &mut Config) -> Result<(), Wrong> {
        let conflict = |given: &Given, why: &str| Err(Wrong::Conflict(format!("{given}{why}")));
        if let Some(threads) = self.get("pool-threads")
            && config.pool_threads.is_some()
            && config.bridge == BridgeChoice::Blocking
        {
            return conflict(
                threads,
                " is for --bridge pool; --bridge blocking uses tokio's threads",
            );
        }
        if let Some(threads) = self.get("worker-threads")
            && config.worker_threads.is_some()
        {
            // Who asks for workers means the runtime that has them.
            if self.get("runtime").is_none() {
                config.runtime = RuntimeChoice::MultiThread;
            }
            if config.runtime == RuntimeChoice::CurrentThread {
                return conflict(threads, " is for --runtime multi-thread or per-core");
            }
        }
        if let Some(checkpoints) = self.get("checkpoint-dir")
            && let (Ok(dir), Ok(inside)) =
                (path::absolute(&config.dir), path::absolute(config.checkpoints()))
            && inside.starts_with(dir)
        {
            return conflict(
                checkpoints,
                " is inside the directory of the data, which the server has for itself: name another",
            );
        }
        if !config.engine.is_persistent() {
            for (name, why) in [
                (
                    "dir",
                    " is where data is kept, and --engine memory keeps none: give one or the other",
                ),
                (
                    "checkpoint-dir",
                    " is of no use with --engine memory, which has nothing to save: leave it out",
                ),
                (
                    "durability",
                    " is of no use with --engine memory, which keeps nothing: leave it out",
                ),
                (
                    "engine-cache-bytes",
                    " is of no use with --engine memory, which has no read cache: leave it out",
                ),
            ] {
                if let Some(given) = self.get(name) {
                    return conflict(given, why);
                }
            }
            config.durability = DurabilityChoice::No;
        }
        Ok(())
    }
}

/// What was set, for people, by the place where it was.
impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Flag => write!(f, "--{}", self.setting.name),
            Origin::Variable(name) => write!(f, "the environment variable {name}"),
            Origin::File { path, line, key } => {
                write!(f, "{}, line {line}: {key}", path.display())
            }
        }
    }
}
