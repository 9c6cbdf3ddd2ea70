//! Every case of a folder, read and checked.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use crate::case::beginning::{complete, join};
use crate::case::known_names::KnownNames;
use crate::case::loaded::Loaded;
use crate::case::model::Case;
use crate::case::problem::Problem;
use crate::check;
use crate::yaml::document::Document;
use crate::yaml::error::{DataError, SourceSpan};
use crate::yaml::node::Part;
use crate::yaml::{path, source};

/// The folder of fixtures, below the folder of cases. Fixtures are not cases.
pub const FIXTURES: &str = "fixtures";

/// Reads every case under `dir`, sorted by file and line, or returns all errors, sorted. Messages name files relative
/// to `root`.
pub fn load(dir: &Path, root: &Path, names_known: &KnownNames) -> Result<Vec<Loaded>, Vec<DataError>> {
    let (read, mut errors) = read(dir, root);
    let by_name: BTreeMap<&str, &Case> = read
        .iter()
        .map(|(loaded, _)| (loaded.case.name.as_str(), &*loaded.case))
        .collect();
    let mut names = HashMap::new();
    let mut cases = Vec::new();
    for (loaded, document) in &read {
        errors.extend(duplicate(&loaded.case, document, &mut names));
        match join(&loaded.case, &by_name) {
            Ok(joined) => {
                errors.extend(check::case(&joined, document, names_known));
                cases.push(Loaded {
                    case: Arc::new(joined.whole),
                    held: joined.held,
                    ..loaded.clone()
                });
            }
            Err(problem) => errors.extend(check::located(vec![problem], document)),
        }
    }
    if errors.is_empty() {
        return Ok(cases);
    }
    errors.sort_by(DataError::order);
    Err(errors)
}

/// Errors in the form of the cases under `dir`, for when the names that they refer to are not known.
pub fn errors_of_form(dir: &Path, root: &Path) -> Vec<DataError> {
    read(dir, root).1
}

fn read(dir: &Path, root: &Path) -> (Vec<(Loaded, Document)>, Vec<DataError>) {
    let mut read = Vec::new();
    let mut errors = Vec::new();
    let files = source::files(dir, root).unwrap_or_else(|found| {
        errors.extend(found);
        Vec::new()
    });
    for file in files {
        let below = source::shown(&file, dir);
        if below.starts_with(FIXTURES) {
            continue;
        }
        let group = below
            .parent()
            .map(|folder| folder.to_string_lossy().into_owned())
            .unwrap_or_default();
        let documents = Document::read_file(&file, source::shown(&file, root)).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        for document in documents {
            match document.read::<Case>() {
                Ok(mut case) => {
                    complete(&mut case);
                    let (file, line) = (document.file().to_owned(), document.line());
                    read.push((
                        Loaded {
                            case: Arc::new(case),
                            held: 0,
                            file,
                            line,
                            group: group.clone(),
                        },
                        document,
                    ));
                }
                Err(error) => errors.push(error),
            }
        }
    }
    (read, errors)
}

/// Reports a name that an earlier case has, with both places.
fn duplicate(case: &Case, document: &Document, names: &mut HashMap<String, SourceSpan>) -> Option<DataError> {
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

#[cfg(test)]
mod tests;
