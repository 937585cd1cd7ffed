//! The overlay: pending writes, savepoints and merged pages against a map.

use bytes::Bytes;

use super::input::Input;
use super::model::{self, EVERYTHING, KEYSPACES, Maps, check_form, check_page, entries};
use crate::engine::{PageLimit, Snapshot};
use crate::keyspace::Keyspace;
use crate::overlay::{Mark, Overlay};
use crate::range::KeyRange;
use crate::read::rest_after;

struct Run {
    overlay: Overlay,
    base: Box<dyn Snapshot>,
    keyspaces: [Keyspace; KEYSPACES],
    maps: Maps,
    savepoints: Vec<(Mark, Maps)>,
}

/// Writes, deletes, range deletes, savepoints and their undoing, as `data` says, over an engine that
/// has some entries. Then and in between what is read, and what an engine makes of the merged batch, is
/// what a map would hold.
///
/// # Panics
/// When it is not.
pub fn overlay(data: &[u8]) {
    let mut input = Input(data);
    let (_, keyspaces, engine) = model::engine();
    let maps = model::fill(&mut input, engine.as_ref(), &keyspaces);
    let base = engine.snapshot().unwrap();
    let mut run = Run { overlay: Overlay::default(), base, keyspaces, maps, savepoints: vec![] };
    while !input.is_used_up() {
        run.step(&mut input);
    }
    run.check_all();
    let Run { overlay, keyspaces, maps, .. } = run;
    check_form(overlay.changes());
    engine.apply(overlay.changes(), false).unwrap();
    model::check_engine(engine.as_ref(), &keyspaces, &maps);
}

impl Run {
    fn step(&mut self, input: &mut Input<'_>) {
        let choice = input.byte();
        let at = usize::from(choice >> 7);
        let (id, map) = (self.keyspaces[at].id, &mut self.maps[at]);
        match choice % 16 {
            0..4 => {
                let key = input.key();
                let value = Bytes::copy_from_slice(&[choice]);
                self.overlay.put(id, key.clone(), value.clone());
                map.insert(key, value);
            }
            4..7 => {
                let key = input.key();
                self.overlay.delete(id, key.clone());
                map.remove(&key);
            }
            7..10 => {
                let range = input.range();
                map.retain(|key, _| !range.contains(key));
                self.overlay.delete_range(id, range);
            }
            10 => self.savepoints.push((self.overlay.mark(), self.maps.clone())),
            11 => {
                if let Some((mark, maps)) = self.savepoints.pop() {
                    self.overlay.rollback(mark);
                    assert_eq!(self.overlay.bytes_since(mark), 0);
                    self.maps = maps;
                    self.check_all();
                }
            }
            12 => {
                self.savepoints.clear();
                self.overlay.keep();
            }
            13 => {
                let key = input.key();
                self.check_key(at, &key);
            }
            _ => {
                let (range, limit) = (input.range(), input.limit());
                self.check_pages(at, &range, choice & 0x40 != 0, limit);
            }
        }
    }

    fn check_key(&self, at: usize, key: &[u8]) {
        let id = self.keyspaces[at].id;
        let found = self.overlay.get(id, key).unwrap_or_else(|| self.base.get(id, key).unwrap());
        assert_eq!(found.as_ref(), self.maps[at].get(key), "{key:?}");
    }

    /// Page after page, until nothing is left.
    fn check_pages(&self, at: usize, range: &KeyRange, reverse: bool, limit: PageLimit) {
        let id = self.keyspaces[at].id;
        let expected = entries(&self.maps[at], range, reverse);
        let mut read = Vec::new();
        let mut rest = Some(range.clone()).filter(|range| !range.is_empty());
        while let Some(range) = rest {
            let page = self.overlay.page(self.base.as_ref(), id, &range, reverse, limit).unwrap();
            check_page(&page, &expected[read.len()..], limit);
            rest = rest_after(range, reverse, &page).filter(|rest| !rest.is_empty());
            read.extend(page.entries);
        }
        assert_eq!(read, expected);
    }

    fn check_all(&self) {
        for at in 0..KEYSPACES {
            self.check_pages(at, &KeyRange::ALL, false, EVERYTHING);
            self.check_pages(at, &KeyRange::ALL, true, EVERYTHING);
            for key in self.maps[at].keys() {
                self.check_key(at, key);
            }
        }
    }
}
