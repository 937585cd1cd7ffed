//! What every store does, whatever its engine, bridge mode and runtime: one suite over them all, also
//! with one read thread and queues of one operation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::{Setup, for_each, for_each_store};
use futures::future::{join_all, try_join_all};
use futures::{StreamExt, TryStreamExt};
use pontoon_storage::{
    Durability, Error, KeyRange, PageLimit, Reader, ScanOptions, Snapshot, Store, WriteBatch,
};

async fn keys(
    store: &Store,
    keyspace: &str,
    range: impl Into<KeyRange>,
    reverse: bool,
) -> Vec<String> {
    let page = PageLimit { entries: 3, bytes: usize::MAX };
    let scan = store.scan(&store.keyspace(keyspace).unwrap(), range, ScanOptions { reverse, page });
    scan.map(|entry| String::from_utf8(entry.unwrap().0.to_vec()).unwrap()).collect().await
}

#[test]
fn what_is_put_is_got_until_deleted() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        assert_eq!(store.get(&ks, "k").await.unwrap(), None);
        store.put(&ks, "k", "v1").await.unwrap();
        store.put(&ks, "k", "v2").await.unwrap();
        assert_eq!(store.get(&ks, "k").await.unwrap().unwrap(), "v2");
        assert!(store.contains(&ks, "k").await.unwrap());
        store.delete(&ks, "k").await.unwrap();
        store.delete(&ks, "k").await.unwrap();
        assert_eq!(store.get(&ks, "k").await.unwrap(), None);
        assert!(!store.contains(&ks, "k").await.unwrap());
    });
}

#[test]
fn empty_keys_and_values_work() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "", "").await.unwrap();
        assert_eq!(store.get(&ks, "").await.unwrap(), Some(Bytes::new()));
        assert_eq!(keys(&store, "a", .., false).await, [""]);
        store.delete(&ks, "").await.unwrap();
        assert_eq!(store.get(&ks, "").await.unwrap(), None);
    });
}

#[test]
fn keyspaces_are_apart() {
    for_each_store(|store| async move {
        let (a, b) = (store.keyspace("a").unwrap(), store.keyspace("b").unwrap());
        store.put(&a, "k", "in a").await.unwrap();
        assert_eq!(store.get(&b, "k").await.unwrap(), None);
        store.put(&b, "k", "in b").await.unwrap();
        assert_eq!(store.get(&a, "k").await.unwrap().unwrap(), "in a");
        assert_eq!(store.get(&b, "k").await.unwrap().unwrap(), "in b");
    });
}

#[test]
fn opening_a_keyspace_to_read_creates_nothing() {
    for_each_store(|store| async move {
        let read = store.keyspace("read").unwrap();
        assert_eq!(store.get(&read, "k").await.unwrap(), None);
        assert_eq!(store.get_many(&read, ["a", "b"]).await.unwrap(), [None, None]);
        assert!(keys(&store, "read", .., false).await.is_empty());
        assert!(store.keyspaces().await.unwrap().is_empty());
        store.put(&store.keyspace("written").unwrap(), "k", "v").await.unwrap();
        assert_eq!(store.keyspaces().await.unwrap(), ["written"]);
    });
}

#[test]
fn a_dropped_keyspace_is_gone_and_can_come_again() {
    for_each_store(|store| async move {
        let (a, b) = (store.keyspace("a").unwrap(), store.keyspace("b").unwrap());
        store.put(&a, "k", "v").await.unwrap();
        store.put(&b, "k", "v").await.unwrap();
        let before = store.snapshot().await.unwrap();
        assert!(store.drop_keyspace(&a).await.unwrap());
        assert!(!store.drop_keyspace(&a).await.unwrap());
        assert_eq!(store.keyspaces().await.unwrap(), ["b"]);
        assert_eq!(store.get(&a, "k").await.unwrap(), None);
        assert_eq!(before.get(&a, "k").await.unwrap().unwrap(), "v");
        drop(before);
        store.put(&a, "other", "v").await.unwrap();
        assert_eq!(keys(&store, "a", .., false).await, ["other"]);
        assert_eq!(store.get(&b, "k").await.unwrap().unwrap(), "v");
    });
}

#[test]
fn get_many_keeps_the_order_asked_for() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        for n in 0..10 {
            store.put(&ks, format!("k{n}"), format!("v{n}")).await.unwrap();
        }
        let got = store.get_many(&ks, ["k7", "missing", "k0", "k7"]).await.unwrap();
        assert_eq!(got, [Some("v7".into()), None, Some("v0".into()), Some("v7".into())]);
        assert!(store.get_many(&ks, Vec::<&str>::new()).await.unwrap().is_empty());
    });
}

