//! The results as a page: what they mean in words, plots, and all figures.
//!
//! [`group`] sorts the cells, [`verdict`] says who is better, [`conclusion`] says it in words. [`figures`]
//! decides which plots there are, [`plot`] draws them, and [`page`] puts all together.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::cli::Output;
use super::result::Results;
use figures::{Facet, Styles};
use page::Page;

mod caveats;
mod conclusion;
mod figures;
pub(super) mod format;
mod group;
mod heat_map;
mod page;
mod plot;
mod scale;
mod tables;
pub(super) mod verdict;
mod wording;

#[cfg(test)]
pub(super) mod fixtures;
#[cfg(test)]
mod tests;

/// Writes the page and the plots that `output` asks for.
///
/// # Errors
///
/// A file that cannot be written.
pub(super) fn write(results: &Results, output: &Output) -> Result<(), String> {
    let groups = group::groups(results);
    let styles = Styles::of(results);
    let facets: Vec<Vec<Facet>> =
        groups.iter().map(|group| figures::facets(group, results.subject, &styles)).collect();
    if let Some(file) = &output.report {
        let conclusion = conclusion::conclude(results, &groups);
        let page = Page {
            results,
            groups: &groups,
            styles: &styles,
            conclusion: &conclusion,
            facets: &facets,
        };
        save(file, &page.html())?;
    }
    if let Some(dir) = &output.svg {
        save_plots(dir, &facets)?;
    }
    Ok(())
}

fn save_plots(dir: &Path, facets: &[Vec<Facet>]) -> Result<(), String> {
    fs::create_dir_all(dir)
        .map_err(|why| format!("cannot create the directory {}: {why}", dir.display()))?;
    let mut taken = BTreeSet::new();
    for plot in facets.iter().flatten().flat_map(|facet| &facet.plots) {
        // Names that differ in a letter that no file name may have would meet in one file.
        let mut name = plot.slug.clone();
        let mut n = 1;
        while !taken.insert(name.clone()) {
            n += 1;
            name = format!("{}-{n}", plot.slug);
        }
        save(&dir.join(format!("{name}.svg")), &plot.standalone())?;
    }
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|why| format!("cannot write {}: {why}", file.display()))
}
