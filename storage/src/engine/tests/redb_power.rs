//! redb after a power loss: over a backend of ours that knows what redb has synced, at every one of
//! its writes. `storage/faults/` does the same to whole stores, on a file system.

use std::io;
use std::sync::{Mutex, PoisonError};

use ::redb::StorageBackend;
use pontoon_faults::{File, PowerLoss};

use super::*;
use crate::engine::redb::Redb;
use crate::error::Result;

const ROUNDS: &str = "PONTOON_POWER_ROUNDS";
const SEED: &str = "PONTOON_POWER_SEED";

/// Images of each mode, if nobody asks for more.
const IMAGES_DEFAULT: u64 = 400;

/// Images of one run of [`OPERATIONS`] operations.
const IMAGES_PER_RUN: u64 = 40;
const OPERATIONS: usize = 60;

/// In so many images once the power is lost again while redb repairs the first.
const IMAGES_PER_SECOND_LOSS: u64 = 3;

/// Operations leave their number here, so that every state is told from every other.
const NUMBER: &[u8] = b"number";

type State = BTreeMap<(KeyspaceId, Bytes), Bytes>;

/// The file of a database, and what it was like now and then.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    file: File,
    /// Writes and syncs.
    changes: u64,
    /// After which of them the file is kept as it is.
    keep_at: Vec<u64>,
    kept: Vec<Kept>,
    acknowledged: usize,
    begun: usize,
}

/// A file as it was, and which operations may be there after a power loss.
#[derive(Debug, Clone)]
struct Kept {
    file: File,
    least: usize,
    most: usize,
}

impl Disk {
    fn with<T>(&self, f: impl FnOnce(&mut Recorded) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, f: impl FnOnce(&mut File)) -> io::Result<()> {
        self.with(|disk| {
            disk.changes += 1;
            // Before it: a sync that the power cuts off has kept nothing for certain.
            if disk.keep_at.contains(&disk.changes) {
                let kept =
                    Kept { file: disk.file.clone(), least: disk.acknowledged, most: disk.begun };
                disk.kept.push(kept);
            }
            f(&mut disk.file);
        });
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|disk| disk.file.len()))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|disk| {
            let data = disk.file.read(offset, out.len() as u64);
            if data.len() < out.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            out.copy_from_slice(data);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.change(File::sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|file| file.write(offset, data))
    }
}

#[test]
fn a_power_loss_takes_what_was_not_synced_alone() {
    lose_power(false);
}

#[test]
fn a_power_loss_with_quick_repair_takes_what_was_not_synced_alone() {
    lose_power(true);
}

fn lose_power(quick_repair: bool) {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let images = number(ROUNDS).unwrap_or(IMAGES_DEFAULT);
    let seed = number(SEED).unwrap_or_else(random_seed);
    println!("quick repair {quick_repair}, {SEED}={seed}");
    let (mut tried, mut acknowledged) = (0, 0);
    for run in 0..images.div_ceil(IMAGES_PER_RUN) {
        let (images, operations) = lose_power_in_run(quick_repair, seed.wrapping_add(run));
        tried += images;
        acknowledged += operations;
    }
    assert!(tried >= images);
    println!(
        "power loss: redb over its backend, quick repair {quick_repair}: {tried} images, \
         {acknowledged} acknowledged in them, 0 lost"
    );
}

fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Returns how many images there were, and how many operations had to be in them.
fn lose_power_in_run(quick_repair: bool, seed: u64) -> (u64, usize) {
    let options = EngineOptions { quick_repair, ..options() };
    let names = new_names();
    let keyspaces = ["a", "b"].map(|name| names.intern(name).unwrap().id);
    let open = |disk: &Disk| Redb::open_backend(disk.clone(), &options, Arc::clone(&names));
    let mut random = Random(seed);

    // Once for the number of writes, which differs by few, and once with files kept among them.
    let disk = Disk::default();
    let mut states = Vec::new();
    for keep in [false, true] {
        let changes = disk.with(std::mem::take).changes;
        let engine = open(&disk).unwrap();
        if keep {
            disk.with(|disk| {
                let from = disk.changes + 1;
                let at = |_| from + random.below(changes.saturating_sub(from).max(1));
                disk.keep_at = (0..IMAGES_PER_RUN).map(at).collect();
            });
        }
        states = run(&engine, &disk, keyspaces, seed).unwrap();
        drop(engine);
    }

    let kept = disk.with(|disk| std::mem::take(&mut disk.kept));
    let mut acknowledged = 0;
    for number in 0..IMAGES_PER_RUN {
        let Kept { file, least, most } = &kept[random.below(kept.len() as u64) as usize];
        let loss = random.next();
        println!("run {seed}, image {number}, loss {loss}, operations {least} to {most}");
        let mut left = file.after(&mut PowerLoss::new(loss));
        if random.below(IMAGES_PER_SECOND_LOSS) == 0 {
            left = lose_again(&left, &mut random, &open);
        }
        let engine = open(&Disk::holding(left)).unwrap();
        let found = state_of(&engine, keyspaces);
        let number = found.get(&(keyspaces[0], Bytes::from_static(NUMBER)));
        let number = number
            .map_or(0, |bytes| u64::from_be_bytes(bytes.as_ref().try_into().unwrap()) as usize);
        assert!((*least..=*most).contains(&number), "{number} is the last that is there");
        let (state, dropped) = &states[number];
        if dropped.as_ref() != Some(&found) {
            assert_eq!(&found, state, "after {number} operations");
        }
        acknowledged += least;
    }
    (IMAGES_PER_RUN, acknowledged)
}

impl Disk {
    fn holding(file: File) -> Self {
        Self(Arc::new(Mutex::new(Recorded { file, ..Recorded::default() })))
    }
}

/// What a second power loss leaves of `file`, while it is opened, or right after.
fn lose_again(file: &File, random: &mut Random, open: &dyn Fn(&Disk) -> Result<Redb>) -> File {
    let disk = Disk::holding(file.clone());
    disk.with(|disk| disk.keep_at = vec![1 + random.below(8)]);
    drop(open(&disk).unwrap());
    let kept = disk.with(|disk| disk.kept.pop());
    match kept {
        Some(kept) => kept.file.after(&mut PowerLoss::new(random.next())),
        None => file.clone(),
    }
}

/// Runs [`OPERATIONS`] and returns the state after each number of them. Some drop a keyspace first, and so
/// there is a state before them, too, which has the number of the one before that.
fn run(
    engine: &Redb,
    disk: &Disk,
    keyspaces: [KeyspaceId; 2],
    seed: u64,
) -> Result<Vec<(State, Option<State>)>> {
    let mut random = Random(!seed);
    let mut state = State::new();
    let mut states = vec![(state.clone(), None)];
    for number in 1..=OPERATIONS {
        disk.with(|disk| disk.begun = number);
        if random.below(12) == 0 {
            engine.drop_keyspace(keyspaces[1])?;
            state.retain(|(keyspace, _), _| *keyspace != keyspaces[1]);
            states[number - 1].1 = Some(state.clone());
            disk.with(|disk| disk.acknowledged = number - 1);
        }
        let mut changes: Vec<_> = keyspaces.into_iter().map(change).collect();
        changes[0] = take(&mut changes[0]).put(NUMBER, (number as u64).to_be_bytes().to_vec());
        for _ in 0..random.below(8) {
            let index = random.below(2) as usize;
            let key = numbered(random.below(40) as usize);
            let len = if random.below(6) == 0 { 9_000 } else { random.below(300) };
            let put = random.below(4) != 0;
            let change = take(&mut changes[index]);
            changes[index] = if put {
                change.put(key, vec![number as u8; len as usize])
            } else {
                change.delete(key)
            };
        }
        for KeyspaceChanges { keyspace, writes, .. } in &changes {
            for (key, value) in writes {
                match value {
                    Some(value) => state.insert((*keyspace, key.clone()), value.clone()),
                    None => state.remove(&(*keyspace, key.clone())),
                };
            }
        }
        states.push((state.clone(), None));
        let sync = random.below(3) != 0;
        engine.apply(&Changes { keyspaces: changes }, sync)?;
        if sync {
            disk.with(|disk| disk.acknowledged = number);
        }
    }
    Ok(states)
}

fn take(changes: &mut KeyspaceChanges) -> KeyspaceChanges {
    let keyspace = changes.keyspace;
    std::mem::replace(changes, change(keyspace))
}

fn state_of(engine: &Redb, keyspaces: [KeyspaceId; 2]) -> State {
    let snapshot = engine.snapshot().unwrap();
    let entries = |keyspace| {
        let entries = entries_of(&*snapshot, keyspace).into_iter();
        entries.map(move |(key, value)| ((keyspace, key), value))
    };
    keyspaces.into_iter().flat_map(entries).collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
