//! What the disk keeps and loses, and that a mounted one is a file system like any other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::ErrorKind;

use pontoon_faults::{Disk, InodeNumber, ROOT};

/// Enough that each manner of loss comes up many times.
const SEEDS: u64 = 400;

fn name(name: &str) -> &OsStr {
    OsStr::new(name)
}

fn create(disk: &mut Disk, file: &str) -> InodeNumber {
    disk.create(ROOT, name(file), false).unwrap().inode
}

/// What is in `file` of the root, if it is there.
fn content(disk: &Disk, file: &str) -> Option<Vec<u8>> {
    let found = disk.lookup(ROOT, name(file)).ok()?;
    Some(disk.read(found.inode, 0, found.len).unwrap().to_vec())
}

/// What `seen` finds after each of many losses.
fn after_losses<T: Ord>(disk: &Disk, seen: impl Fn(&Disk) -> T) -> BTreeSet<T> {
    (0..SEEDS).map(|seed| seen(&disk.after_power_loss(seed))).collect()
}

#[test]
fn what_is_synced_survives() {
    let mut disk = Disk::new(0);
    let file = create(&mut disk, "a");
    disk.write(file, 0, b"kept").unwrap();
    disk.sync(file).unwrap();
    disk.sync(ROOT).unwrap();
    assert_eq!(disk.unsynced(), 0);
    assert_eq!(after_losses(&disk, |disk| content(disk, "a")), [Some(b"kept".to_vec())].into());
}

#[test]
fn what_is_not_synced_survives_in_any_combination() {
    let mut disk = Disk::new(0);
    let file = create(&mut disk, "a");
    disk.write(file, 0, &[0; 2]).unwrap();
    disk.sync(file).unwrap();
    disk.sync(ROOT).unwrap();
    disk.write(file, 0, b"1").unwrap();
    disk.write(file, 1, b"2").unwrap();
    let found = after_losses(&disk, |disk| content(disk, "a").unwrap());
    assert_eq!(found, [[0, 0], [b'1', 0], [0, b'2'], *b"12"].map(|two| two.to_vec()).into());
}

#[test]
fn a_write_is_torn_at_sectors() {
    let mut disk = Disk::new(0);
    let file = create(&mut disk, "a");
    disk.sync(ROOT).unwrap();
    // Half a sector, a whole one, and half of the next.
    disk.write(file, 256, &[7; 1024]).unwrap();
    let pieces = |disk: &Disk| {
        let mut data = content(disk, "a").unwrap();
        data.resize(1280, 0);
        assert_eq!(data[..256], [0; 256]);
        let pieces = [&data[256..512], &data[512..1024], &data[1024..]];
        pieces.map(|piece| {
            assert!(piece.iter().all(|byte| *byte == piece[0]), "torn inside a sector");
            piece[0]
        })
    };
    let found = after_losses(&disk, pieces);
    let any: BTreeSet<_> = (0..8).map(|bits| [0, 1, 2].map(|n| 7 * (bits >> n & 1))).collect();
    assert_eq!(found, any);
    let lens = after_losses(&disk, |disk| content(disk, "a").unwrap().len());
    assert!(lens.is_superset(&[0, 1280].into()), "{lens:?}");
}

#[test]
fn names_survive_up_to_some_point() {
    let mut disk = Disk::new(0);
    for file in ["a", "b", "c"] {
        create(&mut disk, file);
    }
    let names = |disk: &Disk| {
        let found = disk.list(ROOT).unwrap().into_iter();
        found.map(|(name, _)| name.into_string().unwrap()).collect::<String>()
    };
    assert_eq!(after_losses(&disk, names), ["", "a", "ab", "abc"].map(String::from).into());
    disk.sync(ROOT).unwrap();
    disk.remove(ROOT, name("b"), false).unwrap();
    assert_eq!(after_losses(&disk, names), ["abc", "ac"].map(String::from).into());
}

#[test]
fn a_rename_is_done_or_not() {
    let mut disk = Disk::new(0);
    let old = create(&mut disk, "a");
    disk.write(old, 0, b"old").unwrap();
    disk.sync(old).unwrap();
    disk.sync(ROOT).unwrap();
    let new = create(&mut disk, "new");
    disk.write(new, 0, b"new").unwrap();
    disk.sync(new).unwrap();
    disk.rename((ROOT, name("new")), (ROOT, name("a"))).unwrap();
    let found = after_losses(&disk, |disk| content(disk, "a").unwrap());
    assert_eq!(found, [b"old".to_vec(), b"new".to_vec()].into());
}

