//! Random operations against a `BTreeMap`, over every engine and bridge mode, with the store reopened
//! in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use common::Setup;
use futures::TryStreamExt;
use futures::future::join_all;
use pontoon_storage::{
    Durability, Error, KeyRange, Keyspace, Options, PageLimit, Reader, Result, ScanOptions,
    Snapshot, Store, Transaction, WriteBatch,
};
use proptest::collection::vec;
use proptest::prelude::*;

const KEYSPACES: [&str; 2] = ["a", "b"];
const CASES: u32 = 40;
/// Snapshots held at once; the oldest goes first.
const HELD_MAX: usize = 2;

type Map = BTreeMap<Bytes, Bytes>;

/// The keyspaces that exist.
type Model = BTreeMap<&'static str, Map>;

#[derive(Debug, Clone)]
enum Write {
    Put(&'static str, Bytes, Bytes),
    Delete(&'static str, Bytes),
    DeleteRange(&'static str, KeyRange),
}

/// What an update's closure does, and how it ends.
#[derive(Debug, Clone)]
struct Update {
    parts: Vec<Part>,
    ending: Ending,
}

#[derive(Debug, Clone)]
enum Part {
    Write(Write),
    Savepoint { writes: Vec<Write>, fails: bool },
    Check(ScanOptions),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    Passes,
    Fails,
    Panics,
}

#[derive(Debug, Clone)]
enum Step {
    Write(Write),
    Batch(Vec<Write>),
    /// Updates that wait together, so that drains hold several.
    Updates(Vec<Update>),
    DropKeyspace(&'static str),
    Scan(&'static str, KeyRange, ScanOptions),
    GetMany(&'static str, Vec<Bytes>),
    Hold,
    Sync,
    Checkpoint,
    Reopen,
}

fn keyspace() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&KEYSPACES[..])
}

/// Few, so that writes and ranges meet.
fn key() -> impl Strategy<Value = Bytes> {
    vec(prop_oneof![Just(0u8), Just(b'a'), Just(b'b'), Just(0xff)], 0..3).prop_map(Bytes::from)
}

/// The large ones fill a page by bytes.
fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..4).prop_map(Bytes::from),
        1 => any::<u8>().prop_map(|byte| Bytes::from(vec![byte; 3_000])),
    ]
}

/// Reversed and empty ranges included.
fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        3 => (key(), key()).prop_map(|(start, end)| KeyRange::new(start, Some(end))),
        1 => (key(), key()).prop_map(|(start, end)| KeyRange::from(start..=end)),
        1 => key().prop_map(|start| KeyRange::new(start, None)),
        1 => key().prop_map(|end| KeyRange::new("", Some(end))),
        1 => key().prop_map(KeyRange::prefix),
        1 => Just(KeyRange::ALL),
    ]
}

fn scan_options() -> impl Strategy<Value = ScanOptions> {
    let page = prop_oneof![
        3 => (0usize..4).prop_map(|entries| PageLimit { entries, bytes: usize::MAX }),
        2 => (0usize..12).prop_map(|bytes| PageLimit { entries: usize::MAX, bytes }),
        1 => Just(ScanOptions::default().page),
    ];
    (any::<bool>(), page).prop_map(|(reverse, page)| ScanOptions { reverse, page })
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        5 => (keyspace(), key(), value()).prop_map(|(ks, key, value)| Write::Put(ks, key, value)),
        2 => (keyspace(), key()).prop_map(|(ks, key)| Write::Delete(ks, key)),
        2 => (keyspace(), range()).prop_map(|(ks, range)| Write::DeleteRange(ks, range)),
    ]
}

