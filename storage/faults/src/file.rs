//! A file's content: what a program reads, and what is there after a power loss.

use crate::loss::{Fate, PowerLoss};

/// The content of one file.
#[derive(Debug, Clone, Default)]
pub struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last fsync, in their order.
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: u64, data: Vec<u8> },
    Resize { len: u64 },
}

impl File {
    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.now.len() as u64
    }

    /// Whether its length is 0.
    pub fn is_empty(&self) -> bool {
        self.now.is_empty()
    }

    /// Up to `len` bytes from `offset`; fewer where the file ends.
    pub fn read(&self, offset: u64, len: u64) -> &[u8] {
        let start = position(offset).min(self.now.len());
        let end = start.saturating_add(position(len)).min(self.now.len());
        self.now.get(start..end).unwrap_or_default()
    }

    /// Writes `data` at `offset`; a gap before it is filled with zeros.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        write(&mut self.now, offset, data);
        self.unsynced.push(Change::Write { offset, data: data.to_vec() });
    }

    /// Makes it `len` bytes long; what is new is zeros.
    pub fn set_len(&mut self, len: u64) {
        if len != self.len() {
            self.now.resize(position(len), 0);
            self.unsynced.push(Change::Resize { len });
        }
    }

    /// Makes all that was done survive a power loss.
    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            change.apply(&mut self.durable);
        }
    }

    /// An fsync that fails, as on Linux: what was not written is still read, and is never written
    /// any more.
    pub fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    /// How many changes a power loss could take.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The file that `loss` leaves, fsynced as it is.
    pub fn after(&self, loss: &mut PowerLoss) -> File {
        let mut left = self.durable.clone();
        let fates = loss.of_writes(self.unsynced.len());
        for (change, fate) in self.unsynced.iter().zip(fates) {
            match change {
                // Journals keep the order of what they were told: later changes have not come about.
                Change::Resize { len } if *len < left.len() as u64 && fate != Fate::Kept => break,
                Change::Resize { .. } if fate == Fate::Lost => {}
                Change::Resize { .. } => change.apply(&mut left),
                Change::Write { .. } if fate == Fate::Kept => change.apply(&mut left),
                Change::Write { offset, data } => {
                    if fate == Fate::Torn {
                        for (start, end) in loss.torn(*offset, data.len() as u64) {
                            let part = data.get(position(start)..position(end));
                            write(&mut left, offset + start, part.unwrap_or_default());
                        }
                    }
                    let end = position(offset + data.len() as u64);
                    if end > left.len() && loss.keeps_length() {
                        left.resize(end, 0);
                    }
                }
            }
        }
        File { now: left.clone(), durable: left, unsynced: Vec::new() }
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { offset, data } => write(content, *offset, data),
            Change::Resize { len } => content.resize(position(*len), 0),
        }
    }
}

fn write(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let start = position(offset);
    let end = start + data.len();
    if end > content.len() {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(start..end) {
        place.copy_from_slice(data);
    }
}

/// A position in a file of this disk is one in memory.
fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}
