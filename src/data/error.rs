//! What can be wrong with an operation on values.

use std::fmt;

use super::encoding::{KEY_BYTES_MAX, MEMBER_BYTES_MAX};

/// The result of operations on values.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation on a value failed. The texts are error replies: Redis's own where it has one.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Error {
    /// The key holds a value of another type.
    WrongType,
    /// The string would be longer than [`string::BYTES_MAX`](super::string::BYTES_MAX).
    StringTooLong,
    /// The key is longer than [`KEY_BYTES_MAX`].
    KeyTooLong,
    /// A member or a field is longer than [`MEMBER_BYTES_MAX`].
    MemberTooLong,
    /// A change in the middle of a list would move more than
    /// [`MOVED_BYTES_MAX`](super::list::MOVED_BYTES_MAX).
    TooManyMoved,
    /// The storage failed.
    Storage(pontoon_storage::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::WrongType => {
                f.write_str("WRONGTYPE Operation against a key holding the wrong kind of value")
            }
            Error::StringTooLong => {
                f.write_str("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
            }
            Error::KeyTooLong => {
                write!(f, "ERR key exceeds maximum allowed size ({KEY_BYTES_MAX} bytes)")
            }
            Error::MemberTooLong => write!(
                f,
                "ERR member or field exceeds maximum allowed size ({MEMBER_BYTES_MAX} bytes)"
            ),
            Error::TooManyMoved => {
                f.write_str("ERR the list is too long to be changed in its middle")
            }
            Error::Storage(error) => write!(f, "ERR {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Storage(error) => Some(error),
            _ => None,
        }
    }
}

impl From<pontoon_storage::Error> for Error {
    fn from(error: pontoon_storage::Error) -> Self {
        Error::Storage(error)
    }
}
