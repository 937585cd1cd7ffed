//! One client: read, decode, run, reply.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::consume_budget;

use crate::command::{Session, admit, refuse, run_connection};
use crate::resp::{Args, Decoder, Encoder, Limits};
use crate::run::{PendingRun, Service};

/// Bytes taken from the socket at a time, unless a large argument is on its way.
const READ_BYTES: usize = 64 << 10;

/// Replies held back for one flush; more are sent at once.
const REPLY_BYTES_HELD_MAX: usize = 1 << 20;

/// Requests taken in while the client takes no replies, in bytes; then it has to read first.
const UNREAD_REPLIES_INPUT_BYTES_MAX: usize = 64 << 20;

/// Chunks in one vectored write, well below the system's limit (1024 on Linux).
const WRITE_CHUNKS_MAX: usize = 64;

thread_local! {
    /// Where a read goes first. It is the thread's, so that a connection holds no more memory than
    /// its client has sent and has not been answered for.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// A client's connection. One task owns it.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    service: Arc<Service>,
    session: Session,
    decoder: Decoder,
    /// Received and not yet decoded. Without memory between requests.
    input: BytesMut,
    pending: PendingRun,
    replies: Encoder,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, service: Arc<Service>, session: Session) -> Self {
        let mut decoder = Decoder::new(Limits::default());
        decoder.set_authenticated(session.authenticated);
        Self {
            stream,
            service,
            decoder,
            input: BytesMut::new(),
            pending: PendingRun::default(),
            replies: Encoder::new(session.protocol),
            session,
        }
    }

    /// Serves the client until it leaves, must leave, or `draining` is ready; then requests that
    /// have been received whole are still answered.
    ///
    /// When the future is dropped the connection closes; a job that runs finishes.
    pub(crate) async fn serve(mut self, draining: impl Future<Output = ()>) {
        let outcome = self.serve_requests(draining).await;
        match outcome {
            Ok(()) => tracing::debug!("closed"),
            Err(error) => tracing::debug!(%error, "lost"),
        }
    }

    async fn serve_requests(&mut self, draining: impl Future<Output = ()>) -> io::Result<()> {
        let mut draining = pin!(draining);
        while !self.session.close_after_reply {
            let received = tokio::select! {
                biased;
                () = &mut draining => return Ok(()),
                received = self.receive() => received?,
            };
            if received == 0 {
                return Ok(());
            }
            self.service.state.stats.net_input_bytes.fetch_add(received as u64, Relaxed);
            self.session.last_interaction = Instant::now();
            self.answer().await?;
        }
        self.stream.shutdown().await
    }

    /// Waits until the client has sent something, and takes it. 0: it will send no more. Dropping
    /// the future loses nothing.
    async fn receive(&mut self) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            match self.try_receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    fn try_receive(&mut self) -> io::Result<usize> {
        let missing = self.decoder.missing_bytes(self.input.len());
        if missing >= READ_BYTES {
            // As much again as is there already: growing stays cheap, and the client has to send
            // before it makes us allocate.
            self.input.reserve(missing.min(self.input.len().max(READ_BYTES)));
            return self.stream.try_read_buf(&mut self.input);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let received = self.stream.try_read(scratch)?;
            self.input.extend_from_slice(scratch.get(..received).unwrap_or_default());
            Ok(received)
        })
    }

    /// Answers every complete request of the input, with one flush at the end.
    async fn answer(&mut self) -> io::Result<()> {
        while !self.session.close_after_reply {
            // What answers at once waits for nothing: a client that never stops sending such
            // requests must let others run.
            consume_budget().await;
            match self.decoder.decode(&mut self.input) {
                Ok(Some(args)) => self.take(args).await?,
                Ok(None) => break,
                Err(error) => {
                    self.execute().await?;
                    tracing::debug!(%error, "closing");
                    self.replies.error(&format!("ERR {error}"));
                    self.session.close_after_reply = true;
                }
            }
            if self.replies.len_bytes() >= REPLY_BYTES_HELD_MAX {
                self.flush().await?;
            }
        }
        self.execute().await?;
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.flush().await
    }

    /// Lets a request join the run, or ends the run before it and answers it at once.
    async fn take(&mut self, args: Args) -> io::Result<()> {
        if is_http(&args) {
            tracing::warn!(
                addr = self.session.addr,
                "closing a connection that speaks HTTP: a browser may have been tricked into \
                 sending commands"
            );
            self.execute().await?;
            self.session.close_after_reply = true;
            return Ok(());
        }
        match admit(&self.session, &self.service.state, &args) {
            Err(fail) => {
                self.execute().await?;
                refuse(&fail, &self.service.state, &mut self.replies);
            }
            Ok(command) if command.is_connection() => {
                self.execute().await?;
                self.session.last_command = command.name;
                let state = &self.service.state;
                run_connection(command, &mut self.session, state, &args, &mut self.replies);
                self.decoder.set_authenticated(self.session.authenticated);
            }
            Ok(command) => {
                if command.is_walking() {
                    self.execute().await?;
                }
                self.session.last_command = command.name;
                self.pending.push(command, args);
                if command.is_walking() || self.pending.is_full() {
                    self.execute().await?;
                }
            }
        }
        Ok(())
    }

    /// Runs what waits. Large replies leave between its jobs, so that a client that pipelines them
    /// makes the server hold no more than one job's.
    async fn execute(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            self.pending.execute_job(&self.service, &self.session, &mut self.replies).await;
            if self.replies.len_bytes() >= REPLY_BYTES_HELD_MAX {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends the replies. While the client takes none, what it sends is taken in: many a client
    /// sends a whole pipeline before it reads.
    async fn flush(&mut self) -> io::Result<()> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let output_bytes = self.replies.len_bytes();
        self.service.state.stats.net_output_bytes.fetch_add(output_bytes as u64, Relaxed);
        let mut written = 0;
        if let Some(bytes) = self.replies.as_slice() {
            // Nearly always all of it goes at once, and a plain write is the cheapest.
            written = match self.stream.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
        }
        let replies = mem::replace(&mut self.replies, Encoder::new(self.session.protocol));
        if written == output_bytes {
            return Ok(());
        }
        let chunks = replies.into_chunks();
        let mut slices: Vec<_> =
            chunks.as_slice().iter().map(|chunk| IoSlice::new(chunk)).collect();
        let mut rest = slices.as_mut_slice();
        IoSlice::advance_slices(&mut rest, written);
        let mut sends_more = true;
        while !rest.is_empty() {
            let window = rest.get(..WRITE_CHUNKS_MAX).unwrap_or(rest);
            match self.stream.try_write_vectored(window) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sends_more &= self.input.len() < UNREAD_REPLIES_INPUT_BYTES_MAX;
                    if !sends_more {
                        self.stream.writable().await?;
                        continue;
                    }
                    let ready = self.stream.ready(Interest::READABLE | Interest::WRITABLE).await?;
                    if ready.is_readable() {
                        sends_more = self.receive_beside()?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what the client has sent; whether it may send more.
    fn receive_beside(&mut self) -> io::Result<bool> {
        match self.try_receive() {
            Ok(received) => {
                self.service.state.stats.net_input_bytes.fetch_add(received as u64, Relaxed);
                Ok(received > 0)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Whether the request is a line of an HTTP request, by which web pages have been made to reach
/// servers on the visitor's own machine. Redis refuses the same two.
fn is_http(args: &Args) -> bool {
    args.first().is_some_and(|name| {
        name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
    })
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
