//! Commands run straight over an in-memory store, with a clock that stands still, and replies shown
//! as text.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::executor::block_on;
use pontoon::command::{
    Client, Environment, Request, ServerState, Session, Settings, Watch, admit, execute_prepared,
    execute_read, execute_write, prepare, refuse, run_connection, tell_expired, watch_prepared,
};
use pontoon::data::{self, Databases, Effects, Event, ExpireStep, SweepProgress};
use pontoon::resp::{Args, Encoder};
use pontoon_storage::{
    EngineKind, Entries, Error, Keyspace, Options, Reader, ScanOptions, Store, Transaction,
};

/// The time when a shell begins, in milliseconds since 1970.
pub const START_MS: u64 = 1_600_000_000_000;

/// Calls `test` with each engine of this build that keeps data, and with what opens the same
/// directory again and again.
pub fn with_each_persistent_engine(test: impl Fn(&dyn Fn() -> Shell)) {
    for &engine in EngineKind::AVAILABLE.iter().filter(|engine| engine.is_persistent()) {
        let dir = tempfile::tempdir().unwrap();
        test(&|| {
            let options =
                Options::new(dir.path()).engine(engine).key_bytes_max(data::STORAGE_KEY_BYTES_MAX);
            Shell::start(block_on(Store::open(options)).unwrap(), Settings::default())
        });
    }
}

/// One client of a server without sockets.
pub struct Shell {
    pub store: Store,
    pub databases: Databases,
    pub server: Arc<ServerState>,
    pub session: Session,
    pub now_ms: u64,
    /// Kept from step to step, as the server keeps it.
    progress: RefCell<SweepProgress>,
    /// Events that have been told and not yet been asked for.
    told: Arc<Mutex<Vec<Event>>>,
}

impl Shell {
    pub fn new() -> Self {
        Self::with_settings(Settings::default())
    }

    pub fn with_settings(settings: Settings) -> Self {
        let options =
            Options::in_memory().key_bytes_max(data::STORAGE_KEY_BYTES_MAX).pool_threads(1);
        Self::start(block_on(Store::open(options)).unwrap(), settings)
    }

    fn start(store: Store, settings: Settings) -> Self {
        let databases = block_on(Databases::open(&store)).unwrap();
        let server = Arc::new(ServerState::new(settings));
        let session = Session::new(
            server.next_client_id(),
            "127.0.0.1:50000".into(),
            "127.0.0.1:6379".into(),
            !server.requires_password(),
        );
        let told: Arc<Mutex<Vec<Event>>> = Arc::default();
        let hearing = Arc::clone(&told);
        server.set_event_listener(move |events| hearing.lock().unwrap().extend_from_slice(events));
        let progress = RefCell::default();
        Self { store, databases, server, session, now_ms: START_MS, progress, told }
    }

    /// Closes the store in order.
    pub fn close(self) {
        block_on(self.store.close()).unwrap();
    }

    /// The reply to a command whose arguments are words; `''` is an empty one.
    #[track_caller]
    pub fn run(&mut self, line: &str) -> String {
        let words = line.split_whitespace().map(|word| if word == "''" { "" } else { word });
        let args: Vec<&[u8]> = words.map(str::as_bytes).collect();
        self.run_args(&args)
    }

    /// The reply to a command of any bytes.
    #[track_caller]
    pub fn run_args(&mut self, args: &[&[u8]]) -> String {
        let bytes = self.reply_bytes(args);
        let (text, rest) = render(&bytes);
        assert!(rest.is_empty(), "more than one reply: {:?}", bytes.escape_ascii().to_string());
        text
    }

    /// Checks the reply to `line`.
    #[track_caller]
    pub fn check(&mut self, line: &str, reply: &str) {
        assert_eq!(self.run(line), reply, "{line}");
    }