fn update() -> impl Strategy<Value = Update> {
    let part = prop_oneof![
        4 => write().prop_map(Part::Write),
        2 => (vec(write(), 0..5), any::<bool>())
            .prop_map(|(writes, fails)| Part::Savepoint { writes, fails }),
        2 => scan_options().prop_map(Part::Check),
    ];
    let ending =
        prop_oneof![4 => Just(Ending::Passes), 1 => Just(Ending::Fails), 1 => Just(Ending::Panics)];
    (vec(part, 0..8), ending).prop_map(|(parts, ending)| Update { parts, ending })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => write().prop_map(Step::Write),
        4 => vec(write(), 0..12).prop_map(Step::Batch),
        6 => vec(update(), 1..5).prop_map(Step::Updates),
        1 => keyspace().prop_map(Step::DropKeyspace),
        6 => (keyspace(), range(), scan_options())
            .prop_map(|(ks, range, options)| Step::Scan(ks, range, options)),
        2 => (keyspace(), vec(key(), 0..6)).prop_map(|(ks, keys)| Step::GetMany(ks, keys)),
        2 => Just(Step::Hold),
        1 => Just(Step::Sync),
        1 => Just(Step::Checkpoint),
        2 => Just(Step::Reopen),
    ]
}

/// Mostly without fsyncs: on a slow disk they are all the time this takes.
fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![
        1 => Just(Durability::Always),
        2 => Just(Durability::EVERY_SECOND),
        4 => Just(Durability::Never),
    ]
}

#[derive(Debug)]
enum Refused {
    OnPurpose,
    Store(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Store(error)
    }
}

impl Write {
    /// Writes create their keyspace, except a delete of a range with nothing in it.
    fn apply_to_model(&self, model: &mut Model) {
        match self {
            Write::Put(ks, key, value) => {
                model.entry(ks).or_default().insert(key.clone(), value.clone());
            }
            Write::Delete(ks, key) => {
                model.entry(ks).or_default().remove(key);
            }
            Write::DeleteRange(_, range) if range.is_empty() => {}
            Write::DeleteRange(ks, range) => {
                model.entry(ks).or_default().retain(|key, _| !range.contains(key));
            }
        }
    }

    fn apply(&self, tx: &mut Transaction, keyspaces: &Keyspaces) -> Result<()> {
        match self {
            Write::Put(ks, key, value) => tx.put(keyspaces.get(ks), key, value),
            Write::Delete(ks, key) => tx.delete(keyspaces.get(ks), key),
            Write::DeleteRange(ks, range) => tx.delete_range(keyspaces.get(ks), range.clone()),
        }
    }
}

