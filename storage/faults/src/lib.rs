//! A disk in memory that loses power.
//!
//! [`File`] keeps what has been written and what of that has been fsynced, [`Names`] the same of
//! directories, and [`Disk`] is a file system of both. When its power is cut, what was not fsynced survives,
//! is lost, or is torn at a sector, as a seed decides ([`PowerLoss`]). On Linux, [`Mount`] serves a disk over
//! FUSE, so that programs that know nothing of it can be tested on it.
//!
//! It is weaker than any file system that it stands for: what must hold is what POSIX and the
//! journals of ext4, XFS and Btrfs promise, and nothing beside it.
//!
//! - A file's content survives once the file has been fsynced, a name once its directory has been.
//!   (Whether the fsync of a new file keeps its name as well, is up to the seed.)
//! - Writes since the last fsync survive in any combination, each whole, in part or not at all. A file may
//!   have grown without the data: zeros are there then.
//! - Changes of names since the last fsync of their directory survive up to some point, in
//!   their order. A rename is never seen half done.
//! - A file's shrinking survives or is lost with all that was done to that file later.

mod disk;
mod file;
mod loss;
#[cfg(target_os = "linux")]
mod mount;
mod names;

pub use disk::{Disk, Found, ROOT};
pub use file::File;
pub use loss::PowerLoss;
#[cfg(target_os = "linux")]
pub use mount::{Mount, unavailable};
pub use names::{InodeNumber, Names};
