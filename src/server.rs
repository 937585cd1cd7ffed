//! The server as a whole: start, accept, stop.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use pontoon_storage::{EngineKind, Options, Store};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::accept::Acceptor;
use crate::command::{ServerState, ShutdownRequest};
use crate::config::Config;
use crate::cores::Core;
use crate::data::Databases;
use crate::idle;
use crate::listener::Sockets;
use crate::logging;
use crate::open_files;
use crate::rates;
use crate::saver;
use crate::service::{Opener, Service};
use crate::signals::StopSignals;
use crate::storage_stats;
use crate::store_options::{ENGINE_OPEN_FILES_MAX, store_options};
use crate::sweep;

/// Files that a runtime has open for itself: for what is ready, to be woken, and signals.
const RUNTIME_FILES: usize = 5;

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// In order: everything acknowledged is as durable as was asked, and the store is closed.
    Cleanly,
    /// At once, by a second signal or one during the start; the process should exit with this code.
    BySignal(u8),
}

/// Why the server cannot start, or did not stop in order. One line for the user.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// An address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The system lacks something else.
    System(String),
    /// The store cannot be opened.
    Open(pontoon_storage::Error),
    /// The store could not be closed in order.
    Close(pontoon_storage::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Listen(addr, error) => write!(f, "cannot listen on {addr}: {error}"),
            ServeError::System(why) => f.write_str(why),
            ServeError::Open(error) => write!(f, "cannot open the data: {error}"),
            ServeError::Close(error) => write!(f, "cannot close the data in order: {error}"),
        }
    }
}

impl std::error::Error for ServeError {}

/// Runs a server until a signal or `SHUTDOWN` ends it, and announces on stdout, in one line, where
/// it listens. Must run inside a tokio runtime with I/O and time.
///
/// # Errors
/// [`ServeError`]. Nothing is left running.
pub async fn serve(config: Config) -> Result<Stopped, ServeError> {
    let mut signals = StopSignals::catch()
        .map_err(|error| ServeError::System(format!("cannot catch signals: {error}")))?;
    let server = tokio::select! {
        server = Server::start(config) => server?,
        signal = signals.next() => return Ok(Stopped::BySignal(signal.exit_code())),
    };
    // A closed stdout is no reason not to serve.
    let _ = writeln!(io::stdout(), "{}", server.announcement());
    server.run(signals).await
}

struct Server {
    addrs: Vec<SocketAddr>,
    service: Arc<Service>,
    /// This runtime's share of the clients.
    acceptor: Acceptor,
    /// The other runtimes.
    cores: Vec<Core>,
    /// Says, once, that everybody is to stop, and how long connections may take to.
    stop: watch::Sender<Option<Duration>>,
}

impl Server {
    /// Listens first: a port that is taken must leave the data alone, and clients that come while
    /// the store opens wait in the backlog.
    async fn start(mut config: Config) -> Result<Self, ServeError> {
        config.clients_max = open_files::make_some_room(config.clients_max, other_files(&config))
            .map_err(ServeError::System)?;
        let (port, backlog, cores) = (config.port, config.backlog_len_max, config.cores());
        let sockets = Sockets::bind(&config.bind, port, backlog, cores)
            .map_err(|(addr, error)| ServeError::Listen(addr, error))?;
        let addrs = sockets.first().map(|first| first.addrs().to_vec()).unwrap_or_default();
        let (store, databases) = open(store_options(&config)).await.map_err(ServeError::Open)?;
        config.port = addrs.first().map_or(config.port, SocketAddr::port);
        let state = ServerState::with_config(config);
        let service = Arc::new(Service::new(state, store, databases));
        let opener: Opener = |state| open(store_options(&state.live.current())).boxed();
        service.set_opener(opener, Handle::current());
        let changing = Arc::downgrade(&service);
        service.state.live.on_change(move |old, new| match changing.upgrade() {
            Some(service) => change(&service, old, new),
            None => Ok(()),
        });
        let stop = watch::Sender::new(None);
        match start_accepting(sockets, &service, &stop) {
            Ok((acceptor, cores)) => Ok(Self { addrs, service, acceptor, cores, stop }),
            Err(error) => {
                // Those that have started end without it.
                drop(stop);
                let _ = service.storage().await.store.close().await;
                Err(ServeError::System(format!("cannot start to accept clients: {error}")))
            }
        }
    }

    fn announcement(&self) -> String {
        let config = self.service.state.live.current();
        let addrs: Vec<_> = self.addrs.iter().map(SocketAddr::to_string).collect();
        format!(
            "pontoon {version} listening on {addrs}, {place} (bridge {bridge}, durability \
             {durability})",
            version = env!("CARGO_PKG_VERSION"),
            addrs = addrs.join(" and "),
            place = config.place(),
            bridge = config.bridge.name(),
            durability = config.durability_name(),
        )
    }

