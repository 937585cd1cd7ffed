//! One connection to a server.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::reply::{self, Replies};
use super::request::words;

/// How long a server may take to accept a connection and to answer what comes before the load.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pause before what failed for want of room is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// Bytes of what a call answers.
const CALL_BYTES_MAX: usize = 1 << 20;

/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// Where bytes are read to and counted. As nothing of them is kept, all connections of a thread
/// share one.
#[derive(Debug)]
pub(super) struct Scratch(Mutex<Vec<u8>>);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(Mutex::new(vec![0; READ_BYTES]))
    }
}

/// How to reach a server and what to say first.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) address: SocketAddr,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: u32,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A connection that is ready for commands.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    replies: Replies,
    /// Requests to send; what comes before `written` has been.
    pub(super) out: Vec<u8>,
    written: usize,
}

/// What became of the requests of one exchange.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answers {
    pub(super) answered: u64,
    pub(super) errors: u64,
    pub(super) nulls: u64,
}

/// Why there is no connection.
enum Refusal {
    /// It may be there in a moment.
    ForNow(String),
    ForGood(String),
}

impl Connection {
    /// Connects, authenticates and selects the database. Tries again while the server, or this
    /// machine, has no room.
    pub(super) async fn open(access: &Access) -> Result<Self, String> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match timeout(PATIENCE, Self::try_open(access)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(Refusal::ForNow(_))) if Instant::now() < give_up => sleep(RETRY).await,
                Ok(Err(Refusal::ForNow(why) | Refusal::ForGood(why))) => return Err(why),
                Err(_) => return Err(format!("no answer within {} s", PATIENCE.as_secs())),
            }
        }
    }

    async fn try_open(access: &Access) -> Result<Self, Refusal> {
        let stream = TcpStream::connect(access.address).await.map_err(|error| {
            let why = format!("cannot connect: {error}");
            match error.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::Interrupted
                | io::ErrorKind::AddrNotAvailable => Refusal::ForNow(why),
                _ => Refusal::ForGood(why),
            }
        })?;
        // Without the latter, each connection would hold its port for a minute after its end, and
        // rounds of 10,000 would use them up.
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_zero_linger())
            .map_err(|error| Refusal::ForGood(error.to_string()))?;
        let mut connection =
            Self { stream, replies: Replies::default(), out: Vec::new(), written: 0 };
        connection.greet(access).await?;
        Ok(connection)
    }

    async fn greet(&mut self, access: &Access) -> Result<(), Refusal> {
        let db = access.db.to_string();
        let mut greetings = Vec::new();
        if let Some(password) = &access.password {
            greetings.push(match &access.user {
                Some(user) => vec!["AUTH", user, password],
                None => vec!["AUTH", password],
            });
        }
        if access.db > 0 {
            greetings.push(vec!["SELECT", &db]);
        }
        greetings.push(vec!["PING"]);
        for greeting in greetings {
            let name = greeting.first().copied().unwrap_or_default();
            // A server with no room may close before it says so.
            let reply = self.call(&greeting).await.map_err(Refusal::ForNow)?;
            match reply::text(&reply) {
                Ok(_) => {}
                Err(why) if why.contains("max number of clients") => {
                    return Err(Refusal::ForNow(format!("it refused a connection: {why}")));
                }
                // So that servers with and without a password can be loaded together.
                Err(why) if name == "AUTH" && why.contains("without any password") => {}
                Err(why) => return Err(Refusal::ForGood(format!("it answered {name} with {why}"))),
            }
        }
        Ok(())
    }

    /// Sends one request and returns its reply as it came.
    pub(super) async fn call(&mut self, request: &[&str]) -> Result<Vec<u8>, String> {
        let scratch = Scratch::new();
        let mut reply = Vec::new();
        self.out.clear();
        self.out.extend_from_slice(&words(request));
        self.send(1, &scratch, &mut |bytes| {
            let room = CALL_BYTES_MAX.saturating_sub(reply.len());
            reply.extend(bytes.iter().take(room));
        })
        .await?;
        Ok(reply)
    }

    /// Sends what is in `out`, which is `requests` of them, and takes the replies.
    ///
    /// # Errors
    /// When the connection is of no more use; [`Connection::first_error`] is for what the server
    /// answers.
    pub(super) async fn exchange(
        &mut self,
        requests: u32,
        scratch: &Scratch,
    ) -> Result<Answers, String> {
        self.send(requests, scratch, &mut |_| {}).await
    }

    /// The first error that the server answered with.
    pub(super) fn first_error(&self) -> Option<&str> {
        self.replies.first_error.as_deref()
    }

    async fn send(
        &mut self,
        requests: u32,
        scratch: &Scratch,
        received: &mut impl FnMut(&[u8]),
    ) -> Result<Answers, String> {
        self.written = 0;
        let before = self.answers();
        let goal = before.answered + u64::from(requests);
        poll_fn(|cx| self.poll_send(cx, goal, scratch, received)).await?;
        let after = self.answers();
        Ok(Answers {
            answered: after.answered - before.answered,
            errors: after.errors - before.errors,
            nulls: after.nulls - before.nulls,
        })
    }

    fn answers(&self) -> Answers {
        let Replies { answered, errors, nulls, .. } = self.replies;
        Answers { answered, errors, nulls }
    }

    /// Reads while it writes: a server that waits for its replies to be read before it reads on would
    /// otherwise be waited for in vain.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        goal: u64,
        scratch: &Scratch,
        received: &mut impl FnMut(&[u8]),
    ) -> Poll<Result<(), String>> {
        let lost = |error: io::Error| format!("the connection broke: {error}");
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(error))),
                Poll::Pending => break,
            }
        }
        let mut scratch = scratch.0.lock().unwrap_or_else(PoisonError::into_inner);
        while self.replies.answered < goal {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(error))),
                Poll::Pending => return Poll::Pending,
            }
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Err("the server closed the connection".into()));
            }
            received(bytes);
            if let Err(malformed) = self.replies.feed(bytes) {
                return Poll::Ready(Err(malformed.to_string()));
            }
        }
        if self.replies.answered > goal || !self.replies.is_between() {
            return Poll::Ready(
                Err("the server sent more replies than there were requests".into()),
            );
        }
        if self.written < self.out.len() {
            return Poll::Ready(Err("the server answered before it had the requests".into()));
        }
        Poll::Ready(Ok(()))
    }
}