#[test]
fn delete_range_takes_what_is_inside_alone() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        for key in ["a", "b", "c", "d", "e"] {
            store.put(&ks, key, "").await.unwrap();
        }
        store.delete_range(&ks, "b".."d").await.unwrap();
        assert_eq!(keys(&store, "a", .., false).await, ["a", "d", "e"]);
        store.delete_range(&ks, "x".."b").await.unwrap();
        assert_eq!(keys(&store, "a", .., false).await, ["a", "d", "e"]);
        store.delete_range(&ks, "d"..).await.unwrap();
        assert_eq!(keys(&store, "a", .., false).await, ["a"]);
        store.delete_range(&ks, ..).await.unwrap();
        assert!(keys(&store, "a", .., false).await.is_empty());
    });
}

#[test]
fn a_large_range_is_deleted_too() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        let mut batch = WriteBatch::new();
        for n in 0..1_000 {
            batch.put(&ks, format!("{n:04}"), "v");
        }
        store.write(batch).await.unwrap();
        store.delete_range(&ks, "0100".."0900").await.unwrap();
        assert_eq!(keys(&store, "a", .., false).await.len(), 200);
        assert_eq!(store.get(&ks, "0500").await.unwrap(), None);
        store.put(&ks, "0500", "again").await.unwrap();
        assert_eq!(store.get(&ks, "0500").await.unwrap().unwrap(), "again");
    });
}

#[test]
fn a_batch_is_applied_in_its_order_over_keyspaces() {
    for_each_store(|store| async move {
        let (a, b) = (store.keyspace("a").unwrap(), store.keyspace("b").unwrap());
        store.put(&a, "old", "v").await.unwrap();
        let mut batch = WriteBatch::new();
        batch.put(&a, "k1", "first").delete_range(&a, ..).put(&a, "k2", "v");
        batch.put(&b, "k", "v").delete(&b, "k").put(&b, "k", "last");
        assert_eq!(batch.len(), 6);
        store.write(batch).await.unwrap();
        assert_eq!(keys(&store, "a", .., false).await, ["k2"]);
        assert_eq!(store.get(&b, "k").await.unwrap().unwrap(), "last");
    });
}

#[test]
fn scans_go_both_ways_in_pages() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        let all: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
        for key in all.iter().rev() {
            store.put(&ks, key, "v").await.unwrap();
        }
        assert_eq!(keys(&store, "a", .., false).await, all);
        let backwards: Vec<String> = all.iter().rev().cloned().collect();
        assert_eq!(keys(&store, "a", .., true).await, backwards);
        assert_eq!(keys(&store, "a", "05".."08", false).await, all[5..8]);
        assert_eq!(keys(&store, "a", "05"..="08", true).await, backwards[11..15]);
        assert_eq!(keys(&store, "a", KeyRange::prefix("1"), false).await, all[10..]);
        assert!(keys(&store, "a", "x"..="z", true).await.is_empty());
    });
}

#[test]
fn a_scan_sees_the_store_as_it_was_when_it_began() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        for key in ["a", "b", "c", "d"] {
            store.put(&ks, key, "old").await.unwrap();
        }
        let page = PageLimit { entries: 1, bytes: usize::MAX };
        let mut scan = store.scan(&ks, .., ScanOptions { page, ..ScanOptions::default() });
        let first = scan.try_next().await.unwrap().unwrap();
        store.delete_range(&ks, ..).await.unwrap();
        store.put(&ks, "b2", "new").await.unwrap();
        let rest: Vec<(Bytes, Bytes)> = scan.try_collect().await.unwrap();
        let seen: Vec<_> = std::iter::once(first).chain(rest).map(|(key, _)| key).collect();
        assert_eq!(seen, ["a", "b", "c", "d"]);
    });
}

#[test]
fn a_snapshot_stays_as_it_was() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "old").await.unwrap();
        let snapshot: Arc<Snapshot> = Arc::new(store.snapshot().await.unwrap());
        store.put(&ks, "k", "new").await.unwrap();
        store.put(&ks, "k2", "new").await.unwrap();
        assert_eq!(snapshot.get(&ks, "k").await.unwrap().unwrap(), "old");
        let scan = snapshot.scan(&ks, .., ScanOptions::default());
        drop(snapshot);
        let entries: Vec<(Bytes, Bytes)> = scan.try_collect().await.unwrap();
        assert_eq!(entries, [(Bytes::from("k"), Bytes::from("old"))]);
        assert_eq!(store.get(&ks, "k").await.unwrap().unwrap(), "new");
    });
}

