//! What a row of the command table says.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::resp::{Args, Encoder};

use super::context::{AsyncContext, ConnectionContext, ReadContext, WriteContext};
use super::fail::Fail;
use super::watch::KeyPattern;

/// One command, or one subcommand of a container command.
///
/// Rows are written with the `const` builder so that each is a few lines beside its function.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Its place in the table, subcommands included: what counters are kept by. The table gives it.
    pub id: usize,
    /// What its arguments are: see [`syntax`](Command::syntax).
    pub syntax: &'static str,
    /// What it does with its keys: see [`access`](Command::access).
    pub access: &'static str,
    /// What a request does with them, where that depends on its other arguments.
    pub access_of: Option<fn(&Args) -> &'static str>,
    /// Its name in lower case; a subcommand's has its container's before it: `client|id`.
    pub name: &'static str,
    /// How many arguments, the name (of a subcommand: both names) among them; negative: at least
    /// that many.
    pub arity: i32,
    /// What kind of command it is.
    pub flags: Flags,
    /// Which of its arguments are keys.
    pub keys: KeySpec,
    /// Which of its arguments are keys besides, where that depends on other arguments.
    pub movable_keys: Option<MovableKeys>,
    /// For a command that writes and may have to walk far: what it does first, over a snapshot. See
    /// [`Prepare`].
    pub prepare: Option<Prepare>,
    /// What [`prepare`](Command::prepare) reads besides the keys.
    pub patterns: Option<Patterns>,
    /// For a command that writes, unless it is asked only to read: when that is, and what answers then.
    pub read_form: Option<ReadForm>,
    /// The row for that: the same, but it reads. The table gives it.
    pub as_read: Option<&'static Command>,
    /// Access control categories, without the `@`, besides those that follow from the rest.
    pub categories: &'static [&'static str],
    /// The family it is documented under.
    pub group: Group,
    /// The Redis version that introduced it.
    pub since: &'static str,
    /// One line of what it does.
    pub summary: &'static str,
    /// What its cost depends on.
    pub complexity: &'static str,
    /// The rows of its subcommands, if it is a container.
    pub subcommands: &'static [Command],
    /// The lines of its `HELP`, without the frame; empty for a command without one.
    pub help: &'static [&'static str],
    /// What answers it.
    pub run: Run,
}

impl Command {
    /// A row with the given name, arity and function, and nothing else.
    pub const fn new(name: &'static str, arity: i32, run: Run) -> Self {
        Self {
            id: 0,
            name,
            arity,
            flags: Flags::NONE,
            keys: KeySpec::NONE,
            movable_keys: None,
            prepare: None,
            patterns: None,
            read_form: None,
            as_read: None,
            categories: &[],
            group: Group::Generic,
            since: "1.0.0",
            summary: "",
            syntax: "",
            access: "",
            access_of: None,
            complexity: "O(1)",
            subcommands: &[],
            help: &[],
            run,
        }
    }

    /// Adds `flags`.
    pub const fn flags(mut self, flags: Flags) -> Self {
        self.flags = self.flags.or(flags);
        self
    }

    /// Sets which arguments are keys: see [`KeySpec`].
    pub const fn keys(mut self, first: u32, last: i32, step: u32) -> Self {
        self.keys = KeySpec { first, last, step };
        self
    }

    /// Sets which arguments are keys where that depends on other arguments: `find` returns their
    /// positions, in order and all that [`keys`](Command::keys) does not name already.
    pub const fn movable_keys(mut self, find: MovableKeys) -> Self {
        self.movable_keys = Some(find);
        self.flags(Flags::MOVABLE_KEYS)
    }

    /// Sets what it does first over a snapshot, if it has to walk far.
    pub const fn prepare(mut self, prepare: Prepare) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// Sets which keys it reads, when it is prepared, besides those that are its arguments.
    pub const fn patterns(mut self, patterns: Patterns) -> Self {
        self.patterns = Some(patterns);
        self
    }

    /// Lets `run` answer, as a command that reads, those requests for which `applies` says so. For
    /// `COMMAND` it stays one that writes.
    pub const fn reads_if(mut self, applies: fn(&Args) -> bool, run: ReadFn) -> Self {
        self.read_form = Some(ReadForm { applies, run });
        self
    }

