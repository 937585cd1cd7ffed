//! `CONFIG REWRITE`: what has changed goes back into the file, and everything else in it stays.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use toml_edit::{Decor, DocumentMut, Item, RawString, Value};

use crate::config::Config;

use super::file;
use super::kind::Shape;
use super::table::{Setting, TABLE};

/// What stands above settings that the file did not have.
const SIGNATURE: &str = "# Written by CONFIG REWRITE";

/// Writes the values that the settings called `names` have in `config` into the file at `path`: beside
/// it first, then in its place, so that at any moment there is the old or the new one. Blocks on the
/// disk.
///
/// # Errors
/// What to tell the user; the file is as it was then.
pub(super) fn rewrite(path: &Path, names: &[&str], config: &Config) -> Result<(), String> {
    // What a link leads to is to be replaced, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let text = if path.exists() { file::read(&path)? } else { String::new() };
    file::parse(&path, &text)?;
    let changed = TABLE.iter().filter(|setting| names.contains(&setting.name));
    let new = rewritten(&text, changed, config)
        .map_err(|why| format!("cannot rewrite {}: {why}", path.display()))?;
    if new == text {
        return Ok(());
    }
    replace(&path, &new).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// `text` with the values that `settings` have in `config`.
fn rewritten<'a>(
    text: &str,
    settings: impl Iterator<Item = &'a Setting>,
    config: &Config,
) -> Result<String, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    for setting in settings {
        let name = setting.names().find(|name| document.contains_key(name));
        match name.and_then(|name| document.get_mut(name)).and_then(Item::as_value_mut) {
            Some(value) => change(value, setting, config),
            None => append(&mut document, text, setting, config),
        }
    }
    Ok(document.to_string())
}

/// Puts the setting's value in the place of `value`, unless that says the same already.
fn change(value: &mut Value, setting: &Setting, config: &Config) {
    let mut said = Config::default();
    let is_same = file::text_of(setting, &Item::Value(value.clone()))
        .and_then(|text| setting.kind.set(&mut said, &text))
        .is_ok_and(|()| setting.kind.show(&said) == setting.kind.show(config));
    if !is_same {
        // Blanks before it, and the comment behind it.
        let decor: Decor = value.decor().clone();
        *value = value_of(setting, config);
        *value.decor_mut() = decor;
    }
}

/// Adds the setting at the end, behind the comments that are there.
fn append(document: &mut DocumentMut, text: &str, setting: &Setting, config: &Config) {
    let mut above = document.trailing().as_str().unwrap_or_default().to_owned();
    if !above.is_empty() && !above.ends_with('\n') {
        above.push('\n');
    }
    let is_first = !text.contains(SIGNATURE) && !document.to_string().contains(SIGNATURE);
    if is_first {
        let gap = if document.is_empty() && above.is_empty() { "" } else { "\n" };
        above.push_str(&format!("{gap}{SIGNATURE}\n"));
    }
    document.insert(setting.name, Item::Value(value_of(setting, config)));
    if let Some(mut key) = document.as_table_mut().key_mut(setting.name) {
        key.leaf_decor_mut().set_prefix(above);
    }
    document.set_trailing(RawString::default());
}

fn value_of(setting: &Setting, config: &Config) -> Value {
    let text = setting.kind.show(config);
    match setting.kind.shape() {
        Shape::YesNo => Value::from(text == "yes"),
        Shape::Integer | Shape::Bytes => match text.parse::<i64>() {
            Ok(number) => Value::from(number),
            Err(_) => Value::from(text),
        },
        Shape::Word | Shape::Words => Value::from(text),
    }
}

/// Puts `text` in the place of the file at `path`, with its permissions, as one step that lasts.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut beside = tempfile::Builder::new().prefix(".pontoon-config-").tempfile_in(dir)?;
    beside.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(path) {
        beside.as_file().set_permissions(old.permissions())?;
    }
    beside.as_file().sync_all()?;
    beside.persist(path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::settings::find;

    #[track_caller]
    fn check(text: &str, settings: &[(&str, &str)], expected: &str) {
        let mut config = Config::default();
        let mut changed = Vec::new();
        for (name, value) in settings {
            let setting = find(name).unwrap();
            setting.kind.set(&mut config, value).unwrap();
            changed.push(setting);
        }
        let new = rewritten(text, changed.iter().copied(), &config).unwrap();
        assert_eq!(new, expected);
        let again = rewritten(&new, changed.iter().copied(), &config).unwrap();
        assert_eq!(again, expected, "a second time");
    }

    #[test]
    fn comments_and_order_stay() {
        check(
            "# ours\n\n  port=7000   # where\nmaxclients =  10 # few\n\n# the end\n",
            &[("maxclients", "20"), ("timeout", "5")],
            "# ours\n\n  port=7000   # where\nmaxclients =  20 # few\n\n# the end\n\n\
             # Written by CONFIG REWRITE\ntimeout = 5\n",
        );
    }

    #[test]
    fn what_says_the_same_already_stays_as_it_is_written() {
        check(
            "client-query-buffer-limit = \"2mb\"\nlatency-tracking = 'YES'\n",
            &[("client-query-buffer-limit", "2097152"), ("latency-tracking", "yes")],
            "client-query-buffer-limit = \"2mb\"\nlatency-tracking = 'YES'\n",
        );
    }

    #[test]
    fn another_name_of_the_setting_is_found() {
        check(
            "appendfsync = \"no\"",
            &[("durability", "everysec")],
            "appendfsync = \"everysec\"\n",
        );
    }

    #[test]
    fn new_settings_come_behind_all_that_is_there() {
        let added = "# Written by CONFIG REWRITE\nprotected-mode = false\nrequirepass = 'a \"b'\n";
        let settings = [("protected-mode", "no"), ("requirepass", "a \"b")];
        check("", &settings, added);
        check("# port = 1", &settings, &format!("# port = 1\n\n{added}"));
        check("port = 1", &settings, &format!("port = 1\n\n{added}"));
        check(
            "# Written by CONFIG REWRITE\ntimeout = 1\n",
            &[("timeout", "2"), ("protected-mode", "no")],
            "# Written by CONFIG REWRITE\ntimeout = 2\nprotected-mode = false\n",
        );
    }

    #[test]
    fn the_file_keeps_its_permissions_and_what_links_to_it() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        fs::write(&path, "timeout = 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link.toml");
        symlink(&path, &link).unwrap();
        rewrite(&link, &["timeout"], &Config::default()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "timeout = 0\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_has_become_wrong_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        fs::write(&path, "timeout = 1\nnonsense = 2\n").unwrap();
        let error = rewrite(&path, &["timeout"], &Config::default()).unwrap_err();
        assert!(error.contains("line 2: nonsense"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "timeout = 1\nnonsense = 2\n");
    }
}
