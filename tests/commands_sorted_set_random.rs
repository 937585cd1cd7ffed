//! Large sorted sets against a model: sizes on both sides of where a set leaves its record and where it is
//! divided into segments.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod harness;

use std::collections::BTreeMap;

use harness::{Shell, with_each_persistent_engine};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A sorted set as a map.
#[derive(Default)]
struct Model {
    scores: BTreeMap<String, i64>,
}

impl Model {
    fn sorted(&self) -> Vec<(i64, &String)> {
        let mut members: Vec<_> =
            self.scores.iter().map(|(member, score)| (*score, member)).collect();
        members.sort();
        members
    }
}

fn reply_of<'m>(members: impl Iterator<Item = &'m (i64, &'m String)>) -> String {
    let members: Vec<_> =
        members.map(|(score, member)| format!("\"{member}\" \"{score}\"")).collect();
    format!("[{}]", members.join(" "))
}

/// Adds members, some of them again with another score, until there are `size`.
fn grow(shell: &mut Shell, model: &mut Model, size: usize, rng: &mut SmallRng) {
    while model.scores.len() < size {
        let mut command = String::from("ZADD z CH");
        let mut changed = 0;
        for _ in 0..rng.random_range(1..60) {
            if model.scores.len() == size {
                break;
            }
            let member = format!("member:{}", rng.random_range(0..size * 2));
            let score = rng.random_range(-100..100i64);
            command += &format!(" {score} {member}");
            changed += usize::from(model.scores.insert(member, score) != Some(score));
        }
        if command.len() > 9 {
            shell.check(&command, &changed.to_string());
        }
    }
}

fn check(shell: &mut Shell, model: &Model, rng: &mut SmallRng) {
    let sorted = model.sorted();
    let size = sorted.len();
    shell.check("ZCARD z", &size.to_string());
    shell.check("ZRANGE z 0 -1 WITHSCORES", &reply_of(sorted.iter()));
    for _ in 0..6 {
        let rank = rng.random_range(0..size);
        let (score, member) = sorted[rank];
        shell.check(&format!("ZSCORE z {member}"), &format!("\"{score}\""));
        shell.check(&format!("ZRANK z {member}"), &rank.to_string());
        shell.check(&format!("ZREVRANK z {member}"), &(size - 1 - rank).to_string());
        let end = rank + rng.random_range(0..20);
        let expected = reply_of(sorted.iter().skip(rank).take(end - rank + 1));
        shell.check(&format!("ZRANGE z {rank} {end} WITHSCORES"), &expected);
        let expected = reply_of(sorted.iter().rev().skip(rank).take(end - rank + 1));
        shell.check(&format!("ZREVRANGE z {rank} {end} WITHSCORES"), &expected);
        let (min, max) = (rng.random_range(-110..110i64), rng.random_range(-110..110i64));
        let inside: Vec<_> =
            sorted.iter().filter(|(score, _)| min < *score && *score <= max).collect();
        shell.check(&format!("ZCOUNT z ({min} {max}"), &inside.len().to_string());
        let offset = rng.random_range(0..inside.len() + 2);
        let expected = reply_of(inside.iter().copied().skip(offset).take(9));
        let options = format!("LIMIT {offset} 9 WITHSCORES");
        shell.check(&format!("ZRANGEBYSCORE z ({min} {max} {options}"), &expected);
        let expected = reply_of(inside.iter().copied().rev().skip(offset).take(9));
        shell.check(&format!("ZREVRANGEBYSCORE z {max} ({min} {options}"), &expected);
    }
}

