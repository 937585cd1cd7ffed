//! Requests out of a byte stream, wherever the network cut it.

use std::mem;
use std::ops::Range;

use bytes::{Buf, BytesMut};
use memchr::memchr;

use super::inline;
use super::number::parse_integer;
use super::{Args, Limits, ProtocolError};

/// An argument from this many bytes on that has not arrived whole gets the input buffer to itself,
/// so that it is never copied to reach a boundary of its own (Redis's `PROTO_MBULK_BIG_ARG`).
pub const BIG_BULK_BYTES: usize = 32 << 10;

/// Spans kept allocated between requests.
const SPANS_KEPT_MAX: usize = 64;

/// An incremental decoder of requests: arrays of bulk strings, and inline commands.
///
/// It remembers how far it got, so bytes are looked at once, however many reads they took. It
/// allocates for bytes received and never for a length that was only announced. Arguments share
/// the input buffer's memory rather than copy it.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    authenticated: bool,
    state: State,
    /// Bytes of the input that belong to the request under way and are understood.
    position: usize,
    /// Bytes behind `position` that are known to hold no line end.
    scanned: usize,
    /// Where in the input the arguments found so far are.
    spans: Vec<Range<usize>>,
    /// Arguments already taken out of the input; they precede those of `spans`.
    args: Args,
    /// The lengths announced by the request under way, added up.
    request_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Between two requests.
    Start,
    /// Before the `$` line of an argument, with this many arguments to come.
    Length { left: usize },
    /// Before the `len` bytes of an argument, with this many to come, this one among them.
    Bulk { left: usize, len: usize },
}

