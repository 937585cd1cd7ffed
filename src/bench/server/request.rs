//! Requests, written into a buffer that a connection uses again and again.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use super::args::Workload;

/// Digits of a key's number.
const KEY_DIGITS: usize = 12;

/// Keys of one MGET.
const MGET_KEYS: usize = 10;

/// Random bytes beyond a value's, so that values differ although all come from one pool.
const POOL_BYTES: usize = 64 << 10;

/// What values are cut from.
#[derive(Debug)]
pub(super) struct Values {
    pool: Vec<u8>,
    value_bytes: usize,
    /// Behind the key of a SET: the value's length.
    header: Vec<u8>,
}

impl Values {
    pub(super) fn new(value_bytes: usize, seed: u64) -> Self {
        let mut pool = vec![0; value_bytes + POOL_BYTES];
        SmallRng::seed_from_u64(seed).fill_bytes(&mut pool);
        Self { pool, value_bytes, header: format!("${value_bytes}\r\n").into_bytes() }
    }

    pub(super) fn value_bytes(&self) -> u64 {
        self.value_bytes as u64
    }

    fn push(&self, rng: &mut SmallRng, out: &mut Vec<u8>) {
        let start = rng.random_range(0..POOL_BYTES);
        out.extend_from_slice(&self.header);
        out.extend_from_slice(self.pool.get(start..start + self.value_bytes).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }
}

/// The endless commands of one connection.
#[derive(Debug)]
pub(super) struct Requests {
    workload: Workload,
    keys: u64,
    values: Arc<Values>,
    rng: SmallRng,
}

impl Requests {
    /// Over keys 0 to `keys - 1`. Equal seeds give equal commands.
    pub(super) fn new(workload: Workload, keys: u64, values: Arc<Values>, seed: u64) -> Self {
        Self { workload, keys, values, rng: SmallRng::seed_from_u64(seed) }
    }

    /// Adds the next command to `out`.
    pub(super) fn push(&mut self, out: &mut Vec<u8>) {
        match self.workload {
            Workload::Ping => out.extend_from_slice(b"*1\r\n$4\r\nPING\r\n"),
            Workload::Get => self.get(out),
            Workload::Set => self.set(out),
            Workload::Mixed if self.rng.random::<bool>() => self.get(out),
            Workload::Mixed => self.set(out),
            Workload::Incr => {
                out.extend_from_slice(b"*2\r\n$4\r\nINCR\r\n");
                let key = self.key();
                push_key(b"$20\r\ncounter:", key, out);
            }
            Workload::Mget => {
                out.extend_from_slice(b"*11\r\n$4\r\nMGET\r\n");
                for _ in 0..MGET_KEYS {
                    let key = self.key();
                    push_key(b"$16\r\nkey:", key, out);
                }
            }
        }
    }

    /// Adds the SET of key number `key` to `out`.
    pub(super) fn push_set(&mut self, key: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*3\r\n$3\r\nSET\r\n");
        push_key(b"$16\r\nkey:", key, out);
        self.values.push(&mut self.rng, out);
    }

    /// The greatest number of bytes of a command, nearly.
    pub(super) fn bytes_max(workload: Workload, value_bytes: u64) -> u64 {
        match workload {
            Workload::Ping | Workload::Get | Workload::Incr => 64,
            Workload::Mget => 320,
            Workload::Set | Workload::Mixed => 64 + value_bytes,
        }
    }

    fn get(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
        let key = self.key();
        push_key(b"$16\r\nkey:", key, out);
    }

    fn set(&mut self, out: &mut Vec<u8>) {
        let key = self.key();
        self.push_set(key, out);
    }

    fn key(&mut self) -> u64 {
        self.rng.random_range(0..self.keys.max(1))
    }
}

/// The name of key number `key`.
pub(super) fn key_name(key: u64) -> String {
    format!("key:{key:0KEY_DIGITS$}")
}

fn push_key(prefix: &[u8], mut key: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(prefix);
    let mut digits = [b'0'; KEY_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (key % 10) as u8;
        key /= 10;
    }
    out.extend_from_slice(&digits);
    out.extend_from_slice(b"\r\n");
}

/// A request of any words.
pub(super) fn words(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    request.into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use bytes::BytesMut;
    use clap::ValueEnum;

    use super::*;
    use crate::resp::{Args, Decoder, Limits};

    fn requests(workload: Workload, seed: u64) -> Requests {
        Requests::new(workload, 1000, Arc::new(Values::new(5, 7)), seed)
    }

    /// What a server makes of `count` commands.
    fn decoded(workload: Workload, seed: u64, count: usize) -> Vec<Args> {
        let mut requests = requests(workload, seed);
        let mut out = Vec::new();
        (0..count).for_each(|_| requests.push(&mut out));
        let mut received = BytesMut::from(&out[..]);
        let mut decoder = Decoder::new(Limits::default());
        let decoded: Vec<Args> =
            std::iter::from_fn(|| decoder.decode(&mut received).unwrap()).collect();
        assert!(received.is_empty());
        assert_eq!(decoded.len(), count);
        decoded
    }

    #[test]
    fn a_server_understands_every_workload() {
        for &workload in Workload::value_variants() {
            for args in decoded(workload, 1, 100) {
                let (name, len) = match workload {
                    Workload::Ping => ("PING", 1),
                    Workload::Get => ("GET", 2),
                    Workload::Set => ("SET", 3),
                    Workload::Mixed if args.len() == 2 => ("GET", 2),
                    Workload::Mixed => ("SET", 3),
                    Workload::Incr => ("INCR", 2),
                    Workload::Mget => ("MGET", 11),
                };
                assert_eq!((&args[0][..], args.len()), (name.as_bytes(), len));
                let keys = if name == "SET" { &args[1..2] } else { &args[1..] };
                for key in keys {
                    let key = std::str::from_utf8(key).unwrap();
                    let (prefix, number) = key.split_once(':').unwrap();
                    assert_eq!(prefix, if name == "INCR" { "counter" } else { "key" });
                    assert!(number.len() == 12 && number.parse::<u64>().unwrap() < 1000, "{key}");
                }
                if name == "SET" {
                    assert_eq!(args[2].len(), 5);
                }
            }
        }
    }

    #[test]
    fn equal_seeds_give_equal_commands_and_others_do_not() {
        let commands = |seed| decoded(Workload::Mixed, seed, 50);
        assert_eq!(commands(3), commands(3));
        assert_ne!(commands(3), commands(4));
    }

    #[test]
    fn mixed_is_half_and_half() {
        let gets =
            decoded(Workload::Mixed, 1, 10_000).iter().filter(|args| args.len() == 2).count();
        assert!((4500..5500).contains(&gets), "{gets}");
    }

    #[test]
    fn no_command_is_longer_than_it_may_be() {
        for &workload in Workload::value_variants() {
            let mut out = Vec::new();
            requests(workload, 1).push(&mut out);
            assert!(out.len() as u64 <= Requests::bytes_max(workload, 5), "{workload:?}");
        }
    }

    #[test]
    fn names_of_keys_are_those_that_are_sent() {
        let mut out = Vec::new();
        requests(Workload::Set, 1).push_set(12_345, &mut out);
        let text = String::from_utf8_lossy(&out);
        assert!(text.contains(&key_name(12_345)), "{text}");
        assert_eq!(key_name(12_345), "key:000000012345");
    }

    #[test]
    fn words_are_a_request() {
        assert_eq!(words(&["AUTH", "pä"]), "*2\r\n$4\r\nAUTH\r\n$3\r\npä\r\n".as_bytes());
    }
}
