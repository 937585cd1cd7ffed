//! Random elements of a collection whose subkeys begin with a hash, without reading the whole of it.
//!
//! Where many elements are asked for of few, one pass reads them all. Else the hashes are divided into
//! cells of about `CELL_ELEMENTS` each, and a draw chooses a cell and a place in it, of
//! `CELL_PLACES`: if the cell has as many elements, the one at that place is drawn, else the draw is
//! made again. So all elements are drawn alike, whatever the gaps between their hashes: exactly so
//! as long as no cell has more elements than places, which one cell of 10^10 has by chance. Whoever
//! chooses members for their hashes can fill a cell; what is beyond its places is then not drawn, and
//! if nearly all is in few cells, draws give up and take what is next to a random hash.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use pontoon_storage::KeyRange;
use pontoon_storage::engine::PageLimit;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::collection::{Collection, ELEMENTS_PAGE, Element, narrow};
use super::encoding::hashed;
use super::error::Result;
use super::reader::DbReader;

/// How many elements a cell has on average.
const CELL_ELEMENTS: u64 = 16;

/// How many places a draw chooses from in a cell, so that one of three finds an element.
const CELL_PLACES: u64 = 48;

/// About how many elements a draw reads: below so many times the number asked for, the elements are
/// read whole.
const DRAW_READS: u64 = 48;

/// How often a draw is made again. By chance, it never comes to it.
const TRIES_MAX: u32 = 128;

/// Draws, for each element asked for, that find only elements drawn before.
const REPEATS_MAX: u64 = 8;

/// About how many elements it takes to choose `count` of `size`, for those who ask first.
pub fn cost(size: u64, count: u64) -> u64 {
    size.min(count.saturating_mul(DRAW_READS))
}

/// Chooses elements of a collection at random.
#[derive(Debug)]
pub struct Sampler<'c> {
    collection: &'c Collection,
    prefix: Bytes,
    rng: SmallRng,
}

impl<'c> Sampler<'c> {
    /// For those elements of `collection` whose subkeys begin with `prefix`, a hash behind it. The size of
    /// the collection is their number.
    pub fn new(collection: &'c Collection, prefix: &'static [u8]) -> Self {
        Self::seeded(collection, prefix, RandomState::new().hash_one(0))
    }

    /// The same, with choices that follow from `seed`.
    pub fn seeded(collection: &'c Collection, prefix: &'static [u8], seed: u64) -> Self {
        let prefix = Bytes::from_static(prefix);
        Self { collection, prefix, rng: SmallRng::seed_from_u64(seed) }
    }

    /// One element; `None` if there is none.
    ///
    /// # Errors
    /// The storage's.
    pub fn one(&mut self, db: &mut DbReader<'_>) -> Result<Option<Element>> {
        Ok(self.distinct(db, 1)?.pop())
    }

    /// `count` elements, each once, or all of them if there are no more. Their order is not random.
    ///
    /// # Errors
    /// The storage's.
    pub fn distinct(&mut self, db: &mut DbReader<'_>, count: u64) -> Result<Vec<Element>> {
        let mut chosen = Vec::new();
        if count == 0 || self.collection.size() == 0 {
            return Ok(chosen);
        }
        if self.is_read_whole(count) {
            return self.distinct_of_whole(db, count);
        }
        let mut seen = HashSet::new();
        for _ in 0..count.saturating_mul(REPEATS_MAX) {
            let Some(element) = self.draw(db)? else { break };
            if seen.insert(element.0.clone()) {
                chosen.push(element);
            }
            if chosen.len() as u64 == count {
                return Ok(chosen);
            }
        }
        self.take_next(db, &mut seen, |element| {
            chosen.push(element);
            (chosen.len() as u64) < count
        })?;
        Ok(chosen)
    }

    /// `count` elements, each chosen from all of them, in random order; none if there is none. The caller
    /// bounds the count.
    ///
    /// # Errors
    /// The storage's.
    pub fn repeated(&mut self, db: &mut DbReader<'_>, count: u64) -> Result<Vec<Element>> {
        let mut chosen = Vec::new();
        if count == 0 || self.collection.size() == 0 {
            return Ok(chosen);
        }
        if self.is_read_whole(count) {
            return self.repeated_of_whole(db, count);
        }
        while (chosen.len() as u64) < count {
            match self.draw(db)? {
                Some(element) => chosen.push(element),
                None => {
                    let before = chosen.len();
                    self.take_next(db, &mut HashSet::new(), |element| {
                        chosen.push(element);
                        false
                    })?;
                    if chosen.len() == before {
                        break;
                    }
                }
            }
        }
        Ok(chosen)
    }

