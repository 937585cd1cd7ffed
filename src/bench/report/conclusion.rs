//! What a run means, in words computed from its figures, also where they speak against Pontoon.

use super::super::result::{Cell, Results, Spread, Subject};
use super::caveats::{errors, left_behind, noise, stalls};
use super::format;
use super::group::{Group, PONTOON, runtime_title};
use super::verdict::{Measure, Outcome, Verdict, judge};
use super::wording::{against, range, standing, winners};

/// What a sample that ends between an fsync and its answers may add to those that share one.
const SHARED_ROOM: f64 = 1.2;

/// Operations that must share an fsync to speak of group commit.
const SHARED_MIN: f64 = 2.0;

/// What a run means.
#[derive(Debug, Default)]
pub(super) struct Conclusion {
    /// The whole in some sentences.
    pub(super) lead: Vec<String>,
    /// How the modes stand, a sentence for each group and runtime.
    pub(super) modes: Vec<String>,
    /// What else there is to say of each group on each of its runtimes.
    pub(super) by_group: Vec<Vec<Vec<String>>>,
}

/// What `results` mean.
pub(super) fn conclude(results: &Results, groups: &[Group<'_>]) -> Conclusion {
    let mut lead = vec![modes_overall(groups, results.subject)];
    if results.subject == Subject::Storage {
        lead.extend(direct_overall(groups));
        lead.extend(baselines_overall(groups));
        lead.extend(group_commit_overall(groups));
        lead.extend(stalls(results));
    }
    lead.extend(left_behind(results));
    lead.extend(errors(results));
    lead.extend(noise(results));
    let modes = facets(groups).filter_map(|(group, runtime)| {
        let outcomes = outcomes(group, runtime, group.measure);
        let told = standing(&outcomes, group.measure, &group.concurrencies)?;
        Some(format!("{}: {told}.", place(group, runtime)))
    });
    let modes = modes.collect();
    let by_runtime = |group: &Group<'_>| {
        let runtimes = group.runtimes().into_iter();
        runtimes.map(|runtime| facet_sentences(group, runtime, results.subject)).collect()
    };
    let by_group = groups.iter().map(by_runtime).collect();
    Conclusion { lead, modes, by_group }
}

/// How each case of `group` ended between the modes.
fn outcomes(group: &Group<'_>, runtime: &str, measure: Measure) -> Vec<(u32, Outcome)> {
    let outcome = |at: &u32| Some((*at, group.outcome(runtime, *at, measure)?));
    group.concurrencies.iter().filter_map(outcome).collect()
}

/// As [`outcomes`], of the best mode among the baselines.
fn outcomes_beside_baselines(group: &Group<'_>, runtime: &str) -> Vec<(u32, Outcome)> {
    let outcome = |at: &u32| Some((*at, group.outcome_beside_baselines(runtime, *at)?));
    group.concurrencies.iter().filter_map(outcome).collect()
}

/// The best mode's throughput over that of `direct`, by concurrency.
fn ratios_to_direct(group: &Group<'_>, runtime: &str) -> Vec<(u32, Spread)> {
    let ratio = |at: &u32| {
        let best = group.measure.best(group.modes(runtime, *at))?;
        Some((*at, best.ratio_to(group.direct(*at)?)?))
    };
    group.concurrencies.iter().filter_map(ratio).collect()
}

/// Every group with every runtime.
fn facets<'g, 'r>(groups: &'g [Group<'r>]) -> impl Iterator<Item = (&'g Group<'r>, &'r str)> {
    groups
        .iter()
        .flat_map(|group| group.runtimes().into_iter().map(move |runtime| (group, runtime)))
}

fn better(measure: Measure) -> &'static str {
    match measure {
        Measure::Throughput => "fastest",
        Measure::P99 => "the one with the lowest p99",
    }
}

