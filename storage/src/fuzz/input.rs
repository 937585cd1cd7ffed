//! Any bytes, read as keys, ranges and choices. When they are used up, everything is 0.

use bytes::Bytes;

use crate::engine::PageLimit;
use crate::range::KeyRange;

/// Few, and the ends of what a byte can be, so that keys and ranges meet.
const LETTERS: [u8; 4] = [0, b'a', b'b', 0xff];

pub(super) struct Input<'d>(pub(super) &'d [u8]);

impl Input<'_> {
    pub(super) fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        byte
    }

    /// A number below `n`, which is at most 256.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// Up to three of few letters as a rule, else any bytes.
    pub(super) fn key(&mut self) -> Bytes {
        let shape = self.byte();
        match shape >> 6 {
            len @ 0..3 => (0..len).map(|at| LETTERS[usize::from(shape >> (2 * at)) & 3]).collect(),
            _ => self.bytes(usize::from(shape & 15)),
        }
    }

    pub(super) fn bytes(&mut self, len: usize) -> Bytes {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        Bytes::copy_from_slice(bytes)
    }

    /// Reversed and empty ones, too.
    pub(super) fn range(&mut self) -> KeyRange {
        match self.below(8) {
            0 => KeyRange::ALL,
            1 => KeyRange::new(self.key(), None),
            2 => KeyRange::new("", Some(self.key())),
            3 => KeyRange::prefix(self.key()),
            _ => KeyRange::new(self.key(), Some(self.key())),
        }
    }

    pub(super) fn limit(&mut self) -> PageLimit {
        match self.below(3) {
            0 => PageLimit { entries: self.below(4), bytes: usize::MAX },
            1 => PageLimit { entries: usize::MAX, bytes: self.below(16) },
            _ => PageLimit { entries: usize::MAX, bytes: usize::MAX },
        }
    }
}