    /// Checks the replies to several lines in turn: `command -> reply` each, without a blank at the
    /// end.
    #[track_caller]
    pub fn script(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, reply) = line.split_once(" -> ").expect("command -> reply");
            assert_eq!(self.run(command).trim_end(), reply, "{command}");
        }
    }

    /// What those who listen for events of keys, of every class, hear of a command: `event key` each, with
    /// the number of the database before the key if it is not 0, in order: `new a, set a, expire 9:a`.
    /// `none`: nothing.
    #[track_caller]
    pub fn events(&mut self, line: &str) -> String {
        self.events_of(|shell| {
            shell.run(line);
        })
    }

    /// Sets which classes of events there are, by Redis's letters.
    pub fn listen_for(&self, classes: &str) {
        self.server.live.set(&[("notify-keyspace-events", classes)]).unwrap();
    }

    /// What they hear of everything that `act` does.
    pub fn events_of(&mut self, act: impl FnOnce(&mut Self)) -> String {
        self.listen_for("KEAmn");
        act(self);
        self.listen_for("");
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        let texts: Vec<_> = told
            .iter()
            .map(|Event { name, db, key, .. }| match db {
                0 => format!("{name} {}", key.escape_ascii()),
                db => format!("{name} {db}:{}", key.escape_ascii()),
            })
            .collect();
        if texts.is_empty() { "none".into() } else { texts.join(", ") }
    }

    /// Checks the [`events`](Shell::events) of several lines in turn: `command -> events` each.
    #[track_caller]
    pub fn event_script(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (command, events) = line.split_once(" -> ").expect("command -> events");
            assert_eq!(self.events(command), events, "{command}");
        }
    }

    /// The replies to a pipeline of data commands that go as one run, in order.
    pub fn pipeline(&mut self, lines: &[&str]) -> Vec<String> {
        let requests = lines.iter().map(|line| self.admitted(&to_args(line))).collect();
        let bytes = self.execute(requests);
        let mut rest: &[u8] = &bytes;
        let mut replies = Vec::new();
        while !rest.is_empty() {
            let (text, behind) = render(rest);
            replies.push(text);
            rest = behind;
        }
        replies
    }

    /// The reply to a command that writes, run in two parts as one that walks far is; `between` comes after
    /// it has read, and before it writes.
    #[track_caller]
    pub fn run_prepared(&mut self, line: &str, between: impl FnOnce(&mut Self)) -> String {
        let request = Arc::new(self.admitted(&to_args(line)));
        let (watch, protocol) = (Arc::<Watch>::default(), self.session.protocol);
        let (here, wanted, watching) = (self.place(), Arc::clone(&request), Arc::clone(&watch));
        let begin =
            move |tx: &mut Transaction| watch_prepared(tx, &here.environment(), &wanted, &watching);
        block_on(self.store.update(begin)).unwrap();
        let (here, wanted) = (self.place(), Arc::clone(&request));
        let reading = self
            .store
            .view(move |view| Ok::<_, Error>(prepare(view, &here.environment(), &wanted)));
        let prepared = block_on(reading).unwrap().unwrap();
        between(self);
        let (here, watching) = (self.place(), Arc::clone(&watch));
        let writing = self.store.update(move |tx| {
            let mut out = Encoder::new(protocol);
            let environment = here.environment();
            execute_prepared(tx, &environment, &request, &watching, prepared, &mut out)?;
            Ok::<_, Error>(out)
        });
        let bytes = concat(block_on(writing).unwrap());
        self.server.watches.remove(&watch);
        render(&bytes).0
    }

    fn place(&self) -> Place {
        Place {
            databases: self.databases.clone(),
            server: Arc::clone(&self.server),
            client: Arc::clone(&self.session.client),
            db: self.session.db,
            now_ms: self.now_ms,
        }
    }

    /// The string at `key`, as bytes.
    pub fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let bytes = self.reply_bytes(&[b"GET", key]);
        if bytes == b"$-1\r\n" {
            return None;
        }
        let header = bytes.windows(2).position(|window| window == b"\r\n").unwrap() + 2;
        assert_eq!(bytes[0], b'$');
        Some(bytes[header..bytes.len() - 2].to_vec())
    }

    pub fn reply_bytes(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let args: Args = args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect();
        let mut out = Encoder::new(self.session.protocol);
        match admit(&self.session, &self.server, &args) {
            Err(fail) => refuse(&fail, &self.server, &mut out),
            Ok(command) if command.is_connection() => {
                run_connection(command, &mut self.session, &self.server, &args, &mut out);
            }
            Ok(command) => return self.execute(vec![(command, args)]),
        }
        concat(out)
    }

    /// Runs `f` in a transaction.
    pub fn update<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut Transaction, &Databases) -> data::Result<T> + Send + 'static,
    ) -> T {
        let databases = self.databases.clone();
        block_on(self.store.update(move |tx| f(tx, &databases))).unwrap()
    }

    pub fn expire_step(&self, limit: usize) -> ExpireStep {
        let (now_ms, server) = (self.now_ms, Arc::clone(&self.server));
        self.sweeping(move |tx, databases, progress| {
            let mut effects = Effects { interest: server.interest(), ..Effects::default() };
            let step = data::expire_step(tx, databases, now_ms, limit, progress, &mut effects)?;
            tell_expired(tx, &server, effects);
            Ok(step)
        })
    }

    pub fn sweep_step(&self, limit: usize) -> bool {
        self.sweeping(move |tx, databases, progress| {
            data::sweep_step(tx, databases, limit, progress).map(|step| step.more)
        })
    }

    fn sweeping<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Transaction, &Databases, &mut SweepProgress) -> data::Result<T>
        + Send
        + 'static,
    ) -> T {
        let mut progress = self.progress.borrow().clone();
        let (done, progress) = self.update(move |tx, databases| {
            let done = step(tx, databases, &mut progress)?;
            Ok((done, progress))
        });
        self.progress.replace(progress);
        done
    }

    /// Sweeps to the end, in steps of `limit`.
    pub fn sweep(&self, limit: usize) {
        while self.sweep_step(limit) {}
    }

    /// Everything stored in a keyspace.
    pub fn dump(&self, keyspace: &Keyspace) -> Vec<(Bytes, Bytes)> {
        let keyspace = keyspace.clone();
        let dump = self.store.view(move |view| {
            let entries: Entries<'_> = view.scan(&keyspace, .., ScanOptions::default());
            entries.collect::<Result<Vec<_>, Error>>()
        });
        block_on(dump).unwrap()
    }

    fn admitted(&self, args: &Args) -> Request {
        (admit(&self.session, &self.server, args).unwrap(), args.clone())
    }

    fn execute(&mut self, requests: Vec<Request>) -> Vec<u8> {
        let here = self.place();
        let mut out = Encoder::new(self.session.protocol);
        let writes = requests.iter().any(|(command, _)| command.is_write());
        let len = requests.len();
        let (ran, out) = if writes {
            block_on(self.store.update(move |tx| {
                let run = execute_write(tx, &here.environment(), &requests, &mut out)?;
                if run.blocked.is_some() {
                    // Here nobody waits.
                    out.simple("blocked");
                }
                Ok::<_, Error>((run.ran, out))
            }))
            .unwrap()
        } else {
            block_on(self.store.view(move |view| {
                let ran = execute_read(view, &here.environment(), &requests, &mut out);
                Ok::<_, Error>((ran, out))
            }))
            .unwrap()
        };
        assert_eq!(ran.done, len, "the run stopped early");
        concat(out)
    }
}

