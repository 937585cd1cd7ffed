//! The page and the plots of made-up runs, as a careful reader would look at them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::PathBuf;

use super::super::result::Results;
use super::fixtures;
use super::*;

/// The most that a plot may weigh, in bytes.
const PLOT_BYTES_MAX: u64 = 30 * 1024;

struct Rendered {
    name: &'static str,
    page: String,
    svgs: Vec<(PathBuf, String)>,
    _dir: tempfile::TempDir,
}

fn render(name: &'static str, results: &Results) -> Rendered {
    let dir = tempfile::tempdir().unwrap();
    let (report, svg) = (dir.path().join("report.html"), dir.path().join("svg"));
    let output = Output { json: None, report: Some(report.clone()), svg: Some(svg.clone()) };
    write(results, &output).unwrap();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(svg).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    let svgs = paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    Rendered { name, page: fs::read_to_string(report).unwrap(), svgs: svgs.collect(), _dir: dir }
}

fn all() -> Vec<Rendered> {
    fixtures::all().iter().map(|(name, results)| render(name, results)).collect()
}

/// Fails where an element is closed that is not open, or stays open.
fn assert_balanced(name: &str, text: &str) {
    const VOID: [&str; 2] = ["meta", "!doctype"];
    let mut open: Vec<&str> = Vec::new();
    for part in text.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap_or_else(|| panic!("{name}: <{part}"));
        let element = tag.split([' ', '\n']).next().unwrap();
        if let Some(closed) = element.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{name}: {open:?}");
        } else if !tag.ends_with('/') && !VOID.contains(&element) {
            open.push(element);
        }
    }
    assert!(open.is_empty(), "{name}: {open:?} is not closed");
}

#[test]
fn pages_and_plots_are_whole() {
    for Rendered { name, page, svgs, .. } in all() {
        assert_balanced(name, &page);
        for (path, svg) in svgs {
            assert_balanced(&path.display().to_string(), &svg);
        }
    }
}

#[test]
fn no_figure_is_drawn_or_told_that_is_no_number() {
    for Rendered { name, page, svgs, .. } in all() {
        for text in svgs.iter().map(|(_, svg)| svg).chain([&page]) {
            assert!(
                !text.contains("NaN") && !text.contains("inf,") && !text.contains(",inf"),
                "{name}"
            );
        }
    }
}

#[test]
fn nothing_comes_from_the_network_and_nothing_runs() {
    for Rendered { name, page, svgs, .. } in all() {
        for text in svgs.iter().map(|(_, svg)| svg).chain([&page]) {
            let text = text.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
            for foreign in ["http://", "https://", "@import", "url(", "<script", "<link"] {
                assert!(!text.contains(foreign), "{name} has {foreign}");
            }
        }
    }
}

#[test]
fn what_users_name_is_no_markup() {
    let Rendered { page, .. } = render("degenerate", &fixtures::degenerate());
    assert!(page.contains("&lt;b&gt;&quot;pool&quot; &amp; &#39;co&#39;&lt;/b&gt;"));
    assert!(!page.contains("<b>"));
}

#[test]
fn each_plot_is_a_small_file_with_a_name_that_stays() {
    let Rendered { svgs, .. } = render("storage", &fixtures::storage());
    let names: Vec<&str> =
        svgs.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap()).collect();
    // Two engines, two workloads, three runtimes, four plots.
    assert_eq!(names.len(), 48, "{names:?}");
    assert!(names.contains(&"redb-get-hit-throughput-multi-thread.svg"), "{names:?}");
    for (path, svg) in &svgs {
        assert!(svg.len() as u64 <= PLOT_BYTES_MAX, "{} has {} bytes", path.display(), svg.len());
        assert!(svg.contains(">direct</text>"), "{} lacks what to compare with", path.display());
    }
    let Rendered { svgs, .. } = render("server", &fixtures::server());
    let has = |name: &str| svgs.iter().any(|(path, _)| path.ends_with(name));
    assert!(has("set-p1-throughput.svg") && has("set-p16-percentiles.svg"));
}

#[test]
fn figures_that_nobody_has_get_no_plot_and_no_column() {
    let cells = vec![fixtures::cell("pool", "", 1, &[1e5]), fixtures::cell("pool", "", 16, &[2e5])];
    let results = fixtures::run(super::super::result::Subject::Storage, cells);
    let Rendered { page, svgs, .. } = render("bare", &results);
    assert_eq!(svgs.len(), 3, "CPU per operation has no plot");
    assert!(page.contains(">p99</th>") && !page.contains("switches/op"));
}

#[test]
fn plots_whose_names_differ_in_a_sign_alone_both_stay() {
    let mut cells =
        vec![fixtures::cell("pool", "", 1, &[1e5]), fixtures::cell("pool", "", 1, &[1e5])];
    cells[1].case.workload = "get hit".into();
    let results = fixtures::run(super::super::result::Subject::Storage, cells);
    assert_eq!(render("alike", &results).svgs.len(), 6);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("missing").join("report.html");
    let output = Output { json: None, report: Some(report.clone()), svg: None };
    let why = write(&fixtures::server(), &output).unwrap_err();
    assert!(why.contains("cannot write") && why.contains("report.html"), "{why}");
}

/// Leaves the pages where a person with a browser finds them: `target/debug/report-fixtures`.
#[test]
fn fixtures_can_be_looked_at() {
    let executable = std::env::current_exe().unwrap();
    let dir = executable.parent().unwrap().with_file_name("report-fixtures");
    for (name, results) in fixtures::all() {
        let svg = dir.join(format!("{name}-svg"));
        fs::create_dir_all(&svg).unwrap();
        let report = dir.join(format!("{name}.html"));
        write(&results, &Output { json: None, report: Some(report.clone()), svg: Some(svg) })
            .unwrap();
        assert!(fs::metadata(&report).unwrap().len() < 1 << 20, "{name} is too heavy");
    }
}
