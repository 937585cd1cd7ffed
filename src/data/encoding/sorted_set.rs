//! The subkeys and values of sorted sets.
//!
//! Each member has two entries: by its hash and name, with its score; and by its *place*, which is its score
//! in a form of the same order, and its name. A large set's places are divided into segments. One entry, the
//! directory, says where they begin, and others, how many members each has, so that ranks are found without
//! walking over everything before.

use bytes::Bytes;
use pontoon_storage::{Error, KeyRange, Result};

use super::{hashed, numbers, take_u64};

/// The longest start of a segment, in bytes: a score and the first bytes of a member.
pub const SEGMENT_START_BYTES_MAX: usize = 8 + 128;

/// What is before the hash in a member's subkey.
pub const MEMBER_PREFIX: &[u8] = &[0];

const PLACE_MARK: u8 = 1;
const DIRECTORY_MARK: u8 = 2;
const COUNTS_MARK: u8 = 3;

/// Segments whose counts are in one entry: a change of a member rewrites two, and changes of many members in
/// one batch write each but once.
pub const COUNTS_PER_BLOCK: usize = 32;

/// Where the directory of a large set is.
pub const DIRECTORY_SUBKEY: &[u8] = &[DIRECTORY_MARK];

/// A score as an integer of the same order. `-0` is 0; NaN is no score.
pub fn score_order(score: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let bits = if score == 0.0 { 0 } else { score.to_bits() };
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The score of a [`score_order`].
///
/// # Errors
/// [`Error::Corrupted`] if it is no score's.
pub fn score_of_order(order: u64) -> Result<f64> {
    const SIGN: u64 = 1 << 63;
    let score = f64::from_bits(if order & SIGN == 0 { !order } else { order & !SIGN });
    if score.is_nan() { Err(Error::corrupted("a score is not a number")) } else { Ok(score) }
}

/// A score as the value of a member.
pub fn encode_score(score: f64) -> Bytes {
    Bytes::copy_from_slice(&score_order(score).to_be_bytes())
}

/// The score from a member's value.
///
/// # Errors
/// [`Error::Corrupted`] for anything that [`encode_score`] does not write.
pub fn decode_score(stored: &[u8]) -> Result<f64> {
    let [order] = numbers(stored, "a score has a wrong length")?;
    score_of_order(order)
}

/// Where a member's score is.
pub fn member_subkey(member: &[u8]) -> Bytes {
    hashed::subkey_behind(MEMBER_PREFIX, member)
}

/// Where the place of a member is.
pub fn place_subkey(score: f64, member: &[u8]) -> Vec<u8> {
    let mut subkey = Vec::with_capacity(9 + member.len());
    subkey.push(PLACE_MARK);
    subkey.extend_from_slice(&score_order(score).to_be_bytes());
    subkey.extend_from_slice(member);
    subkey
}

/// Score and name of a place's subkey; the name shares its memory.
///
/// # Errors
/// [`Error::Corrupted`] if it is too short, or has no score.
pub fn split_place_subkey(subkey: &Bytes) -> Result<(f64, Bytes)> {
    let mut rest = subkey.get(1..).unwrap_or_default();
    let order = take_u64(&mut rest).ok_or_else(|| Error::corrupted("a place is too short"))?;
    Ok((score_of_order(order)?, subkey.slice(9..)))
}

/// The place that a subkey of a place says.
pub fn place_of(subkey: &[u8]) -> &[u8] {
    subkey.get(1..).unwrap_or_default()
}

/// The subkeys of places from `start` up to, and without, `end`: each some first bytes of a place. `None`:
/// to the last place.
pub fn places(start: &[u8], end: Option<&[u8]>) -> KeyRange {
    marked(PLACE_MARK, start, end)
}

/// Where the numbers of members of some segments are: this block of [`COUNTS_PER_BLOCK`].
pub fn counts_subkey(block: usize) -> Vec<u8> {
    // There are fewer segments than the directory, whose numbers have four bytes, has room for.
    let block = u32::try_from(block).unwrap_or(u32::MAX);
    [&[COUNTS_MARK][..], &block.to_be_bytes()].concat()
}

/// The subkeys of the blocks that have the counts of the segments from `first` up to, and without, `end`.
pub fn counts(first: usize, end: usize) -> KeyRange {
    let end = counts_subkey(end.div_ceil(COUNTS_PER_BLOCK));
    KeyRange::new(counts_subkey(first / COUNTS_PER_BLOCK), Some(end.into()))
}

/// The block that a subkey of counts is of.
///
/// # Errors
/// [`Error::Corrupted`] if it is none.
pub fn block_of(subkey: &[u8]) -> Result<usize> {
    let number = subkey.get(1..).and_then(|number| number.try_into().ok());
    let number = number.ok_or_else(|| Error::corrupted("the key of counts has a wrong length"))?;
    Ok(u32::from_be_bytes(number) as usize)
}

/// The counts of one block as they are stored.
pub fn encode_counts(counts: &[u64]) -> Bytes {
    counts.iter().flat_map(|count| count.to_be_bytes()).collect()
}

/// The counts of one block from what is stored.
///
/// # Errors
/// [`Error::Corrupted`] if it has no length of theirs.
pub fn decode_counts(stored: &[u8]) -> Result<Vec<u64>> {
    let (counts, rest) = stored.as_chunks::<8>();
    if !rest.is_empty() || counts.is_empty() || counts.len() > COUNTS_PER_BLOCK {
        return Err(Error::corrupted("the counts of segments have a wrong length"));
    }
    Ok(counts.iter().map(|count| u64::from_be_bytes(*count)).collect())
}

/// The segments whose counts an entry holds, by number, with their counts.
///
/// # Errors
/// As for [`block_of`] and [`decode_counts`].
pub fn split_counts(subkey: &[u8], stored: &[u8]) -> Result<Vec<(usize, u64)>> {
    let first = block_of(subkey)? * COUNTS_PER_BLOCK;
    Ok((first..).zip(decode_counts(stored)?).collect())
}

/// Where a segment may begin that has the place `right` in it and the place `left` before it: as few bytes
/// as tell the two apart. `None` if they are too many.
pub fn segment_start<'p>(left: &[u8], right: &'p [u8]) -> Option<&'p [u8]> {
    let common = left.iter().zip(right).take_while(|(left, right)| left == right).count();
    right.get(..common + 1).filter(|start| start.len() <= SEGMENT_START_BYTES_MAX)
}