#[test]
fn a_rename_between_directories_is_in_one_of_them() {
    let mut disk = Disk::new(0);
    let [from, to] = ["from", "to"].map(|dir| disk.create(ROOT, name(dir), true).unwrap().inode);
    disk.create(from, name("a"), false).unwrap();
    disk.sync(ROOT).unwrap();
    disk.sync(from).unwrap();
    disk.rename((from, name("a")), (to, name("a"))).unwrap();
    let places = |disk: &Disk| [from, to].map(|dir| disk.lookup(dir, name("a")).is_ok());
    assert_eq!(after_losses(&disk, places), [[true, false], [false, true]].into());
    // To sync either is to sync both.
    disk.sync(from).unwrap();
    assert_eq!(after_losses(&disk, places), [[false, true]].into());
}

#[test]
fn without_power_there_are_errors_alone() {
    let mut disk = Disk::new(0);
    let file = create(&mut disk, "a");
    disk.cut_power_after(2);
    disk.write(file, 0, b"1").unwrap();
    assert_eq!(disk.sync(file), Err(ErrorKind::Other));
    assert!(!disk.has_power());
    assert_eq!(disk.write(file, 0, b"2"), Err(ErrorKind::Other));
    assert_eq!(disk.read(file, 0, 1), Err(ErrorKind::Other));
    assert_eq!(disk.unsynced(), 2, "the sync that was cut off has kept nothing for certain");
}

#[test]
fn a_failed_sync_loses_what_it_was_to_write_and_the_next_one_does_not_tell() {
    let mut disk = Disk::new(0);
    let file = create(&mut disk, "a");
    disk.sync(ROOT).unwrap();
    disk.write(file, 0, b"lost").unwrap();
    disk.fail_sync_after(1);
    assert_eq!(disk.sync(file), Err(ErrorKind::Other));
    assert_eq!(disk.read(file, 0, 4).unwrap(), b"lost");
    disk.sync(file).unwrap();
    assert_eq!(after_losses(&disk, |disk| content(disk, "a")), [Some(Vec::new())].into());
}

#[test]
fn a_full_disk_refuses_to_grow() {
    let mut disk = Disk::new(0);
    let file = create(&mut disk, "a");
    disk.set_capacity(Some(4));
    disk.write(file, 0, b"1234").unwrap();
    assert_eq!(disk.write(file, 4, b"5"), Err(ErrorKind::StorageFull));
    disk.write(file, 0, b"4321").unwrap();
    disk.remove(ROOT, name("a"), false).unwrap();
    let file = create(&mut disk, "b");
    disk.write(file, 0, b"5").unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn a_mounted_disk_is_a_file_system() {
    use std::fs;
    use std::io::{Read, Seek, SeekFrom, Write};

    use pontoon_faults::{Mount, unavailable};

    if let Some(why) = unavailable() {
        assert!(std::env::var_os("PONTOON_REQUIRE_FUSE").is_none_or(|v| v != "1"), "{why}");
        eprintln!("NOT TESTED: a mounted disk, because {why}");
        return;
    }
    let mount = Mount::new(Disk::new(0)).unwrap();
    let dir = mount.path();
    fs::create_dir(dir.join("d")).unwrap();
    let mut file =
        fs::File::options().create_new(true).read(true).write(true).open(dir.join("d/a")).unwrap();
    file.write_all(&[1; 300_000]).unwrap();
    file.set_len(299_999).unwrap();
    file.seek(SeekFrom::Start(299_998)).unwrap();
    let mut end = Vec::new();
    file.read_to_end(&mut end).unwrap();
    assert_eq!(end, [1]);
    file.sync_data().unwrap();
    drop(file);
    fs::hard_link(dir.join("d/a"), dir.join("b")).unwrap();
    fs::rename(dir.join("d/a"), dir.join("d/c")).unwrap();
    assert_eq!(fs::read(dir.join("b")).unwrap().len(), 299_999);
    assert_eq!(fs::remove_dir(dir.join("d")).unwrap_err().kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(fs::read(dir.join("d/a")).unwrap_err().kind(), ErrorKind::NotFound);
    let names = fs::read_dir(dir.join("d")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["c"]);
    fs::remove_file(dir.join("d/c")).unwrap();
    fs::remove_dir(dir.join("d")).unwrap();
    fs::File::open(&dir).unwrap().sync_all().unwrap();
    mount.with(Disk::cut_power);
    assert!(fs::read(dir.join("b")).is_err());
    let disk = mount.unmount().unwrap();
    assert_eq!(content(&disk.after_power_loss(0), "b").unwrap().len(), 299_999);
}
