//! The settings of a server that runs: what may change is read here, and changed by `CONFIG SET`.

use std::fmt;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use crate::command::{NotifyFlags, OutputLimit};
use crate::config::Config;

use super::kind::Kind;
use super::output_limits::ClientClass;
use super::refused::{is_immutable_in_redis, why_refused};
use super::table::{Setting, find};

/// What `CONFIG SET` says of a setting that only a new start can change.
const IMMUTABLE: &str = "can't set immutable config";

/// See the module. What connections read often is an atomic of its own, so that reading costs as good
/// as nothing; the rest is behind [`current`](LiveSettings::current). Somebody who reads several while
/// they change may see some of them new and others old.
pub struct LiveSettings {
    current: RwLock<Arc<Config>>,
    /// Names of the settings that have been changed. Held while one changes.
    changed: Mutex<Vec<&'static str>>,
    /// Held while the file is written.
    rewriting: Mutex<()>,
    apply: OnceLock<Box<Apply>>,
    hot: Hot,
}

type Apply = dyn Fn(&Config, &Config) -> Result<(), (&'static str, String)> + Send + Sync;

/// Why settings cannot be changed; none of them has been then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// There is no setting of this name.
    Unknown(String),
    /// A setting of this name, or its value, is refused.
    Refused {
        /// As it was given.
        name: String,
        /// Redis's text where there is one.
        why: String,
    },
}

#[derive(Debug, Default)]
struct Hot {
    clients_max: AtomicU64,
    timeout_secs: AtomicU64,
    protected_mode: AtomicBool,
    has_password: AtomicBool,
    query_buffer_bytes_max: AtomicU64,
    bulk_bytes_max: AtomicU64,
    notify: AtomicU32,
    slowlog_slower_than_us: AtomicI64,
    slowlog_len_max: AtomicU64,
    latency_threshold_ms: AtomicU64,
    latency_tracking: AtomicBool,
    normal: HotLimit,
    replica: HotLimit,
    pubsub: HotLimit,
}

#[derive(Debug, Default)]
struct HotLimit {
    hard_bytes: AtomicU64,
    soft_bytes: AtomicU64,
    soft_secs: AtomicU64,
}

impl LiveSettings {
    /// Those of a server that starts with `config`.
    pub fn new(config: Config) -> Self {
        let hot = Hot::default();
        hot.store(&config);
        Self {
            current: RwLock::new(Arc::new(config)),
            changed: Mutex::default(),
            rewriting: Mutex::default(),
            apply: OnceLock::new(),
            hot,
        }
    }

