//! The server as a whole: start, accept, stop.

use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pontoon_storage::{EngineKind, Store};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::command::{Clients, ServerState, Session, ShutdownRequest};
use crate::config::Config;
use crate::connection::Connection;
use crate::data::Databases;
use crate::idle;
use crate::listener::{self, Listeners};
use crate::logging;
use crate::open_files;
use crate::service::Service;
use crate::signals::StopSignals;
use crate::storage_stats;
use crate::store_options::{ENGINE_OPEN_FILES_MAX, store_options};
use crate::sweep;

const TOO_MANY_CLIENTS: &str = "-ERR max number of clients reached\r\n";

const DENIED: &str = "-DENIED Pontoon is running in protected mode because protected mode is \
    enabled and no password is set. In this mode connections are only accepted from the loopback \
    interface. To connect from other computers, restart the server with a password \
    ('--requirepass'), or, if nobody but you can reach it over the network, with \
    '--protected-mode no'.\r\n";

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
    listeners: Listeners,
    service: Arc<Service>,
    connections: JoinSet<()>,
    /// Turns to true when connections should end.
    draining: watch::Sender<bool>,
}

impl Server {
    /// Listens first: a port that is taken must leave the data alone, and clients that come while
    /// the store opens wait in the backlog.
    async fn start(mut config: Config) -> Result<Self, ServeError> {
        config.clients_max = open_files::make_some_room(config.clients_max, engine_files(&config))
            .map_err(ServeError::System)?;
        let listeners = Listeners::bind(&config.bind, config.port, config.backlog_len_max)
            .map_err(|(addr, error)| ServeError::Listen(addr, error))?;
        let store = Store::open(store_options(&config)).await.map_err(ServeError::Open)?;
        let databases = match Databases::open(&store).await {
            Ok(databases) => databases,
            Err(error) => {
                // The error at hand says more than one of closing.
                let _ = store.close().await;
                return Err(ServeError::Open(error));
            }
        };
        config.port = listeners.addrs().first().map_or(config.port, SocketAddr::port);
        let state = ServerState::with_config(config);
        let changing = store.clone();
        state.live.on_change(move |old, new| change(&changing, old, new));
        Ok(Self {
            listeners,
            service: Arc::new(Service { store, databases, state }),
            connections: JoinSet::new(),
            draining: watch::Sender::new(false),
        })
    }

