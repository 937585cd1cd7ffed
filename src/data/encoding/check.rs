//! Whether what is stored makes sense: each entry by itself, and the books against the keys.

use std::collections::BTreeMap;

use bytes::Bytes;
use pontoon_storage::Result;

use super::{
    COUNTERS_KEY, COUNTS_PREFIX, Counters, DATABASE_PREFIX, ELEMENTS, EXPIRY, FLUSHED_PREFIX,
    FORMAT_KEY, FORMAT_VERSION, GARBAGE_PREFIX, KeyCounts, META, Record, SYSTEM, decode_namespace,
    hash, numbers, split_expiry_key, split_flushed_key, split_garbage_key, split_record_key,
};

/// What is wrong with entries is said for so many of them; the others are counted.
const COMPLAINTS_MAX: usize = 100;

/// Shown every entry of a store, in any order, it says what makes no sense.
#[derive(Debug, Default)]
pub struct EntryChecks {
    complaints: Vec<String>,
    total: u64,
    format: Option<Bytes>,
    /// By database.
    namespaces: BTreeMap<u64, u64>,
    booked: BTreeMap<u64, KeyCounts>,
    /// By namespace, as counted.
    counted: BTreeMap<u64, KeyCounts>,
}

/// What [`EntryChecks`] has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// No server has written it: its entries are somebody else's.
    NotOurs,
    /// Another version's: its format.
    OtherFormat(String),
    /// What makes no sense: the first hundred, and how many there are.
    Ours(Vec<String>, u64),
}

impl EntryChecks {
    /// Looks at an entry of `keyspace`.
    pub fn entry(&mut self, keyspace: &str, key: &[u8], value: &[u8]) {
        let key = Bytes::copy_from_slice(key);
        let checked = match keyspace {
            META => self.meta(&key, value),
            EXPIRY => split_expiry_key(&key).map(drop),
            ELEMENTS => {
                numbers::<2>(key.get(..16).unwrap_or_default(), "an element's key is too short")
                    .map(drop)
            }
            SYSTEM => self.system(&key, value),
            _ => Ok(()),
        };
        if let Err(error) = checked {
            self.complain(format!("keyspace {keyspace}: key {}: {error}", key.escape_ascii()));
        }
    }

    fn complain(&mut self, complaint: String) {
        self.total += 1;
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }

    fn meta(&mut self, key: &Bytes, value: &[u8]) -> Result<()> {
        let (hashed, client_key) = split_record_key(key)?;
        if hash(&client_key) != hashed {
            return Err(pontoon_storage::Error::corrupted("its hash is another key's"));
        }
        let record = Record::decode(Bytes::copy_from_slice(value))?;
        let [namespace] = numbers(key.get(..8).unwrap_or_default(), "it has no namespace")?;
        let counted = self.counted.entry(namespace).or_default();
        counted.keys += 1;
        counted.expiring += u64::from(record.expires_at_ms.is_some());
        Ok(())
    }

    fn system(&mut self, key: &Bytes, value: &[u8]) -> Result<()> {
        let number_of = |prefix: &[u8]| {
            let number = key.get(prefix.len()..).and_then(|rest| <[u8; 4]>::try_from(rest).ok());
            number.map(|number| u64::from(u32::from_be_bytes(number)))
        };
        if key == FORMAT_KEY {
            self.format = Some(Bytes::copy_from_slice(value));
        } else if key == COUNTERS_KEY {
            Counters::decode(value)?;
        } else if key.starts_with(FLUSHED_PREFIX) {
            split_flushed_key(key)?;
        } else if key.starts_with(GARBAGE_PREFIX) {
            split_garbage_key(key)?;
        } else if let Some(db) =
            number_of(DATABASE_PREFIX).filter(|_| key.starts_with(DATABASE_PREFIX))
        {
            self.namespaces.insert(db, decode_namespace(value)?);
        } else if let Some(db) = number_of(COUNTS_PREFIX).filter(|_| key.starts_with(COUNTS_PREFIX))
        {
            self.booked.insert(db, KeyCounts::decode(value)?);
        } else {
            return Err(pontoon_storage::Error::corrupted("no such entry is ever written"));
        }
        Ok(())
    }

