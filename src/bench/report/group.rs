//! The cells of a run, sorted into what is drawn and told together.

use super::super::result::{Cell, Results, Subject};
use super::verdict::{Measure, Outcome, contest};

/// What a baseline is called that calls the engine on plain threads, and so shows what a bridge costs.
const DIRECT: &str = "direct";

/// The cells of one engine, workload and pipeline.
#[derive(Debug)]
pub(super) struct Group<'r> {
    subject: Subject,
    pub(super) measure: Measure,
    pub(super) engine: &'r str,
    pub(super) workload: &'r str,
    pub(super) pipeline: u32,
    has_pipelines: bool,
    /// Ascending.
    pub(super) concurrencies: Vec<u32>,
    pub(super) cells: Vec<&'r Cell>,
}

/// The groups of a run, in the order of its cells.
pub(super) fn groups(results: &Results) -> Vec<Group<'_>> {
    let has_pipelines = results.cells.iter().any(|cell| cell.case.pipeline != 1);
    let mut groups: Vec<Group<'_>> = Vec::new();
    for cell in &results.cells {
        let case = &cell.case;
        let key = (case.engine.as_str(), case.workload.as_str(), case.pipeline);
        match groups.iter_mut().find(|g| (g.engine, g.workload, g.pipeline) == key) {
            Some(group) => group.cells.push(cell),
            None => groups.push(Group {
                subject: results.subject,
                measure: Measure::of(results.load),
                engine: key.0,
                workload: key.1,
                pipeline: key.2,
                has_pipelines,
                concurrencies: Vec::new(),
                cells: vec![cell],
            }),
        }
    }
    for group in &mut groups {
        group.concurrencies = group.cells.iter().map(|cell| cell.case.concurrency).collect();
        group.concurrencies.sort_unstable();
        group.concurrencies.dedup();
    }
    groups
}

/// `pool` for `pool x2`: modes that differ in a number alone are told as one.
pub(super) fn family(name: &str) -> &str {
    name.split_once(' ').map_or(name, |(family, _)| family)
}

impl<'r> Group<'r> {
    /// `redb, get-hit`, or `set, pipeline 16`.
    pub(super) fn title(&self) -> String {
        let pipeline = self.has_pipelines.then(|| format!("pipeline {}", self.pipeline));
        let engine = Some(self.engine.to_owned()).filter(|engine| !engine.is_empty());
        let parts = [engine, Some(self.workload.to_owned()), pipeline];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// `redb-get-hit`, or `set-p16`: what the names of its files begin with.
    pub(super) fn slug(&self) -> String {
        let pipeline =
            if self.has_pipelines { format!("p{}", self.pipeline) } else { String::new() };
        slug(&[self.engine, self.workload, &pipeline])
    }

    /// The runtimes that get a plot of their own; one without a name where no contender has any.
    pub(super) fn runtimes(&self) -> Vec<&'r str> {
        let mut runtimes: Vec<&str> = Vec::new();
        for cell in &self.cells {
            let runtime = cell.contender.runtime.as_str();
            if !runtime.is_empty() && !runtimes.contains(&runtime) {
                runtimes.push(runtime);
            }
        }
        if runtimes.is_empty() {
            runtimes.push("");
        }
        runtimes
    }

    /// What is drawn together for `runtime`: its own contenders and those without a runtime.
    pub(super) fn facet(&self, runtime: &str) -> impl Iterator<Item = &'r Cell> {
        let is_in = move |cell: &&&Cell| {
            let own = cell.contender.runtime.as_str();
            own == runtime || own.is_empty()
        };
        self.cells.iter().filter(is_in).copied()
    }

    fn at(&self, runtime: &str, concurrency: u32) -> impl Iterator<Item = &'r Cell> {
        self.facet(runtime).filter(move |cell| cell.case.concurrency == concurrency)
    }

    /// `direct` on the case.
    pub(super) fn direct(&self, concurrency: u32) -> Option<&'r Cell> {
        let mut cells = self.cells.iter().copied();
        cells.find(|cell| cell.contender.name == DIRECT && cell.case.concurrency == concurrency)
    }

    /// What the run is to choose from on the case: Pontoon's modes, or all servers.
    pub(super) fn modes(&self, runtime: &str, concurrency: u32) -> Vec<&'r Cell> {
        let is_mode = |cell: &&Cell| self.subject == Subject::Server || !cell.contender.is_baseline;
        self.at(runtime, concurrency).filter(is_mode).collect()
    }

    /// How the case ended between the modes. Families meet with the best of each, unless there is one
    /// family alone.
    pub(super) fn outcome(
        &self,
        runtime: &str,
        concurrency: u32,
        measure: Measure,
    ) -> Option<Outcome> {
        let modes = self.modes(runtime, concurrency);
        let mut families: Vec<&str> = Vec::new();
        for mode in &modes {
            let family = self.family(&mode.contender.name);
            if !families.contains(&family) {
                families.push(family);
            }
        }
        let candidates: Vec<(String, &Cell)> = if families.len() > 1 {
            let of = |family: &str| {
                let members = modes.iter().copied();
                members.filter(move |mode| self.family(&mode.contender.name) == family).collect()
            };
            let best = families.into_iter().filter_map(|family| {
                let members: Vec<&Cell> = of(family);
                Some((family.to_owned(), measure.best(members)?))
            });
            best.collect()
        } else {
            modes.into_iter().map(|mode| (mode.contender.name.clone(), mode)).collect()
        };
        contest(&candidates, measure)
    }

    /// A server's name is its user's choice and stands for itself.
    fn family<'n>(&self, name: &'n str) -> &'n str {
        if self.subject == Subject::Server { name } else { family(name) }
    }

    /// How the best of Pontoon's modes fared against the best baseline on the same runtime.
    pub(super) fn outcome_beside_baselines(
        &self,
        runtime: &str,
        concurrency: u32,
    ) -> Option<Outcome> {
        let best = self.measure.best(self.modes(runtime, concurrency))?;
        let is_beside = |cell: &&Cell| cell.contender.is_baseline && cell.contender.name != DIRECT;
        let baseline = self.measure.best(self.at(runtime, concurrency).filter(is_beside))?;
        let candidates = [(PONTOON.to_owned(), best), (baseline.contender.name.clone(), baseline)];
        contest(&candidates, self.measure)
    }
}

/// What the best of Pontoon's modes is called among the baselines.
pub(super) const PONTOON: &str = "Pontoon's best mode";

/// What a reader calls a runtime.
pub(super) fn runtime_title(runtime: &str) -> &str {
    if runtime == "none" { "no runtime" } else { runtime }
}

/// Words joined to something that is a file name everywhere.
pub(super) fn slug(words: &[&str]) -> String {
    let parts = words.iter().map(|word| {
        let kept = word
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        kept.collect::<String>().trim_matches('-').to_owned()
    });
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
