//! What all connections share besides the store: settings, counters, the wish to stop.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pontoon_storage::EngineKind;
use tokio::sync::watch;

use crate::config::{Config, DebugCommand, DurabilityChoice};
use crate::data::{DATABASES, Event, Interest};
use crate::resp::{Args, Limits};
use crate::settings::{ClientClass, LiveSettings};

use super::clients::{Client, Clients};
use super::command_stats::{CommandStats, ErrorStats};
use super::latency_monitor::{COMMAND, EXPIRE_CYCLE, FAST_COMMAND, LatencyMonitor, UNBLOCKING};
use super::mailbox::{OutputClass, OutputLimit};
use super::monitor::Monitors;
use super::parked::ParkedClients;
use super::pause::Pause;
use super::pubsub::{EventListener, PubSub, Publisher};
use super::rates::Rates;
use super::saves::Saves;
use super::slowlog::SlowLog;
use super::spec::{Command, Flags};
use super::table::ids_len;
use super::waiting::Waiting;
use super::watch::Watches;

/// The Redis version whose behaviour the commands follow: what `HELLO` and `INFO` report.
pub const REDIS_VERSION: &str = "7.0.15";

/// How the server was started, as far as it does not change: [`LiveSettings`] has what does.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The TCP port it listens on.
    pub port: u16,
    /// How many clients it admitted at a time when it started; 0: as many as by default.
    pub clients_max: u64,
    /// The password that clients had to give when it started; `None`: none.
    pub password: Option<String>,
    /// Whether what is written outlives the server.
    pub persistent: bool,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            port: config.port,
            clients_max: config.clients_max as u64,
            password: config.password.clone(),
            persistent: config.engine.is_persistent(),
        }
    }
}

impl Settings {
    /// The defaults, but for these.
    fn into_config(self) -> Config {
        let mut config = Config { port: self.port, password: self.password, ..Config::default() };
        if let Ok(clients_max @ 1..) = usize::try_from(self.clients_max) {
            config.clients_max = clients_max;
        }
        if !self.persistent {
            config.engine = EngineKind::Memory;
            config.durability = DurabilityChoice::No;
        }
        config
    }
}

/// Counters of `INFO`, since the start or the last `CONFIG RESETSTAT`.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub connections_received: AtomicU64,
    /// Connections refused, because of the limit or of protected mode.
    pub connections_rejected: AtomicU64,
    /// Commands run, those that failed among them.
    pub commands_processed: AtomicU64,
    /// Error replies sent.
    pub error_replies: AtomicU64,
    /// Lookups of reading commands that found their key.
    pub keyspace_hits: AtomicU64,
    /// Lookups of reading commands that did not.
    pub keyspace_misses: AtomicU64,
    /// Keys removed because their time had come.
    pub expired_keys: AtomicU64,
    /// Flushed databases and discarded values whose elements are still to be removed. Only the write lane
    /// changes it. What was left when the server stopped is not counted.
    pub discarded: AtomicU64,
    /// Those whose elements have been removed.
    pub freed: AtomicU64,
    /// Changes of keys since the server started.
    pub changes: AtomicU64,
    /// Bytes received from clients.
    pub net_input_bytes: AtomicU64,
    /// Bytes sent to clients.
    pub net_output_bytes: AtomicU64,
}

impl Stats {
    /// Takes note that the elements of so many discarded values are gone, and whether there are others.
    pub fn note_freed(&self, freed: u64, more: bool) {
        self.freed.fetch_add(freed, Relaxed);
        // Of some that are freed nothing was known.
        let left = if more { self.discarded.load(Relaxed).saturating_sub(freed) } else { 0 };
        self.discarded.store(left, Relaxed);
    }

    /// Sets every counter to 0, but for those that tell of something that is there now.
    pub fn reset(&self) {
        for counter in [
            &self.connections_received,
            &self.connections_rejected,
            &self.commands_processed,
            &self.error_replies,
            &self.keyspace_hits,
            &self.keyspace_misses,
            &self.expired_keys,
            &self.freed,
            &self.net_input_bytes,
            &self.net_output_bytes,
        ] {
            counter.store(0, Relaxed);
        }
    }
}

/// When a command began, and what it took before that.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    begun: Instant,
    before: Duration,
}

