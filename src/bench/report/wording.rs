//! Parts of sentences: where, by how much, who.

use super::super::result::Spread;
use super::format;
use super::verdict::{Measure, Outcome, Verdict, judge};

/// How a group's cases ended, by concurrency.
pub(super) type Outcomes = [(u32, Outcome)];

/// `at 256 and above`, `at 1 and 16`, `up to 16`, `at every concurrency`: `some` of `all`, both ascending.
pub(super) fn place(some: &[u32], all: &[u32]) -> String {
    match some {
        [] => String::new(),
        [only] => format!("at {only}"),
        _ if some == all => "at every concurrency".into(),
        [first, ..] if all.ends_with(some) => format!("at {first} and above"),
        [.., last] if all.starts_with(some) => format!("up to {last}"),
        _ => format!("at {}", format::list(some)),
    }
}

/// `1.3`, or `1.3 to 2.1` for factors that differ as written.
pub(super) fn range(factors: &[f64]) -> String {
    let Some(Spread { min, max, .. }) = Spread::of(factors.iter().copied()) else {
        return String::new();
    };
    let [min, max] = [min, max].map(format::factor);
    if min == max { min } else { format!("{min} to {max}") }
}

/// How things stand between some contenders over the concurrencies `all`:
/// `pool is 1.3 times faster than blocking at 256 and above; equal at 1 and 16`.
pub(super) fn standing(outcomes: &Outcomes, measure: Measure, all: &[u32]) -> Option<String> {
    let mut clauses: Vec<String> = winners(outcomes)
        .into_iter()
        .map(|name| {
            let mut places = Vec::new();
            let mut factors = Vec::new();
            let mut others: Vec<&str> = Vec::new();
            for (concurrency, outcome) in outcomes {
                if let Outcome::Best { name: winner, factor, next } = outcome
                    && winner == name
                {
                    places.push(*concurrency);
                    factors.push(*factor);
                    others.push(next);
                }
            }
            others.dedup();
            let other = if let [other] = others[..] { other } else { "the next" };
            let (by, at) = (range(&factors), place(&places, all));
            match measure {
                Measure::Throughput => format!("{name} is {by} times faster than {other} {at}"),
                Measure::P99 => {
                    format!("the p99 of {name} is {by} times lower than that of {other} {at}")
                }
            }
        })
        .collect();
    clauses.extend(ties(outcomes, all, clauses.is_empty()));
    (!clauses.is_empty()).then(|| clauses.join("; "))
}

/// Those who win somewhere, in order.
pub(super) fn winners(outcomes: &Outcomes) -> Vec<&str> {
    let mut winners: Vec<&str> = Vec::new();
    for (_, outcome) in outcomes {
        if let Outcome::Best { name, .. } = outcome
            && !winners.contains(&name.as_str())
        {
            winners.push(name);
        }
    }
    winners
}

fn ties(outcomes: &Outcomes, all: &[u32], is_first: bool) -> Vec<String> {
    let mut ties: Vec<(&[String], bool, Vec<u32>)> = Vec::new();
    for (concurrency, outcome) in outcomes {
        let Outcome::Equal { names, is_all } = outcome else { continue };
        match ties.iter_mut().find(|(tied, every, _)| tied == names && every == is_all) {
            Some((.., places)) => places.push(*concurrency),
            None => ties.push((names, *is_all, vec![*concurrency])),
        }
    }
    let clause = |(names, is_all, places): (&[String], bool, Vec<u32>)| {
        let at = place(&places, all);
        match (is_all, is_first) {
            (true, false) => format!("equal {at}"),
            (true, true) => format!("{} are equal within noise {at}", format::list(names)),
            (false, _) => format!("{} lead together {at}", format::list(names)),
        }
    };
    ties.into_iter().map(clause).collect()
}

/// `reaches 0.05 at 1 and 0.40 at 16 of the throughput of direct calls; equals direct calls at 256`.
pub(super) fn against(ratios: &[(u32, Spread)], yardstick: &str, all: &[u32]) -> Option<String> {
    let mut below = Vec::new();
    let mut above = Vec::new();
    let mut equal = Vec::new();
    for (concurrency, ratio) in ratios {
        match judge(*ratio) {
            Verdict::Worse(_) => below.push((*concurrency, ratio.median)),
            Verdict::Better(factor) => above.push((*concurrency, factor)),
            Verdict::Equal => equal.push(*concurrency),
        }
    }
    let each = |figures: &[(u32, f64)]| {
        let figures =
            figures.iter().map(|(at, figure)| format!("{} at {at}", format::factor(*figure)));
        format::list(&figures.collect::<Vec<_>>())
    };
    let mut clauses = Vec::new();
    if !below.is_empty() {
        clauses.push(format!("reaches {} of the throughput of {yardstick}", each(&below)));
    }
    if !equal.is_empty() {
        clauses.push(format!("equals {yardstick} {}", place(&equal, all)));
    }
    if !above.is_empty() {
        clauses.push(format!("is faster than {yardstick} by a factor of {}", each(&above)));
    }
    (!clauses.is_empty()).then(|| clauses.join("; "))
}
