//! Parses text to nodes, under limits. These features of YAML are rejected, because no data file needs them and each
//! can surprise: anchors and aliases, tags, merge keys, keys that are not texts, keys given twice.

use std::collections::HashSet;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput};

use super::error::{DataError, SourceSpan};
use super::node::{Entry, Node, Span, Value};
use super::source::Source;

/// How deep lists and mappings may nest.
const MAX_DEPTH: usize = 32;

/// The documents of a file; there is at least one, and none is empty.
pub fn documents(source: &Arc<Source>) -> Result<Vec<Node>, DataError> {
    let mut reader = Reader {
        source,
        bytes: ByteOffsets::new(&source.text),
        parser: Parser::new_from_str(&source.text),
    };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => break,
            (Event::DocumentStart(_), _) => {
                let (event, span) = reader.next()?;
                let node = reader.node(event, span, 0)?;
                if !node.is_nothing() {
                    documents.push(node);
                }
            }
            _ => {}
        }
    }
    if documents.is_empty() {
        return Err(DataError::of_file(&source.file, "the file is empty".to_owned())
            .with_help("write a document, or remove the file"));
    }
    Ok(documents)
}

struct Reader<'a> {
    source: &'a Arc<Source>,
    bytes: ByteOffsets,
    parser: Parser<'a, StrInput<'a>>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), DataError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let span = self.bytes.get(span.start.index())..self.bytes.get(span.end.index());
                Ok((event, span))
            }
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, 0..0)),
        }
    }

    fn error(&self, span: Span, message: &str) -> DataError {
        DataError::at(SourceSpan::new(self.source, span), message.to_owned())
    }

    fn syntax(&self, error: &ScanError) -> DataError {
        let at = self.bytes.get(error.marker().index());
        let line_start = self.source.text[..at]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let line = &self.source.text[line_start..];
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let tab = if error.info().contains(" tab") {
            self.source.text[at..].find('\t').map(|tab| at + tab)
        } else {
            line[..indent].find('\t').map(|tab| line_start + tab)
        };
        if let Some(tab) = tab {
            return self
                .error(tab..tab + 1, "a tab stands where only spaces may")
                .with_help("indent with spaces");
        }
        if error.info().contains("anchor") {
            return self.alias(at..at + 1);
        }
        self.error(at..at + 1, &format!("this is not YAML: {}", error.info()))
    }

    fn alias(&self, span: Span) -> DataError {
        self.error(span, "anchors and aliases are not used in data files")
            .with_help("write the value out where it is needed")
    }

    /// The node that `event` begins. Recursion is bounded by [`MAX_DEPTH`].
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, DataError> {
        if depth > MAX_DEPTH {
            return Err(self.error(span, "lists and mappings are nested more than 32 deep"));
        }
        let (anchor, tagged) = match &event {
            Event::Scalar(_, _, anchor, tag) => (*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => (*anchor, tag.is_some()),
            Event::Alias(anchor) => (*anchor, false),
            _ => (0, false),
        };
        if anchor != 0 || matches!(event, Event::Alias(_)) {
            return Err(self.alias(span));
        }
        if tagged {
            return Err(self
                .error(span, "tags are not used in data files")
                .with_help("leave out the word that begins with `!`"));
        }
        match event {
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                Ok(Node {
                    span,
                    value: Value::Scalar {
                        text: text.into_owned(),
                        plain,
                    },
                })
            }
            Event::SequenceStart(..) => self.list(span, depth),
            Event::MappingStart(..) => self.map(span, depth),
            _ => Err(self.error(span, "a value is missing here")),
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, DataError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => {
                    let span = start.start..end.end.max(start.end);
                    return Ok(Node {
                        span,
                        value: Value::List(items),
                    });
                }
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, DataError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (key, key_span) = match self.next()? {
                (Event::MappingEnd, end) => {
                    let span = start.start..end.end.max(start.end);
                    return Ok(Node {
                        span,
                        value: Value::Map(entries),
                    });
                }
                (event, span) => self.key(event, span, depth)?,
            };
            if !seen.insert(key.clone()) {
                let error = self.error(
                    key_span,
                    &format!("the key `{}` is given twice", key.escape_debug()),
                );
                return Err(match entries.iter().find(|entry| entry.key == key) {
                    Some(first) => {
                        error.with_related(SourceSpan::new(self.source, first.key_span.clone()), "first here")
                    }
                    None => error,
                });
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            entries.push(Entry { key, key_span, node });
        }
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<(String, Span), DataError> {
        let node = self.node(event, span, depth + 1)?;
        match node.value {
            Value::Scalar { text, plain: true } if text == "<<" => Err(self
                .error(node.span, "merge keys are not used in data files")
                .with_help("write the keys out")),
            Value::Scalar { text, .. } => Ok((text, node.span)),
            _ => Err(self
                .error(node.span.clone(), "a key must be a text")
                .with_help("a template at the start of a value needs quotes: \"{name}\"")),
        }
    }
}

/// Converts the parser's positions, in characters, to bytes.
enum ByteOffsets {
    Ascii(usize),
    Table(Vec<usize>),
}

impl ByteOffsets {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii(text.len());
        }
        Self::Table(
            text.char_indices()
                .map(|(at, _)| at)
                .chain([text.len()])
                .collect(),
        )
    }

    /// Positions after the end map to the end.
    fn get(&self, index: usize) -> usize {
        match self {
            Self::Ascii(length) => index.min(*length),
            Self::Table(offsets) => offsets.get(index).or(offsets.last()).copied().unwrap_or(0),
        }
    }
}