/// `pool is fastest in 12 (1.1 to 1.9 times the next)`.
fn tally(outcomes: &[(u32, Outcome)], measure: Measure) -> Vec<String> {
    let count = |name: &str| {
        let factors: Vec<f64> = outcomes
            .iter()
            .filter_map(|(_, outcome)| match outcome {
                Outcome::Best { name: winner, factor, .. } if winner == name => Some(*factor),
                _ => None,
            })
            .collect();
        (factors.len(), factors)
    };
    let mut counts: Vec<_> =
        winners(outcomes).into_iter().map(|name| (name, count(name))).collect();
    counts.sort_by_key(|(_, (times, _))| std::cmp::Reverse(*times));
    let clause = |(name, (times, factors)): (&str, (usize, Vec<f64>))| {
        format!("{name} is {} in {times} (by {} times)", better(measure), range(&factors))
    };
    counts.into_iter().map(clause).collect()
}

fn modes_overall(groups: &[Group<'_>], subject: Subject) -> String {
    let measure = groups.first().map_or(Measure::Throughput, |group| group.measure);
    let all: Vec<(u32, Outcome)> =
        facets(groups).flat_map(|(group, runtime)| outcomes(group, runtime, measure)).collect();
    let who = match subject {
        Subject::Storage => "Pontoon's modes",
        Subject::Server => "the servers",
    };
    if all.is_empty() {
        return format!("There is no case on which two of {who} can be compared.");
    }
    let mut clauses = tally(&all, measure);
    let equal = all.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Equal { .. })).count();
    if equal > 0 {
        clauses.push(format!("no single best in {equal}, since the first are equal within noise"));
    }
    format!("{} on which {who} can be compared: {}.", cases(all.len()), clauses.join("; "))
}

pub(super) fn cases(n: usize) -> String {
    if n == 1 { "1 case".into() } else { format!("{n} cases") }
}

fn direct_overall(groups: &[Group<'_>]) -> Option<String> {
    if groups.iter().any(|group| group.measure != Measure::Throughput) {
        return None;
    }
    let ratios: Vec<Spread> = facets(groups)
        .flat_map(|(group, runtime)| ratios_to_direct(group, runtime))
        .map(|(_, ratio)| ratio)
        .collect();
    let (mut below, mut above, mut equal) = (Vec::new(), Vec::new(), 0);
    for ratio in &ratios {
        match judge(*ratio) {
            Verdict::Worse(_) => below.push(ratio.median),
            Verdict::Better(factor) => above.push(factor),
            Verdict::Equal => equal += 1,
        }
    }
    let mut clauses = Vec::new();
    if !below.is_empty() {
        let part = range(&below);
        clauses
            .push(format!("slower in {} (it reaches {part} of direct's throughput)", below.len()));
    }
    if equal > 0 {
        clauses.push(format!("equal in {equal}"));
    }
    if !above.is_empty() {
        clauses.push(format!("faster in {} (by {} times)", above.len(), range(&above)));
    }
    (!ratios.is_empty()).then(|| {
        format!(
            "What the bridge costs, and what its lanes give back: against direct calls on plain threads the \
             best mode is {}, of {}.",
            format::list(&clauses),
            cases(ratios.len())
        )
    })
}

fn baselines_overall(groups: &[Group<'_>]) -> Option<String> {
    let measure = groups.first()?.measure;
    let all: Vec<(u32, Outcome)> = facets(groups)
        .flat_map(|(group, runtime)| outcomes_beside_baselines(group, runtime))
        .collect();
    if all.is_empty() {
        return None;
    }
    let lost = all.iter().filter(|(_, outcome)| match outcome {
        Outcome::Best { name, .. } => name != PONTOON,
        Outcome::Equal { names, .. } => !names.iter().any(|name| name == PONTOON),
    });
    let lost = lost.count();
    let mut clauses = tally(&all, measure);
    let equal = all.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Equal { .. })).count();
    if equal > 0 {
        clauses.push(format!("no single best in {equal}"));
    }
    let verdict = match lost {
        0 => "none beats it".into(),
        1 => "it is beaten in 1".into(),
        lost => format!("it is beaten in {lost}"),
    };
    Some(format!(
        "Beside the baselines on the same runtime Pontoon's best mode stands in {}, and {verdict}: {}.",
        cases(all.len()),
        clauses.join("; ")
    ))
}

/// Operations per fsync, over the rounds.
pub(super) fn operations_per_sync(cell: &Cell) -> Option<Spread> {
    cell.spread(|sample| {
        let syncs = sample.syncs.filter(|syncs| *syncs > 0)?;
        Some(sample.operations as f64 / syncs as f64)
    })
}

