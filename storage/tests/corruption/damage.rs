//! What is done to a file.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::base::files;
use super::workload::Rng;

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

/// Headers, footers, roots: every other trial is in so many bytes of a file's beginning or end.
const EDGE_BYTES: usize = 4096;

/// Damage to one file of a directory.
pub struct Damage {
    /// In the directory.
    pub file: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    FlippedBit { at: usize, bit: u32 },
    ZeroedSector { at: usize },
    RandomBytes { at: usize, bytes: Vec<u8> },
    CutOff { len: usize },
    SwappedPages { first: usize, second: usize },
    Deleted,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.file.display(), self.kind)
    }
}

impl Damage {
    /// The one of `trial` to a copy of `base`; `seed` makes another series of them.
    pub fn choose(base: &Path, seed: u64, trial: u64) -> Self {
        let mut rng = Rng(seed.wrapping_add(trial.wrapping_mul(0x2545_f491_4f6c_dd1d)));
        // Its own log is text for people, and its lock file is empty.
        let is_data = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            !name.starts_with("LOG") && name != "LOCK" && name != "pontoon.lock"
        };
        let mut candidates: Vec<_> = files(base).into_iter().filter(is_data).collect();
        // The marker is one file of few, and soon tried in every way.
        if rng.below(10) > 0 {
            candidates.retain(|path| !path.ends_with("PONTOON"));
        }
        let file = candidates.swap_remove(rng.below(candidates.len() as u64) as usize);
        let len = fs::metadata(&file).unwrap().len() as usize;
        let file = file.strip_prefix(base).unwrap().to_owned();
        let at = if trial.is_multiple_of(2) {
            below(&mut rng, len)
        } else {
            let at = below(&mut rng, EDGE_BYTES.min(len));
            if trial.is_multiple_of(4) || rng.below(2) == 0 { at } else { len.max(1) - 1 - at }
        };
        let kind = match rng.below(100) {
            0..50 => Kind::FlippedBit { at, bit: rng.below(8) as u32 },
            50..65 => Kind::ZeroedSector { at: at / SECTOR_BYTES * SECTOR_BYTES },
            65..80 => {
                let bytes_len = 1 + below(&mut rng, 64);
                Kind::RandomBytes {
                    at,
                    bytes: (0..bytes_len).map(|_| rng.below(256) as u8).collect(),
                }
            }
            80..88 => Kind::CutOff { len: at },
            88..98 if len >= 2 * PAGE_BYTES => {
                let pages = len / PAGE_BYTES;
                let first = (at / PAGE_BYTES).min(pages - 1);
                let second = (first + 1 + below(&mut rng, pages - 1)) % pages;
                Kind::SwappedPages { first: first * PAGE_BYTES, second: second * PAGE_BYTES }
            }
            98.. => Kind::Deleted,
            _ => Kind::FlippedBit { at, bit: rng.below(8) as u32 },
        };
        Self { file, kind }
    }

    /// Does it to the copy in `dir`; whether that changed anything.
    pub fn apply(&self, dir: &Path) -> bool {
        let path = dir.join(&self.file);
        let before = fs::read(&path).unwrap();
        let mut bytes = before.clone();
        match &self.kind {
            Kind::FlippedBit { at, bit } => {
                if let Some(byte) = bytes.get_mut(*at) {
                    *byte ^= 1 << bit;
                }
            }
            Kind::ZeroedSector { at } => {
                bytes.iter_mut().skip(*at).take(SECTOR_BYTES).for_each(|byte| *byte = 0);
            }
            Kind::RandomBytes { at, bytes: random } => {
                bytes.iter_mut().skip(*at).zip(random).for_each(|(byte, new)| *byte = *new);
            }
            Kind::CutOff { len } => bytes.truncate(*len),
            Kind::SwappedPages { first, second } => {
                for offset in 0..PAGE_BYTES {
                    bytes.swap(first + offset, second + offset);
                }
            }
            Kind::Deleted => {
                fs::remove_file(&path).unwrap();
                return true;
            }
        }
        fs::write(&path, &bytes).unwrap();
        bytes != before
    }
}

fn below(rng: &mut Rng, limit: usize) -> usize {
    rng.below(limit.max(1) as u64) as usize
}
