//! A document: its values, and its places for error messages.

use std::path::Path as FilePath;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::de;
use super::error::{DataError, SourceSpan};
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
            let place = SourceSpan::new(&second.source, second.root.mark());
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

    /// Reads the document as a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        de::read(&self.root).map_err(|error| {
            let place = SourceSpan::new(&self.source, error.span());
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

    /// A place in it: `path`, or as far as it can be followed.
    pub fn place(&self, path: &Path, part: Part) -> SourceSpan {
        SourceSpan::new(&self.source, self.root.find(path, part))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::yaml::source::MAX_BYTES;

    fn parse(bytes: &[u8]) -> Result<Vec<Document>, DataError> {
        Source::from_bytes(FilePath::new("x.yaml"), bytes.to_vec())
            .and_then(|source| Document::parse(&source))
    }

    /// The error of the first document that has one, read as a mapping of texts.
    fn error(bytes: &[u8]) -> DataError {
        let documents = match parse(bytes) {
            Ok(documents) => documents,
            Err(error) => return error,
        };
        let read = documents
            .iter()
            .find_map(|document| document.read::<BTreeMap<String, String>>().err());
        read.expect("something is wrong with it")
    }

    #[test]
    fn several_documents_stand_in_a_file() {
        let documents = parse(b"# one\na: 1\n---\na: 2\n---\n").unwrap();
        let lines: Vec<usize> = documents.iter().map(Document::line).collect();
        assert_eq!(lines, [2, 4]);
        let second: BTreeMap<String, u64> = documents[1].read().unwrap();
        assert_eq!(second["a"], 2);
    }

    #[rstest]
    #[case(b"", "x.yaml: the file is empty (write a document, or remove the file)")]
    #[case(
        b"# only a comment\n---\n",
        "x.yaml: the file is empty (write a document, or remove the file)"
    )]
    #[case(
        b"a: x\nb: \xff\n",
        "x.yaml: line 2 is not UTF-8 text (save the file as UTF-8)"
    )]
    #[case(
        b"a: x\n\tb: y\n",
        "x.yaml:2:1: a tab stands where only spaces may (indent with spaces)"
    )]
    #[case(
        b"a:\n\t- y\n",
        "x.yaml:2:1: a tab stands where only spaces may (indent with spaces)"
    )]
    #[case(
        b"a: x\na: y\n",
        "x.yaml:2:1: the key `a` is given twice [first here: x.yaml:1:1]"
    )]
    #[case(
        b"a: [x\n",
        "x.yaml:2:1: this is not YAML: while parsing a flow sequence, expected ',' or ']'"
    )]
    #[case(
        b"a: 'x\n",
        "x.yaml:1:4: this is not YAML: while scanning a quoted scalar, found unexpected end of stream"
    )]
    #[case(
        b"a: &x y\nb: *x\n",
        "x.yaml:1:4: anchors and aliases are not used in data files (write the value out where it is needed)"
    )]
    #[case(
        b"a: y\nb: *x\n",
        "x.yaml:2:4: anchors and aliases are not used in data files (write the value out where it is needed)"
    )]
    #[case(
        b"<<: {a: x}\n",
        "x.yaml:1:1: merge keys are not used in data files (write the keys out)"
    )]
    #[case(
        b"a: !!str x\n",
        "x.yaml:1:4: tags are not used in data files (leave out the word that begins with `!`)"
    )]
    #[case(
        b"? [a]\n: x\n",
        "x.yaml:1:3: a key must be a text (a template at the start of a value needs quotes: \"{name}\")"
    )]
    #[case(b"a: {b: c}\n", "x.yaml:1:5: expected a text, found a mapping")]
    #[case(
        b"a: {b}\n",
        "x.yaml:1:5: expected a text, found a mapping (a template needs quotes: \"{b}\")"
    )]
    #[case(b"a:\n", "x.yaml:1:1: expected a text, found nothing")]
    #[case(b"- a\n", "x.yaml:1:3: expected a mapping, found a list")]
    #[case("ä: {é: c}\n".as_bytes(), "x.yaml:1:5: expected a text, found a mapping")]
    fn wrong_input_is_one_clear_error(#[case] bytes: &[u8], #[case] want: &str) {
        assert_eq!(error(bytes).to_string(), want);
    }

    #[test]
    fn an_error_shows_its_place() {
        let want = "\
error: the key `a` is given twice
 --> x.yaml:3:1
  |
1 | a: x
  | - first here
2 | b: y
3 | a: z
  | ^";
        assert_eq!(error(b"a: x\nb: y\na: z\n").render(false), want);
        assert!(error(b"a: x\na: y\n").render(true).contains('\u{1b}'));
    }

    /// The worst known input within the size limit, for each part of a YAML reader.
    #[rstest]
    #[case::flow_lists(|n| "[".repeat(n))]
    #[case::flow_maps(|n| "{".repeat(n))]
    #[case::flow_keys(|n| "{a: ".repeat(n / 4))]
    #[case::block_lists(|n| "- ".repeat(n / 2))]
    #[case::explicit_keys(|n| "? ".repeat(n / 2))]
    #[case::one_line(|n| format!("a: {}", "x".repeat(n - 3)))]
    #[case::open_quote(|n| format!("a: \"{}", "x".repeat(n - 4)))]
    #[case::long_key(|n| format!("{}: a", "x".repeat(n - 3)))]
    #[case::many_keys(|n| (0..n / 10).map(|at| format!("k{at:06}: x\n")).collect::<String>()[..n].to_owned())]
    #[case::many_items(|n| format!("a: [{}", "x,".repeat(n / 2 - 2)))]
    #[case::line_ends(|n| "\n".repeat(n))]
    #[case::documents(|n| "---\n".repeat(n / 4))]
    #[case::tabs(|n| "\t".repeat(n))]
    #[case::anchors(|n| "- &a x\n".repeat(n / 7))]
    #[case::comments(|n| "#\n".repeat(n / 2))]
    fn a_hostile_file_is_answered_quickly(#[case] text: impl Fn(usize) -> String) {
        let text = text(MAX_BYTES as usize);
        let started = Instant::now();
        if let Ok(documents) = parse(text.as_bytes()) {
            let read = documents
                .iter()
                .map(|document| document.read::<BTreeMap<String, u64>>());
            assert!(read.filter_map(Result::err).next().is_some());
        }
        // Measured: well below a second each; a quadratic reader takes minutes.
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
    }

    #[test]
    fn a_billion_laughs_are_refused() {
        let mut text = "a0: &a0 [x, x]\n".to_owned();
        for level in 1..40 {
            text += &format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1);
        }
        let want = "x.yaml:1:5: anchors and aliases are not used in data files (write the value out where it is needed)";
        assert_eq!(error(text.as_bytes()).to_string(), want);
    }

    #[test]
    fn ten_megabytes_are_refused_unread() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a: x\n".repeat(2 << 20)).unwrap();
        let error = Document::read_file(file.path(), FilePath::new("big.yaml")).unwrap_err();
        let want = "big.yaml: the file is larger than 1 MiB, the limit for a data file \
                    (split it: each case may have a file of its own)";
        assert_eq!(error.to_string(), want);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "[\\PC\n\t]{0,200}") {
            if let Ok(documents) = parse(text.as_bytes()) {
                for document in documents {
                    if let Err(error) = document.read::<crate::case::model::Case>() {
                        error.render(false);
                    }
                }
            }
        }

        #[test]
        fn any_yaml_like_text_is_answered(text in "[-a:{}\\[\\]\"'|>#&*!%@,? \n\té]{0,60}") {
            match parse(text.as_bytes()) {
                Ok(documents) => for document in documents {
                    if let Err(error) = document.read::<BTreeMap<String, String>>() {
                        error.render(false);
                    }
                },
                Err(error) => drop(error.render(false)),
            }
        }
    }
}
