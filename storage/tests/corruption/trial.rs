//! One damage, and all that a program may do with what it leaves.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use futures::executor::block_on;
use pontoon_storage::{
    CheckOptions, EngineKind, Error, Keyspace, Reader, ScanOptions, Store, check,
};

use super::base::{Content, Expected, KEYSPACES, digest, files, open};
use super::damage::Damage;
use super::tree::copy_tree;

/// What came of it. The name is what a child prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The damage changed no byte.
    Nothing,
    /// All data is there as before.
    Harmless,
    DetectedAtOpen,
    DetectedAtRead,
    DetectedAtWrite,
    /// What is there is what was there earlier: the last operations are gone, and no error said so.
    Cut,
    /// Something else is there than was ever written, or something is not there, and no error said so.
    Silent,
    /// A panic came through the store.
    Panicked,
    /// It took longer than it could.
    Hung,
    /// The process died.
    Died,
}

impl Outcome {
    pub const ALL: [Outcome; 10] = [
        Outcome::Nothing,
        Outcome::Harmless,
        Outcome::DetectedAtOpen,
        Outcome::DetectedAtRead,
        Outcome::DetectedAtWrite,
        Outcome::Cut,
        Outcome::Silent,
        Outcome::Panicked,
        Outcome::Hung,
        Outcome::Died,
    ];

    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// What the offline check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checked {
    Sound,
    Noted,
    Damaged,
    Refused,
}

pub struct Report {
    pub outcome: Outcome,
    pub checked: Checked,
    /// What is wrong with how it was said.
    pub complaint: Option<String>,
    pub detail: String,
}

/// Damages a copy of `base` in `dir`, which is not there yet, checks it, and uses it.
pub fn run(
    engine: EngineKind,
    base: &Path,
    dir: &Path,
    damage: &Damage,
    expected: &Expected,
) -> Report {
    copy_tree(base, dir);
    let changed = damage.apply(dir);
    let before = read_all(dir);
    let (checked, check_said) = look(dir);
    let mut complaint = (read_all(dir) != before).then(|| "the check changed a file".to_owned());
    let (outcome, said) = if changed {
        let used = catch_unwind(AssertUnwindSafe(|| use_it(engine, dir, expected)));
        used.unwrap_or_else(|_| (Outcome::Panicked, Said::default()))
    } else {
        (Outcome::Nothing, Said::default())
    };
    if let Some(error) = &said.error
        && !matches!(
            error,
            Error::Corrupted(_) | Error::WrongEngine { .. } | Error::InvalidArgument(_)
        )
    {
        complaint.get_or_insert_with(|| "damage is not called so".into());
    }
    let table = damage.file.extension().is_some_and(|extension| extension == "sst");
    let name = damage.file.file_name().unwrap().to_str().unwrap();
    if let Some(error) = said.error.as_ref().filter(|_| table)
        && !error.to_string().contains(name)
        // RocksDB reads a table's properties without a name at hand.
        && !error.to_string().contains("properties")
    {
        complaint.get_or_insert_with(|| "the error does not name the file".into());
    }
    let said_so = matches!(checked, Checked::Damaged | Checked::Refused);
    let missed = match outcome {
        Outcome::Silent
        | Outcome::Panicked
        | Outcome::DetectedAtRead
        | Outcome::DetectedAtWrite => !said_so,
        Outcome::DetectedAtOpen | Outcome::Cut => checked == Checked::Sound,
        _ => false,
    };
    if missed {
        complaint.get_or_insert_with(|| format!("the check says {checked:?}"));
    }
    let error = said.error.map_or(String::new(), |error| format!("{error:?}"));
    let detail = format!("{} | {error} | check: {check_said}", said.difference);
    Report { outcome, checked, complaint, detail: detail.replace('\n', " ") }
}

fn read_all(dir: &Path) -> Vec<Vec<u8>> {
    let is_lock = |path: &Path| path.ends_with("pontoon.lock");
    files(dir).iter().filter(|path| !is_lock(path)).map(|path| fs::read(path).unwrap()).collect()
}

fn look(dir: &Path) -> (Checked, String) {
    match block_on(check(CheckOptions::new(dir))) {
        Ok(report) if !report.is_sound() => (Checked::Damaged, report.damage[0].to_string()),
        Ok(report) if !report.notes.is_empty() => (Checked::Noted, report.notes.join("; ")),
        Ok(_) => (Checked::Sound, String::new()),
        Err(error) => (Checked::Refused, error.to_string()),
    }
}

#[derive(Default)]
struct Said {
    error: Option<Error>,
    difference: String,
}

impl From<Error> for Said {
    fn from(error: Error) -> Self {
        Self { error: Some(error), difference: String::new() }
    }
}

