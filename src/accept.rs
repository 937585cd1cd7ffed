//! One runtime's share of the clients: accepts, admits, and lets go in the end.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::command::{Clients, Session};
use crate::config::Config;
use crate::connection::Connection;
use crate::listener::{self, Listeners, Sockets};
use crate::run::Writes;
use crate::service::Service;

const TOO_MANY_CLIENTS: &str = "-ERR max number of clients reached\r\n";

const DENIED: &str = "-DENIED Pontoon is running in protected mode because protected mode is \
    enabled and no password is set. In this mode connections are only accepted from the loopback \
    interface. To connect from other computers, set a password ('--requirepass', or CONFIG SET \
    requirepass), or, if nobody but you can reach it over the network, turn protected mode off \
    ('--protected-mode no', or CONFIG SET protected-mode no).\r\n";

/// What tells an acceptor to stop: how long connections may take to.
pub(crate) type Stop = watch::Receiver<Option<Duration>>;

/// See the module. There is one for each runtime.
pub(crate) struct Acceptor {
    listeners: Listeners,
    service: Arc<Service>,
    writes: Arc<Writes>,
    connections: JoinSet<()>,
    stop: Stop,
}

impl Acceptor {
    /// One that accepts from `sockets` until `stop` says otherwise. Must be made in its runtime.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new(sockets: Sockets, service: Arc<Service>, stop: Stop) -> io::Result<Self> {
        let listeners = sockets.into_listeners()?;
        let writes = Writes::new(Arc::clone(&service));
        Ok(Self { listeners, service, writes, connections: JoinSet::new(), stop })
    }

    /// Serves until it is to stop. Then it listens no more, lets connections finish what they run, for
    /// as long as was said at the most, and closes them.
    pub(crate) async fn serve(mut self) {
        let mut stop = self.stop.clone();
        let patience = loop {
            tokio::select! {
                (stream, peer) = self.listeners.accept() => self.admit(stream, peer),
                Some(ended) = self.connections.join_next() => log_panic(ended),
                patience = stop.wait_for(Option::is_some) => {
                    // An error means that the server is gone, which is as good a reason to end.
                    break patience.ok().and_then(|patience| *patience).unwrap_or_default();
                }
            }
        };
        drop(self.listeners);
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
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let state = &self.service.state;
        state.stats.connections_received.fetch_add(1, Relaxed);
        let config = state.live.current();
        let clients_max = config.clients_max as u64;
        if state.clients.len() >= clients_max {
            return self.refuse(stream, peer, TOO_MANY_CLIENTS);
        }
        if is_protected_from(&config, peer.ip()) {
            return self.refuse(stream, peer, DENIED);
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
        // Another runtime may have taken the last place since.
        let Some(connected) = Clients::add_within(&state.clients, &session.client, clients_max)
        else {
            return self.refuse(stream, peer, TOO_MANY_CLIENTS);
        };
        let span = tracing::debug_span!("client", id = session.client.id, %peer);
        let connection = Connection::new(stream, Arc::clone(&self.writes), session);
        let mut stop = self.stop.clone();
        // Boxed, since futures keep room for what they are given and for where they put it.
        let draining = Box::pin(async move {
            let _ = stop.wait_for(Option::is_some).await;
        });
        let task = async move {
            let _connected = connected;
            connection.serve(draining).await;
        };
        self.connections.spawn(task.instrument(span));
    }

    fn refuse(&self, stream: TcpStream, peer: SocketAddr, text: &str) {
        self.service.state.stats.connections_rejected.fetch_add(1, Relaxed);
        tracing::debug!(%peer, text, "refused");
        turn_away(stream, text);
    }
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
