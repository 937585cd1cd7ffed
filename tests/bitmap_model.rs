//! Bitmaps of all lengths, with and without gaps, behave as plain sequences of bits do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::ops::Range;

use harness::Shell;
use pontoon::data::string::{CHUNK_BYTES, INLINE_BYTES_MAX};

/// Numbers that look random, the same ones every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below.max(1)
    }

    /// Mostly runs of equal bytes, so that there are long ways to the next 0 or 1.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let byte = [0, 0xff, self.next(256) as u8][self.next(3)];
            let run = (self.next(CHUNK_BYTES * 2) >> self.next(15)).min(len - bytes.len());
            bytes.resize(bytes.len() + run, byte);
        }
        bytes
    }

    fn len(&mut self) -> usize {
        match self.next(4) {
            0 => self.next(30),
            1 => INLINE_BYTES_MAX - 2 + self.next(5),
            2 => CHUNK_BYTES - 2 + self.next(5),
            _ => self.next(3 * CHUNK_BYTES),
        }
    }
}

/// Makes `key` the string `value`, either whole or without storing its zeros.
fn store(shell: &mut Shell, numbers: &mut Numbers, key: &str, value: &[u8]) {
    let key = key.as_bytes();
    if numbers.next(2) == 0 || value.is_empty() {
        shell.run_args(&[b"SET", key, value]);
        return;
    }
    shell.run_args(&[b"DEL", key]);
    let mut set_range = |start: usize, part: &[u8]| {
        shell.run_args(&[b"SETRANGE", key, start.to_string().as_bytes(), part]);
    };
    let mut start = 0;
    for part in value.split(|byte| *byte == 0) {
        if !part.is_empty() {
            set_range(start, part);
        }
        start += part.len() + 1;
    }
    set_range(value.len() - 1, &value[value.len() - 1..]);
}

/// The bits of `value` as `bool`s.
fn bits_of(value: &[u8]) -> Vec<bool> {
    value.iter().flat_map(|byte| (0..8).map(move |bit| byte >> (7 - bit) & 1 == 1)).collect()
}

/// Which of `len` places `start` and `end` mean, as Redis's documentation has it.
fn plain_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let start = if start < 0 { (len + start).max(0) } else { start };
    let end = if end < 0 { (len + end).max(0) } else { end }.min(len - 1) + 1;
    if start >= end { 0..0 } else { start as usize..end as usize }
}

#[test]
fn counting_and_finding_follow_plain_bits() {
    let mut shell = Shell::new();
    let mut numbers = Numbers(11);
    for round in 0..25 {
        let len = numbers.len();
        let value = numbers.bytes(len);
        store(&mut shell, &mut numbers, "k", &value);
        let bits = bits_of(&value);
        let mut ones_before = vec![0];
        for bit in &bits {
            ones_before.push(ones_before.last().unwrap() + usize::from(*bit));
        }
        let ones = |range: Range<usize>| ones_before[range.end] - ones_before[range.start];
        shell.check("BITCOUNT k", &ones(0..bits.len()).to_string());
        for _ in 0..10 {
            let unit = [8, 1][numbers.next(2)];
            let name = if unit == 8 { "BYTE" } else { "BIT" };
            let len = bits.len() / unit;
            let mut index = || numbers.next(len * 2 + 10) as i64 - (len as i64 + 5);
            let (start, end) = (index(), index());
            let range = plain_range(start, end, len);
            let range = range.start * unit..range.end * unit;
            let count = if start < 0 && end < 0 && start > end { 0 } else { ones(range.clone()) };
            let case = format!("k {start} {end} {name}: round {round}");
            let command = format!("BITCOUNT k {start} {end} {name}");
            assert_eq!(shell.run(&command), count.to_string(), "{case}");
            for bit in [false, true] {
                let find = |range: Range<usize>| {
                    let found = range.clone().find(|&place| bits[place] == bit);
                    found.map_or(-1, |place| place as i64)
                };
                let command = format!("BITPOS k {} {start} {end} {name}", u8::from(bit));
                assert_eq!(shell.run(&command), find(range.clone()).to_string(), "{case}");
                let to_end = plain_range(start, -1, value.len());
                let to_end = to_end.start * 8..to_end.end * 8;
                let mut place = find(to_end.clone());
                if !bit && place == -1 && !to_end.is_empty() {
                    place = to_end.end as i64;
                }
                let command = format!("BITPOS k {} {start}", u8::from(bit));
                assert_eq!(shell.run(&command), place.to_string(), "{command}: round {round}");
            }
        }
    }
}