#[derive(Clone)]
struct Keyspaces(BTreeMap<&'static str, Keyspace>);

impl Keyspaces {
    fn of(store: &Store) -> Self {
        Self(KEYSPACES.into_iter().map(|name| (name, store.keyspace(name).unwrap())).collect())
    }

    fn get(&self, name: &str) -> &Keyspace {
        &self.0[name]
    }
}

/// A store beside its model.
struct Run {
    options: Options,
    setup: Setup,
    copies: PathBuf,
    store: Store,
    keyspaces: Keyspaces,
    model: Model,
    held: Vec<(Arc<Snapshot>, Model)>,
}

impl Run {
    async fn start(setup: Setup, durability: Durability, dir: &Path) -> Self {
        let options = setup.options(&dir.join("store")).durability(durability);
        let store = Store::open(options.clone()).await.unwrap();
        Self {
            options,
            setup,
            copies: dir.join("copy"),
            keyspaces: Keyspaces::of(&store),
            store,
            model: Model::new(),
            held: Vec::new(),
        }
    }

    async fn step(&mut self, step: Step) {
        let store = &self.store;
        match step {
            Step::Write(write) => {
                write.apply_to_model(&mut self.model);
                match write {
                    Write::Put(ks, key, value) => {
                        store.put(self.keyspaces.get(ks), key, value).await
                    }
                    Write::Delete(ks, key) => store.delete(self.keyspaces.get(ks), key).await,
                    Write::DeleteRange(ks, range) => {
                        store.delete_range(self.keyspaces.get(ks), range).await
                    }
                }
                .unwrap();
            }
            Step::Batch(writes) => {
                let mut batch = WriteBatch::new();
                for write in writes {
                    write.apply_to_model(&mut self.model);
                    match write {
                        Write::Put(ks, key, value) => batch.put(self.keyspaces.get(ks), key, value),
                        Write::Delete(ks, key) => batch.delete(self.keyspaces.get(ks), key),
                        Write::DeleteRange(ks, range) => {
                            batch.delete_range(self.keyspaces.get(ks), range)
                        }
                    };
                }
                store.write(batch).await.unwrap();
            }
            Step::Updates(updates) => self.updates(updates).await,
            Step::DropKeyspace(name) => {
                let existed = store.drop_keyspace(self.keyspaces.get(name)).await.unwrap();
                assert_eq!(existed, self.model.remove(name).is_some());
            }
            Step::Scan(name, range, options) => {
                let scan = store.scan(self.keyspaces.get(name), range.clone(), options);
                let found: Vec<(Bytes, Bytes)> = scan.try_collect().await.unwrap();
                assert_eq!(found, entries(&self.model, name, &range, options.reverse));
            }
            Step::GetMany(name, keys) => {
                let found = store.get_many(self.keyspaces.get(name), &keys).await.unwrap();
                for (key, found) in keys.iter().zip(found) {
                    assert_eq!(found.as_ref(), self.model.get(name).and_then(|map| map.get(key)));
                    let ks = self.keyspaces.get(name);
                    assert_eq!(store.get(ks, key).await.unwrap(), found);
                }
            }
            Step::Hold => {
                if self.held.len() == HELD_MAX {
                    self.held.remove(0);
                }
                self.held.push((Arc::new(store.snapshot().await.unwrap()), self.model.clone()));
            }
            Step::Sync => store.sync().await.unwrap(),
            Step::Checkpoint => self.checkpoint().await,
            Step::Reopen => self.reopen().await,
        }
    }

    /// One task's calls enter the lane in the order in which they are polled, so the model knows
    /// what each of them sees.
    async fn updates(&mut self, updates: Vec<Update>) {
        let mut calls = Vec::new();
        for update in updates {
            let mut states = vec![self.model.clone()];
            for part in &update.parts {
                let mut model = states[states.len() - 1].clone();
                match part {
                    Part::Write(write) => write.apply_to_model(&mut model),
                    Part::Savepoint { fails: true, .. } | Part::Check(_) => {}
                    Part::Savepoint { writes, .. } => {
                        writes.iter().for_each(|write| write.apply_to_model(&mut model));
                    }
                }
                states.push(model);
            }
            if update.ending == Ending::Passes {
                self.model = states[states.len() - 1].clone();
            }
            let (store, keyspaces) = (self.store.clone(), self.keyspaces.clone());
            calls.push(async move {
                let Update { parts, ending } = update;
                let result = store
                    .update(move |tx| run_parts(tx, &keyspaces, &parts, ending, &states))
                    .await;
                match ending {
                    Ending::Passes => result.unwrap(),
                    Ending::Fails => {
                        assert!(matches!(result, Err(Refused::OnPurpose)), "{result:?}");
                    }
                    Ending::Panics => {
                        let panicked = matches!(&result, Err(Refused::Store(Error::Panicked(why)))
                            if why == "on purpose");
                        assert!(panicked, "{result:?}");
                    }
                }
            });
        }
        join_all(calls).await;
    }

    async fn checkpoint(&self) {
        let written = self.store.checkpoint(&self.copies).await;
        if !self.setup.engine.is_persistent() {
            assert!(matches!(written, Err(Error::Unsupported(_))), "{written:?}");
            return;
        }
        written.unwrap();
        let copy = Store::open(self.setup.options(&self.copies)).await.unwrap();
        check_store(&copy, &self.model).await;
        copy.close().await.unwrap();
        std::fs::remove_dir_all(&self.copies).unwrap();
    }

    async fn reopen(&mut self) {
        self.check().await;
        self.store.close().await.unwrap();
        for (snapshot, _) in self.held.drain(..) {
            let ended = snapshot.get(self.keyspaces.get("a"), "").await;
            assert!(matches!(ended, Err(Error::Closed)), "{ended:?}");
        }
        self.store = Store::open(self.options.clone()).await.unwrap();
        self.keyspaces = Keyspaces::of(&self.store);
        if !self.setup.engine.is_persistent() {
            self.model.clear();
        }
    }

    async fn check(&self) {
        check_store(&self.store, &self.model).await;
        for (snapshot, model) in &self.held {
            let (keyspaces, model) = (self.keyspaces.clone(), model.clone());
            let checked = snapshot.view(move |view| check_reader(view, &keyspaces, &model)).await;
            checked.unwrap();
        }
    }
}

/// `states` is what the model says before each part, and after the last.
fn run_parts(
    tx: &mut Transaction,
    keyspaces: &Keyspaces,
    parts: &[Part],
    ending: Ending,
    states: &[Model],
) -> Result<(), Refused> {
    for (part, model) in parts.iter().zip(states) {
        match part {
            Part::Write(write) => write.apply(tx, keyspaces)?,
            Part::Savepoint { writes, fails } => {
                let result = tx.savepoint(|tx| {
                    writes.iter().try_for_each(|write| write.apply(tx, keyspaces))?;
                    if *fails { Err(Refused::OnPurpose) } else { Ok(()) }
                });
                assert_eq!(result.is_err(), *fails, "{result:?}");
            }
            Part::Check(options) => {
                for name in KEYSPACES {
                    let found = tx.scan(keyspaces.get(name), .., *options);
                    let found: Vec<_> = found.collect::<Result<_>>()?;
                    assert_eq!(found, entries(model, name, &KeyRange::ALL, options.reverse));
                }
            }
        }
    }
    check_reader(tx, keyspaces, &states[states.len() - 1])?;
    match ending {
        Ending::Passes => Ok(()),
        Ending::Fails => Err(Refused::OnPurpose),
        // Unlike `panic!`, this prints nothing.
        Ending::Panics => std::panic::resume_unwind(Box::new("on purpose")),
    }
}

async fn check_store(store: &Store, model: &Model) {
    let existing: Vec<&str> = model.keys().copied().collect();
    assert_eq!(store.keyspaces().await.unwrap(), existing);
    let (keyspaces, model) = (Keyspaces::of(store), model.clone());
    store.view(move |view| check_reader(view, &keyspaces, &model)).await.unwrap();
}

fn check_reader(reader: &impl Reader, keyspaces: &Keyspaces, model: &Model) -> Result<()> {
    let page = PageLimit { entries: 3, bytes: 20 };
    for name in KEYSPACES {
        let keyspace = keyspaces.get(name);
        for reverse in [false, true] {
            let found = reader.scan(keyspace, .., ScanOptions { reverse, page });
            let found: Vec<_> = found.collect::<Result<_>>()?;
            assert_eq!(found, entries(model, name, &KeyRange::ALL, reverse));
        }
        let expected = entries(model, name, &KeyRange::ALL, false);
        let mut keys: Vec<&[u8]> = vec![b"never there"];
        keys.extend(expected.iter().map(|(key, _)| &key[..]));
        let mut values = vec![None];
        values.extend(expected.iter().map(|(_, value)| Some(value.clone())));
        assert_eq!(reader.get_many(keyspace, &keys)?, values);
    }
    Ok(())
}

fn entries(model: &Model, name: &str, range: &KeyRange, reverse: bool) -> Vec<(Bytes, Bytes)> {
    let map = model.get(name).into_iter().flatten();
    let inside = map.filter(|(key, _)| range.contains(key));
    let mut entries: Vec<_> = inside.map(|(key, value)| (key.clone(), value.clone())).collect();
    if reverse {
        entries.reverse();
    }
    entries
}

fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { CASES };
    ProptestConfig { cases, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_store_does_what_a_map_does(
        setup in prop::sample::select(Setup::all()),
        durability in durability(),
        steps in vec(step(), 1..30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        setup.block_on(async {
            let mut run = Run::start(setup.clone(), durability, dir.path()).await;
            for step in steps {
                run.step(step).await;
                run.check().await;
            }
            run.reopen().await;
            run.check().await;
            run.store.close().await.unwrap();
        });
    }
}
