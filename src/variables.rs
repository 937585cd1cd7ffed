//! Environment variables that look like settings and are none.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::Command;

use crate::settings;

/// What the variables of all settings begin with.
const PREFIX: &str = "PONTOON_";

/// Letters to change, add or leave out at the most to take a name for another one, misspelt.
const TYPOS_MAX: usize = 3;

/// Looks for a variable among `names` that begins with `PONTOON_` and sets no option of `command`
/// or of its subcommands.
///
/// # Errors
/// What to tell the user about the first of them, by name.
pub(crate) fn check(
    command: &Command,
    names: impl IntoIterator<Item = OsString>,
) -> Result<(), String> {
    let names: BTreeSet<String> =
        names.into_iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let mut known = variables_of(command);
    for same in settings::variables() {
        let set: Vec<&str> =
            same.iter().filter(|name| names.contains(*name)).map(String::as_str).collect();
        if let [first, second, ..] = set.as_slice() {
            return Err(format!("the environment variables {first} and {second} are the same"));
        }
        known.extend(same.iter().cloned());
    }
    let unknown = names.into_iter().find(|name| name.starts_with(PREFIX) && !known.contains(name));
    let Some(unknown) = unknown else { return Ok(()) };
    let hint = match closest(&unknown, known.iter().map(String::as_str)) {
        Some(name) => format!("; did you mean {name}?"),
        None => "; --help shows those that do".into(),
    };
    Err(format!("the environment variable {unknown} sets nothing{hint}"))
}

/// The one of `names` that `misspelt` most looks like, if it looks like any.
pub(crate) fn closest<'a>(
    misspelt: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let closest = names.into_iter().min_by_key(|name| distance(name, misspelt))?;
    (distance(closest, misspelt) <= TYPOS_MAX).then_some(closest)
}

fn variables_of(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter_map(|arg| arg.get_env());
    let own = own.map(|name| name.to_string_lossy().into_owned());
    own.chain(command.get_subcommands().flat_map(variables_of)).collect()
}

/// The Levenshtein distance of two names, in characters, by the rows of its table.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, a) in from.chars().enumerate() {
        let mut left = index + 1;
        let mut next = vec![left];
        for ((b, above_left), above) in to.chars().zip(&row).zip(row.iter().skip(1)) {
            left = (above_left + usize::from(a != b)).min(left + 1).min(above + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_changes_additions_and_omissions() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "axc", 1),
            ("abc", "ac", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }
}
