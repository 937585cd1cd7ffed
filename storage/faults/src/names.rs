//! Directories: what a program sees in them, and what is there after a power loss.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use crate::loss::PowerLoss;

/// What a name stands for.
pub type InodeNumber = u64;

type Tree = BTreeMap<InodeNumber, BTreeMap<OsString, InodeNumber>>;

/// The entries of all directories.
#[derive(Debug, Clone, Default)]
pub struct Names {
    now: Tree,
    durable: Tree,
    /// Since the last fsync of their directories, in their order.
    unsynced: Vec<Change>,
}

/// Edits that are done all or none.
type Change = Vec<Edit>;

#[derive(Debug, Clone)]
struct Edit {
    dir: InodeNumber,
    name: OsString,
    /// What the name stands for from now on.
    inode: Option<InodeNumber>,
}

impl Names {
    /// What `name` in `dir` stands for.
    pub fn get(&self, dir: InodeNumber, name: &OsStr) -> Option<InodeNumber> {
        self.now.get(&dir)?.get(name).copied()
    }

    /// What is in `dir`, by name.
    pub fn list(&self, dir: InodeNumber) -> impl Iterator<Item = (&OsStr, InodeNumber)> {
        let entries = self.now.get(&dir).into_iter().flatten();
        entries.map(|(name, inode)| (name.as_os_str(), *inode))
    }

    /// How many names stand for `inode`.
    pub fn count(&self, inode: InodeNumber) -> usize {
        self.now.values().flat_map(BTreeMap::values).filter(|named| **named == inode).count()
    }

    /// Makes `name` in `dir` stand for `inode`, or for nothing.
    pub fn set(&mut self, dir: InodeNumber, name: &OsStr, inode: Option<InodeNumber>) {
        self.change(vec![Edit { dir, name: name.to_owned(), inode }]);
    }

    /// Moves a name, in place of the one that is there.
    pub fn rename(&mut self, from: (InodeNumber, &OsStr), to: (InodeNumber, &OsStr)) {
        let inode = self.get(from.0, from.1);
        self.change(vec![
            Edit { dir: from.0, name: from.1.to_owned(), inode: None },
            Edit { dir: to.0, name: to.1.to_owned(), inode },
        ]);
    }

    fn change(&mut self, change: Change) {
        apply(&change, &mut self.now);
        self.unsynced.push(change);
    }

    /// Makes what was done in `dir` survive a power loss, and what it follows from.
    pub fn sync(&mut self, dir: InodeNumber) {
        self.sync_changes(self.unsynced.len(), dir);
    }

    /// The same up to the last change that made a name stand for `inode`.
    pub fn sync_name_of(&mut self, inode: InodeNumber) {
        let names = |edit: &Edit| edit.inode == Some(inode);
        let Some(at) = self.unsynced.iter().rposition(|change| change.iter().any(names)) else {
            return;
        };
        let dirs = self.unsynced.get(at).into_iter().flatten().map(|edit| edit.dir);
        for dir in dirs.collect::<BTreeSet<_>>() {
            self.sync_changes(at + 1, dir);
        }
    }

    /// Of the first `upto` changes those of `dir`, and those that precede them in directories that
    /// they have to do with.
    fn sync_changes(&mut self, upto: usize, dir: InodeNumber) {
        let mut dirs = BTreeSet::from([dir]);
        let mut chosen = vec![false; self.unsynced.len()];
        for (change, chosen) in self.unsynced.iter().zip(&mut chosen).take(upto).rev() {
            if change.iter().any(|edit| dirs.contains(&edit.dir)) {
                *chosen = true;
                dirs.extend(change.iter().map(|edit| edit.dir));
            }
        }
        let mut left = Vec::new();
        for (change, chosen) in std::mem::take(&mut self.unsynced).into_iter().zip(chosen) {
            if chosen {
                apply(&change, &mut self.durable);
            } else {
                left.push(change);
            }
        }
        self.unsynced = left;
    }

    /// How many changes a power loss could take.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The names that `loss` leaves, all of them fsynced.
    pub fn after(&self, loss: &mut PowerLoss) -> Names {
        let mut left = self.durable.clone();
        let mut ended = BTreeSet::new();
        for change in &self.unsynced {
            let has_ended = change.iter().any(|edit| ended.contains(&edit.dir));
            if has_ended || loss.ends_names() {
                ended.extend(change.iter().map(|edit| edit.dir));
            } else {
                apply(change, &mut left);
            }
        }
        Names { now: left.clone(), durable: left, unsynced: Vec::new() }
    }
}

fn apply(change: &Change, tree: &mut Tree) {
    for Edit { dir, name, inode } in change {
        let entries = tree.entry(*dir).or_default();
        match inode {
            Some(inode) => entries.insert(name.clone(), *inode),
            None => entries.remove(name),
        };
    }
}
