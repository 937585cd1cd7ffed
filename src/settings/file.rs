//! The settings of a file: TOML, a key for each, no tables.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml_edit::{Document, Item, Value};

use crate::variables::closest;

use super::assemble::{Given, Origin};
use super::kind::Shape;
use super::refused::why_refused;
use super::table::{Setting, TABLE, find};

/// Bytes of a file at the most: all settings with pages of comments are a hundredth of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of the file at `path`.
///
/// # Errors
/// What to tell the user.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display()));
    }
    Ok(text)
}

/// The settings that `text`, of the file at `path`, has.
///
/// # Errors
/// What to tell the user about the first thing that is wrong: the file, the line and the key.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Given>, String> {
    let at = |offset: Option<usize>| {
        let line = offset.map(|offset| line_of(text, offset)).unwrap_or(1);
        (line, format!("{}, line {line}", path.display()))
    };
    let document = Document::parse(text).map_err(|error| {
        let (_, place) = at(error.span().map(|span| span.start));
        let why = error.message().replace('\n', " ");
        match error.span().and_then(|span| text.get(span)).map(str::trim) {
            Some(culprit) if !culprit.is_empty() && !culprit.contains('\n') => {
                format!("{place}: {culprit}: {why}")
            }
            _ => format!("{place}: {why}"),
        }
    })?;
    let mut given: Vec<Given> = Vec::new();
    for (name, item) in document.iter() {
        let key = document.key(name).and_then(|key| key.span()).or(item.span());
        let (line, place) = at(key.map(|span| span.start));
        let setting = find(name).ok_or_else(|| format!("{place}: {}", unknown(name)))?;
        let text = text_of(setting, item).map_err(|why| format!("{place}: {name}: {why}"))?;
        let origin = Origin::File { path: path.into(), line, key: name.into() };
        let same = |earlier: &&Given| std::ptr::eq(earlier.setting, setting);
        if let Some(earlier) = given.iter().find(same) {
            let Origin::File { key, line, .. } = &earlier.origin else { continue };
            return Err(format!("{place}: {name} sets the same as {key} in line {line}"));
        }
        given.push(Given { setting, text, origin });
    }
    Ok(given)
}

/// Why `name` cannot be set.
pub(super) fn unknown(name: &str) -> String {
    if let Some(why) = why_refused(name) {
        return format!("{name} cannot be set: {why}");
    }
    let names = TABLE.iter().flat_map(Setting::names);
    match closest(name, names) {
        Some(close) => format!("{name} is no setting; did you mean {close}?"),
        None => format!("{name} is no setting"),
    }
}

/// The value of `item` as text, which need not be one of the setting's.
pub(super) fn text_of(setting: &Setting, item: &Item) -> Result<String, String> {
    let shape = setting.kind.shape();
    let wanted = match shape {
        Shape::YesNo => "true or false",
        Shape::Integer => "an integer",
        Shape::Bytes => "an integer, or a string with a unit, as in \"64mb\"",
        Shape::Word => "a string",
        Shape::Words => "a string, or an array of strings and numbers",
    };
    let wrong = |kind: &str| {
        let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{wanted} is wanted, and not {article} {kind}")
    };
    let value = item.as_value().ok_or_else(|| wrong(item.type_name()))?;
    match (shape, value) {
        (Shape::YesNo, Value::Boolean(yes)) => {
            Ok(if *yes.value() { "yes" } else { "no" }.to_owned())
        }
        (Shape::Integer | Shape::Bytes, Value::Integer(number)) => Ok(number.value().to_string()),
        (Shape::Words, Value::Array(words)) => {
            let word = |value| word_of(value).ok_or_else(|| wrong(value.type_name()));
            Ok(words.iter().map(word).collect::<Result<Vec<_>, _>>()?.join(" "))
        }
        (Shape::YesNo | Shape::Bytes | Shape::Word | Shape::Words, Value::String(text)) => {
            Ok(text.value().clone())
        }
        _ => Err(wrong(value.type_name())),
    }
}

fn word_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.value().clone()),
        Value::Integer(number) => Some(number.value().to_string()),
        Value::Float(number) => Some(number.value().to_string()),
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Vec<(&'static str, String)> {
        let given = parse(Path::new("p.toml"), text).unwrap();
        given.into_iter().map(|given| (given.setting.name, given.text)).collect()
    }

    #[test]
    fn every_shape_has_its_ways_to_be_written() {
        let text = "
            protected-mode = false
            appendonly = 'yes' # as Redis has it
            port = 7000
            maxmemory = 0
            cache-bytes = '2mb'
            dir = \"/data\"
            bind = ['127.0.0.1', '::1']
            latency-tracking-info-percentiles = [50, 99.9, '99.99']
        ";
        let expected = [
            ("protected-mode", "no"),
            ("appendonly", "yes"),
            ("port", "7000"),
            ("maxmemory", "0"),
            ("cache-bytes", "2mb"),
            ("dir", "/data"),
            ("bind", "127.0.0.1 ::1"),
            ("latency-tracking-info-percentiles", "50 99.9 99.99"),
        ];
        assert_eq!(settings(text), expected.map(|(name, value)| (name, value.to_owned())));
        assert_eq!(settings("# nothing\n"), []);
        assert_eq!(settings("appendfsync = 'no'"), [("durability", "no".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_named_with_file_line_and_key() {
        for (text, why) in [
            (
                "port = 1\n\nmaxclient = 5",
                "p.toml, line 3: maxclient is no setting; did you mean maxclients?",
            ),
            ("colour-of-the-sea = 1", "p.toml, line 1: colour-of-the-sea is no setting"),
            ("\nhz = 10", "p.toml, line 2: hz cannot be set: threads"),
            ("[server]\nport = 1", "p.toml, line 1: server is no setting"),
            ("port.number = 1", "p.toml, line 1: port: an integer is wanted, and not a table"),
            ("port = 1\nport = 2", "p.toml, line 2: port: duplicate key"),
            (
                "durability = 'no'\n\nappendfsync = 'no'",
                "p.toml, line 3: appendfsync sets the same as durability in line 1",
            ),
            ("port = '7000'", "p.toml, line 1: port: an integer is wanted, and not a string"),
            ("\n\nport = 7.5", "p.toml, line 3: port: an integer is wanted, and not a float"),
            (
                "protected-mode = 1",
                "p.toml, line 1: protected-mode: true or false is wanted, and not an integer",
            ),
            (
                "cache-bytes = true",
                "p.toml, line 1: cache-bytes: an integer, or a string with a unit",
            ),
            ("dir = 5", "p.toml, line 1: dir: a string is wanted"),
            (
                "bind = [true]",
                "p.toml, line 1: bind: a string, or an array of strings and numbers is wanted, and not a boolean",
            ),
            ("port = 1\nport 2", "p.toml, line 2"),
            ("dir = \"open", "p.toml, line 1"),
        ] {
            let error = parse(Path::new("p.toml"), text).unwrap_err();
            assert!(error.starts_with(why), "{text:?}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
