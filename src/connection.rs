//! One client: read, decode, run, reply.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::task::consume_budget;

use crate::command::{
    Answer, AsyncContext, AsyncFn, Blocked, Command, Fail, Flags, QUEUED_BYTES_MAX, ReplyMode, Run,
    Session, admit, refuse, run_connection, unwatch,
};
use crate::resp::{Args, Decoder, Encoder, Limits};
use crate::run::{PendingRun, execute_exec};
use crate::service::Service;

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
    /// Whether the client will send no more.
    is_half_closed: bool,
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
            is_half_closed: false,
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
        while !self.session.close_after_reply && !self.is_half_closed {
            let client = Arc::clone(&self.session.client);
            let received = tokio::select! {
                biased;
                () = &mut draining => return Ok(()),
                () = client.attention() => {
                    self.deliver_messages().await?;
                    continue;
                }
                received = self.receive() => received?,
            };
            if received == 0 {
                return Ok(());
            }
            self.count_received(received);
            self.answer().await?;
        }
        self.stream.shutdown().await
    }

    fn count_received(&mut self, received: usize) {
        self.service.state.stats.net_input_bytes.fetch_add(received as u64, Relaxed);
        self.session.last_interaction = Instant::now();
    }

    /// Sends what others have sent to the client.
    async fn deliver_messages(&mut self) -> io::Result<()> {
        if self.session.client.is_killed() {
            return Err(killed());
        }
        for message in self.session.client.take_messages() {
            self.replies.encoded(message);
            if self.replies.len_bytes() >= REPLY_BYTES_HELD_MAX {
                self.flush().await?;
            }
        }
        self.flush().await
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
        self.session.publish();
        self.flush().await
    }

    /// Lets a request join the run, or ends the run before it and answers it at once.
    async fn take(&mut self, args: Args) -> io::Result<()> {
        if is_http(&args) {
            tracing::warn!(
                addr = self.session.client.addr,
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
                if let Some(queued) = &mut self.session.transaction {
                    queued.is_broken = true;
                }
                refuse(&fail, &self.service.state, &mut self.replies);
                Ok(())
            }
            Ok(command) if self.session.reply_mode == ReplyMode::On => {
                self.run(command, args).await
            }
            Ok(command) => self.run_unanswered(command, args).await,
        }
    }

    /// Runs a command of a client that does not want its reply.
    async fn run_unanswered(&mut self, command: &'static Command, args: Args) -> io::Result<()> {
        self.execute().await?;
        if self.session.reply_mode == ReplyMode::SkipNext {
            self.session.reply_mode = ReplyMode::Skip;
        }
        if command.is_blocking() || command.is_async() {
            // What was answered before must not wait for it.
            self.flush().await?;
        }
        let mark = self.replies.mark();
        let held = mem::replace(&mut self.replies, Encoder::new(self.session.protocol));
        self.run(command, args).await?;
        self.execute().await?;
        let reply = mem::replace(&mut self.replies, held);
        self.replies.set_protocol(self.session.protocol);
        debug_assert_eq!(self.replies.mark(), mark);
        match self.session.reply_mode {
            // It has just asked for replies.
            ReplyMode::On => self.replies.append(reply),
            ReplyMode::Skip => self.session.reply_mode = ReplyMode::On,
            ReplyMode::Off | ReplyMode::SkipNext => {}
        }
        Ok(())
    }

    async fn run(&mut self, command: &'static Command, args: Args) -> io::Result<()> {
        if self.session.transaction.is_some() && !command.flags.contains(Flags::UNQUEUED) {
            self.queue(command, args);
            return Ok(());
        }
        match command.run {
            Run::Connection(_) => {
                self.execute().await?;
                self.session.last_command = command.name;
                let state = &self.service.state;
                run_connection(command, &mut self.session, state, &args, &mut self.replies);
                self.decoder.set_authenticated(self.session.authenticated);
                if mem::take(&mut self.session.wants_exec)
                    && let Some(queued) = self.session.transaction.take()
                {
                    let exec =
                        execute_exec(&self.service, &mut self.session, *queued, &mut self.replies);
                    Box::pin(exec).await;
                }
                Ok(())
            }
            Run::Async(run, _) => {
                self.execute().await?;
                self.session.last_command = command.name;
                Box::pin(self.run_async(command, run, args)).await
            }
            Run::Read(_) | Run::Write(_) => {
                if command.flags.contains(Flags::UNQUEUED) && self.session.transaction.is_some() {
                    self.refuse("ERR WATCH inside MULTI is not allowed");
                    return Ok(());
                }
                let is_alone = command.is_walking() || command.is_blocking();
                if is_alone {
                    self.execute().await?;
                }
                self.session.last_command = command.name;
                self.pending.push(command, args);
                if is_alone || self.pending.is_full() {
                    self.execute().await?;
                }
                Ok(())
            }
        }
    }

    fn refuse(&mut self, text: &'static str) {
        refuse(&Fail::text(text), &self.service.state, &mut self.replies);
    }

    /// Puts a command behind the others of a transaction.
    fn queue(&mut self, command: &'static Command, args: Args) {
        let Some(queued) = &mut self.session.transaction else { return };
        let refusal = if command.flags.contains(Flags::NO_MULTI) {
            Some("ERR Command not allowed inside a transaction")
        } else if queued.argument_bytes >= QUEUED_BYTES_MAX {
            Some("ERR too many bytes queued in one transaction")
        } else {
            None
        };
        match refusal {
            Some(text) => {
                queued.is_broken = true;
                self.refuse(text);
            }
            None => {
                queued.push((command, args));
                self.replies.simple("QUEUED");
            }
        }
    }

    /// Runs what waits. Large replies leave between its jobs, so that a client that pipelines them
    /// makes the server hold no more than one job's.
    async fn execute(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            let blocked =
                self.pending.execute_job(&self.service, &self.session, &mut self.replies).await;
            if let Some(blocked) = blocked {
                // Boxed, so that a connection that does not wait has no room for it.
                Box::pin(self.wait_for_key(blocked)).await?;
            }
            if self.replies.len_bytes() >= REPLY_BYTES_HELD_MAX {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Waits, with everything sent that was answered so far, for what a blocking command found nothing of.
    async fn wait_for_key(&mut self, mut blocked: Blocked) -> io::Result<()> {
        self.session.publish();
        self.flush().await?;
        let Blocked { waiter, answer, .. } = &mut blocked;
        let mut deadline = pin!(sleep_for(waiter.block.timeout));
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut *answer => break answer.ok(),
                () = &mut deadline, if !waiter.is_ended() => {
                    // Else somebody has begun to serve it: what was taken for it must reach it.
                    if waiter.cancel() {
                        break Some(Answer::Unblocked { with_error: false });
                    }
                }
                outcome = self.receive_or_attend() => outcome?,
            }
        };
        match answer {
            Some(answer) => answer.encode(&mut self.replies),
            // The server stops, or whoever was to serve it has broken off.
            None => self.session.close_after_reply = true,
        }
        Ok(())
    }

    /// Runs a command that takes its time, for as long as the client is there.
    async fn run_async(
        &mut self,
        command: &'static Command,
        run: AsyncFn,
        args: Args,
    ) -> io::Result<()> {
        self.session.publish();
        self.flush().await?;
        let state = &self.service.state;
        let (timing, shown) = (state.begin_command(), args.clone());
        let context = AsyncContext {
            service: Arc::clone(&self.service),
            client: Arc::clone(&self.session.client),
            protocol: self.session.protocol,
            db: self.session.db,
        };
        let mut running: Pin<Box<_>> = run(context, args);
        let outcome = loop {
            tokio::select! {
                biased;
                outcome = &mut running => break outcome,
                received = self.receive_or_attend() => received?,
            }
        };
        let state = &self.service.state;
        state.end_command(timing, command, &shown, &self.session.client, outcome.is_err());
        state.stats.commands_processed.fetch_add(1, Relaxed);
        match outcome {
            Ok(reply) => self.replies.append(reply),
            Err(fail) => refuse(&fail, state, &mut self.replies),
        }
        Ok(())
    }

    /// While the client waits: takes what it sends, as far as that is bounded, and what others send to it.
    /// An error means that it is gone.
    async fn receive_or_attend(&mut self) -> io::Result<()> {
        let client = Arc::clone(&self.session.client);
        // Once there is too much only its end is of interest, which shows as an error when writing.
        let takes_more = self.input.len() < UNREAD_REPLIES_INPUT_BYTES_MAX;
        tokio::select! {
            () = client.attention() => self.deliver_messages().await,
            received = self.receive(), if takes_more => match received? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                received => {
                    self.count_received(received);
                    Ok(())
                }
            },
        }
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
        let (mut sends_more, mut is_reminded) = (true, false);
        while !rest.is_empty() {
            let window = rest.get(..WRITE_CHUNKS_MAX).unwrap_or(rest);
            match self.stream.try_write_vectored(window) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sends_more &= self.input.len() < UNREAD_REPLIES_INPUT_BYTES_MAX;
                    let interest = if sends_more {
                        Interest::READABLE | Interest::WRITABLE
                    } else {
                        Interest::WRITABLE
                    };
                    let client = &self.session.client;
                    let ready = tokio::select! {
                        ready = self.stream.ready(interest) => ready?,
                        () = client.attention() => {
                            if client.is_killed() {
                                return Err(killed());
                            }
                            // It was for messages, which come once these replies have left.
                            is_reminded = true;
                            continue;
                        }
                    };
                    if ready.is_readable() {
                        sends_more = self.receive_beside()?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if is_reminded {
            self.session.client.remind();
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

impl Drop for Connection {
    fn drop(&mut self) {
        unwatch(&self.service.state, &self.session.client);
    }
}

/// Ends after `time`, or never.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn killed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "killed")
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
