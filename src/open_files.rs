//! The limit of open files, which bounds how many clients there can be.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files for standard streams, listeners, the runtime and its like (Redis's
/// `CONFIG_MIN_RESERVED_FDS`).
const RESERVED_FILES: u64 = 32;

/// What came of making room for clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// How many clients fit, as many as were wanted at the most.
    pub(crate) clients: usize,
    /// How many files may be open.
    limit: u64,
    /// How many would have to be.
    needed: u64,
}

/// Raises the limit so that `clients_max` clients fit beside `other_files`, as far as the system
/// lets it.
pub(crate) fn make_room(clients_max: usize, other_files: u32) -> Room {
    let reserved = RESERVED_FILES + u64::from(other_files);
    let needed = reserved.saturating_add(clients_max as u64);
    let limit = raise(needed);
    let room = usize::try_from(limit.saturating_sub(reserved)).unwrap_or(usize::MAX);
    Room { clients: room.min(clients_max), limit, needed }
}

/// As [`make_room`], for a server that starts: with fewer clients than were wanted if need be.
///
/// # Errors
/// A text for the user when not even one fits.
pub(crate) fn make_some_room(clients_max: usize, other_files: u32) -> Result<usize, String> {
    let Room { clients, limit, needed } = make_room(clients_max, other_files);
    if clients == 0 {
        return Err(format!(
            "the limit of {limit} open files is too low: raise it (ulimit -n) to {needed}"
        ));
    }
    if clients < clients_max {
        tracing::warn!(
            limit,
            needed,
            "maxclients is reduced from {clients_max} to {clients}, since the limit of open files \
             is {limit} and cannot be raised; raise it with ulimit -n"
        );
    }
    Ok(clients)
}

/// Raises the soft limit to `needed`, and the hard limit where that is allowed; returns the soft
/// limit then.
fn raise(needed: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    // No limit is `None`.
    let soft = limit.current.unwrap_or(u64::MAX);
    if soft >= needed {
        return soft;
    }
    let hard = limit.maximum.unwrap_or(u64::MAX);
    for (current, maximum) in [(needed, hard.max(needed)), (needed.min(hard), hard)] {
        let maximum = limit.maximum.map(|_| maximum);
        if setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).is_ok() {
            tracing::debug!(from = soft, to = current, "raised the limit of open files");
            return current;
        }
    }
    soft
}
