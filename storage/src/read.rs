//! Reading: one trait for what a view, a snapshot inside a closure and a transaction have in common.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use crate::engine::{Page, PageLimit};
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::range::KeyRange;

/// Consistent reading inside a closure: implemented by [`View`](crate::View) and
/// [`Transaction`](crate::Transaction), so that one function serves both.
pub trait Reader {
    /// The value of `key`.
    ///
    /// # Errors
    /// [`Error::Engine`](crate::Error::Engine) or [`Error::Corrupted`](crate::Error::Corrupted);
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a keyspace of another store.
    fn get(&self, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>>;

    /// The values of `keys`, in their order: one batch to the engine where that is faster.
    ///
    /// # Errors
    /// As for [`get`](Reader::get).
    fn get_many(&self, keyspace: &Keyspace, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>>;

    /// The first entries of `range`, from its start or, if `reverse`, from its end, up to `limit`.
    ///
    /// # Errors
    /// As for [`get`](Reader::get).
    fn page(
        &self,
        keyspace: &Keyspace,
        range: &KeyRange,
        reverse: bool,
        limit: PageLimit,
    ) -> Result<Page>;

    /// Whether `key` is there.
    ///
    /// # Errors
    /// As for [`get`](Reader::get).
    fn contains(&self, keyspace: &Keyspace, key: &[u8]) -> Result<bool> {
        Ok(self.get(keyspace, key)?.is_some())
    }

    /// The entries of `range` in key order, or, if `options` say so, in reverse: an iterator that
    /// reads page by page, so that its memory is bounded whatever the range.
    fn scan(
        &self,
        keyspace: &Keyspace,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Entries<'_>
    where
        Self: Sized,
    {
        Entries::new(self, keyspace, range, options)
    }
}

/// How a scan goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanOptions {
    /// From the last key to the first.
    pub reverse: bool,
    /// How much one page holds: bounds the memory a scan takes.
    pub page: PageLimit,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self { reverse: false, page: PageLimit { entries: 256, bytes: 256 << 10 } }
    }
}

impl ScanOptions {
    /// The default, from the last key to the first.
    pub fn reversed() -> Self {
        Self { reverse: true, ..Self::default() }
    }
}

/// The entries of a range: see [`Reader::scan`]. After an error it ends.
pub struct Entries<'r> {
    reader: &'r dyn Reader,
    keyspace: Keyspace,
    rest: Option<KeyRange>,
    options: ScanOptions,
    page: VecDeque<(Bytes, Bytes)>,
}

impl<'r> Entries<'r> {
    /// What [`Reader::scan`] gives, for a reader that is a `dyn Reader`.
    pub fn new(
        reader: &'r dyn Reader,
        keyspace: &Keyspace,
        range: impl Into<KeyRange>,
        options: ScanOptions,
    ) -> Self {
        let (keyspace, rest) = (keyspace.clone(), Some(range.into()));
        Self { reader, keyspace, rest, options, page: VecDeque::new() }
    }
}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.page.pop_front() {
            return Some(Ok(entry));
        }
        let range = self.rest.take()?;
        let ScanOptions { reverse, page: limit } = self.options;
        match self.reader.page(&self.keyspace, &range, reverse, limit) {
            Ok(page) => {
                self.rest = rest_after(range, reverse, &page);
                self.page = page.entries.into();
                self.page.pop_front().map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// What of `range` is left behind `page`; `None` when nothing is.
pub(crate) fn rest_after(range: KeyRange, reverse: bool, page: &Page) -> Option<KeyRange> {
    let (last, _) = page.entries.last().filter(|_| page.more)?;
    Some(if reverse {
        KeyRange { start: range.start, end: Some(last.clone()) }
    } else {
        KeyRange { start: crate::range::successor(last), end: range.end }
    })
}