    /// All settings as they are now.
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets, once, what a change takes besides being known: it is given all settings as they are and
    /// as they shall be, and refuses one by its name, with the reason. It must not block.
    pub fn on_change(
        &self,
        apply: impl Fn(&Config, &Config) -> Result<(), (&'static str, String)> + Send + Sync + 'static,
    ) {
        // A second call would come from a second server.
        let _ = self.apply.set(Box::new(apply));
    }

    /// Changes settings by their names, in any case: all of them, or none.
    ///
    /// # Errors
    /// The first that is wrong, names before values.
    pub fn set(&self, pairs: &[(&str, &str)]) -> Result<(), SetError> {
        let mut changed = lock(&self.changed);
        let old = self.current();
        let mut new = (*old).clone();
        let mut settings: Vec<&'static Setting> = Vec::new();
        for (name, text) in pairs {
            let setting = admit(name, text, &old)?;
            if settings.iter().any(|earlier| std::ptr::eq(*earlier, setting)) {
                return Err(refused(name, "duplicate parameter"));
            }
            settings.push(setting);
        }
        for (setting, (name, text)) in settings.iter().zip(pairs) {
            let lower = name.to_ascii_lowercase();
            setting.kind.set(&mut new, text).map_err(|why| refused(&lower, &why))?;
        }
        if !new.engine.is_persistent() && new.durability != old.durability {
            return Err(refused(
                "durability",
                "the memory engine keeps nothing, however it is asked",
            ));
        }
        if let Some(apply) = self.apply.get() {
            apply(&old, &new).map_err(|(name, why)| refused(name, &why))?;
        }
        // The password first: who finds that one is needed finds it.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new.clone());
        self.hot.store(&new);
        for setting in settings {
            if !changed.contains(&setting.name) {
                changed.push(setting.name);
            }
        }
        Ok(())
    }

    /// Writes the settings that have been changed into the file that the server was started with.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// `None` without such a file; else what to tell the user.
    pub fn rewrite(&self) -> Result<(), Option<String>> {
        let _one_at_a_time = lock(&self.rewriting);
        let (names, config) = {
            // Not while the disk is waited for: `CONFIG SET` must not wait for that.
            let changed = lock(&self.changed);
            (changed.clone(), self.current())
        };
        let path = config.file.as_deref().ok_or(None)?;
        super::rewrite::rewrite(path, &names, &config).map_err(Some)
    }

    /// Clients at a time (`maxclients`).
    pub fn clients_max(&self) -> u64 {
        self.hot.clients_max.load(Relaxed)
    }

    /// How long a client may say nothing (`timeout`); `None`: for ever.
    pub fn timeout(&self) -> Option<Duration> {
        let secs = self.hot.timeout_secs.load(Relaxed);
        (secs > 0).then(|| Duration::from_secs(secs))
    }

    /// `protected-mode`.
    pub fn protected_mode(&self) -> bool {
        self.hot.protected_mode.load(Relaxed)
    }

    /// Whether clients must authenticate (`requirepass`).
    pub fn requires_password(&self) -> bool {
        self.hot.has_password.load(Relaxed)
    }

    /// Whether `given` is the password, or none is needed. Takes as long for a wrong one as for one
    /// that is nearly right, so that time tells nothing but the length.
    pub fn password_fits(&self, given: &[u8]) -> bool {
        let current = self.current();
        let Some(expected) = &current.password else { return true };
        let differing = expected.bytes().zip(given).fold(0, |sum, (e, g)| black_box(sum | (e ^ g)));
        expected.len() == given.len() && differing == 0
    }

    /// When a client of `class` that takes no replies is cut off (`client-output-buffer-limit`).
    pub fn output_limit(&self, class: ClientClass) -> OutputLimit {
        let limit = match class {
            ClientClass::Normal => &self.hot.normal,
            ClientClass::Replica => &self.hot.replica,
            ClientClass::PubSub => &self.hot.pubsub,
        };
        OutputLimit {
            hard_bytes: limit.hard_bytes.load(Relaxed),
            soft_bytes: limit.soft_bytes.load(Relaxed),
            soft_time: Duration::from_secs(limit.soft_secs.load(Relaxed)),
        }
    }

    /// Bytes of one request altogether (`client-query-buffer-limit`).
    pub fn query_buffer_bytes_max(&self) -> usize {
        usize::try_from(self.hot.query_buffer_bytes_max.load(Relaxed)).unwrap_or(usize::MAX)
    }

    /// Bytes of one argument of a request (`proto-max-bulk-len`).
    pub fn bulk_bytes_max(&self) -> usize {
        usize::try_from(self.hot.bulk_bytes_max.load(Relaxed)).unwrap_or(usize::MAX)
    }

    /// Which keyspace notifications are sent (`notify-keyspace-events`).
    pub fn notify(&self) -> NotifyFlags {
        NotifyFlags::from_bits(self.hot.notify.load(Relaxed))
    }

    /// Microseconds from which on a command is in the slow log; negative: none is
    /// (`slowlog-log-slower-than`).
    pub fn slowlog_slower_than_us(&self) -> i64 {
        self.hot.slowlog_slower_than_us.load(Relaxed)
    }

    /// Entries that the slow log keeps (`slowlog-max-len`).
    pub fn slowlog_len_max(&self) -> u64 {
        self.hot.slowlog_len_max.load(Relaxed)
    }

    /// Milliseconds from which on the latency monitor keeps an event; 0: none
    /// (`latency-monitor-threshold`).
    pub fn latency_threshold_ms(&self) -> u64 {
        self.hot.latency_threshold_ms.load(Relaxed)
    }

    /// Whether each command's time is put into a histogram (`latency-tracking`).
    pub fn latency_tracking(&self) -> bool {
        self.hot.latency_tracking.load(Relaxed)
    }
}

impl Hot {
    fn store(&self, config: &Config) {
        self.clients_max.store(config.clients_max as u64, Relaxed);
        self.timeout_secs.store(config.timeout.as_secs(), Relaxed);
        self.protected_mode.store(config.protected_mode, Relaxed);
        self.has_password.store(config.password.is_some(), Relaxed);
        self.query_buffer_bytes_max.store(config.query_buffer_bytes_max, Relaxed);
        self.bulk_bytes_max.store(config.bulk_bytes_max, Relaxed);
        self.notify.store(config.notify.bits(), Relaxed);
        self.slowlog_slower_than_us.store(config.slowlog_slower_than_us, Relaxed);
        self.slowlog_len_max.store(config.slowlog_len_max, Relaxed);
        self.latency_threshold_ms.store(config.latency_threshold_ms, Relaxed);
        self.latency_tracking.store(config.latency_tracking, Relaxed);
        for (hot, class) in [
            (&self.normal, ClientClass::Normal),
            (&self.replica, ClientClass::Replica),
            (&self.pubsub, ClientClass::PubSub),
        ] {
            let limit = config.output_limits.of(class);
            hot.hard_bytes.store(limit.hard_bytes, Relaxed);
            hot.soft_bytes.store(limit.soft_bytes, Relaxed);
            hot.soft_secs.store(limit.soft_time.as_secs(), Relaxed);
        }
    }
}

impl fmt::Debug for LiveSettings {
    /// Without values, since one of them is the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSettings").finish_non_exhaustive()
    }
}

/// The setting called `name`, if it may become `text`. One that only a new start can change may become
/// what it is.
fn admit(name: &str, text: &str, config: &Config) -> Result<&'static Setting, SetError> {
    let lower = name.to_ascii_lowercase();
    let Some(setting) = find(&lower) else {
        return Err(match why_refused(&lower) {
            Some(_) if is_immutable_in_redis(&lower) => refused(name, IMMUTABLE),
            Some(why) => refused(name, why),
            None => SetError::Unknown(name.into()),
        });
    };
    if setting.is_live {
        return Ok(setting);
    }
    let mut new = config.clone();
    let is_same = !matches!(setting.kind, Kind::Fixed { .. })
        && setting.kind.set(&mut new, text).is_ok()
        && setting.kind.show(&new) == setting.kind.show(config);
    if is_same { Ok(setting) } else { Err(refused(name, IMMUTABLE)) }
}

fn refused(name: &str, why: &str) -> SetError {
    SetError::Refused { name: name.into(), why: why.into() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
