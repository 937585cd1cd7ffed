//! The sockets that clients connect to.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that wait to be accepted, for each address (Redis's `tcp-backlog`).
const BACKLOG_LEN_MAX: i32 = 511;

/// How long accepting rests when the system has no file or memory for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that says nothing for this long is asked whether it is still there (Redis's
/// `tcp-keepalive`).
const KEEPALIVE: Duration = Duration::from_secs(300);

/// Listening sockets, one for each address, all on one port.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<TcpListener>,
    addrs: Vec<SocketAddr>,
}

impl Listeners {
    /// Listens on `port` of each of `addresses`; port 0 becomes, for all of them, the one that the
    /// system gives to the first. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The address that cannot be listened on, and why.
    pub(crate) fn bind(
        addresses: &[IpAddr],
        mut port: u16,
    ) -> Result<Self, (SocketAddr, io::Error)> {
        let mut listeners = Self { sockets: Vec::new(), addrs: Vec::new() };
        for address in addresses {
            let wanted = SocketAddr::new(*address, port);
            let socket = listen(wanted).map_err(|error| (wanted, error))?;
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

/// Sets on an accepted connection what servers want: no delay of small replies, and a keepalive.
///
/// # Errors
/// The system's; the connection is then usually gone.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // Else `::` would take IPv4's port as well, and `0.0.0.0` beside it would fail.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG_LEN_MAX)?;
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
