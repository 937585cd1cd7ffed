//! Whole values for another key or another database, whatever their type.

use bytes::Bytes;
use pontoon_storage::Error;
use pontoon_storage::engine::PageLimit;

use super::collection::Element;
use super::encoding::{self, Kind, Record};
use super::error::Result;
use super::reader::DbReader;
use super::string::CHUNK_BYTES;
use super::writer::{DbWriter, check_key};

/// Bytes that the elements of a value may take in memory when it is copied. Not much more fits into a
/// transaction.
pub const COPY_BYTES_MAX: u64 = 1 << 30;

/// How much is read at a time.
const PAGE: PageLimit = PageLimit { entries: 512, bytes: 1 << 20 };

/// A value with its elements, read and not yet written to where it shall be.
#[derive(Debug)]
pub struct ValueCopy {
    record: Record,
    elements: Vec<Element>,
}

impl ValueCopy {
    /// How many elements are to be read and written to copy the value of `record`, about.
    pub fn cost(record: &Record) -> u64 {
        match (record.version, record.kind) {
            (None, _) => 0,
            (Some(_), Kind::String) => record.size / CHUNK_BYTES as u64 + 1,
            (Some(_), _) => record.size,
        }
    }

    /// Reads the value of `record`, which is of `db`.
    ///
    /// # Errors
    /// [`Error::TooLarge`] over [`COPY_BYTES_MAX`]; the storage's.
    pub fn read(db: &mut DbReader<'_>, record: Record) -> Result<Self> {
        let mut elements = Vec::new();
        if let Some(version) = record.version {
            let mut rest = encoding::elements_range(db.namespace()?, version);
            let mut size = 0u64;
            loop {
                let page = db.reader.page(db.keyspaces().elements(), &rest, false, PAGE)?;
                let last = page.entries.last().filter(|_| page.more).map(|(key, _)| key.clone());
                for (key, value) in page.entries {
                    size += (key.len() + value.len() + size_of::<Element>()) as u64;
                    elements.push((encoding::split_element_key(&key)?, value));
                }
                if size > COPY_BYTES_MAX {
                    let limit = COPY_BYTES_MAX;
                    return Err(Error::TooLarge { what: "value to copy", size, limit }.into());
                }
                let Some(last) = last else { break };
                // The first key after it in byte order.
                rest.start = [&last, &[0][..]].concat().into();
            }
        }
        Ok(Self { record, elements })
    }

    /// Stores the value, with its expiry, at `key` of `db`, where nothing is.
    ///
    /// # Errors
    /// [`Error::KeyTooLong`](super::Error::KeyTooLong); the storage's.
    pub fn store(self, db: &mut DbWriter<'_>, key: &Bytes) -> Result<()> {
        check_key(key)?;
        let mut record = self.record;
        if record.version.is_some() {
            let namespace = db.namespace()?;
            let version = db.state.allocate_version(db.tx)?;
            for (subkey, value) in self.elements {
                let key = encoding::element_key(namespace, version, &subkey);
                db.tx.put(db.state.databases.elements(), key, value)?;
            }
            record.version = Some(version);
        }
        db.store(key, None, &record)
    }
}
