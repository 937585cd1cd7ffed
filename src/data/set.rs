//! Sets: members without values. A member's subkey is its hash and the member itself.

use bytes::Bytes;

use super::collection::{self, Collection, Editor};
use super::encoding::{Kind, MEMBER_BYTES_MAX, Record, hashed};
use super::error::{Error, Result};
use super::reader::DbReader;
use super::writer::DbWriter;

pub use super::set_algebra::{
    difference, difference_cost, intersection, intersection_cost, union, union_cost,
};

/// The most members of what Redis keeps as a sorted array of integers (`set-max-intset-entries`).
pub const INTSET_MEMBERS_MAX: u64 = 512;

/// A bit of the record's: Redis would keep it as a hash table, and has no way back.
const HASHTABLE: u8 = 1;

/// The set at `key`, for reading; counts a hit or a miss.
///
/// # Errors
/// [`Error::WrongType`]; the storage's.
pub fn read(db: &mut DbReader<'_>, key: &[u8]) -> Result<Option<Collection>> {
    collection::read(db, key, Kind::Set)
}

/// The set at `key`, or an empty one, for changing.
///
/// # Errors
/// As for [`Editor::open`].
pub fn open(db: &mut DbWriter<'_>, key: &Bytes) -> Result<Editor> {
    Editor::open(db, key, Kind::Set)
}

/// Whether `member` is in the set.
///
/// # Errors
/// The storage's.
pub fn contains(db: &mut DbReader<'_>, set: &Collection, member: &[u8]) -> Result<bool> {
    Ok(member.len() <= MEMBER_BYTES_MAX && set.contains(db, &hashed::subkey(member))?)
}

/// Which of `members` are in the set, in their order.
///
/// # Errors
/// The storage's.
pub fn contains_many(
    db: &mut DbReader<'_>,
    set: &Collection,
    members: &[Bytes],
) -> Result<Vec<bool>> {
    // What is too long to be stored is not there, under whatever subkey.
    let subkeys: Vec<Bytes> =
        members
            .iter()
            .map(|member| {
                if member.len() > MEMBER_BYTES_MAX { Bytes::new() } else { hashed::subkey(member) }
            })
            .collect();
    Ok(set.get_many(db, &subkeys)?.iter().map(Option::is_some).collect())
}

/// Calls `visit` with every member.
///
/// # Errors
/// The storage's; those of `visit`.
pub fn for_each(
    db: &mut DbReader<'_>,
    set: &Collection,
    mut visit: impl FnMut(Bytes) -> Result<()>,
) -> Result<()> {
    set.for_each(db, hashed::range_from(&[], 0), false, |subkey, _| {
        visit(hashed::member(&subkey)?)?;
        Ok(true)
    })
}

/// Adds `member`; whether it is new. The size is kept.
///
/// # Errors
/// [`Error::MemberTooLong`]; the storage's.
pub fn add(db: &mut DbWriter<'_>, set: &mut Collection, member: &[u8]) -> Result<bool> {
    if member.len() > MEMBER_BYTES_MAX {
        return Err(Error::MemberTooLong);
    }
    add_element(db, set, &hashed::subkey(member), member)
}

/// Removes `member`; whether it was there. The size is kept.
///
/// # Errors
/// The storage's.
pub fn remove(db: &mut DbWriter<'_>, set: &mut Collection, member: &[u8]) -> Result<bool> {
    if member.len() > MEMBER_BYTES_MAX {
        return Ok(false);
    }
    let removed = set.remove(db, &hashed::subkey(member))?;
    if removed {
        set.set_size(set.size().saturating_sub(1));
    }
    Ok(removed)
}

/// Removes what was chosen of the set: elements, by their subkeys. The size is kept.
///
/// # Errors
/// The storage's.
pub fn remove_elements(
    db: &mut DbWriter<'_>,
    set: &mut Collection,
    elements: &[Bytes],
) -> Result<()> {
    for subkey in elements {
        if set.remove(db, subkey)? {
            set.set_size(set.size().saturating_sub(1));
        }
    }
    Ok(())
}

/// A set of these elements, which are subkeys.
///
/// # Errors
/// The storage's.
pub fn of_elements(db: &mut DbWriter<'_>, elements: &[Bytes]) -> Result<Collection> {
    let mut set = Collection::new(Kind::Set);
    for subkey in elements {
        add_element(db, &mut set, subkey, &hashed::member(subkey)?)?;
    }
    Ok(set)
}

/// What Redis would keep the set of `record` as.
///
/// # Errors
/// The storage's, if the record is damaged.
pub fn encoding(record: &Record) -> Result<&'static str> {
    let traits = Collection::from_record(record)?.traits();
    Ok(if traits & HASHTABLE != 0 { "hashtable" } else { "intset" })
}

fn add_element(
    db: &mut DbWriter<'_>,
    set: &mut Collection,
    subkey: &[u8],
    member: &[u8],
) -> Result<bool> {
    let is_new = set.add(db, subkey, Bytes::new())?;
    if is_new {
        set.set_size(set.size() + 1);
        let is_intset = || set.size() <= INTSET_MEMBERS_MAX && is_integer(member);
        if set.traits() & HASHTABLE == 0 && !is_intset() {
            set.add_traits(HASHTABLE);
        }
    }
    Ok(is_new)
}

/// Whether it is a number of 64 bits as it would be written.
fn is_integer(member: &[u8]) -> bool {
    let number = std::str::from_utf8(member).ok().and_then(|text| text.parse::<i64>().ok());
    number.is_some_and(|number| itoa::Buffer::new().format(number).as_bytes() == member)
}
