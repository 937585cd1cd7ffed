//! What a power loss takes, as a seed decides.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// What a disk writes at once or not at all, in bytes.
const SECTOR_BYTES: u64 = 512;

/// One power loss: asked about each change that was not fsynced, in their order.
#[derive(Debug)]
pub struct PowerLoss {
    rng: SmallRng,
    manner: Manner,
}

/// Defects differ in what brings them to light, so that no one mixture would do.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Nothing had been written back.
    AllLost,
    /// What was done to a file is there up to some point.
    InOrder,
    /// Each change by itself.
    InAnyOrder,
}

/// What became of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    Lost,
    Torn,
}

impl PowerLoss {
    /// The one that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let manner = match rng.random_range(0..10) {
            0 => Manner::AllLost,
            1..4 => Manner::InOrder,
            _ => Manner::InAnyOrder,
        };
        Self { rng, manner }
    }

    /// The fates of `len` writes to one file, one after the other.
    pub(crate) fn of_writes(&mut self, len: usize) -> Vec<Fate> {
        match self.manner {
            Manner::AllLost => vec![Fate::Lost; len],
            Manner::InOrder => {
                let end = self.end(len);
                let fate = |at| if at < end { Fate::Kept } else { Fate::Lost };
                let mut fates: Vec<Fate> = (0..len).map(fate).collect();
                if let Some(last) = fates.get_mut(end) {
                    *last = Fate::Torn;
                }
                fates
            }
            Manner::InAnyOrder => {
                let fates = [Fate::Kept, Fate::Lost, Fate::Torn];
                let one = |_| {
                    let index = self.rng.random_range(0..fates.len());
                    fates.get(index).copied().unwrap_or(Fate::Torn)
                };
                (0..len).map(one).collect()
            }
        }
    }

    /// Whether the changes of one directory end before this one, given that they have come so far.
    pub(crate) fn ends_names(&mut self) -> bool {
        match self.manner {
            Manner::AllLost => true,
            Manner::InOrder | Manner::InAnyOrder => self.rng.random_ratio(1, 5),
        }
    }

    /// Whether a file has its new length though the write that made it longer is gone.
    pub(crate) fn keeps_length(&mut self) -> bool {
        !matches!(self.manner, Manner::AllLost) && self.rng.random()
    }

    /// Which parts of a write of `len` bytes at `offset` there are, as ranges within it: whole
    /// sectors, the first of them alone or any.
    pub(crate) fn torn(&mut self, offset: u64, len: u64) -> Vec<(u64, u64)> {
        let mut sectors = Vec::new();
        let mut start = 0;
        while start < len {
            let end = ((offset + start) / SECTOR_BYTES + 1) * SECTOR_BYTES - offset;
            sectors.push((start, end.min(len)));
            start = end;
        }
        if matches!(self.manner, Manner::InOrder) || self.rng.random() {
            let kept = self.rng.random_range(0..=sectors.len());
            sectors.truncate(kept);
        } else {
            sectors.retain(|_| self.rng.random());
        }
        sectors
    }

    /// How many of `len` changes there are; more often than by chance all or all but a few.
    fn end(&mut self, len: usize) -> usize {
        if self.rng.random() {
            len - self.rng.random_range(0..=len.min(3))
        } else {
            self.rng.random_range(0..=len)
        }
    }
}
