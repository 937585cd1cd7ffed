//! Hashes: fields with values. A field's subkey is its hash and the field itself.

use bytes::Bytes;

use super::collection::{self, Collection, Editor};
use super::encoding::{Kind, MEMBER_BYTES_MAX, Record, hashed};
use super::error::{Error, Result};
use super::reader::DbReader;
use super::writer::DbWriter;

/// The most fields of what Redis keeps as a listpack (`hash-max-listpack-entries`).
pub const LISTPACK_FIELDS_MAX: u64 = 512;

/// The longest field or value in it (`hash-max-listpack-value`).
pub const LISTPACK_BYTES_MAX: usize = 64;

/// A bit of the record's: Redis would keep it as a hash table, and has no way back.
const HASHTABLE: u8 = 1;

/// The hash at `key`, for reading; counts a hit or a miss.
///
/// # Errors
/// [`Error::WrongType`]; the storage's.
pub fn read(db: &mut DbReader<'_>, key: &[u8]) -> Result<Option<Collection>> {
    collection::read(db, key, Kind::Hash)
}

/// The hash at `key`, or an empty one, for changing.
///
/// # Errors
/// As for [`Editor::open`].
pub fn open(db: &mut DbWriter<'_>, key: &Bytes) -> Result<Editor> {
    Editor::open(db, key, Kind::Hash)
}

/// The value of `field`.
///
/// # Errors
/// The storage's.
pub fn get(db: &mut DbReader<'_>, hash: &Collection, field: &[u8]) -> Result<Option<Bytes>> {
    if field.len() > MEMBER_BYTES_MAX {
        return Ok(None);
    }
    hash.get(db, &hashed::subkey(field))
}

/// The values of `fields`, in their order.
///
/// # Errors
/// The storage's.
pub fn get_many(
    db: &mut DbReader<'_>,
    hash: &Collection,
    fields: &[Bytes],
) -> Result<Vec<Option<Bytes>>> {
    // What is too long to be stored is not there, under whatever subkey.
    let subkeys: Vec<Bytes> = fields
        .iter()
        .map(
            |field| {
                if field.len() > MEMBER_BYTES_MAX { Bytes::new() } else { hashed::subkey(field) }
            },
        )
        .collect();
    hash.get_many(db, &subkeys)
}

/// Calls `visit` with every field and its value.
///
/// # Errors
/// The storage's; those of `visit`.
pub fn for_each(
    db: &mut DbReader<'_>,
    hash: &Collection,
    mut visit: impl FnMut(Bytes, Bytes) -> Result<()>,
) -> Result<()> {
    hash.for_each(db, hashed::range_from(&[], 0), false, |subkey, value| {
        visit(hashed::member(&subkey)?, value)?;
        Ok(true)
    })
}

/// Sets `field` to `value`; whether the field is new. The size is kept.
///
/// # Errors
/// [`Error::MemberTooLong`]; the storage's.
pub fn set(
    db: &mut DbWriter<'_>,
    hash: &mut Collection,
    field: &[u8],
    value: &Bytes,
) -> Result<bool> {
    check_field(field)?;
    let is_new = !hash.replace(db, &hashed::subkey(field), value.clone())?;
    count_set(hash, field, value, is_new);
    Ok(is_new)
}

/// As [`set`], but leaves a field that is there as it is.
///
/// # Errors
/// As for [`set`].
pub fn set_new(
    db: &mut DbWriter<'_>,
    hash: &mut Collection,
    field: &[u8],
    value: &Bytes,
) -> Result<bool> {
    check_field(field)?;
    let is_new = hash.add(db, &hashed::subkey(field), value.clone())?;
    if is_new {
        count_set(hash, field, value, true);
    }
    Ok(is_new)
}

/// Removes `field`; whether it was there. The size is kept.
///
/// # Errors
/// The storage's.
pub fn remove(db: &mut DbWriter<'_>, hash: &mut Collection, field: &[u8]) -> Result<bool> {
    if field.len() > MEMBER_BYTES_MAX {
        return Ok(false);
    }
    let removed = hash.remove(db, &hashed::subkey(field))?;
    if removed {
        hash.set_size(hash.size().saturating_sub(1));
    }
    Ok(removed)
}

/// What Redis would keep the hash of `record` as.
///
/// # Errors
/// The storage's, if the record is damaged.
pub fn encoding(record: &Record) -> Result<&'static str> {
    let traits = Collection::from_record(record)?.traits();
    Ok(if traits & HASHTABLE != 0 { "hashtable" } else { "listpack" })
}

fn check_field(field: &[u8]) -> Result<()> {
    if field.len() > MEMBER_BYTES_MAX { Err(Error::MemberTooLong) } else { Ok(()) }
}

fn count_set(hash: &mut Collection, field: &[u8], value: &[u8], is_new: bool) {
    if is_new {
        hash.set_size(hash.size() + 1);
    }
    if field.len().max(value.len()) > LISTPACK_BYTES_MAX || hash.size() > LISTPACK_FIELDS_MAX {
        hash.add_traits(HASHTABLE);
    }
}
