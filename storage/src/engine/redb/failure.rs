//! redb's errors as ours.

use std::io::ErrorKind;
use std::path::Path;

use ::redb::{DatabaseError, Error as RedbError};

use crate::error::Error;

/// For everything after the opening.
pub(super) fn failed(error: impl Into<RedbError>) -> Error {
    let error = error.into();
    if is_damage(&error) { Error::corrupted(error) } else { Error::engine(error) }
}

/// For the opening of the database in `dir`.
pub(super) fn open_failed(error: DatabaseError, dir: &Path) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen => Error::Locked { dir: dir.to_owned() },
        error => failed(error),
    }
}

/// Damage, and data of another version or of other types than ours: to the caller the same, since
/// neither goes away by trying again.
fn is_damage(error: &RedbError) -> bool {
    match error {
        RedbError::Corrupted(_)
        | RedbError::UpgradeRequired(_)
        | RedbError::TableTypeMismatch { .. }
        | RedbError::TableIsMultimap(_)
        | RedbError::TypeDefinitionChanged { .. } => true,
        // A file that is shorter than its own header says.
        RedbError::Io(error) => {
            matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}
