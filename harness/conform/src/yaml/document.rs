//! A document: its values for reading, its places for complaining.

use std::path::Path as FilePath;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::de;
use super::error::{DataError, Place};
use super::node::{Node, Part};
use super::parse;
use super::path::Path;
use super::source::Source;

/// One document of a data file.
#[derive(Debug, Clone)]
pub struct Document {
    source: Arc<Source>,
    /// Its values, with their places.
    pub root: Node,
}

impl Document {
    /// The documents of the file at `path`, which messages call `shown`; at least one.
    pub fn read_file(path: &FilePath, shown: &FilePath) -> Result<Vec<Self>, DataError> {
        Self::parse(&Source::read(path, shown)?)
    }

    /// The only document of a file.
    pub fn read_single(path: &FilePath, shown: &FilePath) -> Result<Self, DataError> {
        let mut documents = Self::read_file(path, shown)?;
        if let Some(second) = documents.get(1) {
            let place = Place::new(&second.source, second.root.mark());
            return Err(
                DataError::at(place, "this file may hold one document only".to_owned())
                    .with_help("give each document a file of its own"),
            );
        }
        Ok(documents.swap_remove(0))
    }

    /// The documents of a text; at least one.
    pub fn parse(source: &Arc<Source>) -> Result<Vec<Self>, DataError> {
        let nodes = parse::documents(source)?;
        Ok(nodes
            .into_iter()
            .map(|root| Self {
                source: source.clone(),
                root,
            })
            .collect())
    }

    /// The document as a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        de::read(&self.root).map_err(|error| {
            let place = Place::new(&self.source, error.span());
            let located = DataError::at(place, error.to_string());
            match error.help() {
                Some(help) => located.with_help(help),
                None => located,
            }
        })
    }

    /// The line on which it begins, from 1.
    pub fn line(&self) -> usize {
        self.source.position(self.root.mark().start).0
    }

    /// The file, as messages name it.
    pub fn file(&self) -> &FilePath {
        &self.source.file
    }

    /// A place in it: `path`, or as far as that can be followed.
    pub fn place(&self, path: &Path, part: Part) -> Place {
        Place::new(&self.source, self.root.find(path, part))
    }
}