    /// Adds access control categories.
    pub const fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.categories = categories;
        self
    }

    /// Sets its family.
    pub const fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// Sets what the documentation says.
    pub const fn docs(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    /// Sets what its arguments are, without the name: the one place that `COMMAND DOCS`, the hints of
    /// `redis-cli` and `docs/commands.md` follow.
    ///
    /// - A word in lower case is an argument, of any bytes, or a key if it is `key`. Behind a colon stands
    ///   what else it is: `seconds:integer`, `increment:double`, `destination:key`, `channel:pattern`,
    ///   `timestamp:unix-time`.
    /// - A word in upper case, or of signs, is sent as it is: `NX`. It belongs to what stands behind it in
    ///   the same brackets.
    /// - `[…]` may be left out, `<a | b>` is a choice, as is `[a | b]`, and `(…)` belongs together.
    /// - `...` says that what is before it may be repeated: `[WEIGHTS weight ...]`, and with its token
    ///   `[(GET pattern) ...]`.
    ///
    /// `"key value [NX | XX] [GET] [EX seconds:integer | KEEPTTL]"`
    pub const fn syntax(mut self, syntax: &'static str) -> Self {
        self.syntax = syntax;
        self
    }

    /// Sets what it does with its keys, in the words of Redis: `RO`, `RW`, `OW` (overwrites) or `RM`
    /// (removes), and `access`, `insert`, `update`, `delete`. What is said of several keys is separated by
    /// commas: the last is of all that follow. `"OW update, RO access"` is of a destination and its sources.
    /// A command that says nothing reads or writes and has access.
    pub const fn access(mut self, access: &'static str) -> Self {
        self.access = access;
        self
    }

    /// Sets how what it does with its keys depends on the other arguments of a request.
    pub const fn access_of(mut self, access: fn(&Args) -> &'static str) -> Self {
        self.access_of = Some(access);
        self
    }

    /// What a request does with each of its keys: see [`access`](Command::access). Never empty.
    pub fn access_of_keys_of(&self, request: &Args) -> Vec<Vec<&'static str>> {
        self.access_of.map_or_else(|| self.access_of_keys(), |access| split_access(access(request)))
    }

    /// What it does with each of its keys: see [`access`](Command::access). Never empty.
    pub fn access_of_keys(&self) -> Vec<Vec<&'static str>> {
        let access = match self.access {
            "" if self.is_write() => "RW access update",
            "" => "RO access",
            access => access,
        };
        split_access(access)
    }

    /// Makes it a container of `subcommands` whose `HELP` says `help`.
    pub const fn container(
        mut self,
        subcommands: &'static [Command],
        help: &'static [&'static str],
    ) -> Self {
        self.subcommands = subcommands;
        self.help = help;
        self
    }

    /// The last part of its name: what a client sends for a subcommand.
    pub fn own_name(&self) -> &'static str {
        self.name.rsplit_once('|').map_or(self.name, |(_, own)| own)
    }

    /// Whether a request of `len` arguments, the name among them, fits.
    pub fn accepts(&self, len: usize) -> bool {
        let needed = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { len >= needed } else { len == needed }
    }

    /// The keys of a request, in the order of the arguments.
    pub fn keys_of<'a>(&self, args: &'a Args) -> Vec<&'a Bytes> {
        let mut keys: Vec<&Bytes> = self.keys.of(args).collect();
        if let Some(find) = self.movable_keys {
            keys.extend(find(args).into_iter().filter_map(|position| args.get(position)));
        }
        keys
    }

    /// The keys that a request reads, when it is prepared, besides those that are its arguments.
    pub fn patterns_of(&self, args: &Args) -> Vec<KeyPattern> {
        self.patterns.map(|patterns| patterns(args)).unwrap_or_default()
    }

    /// The row for a request: of its form that only reads, if that will do.
    pub fn form_for(&'static self, args: &Args) -> &'static Command {
        match (self.read_form, self.as_read) {
            (Some(form), Some(row)) if (form.applies)(args) => row,
            _ => self,
        }
    }

    /// Whether it may have to wait for a key to hold something, so that it runs alone.
    pub fn is_blocking(&self) -> bool {
        self.flags.contains(Flags::BLOCKING)
    }

    /// Whether it changes data, so that a run with it belongs to the write lane.
    pub fn is_write(&self) -> bool {
        matches!(self.run, Run::Write(_))
    }

    /// Whether it reads the keyspace, as far as `COMMAND` shows.
    pub fn reads_keyspace(&self) -> bool {
        let names_keys = self.keys != KeySpec::NONE || self.movable_keys.is_some();
        matches!(self.run, Run::Read(_)) && (names_keys || self.flags.contains(Flags::KEYSPACE))
    }

    /// Whether it changes data or reaches others. What only takes its place among the writes does not.
    pub fn has_effects(&self) -> bool {
        self.is_write() && !self.flags.contains(Flags::UNQUEUED)
            || self.flags.contains(Flags::MAY_REPLICATE)
    }

    /// Whether it belongs to the connection: it runs at once, on the async thread, and ends the
    /// run before it.
    pub fn is_connection(&self) -> bool {
        matches!(self.run, Run::Connection(_))
    }

    /// Whether it waits for what takes its time, and ends the run before it.
    pub fn is_async(&self) -> bool {
        matches!(self.run, Run::Async(..))
    }

    /// Whether it walks many keys, and so runs alone, on the background lane if it only reads.
    pub fn is_walking(&self) -> bool {
        self.flags.contains(Flags::WALKING)
    }
}

