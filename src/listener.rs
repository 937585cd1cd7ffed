//! The sockets that clients connect to.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// How long accepting rests when the system has no file or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Questions without an answer after which a client is taken for gone (as in Redis).
const KEEPALIVE_PROBES: u32 = 3;

/// Listening sockets, one for each address, all on one port.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<TcpListener>,
    addrs: Vec<SocketAddr>,
}

impl Listeners {
    /// Listens on `port` of each of `addresses`; port 0 becomes, for all of them, the one that the
    /// system gives to the first. Up to `backlog_len_max` connections wait at each to be accepted. Must
    /// run inside a tokio runtime.
    ///
    /// # Errors
    /// The address that cannot be listened on, and why.
    pub(crate) fn bind(
        addresses: &[IpAddr],
        mut port: u16,
        backlog_len_max: i32,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut listeners = Self { sockets: Vec::new(), addrs: Vec::new() };
        for address in addresses {
            let wanted = SocketAddr::new(*address, port);
            let socket = listen(wanted, backlog_len_max).map_err(|error| (wanted, error))?;
            let addr = socket.local_addr().map_err(|error| (wanted, error))?;
            port = addr.port();
            listeners.sockets.push(socket);
            listeners.addrs.push(addr);
        }
        Ok(listeners)
    }

    /// Where it listens.
    pub(crate) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The next connection. Does not end on errors: it logs them, and rests when they are of a kind
    /// that would come again at once. Dropping the future loses no connection.
    pub(crate) async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.accept_one().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was gone before it was accepted");
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for the moment");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept_one(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            for socket in &self.sockets {
                if let Poll::Ready(accepted) = socket.poll_accept(cx) {
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Sets on an accepted connection what servers want: no delay of small replies, and, unless `keepalive`
/// is zero, that after so long a silence the system asks whether the client is still there.
///
/// # Errors
/// The system's; the connection is then usually gone.
pub(crate) fn tune(stream: &TcpStream, keepalive: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if keepalive.is_zero() {
        return Ok(());
    }
    let interval = (keepalive / KEEPALIVE_PROBES).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new()
        .with_time(keepalive)
        .with_interval(interval)
        .with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn listen(addr: SocketAddr, backlog_len_max: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // Else `::` would take IPv4's port as well, and `0.0.0.0` beside it would fail.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(backlog_len_max)?;
    TcpListener::from_std(socket.into())
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
