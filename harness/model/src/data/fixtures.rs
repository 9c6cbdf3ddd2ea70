//! Every fixture of a folder, read and checked.

use std::collections::BTreeMap;
use std::path::Path;

use crate::case::names::MAX_TIMEOUT;
use crate::case::template;
use crate::fixture::Fixture;
use crate::yaml::document::Document;
use crate::yaml::error::DataError;
use crate::yaml::node::Part;
use crate::yaml::path::Path as DataPath;
use crate::yaml::source;

/// What is wrong with a fixture beyond its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the fixture is called `{name}` and its file `{file}`")]
    FileName { name: String, file: String },
    #[error("the fixture cannot be called `set`: `{{set.…}}` is the profile set")]
    Set,
    #[error("`{0}` is not a lower-case word")]
    Word(String),
    #[error("the fact `{0}` is not a lower-case word")]
    Fact(String),
    #[error("`{0}` is empty")]
    Empty(&'static str),
    #[error("the script never prints `{0}=…`")]
    FactNotPrinted(String),
    #[error("{0} is not a time from 1 to 900 seconds")]
    Timeout(u64),
}

impl Problem {
    fn is_about_key(&self) -> bool {
        matches!(self, Self::Fact(_) | Self::FactNotPrinted(_))
    }
}

/// Reads the fixtures under `dir` by name, or returns all errors, sorted. No folder means no fixtures. Messages name
/// files relative to `root`.
pub fn load(dir: &Path, root: &Path) -> Result<BTreeMap<String, Fixture>, Vec<DataError>> {
    let mut fixtures = BTreeMap::new();
    let mut errors = Vec::new();
    if !dir.exists() {
        return Ok(fixtures);
    }
    for file in source::files(dir, root)? {
        let stem = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let read = Document::read_single(&file, source::shown(&file, root))
            .and_then(|document| Ok((document.read::<Fixture>()?, document)));
        match read {
            Ok((fixture, document)) => {
                errors.extend(problems(&fixture, &stem).into_iter().map(|(path, problem)| {
                    let part = if problem.is_about_key() {
                        Part::Key
                    } else {
                        Part::Value
                    };
                    DataError::at(document.place(&path, part), problem.to_string())
                }));
                fixtures.insert(fixture.name.clone(), fixture);
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        return Ok(fixtures);
    }
    errors.sort_by(DataError::order);
    Err(errors)
}

fn problems(fixture: &Fixture, stem: &str) -> Vec<(DataPath, Problem)> {
    let root = DataPath::root();
    let mut problems = Vec::new();
    let (name, file) = (fixture.name.clone(), stem.to_owned());
    if name != file {
        problems.push((
            root.key("name"),
            Problem::FileName {
                name: name.clone(),
                file,
            },
        ));
    }
    if name == "set" {
        problems.push((root.key("name"), Problem::Set));
    }
    if !template::is_word(&name) {
        problems.push((root.key("name"), Problem::Word(name)));
    }
    for (key, text) in [("summary", &fixture.summary), ("up", &fixture.up)] {
        if text.trim().is_empty() {
            problems.push((root.key(key), Problem::Empty(key)));
        }
    }
    for fact in fixture.facts.keys() {
        let path = root.key("facts").key(fact);
        if !template::is_word(fact) {
            problems.push((path, Problem::Fact(fact.clone())));
        } else if !fixture.up.contains(&format!("{fact}=")) {
            problems.push((path, Problem::FactNotPrinted(fact.clone())));
        }
    }
    if !(1..=MAX_TIMEOUT).contains(&fixture.timeout) {
        problems.push((root.key("timeout"), Problem::Timeout(fixture.timeout)));
    }
    problems
}
