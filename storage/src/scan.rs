//! Scans: a range as a stream, read page by page from one snapshot.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use crate::engine::Page;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::options::ReadLane;
use crate::range::KeyRange;
use crate::read::{ScanOptions, rest_after};
use crate::snapshot::Snapshot;
use crate::store::Store;

/// A page, and the snapshot for what is behind it, which may be nothing.
type Read = Pin<Box<dyn Future<Output = Result<(Option<Snapshot>, Page)>> + Send>>;

/// The entries of a range in key order, or in reverse: a [`Stream`] over one snapshot, which it takes
/// when it is first polled.
///
/// It holds one page at a time (see [`ScanOptions::page`]), so that its memory is bounded whatever
/// the range. The first page goes through the read lane, those after it through the background
/// lane, unless [`Store::with_lane`] chose one for all; a deadline of the store's holds for each
/// page. After an error it ends. It lets its snapshot go with the last page, or when dropped, and
/// blocks nothing.
#[must_use = "streams do nothing unless polled"]
pub struct Scan {
    from: From,
    keyspace: Keyspace,
    rest: Option<KeyRange>,
    options: ScanOptions,
    page: VecDeque<(Bytes, Bytes)>,
    read: Option<Read>,
}

/// Where the next page comes from.
enum From {
    Start(Store),
    Snapshot(Snapshot),
    /// Nowhere: what is left is in the page at hand.
    Ended,
}

impl Scan {
    pub(crate) fn new(
        store: Store,
        keyspace: Keyspace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Self {
        Self::over(From::Start(store), keyspace, range, options)
    }

    pub(crate) fn of_snapshot(
        snapshot: Snapshot,
        keyspace: Keyspace,
        range: KeyRange,
        options: ScanOptions,
    ) -> Self {
        Self::over(From::Snapshot(snapshot), keyspace, range, options)
    }

    fn over(from: From, keyspace: Keyspace, range: KeyRange, options: ScanOptions) -> Self {
        let rest = Some(range).filter(|range| !range.is_empty());
        Self { from, keyspace, rest, options, page: VecDeque::new(), read: None }
    }

    /// The read of the page that begins `range`.
    fn start_read(&self, range: KeyRange) -> Option<Read> {
        let keyspace = self.keyspace.clone();
        let ScanOptions { reverse, page: limit } = self.options;
        match &self.from {
            From::Start(store) => {
                let store = store.clone();
                Some(Box::pin(async move {
                    store.snapshot_with_page(keyspace, range, reverse, limit).await
                }))
            }
            From::Snapshot(snapshot) => {
                let snapshot = snapshot.clone();
                Some(Box::pin(async move {
                    let page = snapshot.page(keyspace, range, reverse, limit).await?;
                    Ok((page.more.then_some(snapshot), page))
                }))
            }
            From::Ended => None,
        }
    }
}

impl Stream for Scan {
    type Item = Result<(Bytes, Bytes)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(entry) = self.page.pop_front() {
                return Poll::Ready(Some(Ok(entry)));
            }
            let Some(range) = self.rest.clone() else { return Poll::Ready(None) };
            let Some(mut read) = self.read.take().or_else(|| self.start_read(range.clone())) else {
                return Poll::Ready(None);
            };
            let Poll::Ready(result) = read.as_mut().poll(cx) else {
                self.read = Some(read);
                return Poll::Pending;
            };
            self.rest = None;
            // The snapshot goes as soon as nothing is left to read from it.
            self.from = From::Ended;
            match result {
                Ok((snapshot, page)) => {
                    self.rest = rest_after(range, self.options.reverse, &page);
                    self.page = page.entries.into();
                    self.from = snapshot.map_or(From::Ended, From::Snapshot);
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("keyspace", &self.keyspace).finish_non_exhaustive()
    }
}

/// The lane for the pages behind the first: the caller's choice, else the background.
pub(crate) fn later_lane(chosen: Option<ReadLane>) -> ReadLane {
    chosen.unwrap_or(ReadLane::Background)
}