fn shrink(shell: &mut Shell, model: &mut Model, rng: &mut SmallRng) {
    let sorted = model.sorted();
    let size = sorted.len();
    let (command, removed): (String, Vec<String>) = match rng.random_range(0..5) {
        0 => {
            let (start, len) = (rng.random_range(0..size), rng.random_range(1..size / 3 + 2));
            let removed = sorted.iter().skip(start).take(len).map(|(_, member)| (*member).clone());
            (format!("ZREMRANGEBYRANK z {start} {}", start + len - 1), removed.collect())
        }
        1 => {
            let min = rng.random_range(-110..110i64);
            let max = min + rng.random_range(0..20);
            let is_inside = |score: i64| min <= score && score < max;
            let removed = sorted.iter().filter(|(score, _)| is_inside(*score));
            let removed = removed.map(|(_, member)| (*member).clone()).collect();
            (format!("ZREMRANGEBYSCORE z {min} ({max}"), removed)
        }
        2 => {
            let removed: Vec<_> = (0..rng.random_range(1..100))
                .map(|_| sorted[rng.random_range(0..size)].1.clone())
                .collect();
            let mut different = removed.clone();
            different.sort();
            different.dedup();
            (format!("ZREM z {}", removed.join(" ")), different)
        }
        end => {
            let count = rng.random_range(1..size / 4 + 2);
            let popped: Vec<_> = if end == 3 {
                sorted.iter().take(count).collect()
            } else {
                sorted.iter().rev().take(count).collect()
            };
            let name = if end == 3 { "ZPOPMIN" } else { "ZPOPMAX" };
            shell.check(&format!("{name} z {count}"), &reply_of(popped.iter().copied()));
            let popped: Vec<_> = popped.into_iter().map(|(_, member)| (*member).clone()).collect();
            model.scores.retain(|member, _| !popped.contains(member));
            return;
        }
    };
    model.scores.retain(|member, _| !removed.contains(member));
    shell.check(&command, &removed.len().to_string());
}

#[test]
fn sets_of_any_size_do_as_the_model() {
    for (seed, size) in [20, 40, 129, 513, 1200].into_iter().enumerate() {
        let mut rng = SmallRng::seed_from_u64(seed as u64);
        let mut shell = Shell::new();
        let mut model = Model::default();
        grow(&mut shell, &mut model, size, &mut rng);
        check(&mut shell, &model, &mut rng);
        while !model.scores.is_empty() {
            shrink(&mut shell, &mut model, &mut rng);
            if !model.scores.is_empty() && rng.random_range(0..4) == 0 {
                check(&mut shell, &model, &mut rng);
                let size = model.scores.len() + rng.random_range(0..20);
                grow(&mut shell, &mut model, size, &mut rng);
            }
        }
        shell.check("EXISTS z", "0");
    }
}

#[test]
fn a_large_set_is_the_same_after_a_restart() {
    with_each_persistent_engine(|open| {
        let mut rng = SmallRng::seed_from_u64(7);
        let mut model = Model::default();
        let mut shell = open();
        grow(&mut shell, &mut model, 1200, &mut rng);
        shell.close();
        let mut shell = open();
        check(&mut shell, &model, &mut rng);
        shell.check("RENAME z y", "OK");
        shell.check("RENAME y z", "OK");
        grow(&mut shell, &mut model, 1500, &mut rng);
        check(&mut shell, &model, &mut rng);
        shell.check("DEL z", "1");
        shell.sweep(1000);
        assert!(shell.dump(shell.databases.elements()).is_empty());
        shell.close();
    });
}

#[test]
fn large_results_are_stored_as_large_sets() {
    let mut rng = SmallRng::seed_from_u64(9);
    let mut shell = Shell::new();
    let mut model = Model::default();
    grow(&mut shell, &mut model, 1700, &mut rng);
    shell.check("ZUNIONSTORE to 1 z", "1700");
    shell.check("RENAME to z", "OK");
    check(&mut shell, &model, &mut rng);
    shell.check("ZRANGESTORE to z 100 -101 REV", "1500");
    shell.check("RENAME to z", "OK");
    let kept: Vec<_> =
        model.sorted().into_iter().skip(100).take(1500).map(|(_, member)| member.clone()).collect();
    model.scores.retain(|member, _| kept.contains(member));
    check(&mut shell, &model, &mut rng);
    shell.run("ZADD other 1 member:1 1 member:2 1 member:3 1 no");
    let both = ["member:1", "member:2", "member:3"];
    let both = both.iter().filter(|member| model.scores.contains_key(**member)).count();
    shell.check("ZINTERCARD 2 z other", &both.to_string());
    shell.check("ZDIFFSTORE to 2 z other", &(1500 - both).to_string());
    shell.check("ZDIFFSTORE to 2 other z", &(4 - both).to_string());
    shell.check("ZUNIONSTORE z 2 z other WEIGHTS 1 0", &(1504 - both).to_string());
}