fn split_access(access: &'static str) -> Vec<Vec<&'static str>> {
    access.split(',').map(|of_key| of_key.split_whitespace().collect()).collect()
}

/// What answers a command. Each function encodes one whole reply, or fails and has encoded nothing
/// that counts.
#[derive(Clone, Copy)]
pub enum Run {
    /// Only reads data; runs over a view, or over a transaction when a write is near.
    Read(ReadFn),
    /// May change data; runs over a transaction, in a savepoint of its own.
    Write(WriteFn),
    /// Touches no data: the connection's and the server's own state. Never blocks.
    Connection(ConnectionFn),
    /// Waits, without blocking a thread, for what takes its time: an fsync, a checkpoint, a delay. In a
    /// transaction, where nothing waits, the second function answers.
    Async(AsyncFn, ConnectionFn),
}

/// See [`Command::reads_if`].
#[derive(Clone, Copy)]
pub struct ReadForm {
    /// Whether a request only reads.
    pub applies: fn(&Args) -> bool,
    /// What answers it.
    pub run: ReadFn,
}

impl std::fmt::Debug for ReadForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadForm")
    }
}

/// Keys besides the arguments, by how they begin and end.
pub type Patterns = fn(&Args) -> Vec<KeyPattern>;

/// Positions of the arguments that are keys.
pub type MovableKeys = fn(&Args) -> Vec<usize>;

/// Does the reading of a command that walks far and writes, over a snapshot on the background lane, and
/// returns what is left to do in the write lane: that runs if none of the command's keys has changed
/// meanwhile; if one has, the command runs whole in the write lane. It checks its arguments itself.
pub type Prepare = fn(&mut ReadContext<'_>, &Args) -> Result<Prepared, Fail>;

/// See [`Prepare`].
pub type Prepared =
    Box<dyn FnOnce(&mut WriteContext<'_>, &mut Encoder) -> Result<(), Fail> + Send + 'static>;

/// See [`Run::Async`]. The future is dropped if the client leaves.
pub type AsyncFn = fn(AsyncContext, Args) -> BoxFuture<'static, Result<Encoder, Fail>>;

/// See [`Run::Read`].
pub type ReadFn = fn(&mut ReadContext<'_>, &Args, &mut Encoder) -> Result<(), Fail>;
/// See [`Run::Write`].
pub type WriteFn = fn(&mut WriteContext<'_>, &Args, &mut Encoder) -> Result<(), Fail>;
/// See [`Run::Connection`].
pub type ConnectionFn = fn(&mut ConnectionContext<'_>, &Args, &mut Encoder) -> Result<(), Fail>;

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Run::Read(_) => "Read",
            Run::Write(_) => "Write",
            Run::Connection(_) => "Connection",
            Run::Async(..) => "Async",
        })
    }
}

/// Which arguments are keys, as `COMMAND` says it: from `first` to `last` (negative: from the end),
/// every `step`th. All 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySpec {
    /// Position of the first key; the name is at 0.
    pub first: u32,
    /// Position of the last key; -1 is the last argument.
    pub last: i32,
    /// Distance from one key to the next.
    pub step: u32,
}

impl KeySpec {
    /// No keys.
    pub const NONE: KeySpec = KeySpec { first: 0, last: 0, step: 0 };

    /// The keys of a request, in order.
    pub fn of<'a>(&self, args: &'a Args) -> impl Iterator<Item = &'a Bytes> + use<'a> {
        let len = args.len();
        let end = match usize::try_from(self.last) {
            Ok(last) => last + 1,
            Err(_) => (len + 1).saturating_sub(self.last.unsigned_abs() as usize),
        };
        let (first, step) = (self.first as usize, (self.step as usize).max(1));
        let count = if self.step == 0 { 0 } else { end.min(len).saturating_sub(first) };
        args.iter().skip(first).take(count).step_by(step)
    }
}

