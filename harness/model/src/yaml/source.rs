//! The text of a data file. Only this module reads data files.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::DataError;

/// The maximum size of a data file, in bytes.
pub const MAX_BYTES: u64 = 1 << 20;

/// A file's text, and the name that messages give it.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The path shown in messages: relative to the data's root if there is one.
    pub file: PathBuf,
    /// The text.
    pub text: String,
}

impl Source {
    /// Reads `path`, which messages call `shown`.
    pub fn read(path: &Path, shown: &Path) -> Result<Arc<Self>, DataError> {
        let failed =
            |error: std::io::Error| DataError::of_file(shown, format!("cannot read this file: {error}"));
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(DataError::of_file(shown, "this is not a regular file".to_owned()));
        }
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::from_bytes(shown, bytes)
    }

    /// Makes a source from bytes in memory, under the same limits.
    pub fn from_bytes(shown: &Path, bytes: Vec<u8>) -> Result<Arc<Self>, DataError> {
        if bytes.len() as u64 > MAX_BYTES {
            let message = "the file is larger than 1 MiB, the limit for a data file".to_owned();
            return Err(DataError::of_file(shown, message)
                .with_help("split it: each case may have a file of its own"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Arc::new(Self {
                file: shown.to_owned(),
                text,
            })),
            Err(error) => {
                let line = 1 + error.as_bytes()[..error.utf8_error().valid_up_to()]
                    .iter()
                    .filter(|byte| **byte == b'\n')
                    .count();
                Err(
                    DataError::of_file(shown, format!("line {line} is not UTF-8 text"))
                        .with_help("save the file as UTF-8"),
                )
            }
        }
    }

    /// Line and column, both from 1, of a byte; columns count characters.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let byte = self.text.floor_char_boundary(byte);
        let before = &self.text[..byte];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        (
            1 + before.matches('\n').count(),
            1 + before[start..].chars().count(),
        )
    }
}

/// Every `*.yaml` under `dir` at any depth, sorted; `*.yml` is an error so that no case is left out by its name.
pub fn files(dir: &Path, root: &Path) -> Result<Vec<PathBuf>, Vec<DataError>> {
    let mut found = Vec::new();
    let mut errors = Vec::new();
    walk(dir, root, 0, &mut found, &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    found.sort();
    Ok(found)
}

/// `path` as messages show it.
pub fn shown<'a>(path: &'a Path, root: &Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

fn walk(dir: &Path, root: &Path, depth: usize, found: &mut Vec<PathBuf>, errors: &mut Vec<DataError>) {
    let mut failed =
        |path: &Path, message: String| errors.push(DataError::of_file(shown(path, root), message));
    if depth > 8 {
        return failed(dir, "folders are nested more than 8 deep".to_owned());
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return failed(dir, format!("cannot read this folder: {error}")),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let (path, kind) = match entry.and_then(|entry| Ok((entry.path(), entry.file_type()?))) {
            Ok(pair) => pair,
            Err(error) => {
                failed(dir, format!("cannot read this folder: {error}"));
                continue;
            }
        };
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        {
            continue;
        }
        if kind.is_dir() {
            folders.push(path);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        } else if path.extension().is_some_and(|extension| extension == "yml") {
            failed(&path, "data files end in `.yaml`; rename it".to_owned());
        }
    }
    for folder in folders {
        walk(&folder, root, depth + 1, found, errors);
    }
}