fn marked(mark: u8, start: &[u8], end: Option<&[u8]>) -> KeyRange {
    let end = match end {
        Some(end) => [&[mark][..], end].concat(),
        None => vec![mark + 1],
    };
    KeyRange::new([&[mark][..], start].concat(), Some(end.into()))
}

/// Where the segments of a large set begin, in order, but for the first, which begins where the set does.
///
/// As it is stored: how many there are (4 bytes), the end of each (4 bytes) in what follows, and they
/// themselves, one behind the other; so it is searched without being decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    stored: Bytes,
    starts_len: usize,
}

impl Directory {
    /// With segments that begin at `starts` besides the first.
    pub fn new<'s>(starts: impl Iterator<Item = &'s [u8]> + Clone) -> Self {
        let starts_len = starts.clone().count();
        let bytes_len: usize = starts.clone().map(<[u8]>::len).sum();
        let mut stored = Vec::with_capacity(4 + 4 * starts_len + bytes_len);
        // Starts are short, and one has at least 255 members before it: it fits.
        stored.extend_from_slice(&(starts_len as u32).to_be_bytes());
        let mut end = 0;
        for start in starts.clone() {
            end += start.len() as u32;
            stored.extend_from_slice(&end.to_be_bytes());
        }
        starts.for_each(|start| stored.extend_from_slice(start));
        Self { stored: stored.into(), starts_len }
    }

    /// From what is stored.
    ///
    /// # Errors
    /// [`Error::Corrupted`] if its lengths make no sense.
    pub fn decode(stored: Bytes) -> Result<Self> {
        let starts_len = number_at(&stored, 0).unwrap_or(u32::MAX) as usize;
        let directory = Self { stored, starts_len };
        let is_whole = directory.heads_len().is_some_and(|heads_len| {
            let end = directory.end(starts_len).unwrap_or(usize::MAX);
            heads_len.checked_add(end) == Some(directory.stored.len())
        });
        if is_whole { Ok(directory) } else { Err(Error::corrupted("a directory makes no sense")) }
    }

    /// As it is stored.
    pub fn encode(&self) -> Bytes {
        self.stored.clone()
    }

    /// How many segments there are.
    pub fn segments_len(&self) -> usize {
        self.starts_len + 1
    }

    /// Whether there is but one segment.
    pub fn is_single(&self) -> bool {
        self.starts_len == 0
    }

    /// Where the segment begins; empty for the first, `None` behind the last.
    pub fn start(&self, segment: usize) -> Option<Bytes> {
        if segment == 0 {
            return Some(Bytes::new());
        }
        let (begin, end) = self.span(segment)?;
        Some(self.stored.slice(begin..end))
    }

    /// The segment that `place` is in.
    pub fn find(&self, place: &[u8]) -> usize {
        self.partition(|start| start <= place)
    }

    /// The segment that the last place before `place` is in.
    pub fn find_before(&self, place: &[u8]) -> usize {
        self.partition(|start| start < place)
    }

    /// With another segment, which begins at `start`, behind this one.
    pub fn with(&self, segment: usize, start: &[u8]) -> Self {
        let (before, behind) = (1..segment + 1, segment + 1..self.segments_len());
        let starts = before.map(|segment| self.bytes(segment)).chain([start]);
        Self::new(starts.chain(behind.map(|segment| self.bytes(segment))))
    }

    /// Without this segment, whose places are then in the one before it.
    pub fn without(&self, segment: usize) -> Self {
        let others = (1..self.segments_len()).filter(|other| *other != segment);
        Self::new(others.map(|segment| self.bytes(segment)))
    }

    /// The number of starts, the first excluded, of which `is_before` is true; it is so of the first ones.
    fn partition(&self, is_before: impl Fn(&[u8]) -> bool) -> usize {
        let (mut low, mut high) = (0, self.starts_len);
        while low < high {
            let middle = low.midpoint(high);
            if is_before(self.bytes(middle + 1)) { low = middle + 1 } else { high = middle }
        }
        low
    }

    fn bytes(&self, segment: usize) -> &[u8] {
        self.span(segment).and_then(|(begin, end)| self.stored.get(begin..end)).unwrap_or_default()
    }

    /// Where the start of a segment, not the first, is in what is stored.
    fn span(&self, segment: usize) -> Option<(usize, usize)> {
        let heads_len = self.heads_len().filter(|_| (1..=self.starts_len).contains(&segment))?;
        let begin = heads_len.checked_add(self.end(segment - 1)?)?;
        let end = heads_len.checked_add(self.end(segment)?)?;
        // Damage can be anything.
        (begin <= end && end <= self.stored.len()).then_some((begin, end))
    }

    fn end(&self, segment: usize) -> Option<usize> {
        if segment == 0 { Some(0) } else { Some(number_at(&self.stored, segment)? as usize) }
    }

    fn heads_len(&self) -> Option<usize> {
        self.starts_len.checked_mul(4)?.checked_add(4)
    }
}

