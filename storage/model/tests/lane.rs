//! A lane alone: whatever its drains, its bridge and its callers do, every operation it accepted has
//! one fate and all of its room comes back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use pontoon_storage_model::Error;
use pontoon_storage_model::check::check;
use pontoon_storage_model::rig::{Fate, Plan, Rig};
use pontoon_storage_model::threads::one_fault_in;
use shuttle::thread::{JoinHandle, spawn};

const CALLERS: u32 = 3;
const CALLS: u32 = 2;

/// Threads that each call `call` in turn with ids of their own, ascending.
fn callers(rig: &Rig, call: impl Fn(&Rig, u32) + Copy + Send + 'static) -> Vec<JoinHandle<()>> {
    (0..CALLERS)
        .map(|caller| {
            let rig = rig.clone();
            spawn(move || (0..CALLS).for_each(|n| call(&rig, caller * CALLS + n)))
        })
        .collect()
}

fn join(threads: Vec<JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn every_call_runs(plan: Plan) {
    let rig = Rig::new(plan);
    join(callers(&rig, |rig, id| assert_eq!(rig.call(id).unwrap(), Fate::Ran)));
    rig.check_at_rest();
    rig.check_room();
}

#[test]
fn one_drain_answers_every_operation() {
    check(|| every_call_runs(Plan { drains_max: 1, ..Plan::default() }));
}

#[test]
fn many_drains_answer_every_operation() {
    check(|| every_call_runs(Plan { drains_max: 3, take: 1, room: 6, ..Plan::default() }));
}

#[test]
fn a_backlog_gets_no_more_drains_than_there_may_be() {
    check(|| {
        let rig = Rig::new(Plan { take: 1, room: 6, ..Plan::default() });
        join(callers(&rig, |rig, id| std::mem::forget(rig.post(id).unwrap())));
        rig.check_at_rest();
        assert_eq!(rig.ran().len(), (CALLERS * CALLS) as usize);
    });
}

#[test]
fn what_drains_put_back_runs() {
    check(|| every_call_runs(Plan { puts_back: true, ..Plan::default() }));
}

#[test]
fn one_drain_keeps_the_order_of_what_it_puts_back() {
    check(|| {
        let plan = Plan { drains_max: 1, take: 3, room: 6, puts_back: true, panics_one_in: 0 };
        let rig = Rig::new(plan);
        join(callers(&rig, |rig, id| std::mem::forget(rig.post(id).unwrap())));
        rig.check_at_rest();
        let ran = rig.ran();
        assert_eq!(ran.len(), (CALLERS * CALLS) as usize);
        for caller in 0..CALLERS {
            let own: Vec<_> = ran.iter().filter(|id| *id / CALLS == caller).collect();
            assert!(own.is_sorted(), "{ran:?}");
        }
    });
}

#[test]
fn a_close_in_between_refuses_or_answers() {
    check(|| {
        let rig = Rig::new(Plan { room: 2, puts_back: true, ..Plan::default() });
        let callers = callers(&rig, |rig, id| match rig.call(id) {
            Ok(fate) => assert_eq!(fate, Fate::Ran),
            Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
        });
        rig.close();
        join(callers);
        rig.check_at_rest();
    });
}

#[test]
fn a_drain_that_breaks_off_answers_each_once() {
    check(|| {
        let rig = Rig::new(Plan { panics_one_in: 3, puts_back: true, ..Plan::default() });
        join(callers(&rig, |rig, id| {
            let fate = rig.call(id).unwrap();
            assert_eq!(rig.fates(id), [fate]);
        }));
        rig.check_at_rest();
    });
}

#[test]
fn room_comes_back_from_drains_that_break_off() {
    check(|| {
        let rig = Rig::new(Plan { panics_one_in: 2, drains_max: 1, ..Plan::default() });
        join(callers(&rig, |rig, id| {
            let _ = rig.call(id).unwrap();
        }));
        rig.check_room();
    });
}

#[test]
fn jobs_dropped_unrun_answer_their_orphans() {
    check(|| {
        let rig = Rig::new(Plan { puts_back: true, ..Plan::default() });
        one_fault_in(3);
        join(callers(&rig, |rig, id| assert_ne!(rig.call(id).unwrap(), Fate::Dropped)));
        rig.check_at_rest();
        rig.check_room();
    });
}

#[test]
fn a_bridge_that_ends_in_between_answers_what_it_leaves() {
    check(|| {
        let rig = Rig::new(Plan { drains_max: 1, ..Plan::default() });
        let callers = callers(&rig, |rig, id| assert_ne!(rig.call(id).unwrap(), Fate::Dropped));
        rig.end_bridge();
        join(callers);
        rig.check_at_rest();
    });
}

#[test]
fn a_close_waits_for_the_answers_of_orphans() {
    check(|| {
        let rig = Rig::new(Plan::default());
        one_fault_in(2);
        let callers = callers(&rig, |rig, id| match rig.call(id) {
            Ok(fate) => assert_ne!(fate, Fate::Dropped),
            Err(error) => assert!(matches!(error, Error::Closed), "{error}"),
        });
        rig.close();
        join(callers);
        rig.check_at_rest();
    });
}

#[test]
fn a_deadline_means_it_never_runs() {
    check(|| {
        let rig = Rig::new(Plan { drains_max: 1, ..Plan::default() });
        join(callers(&rig, |rig, id| match rig.call_within(id, Duration::from_millis(20)) {
            Ok(fate) => assert_eq!(fate, Fate::Ran),
            Err(Error::Deadline) => {}
            Err(error) => panic!("{error}"),
        }));
        rig.stop_ticker();
        rig.check_at_rest();
        let late = (0..CALLERS * CALLS).filter(|id| rig.fates(*id) == [Fate::Dropped]).count();
        assert_eq!(rig.ran().len() + late, (CALLERS * CALLS) as usize);
        let stats = rig.stats();
        assert_eq!(stats.cancelled, 0, "counted as given up, though the deadline came: {stats:?}");
        rig.check_room();
    });
}

#[test]
fn a_call_given_up_runs_or_not_and_leaves_its_room() {
    check(|| {
        let rig = Rig::new(Plan { room: 2, ..Plan::default() });
        join(callers(&rig, Rig::call_and_give_up));
        rig.check_at_rest();
        rig.check_room();
    });
}
