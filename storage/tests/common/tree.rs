//! Directories as a whole. By itself, for tests that need nothing else of what is shared.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

/// Copies all that is in `from` into the new directory `into`.
pub fn copy_tree(from: &Path, into: &Path) {
    fs::create_dir(into).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = into.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