impl Timing {
    /// With `more` time that was spent on the command before.
    pub fn plus(self, more: Duration) -> Self {
        Self { before: self.before.saturating_add(more), ..self }
    }

    /// What it has taken so far.
    pub fn spent(self) -> Duration {
        self.spent_at(Instant::now())
    }

    fn spent_at(self, now: Instant) -> Duration {
        now.saturating_duration_since(self.begun).saturating_add(self.before)
    }
}

/// A client's wish that the server stop, from `SHUTDOWN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownRequest {
    /// Whether to stop without waiting for the other clients' requests (`NOW`).
    pub now: bool,
}

type StorageStats = dyn Fn() -> Vec<(String, String)> + Send + Sync;

/// See the module.
pub struct ServerState {
    /// How it was started.
    pub settings: Settings,
    /// What may change while it runs.
    pub live: LiveSettings,
    /// Counters.
    pub stats: Stats,
    /// Clients connected now.
    pub clients: Arc<Clients>,
    /// Keys that clients watch.
    pub watches: Watches,
    /// Clients that wait for keys.
    pub waiting: Arc<Waiting>,
    /// Clients that wait for something else.
    pub parked: ParkedClients,
    /// Who listens to what.
    pub pubsub: Arc<PubSub>,
    /// Clients that are shown what others do.
    pub monitors: Monitors,
    /// Whether commands wait before they run.
    pub pause: Pause,
    /// What happens a second.
    pub rates: Rates,
    /// Checkpoints made and in the making.
    pub saves: Saves,
    /// How long the keys of each database have left that expire, in milliseconds, on average.
    pub average_ttl: [AtomicU64; DATABASES as usize],
    /// Whether expired keys are removed though nobody asks for them: `DEBUG SET-ACTIVE-EXPIRE`.
    pub active_expire: AtomicBool,
    /// What each command has done, by its id.
    pub command_stats: Vec<CommandStats>,
    /// Which errors were answered.
    pub error_stats: ErrorStats,
    /// Commands that took long.
    pub slowlog: SlowLog,
    /// Events that took long.
    pub latency: LatencyMonitor,
    /// 40 hexadecimal digits that differ from start to start.
    pub run_id: String,
    /// When it started, on the monotonic clock.
    pub started: Instant,
    /// When it started, on the wall clock.
    pub started_at: SystemTime,
    /// Whether the latest write reached the storage; `INFO` shows it.
    pub last_write_ok: AtomicBool,
    last_client_id: AtomicU64,
    shutdown: watch::Sender<Option<ShutdownRequest>>,
    storage_stats: OnceLock<Box<StorageStats>>,
    event_listener: Arc<OnceLock<Box<EventListener>>>,
}

impl ServerState {
    /// The state of a server that starts now, with the defaults for what `settings` does not say.
    pub fn new(settings: Settings) -> Self {
        Self::with_config(settings.into_config())
    }

    /// The state of a server that starts now, as `config` says. Port and clients are what has come of
    /// them.
    pub fn with_config(config: Config) -> Self {
        Self {
            settings: Settings::from(&config),
            live: LiveSettings::new(config),
            stats: Stats::default(),
            clients: Arc::default(),
            watches: Watches::default(),
            waiting: Arc::default(),
            parked: ParkedClients::default(),
            pubsub: Arc::default(),
            monitors: Monitors::default(),
            pause: Pause::default(),
            rates: Rates::default(),
            saves: Saves::new(unix_now()),
            average_ttl: Default::default(),
            active_expire: AtomicBool::new(true),
            command_stats: (0..ids_len()).map(|_| CommandStats::default()).collect(),
            error_stats: ErrorStats::default(),
            slowlog: SlowLog::default(),
            latency: LatencyMonitor::default(),
            run_id: random_hex(40),
            started: Instant::now(),
            started_at: SystemTime::now(),
            last_write_ok: AtomicBool::new(true),
            last_client_id: AtomicU64::new(0),
            shutdown: watch::Sender::new(None),
            storage_stats: OnceLock::new(),
            event_listener: Arc::default(),
        }
    }

    /// The id of the next connection.
    pub fn next_client_id(&self) -> u64 {
        self.last_client_id.fetch_add(1, Relaxed) + 1
    }

    /// The id of the latest connection.
    pub fn last_client_id(&self) -> u64 {
        self.last_client_id.load(Relaxed)
    }

