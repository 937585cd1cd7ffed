//! Keyspace names, and ranges of keys.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::input::Input;
use super::model::STORE;
use crate::engine::{Changes, EngineKind, EngineOptions, KeyspaceChanges};
use crate::error::Error;
use crate::keyspace::{KEYSPACE_NAME_BYTES_MAX, Keyspace, KeyspaceNames};
use crate::range::{KeyRange, successor};

/// Names at once.
const NAMES_MAX: usize = 4;

/// What an engine keeps for itself; too long to be met by chance.
const RESERVED: &str = "default";

/// Asks for keyspaces by any names, and for ranges by any bounds, as `data` says: a name is taken just if
/// it may be one, keeps its number, and comes back from an engine as it went in; a range holds just
/// the keys that its bounds say.
///
/// # Panics
/// When that does not hold.
pub fn keyspace(data: &[u8]) {
    let mut input = Input(data);
    let names = Arc::new(KeyspaceNames::new(STORE, NAMES_MAX));
    let mut known: Vec<Keyspace> = Vec::new();
    while !input.is_used_up() {
        if input.byte() % 2 == 0 {
            name(&mut input, &names, &mut known);
        } else {
            range(&mut input);
        }
    }
    stored(&names, &known);
}

fn name(input: &mut Input<'_>, names: &KeyspaceNames, known: &mut Vec<Keyspace>) {
    // Repeated, so that few bytes make a name of any length.
    let repeats = if input.byte() < 250 { 1 } else { input.below(64) + 1 };
    let len = input.below(17);
    let part = if len < 16 { input.bytes(len) } else { Bytes::from_static(RESERVED.as_bytes()) };
    let Ok(part) = String::from_utf8(part.into()) else { return };
    let name = part.repeat(repeats);
    let may_be = !name.is_empty()
        && name.len() <= KEYSPACE_NAME_BYTES_MAX
        && name.chars().all(|c| ('!'..='~').contains(&c) && c != '/')
        && name != RESERVED;
    let before = known.iter().find(|keyspace| keyspace.name() == name);
    match names.intern(&name) {
        Ok(keyspace) => {
            assert!(may_be, "{name:?} was taken");
            assert_eq!(keyspace.name(), name);
            assert_eq!(&*names.name(keyspace.id()).unwrap(), name);
            if let Some(before) = before {
                assert_eq!(keyspace, *before);
            } else {
                assert_eq!(keyspace.id().index(), known.len());
                known.push(keyspace);
            }
        }
        Err(Error::InvalidArgument(_)) => assert!(!may_be, "{name:?} was refused"),
        Err(Error::TooLarge { .. }) => {
            assert!(may_be && before.is_none() && known.len() == NAMES_MAX, "{name:?}");
        }
        Err(error) => panic!("{name:?}: {error}"),
    }
}

/// An engine names just those that were written, as they were asked for.
fn stored(names: &Arc<KeyspaceNames>, known: &[Keyspace]) {
    let options = EngineOptions::default();
    let engine = EngineKind::Memory.open(Path::new(""), &options, Arc::clone(names)).unwrap();
    let keyspaces = known.iter().map(|keyspace| KeyspaceChanges {
        keyspace: keyspace.id(),
        ranges: BTreeMap::new(),
        writes: BTreeMap::from([(Bytes::new(), Some(Bytes::new()))]),
    });
    engine.apply(&Changes { keyspaces: keyspaces.collect() }, false).unwrap();
    let mut expected: Vec<&str> = known.iter().map(Keyspace::name).collect();
    expected.sort_unstable();
    assert_eq!(engine.keyspaces().unwrap(), expected);
}

fn range(input: &mut Input<'_>) {
    let (low, high, key) = (input.key(), input.key(), input.key());
    let holds = |range: KeyRange, expected: bool| {
        assert_eq!(range.contains(&key), expected, "{key:?} in {range:?}");
        assert!(!(expected && range.is_empty()), "{range:?} is empty, and has {key:?}");
    };
    holds(KeyRange::from(&low..&high), low <= key && key < high);
    holds(KeyRange::from(&low..=&high), low <= key && key <= high);
    holds(KeyRange::from(&low..), low <= key);
    holds(KeyRange::from(..&high), key < high);
    holds(KeyRange::ALL, true);
    let after = (Bound::Excluded(&low), Bound::Included(&high));
    holds(KeyRange::from_bounds::<&Bytes>(after), low < key && key <= high);
    holds(KeyRange::prefix(&low), key.starts_with(&low));
    let next = successor(&low);
    assert!(low < next && !(low < key && key < next), "{key:?} is between {low:?} and {next:?}");
}