#[test]
fn an_update_sees_its_own_writes_merged_with_what_is_there() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        for key in ["b", "d", "f"] {
            store.put(&ks, key, "old").await.unwrap();
        }
        let within = ks.clone();
        let (forward, backward) = store
            .update(move |tx| {
                let ks = &within;
                tx.put(ks, "a", "new")?;
                tx.delete(ks, "d")?;
                tx.delete_range(ks, "e"..)?;
                tx.put(ks, "g", "new")?;
                assert_eq!(tx.get(ks, b"f")?, None);
                assert_eq!(
                    tx.get_many(ks, &[b"a", b"d", b"b"])?,
                    [Some("new".into()), None, Some("old".into())]
                );
                let list = |options| {
                    let entries = tx.scan(ks, .., options);
                    entries.map(|entry| Ok(entry?.0)).collect::<Result<Vec<Bytes>, Error>>()
                };
                Ok::<_, Error>((list(ScanOptions::default())?, list(ScanOptions::reversed())?))
            })
            .await
            .unwrap();
        assert_eq!(forward, ["a", "b", "g"]);
        assert_eq!(backward, ["g", "b", "a"]);
        assert_eq!(keys(&store, "a", .., false).await, ["a", "b", "g"]);
    });
}

#[derive(Debug, PartialEq)]
enum Refused {
    Poor,
    Store(String),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Refused::Store(error.to_string())
    }
}

#[test]
fn an_error_rolls_back_its_own_operation_alone() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "kept", "v").await.unwrap();
        let updates = (0..8).map(|n| {
            let ks = ks.clone();
            store.update(move |tx| {
                tx.put(&ks, format!("n{n}"), "v")?;
                if n % 2 == 1 {
                    tx.delete_range(&ks, ..)?;
                    tx.put(&ks, "half", "v")?;
                    return Err(Refused::Poor);
                }
                Ok(())
            })
        });
        for (n, result) in join_all(updates).await.into_iter().enumerate() {
            assert_eq!(result, if n % 2 == 1 { Err(Refused::Poor) } else { Ok(()) });
        }
        assert_eq!(keys(&store, "a", .., false).await, ["kept", "n0", "n2", "n4", "n6"]);
    });
}

#[test]
fn a_savepoint_undoes_its_part_alone() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        let within = ks.clone();
        store
            .update(move |tx| {
                tx.put(&within, "a", "1")?;
                let undone = tx.savepoint(|tx| {
                    tx.put(&within, "a", "2")?;
                    tx.delete_range(&within, ..)?;
                    tx.put(&within, "b", "2")?;
                    Err::<(), _>(Refused::Poor)
                });
                assert_eq!(undone, Err(Refused::Poor));
                assert_eq!(tx.get(&within, b"a")?.unwrap(), "1");
                tx.savepoint(|tx| tx.put(&within, "c", "3"))?;
                Ok::<_, Refused>(())
            })
            .await
            .unwrap();
        assert_eq!(keys(&store, "a", .., false).await, ["a", "c"]);
    });
}

#[test]
fn updates_are_serializable() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        let increments = (0..100).map(|_| {
            let ks = ks.clone();
            store.update(move |tx| {
                let old = tx.get(&ks, b"n")?.map_or(0, |n| n[0]);
                tx.put(&ks, "n", [old + 1])?;
                Ok::<_, Error>(old)
            })
        });
        let mut seen = try_join_all(increments).await.unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());
    });
}

#[test]
fn a_read_after_an_acknowledged_write_sees_it() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        let clients = (0..16).map(|client: u8| {
            let (store, ks) = (store.clone(), ks.clone());
            async move {
                for n in 0..10u8 {
                    store.put(&ks, [client], [n]).await.unwrap();
                    assert_eq!(store.get(&ks, [client]).await.unwrap().unwrap(), [n][..]);
                }
            }
        });
        join_all(clients).await;
    });
}

#[test]
fn what_is_too_large_gets_an_error_and_changes_nothing() {
    for_each(Setup::all(), |_, options| async {
        let options = options.key_bytes_max(8).value_bytes_max(16).transaction_bytes_max(1_000);
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, [1; 8], [1; 16]).await.unwrap();
        let key = store.put(&ks, [1; 9], "v").await.unwrap_err();
        assert!(matches!(key, Error::TooLarge { what: "key", size: 9, limit: 8 }), "{key}");
        let value = store.put(&ks, "k", [1; 17]).await.unwrap_err();
        assert!(matches!(value, Error::TooLarge { what: "value", size: 17, limit: 16 }), "{value}");
        let mut batch = WriteBatch::new();
        for n in 0..100u8 {
            batch.put(&ks, [n], [n; 16]);
        }
        let whole = store.write(batch).await.unwrap_err();
        assert!(matches!(whole, Error::TooLarge { what: "transaction", .. }), "{whole}");
        assert_eq!(store.get(&ks, [0]).await.unwrap(), None);
        assert_eq!(store.get(&ks, [1; 9]).await.unwrap(), None);
        assert!(store.get(&ks, [1; 8]).await.unwrap().is_some());
        store.close().await.unwrap();
    });
}

