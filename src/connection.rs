//! One client: read, decode, run, reply. `connection/` has how replies and messages leave, and how the
//! connection waits.

mod output;
mod wait;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::consume_budget;

use crate::command::{
    Command, Fail, Flags, QUEUED_BYTES_MAX, QueuedTransaction, ReplyMode, Run, Session, abort_exec,
    admit, argument_bytes, refuse, run_connection, unwatch,
};
use crate::resp::{Args, Decoder, Encoder};
use crate::run::{PendingRun, Writes, execute_exec};
use crate::service::Service;

use output::REPLY_BYTES_HELD_MAX;

/// Bytes taken from the socket at a time, unless a large argument is on its way.
const READ_BYTES: usize = 64 << 10;

/// Requests taken in while the client takes no replies, in bytes; then it has to read first.
const UNREAD_REPLIES_INPUT_BYTES_MAX: usize = 64 << 20;

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
    writes: Arc<Writes>,
    session: Session,
    decoder: Decoder,
    /// Received and not yet decoded. Without memory between requests.
    input: BytesMut,
    pending: PendingRun,
    /// What the commands answer.
    replies: Encoder,
    /// What is to be sent while a command runs whose reply the client does not want: `replies` are thrown
    /// away then.
    held: Option<Box<Encoder>>,
}

/// What a connection has waited for.
#[derive(Debug)]
enum Event {
    /// Others want something of it.
    Attention,
    /// The client has sent so many bytes; 0: it will send no more.
    Received(usize),
}

impl Connection {
    /// Boxed, since futures keep room for what they are given and for where they put it.
    pub(crate) fn new(stream: TcpStream, writes: Arc<Writes>, session: Session) -> Box<Self> {
        let service = Arc::clone(writes.service());
        let mut decoder = Decoder::new(service.state.request_limits());
        decoder.set_authenticated(session.authenticated);
        session.client.profile().fd = stream.as_raw_fd();
        Box::new(Self {
            stream,
            service,
            writes,
            decoder,
            input: BytesMut::new(),
            pending: PendingRun::default(),
            replies: Encoder::new(session.protocol),
            held: None,
            session,
        })
    }

    /// Serves the client until it leaves, must leave, or `draining` is ready; then requests that
    /// have been received whole are still answered.
    ///
    /// When the future is dropped the connection closes; a job that runs finishes.
    pub(crate) async fn serve(mut self: Box<Self>, draining: impl Future<Output = ()>) {
        let outcome = self.serve_requests(draining).await;
        match outcome {
            Ok(()) => tracing::debug!("closed"),
            Err(error) => tracing::debug!(%error, "lost"),
        }
    }

    async fn serve_requests(&mut self, draining: impl Future<Output = ()>) -> io::Result<()> {
        let mut draining = pin!(draining);
        while !self.session.close_after_reply {
            let event = tokio::select! {
                biased;
                () = &mut draining => return Ok(()),
                event = self.next_event(true) => event?,
            };
            match event {
                Event::Attention => self.deliver_messages().await?,
                Event::Received(0) => return Ok(()),
                Event::Received(received) => {
                    self.count_received(received);
                    self.answer().await?;
                }
            }
        }
        self.stream.shutdown().await
    }

    /// Waits until others want something, or, if it `takes_more`, the client has sent something, which is
    /// then taken. Dropping the future loses nothing.
    async fn next_event(&mut self, takes_more: bool) -> io::Result<Event> {
        let Self { stream, session, input, decoder, .. } = self;
        // In any order: neither a client that never stops sending nor others that do keep the other waiting.
        tokio::select! {
            () = session.client.attention() => Ok(Event::Attention),
            received = receive(stream, input, decoder), if takes_more => {
                received.map(Event::Received)
            }
        }
    }

    fn count_received(&mut self, received: usize) {
        self.service.state.stats.net_input_bytes.fetch_add(received as u64, Relaxed);
    }

    /// Answers every complete request of the input, with one flush at the end.
    async fn answer(&mut self) -> io::Result<()> {
        self.session.client.set_busy(true);
        self.session.buffers.input = self.input.len();
        self.session.buffers.input_free = self.input.capacity() - self.input.len();
        self.decoder.set_limits(self.service.state.request_limits());
        while !self.session.close_after_reply {
            // What answers at once waits for nothing: a client that never stops sending such
            // requests must let others run.
            consume_budget().await;
            if self.session.client.is_killed() {
                return Err(killed());
            }
            match self.decoder.decode(&mut self.input) {
                Ok(Some(args)) => self.take(args).await?,
                Ok(None) => break,
                Err(error) => {
                    self.execute().await?;
                    tracing::debug!(%error, "closing");
                    if self.session.reply_mode == ReplyMode::On {
                        let fail = Fail::Reply(format!("ERR {error}").into());
                        refuse(&fail, &self.service.state, &mut self.replies);
                    }
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
        self.publish();
        self.session.client.set_busy(false);
        self.flush().await
    }

    /// Shows others what has changed, before the client waits for something.
    fn publish(&mut self) {
        let buffers = &mut self.session.buffers;
        buffers.input = self.input.len();
        buffers.input_free = self.input.capacity() - self.input.len();
        buffers.arguments = 0;
        buffers.replies = 0;
        buffers.replies_peak = buffers.replies_peak.max(self.replies.len_bytes());
        self.session.publish();
    }

    /// Answers a request, in its turn, or throws the answer away if that is what the client wants.
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
        match self.session.reply_mode {
            ReplyMode::On => self.take_answered(args).await,
            _ => Box::pin(self.take_unanswered(args)).await,
        }
    }

    /// Lets a request join the run, or ends the run before it and answers it at once.
    async fn take_answered(&mut self, args: Args) -> io::Result<()> {
        match admit(&self.session, &self.service.state, &args) {
            Err(fail) => {
                self.execute().await?;
                let fail = match &mut self.session.transaction {
                    _ if args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"exec")) => {
                        abort_exec(&mut self.session, &self.service.state, &fail)
                    }
                    Some(queued) => {
                        queued.is_broken = true;
                        fail
                    }
                    None => fail,
                };
                refuse(&fail, &self.service.state, &mut self.replies);
                Ok(())
            }
            Ok(command) => {
                self.session.last_command = command.name;
                if self.service.state.pause.may_be_on() && !self.session.is_monitor {
                    Box::pin(self.wait_while_paused(command)).await?;
                }
                self.run(command, args).await
            }
        }
    }