    async fn run(self, mut signals: StopSignals) -> Result<Stopped, ServeError> {
        let Self { service, acceptor, cores, stop, .. } = self;
        let mut periodic = JoinSet::new();
        periodic.spawn(sweep::sweep(Arc::clone(&service)));
        periodic.spawn(idle::close_idle(Arc::clone(&service)));
        periodic.spawn(storage_stats::sample(Arc::clone(&service)));
        periodic.spawn(rates::sample(Arc::clone(&service)));
        // Until the end, for those who wait for what they have asked for.
        let mut saver = JoinSet::new();
        let checkpoints = service.state.live.current().checkpoints();
        saver.spawn(saver::save_when_asked(Arc::clone(&service), checkpoints));
        let mut serving = pin!(async {
            acceptor.serve().await;
            for core in cores {
                core.ended().await;
            }
        });
        let patience = tokio::select! {
            patience = asked_to_stop(&service.state, &mut signals) => patience,
            // It only ends when it is to stop.
            () = &mut serving => Duration::ZERO,
        };
        periodic.abort_all();
        stop.send_replace(Some(patience));
        service.state.waiting.close();
        service.state.parked.close();
        // What was received is still answered.
        service.state.pause.end();
        let stopping = async {
            serving.await;
            service.storage().await.store.close().await.map_err(ServeError::Close)?;
            tracing::info!("stopped");
            Ok(Stopped::Cleanly)
        };
        tokio::select! {
            outcome = stopping => outcome,
            signal = signals.interrupted() => {
                tracing::warn!("a second signal: stopping at once");
                Ok(Stopped::BySignal(signal.exit_code()))
            }
        }
    }
}

/// Makes each runtime its acceptor: this one's, and those of the cores that have threads of their own.
fn start_accepting(
    sockets: Vec<Sockets>,
    service: &Arc<Service>,
    stop: &watch::Sender<Option<Duration>>,
) -> io::Result<(Acceptor, Vec<Core>)> {
    let mut sockets = sockets.into_iter();
    let own = sockets.next().ok_or(io::ErrorKind::InvalidInput)?;
    let acceptor = Acceptor::new(own, Arc::clone(service), stop.subscribe())?;
    let core =
        |(number, sockets)| Core::start(number, sockets, Arc::clone(service), stop.subscribe());
    let cores = (1..).zip(sockets).map(core).collect::<io::Result<_>>()?;
    Ok((acceptor, cores))
}

/// Waits until a signal or a client says to stop; returns how long connections may take to.
async fn asked_to_stop(state: &ServerState, signals: &mut StopSignals) -> Duration {
    let timeout = || state.live.current().shutdown_timeout;
    let mut requests = state.shutdown_requests();
    tokio::select! {
        signal = signals.next() => {
            tracing::info!(?signal, "shutting down");
            timeout()
        }
        Ok(request) = requests.wait_for(Option::is_some) => {
            tracing::info!("shutting down: a client asked for it");
            match *request {
                Some(ShutdownRequest { now: true }) => Duration::ZERO,
                _ => timeout(),
            }
        }
    }
}

/// Opens the store and what is in it.
async fn open(options: Options) -> Result<(Store, Databases), pontoon_storage::Error> {
    let store = Store::open(options).await?;
    match Databases::open(&store).await {
        Ok(databases) => Ok((store, databases)),
        Err(error) => {
            // The error at hand says more than one of closing.
            let _ = store.close().await;
            Err(error)
        }
    }
}

/// Files that clients cannot have: the engine's, and those of the cores behind the first.
fn other_files(config: &Config) -> u32 {
    let engine = if config.engine == EngineKind::Rocksdb { ENGINE_OPEN_FILES_MAX } else { 0 };
    let of_core = config.bind.len().saturating_add(RUNTIME_FILES);
    let of_cores = of_core.saturating_mul(config.cores().saturating_sub(1));
    engine.saturating_add(u32::try_from(of_cores).unwrap_or(u32::MAX))
}

/// Makes what `CONFIG SET` changes come true, where it takes more than that others read it. What may
/// fail comes first, so that nothing has to be undone.
fn change(service: &Service, old: &Config, new: &Config) -> Result<(), (&'static str, String)> {
    if new.clients_max != old.clients_max {
        let room = open_files::make_room(new.clients_max, other_files(new)).clients;
        if room < new.clients_max {
            let why = format!(
                "The operating system is not able to handle the specified number of clients, try \
                 with {room}"
            );
            return Err(("maxclients", why));
        }
    }
    if new.durability != old.durability {
        let storage = service.storage_now();
        let storage = storage.as_deref();
        let storage = storage.ok_or(("durability", "the store is being reopened".to_owned()))?;
        storage
            .store
            .set_durability(new.durability.durability())
            .map_err(|error| ("durability", error.to_string()))?;
    }
    if new.log != old.log {
        logging::change(&new.log).map_err(|why| ("loglevel", why))?;
    }
    Ok(())
}
