//! Every case of a folder, read and checked.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::model::Case;
use super::problem::Problem;
use super::rules;
use super::world::World;
use crate::yaml::document::Document;
use crate::yaml::error::{DataError, Place};
use crate::yaml::node::Part;
use crate::yaml::{path, source};

/// A case and where it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The case, templates not filled in.
    pub case: Arc<Case>,
    /// Its file, relative to the data's root.
    pub file: PathBuf,
    /// The line on which it begins.
    pub line: usize,
    /// Its folder below `cases/`: `network`; empty where it lies in `cases/` itself.
    pub group: String,
}

/// The folder of fixtures, which are no cases, below the folder of cases.
pub const FIXTURES: &str = "fixtures";

/// Every case under `dir`, sorted by file and line; or everything that is wrong, sorted. Messages name files
/// relative to the folder above `dir`.
pub fn load(dir: &Path, world: &World) -> Result<Vec<Loaded>, Vec<DataError>> {
    let root = dir.parent().unwrap_or(dir);
    let mut names: HashMap<String, Place> = HashMap::new();
    let mut loaded = Vec::new();
    let mut errors = Vec::new();
    for file in source::files(dir, root)? {
        let below = source::shown(&file, dir);
        if below.starts_with(FIXTURES) {
            continue;
        }
        let group = below
            .parent()
            .map(|folder| folder.to_string_lossy().into_owned())
            .unwrap_or_default();
        let documents = match Document::read_file(&file, source::shown(&file, root)) {
            Ok(documents) => documents,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        for document in documents {
            let case: Case = match document.read() {
                Ok(case) => case,
                Err(error) => {
                    errors.push(error);
                    continue;
                }
            };
            errors.extend(rules::check(&case, &document, world));
            errors.extend(duplicate(&case, &document, &mut names));
            let (file, line) = (document.file().to_owned(), document.line());
            loaded.push(Loaded {
                case: Arc::new(case),
                file,
                line,
                group: group.clone(),
            });
        }
    }
    if errors.is_empty() {
        return Ok(loaded);
    }
    errors.sort_by(DataError::order);
    Err(errors)
}

/// A name that an earlier case has; both places are shown.
fn duplicate(case: &Case, document: &Document, names: &mut HashMap<String, Place>) -> Option<DataError> {
    let place = document.place(&path::Path::root().key("name"), Part::Value);
    match names.get(&case.name) {
        Some(first) => {
            let problem = Problem::Twice {
                what: "case name",
                name: case.name.clone(),
            };
            let error = DataError::at(place, problem.to_string()).with_related(first.clone(), "first here");
            Some(match problem.help() {
                Some(help) => error.with_help(help),
                None => error,
            })
        }
        None => {
            names.insert(case.name.clone(), place);
            None
        }
    }
}