/// What an [`Environment`] borrows.
struct Place {
    databases: Databases,
    server: Arc<ServerState>,
    client: Arc<Client>,
    db: u8,
    now_ms: u64,
}

impl Place {
    fn environment(&self) -> Environment<'_> {
        let Self { databases, server, client, .. } = self;
        let (db, now_ms) = (self.db, self.now_ms);
        Environment { databases, server, client, db, may_walk: true, now_ms }
    }
}

fn to_args(line: &str) -> Args {
    line.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn concat(out: Encoder) -> Vec<u8> {
    out.into_chunks().flat_map(|chunk| chunk.to_vec()).collect()
}

/// The first reply of `bytes` as text, and what follows it.
fn render(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes.windows(2).position(|window| window == b"\r\n").unwrap();
    let line = std::str::from_utf8(&bytes[1..end]).unwrap();
    let rest = &bytes[end + 2..];
    let len = || line.parse::<i64>().unwrap();
    match bytes[0] {
        b'+' => (line.into(), rest),
        b'-' => (format!("(error) {line}"), rest),
        b':' => (line.into(), rest),
        b',' => (format!(",{line}"), rest),
        b'_' => ("nil".into(), rest),
        b'$' | b'*' if len() < 0 => ("nil".into(), rest),
        b'$' | b'=' => {
            let len = len() as usize;
            let text = format!("\"{}\"", rest[..len].escape_ascii());
            (text, &rest[len + 2..])
        }
        b'*' => elements(len() as usize, rest, "[", "]"),
        b'~' => elements(len() as usize, rest, "~[", "]"),
        b'%' => elements(len() as usize * 2, rest, "{", "}"),
        other => panic!("unknown reply {:?}", char::from(other)),
    }
}

fn elements<'b>(len: usize, bytes: &'b [u8], open: &str, close: &str) -> (String, &'b [u8]) {
    let mut rest = bytes;
    let mut texts = Vec::new();
    for _ in 0..len {
        let (text, behind) = render(rest);
        texts.push(text);
        rest = behind;
    }
    (format!("{open}{}{close}", texts.join(" ")), rest)
}