    fn is_read_whole(&self, count: u64) -> bool {
        let size = self.collection.size();
        self.collection.is_packed() || cost(size, count) >= size
    }

    fn whole(&self) -> KeyRange {
        hashed::range_from(&self.prefix, 0)
    }

    /// One pass that takes each element with the probability that as many are still to be taken, of those
    /// that are left, have.
    fn distinct_of_whole(&mut self, db: &mut DbReader<'_>, count: u64) -> Result<Vec<Element>> {
        let mut chosen = Vec::new();
        let mut left = self.collection.size();
        let mut wanted = count.min(left);
        let rng = &mut self.rng;
        let range = hashed::range_from(&self.prefix, 0);
        self.collection.for_each(db, range, false, |subkey, value| {
            if wanted >= left || rng.random_range(0..left) < wanted {
                chosen.push((subkey, value));
                wanted -= 1;
            }
            left = left.saturating_sub(1);
            Ok(wanted > 0)
        })?;
        Ok(chosen)
    }

    /// One pass that takes what is at places chosen before, each as often as it was chosen.
    fn repeated_of_whole(&mut self, db: &mut DbReader<'_>, count: u64) -> Result<Vec<Element>> {
        let size = self.collection.size().max(1);
        let mut places: Vec<u64> = (0..count).map(|_| self.rng.random_range(0..size)).collect();
        places.sort_unstable();
        let mut places = places.into_iter().peekable();
        let mut chosen = Vec::new();
        let mut place = 0;
        self.collection.for_each(db, self.whole(), false, |subkey, value| {
            while places.next_if_eq(&place).is_some() {
                chosen.push((subkey.clone(), value.clone()));
            }
            place += 1;
            Ok(places.peek().is_some())
        })?;
        chosen.shuffle(&mut self.rng);
        Ok(chosen)
    }

    /// One element, or `None` if too many tries found nothing.
    fn draw(&mut self, db: &mut DbReader<'_>) -> Result<Option<Element>> {
        let cells = self.collection.size().div_ceil(CELL_ELEMENTS).max(1);
        for _ in 0..TRIES_MAX {
            let cell = self.rng.random_range(0..cells);
            let place = self.rng.random_range(0..CELL_PLACES) as usize;
            let range =
                hashed::range(&self.prefix, cell_start(cell, cells), cell_start(cell + 1, cells));
            if let Some(element) = self.element_at(db, range, place)? {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    /// The element at `place` in `range`, counted from 0.
    fn element_at(
        &self,
        db: &mut DbReader<'_>,
        range: KeyRange,
        place: usize,
    ) -> Result<Option<Element>> {
        let mut rest = range;
        let mut wanted = place + 1;
        loop {
            // It is full before that if the values are large.
            let limit = PageLimit { entries: wanted, ..ELEMENTS_PAGE };
            let mut page = self.collection.page(db, &rest, false, limit)?;
            let Some(last) = page.entries.pop() else { return Ok(None) };
            wanted = wanted.saturating_sub(page.entries.len() + 1);
            if wanted == 0 {
                return Ok(Some(last));
            }
            if !page.more {
                return Ok(None);
            }
            narrow(&mut rest, &last.0, false);
        }
    }

    /// Those behind a random hash, and then from the first one on, that are not `seen`, until `take`
    /// returns `false`.
    fn take_next(
        &mut self,
        db: &mut DbReader<'_>,
        seen: &mut HashSet<Bytes>,
        mut take: impl FnMut(Element) -> bool,
    ) -> Result<()> {
        let start = self.rng.random_range(0..hashed::HASHES);
        let mut more = true;
        for range in
            [hashed::range_from(&self.prefix, start), hashed::range(&self.prefix, 0, start)]
        {
            if more {
                self.collection.for_each(db, range, false, |subkey, value| {
                    if seen.insert(subkey.clone()) {
                        more = take((subkey, value));
                    }
                    Ok(more)
                })?;
            }
        }
        Ok(())
    }
}

/// The first hash of a cell.
fn cell_start(cell: u64, cells: u64) -> u64 {
    let start = u128::from(cell) * u128::from(hashed::HASHES) / u128::from(cells.max(1));
    u64::try_from(start).unwrap_or(hashed::HASHES)
}
