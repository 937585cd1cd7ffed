//! What one run of commands shares.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use pontoon_storage::{Reader, Result, Transaction};

use super::databases::Databases;
use super::effects::{Effects, EffectsMark, Interest};
use super::encoding::{self, Counters, KEY_BYTES_MAX, KeyCounts};

/// Keys whose records a run reads ahead; the others are read one by one when their commands come.
/// Bounds what is held at once: a request may name a million keys, and a record holds kilobytes.
const PREFETCHED_KEYS_MAX: usize = 4096;

/// One run's clock, its view of the databases' books, and what it counted. Made for one snapshot or
/// one transaction, and never used with another.
#[derive(Debug)]
pub struct RunState {
    /// What the run counted so far.
    pub tally: Tally,
    /// What others must hear of, once the run is committed.
    pub effects: Effects,
    pub(super) databases: Databases,
    pub(super) now_ms: u64,
    books: Books,
    command: usize,
    prefetched: VecDeque<Prefetched>,
    scratch: Vec<u8>,
}

/// Counts of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lookups that found their key, by reading commands.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
    /// Keys removed because their time had come.
    pub expired: u64,
}

impl Tally {
    pub(super) fn count_lookup(&mut self, found: bool) {
        let count = if found { &mut self.hits } else { &mut self.misses };
        *count += 1;
    }
}

/// What a command that fails takes back besides its writes.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    books: Books,
    lookups: LookupsMark,
}

/// A point to go back to for a command that has only read.
#[derive(Debug, Clone, Copy)]
pub struct LookupsMark {
    tally: Tally,
    effects: EffectsMark,
}

/// The books as read, or as changed and not yet written. Nearly every run knows but one database, and
/// every command makes a copy to go back to.
#[derive(Debug, Clone, Default)]
struct Books {
    first: Option<(u8, DatabaseBooks)>,
    others: BTreeMap<u8, DatabaseBooks>,
    counters: Option<Page<Counters>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct DatabaseBooks {
    namespace: Option<Page<u64>>,
    counts: Option<Page<KeyCounts>>,
}

#[derive(Debug, Clone, Copy)]
struct Page<T> {
    record: T,
    changed: bool,
}

impl<T> Page<T> {
    fn read(record: T) -> Self {
        Self { record, changed: false }
    }

    fn changed(record: T) -> Self {
        Self { record, changed: true }
    }

    /// The record, if it is still to be written.
    fn take_changed(page: &mut Option<Self>) -> Option<&T> {
        let page = page.as_mut().filter(|page| page.changed)?;
        page.changed = false;
        Some(&page.record)
    }
}

impl Books {
    fn database(&mut self, db: u8) -> &mut DatabaseBooks {
        if self.first.is_none_or(|(first, _)| first == db) {
            &mut self.first.get_or_insert_with(|| (db, DatabaseBooks::default())).1
        } else {
            self.others.entry(db).or_default()
        }
    }
}

#[derive(Debug)]
struct Prefetched {
    command: usize,
    key: Bytes,
    stored: Option<Bytes>,
}

impl RunState {
    /// For a run whose clock says `now_ms`, in milliseconds since 1970.
    pub fn new(databases: &Databases, now_ms: u64) -> Self {
        Self {
            tally: Tally::default(),
            effects: Effects::default(),
            databases: databases.clone(),
            now_ms,
            books: Books::default(),
            command: 0,
            prefetched: VecDeque::new(),
            scratch: Vec::new(),
        }
    }

    /// For a run of which others want to hear.
    pub fn with_interest(databases: &Databases, now_ms: u64, interest: Interest) -> Self {
        let mut state = Self::new(databases, now_ms);
        state.effects.interest = interest;
        state
    }

    /// Reads the records of the first of `keys`, each with the position in the run of the command it is for,
    /// so that the commands find them without asking the engine again. A single key is left to its
    /// command. Only for a snapshot: in a transaction an earlier command may change a later one's
    /// keys. Whether there was anything to read.
    ///
    /// # Errors
    /// The storage's; nothing is kept then.
    pub fn prefetch<'k>(
        &mut self,
        reader: &dyn Reader,
        db: u8,
        keys: impl Iterator<Item = (usize, &'k Bytes)>,
    ) -> Result<bool> {
        let wanted: Vec<_> =
            keys.filter(|(_, key)| key.len() <= KEY_BYTES_MAX).take(PREFETCHED_KEYS_MAX).collect();
        if wanted.len() < 2 {
            return Ok(false);
        }
        let namespace = self.namespace(reader, db)?;
        let mut arena = Vec::with_capacity(wanted.iter().map(|(_, key)| 16 + key.len()).sum());
        for (_, key) in &wanted {
            encoding::put_record_key(&mut arena, namespace, encoding::hash(key), key);
        }
        let mut places = Vec::with_capacity(wanted.len());
        let mut rest = arena.as_slice();
        for (_, key) in &wanted {
            let Some((place, behind)) = rest.split_at_checked(16 + key.len()) else { break };
            places.push(place);
            rest = behind;
        }
        let found = reader.get_many(self.databases.meta(), &places)?;
        self.prefetched = wanted
            .into_iter()
            .zip(found)
            .map(|((command, key), stored)| Prefetched { command, key: key.clone(), stored })
            .collect();
        self.command = 0;
        Ok(true)
    }

