//! A file system in memory whose power can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::file::File;
use crate::loss::PowerLoss;
use crate::names::{InodeNumber, Names};

/// The directory that everything is in.
pub const ROOT: InodeNumber = 1;

type Result<T> = std::result::Result<T, ErrorKind>;

/// Files and directories. Without power, everything ends with [`ErrorKind::Other`].
#[derive(Debug, Clone)]
pub struct Disk {
    inodes: BTreeMap<InodeNumber, Inode>,
    names: Names,
    next_inode: InodeNumber,
    /// Whether the fsync of a file keeps its name, too.
    sync_keeps_name: bool,
    has_power: bool,
    changes: u64,
    changes_max: Option<u64>,
    syncs: u64,
    failing_sync: Option<u64>,
    capacity: Option<u64>,
}

#[derive(Debug, Clone)]
enum Inode {
    File(File),
    Dir,
}

/// What there is to know of a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub inode: InodeNumber,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// The length of a file in bytes.
    pub len: u64,
    /// How many names it has.
    pub links: usize,
}

impl Disk {
    /// An empty one. `seed` chooses among what file systems differ in.
    pub fn new(seed: u64) -> Self {
        let inodes = BTreeMap::from([(ROOT, Inode::Dir)]);
        Self::of(inodes, Names::default(), ROOT + 1, seed)
    }

    fn of(
        inodes: BTreeMap<InodeNumber, Inode>,
        names: Names,
        next_inode: InodeNumber,
        seed: u64,
    ) -> Self {
        Self {
            inodes,
            names,
            next_inode,
            sync_keeps_name: SmallRng::seed_from_u64(!seed).random(),
            has_power: true,
            changes: 0,
            changes_max: None,
            syncs: 0,
            failing_sync: None,
            capacity: None,
        }
    }

    /// The disk that is there once the power is back, after the loss that `seed` stands for.
    pub fn after_power_loss(&self, seed: u64) -> Disk {
        let mut loss = PowerLoss::new(seed);
        let names = self.names.after(&mut loss);
        let mut inodes = BTreeMap::new();
        let mut dirs = vec![ROOT];
        inodes.insert(ROOT, Inode::Dir);
        while let Some(dir) = dirs.pop() {
            for (_, inode) in names.list(dir) {
                if inodes.contains_key(&inode) {
                    continue;
                }
                let left = match self.inodes.get(&inode) {
                    Some(Inode::File(file)) => Inode::File(file.after(&mut loss)),
                    Some(Inode::Dir) | None => {
                        dirs.push(inode);
                        Inode::Dir
                    }
                };
                inodes.insert(inode, left);
            }
        }
        Self::of(inodes, names, self.next_inode, seed)
    }

    /// Cuts the power with the `changes`-th change from now on, counting fsyncs: that one has
    /// happened as far as a power loss leaves it, but nobody is told.
    pub fn cut_power_after(&mut self, changes: u64) {
        self.changes_max = Some(self.changes + changes.max(1));
    }

    /// Cuts the power now.
    pub fn cut_power(&mut self) {
        self.has_power = false;
    }

    /// Whether the power has not been cut.
    pub fn has_power(&self) -> bool {
        self.has_power
    }

    /// How many changes and fsyncs there have been.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many changes of files and names a power loss could take now.
    pub fn unsynced(&self) -> usize {
        let of_inode = |inode: &Inode| match inode {
            Inode::File(file) => file.unsynced(),
            Inode::Dir => 0,
        };
        self.inodes.values().map(of_inode).sum::<usize>() + self.names.unsynced()
    }

    /// Lets the `syncs`-th fsync of a file from now on fail, and takes what it was to write, as
    /// Linux does.
    pub fn fail_sync_after(&mut self, syncs: u64) {
        self.failing_sync = Some(self.syncs + syncs.max(1));
    }

    /// Refuses with [`ErrorKind::StorageFull`] what would take more than `bytes` in all.
    pub fn set_capacity(&mut self, bytes: Option<u64>) {
        self.capacity = bytes;
    }

    /// What `name` in `dir` stands for.
    pub fn lookup(&self, dir: InodeNumber, name: &OsStr) -> Result<Found> {
        self.powered()?;
        self.found(self.names.get(dir, name).ok_or(ErrorKind::NotFound)?)
    }

    /// What `inode` is.
    pub fn stat(&self, inode: InodeNumber) -> Result<Found> {
        self.powered()?;
        self.found(inode)
    }

    /// All in `dir`, by name.
    pub fn list(&self, dir: InodeNumber) -> Result<Vec<(OsString, Found)>> {
        self.powered()?;
        let found =
            self.names.list(dir).map(|(name, inode)| Ok((name.to_owned(), self.found(inode)?)));
        found.collect()
    }