    fn announcement(&self) -> String {
        let config = self.service.state.live.current();
        let addrs: Vec<_> = self.listeners.addrs().iter().map(SocketAddr::to_string).collect();
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

    async fn run(mut self, mut signals: StopSignals) -> Result<Stopped, ServeError> {
        let mut periodic = JoinSet::new();
        periodic.spawn(sweep::sweep(Arc::clone(&self.service)));
        periodic.spawn(idle::close_idle(Arc::clone(&self.service)));
        periodic.spawn(storage_stats::sample(Arc::clone(&self.service)));
        let patience = self.accept_until_stopped(&mut signals).await;
        periodic.abort_all();
        tokio::select! {
            outcome = self.stop(patience) => outcome.map(|()| Stopped::Cleanly),
            signal = signals.next() => {
                tracing::warn!("a second signal: stopping at once");
                Ok(Stopped::BySignal(signal.exit_code()))
            }
        }
    }

    /// Serves until a signal or a client says to stop; returns how long connections may take to.
    async fn accept_until_stopped(&mut self, signals: &mut StopSignals) -> Duration {
        let mut requests = self.service.state.shutdown_requests();
        loop {
            tokio::select! {
                (stream, peer) = self.listeners.accept() => self.admit(stream, peer),
                Some(ended) = self.connections.join_next() => log_panic(ended),
                signal = signals.next() => {
                    tracing::info!(?signal, "shutting down");
                    return self.patience();
                }
                Ok(request) = requests.wait_for(Option::is_some) => {
                    tracing::info!("shutting down: a client asked for it");
                    return match *request {
                        Some(ShutdownRequest { now: true }) => Duration::ZERO,
                        _ => self.patience(),
                    };
                }
            }
        }
    }

    /// How long a shutdown lets running commands take.
    fn patience(&self) -> Duration {
        self.service.state.live.current().shutdown_timeout
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let state = &self.service.state;
        state.stats.connections_received.fetch_add(1, Relaxed);
        let config = state.live.current();
        let refusal = if state.clients.len() >= config.clients_max as u64 {
            Some(TOO_MANY_CLIENTS)
        } else if is_protected_from(&config, peer.ip()) {
            Some(DENIED)
        } else {
            None
        };
        if let Some(text) = refusal {
            state.stats.connections_rejected.fetch_add(1, Relaxed);
            tracing::debug!(%peer, text, "refused");
            return turn_away(stream, text);
        }
        let local = match listener::tune(&stream, config.tcp_keepalive)
            .and_then(|()| stream.local_addr())
        {
            Ok(local) => local,
            Err(error) => return tracing::debug!(%peer, %error, "gone"),
        };
        let session = Session::new(
            state.next_client_id(),
            peer.to_string(),
            local.to_string(),
            !state.requires_password(),
        );
        let span = tracing::debug_span!("client", id = session.client.id, %peer);
        let connected = Clients::add(&state.clients, &session.client);
        let connection = Connection::new(stream, Arc::clone(&self.service), session);
        let mut draining = self.draining.subscribe();
        let task = async move {
            let _connected = connected;
            let draining = async move {
                // An error means that the server is gone, which is as good a reason to end.
                let _ = draining.wait_for(|draining| *draining).await;
            };
            connection.serve(draining).await;
        };
        self.connections.spawn(task.instrument(span));
    }

    /// Lets connections finish what they run, for `patience` at the most, and closes the store.
    async fn stop(mut self, patience: Duration) -> Result<(), ServeError> {
        drop(self.listeners);
        self.draining.send_replace(true);
        self.service.state.waiting.close();
        // What was received is still answered.
        self.service.state.pause.end();
        let all_ended = async {
            while let Some(ended) = self.connections.join_next().await {
                log_panic(ended);
            }
        };
        if tokio::time::timeout(patience, all_ended).await.is_err() {
            let clients = self.connections.len();
            tracing::warn!(clients, "closing connections that are still busy");
            self.connections.shutdown().await;
        }
        self.service.store.close().await.map_err(ServeError::Close)?;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Files that the engine of `config` holds open.
fn engine_files(config: &Config) -> u32 {
    if config.engine == EngineKind::Rocksdb { ENGINE_OPEN_FILES_MAX } else { 0 }
}

/// Makes what `CONFIG SET` changes come true, where it takes more than that others read it. What may
/// fail comes first, so that nothing has to be undone.
fn change(store: &Store, old: &Config, new: &Config) -> Result<(), (&'static str, String)> {
    if new.clients_max != old.clients_max {
        let room = open_files::make_room(new.clients_max, engine_files(new)).clients;
        if room < new.clients_max {
            let why = format!(
                "The operating system is not able to handle the specified number of clients, try \
                 with {room}"
            );
            return Err(("maxclients", why));
        }
    }
    if new.durability != old.durability {
        store
            .set_durability(new.durability.durability())
            .map_err(|error| ("durability", error.to_string()))?;
    }
    if new.log != old.log {
        logging::change(&new.log).map_err(|why| ("loglevel", why))?;
    }
    Ok(())
}

/// Whether protected mode keeps a client out: without a password only this machine's own come in.
fn is_protected_from(config: &Config, client: IpAddr) -> bool {
    config.protected_mode && config.password.is_none() && !client.to_canonical().is_loopback()
}

/// Says why, if that can be done without waiting, and closes.
fn turn_away(stream: TcpStream, text: &str) {
    // tokio would first wait for the socket to become writable, which a fresh one is.
    let sent = stream.into_std().and_then(|mut stream| stream.write_all(text.as_bytes()));
    if let Err(error) = sent {
        tracing::debug!(%error, "a refused client was not told why");
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_mode_keeps_strangers_out_while_there_is_no_password() {
        let open = Config { protected_mode: false, ..Config::default() };
        let password = Config { password: Some("secret".into()), ..Config::default() };
        for (client, local) in [
            ([127, 0, 0, 1].into(), true),
            ([127, 9, 9, 9].into(), true),
            (IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), true),
            (IpAddr::V6(std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped()), true),
            ([192, 168, 0, 1].into(), false),
            (IpAddr::V6(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped()), false),
        ] {
            assert_eq!(is_protected_from(&Config::default(), client), !local, "{client}");
            assert!(!is_protected_from(&open, client), "{client}");
            assert!(!is_protected_from(&password, client), "{client}");
        }
    }
}