/// A set of properties of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// None of them.
    pub const NONE: Flags = Flags(0);
    /// Constant or logarithmic time.
    pub const FAST: Flags = Flags(1);
    /// May grow the data (Redis refuses it when out of memory).
    pub const DENYOOM: Flags = Flags(1 << 1);
    /// For administrators.
    pub const ADMIN: Flags = Flags(1 << 2);
    /// Allowed before the client has authenticated.
    pub const NO_AUTH: Flags = Flags(1 << 3);
    /// Allowed while data is being loaded.
    pub const LOADING: Flags = Flags(1 << 4);
    /// Allowed while data may be stale.
    pub const STALE: Flags = Flags(1 << 5);
    /// Not for scripts.
    pub const NOSCRIPT: Flags = Flags(1 << 6);
    /// Allowed while a script blocks.
    pub const ALLOW_BUSY: Flags = Flags(1 << 7);
    /// Not inside `MULTI`.
    pub const NO_MULTI: Flags = Flags(1 << 8);
    /// Walks many keys: ends the run before it. Our own; `COMMAND` does not show it.
    pub const WALKING: Flags = Flags(1 << 9);
    /// Works over keys as such, of any type. Our own; shown as the category `@keyspace`.
    pub const KEYSPACE: Flags = Flags(1 << 10);
    /// Can do harm at large. Our own; shown as the category `@dangerous`.
    pub const DANGEROUS: Flags = Flags(1 << 11);

    /// May wait for a key to hold something. Such a command ends the run before it.
    pub const BLOCKING: Flags = Flags(1 << 12);
    /// About publishing and subscribing.
    pub const PUBSUB: Flags = Flags(1 << 13);
    /// Not shown to `MONITOR`.
    pub const SKIP_MONITOR: Flags = Flags(1 << 14);
    /// Not in the slow log.
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 15);
    /// Which arguments are keys depends on others.
    pub const MOVABLE_KEYS: Flags = Flags(1 << 16);
    /// Not queued behind `MULTI` but run at once. Our own.
    pub const UNQUEUED: Flags = Flags(1 << 17);
    /// Allowed while a client that speaks RESP2 has subscribed to something. Our own.
    pub const WHILE_SUBSCRIBED: Flags = Flags(1 << 18);
    /// Its replies are messages, which are sent even if the client wants no replies. Our own.
    pub const CONFIRMS: Flags = Flags(1 << 19);
    /// Reaches others though it writes nothing: waits while writes are paused. Our own; Redis does not show
    /// its, either.
    pub const MAY_REPLICATE: Flags = Flags(1 << 20);
    /// Waits for something else than its own work, so that the time is not counted. Our own.
    pub const WAITS: Flags = Flags(1 << 21);
    /// Only if the server was started so: `enable-debug-command`. Our own.
    pub const PROTECTED: Flags = Flags(1 << 22);
    /// Not allowed while data is being loaded in the background.
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 23);
    /// May be without the keys that it can have.
    pub const NO_MANDATORY_KEYS: Flags = Flags(1 << 24);
    /// Shown as one that only reads, though it reads no key. Our own.
    pub const READONLY: Flags = Flags(1 << 25);

    /// The flags that `COMMAND` shows, by its names.
    pub const NAMED: &'static [(Flags, &'static str)] = &[
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::BLOCKING, "blocking"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_MONITOR, "skip_monitor"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::FAST, "fast"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
        (Flags::ALLOW_BUSY, "allow_busy"),
    ];

    /// Both sets together.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The family a command is documented under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Keys of any type.
    Generic,
    /// Strings.
    String,
    /// Strings as sequences of bits.
    Bitmap,
    /// Hashes.
    Hash,
    /// Lists.
    List,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// Publishing and subscribing.
    PubSub,
    /// Transactions.
    Transactions,
    /// The connection.
    Connection,
    /// The server.
    Server,
}

impl Group {
    /// Every group, in the order of the documentation.
    pub const ALL: &'static [Group] = &[
        Group::Generic,
        Group::String,
        Group::Bitmap,
        Group::Hash,
        Group::List,
        Group::Set,
        Group::SortedSet,
        Group::PubSub,
        Group::Transactions,
        Group::Connection,
        Group::Server,
    ];

    /// Its name in `COMMAND DOCS`.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::Bitmap => "bitmap",
            Group::Hash => "hash",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::PubSub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
        }
    }

    /// Its access control category, without the `@`, if it has one of its own.
    pub fn category(self) -> Option<&'static str> {
        match self {
            Group::Generic | Group::Server => None,
            Group::SortedSet => Some("sortedset"),
            Group::Transactions => Some("transaction"),
            other => Some(other.name()),
        }
    }
}
