//! What only RocksDB does: which damage it finds, and when.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::engine::check::Findings;
use crate::error::{Error, Result};

const RECORDS: usize = 50;

/// A directory as a kill leaves it, with [`RECORDS`] synced records in the log and nowhere else.
fn killed() -> (TempDir, Arc<KeyspaceNames>) {
    killed_with(|_| {})
}

/// The same after something more.
fn killed_with(more: impl FnOnce(&Fixture)) -> (TempDir, Arc<KeyspaceNames>) {
    let f = Fixture::new(EngineKind::Rocksdb);
    let ks = f.keyspace("a");
    for number in 0..RECORDS {
        f.apply([change(ks).put(numbered(number), vec![b'v'; 1000])]);
    }
    more(&f);
    (copy_as_after_a_kill(f.dir.path()), Arc::clone(&f.names))
}

fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("data.rocksdb")).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

/// The log that holds the records.
fn log(dir: &Path) -> PathBuf {
    files(dir, "log").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn reopened(dir: &Path, names: &Arc<KeyspaceNames>, strict_log: bool) -> Result<usize> {
    let options = EngineOptions { strict_log, ..options() };
    let engine = EngineKind::Rocksdb.open(dir, &options, Arc::clone(names))?;
    let ks = names.intern("a").unwrap().id;
    let snapshot = engine.snapshot()?;
    let page = snapshot.page(ks, &KeyRange::ALL, false, EVERYTHING)?;
    // The same through the other two ways to read.
    let keys: Vec<(KeyspaceId, &[u8])> =
        page.entries.iter().map(|(key, _)| (ks, &key[..])).collect();
    for (one, of_many) in
        keys.iter().map(|(_, key)| snapshot.get(ks, key)).zip(snapshot.get_many(&keys))
    {
        assert_eq!(one?, of_many?);
    }
    Ok(page.entries.len())
}

#[test]
fn an_intact_log_is_replayed_whole() {
    for strict_log in [true, false] {
        let (dir, names) = killed();
        assert_eq!(reopened(dir.path(), &names, strict_log).unwrap(), RECORDS);
    }
}

/// What a write leaves that was cut off by a crash, and so was never acknowledged.
#[test]
fn a_torn_tail_is_no_error() {
    for strict_log in [true, false] {
        for cut in [1, 500, 1000] {
            let (dir, names) = killed();
            damage(&log(dir.path()), |bytes| bytes.truncate(bytes.len() - cut));
            assert_eq!(reopened(dir.path(), &names, strict_log).unwrap(), RECORDS - 1);
        }
    }
}

#[test]
fn a_tail_of_zeros_is_no_error() {
    for strict_log in [true, false] {
        let (dir, names) = killed();
        damage(&log(dir.path()), |bytes| bytes.extend([0; 5000]));
        assert_eq!(reopened(dir.path(), &names, strict_log).unwrap(), RECORDS);
    }
}

#[test]
fn damage_inside_the_log_is_an_error_when_strict_and_a_cut_when_not() {
    let damage_middle = |dir: &Path| {
        damage(&log(dir), |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
    };
    let (dir, names) = killed();
    damage_middle(dir.path());
    let error = reopened(dir.path(), &names, true).unwrap_err();
    assert!(matches!(error, Error::Corrupted(_)), "{error:?}");

    let (dir, names) = killed();
    damage_middle(dir.path());
    let left = reopened(dir.path(), &names, false).unwrap();
    assert!((1..RECORDS).contains(&left), "{left}");
}

/// A power loss may tear the one write that was not acknowledged in any way.
#[test]
fn damage_in_the_last_write_is_a_cut() {
    let len = |dir: &Path| fs::metadata(log(dir)).unwrap().len() as usize;
    for strict_log in [true, false] {
        // Of small writes the last, and of one over several blocks each part.
        for back in [1, 500, 1000] {
            let (dir, names) = killed();
            damage(&log(dir.path()), |bytes| {
                let at = bytes.len() - back;
                bytes[at] ^= 1;
            });
            assert_eq!(reopened(dir.path(), &names, strict_log).unwrap(), RECORDS - 1);
        }
        for (from, to) in [(0, 512), (0, 40_000), (100, 101), (40_000, 40_512), (99_000, 99_512)] {
            let (dir, names) = killed_with(|f| {
                f.apply([change(f.keyspace("a")).put("last", vec![b'v'; 100_000])]);
            });
            let start = len(dir.path()) - 100_000;
            damage(&log(dir.path()), |bytes| bytes[start + from..start + to].fill(0));
            assert_eq!(reopened(dir.path(), &names, strict_log).unwrap(), RECORDS);
        }
    }
}

/// A recovery that left a torn write out and was itself cut off has begun a log, with an empty write of
/// RocksDB's own in it, and not yet said that the old one is done with.
#[test]
fn a_recovery_cut_off_behind_a_torn_write_is_done_again() {
    let (dir, names) = killed();
    let torn = log(dir.path());
    let bytes = fs::read(&torn).unwrap();
    damage(&torn, |bytes| {
        let at = bytes.len() - 500;
        bytes[at] ^= 1;
    });
    // The header of the first record, for a write of 12 bytes: sequence number and no writes.
    let mut record = vec![1_u8];
    record.extend(&bytes[7..15]);
    record.extend([0; 4]);
    let sum = crc32c::crc32c(&record).rotate_right(15).wrapping_add(0xa282_ead8);
    let header = [&sum.to_le_bytes()[..], &12_u16.to_le_bytes()].concat();
    let number: u64 = torn.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let next = torn.with_file_name(format!("{:06}.log", number + 1));
    fs::write(next, [header, record].concat()).unwrap();
    assert_eq!(reopened(dir.path(), &names, true).unwrap(), RECORDS - 1);
}

/// The first was whole up to its end when the second began.
#[test]
fn two_damaged_writes_are_not_one_that_is_torn() {
    let (dir, names) = killed_with(|f| {
        f.apply([change(f.keyspace("a")).put("large", vec![b'v'; 100_000])]);
        f.apply([change(f.keyspace("a")).put("last", "v")]);
    });
    damage(&log(dir.path()), |bytes| {
        let len = bytes.len();
        bytes[len - 90_000] ^= 1;
        bytes[len - 2] ^= 1;
    });
    let error = reopened(dir.path(), &names, true).unwrap_err();
    assert!(matches!(error, Error::Corrupted(_)), "{error:?}");
}

/// Which was fsynced before the one after it began.
#[test]
fn damage_in_the_last_write_but_one_is_an_error_when_strict() {
    for (len, back) in [(10, 600), (10, 1030), (100_000, 100_200), (40_000, 40_700)] {
        let (dir, names) = killed_with(|f| {
            f.apply([change(f.keyspace("a")).put("last", vec![b'v'; len])]);
        });
        damage(&log(dir.path()), |bytes| {
            let at = bytes.len() - back;
            bytes[at..at + 20].fill(0xff);
        });
        let error = reopened(dir.path(), &names, true).unwrap_err();
        assert!(matches!(error, Error::Corrupted(_)), "{error:?}");
    }
}

/// A directory as a power loss leaves it while the log is switched: two logs, and a manifest that does not
/// yet know of the first one's end. With it the length of the first after each of its writes, and how many
/// writes both have.
fn two_logs(f: &Fixture) -> (TempDir, Vec<usize>, usize) {
    let (ks, kept_back) = (f.keyspace("a"), f.keyspace("b"));
    // Keeps the first log when the rest of what is in it has been flushed.
    f.apply([change(ks), change(kept_back).put("k", "v")]);
    let dir = copy_of_manifest(f.dir.path());
    let first = log(f.dir.path());
    let is_first = |path: &PathBuf| *path == first;
    let (mut lens, mut writes) = (Vec::new(), 0);
    let mut write = || {
        f.apply_with([change(ks).put(numbered(writes), vec![b'v'; 100_000])], false);
        writes += 1;
        fs::metadata(&first).unwrap().len() as usize
    };
    loop {
        let len = write();
        if lens.last() == Some(&len) {
            break;
        }
        lens.push(len);
    }
    write();
    let logs = files(f.dir.path(), "log");
    assert_eq!((logs.len(), logs.iter().position(is_first)), (2, Some(0)));
    for log in logs {
        fs::copy(&log, dir.path().join("data.rocksdb").join(log.file_name().unwrap())).unwrap();
    }
    (dir, lens, writes)
}

/// What there is of a database whose data is in its logs alone, but for these. (Files that it no longer
/// needs may go meanwhile.)
fn copy_of_manifest(from: &Path) -> TempDir {
    let (from, into) = (from.join("data.rocksdb"), tempfile::tempdir().unwrap());
    fs::create_dir(into.path().join("data.rocksdb")).unwrap();
    let current = fs::read_to_string(from.join("CURRENT")).unwrap();
    for name in ["CURRENT", current.trim_end()] {
        fs::copy(from.join(name), into.path().join("data.rocksdb").join(name)).unwrap();
    }
    into
}

/// Cuts the end of the first of two logs off, of which `f` makes the second.
fn assert_no_gap(f: &Fixture) {
    let (dir, lens, writes) = two_logs(f);
    let opened = |strict_log, damage_first: &dyn Fn(&Path)| {
        let dir = copy_as_after_a_kill(dir.path());
        damage_first(&files(dir.path(), "log")[0]);
        reopened(dir.path(), &f.names, strict_log)
    };
    let whole = |_: &Path| {};
    assert_eq!(opened(false, &whole).unwrap(), writes);
    assert_eq!(opened(true, &whole).unwrap(), writes);
    for kept in [1, lens.len() / 2, lens.len() - 1] {
        // Between two writes, so that neither log is damaged by itself.
        let cut = |first: &Path| damage(first, |bytes| bytes.truncate(lens[kept - 1]));
        assert_eq!(opened(false, &cut).unwrap(), kept);
        let error = opened(true, &cut).unwrap_err();
        assert!(matches!(error, Error::Corrupted(_)), "{error:?}");
    }
    let remove = |first: &Path| fs::remove_file(first).unwrap();
    assert_eq!(opened(false, &remove).unwrap(), 0);
    let error = opened(true, &remove).unwrap_err();
    assert!(matches!(error, Error::Corrupted(_)), "{error:?}");

    assert!(is_sound(dir.path()));
    damage(&files(dir.path(), "log")[0], |bytes| bytes.truncate(lens[0]));
    assert!(!is_sound(dir.path()));
}

/// Whether a check finds no damage.
fn is_sound(dir: &Path) -> bool {
    let mut findings = Findings::new(EngineKind::Rocksdb);
    EngineKind::Rocksdb.check(dir, &mut findings).unwrap();
    findings.report.is_sound()
}

/// A power loss may take the unsynced end of a log and leave the log after it.
#[test]
fn a_log_behind_one_that_lost_its_end_is_left_out() {
    assert_no_gap(&Fixture::new(EngineKind::Rocksdb));
}

/// As after a first opening that was cut off.
#[test]
fn a_database_without_a_log_opens_and_its_next_logs_have_no_gap() {
    let mut f = Fixture::new(EngineKind::Rocksdb);
    f.reopen();
    drop(f.engine.take());
    fs::remove_file(log(f.dir.path())).unwrap();
    fs::remove_file(f.dir.path().join("log-noted")).unwrap();
    assert!(files(f.dir.path(), "log").is_empty());
    assert!(is_sound(f.dir.path()));
    f.engine = Some(open(EngineKind::Rocksdb, f.dir.path(), &f.names));
    assert_no_gap(&f);
}

/// What was left out does not come back, and what is written from then on is kept.
#[test]
fn a_store_goes_on_behind_a_log_that_was_left_out() {
    let f = Fixture::new(EngineKind::Rocksdb);
    let (dir, lens, _) = two_logs(&f);
    damage(&files(dir.path(), "log")[0], |bytes| bytes.truncate(lens[0]));
    let open = |dir: &Path, strict_log| {
        let options = EngineOptions { strict_log, ..options() };
        EngineKind::Rocksdb.open(dir, &options, Arc::clone(&f.names)).unwrap()
    };
    let engine = open(dir.path(), false);
    let changes = Changes { keyspaces: vec![change(f.keyspace("a")).put("later", "v")] };
    engine.apply(&changes, true).unwrap();
    drop(engine);
    for strict_log in [true, false, true] {
        assert_eq!(reopened(dir.path(), &f.names, strict_log).unwrap(), 2);
    }
}

/// A power loss may leave space in the middle of the unsynced end that was never written.
#[test]
fn zeros_within_the_log_are_an_error_when_strict_and_a_cut_when_not() {
    let f = Fixture::new(EngineKind::Rocksdb);
    let ks = f.keyspace("a");
    // As many bytes in the log as divide a block, so that each block begins with a write.
    for number in 0..100 {
        f.apply([change(ks).put(numbered(number), vec![b'v'; 995])]);
    }
    let len = fs::metadata(log(f.dir.path())).unwrap().len() as usize;
    assert_eq!(len, 100 << 10);
    // With whole blocks behind it, and in the last one.
    for (kept, zeros) in [(40, 7), (40, 4096), (40, 40_000), (64, 512), (97, 512)] {
        for strict_log in [false, true] {
            let dir = copy_as_after_a_kill(f.dir.path());
            let from = kept << 10;
            damage(&log(dir.path()), |bytes| bytes[from..][..zeros].fill(0));
            assert!(!is_sound(dir.path()));
            let opened = reopened(dir.path(), &f.names, strict_log);
            if strict_log {
                assert!(matches!(opened, Err(Error::Corrupted(_))), "{opened:?}");
            } else {
                assert_eq!(opened.unwrap(), kept);
            }
        }
    }

    // In the last write alone.
    f.apply([change(ks).put("last", vec![b'v'; 100_000])]);
    for strict_log in [false, true] {
        let dir = copy_as_after_a_kill(f.dir.path());
        damage(&log(dir.path()), |bytes| bytes[len..][..512].fill(0));
        assert_eq!(reopened(dir.path(), &f.names, strict_log).unwrap(), 100);
    }
}

#[test]
fn damage_in_a_table_is_found_when_it_is_read() {
    let (dir, names) = killed();
    // Opening replays the log into a table.
    assert_eq!(reopened(dir.path(), &names, true).unwrap(), RECORDS);
    let tables = files(dir.path(), "sst");
    let table = tables.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    damage(table, |bytes| bytes[10] ^= 1);
    let error = reopened(dir.path(), &names, true).unwrap_err();
    assert!(matches!(error, Error::Corrupted(_)), "{error:?}");
}

/// RocksDB by itself would create an empty database over the files.
#[test]
fn data_without_its_beginning_is_damage() {
    let (dir, names) = killed();
    fs::remove_file(dir.path().join("data.rocksdb/CURRENT")).unwrap();
    let error = reopened(dir.path(), &names, true).unwrap_err();
    assert!(matches!(error, Error::Corrupted(_)), "{error:?}");
}

/// RocksDB fsyncs the file that says which keyspaces there are. Were the log before it not fsynced
/// first, a power loss could take a write and leave the drop that came after.
#[test]
fn dropping_a_keyspace_does_not_overtake_the_writes_before_it() {
    let f = Fixture::new(EngineKind::Rocksdb);
    let (kept, dropped) = (f.keyspace("kept"), f.keyspace("dropped"));
    let unsynced = || {
        let stats = f.engine().stats().unwrap();
        stats.details.into_iter().find(|(name, _)| name == "log-unsynced").unwrap().1
    };
    f.apply([change(dropped).put("k", "v")]);
    assert_eq!(unsynced(), "0");
    f.apply_with([change(kept).put("k", "v")], false);
    assert_eq!(unsynced(), "1");
    assert!(f.engine().drop_keyspace(dropped).unwrap());
    assert_eq!(unsynced(), "0");
}

/// A search for live keys must not walk millions of deleted ones first.
#[test]
fn ranges_full_of_deleted_keys_are_deleted_all_the_same() {
    let f = Fixture::new(EngineKind::Rocksdb);
    let ks = f.keyspace("a");
    f.apply([change(ks).put_numbered(0..20_000)]);
    let deletes = (1..19_999).fold(change(ks), |changes, n| changes.delete(numbered(n)));
    f.apply([deletes]);
    assert_eq!(entries_of(&*f.snapshot(), ks).len(), 2);
    f.apply([change(ks).delete_range(numbered(0)..).put("z", "v")]);
    assert_eq!(entries_of(&*f.snapshot(), ks), [("z".into(), "v".into())]);
}

/// Batches that fill the write buffers many times, so that reads meet every level of the tree.
#[test]
fn reads_see_through_flushes_and_compactions() {
    let mut f = Fixture::new(EngineKind::Rocksdb);
    let (a, b) = (f.keyspace("a"), f.keyspace("b"));
    for round in 0..12u8 {
        let put = |keyspace| {
            (0..1000).fold(change(keyspace), |changes, n| {
                let value: Vec<u8> = (0..1000).map(|i| (n * 31 + i * i) as u8 ^ round).collect();
                changes.put(numbered(n), value)
            })
        };
        f.apply_with([put(a), put(b)], false);
    }
    for _ in 0..2 {
        let snapshot = f.snapshot();
        let asked: Vec<String> = (0..1000).step_by(7).map(numbered).collect();
        for ks in [a, b] {
            assert_eq!(entries_of(&*snapshot, ks).len(), 1000);
            let asked: Vec<(KeyspaceId, &[u8])> =
                asked.iter().map(|key| (ks, key.as_bytes())).collect();
            for value in snapshot.get_many(&asked) {
                assert_eq!(value.unwrap().unwrap().len(), 1000);
            }
        }
        drop(snapshot);
        f.reopen();
    }
    let stats = f.engine().stats().unwrap();
    assert!(stats.disk_bytes > 1 << 20);
    assert!(stats.memory_bytes > 0);
}

/// RocksDB notes which families there are first, and how long its log is later. (What it takes for
/// one of these to go wrong is one moment in some hundred checkpoints.)
#[test]
fn a_checkpoint_beside_keyspaces_that_come_and_go_is_one_state() {
    const CHECKPOINTS: usize = 40;
    let f = Fixture::new(EngineKind::Rocksdb);
    let (stays, goes) = (f.keyspace("stays"), f.keyspace("goes"));
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in (0_u64..).step_by(2).take_while(|_| !ended.load(Ordering::SeqCst)) {
                let even = number.to_string();
                f.apply_with(
                    [change(stays).put("k", even.clone()), change(goes).put("k", even)],
                    false,
                );
                f.apply_with([change(stays).put("k", (number + 1).to_string())], false);
                f.engine().drop_keyspace(goes).unwrap();
            }
        });
        let _end = SetOnDrop(&ended);
        let wrong = (0..CHECKPOINTS).find_map(|_| {
            let into = tempfile::tempdir().unwrap();
            f.engine().checkpoint(into.path()).unwrap();
            let copy = open(EngineKind::Rocksdb, into.path(), &f.names).snapshot().unwrap();
            let number = |keyspace| {
                let value = copy.get(keyspace, b"k").unwrap()?;
                Some(std::str::from_utf8(&value).unwrap().parse::<u64>().unwrap())
            };
            let found = (number(stays), number(goes));
            let is_right = match found {
                (None, None) => true,
                (Some(stays), Some(goes)) => stays == goes || stays == goes + 1,
                (Some(stays), None) => stays % 2 == 1,
                (None, Some(_)) => false,
            };
            (!is_right).then_some(found)
        });
        assert_eq!(wrong, None, "of the keyspace that stays, and of the one that comes and goes");
    });
}

/// Lets another thread end when this one does, by a panic too.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
