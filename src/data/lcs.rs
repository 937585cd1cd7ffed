//! The longest common subsequence of two strings of bytes. It knows nothing of keys and storage.
//!
//! The textbook's table says for every beginning of the one string and every beginning of the other
//! how long theirs is. From one beginning of the second string to the next that length grows by 1 or
//! not at all, so that a bit says it, and the bits of 64 places follow from those of the row before in a
//! few steps (Crochemore and others, 2001). The bits are enough to walk back through the table too.

use std::ops::Range;

use super::string::BYTES_MAX;

/// What the textbook's table may take, 4 bytes for each of its places, in bytes. Ours takes a 32nd
/// of it, or an eighth where the second string is very short; the limit is on the time.
pub const TABLE_BYTES_MAX: u64 = BYTES_MAX;

/// A run of bytes that is in both strings and in their longest common subsequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Where it is in the first string.
    pub first: Range<usize>,
    /// Where it is in the second string.
    pub second: Range<usize>,
}

/// Whether strings of these lengths are within [`TABLE_BYTES_MAX`].
pub fn is_allowed(first_len: u64, second_len: u64) -> bool {
    let places = first_len.saturating_add(1).saturating_mul(second_len.saturating_add(1));
    places.saturating_mul(size_of::<u32>() as u64) <= TABLE_BYTES_MAX
}

/// The length of the longest common subsequence.
pub fn length(first: &[u8], second: &[u8]) -> usize {
    let mut last = Vec::new();
    for_each_row(first, second, |_| {}, &mut last);
    // Past the end of the second string nothing grows.
    last.iter().map(|word| word.count_zeros() as usize).sum()
}

/// The runs that make up a longest common subsequence, from the last to the first: the one that
/// Redis finds, which prefers the beginnings of the second string where there are several.
pub fn matches(first: &[u8], second: &[u8]) -> Vec<Match> {
    let row_bytes = second.len().div_ceil(8);
    let mut table = Vec::with_capacity(first.len().saturating_mul(row_bytes));
    let keep = |row: &[u64]| {
        let end = table.len() + row_bytes;
        row.iter().for_each(|word| table.extend_from_slice(&word.to_le_bytes()));
        table.truncate(end);
    };
    for_each_row(first, second, keep, &mut Vec::new());
    let mut found: Vec<Match> = Vec::new();
    let (mut i, mut j) = (first.len(), second.len());
    while let (Some(at_first), Some(at_second)) = (i.checked_sub(1), j.checked_sub(1)) {
        if first.get(at_first) == second.get(at_second) {
            match found.last_mut() {
                Some(last) if last.first.start == i && last.second.start == j => {
                    last.first.start = at_first;
                    last.second.start = at_second;
                }
                _ => found.push(Match { first: at_first..i, second: at_second..j }),
            }
            (i, j) = (at_first, at_second);
            continue;
        }
        // If the length grows with this byte of the second string, which is not the first string's, it
        // is that of one byte of the first string less; else that of one byte of the second less.
        let byte = table.get(at_first * row_bytes + at_second / 8);
        if byte.is_some_and(|byte| byte >> (at_second % 8) & 1 == 0) {
            i = at_first;
        } else {
            j = at_second;
        }
    }
    found
}

/// Shows the table's rows, one for each byte of `first`: a bit is 0 where the length grows with that
/// byte of `second`. `row` is the last of them in the end.
fn for_each_row(first: &[u8], second: &[u8], mut show: impl FnMut(&[u64]), row: &mut Vec<u64>) {
    let words = second.len().div_ceil(64);
    // By byte, where `second` has it; only for the bytes of `first`.
    let mut places: Vec<Vec<u64>> = vec![Vec::new(); 256];
    for &byte in first {
        if let Some(places) = places.get_mut(usize::from(byte)) {
            places.resize(words, 0);
        }
    }
    for (at, &byte) in second.iter().enumerate() {
        let places = places.get_mut(usize::from(byte));
        if let Some(word) = places.and_then(|places| places.get_mut(at / 64)) {
            *word |= 1 << (at % 64);
        }
    }
    row.resize(words, u64::MAX);
    for &byte in first {
        let Some(places) = places.get(usize::from(byte)) else { break };
        let mut carry = false;
        for (word, places) in row.iter_mut().zip(places) {
            let (sum, overflow) = word.overflowing_add(*word & places);
            let (sum, overflow_of_carry) = sum.overflowing_add(u64::from(carry));
            carry = overflow | overflow_of_carry;
            *word = sum | (*word & !places);
        }
        show(row);
    }
}
