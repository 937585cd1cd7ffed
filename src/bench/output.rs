//! Results go to files as the flags say, which are tried before a run takes its time.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::cli::Output;
use super::report;
use super::result::Results;

impl Output {
    /// Fails if a file or a directory that is asked for cannot be written. Leaves what is there as it
    /// is, and nothing new but a directory for the plots.
    pub(super) fn check(&self) -> Result<(), String> {
        for (flag, path) in [("--json", &self.json), ("--report", &self.report)] {
            if let Some(path) = path {
                check_file(path).map_err(|error| unwritable(flag, path, &error))?;
            }
        }
        if let Some(dir) = &self.svg {
            let tried = fs::create_dir_all(dir).and_then(|()| tempfile::tempfile_in(dir).map(drop));
            tried.map_err(|error| unwritable("--svg", dir, &error))?;
        }
        Ok(())
    }

    /// Writes all that is asked for.
    pub(super) fn write(&self, results: &Results) -> Result<(), String> {
        if let Some(path) = &self.json {
            let json = serde_json::to_vec_pretty(results).map_err(|error| error.to_string())?;
            fs::write(path, json).map_err(|error| unwritable("--json", path, &error))?;
        }
        if self.report.is_some() || self.svg.is_some() {
            report::write(results, self)?;
        }
        Ok(())
    }
}

/// Writes `text` to stdout. A reader that has gone away wants no more.
pub(super) fn print(text: &str) -> Result<(), String> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to stdout: {error}"))
        }
        _ => Ok(()),
    }
}

fn check_file(path: &Path) -> io::Result<()> {
    let is_new = !path.exists();
    OpenOptions::new().create(true).append(true).open(path)?;
    if is_new { fs::remove_file(path) } else { Ok(()) }
}

fn unwritable(flag: &str, path: &Path, error: &io::Error) -> String {
    format!("cannot write {flag} {}: {error}", path.display())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn output(json: &Path, svg: Option<&Path>) -> Output {
        Output { json: Some(json.into()), report: None, svg: svg.map(Into::into) }
    }

    #[test]
    fn trying_a_file_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (new, old) = (dir.path().join("new"), dir.path().join("old"));
        fs::write(&old, "kept").unwrap();
        output(&new, Some(&dir.path().join("plots"))).check().unwrap();
        output(&old, None).check().unwrap();
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(&old).unwrap(), "kept");
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = dir.path().join("missing/results.json");
        let why = output(&nowhere, None).check().unwrap_err();
        assert!(why.contains("--json") && why.contains("missing/results.json"), "{why}");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let why = output(&dir.path().join("a"), Some(&file)).check().unwrap_err();
        assert!(why.contains("--svg"), "{why}");
    }
}