fn number_at(stored: &[u8], index: usize) -> Option<u32> {
    let begin = index.checked_mul(4)?;
    let bytes = stored.get(begin..begin.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scores_keep_their_order() {
        let scores =
            [f64::NEG_INFINITY, f64::MIN, -1.5, -1.0, -5e-324, 0.0, 5e-324, 1.0, 1e300, f64::MAX];
        let orders: Vec<u64> = scores.iter().map(|score| score_order(*score)).collect();
        assert!(orders.is_sorted() && orders.windows(2).all(|pair| pair.first() != pair.last()));
        for score in scores {
            assert_eq!(score_of_order(score_order(score)).unwrap(), score);
        }
        assert_eq!(score_order(-0.0), score_order(0.0));
        assert!(score_of_order(u64::MAX).is_err());
        assert!(score_of_order(0).is_err());
    }

    #[test]
    fn segments_begin_with_as_few_bytes_as_tell_them_apart() {
        assert_eq!(segment_start(b"abcd", b"abxyz"), Some(&b"abx"[..]));
        assert_eq!(segment_start(b"ab", b"abxyz"), Some(&b"abx"[..]));
        assert_eq!(segment_start(b"", b"x"), Some(&b"x"[..]));
        let long = [7; SEGMENT_START_BYTES_MAX];
        assert_eq!(segment_start(&long, &[&long[..], b"x"].concat()), None);
        assert_eq!(segment_start(&long, &long), None);
    }

    proptest! {
        #[test]
        fn a_directory_is_an_ordered_list(
            starts in prop::collection::btree_set(prop::collection::vec(0u8..3, 1..4), 0..30),
            place in prop::collection::vec(0u8..3, 0..5),
            at in any::<prop::sample::Index>(),
        ) {
            let starts: Vec<_> = starts.into_iter().collect();
            let directory = Directory::new(starts.iter().map(|start| &start[..]));
            let directory = Directory::decode(directory.encode()).unwrap();
            prop_assert_eq!(directory.segments_len(), starts.len() + 1);
            for (index, start) in starts.iter().enumerate() {
                prop_assert_eq!(&directory.start(index + 1).unwrap(), start);
            }
            prop_assert_eq!(directory.start(starts.len() + 1), None);
            let upto = starts.iter().filter(|start| **start <= place).count();
            let before = starts.iter().filter(|start| **start < place).count();
            prop_assert_eq!(directory.find(&place), upto);
            prop_assert_eq!(directory.find_before(&place), before);
            if upto == before {
                let with = directory.with(upto, &place);
                prop_assert_eq!(with.segments_len(), directory.segments_len() + 1);
                prop_assert_eq!(&with.start(upto + 1).unwrap(), &place);
                prop_assert_eq!(&with.without(upto + 1), &directory);
            }
            if !starts.is_empty() {
                let at = at.index(starts.len());
                let mut fewer = starts.clone();
                fewer.remove(at);
                let expected = Directory::new(fewer.iter().map(|start| &start[..]));
                prop_assert_eq!(directory.without(at + 1), expected);
            }
        }

        #[test]
        fn damage_is_an_error_and_no_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..40), place in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let damaged = [&[0, 0, 0, bytes.len() as u8 / 8][..], &bytes].concat();
            if let Ok(directory) = Directory::decode(damaged.into()) {
                let found = directory.find(&place);
                prop_assert!(found < directory.segments_len());
                let _ = (directory.start(found), directory.find_before(&place));
                let _ = (directory.with(found, &place), directory.without(found));
            }
            let bytes = Bytes::from(bytes);
            let _ = (Directory::decode(bytes.clone()), split_place_subkey(&bytes));
            let _ = (decode_score(&bytes), decode_counts(&bytes), block_of(&bytes));
        }
    }
}