    /// Up to `len` bytes of a file from `offset`.
    pub fn read(&self, inode: InodeNumber, offset: u64, len: u64) -> Result<&[u8]> {
        self.powered()?;
        match self.inodes.get(&inode) {
            Some(Inode::File(file)) => Ok(file.read(offset, len)),
            Some(Inode::Dir) => Err(ErrorKind::IsADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    /// Creates an empty file, or a directory.
    pub fn create(&mut self, dir: InodeNumber, name: &OsStr, is_dir: bool) -> Result<Found> {
        self.powered()?;
        if self.names.get(dir, name).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        let inode = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(inode, if is_dir { Inode::Dir } else { Inode::File(File::default()) });
        self.names.set(dir, name, Some(inode));
        self.changed()?;
        self.found(inode)
    }

    /// Gives a file one more name.
    pub fn link(&mut self, inode: InodeNumber, dir: InodeNumber, name: &OsStr) -> Result<Found> {
        self.powered()?;
        if self.names.get(dir, name).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        self.names.set(dir, name, Some(inode));
        self.changed()?;
        self.found(inode)
    }

    /// Removes a name. A file that has none left can still be used by who has it open.
    pub fn remove(&mut self, dir: InodeNumber, name: &OsStr, is_dir: bool) -> Result<()> {
        let found = self.lookup(dir, name)?;
        match (found.is_dir, is_dir) {
            (true, false) => return Err(ErrorKind::IsADirectory),
            (false, true) => return Err(ErrorKind::NotADirectory),
            _ => self.refuse_if_filled(found.inode)?,
        }
        self.names.set(dir, name, None);
        self.changed()
    }

    /// Moves a name, in place of a file or an empty directory that is there.
    pub fn rename(&mut self, from: (InodeNumber, &OsStr), to: (InodeNumber, &OsStr)) -> Result<()> {
        let moved = self.lookup(from.0, from.1)?;
        if let Some(there) = self.names.get(to.0, to.1) {
            // POSIX: nothing is done then.
            if there == moved.inode {
                return Ok(());
            }
            self.refuse_if_filled(there)?;
        }
        self.names.rename(from, to);
        self.changed()
    }

    /// Writes `data` into a file at `offset`.
    pub fn write(&mut self, inode: InodeNumber, offset: u64, data: &[u8]) -> Result<()> {
        self.refuse_if_full(inode, offset + data.len() as u64)?;
        self.file(inode)?.write(offset, data);
        self.changed()
    }

    /// Makes a file `len` bytes long.
    pub fn set_len(&mut self, inode: InodeNumber, len: u64) -> Result<()> {
        self.refuse_if_full(inode, len)?;
        self.file(inode)?.set_len(len);
        self.changed()
    }

    /// Makes a file, or the names in a directory, survive a power loss.
    pub fn sync(&mut self, inode: InodeNumber) -> Result<()> {
        self.powered()?;
        // First, as an fsync in which the power goes has kept nothing for certain.
        self.changed()?;
        match self.inodes.get_mut(&inode) {
            Some(Inode::File(file)) => {
                self.syncs += 1;
                if self.failing_sync == Some(self.syncs) {
                    file.fail_sync();
                    return Err(ErrorKind::Other);
                }
                file.sync();
                if self.sync_keeps_name {
                    self.names.sync_name_of(inode);
                }
            }
            Some(Inode::Dir) => self.names.sync(inode),
            None => return Err(ErrorKind::NotFound),
        }
        Ok(())
    }

    fn powered(&self) -> Result<()> {
        if self.has_power { Ok(()) } else { Err(ErrorKind::Other) }
    }

    /// Counts one change; the last before the power goes is not answered any more.
    fn changed(&mut self) -> Result<()> {
        self.changes += 1;
        if self.changes_max.is_some_and(|max| self.changes >= max) {
            self.has_power = false;
        }
        self.powered()
    }

    fn found(&self, inode: InodeNumber) -> Result<Found> {
        let (is_dir, len) = match self.inodes.get(&inode).ok_or(ErrorKind::NotFound)? {
            Inode::File(file) => (false, file.len()),
            Inode::Dir => (true, 0),
        };
        let links = if is_dir { 2 } else { self.names.count(inode) };
        Ok(Found { inode, is_dir, len, links })
    }

    fn file(&mut self, inode: InodeNumber) -> Result<&mut File> {
        self.powered()?;
        match self.inodes.get_mut(&inode) {
            Some(Inode::File(file)) => Ok(file),
            Some(Inode::Dir) => Err(ErrorKind::IsADirectory),
            None => Err(ErrorKind::NotFound),
        }
    }

    fn refuse_if_filled(&self, dir: InodeNumber) -> Result<()> {
        match self.names.list(dir).next() {
            Some(_) => Err(ErrorKind::DirectoryNotEmpty),
            None => Ok(()),
        }
    }

    /// Whether the file `inode`, grown to `len`, would take more than there is.
    fn refuse_if_full(&self, inode: InodeNumber, len: u64) -> Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let named: BTreeSet<_> = self.inodes.keys().filter(|i| self.names.count(**i) > 0).collect();
        let bytes: u64 = named.iter().filter_map(|i| self.found(**i).ok()).map(|f| f.len).sum();
        let grows = len.saturating_sub(self.found(inode)?.len);
        if grows > 0 && bytes + grows > capacity { Err(ErrorKind::StorageFull) } else { Ok(()) }
    }
}
