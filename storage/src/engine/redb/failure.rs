//! redb's errors as ours.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ::redb::{DatabaseError, Error as RedbError};

use crate::error::{Error, Result};
use crate::lane::call::engine_panic;

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

/// Runs what reads pages. redb believes them, but where it checks their checksums, and panics over what
/// cannot be: here that is damage, wherever it is met.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|payload| Err(engine_panic(payload.as_ref())))
}
