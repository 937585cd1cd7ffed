//! Which contender is better on a case, with the noise between the rounds considered.
//!
//! A difference counts if every round says so and the median of the rounds' ratios is more than 5 %
//! away from 1; all else is equal within noise. Ratios are taken within a round, since what disturbs a
//! round (a neighbour, a warm CPU) disturbs all of its contenders.

use super::super::result::{Cell, Load, Sample, Spread};

/// What a median must exceed to count.
pub(in crate::bench) const FACTOR_MIN: f64 = 1.05;

/// What contenders are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bench) enum Measure {
    /// Operations a second.
    Throughput,
    /// The latency that 99 of 100 operations stay below.
    P99,
}

impl Measure {
    /// What tells contenders apart under `load`: with a fixed rate all that keep up have one throughput.
    pub(in crate::bench) fn of(load: Load) -> Self {
        match load {
            Load::Closed => Self::Throughput,
            Load::Open { .. } => Self::P99,
        }
    }

    /// More is better. `None` where nothing was measured.
    fn score(self, sample: &Sample) -> Option<f64> {
        let score = match self {
            Self::Throughput => sample.throughput(),
            Self::P99 if sample.operations > 0 => 1.0 / sample.latency.p99_us,
            Self::P99 => return None,
        };
        (score.is_finite() && score > 0.0).then_some(score)
    }

    /// How many times as good `cell` is as `other`, round by round.
    pub(in crate::bench) fn ratio(self, cell: &Cell, other: &Cell) -> Option<Spread> {
        Spread::of(cell.samples.iter().filter_map(|sample| {
            let beside = other.samples.iter().find(|beside| beside.round == sample.round)?;
            Some(self.score(sample)? / self.score(beside)?)
        }))
    }

    fn median(self, cell: &Cell) -> Option<f64> {
        cell.spread(|sample| self.score(sample)).map(|spread| spread.median)
    }

    /// The best by its median.
    pub(in crate::bench) fn best<'c>(
        self,
        cells: impl IntoIterator<Item = &'c Cell>,
    ) -> Option<&'c Cell> {
        let scored = cells.into_iter().filter_map(|cell| Some((self.median(cell)?, cell)));
        scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, cell)| cell)
    }
}

/// What ratios say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::bench) enum Verdict {
    /// Better, by this factor above 1.
    Better(f64),
    /// Worse, by this factor above 1.
    Worse(f64),
    /// Equal within noise.
    Equal,
}

/// What the rounds' `ratio` says.
pub(in crate::bench) fn judge(ratio: Spread) -> Verdict {
    if ratio.min > 1.0 && ratio.median > FACTOR_MIN {
        Verdict::Better(ratio.median)
    } else if ratio.max < 1.0 && 1.0 / ratio.median > FACTOR_MIN {
        Verdict::Worse(1.0 / ratio.median)
    } else {
        Verdict::Equal
    }
}

/// How a case ended between its candidates.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::bench) enum Outcome {
    /// One is better than each other one.
    Best {
        /// Its name.
        name: String,
        /// How many times as good as the next.
        factor: f64,
        /// The next, by the median.
        next: String,
    },
    /// These lead, equal within noise.
    Equal {
        /// In the order of the candidates.
        names: Vec<String>,
        /// Whether nobody is left behind.
        is_all: bool,
    },
}

/// How a case ended between `candidates`; `None` for less than two that did anything.
pub(in crate::bench) fn contest(
    candidates: &[(String, &Cell)],
    measure: Measure,
) -> Option<Outcome> {
    let mut ranked: Vec<(f64, &str, &Cell)> = candidates
        .iter()
        .filter_map(|(name, cell)| Some((measure.median(cell)?, name.as_str(), *cell)))
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let ((_, name, best), rest) = ranked.split_first()?;
    let (_, next, _) = rest.first()?;
    let factor_over = |cell: &Cell| match judge(measure.ratio(best, cell)?) {
        Verdict::Better(factor) => Some(factor),
        Verdict::Worse(_) | Verdict::Equal => None,
    };
    let equal: Vec<&str> = rest
        .iter()
        .filter(|(.., cell)| factor_over(cell).is_none())
        .map(|(_, name, _)| *name)
        .collect();
    if equal.is_empty() {
        let factors = rest.iter().filter_map(|(.., cell)| factor_over(cell));
        let factor = factors.fold(f64::INFINITY, f64::min);
        return Some(Outcome::Best { name: (*name).into(), factor, next: (*next).into() });
    }
    let is_tied = |candidate: &&(String, &Cell)| {
        candidate.0 == *name || equal.contains(&candidate.0.as_str())
    };
    let names: Vec<String> =
        candidates.iter().filter(is_tied).map(|(name, _)| name.clone()).collect();
    Some(Outcome::Equal { is_all: equal.len() == rest.len(), names })
}