    /// Runs a command of a client that does not want its reply.
    async fn take_unanswered(&mut self, args: Args) -> io::Result<()> {
        self.execute().await?;
        if self.session.reply_mode == ReplyMode::SkipNext {
            self.session.reply_mode = ReplyMode::Skip;
        }
        let to_send = mem::replace(&mut self.replies, Encoder::new(self.session.protocol));
        self.held = Some(to_send.into());
        self.take_answered(args).await?;
        self.execute().await?;
        let to_send = self.held.take().map(|held| *held).unwrap_or_default();
        let reply = mem::replace(&mut self.replies, to_send);
        self.replies.set_protocol(self.session.protocol);
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
                self.run_here(command, &args);
                if mem::take(&mut self.session.wants_exec)
                    && let Some(queued) = self.session.transaction.take()
                {
                    Box::pin(self.run_transaction(command, &args, *queued)).await;
                }
                Ok(())
            }
            Run::Async(run, _) => {
                self.execute().await?;
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
                self.pending.push(command, args);
                if is_alone || self.pending.is_full() {
                    self.execute().await?;
                }
                Ok(())
            }
        }
    }

    /// Runs a command of the connection's own.
    fn run_here(&mut self, command: &'static Command, args: &Args) {
        self.session.buffers.arguments = argument_bytes(args);
        self.session.buffers.replies = self.replies.capacity();
        let state = &self.service.state;
        if self.held.is_none() && !self.session.is_listening() {
            run_connection(command, &mut self.session, state, args, &mut self.replies);
        } else {
            self.run_between_messages(command, args);
        }
        self.decoder.set_authenticated(self.session.authenticated);
    }

    /// Runs a command of the connection's own where messages may have come: those that have go first, so
    /// that there are none behind a reply that says that they are over, and none before one that says that
    /// they begin.
    fn run_between_messages(&mut self, command: &'static Command, args: &Args) {
        self.put_messages(usize::MAX);
        let (was_monitor, listened_to) =
            (self.session.is_monitor, self.session.subscriptions_len());
        let mut reply = Encoder::new(self.session.protocol);
        let state = &self.service.state;
        let is_ok = run_connection(command, &mut self.session, state, args, &mut reply);
        let begins_to_listen = self.session.subscriptions_len() > listened_to;
        if listened_to > 0 && !begins_to_listen || was_monitor && !self.session.is_monitor {
            self.put_messages(usize::MAX);
        }
        let is_wanted = is_ok && command.flags.contains(Flags::CONFIRMS);
        let place = if is_wanted { self.outgoing() } else { &mut self.replies };
        place.append(reply);
        self.replies.set_protocol(self.session.protocol);
    }

    /// Runs what is queued: `EXEC`.
    async fn run_transaction(
        &mut self,
        command: &'static Command,
        args: &Args,
        queued: QueuedTransaction,
    ) {
        let mut reply = Encoder::new(self.session.protocol);
        execute_exec(&self.service, &mut self.session, queued, &mut reply).await;
        for message in self.session.client.take_marked_messages() {
            self.outgoing().encoded(message);
        }
        self.replies.append(reply);
        self.replies.set_protocol(self.session.protocol);
        self.decoder.set_authenticated(self.session.authenticated);
        let Session { client, db, .. } = &self.session;
        self.service.state.tell_monitors(command, args, client, *db);
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
                self.pending.execute_job(&self.writes, &self.session, &mut self.replies).await;
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
}

impl Drop for Connection {
    fn drop(&mut self) {
        let (state, client) = (&self.service.state, &self.session.client);
        unwatch(state, client);
        if let Some(subscriptions) = &self.session.subscriptions {
            state.pubsub.leave(client, subscriptions);
        }
        if self.session.is_monitor {
            state.monitors.remove(client);
        }
    }
}

/// Waits until the client has sent something, and takes it. 0: it will send no more. Dropping the future
/// loses nothing.
async fn receive(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    decoder: &Decoder,
) -> io::Result<usize> {
    poll_fn(|context| poll_receive(stream, input, decoder, context)).await
}

fn poll_receive(
    stream: &mut TcpStream,
    input: &mut BytesMut,
    decoder: &Decoder,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let missing = decoder.missing_bytes(input.len());
    if missing >= READ_BYTES {
        // As much again as is there already: growing stays cheap, and the client has to send
        // before it makes us allocate.
        input.reserve(missing.min(input.len().max(READ_BYTES)));
        return poll_receive_more(stream, input, context);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let mut received = ReadBuf::new(scratch);
        // Not by asking whether there is something first: this knows by itself, from a read that filled
        // less than it could, that nothing is left, which else costs a system call to hear.
        ready!(Pin::new(stream).poll_read(context, &mut received))?;
        input.extend_from_slice(received.filled());
        Poll::Ready(Ok(received.filled().len()))
    })
}

fn poll_receive_more(
    stream: &TcpStream,
    input: &mut BytesMut,
    context: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(context))?;
        match stream.try_read_buf(input) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return Poll::Ready(outcome),
        }
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
