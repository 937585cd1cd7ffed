//! A file that is read and never written: what is written to it stays in memory. redb has no check
//! that leaves a file as it is, since its check repairs what a crash has left.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::redb::StorageBackend;

/// Written bytes are kept in blocks of this length.
const BLOCK_BYTES: u64 = 4096;

/// The largest file that redb may make of it beyond the one there is: what a damaged header asks for.
const GROWTH_BYTES_MAX: u64 = 8 << 30;

/// What is written to it is a repair's: pages for each of the roots and the allocator's state, which
/// is a few bits for each page of the file.
pub(super) struct Overlay(Mutex<State>);

struct State {
    file: File,
    /// The file's own length, which never changes.
    file_len: u64,
    /// The length that redb has given it.
    len: u64,
    written: HashMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> Result<Self> {
        let file_len = file.metadata()?.len();
        Ok(Self(Mutex::new(State { file, file_len, len: file_len, written: HashMap::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Fills `out` from the file; zeros where the file has ended.
    fn read_file(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        let there = self.file_len.saturating_sub(offset).min(out.len() as u64);
        let (from_file, beyond) = out.split_at_mut(usize::try_from(there).unwrap_or(0));
        beyond.fill(0);
        if !from_file.is_empty() {
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(from_file)?;
        }
        Ok(())
    }

    fn check(&self, offset: u64, len: usize) -> Result<()> {
        match offset.checked_add(len as u64) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(Error::new(ErrorKind::UnexpectedEof, "beyond the end of the file")),
        }
    }
}

/// The parts of `len` bytes from `offset` on, by block: its number, where in it, and how many bytes.
fn parts(mut offset: u64, mut len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    std::iter::from_fn(move || {
        if len == 0 {
            return None;
        }
        let at = offset % BLOCK_BYTES;
        let part_len = usize::try_from(BLOCK_BYTES - at).unwrap_or(usize::MAX).min(len);
        let part = (offset / BLOCK_BYTES, usize::try_from(at).unwrap_or(0), part_len);
        offset += part_len as u64;
        len -= part_len;
        Some(part)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64> {
        Ok(self.state().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let mut state = self.state();
        state.check(offset, out.len())?;
        state.read_file(offset, out)?;
        let mut rest = out;
        for (block, at, len) in parts(offset, rest.len()) {
            let (part, behind) = rest.split_at_mut(len);
            if let Some(written) = state.written.get(&block)
                && let Some(written) = written.get(at..at + len)
            {
                part.copy_from_slice(written);
            }
            rest = behind;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<()> {
        let mut state = self.state();
        if len > state.file_len.saturating_add(GROWTH_BYTES_MAX) {
            return Err(Error::new(ErrorKind::InvalidData, "a length that makes no sense"));
        }
        if len < state.len {
            // What it grows by again is zeros.
            let whole = len.div_ceil(BLOCK_BYTES);
            state.written.retain(|block, _| *block < whole);
            state.file_len = state.file_len.min(len);
            if let Some(last) = state.written.get_mut(&(len / BLOCK_BYTES)) {
                let kept = usize::try_from(len % BLOCK_BYTES).unwrap_or(0);
                last.iter_mut().skip(kept).for_each(|byte| *byte = 0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut state = self.state();
        state.check(offset, data.len())?;
        let mut rest = data;
        for (block, at, len) in parts(offset, rest.len()) {
            let (part, behind) = rest.split_at(len);
            if !state.written.contains_key(&block) {
                let mut whole = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(0)];
                state.read_file(block * BLOCK_BYTES, &mut whole)?;
                state.written.insert(block, whole.into());
            }
            let whole = state.written.get_mut(&block);
            if let Some(target) = whole.and_then(|whole| whole.get_mut(at..at + len)) {
                target.copy_from_slice(part);
            }
            rest = behind;
        }
        Ok(())
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn it_behaves_as_a_file_and_leaves_the_file_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut expected: Vec<u8> = (0..20_000u32).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &expected).unwrap();
        let overlay = Overlay::new(File::open(&path).unwrap()).unwrap();
        let before = fs::read(&path).unwrap();
        let mut seed = 7u64;
        let mut below = |limit: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % limit
        };
        for round in 0..500 {
            if round % 5 == 0 {
                let len = below(30_000) + 1;
                expected.resize(len, 0);
                overlay.set_len(len as u64).unwrap();
            }
            let start = below(expected.len());
            let len = below(expected.len() - start + 1).min(9000);
            let data: Vec<u8> = (0..len).map(|_| below(256) as u8).collect();
            overlay.write(start as u64, &data).unwrap();
            expected[start..start + len].copy_from_slice(&data);
            let mut found = vec![1; expected.len()];
            overlay.read(0, &mut found).unwrap();
            assert!(found == expected, "round {round}");
            let mut part = vec![1; len];
            overlay.read(start as u64, &mut part).unwrap();
            assert_eq!(part, data);
        }
        assert!(overlay.read(expected.len() as u64, &mut [0]).is_err());
        assert!(overlay.write(u64::MAX, &[0]).is_err());
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}
