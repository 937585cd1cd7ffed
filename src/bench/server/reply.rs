//! Replies as a load generator wants them: counted, not kept.

use std::fmt;

use memchr::memchr;

/// Bytes of a line, such as an error's: a server that sends more speaks something else.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Bytes of a bulk string (`proto-max-bulk-len`).
const BULK_BYTES_MAX: i64 = 512 << 20;

/// Elements of an array.
const ELEMENTS_MAX: i64 = 1 << 32;

/// Digits and sign of a 64-bit number.
const NUMBER_BYTES_MAX: usize = 20;

/// What is kept of an error's text.
const ERROR_TEXT_BYTES_MAX: usize = 200;

/// What a server sent that is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server sent what is no reply of RESP2: {}", self.0)
    }
}

/// Counts the replies in what a connection receives, however it was cut. Format:
/// <https://redis.io/docs/latest/develop/reference/protocol-spec/>, RESP2.
///
/// It keeps nothing of them but the first error's text, and nested arrays need no stack: an array
/// is one value less to come and its elements more.
#[derive(Debug, Default)]
pub(super) struct Replies {
    state: State,
    /// Values that the reply at hand still lacks; 0 between replies.
    lacking: u64,
    has_error: bool,
    /// Whole replies.
    pub(super) answered: u64,
    /// Those of them that are or contain an error.
    pub(super) errors: u64,
    /// Nulls, in arrays too.
    pub(super) nulls: u64,
    /// Of the first error, as it was sent but for its length.
    pub(super) first_error: Option<String>,
    /// The error's text as far as it is there.
    text: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    /// At the first byte of a value.
    #[default]
    Kind,
    /// In a line of text.
    Line { len: usize, is_error: bool },
    /// In the number behind `:`, `$` or `*`.
    Number { kind: u8, negative: bool, len: usize, value: i64 },
    /// Before the line feed that ends a number.
    NumberEnd { kind: u8, value: i64 },
    /// In a bulk string.
    Bulk { left: usize },
    /// Before the carriage return that ends it.
    BulkEnd,
    /// Before the line feed that ends it.
    BulkEndFeed,
}

impl Replies {
    /// Takes what was received.
    ///
    /// # Errors
    /// When it is no reply: nothing after it can be understood.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Malformed> {
        while let Some((&first, rest)) = bytes.split_first() {
            bytes = match self.state {
                State::Kind => {
                    self.lacking = self.lacking.max(1);
                    self.state = match first {
                        b'+' => State::Line { len: 0, is_error: false },
                        b'-' => State::Line { len: 0, is_error: true },
                        b':' | b'$' | b'*' => {
                            State::Number { kind: first, negative: false, len: 0, value: 0 }
                        }
                        _ => return Err(Malformed("a value of an unknown kind")),
                    };
                    rest
                }
                State::Line { len, is_error } => self.line(bytes, len, is_error)?,
                State::Number { kind, negative, len, value } => {
                    self.state = match first {
                        b'\r' if len > usize::from(negative) => State::NumberEnd { kind, value },
                        b'-' if len == 0 => State::Number { kind, negative: true, len: 1, value },
                        b'0'..=b'9' if len < NUMBER_BYTES_MAX => {
                            let digit = i64::from(first - b'0');
                            let digit = if negative { -digit } else { digit };
                            let value = value.checked_mul(10).and_then(|v| v.checked_add(digit));
                            let value = value.ok_or(Malformed("a number that is too large"))?;
                            State::Number { kind, negative, len: len + 1, value }
                        }
                        _ => return Err(Malformed("a number that is none")),
                    };
                    rest
                }
                State::NumberEnd { kind, value } => {
                    if first != b'\n' {
                        return Err(Malformed("a number without a line end"));
                    }
                    self.number(kind, value)?;
                    rest
                }
                State::Bulk { left } => {
                    let taken = left.min(bytes.len());
                    self.state = match left - taken {
                        0 => State::BulkEnd,
                        left => State::Bulk { left },
                    };
                    bytes.get(taken..).unwrap_or_default()
                }
                State::BulkEnd if first == b'\r' => {
                    self.state = State::BulkEndFeed;
                    rest
                }
                State::BulkEndFeed if first == b'\n' => {
                    self.value();
                    rest
                }
                State::BulkEnd | State::BulkEndFeed => {
                    return Err(Malformed("a bulk string that is longer than it says"));
                }
            };
        }
        Ok(())
    }

    /// Whether nothing of a further reply has come.
    pub(super) fn is_between(&self) -> bool {
        self.lacking == 0
    }

    fn line<'b>(
        &mut self,
        bytes: &'b [u8],
        len: usize,
        is_error: bool,
    ) -> Result<&'b [u8], Malformed> {
        let end = memchr(b'\n', bytes);
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let len = len + line.len();
        if len > LINE_BYTES_MAX {
            return Err(Malformed("a line that is too long"));
        }
        if is_error && self.first_error.is_none() {
            let room = ERROR_TEXT_BYTES_MAX.saturating_sub(self.text.len());
            self.text.extend(line.iter().take(room));
        }
        if end.is_none() {
            self.state = State::Line { len, is_error };
            return Ok(rest);
        }
        if is_error {
            self.has_error = true;
            let text = String::from_utf8_lossy(&self.text).trim_end().to_owned();
            self.first_error.get_or_insert(text);
            self.text = Vec::new();
        }
        self.value();
        Ok(rest.get(1..).unwrap_or_default())
    }

    fn number(&mut self, kind: u8, value: i64) -> Result<(), Malformed> {
        match (kind, value) {
            (b':', _) => self.value(),
            (_, -1) => {
                self.nulls += 1;
                self.value();
            }
            (b'$', 0..=BULK_BYTES_MAX) => {
                let left = usize::try_from(value).unwrap_or_default();
                self.state = if left == 0 { State::BulkEnd } else { State::Bulk { left } };
            }
            (b'*', 0..=ELEMENTS_MAX) => {
                self.lacking = self.lacking.saturating_add(value.unsigned_abs());
                self.value();
            }
            _ => return Err(Malformed("a length out of range")),
        }
        Ok(())
    }

    /// A value is whole, or an array's header is.
    fn value(&mut self) {
        self.state = State::Kind;
        self.lacking -= 1;
        if self.lacking == 0 {
            self.answered += 1;
            self.errors += u64::from(self.has_error);
            self.has_error = false;
        }
    }
}

