//! Replies as chunks of bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::Protocol;
use super::number::format_double;

/// A value from this many bytes on leaves as the shared [`Bytes`] it is; copying a smaller one is
/// cheaper than a chunk of its own.
pub const SHARED_BYTES_MIN: usize = 16 << 10;

/// Writes replies, in the protocol the connection speaks.
///
/// A container is announced with its length and then written element by element. What the caller
/// announces it must write: nothing here checks it.
#[derive(Debug, Default)]
pub struct Encoder {
    protocol: Protocol,
    /// What is complete; never an empty chunk.
    chunks: Vec<Bytes>,
    /// Bytes in `chunks`.
    chunks_bytes: usize,
    /// What follows `chunks`.
    tail: BytesMut,
}

/// A point in an encoder's output to come back to: see [`Encoder::truncate_to`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    chunks: usize,
    chunks_bytes: usize,
    tail: usize,
}

impl Encoder {
    /// An empty one. It allocates with its first reply.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, ..Self::default() }
    }

    /// Adds what is encoded already.
    pub fn encoded(&mut self, bytes: Bytes) {
        if bytes.len() < SHARED_BYTES_MIN {
            return self.tail.extend_from_slice(&bytes);
        }
        self.end_tail();
        self.chunks_bytes += bytes.len();
        self.chunks.push(bytes);
    }

    /// All of it as one piece, for those who are sent the same.
    pub fn into_bytes(mut self) -> Bytes {
        self.end_tail();
        match self.chunks.len() {
            0 | 1 => self.chunks.pop().unwrap_or_default(),
            _ => self.chunks.concat().into(),
        }
    }

    /// The protocol it writes.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Writes in `protocol` from now on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// A status such as `PONG`: a short line of text.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// The status `OK`.
    pub fn ok(&mut self) {
        self.tail.extend_from_slice(b"+OK\r\n");
    }

    /// An error: its code and its text, such as `ERR syntax error`. Line ends in it become blanks.
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text);
    }

    /// An integer.
    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A string of bytes, copied.
    pub fn bulk(&mut self, value: &[u8]) {
        self.length(b'$', value.len());
        self.tail.extend_from_slice(value);
        self.line_end();
    }

    /// A string of bytes; a large one is shared rather than copied.
    pub fn bulk_bytes(&mut self, value: Bytes) {
        if value.len() < SHARED_BYTES_MIN {
            return self.bulk(&value);
        }
        self.length(b'$', value.len());
        self.end_tail();
        self.chunks_bytes += value.len();
        self.chunks.push(value);
        self.line_end();
    }

    /// No value.
    pub fn null(&mut self) {
        self.tail.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No value where an array would stand.
    pub fn null_array(&mut self) {
        self.tail.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Begins an array of `len` elements.
    pub fn array(&mut self, len: usize) {
        self.length(b'*', len);
    }

    /// Begins a map of `len` keys, each followed by its value; in RESP2 an array twice as long.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.length(b'*', len.saturating_mul(2)),
            Protocol::Resp3 => self.length(b'%', len),
        }
    }

    /// Begins a set of `len` elements; in RESP2 an array.
    pub fn set(&mut self, len: usize) {
        self.resp3_length(b'~', len);
    }

    /// Begins a message of `len` elements that nobody asked for; in RESP2 an array.
    pub fn push(&mut self, len: usize) {
        self.resp3_length(b'>', len);
    }

    /// Begins what is said about the next reply besides: `len` keys, each followed by its value. Only
    /// for RESP3.
    pub fn attributes(&mut self, len: usize) {
        self.length(b'|', len);
    }

    /// A floating point number; in RESP2 a bulk string of the same digits.
    pub fn double(&mut self, number: f64) {
        let text = format_double(number);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', &text),
        }
    }

    /// A truth value; in RESP2 the integer 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.tail.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    /// Text for people, of a `kind` of three letters: `txt` or `mkd`; in RESP2 a bulk string.
    pub fn verbatim(&mut self, kind: &str, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.length(b'=', kind.len() + 1 + text.len());
                self.tail.extend_from_slice(kind.as_bytes());
                self.tail.put_u8(b':');
                self.tail.extend_from_slice(text);
                self.line_end();
            }
        }
    }

    /// An integer of any size, in decimal; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    /// Bytes written so far, those of shared values among them.
    pub fn len_bytes(&self) -> usize {
        self.chunks_bytes + self.tail.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.len_bytes() == 0
    }

    /// Bytes it holds memory for, shared values aside.
    pub fn capacity(&self) -> usize {
        self.tail.capacity() + self.chunks.capacity() * size_of::<Bytes>()
    }

    /// Where the output ends now.
    pub fn mark(&self) -> Mark {
        Mark { chunks: self.chunks.len(), chunks_bytes: self.chunks_bytes, tail: self.tail.len() }
    }

    /// Takes back what was written since `mark` was taken, so that the partial reply of a command
    /// that failed never leaves. Marks taken later become meaningless; earlier ones stay good.
    pub fn truncate_to(&mut self, mark: Mark) {
        if self.chunks.len() <= mark.chunks {
            self.tail.truncate(mark.tail);
            return;
        }
        // What was the tail at the mark begins the first chunk after it.
        self.tail.clear();
        self.chunks.truncate(mark.chunks + 1);
        if let Some(last) = self.chunks.last_mut() {
            last.truncate(mark.tail);
        }
        if mark.tail == 0 {
            self.chunks.pop();
        }
        self.chunks_bytes = mark.chunks_bytes + mark.tail;
    }

    /// Writes behind this the replies of `other`.
    pub fn append(&mut self, other: Encoder) {
        if self.is_empty() {
            *self = Encoder { protocol: self.protocol, ..other };
            return;
        }
        if other.chunks.is_empty() && other.tail.len() < SHARED_BYTES_MIN {
            self.tail.extend_from_slice(&other.tail);
            return;
        }
        self.end_tail();
        self.chunks_bytes += other.chunks_bytes;
        self.chunks.extend(other.chunks);
        self.tail = other.tail;
    }

    /// The output, in order: what a vectored write sends. No chunk is empty.
    pub fn into_chunks(mut self) -> std::vec::IntoIter<Bytes> {
        self.end_tail();
        self.chunks.into_iter()
    }

    /// All replies, if none of them is shared with others.
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.chunks.is_empty().then_some(&self.tail)
    }

    fn resp3_length(&mut self, kind: u8, len: usize) {
        self.length(if self.protocol == Protocol::Resp3 { kind } else { b'*' }, len);
    }

    fn length(&mut self, kind: u8, len: usize) {
        self.header(kind, i64::try_from(len).unwrap_or(i64::MAX));
    }

    fn header(&mut self, kind: u8, number: i64) {
        self.tail.put_u8(kind);
        self.tail.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.line_end();
    }

    fn line(&mut self, kind: u8, text: &str) {
        self.tail.put_u8(kind);
        if text.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
            let one_line = text.replace(['\r', '\n'], " ");
            self.tail.extend_from_slice(one_line.as_bytes());
        } else {
            self.tail.extend_from_slice(text.as_bytes());
        }
        self.line_end();
    }

    fn line_end(&mut self) {
        self.tail.extend_from_slice(b"\r\n");
    }

    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks_bytes += self.tail.len();
            self.chunks.push(self.tail.split().freeze());
        }
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
