//! Several operations in one call: each is one of its own, and all are answered together.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use common::wrap::controlled;
use common::{Setup, for_each, for_each_store};
use pontoon_storage::{Error, Keyspace, Reader, Result, Store, Transaction};

type Operation = Box<dyn FnOnce(&mut Transaction) -> Result<u64> + Send>;

/// Adds one to what is at `key` and returns it.
fn count(keyspace: &Keyspace, key: &'static str) -> Operation {
    let keyspace = keyspace.clone();
    Box::new(move |tx| {
        let before = tx.get(&keyspace, key.as_bytes())?.map_or(0, |value| value.len() as u64);
        tx.put(&keyspace, key, vec![0; before as usize + 1])?;
        Ok(before + 1)
    })
}

/// The same, and then it goes wrong.
fn count_and(keyspace: &Keyspace, key: &'static str, end: fn() -> Result<u64>) -> Operation {
    let count = count(keyspace, key);
    Box::new(move |tx| {
        count(tx)?;
        end()
    })
}

#[test]
fn they_run_in_order_and_one_that_fails_or_panics_is_undone_alone() {
    for_each_store(|store| async move {
        let ks = store.keyspace("a").unwrap();
        let operations = vec![
            count(&ks, "k"),
            count_and(&ks, "k", || Err(Error::Deadline)),
            count(&ks, "k"),
            count_and(&ks, "k", || panic!("on purpose")),
            count(&ks, "other"),
            count(&ks, "k"),
        ];
        let results = store.update_all(operations).await.unwrap();
        let [one, failed, two, panicked, other, three] = &results[..] else {
            panic!("{results:?}")
        };
        assert!(matches!((one, two, three), (Ok(1), Ok(2), Ok(3))), "{results:?}");
        assert!(matches!(other, Ok(1)));
        assert!(matches!(failed, Err(Error::Deadline)));
        assert!(matches!(panicked, Err(Error::Panicked(why)) if why == "on purpose"));
        assert_eq!(store.get(&ks, "k").await.unwrap().unwrap().len(), 3);
        assert_eq!(store.stats().await.unwrap().write.panicked, 1);
        assert_eq!(store.update_all(Vec::<Operation>::new()).await.unwrap().len(), 0);
    });
}

#[test]
fn each_has_limits_of_its_own() {
    for_each(Setup::all(), |_, options| async move {
        let store =
            Store::open(options.value_bytes_max(300).transaction_bytes_max(300)).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let write = |len: usize| {
            let ks = ks.clone();
            move |tx: &mut Transaction| tx.put(&ks, format!("{len}"), vec![0; len])
        };
        let results = store.update_all(vec![write(150), write(400), write(151)]).await.unwrap();
        assert!(
            matches!(&results[..], [Ok(()), Err(Error::TooLarge { .. }), Ok(())]),
            "{results:?}"
        );
        store.close().await.unwrap();
    });
}

#[test]
fn what_each_wants_heard_is_heard_in_order_but_of_one_that_failed() {
    for_each_store(|store| async move {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tell = |what: u64, fails: bool| {
            let heard = Arc::clone(&heard);
            move |tx: &mut Transaction| {
                tx.after_commit(move |outcome| heard.lock().unwrap().push((what, outcome.is_ok())));
                if fails { Err(Error::Deadline) } else { Ok(()) }
            }
        };
        let operations = vec![tell(1, false), tell(2, true), tell(3, false)];
        store.update_all(operations).await.unwrap();
        assert_eq!(*heard.lock().unwrap(), [(1, true), (3, true)]);
    });
}

#[test]
fn they_are_one_batch_and_fail_together_if_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let (options, control) = controlled(&dir);
    futures::executor::block_on(async {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let before = control.applies.load(SeqCst);
        store.update_all(vec![count(&ks, "k"), count(&ks, "l")]).await.unwrap();
        assert_eq!(control.applies.load(SeqCst), before + 1);
        control.fail_apply.store(true, SeqCst);
        let failed = store.update_all(vec![count(&ks, "k"), count(&ks, "l")]).await.unwrap();
        assert!(
            matches!(&failed[..], [Err(Error::Commit(_)), Err(Error::Commit(_))]),
            "{failed:?}"
        );
        let refused = store.update_all(vec![count(&ks, "k")]).await;
        assert!(matches!(refused, Err(Error::ReadOnly(_))), "{refused:?}");
        let _ = store.close().await;
    });
}

/// Writes `len` bytes.
fn write(keyspace: &Keyspace, key: &'static str, len: usize) -> Operation {
    let keyspace = keyspace.clone();
    Box::new(move |tx| tx.put(&keyspace, key, vec![0; len]).map(|()| 0))
}

#[test]
fn many_that_write_much_are_committed_in_between_and_all_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (options, control) = controlled(&dir);
    futures::executor::block_on(async {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let many = || (0..20).map(|_| write(&ks, "k", 4 << 20)).collect::<Vec<_>>();
        let before = control.applies.load(SeqCst);
        let results = store.update_all(many()).await.unwrap();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 20);
        let batches = control.applies.load(SeqCst) - before;
        assert!((5..=20).contains(&batches), "{batches}");
        // The first batch is committed, the next is not, and those behind it do not run.
        control.applies_before_failure.store(control.applies.load(SeqCst) + 1, SeqCst);
        control.fail_apply.store(true, SeqCst);
        let results = store.update_all(many()).await.unwrap();
        assert_eq!(results.len(), 20);
        let committed = results.iter().take_while(|result| result.is_ok()).count();
        assert!((1..20).contains(&committed), "{committed}");
        let mut rest = results.iter().skip(committed);
        assert!(rest.all(|result| matches!(result, Err(Error::Commit(_)))), "{results:?}");
        let _ = store.close().await;
    });
}