#[test]
fn combining_follows_plain_bytes() {
    let mut shell = Shell::new();
    let mut numbers = Numbers(13);
    for round in 0..40 {
        let count = 1 + numbers.next(4);
        let mut sources = Vec::new();
        for index in 0..count {
            let len = numbers.len();
            let value = numbers.bytes(len);
            store(&mut shell, &mut numbers, &format!("source-{index}"), &value);
            sources.push(value);
        }
        let size = sources.iter().map(Vec::len).max().unwrap();
        let operation = ["AND", "OR", "XOR", "NOT"][numbers.next(if count == 1 { 4 } else { 3 })];
        let at = |source: &Vec<u8>, place| source.get(place).copied().unwrap_or(0);
        let expected: Vec<u8> = (0..size)
            .map(|place| {
                let bytes = sources.iter().map(|source| at(source, place));
                match operation {
                    "AND" => bytes.reduce(|a, b| a & b).unwrap(),
                    "OR" => bytes.reduce(|a, b| a | b).unwrap(),
                    "XOR" => bytes.reduce(|a, b| a ^ b).unwrap(),
                    _ => !bytes.sum::<u8>(),
                }
            })
            .collect();
        let names: Vec<_> = (0..count).map(|index| format!("source-{index}")).collect();
        // Sometimes it is one of the sources.
        let key = if numbers.next(2) == 0 { "to" } else { "source-0" };
        let command = format!("BITOP {operation} {key} {}", names.join(" "));
        shell.check(&command, &size.to_string());
        let found = shell.get(key.as_bytes()).unwrap_or_default();
        assert!(found == expected, "{command}: round {round}");
    }
}

#[test]
fn fields_follow_plain_bits() {
    let mut shell = Shell::new();
    let mut numbers = Numbers(17);
    for round in 0..25 {
        let mut model = Vec::new();
        shell.run("DEL k");
        if numbers.next(3) > 0 {
            let len = numbers.len();
            model = numbers.bytes(len);
            store(&mut shell, &mut numbers, "k", &model);
        }
        let mut bits = bits_of(&model);
        for _ in 0..10 {
            let (mut command, mut replies) = (String::from("BITFIELD k"), Vec::new());
            for _ in 0..1 + numbers.next(6) {
                step(&mut numbers, &mut bits, &mut command, &mut replies);
            }
            assert_eq!(shell.run(&command), format!("[{}]", replies.join(" ")), "round {round}");
        }
        let found = shell.get(b"k").unwrap_or_default();
        assert_eq!(found.len(), bits.len().div_ceil(8), "round {round}");
        bits.resize(found.len() * 8, false);
        assert!(bits_of(&found) == bits, "round {round}");
    }
}

/// Adds an operation to `command`, its reply to `replies`, and what it does to `bits`.
fn step(
    numbers: &mut Numbers,
    bits: &mut Vec<bool>,
    command: &mut String,
    replies: &mut Vec<String>,
) {
    let signed = numbers.next(2) == 0;
    let width = 1 + numbers.next(if signed { 64 } else { 63 });
    let edge = [INLINE_BYTES_MAX, CHUNK_BYTES, 2 * CHUNK_BYTES][numbers.next(3)] * 8;
    let offset = if numbers.next(2) == 0 { edge - numbers.next(100) } else { numbers.next(edge) };
    let kind = if signed { 'i' } else { 'u' };
    let number = (numbers.next(usize::MAX) as i64) << 20 >> numbers.next(64);
    let overflow = ["WRAP", "SAT", "FAIL"][numbers.next(3)];
    let old = (0..width).fold(0i128, |number, bit| {
        let bit = bits.get(offset + bit).copied().unwrap_or(false);
        number << 1 | i128::from(bit)
    });
    let (least, greatest) = if signed {
        (-(1i128 << (width - 1)), (1i128 << (width - 1)) - 1)
    } else {
        (0, (1i128 << width) - 1)
    };
    let old = if old > greatest { old - (1 << width) } else { old };
    let action = numbers.next(3);
    if action == 0 {
        *command += &format!(" GET {kind}{width} {offset}");
        replies.push(old.to_string());
        return;
    }
    let name = ["SET", "INCRBY"][action - 1];
    *command += &format!(" OVERFLOW {overflow} {name} {kind}{width} {offset} {number}");
    if bits.len() < offset + width {
        bits.resize(offset + width, false);
    }
    let wanted = match name {
        "INCRBY" => old + i128::from(number),
        _ if signed => i128::from(number),
        _ => i128::from(number as u64),
    };
    let new = match overflow {
        _ if (least..=greatest).contains(&wanted) => wanted,
        "WRAP" => (wanted - least).rem_euclid(1 << width) + least,
        "SAT" if wanted > greatest => greatest,
        "SAT" => least,
        _ => return replies.push("nil".into()),
    };
    for bit in 0..width {
        bits[offset + bit] = new >> (width - 1 - bit) & 1 == 1;
    }
    replies.push(if name == "SET" { old } else { new }.to_string());
}
