//! What an operation wants others to hear of it leaves when its batch is applied, and not before.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use common::wrap::controlled;
use common::{Setup, for_each};
use futures::poll;
use pontoon_storage::{Error, Keyspace, Result, Store, Transaction};

type Heard = Arc<Mutex<Vec<(&'static str, bool)>>>;

fn tell(
    tx: &mut Transaction,
    keyspace: &Keyspace,
    heard: &Heard,
    what: &'static str,
) -> Result<()> {
    tx.put(keyspace, what, "v").unwrap();
    let heard = Arc::clone(heard);
    tx.after_commit(move |outcome| heard.lock().unwrap().push((what, outcome.is_ok())));
    Ok(())
}

#[test]
fn it_is_heard_after_the_commit_in_order_and_before_the_answer() {
    for_each(Setup::all(), |_, options| async move {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let heard = Heard::default();
        for what in ["one", "two", "three"] {
            let (ks, told) = (ks.clone(), Arc::clone(&heard));
            store.update(move |tx| tell(tx, &ks, &told, what)).await.unwrap();
            assert_eq!(heard.lock().unwrap().last(), Some(&(what, true)));
        }
        assert_eq!(heard.lock().unwrap().len(), 3);
        store.close().await.unwrap();
    });
}

#[test]
fn nothing_is_heard_while_the_batch_is_being_applied() {
    let dir = tempfile::tempdir().unwrap();
    let (options, control) = controlled(&dir);
    futures::executor::block_on(async {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let heard = Heard::default();
        control.applied_gate.shut();
        let (of_closure, told) = (ks.clone(), Arc::clone(&heard));
        let mut update = Box::pin(store.update(move |tx| tell(tx, &of_closure, &told, "held")));
        assert!(poll!(update.as_mut()).is_pending());
        control.applied_gate.wait_for_held(1);
        assert!(heard.lock().unwrap().is_empty());
        // Whoever asked does not wait any more: the others hear of it all the same.
        drop(update);
        control.applied_gate.open();
        store.put(&ks, "next", "v").await.unwrap();
        assert_eq!(*heard.lock().unwrap(), [("held", true)]);
        store.close().await.unwrap();
    });
}

#[test]
fn of_what_failed_nothing_is_heard_and_a_failed_commit_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (options, control) = controlled(&dir);
    futures::executor::block_on(async {
        let store = Store::open(options).await.unwrap();
        let ks = store.keyspace("a").unwrap();
        let heard = Heard::default();
        let (of_closure, told) = (ks.clone(), Arc::clone(&heard));
        let failed = store.update(move |tx| -> Result<()> {
            tell(tx, &of_closure, &told, "failed")?;
            Err(Error::Deadline)
        });
        failed.await.unwrap_err();
        let (of_closure, told) = (ks.clone(), Arc::clone(&heard));
        let panicked = store.update(move |tx| -> Result<()> {
            tell(tx, &of_closure, &told, "panicked")?;
            panic!("on purpose")
        });
        panicked.await.unwrap_err();
        // What it is told of must not be able to harm the others.
        let harmless = store.update(|tx| {
            tx.after_commit(|_| panic!("on purpose"));
            Ok::<_, Error>(())
        });
        harmless.await.unwrap();
        assert!(heard.lock().unwrap().is_empty());
        control.fail_apply.store(true, SeqCst);
        let (of_closure, told) = (ks.clone(), Arc::clone(&heard));
        let update = store.update(move |tx| tell(tx, &of_closure, &told, "lost"));
        assert!(matches!(update.await, Err(Error::Commit(_))));
        assert_eq!(*heard.lock().unwrap(), [("lost", false)]);
        let _ = store.close().await;
    });
}
