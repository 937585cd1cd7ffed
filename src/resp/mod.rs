//! RESP, the Redis serialization protocol: requests in, replies out.
//!
//! A [`Decoder`] turns received bytes into requests, however the network cut them; an [`Encoder`]
//! turns replies into chunks ready for a vectored write, in RESP2 or RESP3. Neither knows a socket,
//! a command or the store.
//!
//! The format is that of <https://redis.io/docs/latest/develop/reference/protocol-spec/>; limits
//! and error texts are those of Redis 7.0, but for the number of arguments: see [`Limits`].
//!
//! ```
//! use bytes::BytesMut;
//! use pontoon::resp::{Decoder, Encoder, Limits, Protocol};
//!
//! let mut received = BytesMut::from("*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n");
//! let request = Decoder::new(Limits::default()).decode(&mut received).unwrap().unwrap();
//! let mut reply = Encoder::new(Protocol::Resp2);
//! reply.bulk(&request[1]);
//! assert_eq!(reply.into_chunks().next().unwrap(), "$2\r\nhi\r\n");
//! ```

mod decode;
mod encode;
mod inline;
mod number;

pub use decode::{BIG_BULK_BYTES, Decoder};
pub use encode::{Encoder, Mark, SHARED_BYTES_MIN};
pub use number::{format_double, parse_double, parse_double_leniently, parse_integer};

use std::fmt;

use bytes::Bytes;

/// A request: the command's name as it was sent, then its arguments. Never empty.
pub type Args = Vec<Bytes>;

/// The protocol version a connection speaks; `HELLO` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// With maps, sets, doubles, booleans and pushes of their own.
    Resp3,
}

impl Protocol {
    /// The number `HELLO` knows it by.
    pub fn version(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// What a request may measure. The defaults are Redis's, except for `args_max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// Arguments of one request, the command's name among them. By default 1,048,576, which Redis had
    /// up to 6.2; 7.0 allows 2^31 - 1, whose bookkeeping alone would take gigabytes.
    pub args_max: usize,
    /// Bytes of an inline request, and of any line that announces a length.
    pub inline_bytes_max: usize,
    /// Bytes of one request altogether (`client-query-buffer-limit`).
    pub buffered_bytes_max: usize,
    /// Bytes of one argument before the client has authenticated.
    pub unauthenticated_bulk_bytes_max: usize,
    /// Arguments of one request before the client has authenticated.
    pub unauthenticated_args_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: 512 << 20,
            args_max: 1 << 20,
            inline_bytes_max: 64 << 10,
            buffered_bytes_max: 1 << 30,
            unauthenticated_bulk_bytes_max: 16 << 10,
            unauthenticated_args_max: 10,
        }
    }
}

/// What is wrong with a request. The stream cannot be followed any further: answer with this text
/// behind `ERR ` and close. The texts are Redis's where Redis has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The number of arguments is no number, or is over the limit.
    InvalidMultibulkLength,
    /// Too many arguments for a client that has not authenticated.
    UnauthenticatedMultibulkLength,
    /// The line with the number of arguments does not end.
    MultibulkLineTooBig,
    /// An argument's length is no number, is negative, or is over the limit.
    InvalidBulkLength,
    /// Too long an argument for a client that has not authenticated.
    UnauthenticatedBulkLength,
    /// The line with an argument's length does not end.
    BulkLineTooBig,
    /// An argument does not begin with `$` but with this byte.
    ExpectedDollar(u8),
    /// An inline request is over the limit.
    InlineTooBig,
    /// An inline request ends inside quotes, or has something glued to a closing quote.
    UnbalancedQuotes,
    /// The arguments of one request together are over the limit.
    RequestTooBig,
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protocol error: ")?;
        match self {
            Self::InvalidMultibulkLength => f.write_str("invalid multibulk length"),
            Self::UnauthenticatedMultibulkLength => f.write_str("unauthenticated multibulk length"),
            Self::MultibulkLineTooBig => f.write_str("too big mbulk count string"),
            Self::InvalidBulkLength => f.write_str("invalid bulk length"),
            Self::UnauthenticatedBulkLength => f.write_str("unauthenticated bulk length"),
            Self::BulkLineTooBig => f.write_str("too big bulk count string"),
            Self::ExpectedDollar(got) if got.is_ascii_graphic() => {
                write!(f, "expected '$', got '{}'", char::from(*got))
            }
            // An error reply is one line, so line ends become blanks, as in Redis.
            Self::ExpectedDollar(b' ' | b'\r' | b'\n') => f.write_str("expected '$', got ' '"),
            Self::ExpectedDollar(got) => {
                write!(f, "expected '$', got '{}'", got.escape_ascii())
            }
            Self::InlineTooBig => f.write_str("too big inline request"),
            Self::UnbalancedQuotes => f.write_str("unbalanced quotes in request"),
            Self::RequestTooBig => f.write_str("too big request"),
        }
    }
}

impl std::error::Error for ProtocolError {}