    /// What has come of it, once every entry has been shown.
    pub fn verdict(mut self) -> Verdict {
        match self.format.as_deref() {
            None => return Verdict::NotOurs,
            Some(format) if *format == FORMAT_VERSION.to_be_bytes() => {}
            Some(format) => {
                let number = <[u8; 4]>::try_from(format).map(u32::from_be_bytes);
                let shown = number.map_or(format.escape_ascii().to_string(), |n| n.to_string());
                return Verdict::OtherFormat(shown);
            }
        }
        for (db, booked) in std::mem::take(&mut self.booked) {
            let Some(namespace) = self.namespaces.get(&db) else {
                self.complain(format!("database {db} has counts and no namespace"));
                continue;
            };
            let counted = self.counted.get(namespace).copied().unwrap_or_default();
            if counted != booked {
                self.complain(format!(
                    "database {db} has {} keys, {} of them expiring, and its books say {} and {}",
                    counted.keys, counted.expiring, booked.keys, booked.expiring
                ));
            }
        }
        Verdict::Ours(self.complaints, self.total)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::{
        counts_key, database_key, encode_namespace, expiry_key, flushed_key, garbage_key,
        record_key,
    };
    use super::*;

    type Entry = (&'static str, Vec<u8>, Vec<u8>);
    type Entries = Vec<Entry>;

    fn sound() -> Entries {
        let record = Record::inline_string("v".into(), Some(7)).encode();
        vec![
            (META, record_key(1, hash(b"k"), b"k"), record),
            (EXPIRY, expiry_key(1, 7, hash(b"k"), b"k"), vec![]),
            (ELEMENTS, vec![0; 20], b"chunk".to_vec()),
            (SYSTEM, FORMAT_KEY.into(), FORMAT_VERSION.to_be_bytes().into()),
            (SYSTEM, COUNTERS_KEY.into(), Counters::FIRST.encode().into()),
            (SYSTEM, database_key(0), encode_namespace(1).into()),
            (SYSTEM, counts_key(0), KeyCounts { keys: 1, expiring: 1 }.encode().into()),
            (SYSTEM, flushed_key(3), vec![]),
            (SYSTEM, garbage_key(3, 4), vec![]),
        ]
    }

    fn verdict(entries: &Entries) -> Verdict {
        let mut checks = EntryChecks::default();
        entries.iter().for_each(|(keyspace, key, value)| checks.entry(keyspace, key, value));
        checks.verdict()
    }

    #[test]
    fn what_the_server_writes_makes_sense() {
        assert_eq!(verdict(&sound()), Verdict::Ours(vec![], 0));
    }

    #[test]
    fn what_it_does_not_write_is_complained_of() {
        type Damage = fn(&mut Entry);
        let wrong: [(usize, Damage); 9] = [
            (0, |entry| entry.2[1] = 0xff),
            (0, |entry| *entry.1.last_mut().unwrap() ^= 1),
            (0, |entry| entry.1.truncate(9)),
            (1, |entry| entry.1.truncate(9)),
            (2, |entry| entry.1.truncate(9)),
            (4, |entry| entry.2.truncate(9)),
            (6, |entry| entry.2[7] = 2),
            (7, |entry| entry.1.truncate(9)),
            (8, |entry| entry.1[0] = b'x'),
        ];
        for (index, break_it) in wrong {
            let mut entries = sound();
            break_it(&mut entries[index]);
            let found = verdict(&entries);
            assert!(matches!(found, Verdict::Ours(_, 1..)), "{index}: {found:?}");
        }
        let mut without_namespace = sound();
        without_namespace.remove(5);
        assert!(matches!(verdict(&without_namespace), Verdict::Ours(_, 1)));
    }

    #[test]
    fn another_format_and_what_is_not_ours_are_told_apart() {
        let mut entries = sound();
        entries[3].2[3] = 99;
        assert_eq!(verdict(&entries), Verdict::OtherFormat("99".into()));
        assert_eq!(verdict(&vec![(META, vec![1], vec![2])]), Verdict::NotOurs);
    }
}