    /// Says that the command at this position in the run begins.
    pub fn begin_command(&mut self, position: usize) {
        self.command = position;
        while self.prefetched.front().is_some_and(|front| front.command < position) {
            self.prefetched.pop_front();
        }
    }

    /// What to go back to if the command that begins now fails.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { books: self.books.clone(), lookups: self.mark_lookups() }
    }

    /// Goes back: what was written since is undone. Lookups stay counted, as Redis has it, but the
    /// keys they removed are there again.
    pub fn restore(&mut self, checkpoint: Checkpoint) {
        self.books = checkpoint.books;
        self.effects.truncate_to(checkpoint.lookups.effects);
        self.tally.expired = checkpoint.lookups.tally.expired;
    }

    /// What to go back to if what is looked up from now on does not count: it will be again.
    pub fn mark_lookups(&self) -> LookupsMark {
        LookupsMark { tally: self.tally, effects: self.effects.mark() }
    }

    /// Goes back: nothing has been looked up since, and nobody is told that something was missing.
    pub fn forget_lookups(&mut self, mark: LookupsMark) {
        self.tally = mark.tally;
        self.effects.truncate_to(mark.effects);
    }

    /// Writes what changed in the books: the last act of a run over `tx`.
    ///
    /// # Errors
    /// The storage's; the transaction must then be undone.
    pub fn write_books(&mut self, tx: &mut Transaction) -> Result<()> {
        let system = self.databases.system();
        let Books { first, others, counters } = &mut self.books;
        let first = first.iter_mut().map(|(db, books)| (*db, books));
        for (db, books) in first.chain(others.iter_mut().map(|(db, books)| (*db, books))) {
            if let Some(namespace) = Page::take_changed(&mut books.namespace) {
                let namespace = encoding::encode_namespace(*namespace);
                tx.put(system, encoding::database_key(db), namespace)?;
            }
            if let Some(counts) = Page::take_changed(&mut books.counts) {
                tx.put(system, encoding::counts_key(db), counts.encode())?;
            }
        }
        if let Some(counters) = Page::take_changed(counters) {
            tx.put(system, encoding::COUNTERS_KEY, counters.encode())?;
        }
        Ok(())
    }

    /// What the keys of `db` are stored under.
    pub(super) fn namespace(&mut self, reader: &dyn Reader, db: u8) -> Result<u64> {
        let page = &mut self.books.database(db).namespace;
        match page {
            Some(page) => Ok(page.record),
            None => Ok(page.insert(Page::read(self.databases.namespace(reader, db)?)).record),
        }
    }

    /// How many keys `db` has.
    pub(super) fn key_counts(&mut self, reader: &dyn Reader, db: u8) -> Result<KeyCounts> {
        let page = &mut self.books.database(db).counts;
        match page {
            Some(page) => Ok(page.record),
            None => Ok(page.insert(Page::read(self.databases.key_counts(reader, db)?)).record),
        }
    }

    /// Gives `db` another namespace.
    pub(super) fn set_namespace(&mut self, db: u8, namespace: u64) {
        self.books.database(db).namespace = Some(Page::changed(namespace));
    }

    /// Sets how many keys `db` has.
    pub(super) fn set_key_counts(&mut self, db: u8, counts: KeyCounts) {
        self.books.database(db).counts = Some(Page::changed(counts));
    }

    /// Gives out the next version.
    pub(super) fn allocate_version(&mut self, reader: &dyn Reader) -> Result<u64> {
        let counters = self.counters(reader)?;
        counters.version += 1;
        Ok(counters.version - 1)
    }

    /// Gives out the next namespace.
    pub(super) fn allocate_namespace(&mut self, reader: &dyn Reader) -> Result<u64> {
        let counters = self.counters(reader)?;
        counters.namespace += 1;
        Ok(counters.namespace - 1)
    }

    /// What is stored for `key` in the namespace, the expired too.
    pub(super) fn stored(
        &mut self,
        reader: &dyn Reader,
        namespace: u64,
        key: &[u8],
    ) -> Result<Option<Bytes>> {
        let fetched = |front: &Prefetched| front.command == self.command && front.key == key;
        if self.prefetched.front().is_some_and(fetched) {
            return Ok(self.prefetched.pop_front().and_then(|front| front.stored));
        }
        self.scratch.clear();
        encoding::put_record_key(&mut self.scratch, namespace, encoding::hash(key), key);
        reader.get(self.databases.meta(), &self.scratch)
    }

    fn counters(&mut self, reader: &dyn Reader) -> Result<&mut Counters> {
        let page = match self.books.counters {
            Some(page) => page,
            None => Page::read(self.databases.counters(reader)?),
        };
        Ok(&mut self.books.counters.insert(Page { changed: true, ..page }).record)
    }
}