#[test]
fn keys_of_64_kib_and_large_values_are_kept_whole() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        let (key, value) = (vec![7; 64 << 10], vec![9; 3 << 20]);
        store.put(&ks, &key, &value).await.unwrap();
        assert_eq!(store.get(&ks, &key).await.unwrap().unwrap(), value);
        let at_most = keys_len(&store, &ks).await;
        assert_eq!(at_most, 1);
    });
}

async fn keys_len(store: &Store, keyspace: &pontoon_storage::Keyspace) -> usize {
    store.scan(keyspace, .., ScanOptions::default()).count().await
}

#[test]
fn keyspaces_are_limited_in_number_and_name() {
    for_each(Setup::all(), |_, options| async {
        let store = Store::open(options.keyspaces_max(2)).await.unwrap();
        let first = store.keyspace("one").unwrap();
        store.keyspace("two").unwrap();
        assert_eq!(store.keyspace("one").unwrap(), first);
        assert!(matches!(store.keyspace("three"), Err(Error::TooLarge { .. })));
        for bad in ["", "a b", "a/b", "é", "default", &"x".repeat(201)] {
            assert!(matches!(store.keyspace(bad), Err(Error::InvalidArgument(_))), "{bad:?}");
        }
        store.close().await.unwrap();
    });
}

#[test]
fn a_keyspace_of_another_store_is_refused() {
    for_each(Setup::all(), |_, options| async {
        let store = Store::open(options).await.unwrap();
        let other = Store::open(pontoon_storage::Options::in_memory()).await.unwrap();
        let foreign = other.keyspace("a").unwrap();
        assert!(matches!(store.get(&foreign, "k").await, Err(Error::InvalidArgument(_))));
        assert!(matches!(store.put(&foreign, "k", "v").await, Err(Error::InvalidArgument(_))));
        assert!(matches!(store.drop_keyspace(&foreign).await, Err(Error::InvalidArgument(_))));
        store.close().await.unwrap();
        other.close().await.unwrap();
    });
}

#[test]
fn what_was_written_is_there_after_reopening() {
    for_each(Setup::persistent(), |_, options| async move {
        for durability in [Durability::Always, Durability::EVERY_SECOND, Durability::Never] {
            let options = options.clone().durability(durability);
            let store = Store::open(options.clone()).await.unwrap();
            let ks = store.keyspace("a").unwrap();
            let key = format!("{durability:?}");
            store.put(&ks, &key, "v").await.unwrap();
            store.close().await.unwrap();
            let store = Store::open(options).await.unwrap();
            let ks = store.keyspace("a").unwrap();
            assert_eq!(store.get(&ks, &key).await.unwrap().unwrap(), "v");
            assert_eq!(store.keyspaces().await.unwrap(), ["a"]);
            store.close().await.unwrap();
        }
    });
}

#[test]
fn a_checkpoint_is_a_store_of_its_own() {
    for_each(Setup::persistent(), |setup, options| async move {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy");
        let store = Store::open(options.durability(Durability::Never)).await.unwrap();
        let (a, b) = (store.keyspace("a").unwrap(), store.keyspace("b").unwrap());
        for n in 0..500 {
            store.put(&a, format!("{n:03}"), vec![1; 1000]).await.unwrap();
        }
        store.put(&b, "k", "v").await.unwrap();
        store.checkpoint(&copy).await.unwrap();
        store.put(&b, "later", "v").await.unwrap();
        assert!(matches!(store.checkpoint(&copy).await, Err(Error::InvalidArgument(_))));
        let opened = Store::open(setup.options(&copy)).await.unwrap();
        let (a, b) = (opened.keyspace("a").unwrap(), opened.keyspace("b").unwrap());
        assert_eq!(keys_len(&opened, &a).await, 500);
        assert_eq!(opened.get(&b, "k").await.unwrap().unwrap(), "v");
        assert_eq!(opened.get(&b, "later").await.unwrap(), None);
        opened.put(&b, "own", "v").await.unwrap();
        opened.close().await.unwrap();
        assert_eq!(store.get(&store.keyspace("b").unwrap(), "own").await.unwrap(), None);
        store.close().await.unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    });
}

#[test]
fn stats_count_what_was_done() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        store.put(&ks, "k", "v").await.unwrap();
        store.get(&ks, "k").await.unwrap();
        let held = store.snapshot().await.unwrap();
        let stats = store.stats().await.unwrap();
        assert_eq!(stats.write.operations, 1);
        assert_eq!((stats.commits, stats.syncs), (1, 1));
        assert!(stats.read.operations >= 2, "{stats:?}");
        assert_eq!(stats.snapshots, 1);
        assert!(!stats.read_only);
        drop(held);
    });
}
