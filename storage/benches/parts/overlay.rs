//! What a transaction's overlay costs: 1,000 operations within one `update`, timed from within, so that
//! neither the trip nor the commit counts.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use futures::executor::block_on;
use pontoon_storage::{Error, Keyspace, Options, Reader, Result, ScanOptions, Store, Transaction};

use crate::data::{fill, key, value};

const STORED: u64 = 10_000;
const OPERATIONS: u64 = 1_000;

/// What ends each `update`: the time it took. As an error, so that nothing is committed and each
/// iteration finds what the first one found.
enum End {
    Took(Duration),
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        End::Failed(error)
    }
}

pub(crate) fn operations(c: &mut Criterion) {
    let store = block_on(Store::open(Options::in_memory())).unwrap();
    let keyspace = block_on(fill(&store, STORED));
    let mut group = c.benchmark_group("overlay/1000");
    group.throughput(Throughput::Elements(OPERATIONS));
    let nothing = |_: &mut Transaction, _: &Keyspace| Ok(());
    bench(&mut group, &store, &keyspace, "put", nothing, put_pending);
    bench(&mut group, &store, &keyspace, "put_again", put_pending, put_pending);
    bench(&mut group, &store, &keyspace, "get_pending", put_pending, |tx, keyspace| {
        get(tx, keyspace, STORED)
    });
    // Past pending writes to the snapshot below.
    bench(&mut group, &store, &keyspace, "get_stored", put_pending, |tx, keyspace| {
        get(tx, keyspace, 0)
    });
    bench(&mut group, &store, &keyspace, "get_stored_none_pending", nothing, |tx, keyspace| {
        get(tx, keyspace, 0)
    });
    // Eleven entries are scanned for each that is pending; all of them count.
    group.throughput(Throughput::Elements(STORED + OPERATIONS));
    bench(&mut group, &store, &keyspace, "scan_merged", put_pending, |tx, keyspace| {
        scan(tx, keyspace, STORED + OPERATIONS)
    });
    group.throughput(Throughput::Elements(STORED));
    bench(&mut group, &store, &keyspace, "scan_none_pending", nothing, |tx, keyspace| {
        scan(tx, keyspace, STORED)
    });
    group.throughput(Throughput::Elements(OPERATIONS));
    bench(&mut group, &store, &keyspace, "put_rolled_back", nothing, |tx, keyspace| {
        for n in STORED..STORED + OPERATIONS {
            let undone: Result<()> = tx.savepoint(|tx| {
                tx.put(keyspace, key(n), value())?;
                Err(Error::InvalidArgument("undone".into()))
            });
            assert!(undone.is_err());
        }
        Ok(())
    });
    group.finish();
    block_on(store.close()).unwrap();
}

fn put_pending(tx: &mut Transaction, keyspace: &Keyspace) -> Result<()> {
    (STORED..STORED + OPERATIONS).try_for_each(|n| tx.put(keyspace, key(n), value()))
}

fn get(tx: &mut Transaction, keyspace: &Keyspace, first: u64) -> Result<()> {
    for n in first..first + OPERATIONS {
        assert!(tx.get(keyspace, &key(n))?.is_some());
    }
    Ok(())
}

fn scan(tx: &mut Transaction, keyspace: &Keyspace, entries: u64) -> Result<()> {
    let mut seen = 0;
    for entry in tx.scan(keyspace, .., ScanOptions::default()) {
        entry?;
        seen += 1;
    }
    assert_eq!(seen, entries);
    Ok(())
}

/// Times `measured` in a transaction that `prepare` has prepared.
fn bench(
    group: &mut BenchmarkGroup<'_, WallTime>,
    store: &Store,
    keyspace: &Keyspace,
    name: &str,
    prepare: impl Fn(&mut Transaction, &Keyspace) -> Result<()> + Copy + Send + 'static,
    measured: impl Fn(&mut Transaction, &Keyspace) -> Result<()> + Copy + Send + 'static,
) {
    group.bench_function(name, |b| {
        b.iter_custom(|iterations| {
            let one = || {
                let keyspace = keyspace.clone();
                let update = store.update(move |tx| -> Result<(), End> {
                    prepare(tx, &keyspace)?;
                    let begun = Instant::now();
                    measured(tx, &keyspace)?;
                    Err(End::Took(begun.elapsed()))
                });
                match block_on(update) {
                    Err(End::Took(time)) => time,
                    Err(End::Failed(error)) => panic!("{error}"),
                    Ok(()) => unreachable!("each update ends with its time"),
                }
            };
            (0..iterations).map(|_| one()).sum()
        });
    });
}
