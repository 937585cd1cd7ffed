//! Seeded commands on every type, each with one outcome alone: nothing random, nothing that depends on the
//! clock.

#![allow(unreachable_pub)]

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// A command with its arguments.
pub type Request = Vec<Vec<u8>>;

/// Far enough that nothing expires while it is tested, in milliseconds since 1970.
const EXPIRY_MS: u64 = 4_000_000_000_000;

/// Keys of each type that a client has.
const KEYS_PER_TYPE: usize = 3;

const TYPES: [&str; 5] = ["string", "hash", "list", "set", "zset"];

/// The keys of a client.
pub fn keys(client: usize) -> Vec<String> {
    let numbers = 0..KEYS_PER_TYPE;
    TYPES
        .iter()
        .flat_map(|kind| numbers.clone().map(move |number| key(client, kind, number)))
        .collect()
}

fn key(client: usize, kind: &str, number: usize) -> String {
    format!("{client}:{kind}:{number}")
}

pub struct Generator {
    rng: Xoshiro256PlusPlus,
    client: usize,
}

impl Generator {
    pub fn new(seed: u64, client: usize) -> Self {
        Self { rng: Xoshiro256PlusPlus::seed_from_u64(seed), client }
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.rng.random_range(0..end)
    }

    /// A command, or a whole transaction.
    pub fn next_requests(&mut self) -> Vec<Request> {
        if self.below(12) > 0 {
            return vec![self.command()];
        }
        let mut requests = vec![words("MULTI")];
        for _ in 0..=self.below(6) {
            requests.push(self.command());
        }
        requests.push(words("EXEC"));
        requests
    }

    fn key(&mut self, kind: &str) -> String {
        let number = self.below(KEYS_PER_TYPE);
        key(self.client, kind, number)
    }

    /// A small number nearly always, so that values stay in their records, and else one that takes them
    /// out of there.
    fn member(&mut self) -> String {
        let members = if self.below(4) == 0 { 500 } else { 12 };
        format!("m{}", self.below(members))
    }

    fn value(&mut self) -> String {
        let len = match self.below(20) {
            0 => self.below(40_000),
            1..4 => self.below(2_000),
            _ => self.below(20),
        };
        let letter = char::from(b'a' + self.below(26) as u8);
        String::from(letter).repeat(len)
    }

    fn command(&mut self) -> Request {
        match self.below(16) {
            0..3 => self.string(),
            3..6 => self.hash(),
            6..9 => self.list(),
            9..11 => self.set(),
            11..14 => self.sorted_set(),
            _ => self.generic(),
        }
    }

    fn string(&mut self) -> Request {
        let key = self.key("string");
        match self.below(8) {
            0 | 1 => vec![b("SET"), b(key), b(self.value())],
            2 => vec![b("APPEND"), b(key), b(self.value())],
            3 => vec![b("SETRANGE"), b(key), b(self.below(60_000)), b(self.value())],
            4 => vec![b("SETBIT"), b(key), b(self.below(100_000)), b(self.below(2))],
            5 => vec![b("INCRBY"), b(key), b(self.below(1000))],
            6 => vec![b("SET"), b(key), b(self.value()), b("PXAT"), b(EXPIRY_MS)],
            _ => vec![b("GETDEL"), b(key)],
        }
    }

    fn hash(&mut self) -> Request {
        let key = self.key("hash");
        match self.below(6) {
            0..3 => {
                let mut request = vec![b("HSET"), b(key)];
                for _ in 0..=self.below(8) {
                    request.extend([b(self.member()), b(self.value())]);
                }
                request
            }
            3 => vec![b("HDEL"), b(key), b(self.member()), b(self.member())],
            4 => vec![b("HINCRBY"), b(key), b("counter"), b(self.below(100))],
            _ => vec![b("HSETNX"), b(key), b(self.member()), b(self.value())],
        }
    }

    fn list(&mut self) -> Request {
        let key = self.key("list");
        match self.below(10) {
            0..4 => {
                let side = ["LPUSH", "RPUSH"][self.below(2)];
                let mut request = vec![b(side), b(key)];
                for _ in 0..=self.below(10) {
                    request.push(b(self.member()));
                }
                request
            }
            4 => vec![b("LPOP"), b(key), b(self.below(4) + 1)],
            5 => vec![b("RPOP"), b(key)],
            6 => vec![b("LTRIM"), b(key), b(self.below(5)), b("-3")],
            7 => vec![b("LINSERT"), b(key), b("BEFORE"), b(self.member()), b(self.member())],
            8 => vec![b("LREM"), b(key), b("1"), b(self.member())],
            _ => {
                let to = self.key("list");
                vec![b("LMOVE"), b(key), b(to), b("LEFT"), b("RIGHT")]
            }
        }
    }

    fn set(&mut self) -> Request {
        let key = self.key("set");
        match self.below(6) {
            0..3 => {
                let mut request = vec![b("SADD"), b(key)];
                for _ in 0..=self.below(20) {
                    request.push(b(self.member()));
                }
                request
            }
            3 => vec![b("SREM"), b(key), b(self.member()), b(self.member())],
            4 => vec![b("SMOVE"), b(key), b(self.key("set")), b(self.member())],
            _ => vec![b("SUNIONSTORE"), b(key), b(self.key("set")), b(self.key("set"))],
        }
    }

    fn sorted_set(&mut self) -> Request {
        let key = self.key("zset");
        match self.below(8) {
            0..4 => {
                let mut request = vec![b("ZADD"), b(key)];
                for _ in 0..=self.below(30) {
                    request.extend([b(self.below(40)), b(self.member())]);
                }
                request
            }
            4 => vec![b("ZINCRBY"), b(key), b("1.5"), b(self.member())],
            5 => vec![b("ZREM"), b(key), b(self.member()), b(self.member())],
            6 => vec![b("ZPOPMIN"), b(key), b(self.below(4) + 1)],
            _ => vec![b("ZREMRANGEBYRANK"), b(key), b(self.below(5)), b(self.below(30))],
        }
    }

    fn generic(&mut self) -> Request {
        let kind = TYPES[self.below(TYPES.len())];
        let key = self.key(kind);
        match self.below(6) {
            0 => vec![b("DEL"), b(key)],
            1 => vec![b("RENAME"), b(key), b(self.key(kind))],
            2 => vec![b("COPY"), b(key), b(self.key(kind)), b("REPLACE")],
            3 => vec![b("PEXPIREAT"), b(key), b(EXPIRY_MS)],
            4 => vec![b("PERSIST"), b(key)],
            _ => vec![b("UNLINK"), b(key), b(self.key(kind))],
        }
    }
}

fn words(line: &str) -> Request {
    line.split(' ').map(b).collect()
}

fn b(text: impl ToString) -> Vec<u8> {
    text.to_string().into_bytes()
}