/// The case of `group` on which most operations share an fsync: operations, mode, concurrency.
fn most_shared<'r>(group: &Group<'r>, runtime: &str) -> Option<(f64, &'r Cell)> {
    let modes =
        group.concurrencies.iter().flat_map(|at| group.measure.best(group.modes(runtime, *at)));
    // Where each operation waits for its fsync, no more can share one than there are callers; more
    // is an fsync now and then, as of an interval, that nobody waited for.
    let waited =
        |cell: &Cell, shared: f64| shared <= f64::from(cell.case.concurrency) * SHARED_ROOM;
    let shared = modes
        .filter_map(|cell| Some((operations_per_sync(cell)?.median, cell)))
        .filter(|(shared, cell)| waited(cell, *shared));
    let most = shared.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (most.0 >= SHARED_MIN).then_some(most)
}

/// `140 operations share an fsync at 256, and the throughput is 13 times that of direct`.
fn group_commit(group: &Group<'_>, runtime: &str) -> Option<String> {
    let (shared, cell) = most_shared(group, runtime)?;
    let at = cell.case.concurrency;
    let what = if group.workload.contains("put") { "puts" } else { "operations" };
    let shared = format!("at {at}, {} {what} share an fsync", format::factor(shared));
    let ratio = group
        .direct(at)
        .and_then(|direct| cell.ratio_to(direct))
        .filter(|_| group.measure == Measure::Throughput);
    Some(match ratio.map(|ratio| (judge(ratio), ratio)) {
        Some((Verdict::Better(factor), _)) => {
            format!(
                "{shared}, and the throughput is {} times that of direct",
                format::factor(factor)
            )
        }
        Some((Verdict::Worse(_), ratio)) => {
            format!("{shared}, yet the throughput is {} of direct's", format::factor(ratio.median))
        }
        Some((Verdict::Equal, _)) => format!("{shared}, and the throughput equals that of direct"),
        None => shared,
    })
}

fn group_commit_overall(groups: &[Group<'_>]) -> Option<String> {
    let shared = facets(groups)
        .filter_map(|(group, runtime)| Some((most_shared(group, runtime)?.0, group, runtime)));
    let (_, group, runtime) = shared.max_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(format!(
        "Group commit, at its most ({}): {}.",
        place(group, runtime),
        group_commit(group, runtime)?
    ))
}

/// `redb, get-hit, multi-thread`.
fn place(group: &Group<'_>, runtime: &str) -> String {
    let title = group.title();
    if runtime.is_empty() { title } else { format!("{title}, {}", runtime_title(runtime)) }
}

fn facet_sentences(group: &Group<'_>, runtime: &str, subject: Subject) -> Vec<String> {
    let all = &group.concurrencies;
    let mut clauses: Vec<String> = Vec::new();
    // With equal throughput the tail may still differ; a tail that is equal too needs no words.
    let tail = outcomes(group, runtime, Measure::P99);
    if group.measure == Measure::Throughput && !winners(&tail).is_empty() {
        clauses.extend(standing(&tail, Measure::P99, all));
    }
    if subject == Subject::Storage {
        clauses.extend(standing(&outcomes_beside_baselines(group, runtime), group.measure, all));
        if group.measure == Measure::Throughput {
            let told = against(&ratios_to_direct(group, runtime), "direct calls", all);
            clauses.extend(told.map(|told| format!("the best mode {told}")));
        }
        clauses.extend(group_commit(group, runtime).map(|told| format!("group commit: {told}")));
    }
    clauses.iter().map(|clause| format!("{}.", capitalized(clause))).collect()
}

/// For clauses that begin with a word of ours. Names keep their letters, since a flag takes them so.
fn capitalized(clause: &str) -> String {
    let ours = ["the ", "group commit"];
    let mut letters = clause.chars();
    match letters.next() {
        Some(first) if ours.iter().any(|word| clause.starts_with(word)) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => clause.to_owned(),
    }
}

#[cfg(test)]
#[path = "conclusion_tests.rs"]
mod tests;
