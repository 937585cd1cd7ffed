//! The log: what is written to stderr, and the filter that `loglevel` is, which can change while the
//! server runs.

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, reload};

/// Redis's levels and the filters that they are here.
const REDIS_LEVELS: [(&str, &str); 4] = [
    ("verbose", "info,pontoon=debug"),
    ("notice", "info"),
    ("warning", "warn"),
    ("nothing", "off"),
];

/// The filter's own levels.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What changes the filter of the log that this process writes, once it does.
type Change = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

static CHANGE: OnceLock<Change> = OnceLock::new();

/// Starts to log what `level` lets through.
pub(crate) fn start(level: &str) {
    let logging = fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_env_filter(filter(level))
        .with_filter_reloading();
    let handle = logging.reload_handle();
    // Another subscriber is there already when a program calls this as a library: it stays.
    if logging.finish().try_init().is_ok() {
        let _ = CHANGE.set(Box::new(move |filter| handle.reload(filter)));
    }
}

/// From now on logs what `level` lets through.
///
/// # Errors
/// Why it cannot.
pub(crate) fn change(level: &str) -> Result<(), String> {
    let Some(change) = CHANGE.get() else {
        return Err("the log is not the server's own".into());
    };
    change(filter(level)).map_err(|error| error.to_string())
}

/// `level` as it is shown, if it is one: a level, or directives.
///
/// # Errors
/// Why it is none.
pub(crate) fn check(level: &str) -> Result<String, String> {
    let word = level.to_ascii_lowercase();
    let known = REDIS_LEVELS.iter().map(|(name, _)| *name).chain(LEVELS);
    if known.into_iter().any(|name| name == word) {
        return Ok(word);
    }
    let mut directives = level.split(',').map(str::trim);
    // Left to itself, the filter takes a misspelt level for the name of a module.
    if let Some(unknown) =
        directives.find(|directive| !directive.contains('=') && !LEVELS.contains(directive))
    {
        let redis = REDIS_LEVELS.map(|(name, _)| name).join(", ");
        let own = LEVELS.join(", ");
        return Err(format!("{unknown:?} is no level; they are {own}, and {redis}"));
    }
    EnvFilter::try_new(level).map(|_| level.to_owned()).map_err(|error| error.to_string())
}

/// The filter of a checked level; one that is none lets through what is worth a notice.
fn filter(level: &str) -> EnvFilter {
    let redis = REDIS_LEVELS.iter().find(|(name, _)| *name == level);
    let directives = redis.map_or(level, |(_, directives)| directives);
    EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new("info"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_levels_are_levels_here() {
        for (level, directives) in [
            ("debug", "debug"),
            ("verbose", "pontoon=debug,info"),
            ("notice", "info"),
            ("warning", "warn"),
            ("nothing", "off"),
            ("trace", "trace"),
            ("warn,pontoon::server=debug", "pontoon::server=debug,warn"),
        ] {
            assert_eq!(check(level), Ok(level.into()));
            assert_eq!(filter(level).to_string(), directives);
        }
        assert_eq!(check("NOTICE"), Ok("notice".into()));
    }

    #[test]
    fn what_is_no_level_is_refused() {
        for level in ["", "vrebose", "info,noise", "pontoon=loud", "notice,pontoon=debug"] {
            assert!(check(level).is_err(), "{level}");
        }
    }
}
