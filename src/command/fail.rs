//! Why a command has no ordinary reply.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::data;
use crate::resp::{Args, Encoder};

/// A command's failure: an error reply. What the command wrote is undone.
#[derive(Debug, Clone)]
pub enum Fail {
    /// The text of the error reply, its code (`ERR`, `WRONGTYPE`, …) first.
    Reply(Cow<'static, str>),
    /// The storage failed.
    Storage(pontoon_storage::Error),
    /// No failure yet: it would have to walk further than it may where it runs, so that it is to be run
    /// elsewhere. See [`ReadContext::walk`](super::ReadContext::walk).
    Walk,
    /// No failure at all: nothing is there yet, and the client wants to wait for it.
    Block(Block),
}

/// How a client that found nothing waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The keys of which any may come to hold what it waits for.
    pub keys: Vec<Bytes>,
    /// How long it waits at the most; `None`: for ever.
    pub timeout: Option<Duration>,
    /// The reply where it may not wait.
    pub nothing: Nothing,
}

/// The reply of a command that would wait if it were not inside of a transaction. One that has waited in
/// vain answers with a null array, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// A null where an array would stand.
    Array,
    /// A null where a string would stand.
    Bulk,
}

impl Nothing {
    /// Encodes the reply.
    pub fn encode(self, out: &mut Encoder) {
        match self {
            Nothing::Array => out.null_array(),
            Nothing::Bulk => out.null(),
        }
    }
}

impl Fail {
    /// Options that contradict each other or that nobody knows.
    pub const SYNTAX: Fail = Fail::text("ERR syntax error");
    /// A number was expected.
    pub const NOT_AN_INTEGER: Fail = Fail::text("ERR value is not an integer or out of range");
    /// A decimal number was expected.
    pub const NOT_A_FLOAT: Fail = Fail::text("ERR value is not a valid float");
    /// The key that must be there is not.
    pub const NO_SUCH_KEY: Fail = Fail::text("ERR no such key");

    /// A constant text.
    pub const fn text(text: &'static str) -> Fail {
        Fail::Reply(Cow::Borrowed(text))
    }

    /// Too few or too many arguments for the command with this full name (`client|id`).
    pub fn arity(full_name: &str) -> Fail {
        Fail::Reply(format!("ERR wrong number of arguments for '{full_name}' command").into())
    }

    /// More arguments than the subcommand of this request takes.
    pub fn subcommand_syntax(args: &Args) -> Fail {
        let shown = |position: usize| {
            let arg = args.get(position).map(|arg| arg.get(..128).unwrap_or(arg));
            String::from_utf8_lossy(arg.unwrap_or_default())
        };
        let (own, container) = (shown(1), shown(0).to_uppercase());
        let text = format!(
            "ERR unknown subcommand or wrong number of arguments for '{own}'. Try {container} HELP."
        );
        Fail::Reply(text.into())
    }

    /// The error reply's text.
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Fail::Reply(text) => Cow::Borrowed(text),
            Fail::Storage(error) => {
                if is_write_failure(error) {
                    format!("MISCONF {error}. Free space or mend the disk, and restart the server")
                        .into()
                } else {
                    format!("ERR {error}").into()
                }
            }
            // Whoever runs commands takes these two for what they are; in a place where nothing waits
            // and nothing is run again, they are answered like this.
            Fail::Walk | Fail::Block(_) => "ERR the command cannot run here".into(),
        }
    }

    /// An expiry out of range in the command of this name.
    pub fn expire_time(name: &str) -> Fail {
        Fail::Reply(format!("ERR invalid expire time in '{name}' command").into())
    }

    /// Encodes the error reply.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Fail::Block(block) => block.nothing.encode(out),
            fail => out.error(&fail.to_text()),
        }
    }
}

/// Whether writes fail from now on: what Redis answers with `MISCONF` when its log cannot be written.
fn is_write_failure(error: &pontoon_storage::Error) -> bool {
    use pontoon_storage::Error::{Commit, ReadOnly};
    matches!(error, Commit(_) | ReadOnly(_))
}

impl From<data::Error> for Fail {
    fn from(error: data::Error) -> Self {
        match error {
            data::Error::Storage(error) => Fail::Storage(error),
            other => Fail::Reply(other.to_string().into()),
        }
    }
}

impl From<pontoon_storage::Error> for Fail {
    fn from(error: pontoon_storage::Error) -> Self {
        Fail::Storage(error)
    }
}
