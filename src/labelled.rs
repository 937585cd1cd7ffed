//! Text of labelled lines, as files of `/proc` have it: see proc(5).

/// The number that is the first word behind `label` where it begins a line.
pub(crate) fn number_behind(text: &str, label: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}
