//! Why a command has no ordinary reply.

use std::borrow::Cow;

use crate::data;
use crate::resp::Encoder;

/// A command's failure: an error reply. What the command wrote is undone.
#[derive(Debug, Clone)]
pub enum Fail {
    /// The text of the error reply, its code (`ERR`, `WRONGTYPE`, …) first.
    Reply(Cow<'static, str>),
    /// The storage failed.
    Storage(pontoon_storage::Error),
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

    /// An expiry out of range in the command of this name.
    pub fn expire_time(name: &str) -> Fail {
        Fail::Reply(format!("ERR invalid expire time in '{name}' command").into())
    }

    /// Encodes the error reply.
    pub fn encode(&self, out: &mut Encoder) {
        match self {
            Fail::Reply(text) => out.error(text),
            Fail::Storage(error) => {
                let code = if is_write_failure(error) { "MISCONF" } else { "ERR" };
                out.error(&format!("{code} {error}"));
            }
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
