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

/// Listening sockets, one for each address, all on one port; not yet any runtime's.
#[derive(Debug)]
pub(crate) struct Sockets {
    sockets: Vec<std::net::TcpListener>,
    addrs: Vec<SocketAddr>,
}

/// Listening sockets of the runtime that accepts from them.
#[derive(Debug)]
pub(crate) struct Listeners {
    sockets: Vec<TcpListener>,
}

impl Sockets {
    /// Listens on `port` of each of `addresses`, as many times as there are `cores`: the system gives
    /// each connection to one of them. Port 0 becomes, for all of them, the one that the system gives
    /// to the first. Up to `backlog_len_max` connections wait at each socket to be accepted.
    ///
    /// # Errors
    /// The address that cannot be listened on, and why.
    pub(crate) fn bind(
        addresses: &[IpAddr],
        mut port: u16,
        backlog_len_max: i32,
        cores: usize,
    ) -> Result<Vec<Self>, (SocketAddr, io::Error)> {
        let mut all: Vec<Self> = Vec::new();
        all.resize_with(cores, || Self { sockets: Vec::new(), addrs: Vec::new() });
        for address in addresses {
            let mut wanted = SocketAddr::new(*address, port);
            for (core, own) in all.iter_mut().enumerate() {
                let sharing = Sharing { is_first: core == 0, is_shared: cores > 1 };
                let socket = listen(wanted, backlog_len_max, sharing);
                let socket = socket.map_err(|error| (wanted, error))?;
                wanted = socket.local_addr().map_err(|error| (wanted, error))?;
                own.sockets.push(socket);
                own.addrs.push(wanted);
            }
            port = wanted.port();
        }
        Ok(all)
    }

    /// Where they listen.
    pub(crate) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Makes them the runtime's that this is called in.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn into_listeners(self) -> io::Result<Listeners> {
        let sockets = self.sockets.into_iter().map(TcpListener::from_std);
        Ok(Listeners { sockets: sockets.collect::<io::Result<_>>()? })
    }
}

impl Listeners {
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

/// How a socket shares its address with the other cores' sockets.
#[derive(Clone, Copy)]
struct Sharing {
    is_first: bool,
    is_shared: bool,
}

fn listen(
    addr: SocketAddr,
    backlog_len_max: i32,
    sharing: Sharing,
) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        // Else `::` would take IPv4's port as well, and `0.0.0.0` beside it would fail.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // The first asks for the address alone, so that it finds another server there, which would share
    // it. The others find the first one willing.
    if sharing.is_first {
        socket.bind(&addr.into())?;
        socket.set_reuse_port(sharing.is_shared)?;
    } else {
        socket.set_reuse_port(true)?;
        socket.bind(&addr.into())?;
    }
    socket.listen(backlog_len_max)?;
    Ok(socket.into())
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