/// What a whole reply that is a string or a status says; that of an error is the error.
pub(super) fn text(reply: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(reply);
    let (line, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
    match line.split_at_checked(1) {
        Some(("+" | ":", said)) => Ok(said.to_owned()),
        Some(("-", said)) => Err(said.to_owned()),
        Some(("$", _)) => Ok(rest.strip_suffix("\r\n").unwrap_or(rest).to_owned()),
        _ => Err(format!("an unexpected reply: {line}")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Replies, errors, nulls and the first error, the same wherever the bytes are cut.
    #[track_caller]
    fn check(bytes: &[u8], answered: u64, errors: u64, nulls: u64, first_error: Option<&str>) {
        let assert_counts = |replies: &Replies| {
            assert_eq!((replies.answered, replies.errors), (answered, errors));
            assert_eq!((replies.nulls, replies.first_error.as_deref()), (nulls, first_error));
            assert!(replies.is_between());
        };
        for cut in 0..=bytes.len() {
            let mut replies = Replies::default();
            replies.feed(&bytes[..cut]).unwrap();
            replies.feed(&bytes[cut..]).unwrap();
            assert_counts(&replies);
        }
        let mut replies = Replies::default();
        bytes.iter().for_each(|byte| replies.feed(&[*byte]).unwrap());
        assert_counts(&replies);
    }

    #[test]
    fn every_kind_is_counted_wherever_it_is_cut() {
        check(b"+OK\r\n", 1, 0, 0, None);
        check(b"+\r\n+PONG\r\n", 2, 0, 0, None);
        check(b":0\r\n:-17\r\n:9223372036854775807\r\n:-9223372036854775808\r\n", 4, 0, 0, None);
        check(b"$5\r\nhello\r\n$0\r\n\r\n$3\r\n\r\n\n\r\n", 3, 0, 0, None);
        check(b"$-1\r\n*-1\r\n", 2, 0, 2, None);
        check(b"*0\r\n*2\r\n$1\r\n*\r\n$-1\r\n+x\r\n", 3, 0, 1, None);
    }

    #[test]
    fn a_nested_array_is_one_reply() {
        check(b"*3\r\n*2\r\n:1\r\n*0\r\n*1\r\n*1\r\n$1\r\na\r\n+b\r\n:7\r\n", 2, 0, 0, None);
    }

    #[test]
    fn an_error_counts_once_for_its_reply_and_the_first_is_kept() {
        check(b"+a\r\n-ERR one\r\n-ERR two\r\n", 3, 2, 0, Some("ERR one"));
        check(b"*2\r\n-ERR in\r\n-ERR too\r\n+a\r\n", 2, 1, 0, Some("ERR in"));
    }

    #[test]
    fn a_long_error_is_kept_in_part() {
        let mut replies = Replies::default();
        replies.feed(format!("-{}\r\n", "e".repeat(5000)).as_bytes()).unwrap();
        assert_eq!(replies.first_error.unwrap().len(), ERROR_TEXT_BYTES_MAX);
    }

    #[test]
    fn a_reply_in_part_is_not_counted() {
        for whole in [&b"+OK\r\n"[..], b"$3\r\nabc\r\n", b"*2\r\n:1\r\n:2\r\n", b":1\r\n"] {
            for len in 1..whole.len() {
                let mut replies = Replies::default();
                replies.feed(&whole[..len]).unwrap();
                assert_eq!(replies.answered, 0, "{len} of {whole:?}");
                assert!(!replies.is_between());
            }
        }
    }

    #[test]
    fn what_is_no_reply_or_too_large_is_refused() {
        let long = format!("+{}", "x".repeat(LINE_BYTES_MAX + 1));
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b":\r\n",
            b":-\r\n",
            b":1x\r\n",
            b":1\rx",
            b":--1\r\n",
            b":9223372036854775808\r\n",
            b"$536870913\r\n",
            b"$-2\r\n",
            b"*4294967297\r\n",
            b"$1\r\nab\r\n",
            b"$1\r\na\rb",
            long.as_bytes(),
        ] {
            let refused = Replies::default().feed(bytes);
            assert!(refused.is_err(), "{}", bytes[..bytes.len().min(40)].escape_ascii());
        }
    }

    #[test]
    fn texts() {
        assert_eq!(text(b"+PONG\r\n").unwrap(), "PONG");
        assert_eq!(text(b"$8\r\na:1\r\nb:2\r\n").unwrap(), "a:1\r\nb:2");
        assert_eq!(text(b"-NOAUTH no\r\n").unwrap_err(), "NOAUTH no");
        assert!(text(b"*0\r\n").is_err());
    }
}
