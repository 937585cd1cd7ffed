//! The built server as a child process, and a small client that speaks RESP.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fmt::{self, Display, Formatter};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use pontoon_storage::EngineKind;
use rustix::process::{Pid, Signal, kill_process};

/// So that a server that never answers fails a test instead of holding it for good.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `pontoon` with `args`, without the caller's settings.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pontoon"));
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("PONTOON_")) {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null());
    command
}

/// The engines of this build whose data outlives the server.
pub fn persistent_engines() -> impl Iterator<Item = &'static str> {
    EngineKind::AVAILABLE.iter().filter(|kind| kind.is_persistent()).map(|kind| kind.name())
}

/// Runs `pontoon` with `args`, which are expected not to start a server.
pub fn run(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    /// What it said when it was ready.
    pub announcement: String,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
}

impl Server {
    /// A server with `args` on a port of its own.
    pub fn start(args: &[&str]) -> Self {
        Self::spawn(command(&[args, &["--port", "0"]].concat()))
    }

    /// A server that keeps nothing, with `args`.
    pub fn in_memory(args: &[&str]) -> Self {
        Self::start(&[args, &["--engine", "memory"]].concat())
    }

    /// Whatever `command` starts, which must announce a port.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut announcement = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut announcement).unwrap();
        let port = announcement
            .split_once("127.0.0.1:")
            .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
            .and_then(|port| port.parse().ok());
        let Some(port) = port else {
            let _ = child.kill();
            panic!("no port in {announcement:?}");
        };
        Self { child, announcement, port }
    }

    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// Sends `signal` and waits for the end.
    pub fn stop(self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A reply, in either protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Reply>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
    Double(String),
    Boolean(bool),
    Verbatim(String),
}

impl Reply {
    pub fn text(&self) -> &str {
        match self {
            Reply::Simple(text) | Reply::Error(text) | Reply::Verbatim(text) => text,
            Reply::Bulk(bytes) => std::str::from_utf8(bytes).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }
}

/// As `tests/harness` shows replies: `OK`, `(error) ERR …`, `5`, `"bulk"`, `nil`, `[1 2]`, `{a b}`.
impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let several = |f: &mut Formatter<'_>, open, replies: &[Reply], close| {
            let texts: Vec<String> = replies.iter().map(ToString::to_string).collect();
            write!(f, "{open}{}{close}", texts.join(" "))
        };
        match self {
            Reply::Simple(text) | Reply::Double(text) => f.write_str(text),
            Reply::Error(text) => write!(f, "(error) {text}"),
            Reply::Integer(number) => write!(f, "{number}"),
            Reply::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Reply::Verbatim(text) => write!(f, "\"{text}\""),
            Reply::Null => f.write_str("nil"),
            Reply::Array(replies) => several(f, "[", replies, "]"),
            Reply::Set(replies) => several(f, "~[", replies, "]"),
            Reply::Push(replies) => several(f, ">[", replies, "]"),
            Reply::Map(pairs) => {
                let flat: Vec<Reply> = pairs.iter().cloned().flat_map(<[Reply; 2]>::from).collect();
                several(f, "{", &flat, "}")
            }
            Reply::Boolean(value) => write!(f, "#{value}"),
        }
    }
}

pub fn ok() -> Reply {
    Reply::Simple("OK".into())
}

pub fn bulk(text: impl AsRef<[u8]>) -> Reply {
    Reply::Bulk(text.as_ref().to_vec())
}

pub fn error(text: &str) -> Reply {
    Reply::Error(text.into())
}

/// Calls `is_so` until it is.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not yet: {what}");
    }
}

/// A request as RESP has it.
pub fn encode(args: &[&[u8]]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        request.extend_from_slice(arg);
        request.extend_from_slice(b"\r\n");
    }
    request
}

/// A connection.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    /// Sends one request and reads its reply.
    pub fn call(&mut self, args: &[&str]) -> Reply {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        self.send(&encode(&args));
        self.read()
    }

    /// Sends a request whose arguments are words, `''` an empty one, and shows its reply.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> String {
        self.pipeline(&[line]).remove(0)
    }

    /// Checks the replies to several lines in turn: `command -> reply` each.
    #[track_caller]
    pub fn script(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, reply) = line.split_once(" -> ").expect("command -> reply");
            assert_eq!(self.run(command), reply, "{command}");
        }
    }

    /// Sends several requests whose arguments are words at once, and shows their replies.
    pub fn pipeline(&mut self, lines: &[&str]) -> Vec<String> {
        let request = |line: &&str| {
            let words = line.split_whitespace().map(|word| if word == "''" { "" } else { word });
            encode(&words.map(str::as_bytes).collect::<Vec<_>>())
        };
        self.send(&lines.iter().flat_map(request).collect::<Vec<_>>());
        lines.iter().map(|_| self.read().to_string()).collect()
    }

    /// Sends one request, whose arguments are words, and reads its reply.
    pub fn ask(&mut self, line: &str) -> Reply {
        self.begin(line);
        self.read()
    }

    /// Sends one request, whose arguments are words.
    pub fn begin(&mut self, line: &str) {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send(&encode(&words));
    }

    /// Checks the reply to a request whose arguments are words.
    #[track_caller]
    pub fn check(&mut self, line: &str, reply: Reply) {
        assert_eq!(self.ask(line), reply, "{line}");
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// A second handle for sending, for a thread of its own.
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Says that nothing more will be sent.
    pub fn end_sending(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    /// Reads exactly `len` bytes.
    pub fn read_bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Asserts that the server has closed the connection, with nothing more to read.
    #[track_caller]
    pub fn assert_closed(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty(), "not closed but: {}", rest.escape_ascii()),
            // What the client had sent and the server did not read turns the close into a reset.
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }

    /// Reads one reply.
    pub fn read(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let line = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("no line: {line:?}"));
        let (kind, rest) = line.split_at(1);
        let len = || rest.parse::<i64>().unwrap();
        match kind {
            "+" => Reply::Simple(rest.into()),
            "-" => Reply::Error(rest.into()),
            ":" => Reply::Integer(len()),
            "_" => Reply::Null,
            "," => Reply::Double(rest.into()),
            "#" => Reply::Boolean(rest == "t"),
            "$" | "*" if rest == "-1" => Reply::Null,
            "$" => Reply::Bulk(self.read_payload(len())),
            "=" => {
                let text = String::from_utf8(self.read_payload(len())).unwrap();
                Reply::Verbatim(text[4..].into())
            }
            "*" => Reply::Array((0..len()).map(|_| self.read()).collect()),
            "~" => Reply::Set((0..len()).map(|_| self.read()).collect()),
            ">" => Reply::Push((0..len()).map(|_| self.read()).collect()),
            "%" => Reply::Map((0..len()).map(|_| (self.read(), self.read())).collect()),
            other => panic!("unknown kind of reply {other:?}"),
        }
    }

    fn read_payload(&mut self, len: i64) -> Vec<u8> {
        let mut payload = self.read_bytes(usize::try_from(len).unwrap());
        assert_eq!(self.read_bytes(2), b"\r\n");
        payload.shrink_to_fit();
        payload
    }

    /// A field of `INFO`.
    pub fn info(&mut self, field: &str) -> String {
        let info = self.call(&["INFO", "everything"]);
        let prefix = format!("{field}:");
        let line = info.text().lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("no {field} in {info:?}")).to_owned()
    }
}