    /// Whether clients must authenticate.
    pub fn requires_password(&self) -> bool {
        self.live.requires_password()
    }

    /// Whether `client` may use `DEBUG`.
    pub fn allows_debug(&self, client: &Client) -> bool {
        match self.live.current().debug_command {
            DebugCommand::No => false,
            DebugCommand::Yes => true,
            DebugCommand::Local => {
                let addr: Option<SocketAddr> = client.addr.parse().ok();
                addr.is_some_and(|addr| addr.ip().to_canonical().is_loopback())
            }
        }
    }

    /// Whether what is acknowledged is on the disk by then.
    pub fn is_synced_at_once(&self) -> bool {
        self.settings.persistent && self.live.current().durability == DurabilityChoice::Always
    }

    /// Begins to measure a command.
    pub fn begin_command(&self) -> Timing {
        Timing { begun: Instant::now(), before: Duration::ZERO }
    }

    /// Counts a command that has run, and how long it took. Returns the beginning of the next one.
    pub fn end_command(
        &self,
        timing: Timing,
        command: &Command,
        args: &Args,
        client: &Arc<Client>,
        failed: bool,
    ) -> Timing {
        let now = Instant::now();
        let spent = timing.spent_at(now);
        if let Some(stats) = self.command_stats.get(command.id) {
            stats.count_call(spent);
            if failed {
                stats.count_failed();
            }
            if self.live.latency_tracking() {
                stats.record_time(spent);
            }
        }
        let event = if command.flags.contains(Flags::FAST) { FAST_COMMAND } else { COMMAND };
        self.note_event(event, spent);
        self.note_slow(spent, command, args, client);
        Timing { begun: now, before: Duration::ZERO }
    }

    /// Counts a command that begins to wait for a key; [`end_waiting`](ServerState::end_waiting) counts
    /// the rest.
    pub fn begin_waiting(&self, timing: Timing, command: &Command) {
        let spent = timing.spent();
        if let Some(stats) = self.command_stats.get(command.id) {
            stats.count_call(spent);
        }
        self.note_event(COMMAND, spent);
    }

    /// Counts what it took to serve a client that has waited, or to send it on its way; without the
    /// time it waited, as in Redis.
    pub fn end_waiting(
        &self,
        timing: Timing,
        command: &Command,
        args: &Args,
        client: &Arc<Client>,
        failed: bool,
    ) {
        let spent = timing.spent();
        if let Some(stats) = self.command_stats.get(command.id) {
            stats.add_time(spent);
            if failed {
                stats.count_failed();
            }
            if self.live.latency_tracking() {
                stats.record_time(spent);
            }
        }
        self.note_event(UNBLOCKING, spent);
        self.note_slow(spent, command, args, client);
    }

    /// Counts a command that is refused before it runs.
    pub fn count_rejected(&self, command: &Command) {
        if let Some(stats) = self.command_stats.get(command.id) {
            stats.count_rejected();
        }
    }

    /// Counts an error reply by its text.
    pub fn count_error(&self, text: &str) {
        self.stats.error_replies.fetch_add(1, Relaxed);
        self.error_stats.count(text);
    }

    /// Keeps an event that took `spent` if the latency monitor is to.
    fn note_event(&self, event: &'static str, spent: Duration) {
        let threshold_ms = self.live.latency_threshold_ms();
        if threshold_ms > 0 && spent >= Duration::from_millis(threshold_ms) {
            self.latency.add(event, unix_now(), spent);
        }
    }

    /// Keeps a step of the sweep of expired keys if the latency monitor is to.
    pub(crate) fn note_expire_cycle(&self, spent: Duration) {
        self.note_event(EXPIRE_CYCLE, spent);
    }

    fn note_slow(&self, spent: Duration, command: &Command, args: &Args, client: &Client) {
        let is_slow = u64::try_from(self.live.slowlog_slower_than_us())
            .is_ok_and(|micros| spent >= Duration::from_micros(micros));
        if is_slow && !command.flags.contains(Flags::SKIP_SLOWLOG) {
            let len_max = self.live.slowlog_len_max();
            self.slowlog.add(command, args, client, unix_now(), spent, len_max);
        }
    }