fn use_it(engine: EngineKind, dir: &Path, expected: &Expected) -> (Outcome, Said) {
    let store = match open(engine, dir) {
        Ok(store) => store,
        Err(error) => return (Outcome::DetectedAtOpen, error.into()),
    };
    let read = read(&store, expected);
    let written = write(&store);
    let rest = [
        block_on(store.keyspaces()).map(drop),
        block_on(store.stats()).map(drop),
        block_on(store.checkpoint(dir.with_extension("copy"))),
        block_on(store.close()),
    ];
    match read {
        Err(error) => return (Outcome::DetectedAtRead, error.into()),
        Ok(Some((outcome, difference))) => return (outcome, Said { error: None, difference }),
        Ok(None) => {}
    }
    let errors = std::iter::once(written).chain(rest);
    match errors.filter_map(Result::err).next() {
        // What the commit met is inside its error.
        Some(Error::Commit(cause)) => (Outcome::DetectedAtWrite, Error::Corrupted(cause).into()),
        Some(error) => (Outcome::DetectedAtWrite, error.into()),
        None => (Outcome::Harmless, Said::default()),
    }
}

/// Reads everything in every way; `None` if it is as it was.
fn read(store: &Store, expected: &Expected) -> Result<Option<(Outcome, String)>, Error> {
    let keyspaces: Vec<Keyspace> =
        KEYSPACES.iter().map(|name| store.keyspace(name)).collect::<Result<_, _>>()?;
    // All of them are tried, whatever the first says: each may panic, hang or die in its own way.
    let forward = scan(store, &keyspaces, ScanOptions::default(), expected);
    let backward = scan(store, &keyspaces, ScanOptions::reversed(), expected);
    let gotten = get(store, &keyspaces, expected);
    let named = block_on(store.keyspaces());
    let (forward, backward, gotten, named) = (forward?, backward?, gotten?, named?);
    if digest(&forward) == digest(&expected.content)
        && forward == backward
        && gotten.is_empty()
        && named == KEYSPACES
    {
        return Ok(None);
    }
    let wrong = forward
        .iter()
        .filter(|(key, value)| expected.content.get(key).is_some_and(|there| there != *value));
    let strange = forward.keys().filter(|key| !expected.content.contains_key(key));
    let missing = expected.content.keys().filter(|key| !forward.contains_key(key));
    let difference = format!(
        "wrong={} strange={} missing={} get-wrong={}",
        wrong.count(),
        strange.count(),
        missing.count(),
        gotten.len()
    );
    let earlier = forward == backward && expected.digests.contains(&digest(&forward));
    Ok(Some((if earlier { Outcome::Cut } else { Outcome::Silent }, difference)))
}

fn scan(
    store: &Store,
    keyspaces: &[Keyspace],
    options: ScanOptions,
    expected: &Expected,
) -> Result<Content, Error> {
    let limit = expected.content.len() * 2;
    let keyspaces = keyspaces.to_vec();
    block_on(store.view(move |view| {
        let (mut found, mut seen) = (Content::new(), 0);
        for keyspace in &keyspaces {
            for entry in view.scan(keyspace, .., options) {
                let (key, value) = entry?;
                seen += 1;
                assert!(seen <= limit, "a scan without end");
                found.insert((keyspace.name().to_owned(), key.to_vec()), value.to_vec());
            }
        }
        Ok::<_, Error>(found)
    }))
}

/// The keys whose values are not what they were, one by one and many at a time.
fn get(store: &Store, keyspaces: &[Keyspace], expected: &Expected) -> Result<Vec<Vec<u8>>, Error> {
    let mut wrong = Vec::new();
    let mut error = None;
    for keyspace in keyspaces {
        let entries: Vec<_> =
            expected.content.iter().filter(|((name, _), _)| name == keyspace.name()).collect();
        for chunk in entries.chunks(50) {
            let keys: Vec<_> = chunk.iter().map(|((_, key), _)| key.clone()).collect();
            match block_on(store.get_many(keyspace, keys)) {
                Ok(values) => {
                    for (((_, key), value), got) in chunk.iter().zip(values) {
                        if got.as_deref() != Some(&value[..]) {
                            wrong.push(key.clone());
                        }
                    }
                }
                Err(met) => error = error.or(Some(met)),
            }
        }
        for ((_, key), value) in entries.iter().step_by(7) {
            match block_on(store.get(keyspace, key.clone())) {
                Ok(got) if got.as_deref() == Some(&value[..]) => {}
                Ok(_) => wrong.push(key.clone()),
                Err(met) => error = error.or(Some(met)),
            }
        }
        if let Err(met) = block_on(store.get(keyspace, "absent")) {
            error = error.or(Some(met));
        }
    }
    error.map_or(Ok(wrong), Err)
}

fn write(store: &Store) -> Result<(), Error> {
    for name in KEYSPACES.into_iter().chain(["new"]) {
        let keyspace = store.keyspace(name)?;
        for number in 0..5 {
            block_on(store.put(&keyspace, format!("small{:06}", number * 400), vec![1; 500]))?;
        }
        block_on(store.delete_range(&keyspace, "m".."t"))?;
        block_on(store.put(&keyspace, "zz", "v"))?;
        assert_eq!(block_on(store.get(&keyspace, "zz"))?.as_deref(), Some(&b"v"[..]));
    }
    let dropped = store.keyspace("thinned")?;
    block_on(store.drop_keyspace(&dropped))?;
    block_on(store.sync())
}