impl Decoder {
    /// A decoder at the start of a stream, for a client that need not authenticate.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            authenticated: true,
            state: State::Start,
            position: 0,
            scanned: 0,
            spans: Vec::new(),
            args: Args::new(),
            request_bytes: 0,
        }
    }

    /// Says whether the client is authenticated: until it is, the narrower limits hold.
    pub fn set_authenticated(&mut self, authenticated: bool) {
        self.authenticated = authenticated;
    }

    /// Sets what requests may measure from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The next request of `input`, taken out of it; `None` when more bytes are needed. Between two
    /// calls the caller only appends to `input`. Empty requests are skipped.
    ///
    /// # Errors
    /// [`ProtocolError`]: the stream cannot be followed further, and the decoder must not be used
    /// again.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Args>, ProtocolError> {
        loop {
            match self.state {
                State::Start => match input.first() {
                    None => return Ok(None),
                    Some(b'*') => {
                        let Some(left) = self.multibulk_length(input)? else { return Ok(None) };
                        if left == 0 {
                            self.skip(input);
                        } else {
                            self.state = State::Length { left };
                        }
                    }
                    Some(_) => {
                        let Some(args) = self.inline(input)? else { return Ok(None) };
                        if !args.is_empty() {
                            return Ok(Some(args));
                        }
                    }
                },
                State::Length { left } => {
                    let Some(len) = self.bulk_length(input)? else { return Ok(None) };
                    self.state = State::Bulk { left, len };
                }
                State::Bulk { left, len } => {
                    if !self.bulk(input, len) {
                        return Ok(None);
                    }
                    if left > 1 {
                        self.state = State::Length { left: left - 1 };
                    } else {
                        return Ok(Some(self.finish(input)));
                    }
                }
            }
        }
    }

    /// How many bytes the argument under way lacks when the input holds `buffered` bytes; 0 when
    /// its length is not known yet. For sizing a read, not for reserving all of it: the client has
    /// only announced them.
    pub fn missing_bytes(&self, buffered: usize) -> usize {
        match self.state {
            State::Bulk { len, .. } => (self.position + len + 2).saturating_sub(buffered),
            State::Start | State::Length { .. } => 0,
        }
    }

    fn multibulk_length(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(input, ProtocolError::MultibulkLineTooBig)? else {
            return Ok(None);
        };
        let digits = line.get(1..).unwrap_or_default();
        let announced = parse_integer(digits).ok_or(ProtocolError::InvalidMultibulkLength)?;
        // A negative count is an empty request, as for Redis.
        let count = usize::try_from(announced.max(0))
            .ok()
            .filter(|&count| count <= self.limits.args_max)
            .ok_or(ProtocolError::InvalidMultibulkLength)?;
        if !self.authenticated && count > self.limits.unauthenticated_args_max {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        Ok(Some(count))
    }

    fn bulk_length(&mut self, input: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(input, ProtocolError::BulkLineTooBig)? else {
            return Ok(None);
        };
        let digits = match line.split_first() {
            Some((b'$', digits)) => digits,
            // An empty line: what stands there is its end.
            other => {
                return Err(ProtocolError::ExpectedDollar(other.map_or(b'\r', |(got, _)| *got)));
            }
        };
        let len = parse_integer(digits)
            .and_then(|len| usize::try_from(len).ok())
            .filter(|&len| len <= self.limits.bulk_bytes_max)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        if !self.authenticated && len > self.limits.unauthenticated_bulk_bytes_max {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        self.request_bytes += len;
        if self.request_bytes > self.limits.buffered_bytes_max {
            return Err(ProtocolError::RequestTooBig);
        }
        Ok(Some(len))
    }

    /// Takes note of an argument of `len` bytes if it is there whole.
    fn bulk(&mut self, input: &mut BytesMut, len: usize) -> bool {
        let big = len >= BIG_BULK_BYTES;
        if input.len() < self.position + len + 2 {
            if big && self.position > 0 {
                self.take_spans(input);
            }
            return false;
        }
        if big && self.position == 0 {
            self.args.push(input.split_to(len).freeze());
            input.advance(2);
        } else {
            let end = self.position + len;
            self.spans.push(self.position..end);
            self.position = end + 2;
        }
        true
    }

    fn finish(&mut self, input: &mut BytesMut) -> Args {
        self.take_spans(input);
        if self.spans.capacity() > SPANS_KEPT_MAX {
            self.spans = Vec::new();
        }
        self.state = State::Start;
        self.request_bytes = 0;
        mem::take(&mut self.args)
    }

    /// Moves what is understood out of `input`, and the arguments in it to `args`.
    fn take_spans(&mut self, input: &mut BytesMut) {
        let understood = input.split_to(self.position).freeze();
        self.position = 0;
        self.args.reserve(self.spans.len());
        self.args.extend(self.spans.drain(..).map(|span| understood.slice(span)));
    }

    fn skip(&mut self, input: &mut BytesMut) {
        input.advance(self.position);
        self.position = 0;
    }

    /// The line at `position` without its end, which need not be CR LF to the letter: like Redis,
    /// the byte after CR is not looked at.
    fn line<'i>(
        &mut self,
        input: &'i [u8],
        too_big: ProtocolError,
    ) -> Result<Option<&'i [u8]>, ProtocolError> {
        let rest = input.get(self.position..).unwrap_or_default();
        let Some(end) = self.find(rest, b'\r').map_err(|()| too_big)? else { return Ok(None) };
        if rest.len() < end + 2 {
            self.scanned = end;
            return Ok(None);
        }
        self.scanned = 0;
        self.position += end + 2;
        Ok(rest.get(..end))
    }

    fn inline(&mut self, input: &mut BytesMut) -> Result<Option<Args>, ProtocolError> {
        let found = self.find(input, b'\n').map_err(|()| ProtocolError::InlineTooBig)?;
        let Some(end) = found else { return Ok(None) };
        self.scanned = 0;
        let line = input.split_to(end + 1);
        let line = line.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split_args(line).map(Some).ok_or(ProtocolError::UnbalancedQuotes)
    }

    /// Where `end` first stands in `rest`, of which `scanned` bytes were searched before; an error
    /// when a line's limit passed without it.
    fn find(&mut self, rest: &[u8], end: u8) -> Result<Option<usize>, ()> {
        let window = rest.get(..=self.limits.inline_bytes_max).unwrap_or(rest);
        let unseen = window.get(self.scanned..).unwrap_or_default();
        match memchr(end, unseen) {
            Some(at) => Ok(Some(self.scanned + at)),
            None if rest.len() > self.limits.inline_bytes_max => Err(()),
            None => {
                self.scanned = window.len();
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
