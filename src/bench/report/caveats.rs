//! What a reader must know beside who is faster: stalls, rates not kept, errors, noise.

use super::super::result::{Cell, Load, Results, Spread};
use super::conclusion::cases;
use super::format;

/// Lateness of a tick from which on a runtime counts as stalled.
const STALL_MIN_US: f64 = 10_000.0;
/// Part of the rate asked for below which a contender does not keep up.
const KEPT_UP_MIN: f64 = 0.95;

/// Who keeps the runtime from its other tasks.
pub(super) fn stalls(results: &Results) -> Option<String> {
    let mut worst: Vec<(&str, bool, f64, &Cell)> = Vec::new();
    for cell in &results.cells {
        let late = cell.spread(|sample| sample.stall.map(|stall| stall.p999_us));
        let Some(Spread { median, .. }) = late else { continue };
        let name = cell.contender.name.as_str();
        match worst.iter_mut().find(|(own, ..)| *own == name) {
            Some(found) if found.2 < median => (found.2, found.3) = (median, cell),
            Some(_) => {}
            None => worst.push((name, cell.contender.is_baseline, median, cell)),
        }
    }
    let greatest = |of: &dyn Fn(bool, f64) -> bool| {
        let figures = worst.iter().filter(|(_, is_baseline, us, _)| of(*is_baseline, *us));
        Spread::of(figures.map(|(_, _, us, _)| *us)).map(|spread| format::time(spread.max))
    };
    let all = greatest(&|_, _| true)?;
    let stalled: Vec<String> = worst
        .iter()
        .filter(|(_, _, us, _)| *us >= STALL_MIN_US)
        .map(|(name, _, us, cell)| {
            let case = &cell.case;
            let runtime = &cell.contender.runtime;
            let at = format!("{} {}, {runtime}, {}", case.engine, case.workload, case.concurrency);
            format!("{name} by up to {} ({at})", format::time(*us))
        })
        .collect();
    if stalled.is_empty() {
        return Some(format!(
            "No contender stalls the runtime: a task that ticks every millisecond is at the most {all} late (p99.9)."
        ));
    }
    let calm = |is_baseline: bool, us: f64| !is_baseline && us < STALL_MIN_US;
    let rest = match greatest(&calm) {
        Some(late) => format!(" Pontoon's modes that do not stay below {late}."),
        None => String::new(),
    };
    Some(format!(
        "Stalls of the runtime (a task that ticks every millisecond is late, p99.9): {}.{rest}",
        format::list(&stalled)
    ))
}

/// Who does not keep up with the rate of an open loop.
pub(super) fn left_behind(results: &Results) -> Option<String> {
    let Load::Open { rate_per_sec } = results.load else { return None };
    let cells = results.cells.iter().filter(|cell| {
        cell.throughput().is_some_and(|spread| spread.median < rate_per_sec * KEPT_UP_MIN)
    });
    let mut by_contender: Vec<(String, usize)> = Vec::new();
    for cell in cells {
        let contender = &cell.contender;
        let name = format!("{} {}", contender.name, contender.runtime).trim_end().to_owned();
        match by_contender.iter_mut().find(|(own, _)| *own == name) {
            Some((_, times)) => *times += 1,
            None => by_contender.push((name, 1)),
        }
    }
    let rate = format::per_sec(rate_per_sec);
    if by_contender.is_empty() {
        return Some(format!("All contenders keep up with the rate of {rate}."));
    }
    let behind = by_contender.iter().map(|(name, times)| format!("{name} in {}", cases(*times)));
    let behind = format::list(&behind.collect::<Vec<_>>());
    Some(format!("These do not keep up with the rate of {rate} everywhere: {behind}."))
}

/// Whose operations failed.
pub(super) fn errors(results: &Results) -> Option<String> {
    let failed = |cell: &Cell| cell.samples.iter().map(|sample| sample.errors).sum::<u64>();
    let mut by_name: Vec<(&str, u64)> = Vec::new();
    for cell in results.cells.iter().filter(|cell| failed(cell) > 0) {
        let name = cell.contender.name.as_str();
        match by_name.iter_mut().find(|(own, _)| *own == name) {
            Some((_, errors)) => *errors += failed(cell),
            None => by_name.push((name, failed(cell))),
        }
    }
    let by_name: Vec<String> =
        by_name.iter().map(|(name, errors)| format!("{errors} of {name}")).collect();
    (!by_name.is_empty()).then(|| {
        let who = format::list(&by_name);
        format!("Operations were answered with an error: {who}. Their cases say little.")
    })
}

/// What the number of rounds allows to say.
pub(super) fn noise(results: &Results) -> Option<String> {
    let rounds = results.cells.iter().map(|cell| cell.samples.len()).max()?;
    (rounds < 2).then(|| {
        "There was one round only, which says nothing about noise: take the differences for hints and \
         measure with more rounds."
            .into()
    })
}