    /// Sets every counter of `INFO` to 0: `CONFIG RESETSTAT`.
    pub fn reset_stats(&self) {
        self.stats.reset();
        self.error_stats.reset();
        for stats in &self.command_stats {
            stats.reset();
        }
    }

    /// What others want to hear of a run of commands that begins now.
    pub fn interest(&self) -> Interest {
        Interest {
            watching: !self.watches.is_empty(),
            waiting: !self.waiting.is_empty(),
            event_classes: self.event_classes(),
        }
    }

    /// The classes of events that somebody listens for now.
    pub fn event_classes(&self) -> u32 {
        if self.pubsub.is_listened_to() || self.event_listener.get().is_some() {
            self.live.notify().event_classes()
        } else {
            0
        }
    }

    /// Tells those who listen what happened.
    pub fn tell_events(&self, events: &[Event]) {
        if !events.is_empty() {
            self.publisher().tell_events(events);
        }
    }

    /// What tells those who listen, as the settings are now; also later, when what it tells is committed.
    pub fn publisher(&self) -> Publisher {
        Publisher {
            pubsub: Arc::clone(&self.pubsub),
            notify: self.live.notify().bits(),
            limit: self.output_limit(OutputClass::PubSub).for_messages(),
            listener: Arc::clone(&self.event_listener),
        }
    }

    /// Shows those who monitor a command that has run on `db`.
    pub fn tell_monitors(&self, command: &Command, args: &Args, client: &Client, db: u8) {
        if !self.monitors.is_empty() {
            let limit = self.output_limit(OutputClass::Monitor).for_messages();
            self.monitors.tell(command, args, client, db, limit);
        }
    }

    /// How much may wait for clients of one class to read it.
    pub fn output_limit(&self, class: OutputClass) -> OutputLimit {
        self.live.output_limit(match class {
            OutputClass::Normal => ClientClass::Normal,
            OutputClass::Monitor => ClientClass::Replica,
            OutputClass::PubSub => ClientClass::PubSub,
        })
    }

    /// What a request may measure.
    pub fn request_limits(&self) -> Limits {
        Limits {
            bulk_bytes_max: self.live.bulk_bytes_max(),
            buffered_bytes_max: self.live.query_buffer_bytes_max(),
            ..Limits::default()
        }
    }

    /// How long a client may say nothing; `None`: for ever.
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.live.timeout()
    }

    /// Sets, once, who hears of events besides those who have subscribed to them: a program that runs
    /// the server, or a test. It hears of the [classes](ServerState::event_classes) that are on, in the
    /// order in which things happened. Must not block.
    pub fn set_event_listener(&self, listener: impl Fn(&[Event]) + Send + Sync + 'static) {
        let _ = self.event_listener.set(Box::new(listener));
    }

    /// Asks the server to stop.
    pub fn request_shutdown(&self, request: ShutdownRequest) {
        self.shutdown.send_replace(Some(request));
    }

    /// Follows [`request_shutdown`](ServerState::request_shutdown): changes from `None` once a
    /// client asks.
    pub fn shutdown_requests(&self) -> watch::Receiver<Option<ShutdownRequest>> {
        self.shutdown.subscribe()
    }

    /// Sets, once, where the section `storage` of `INFO` comes from: names and values, as they are
    /// shown. Must not block.
    pub fn set_storage_stats(
        &self,
        stats: impl Fn() -> Vec<(String, String)> + Send + Sync + 'static,
    ) {
        // A second call would come from a second store, which a server does not have.
        let _ = self.storage_stats.set(Box::new(stats));
    }

    /// The lines of the section `storage`; empty before
    /// [`set_storage_stats`](ServerState::set_storage_stats).
    pub fn storage_stats(&self) -> Vec<(String, String)> {
        self.storage_stats.get().map(|stats| stats()).unwrap_or_default()
    }
}

impl fmt::Debug for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerState").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

/// Seconds from 1970 till now.
pub fn unix_now() -> u64 {
    unix_seconds(SystemTime::now())
}

/// Seconds since 1970.
pub(super) fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Hexadecimal digits from the standard library's hasher keys, which the system seeds: unique, not
/// secret.
fn random_hex(len: usize) -> String {
    let mut digits = String::with_capacity(len + 16);
    while digits.len() < len {
        digits.push_str(&format!("{:016x}", RandomState::new().hash_one(digits.len())));
    }
    digits.truncate(len);
    digits
}
