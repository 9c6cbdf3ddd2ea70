//! A document as it was written: values with their places.

use std::ops::Range;

use super::path::{Path, Segment};

/// Bytes of the file.
pub type Span = Range<usize>;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// From its first byte to its last.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a document is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text. A `plain` one has no quotes, and may be a number or nothing.
    Scalar {
        /// The text with escapes resolved.
        text: String,
        /// Whether it is written without quotes, and not as a block.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in the order written.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub node: Node,
}

/// The key or the value of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl Node {
    /// Whether the value is empty (`key:`) or `null`.
    pub fn is_nothing(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null"))
    }

    /// The entry of a mapping with this key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// A short span that represents the node: a mapping's first key, else its own span.
    pub fn mark(&self) -> Span {
        match &self.value {
            Value::Map(entries) => entries
                .first()
                .map_or(self.span.clone(), |entry| entry.key_span.clone()),
            Value::List(items) => items.first().map_or(self.span.clone(), Node::mark),
            Value::Scalar { .. } => self.span.clone(),
        }
    }

    /// The span that `path` leads to, or as far as it can be followed.
    pub fn find(&self, path: &Path, part: Part) -> Span {
        let mut node = self;
        let mut span = self.mark();
        for segment in path.segments() {
            match (segment, &node.value) {
                (Segment::Key(key), Value::Map(_)) => match node.get(key) {
                    Some(entry) => {
                        node = &entry.node;
                        span = match part {
                            Part::Value if !node.span.is_empty() => node.mark(),
                            _ => entry.key_span.clone(),
                        };
                    }
                    None => return span,
                },
                (Segment::Index(index), Value::List(items)) => match items.get(*index) {
                    Some(item) => {
                        node = item;
                        span = item.mark();
                    }
                    None => return span,
                },
                _ => return span,
            }
        }
        span
    }

    /// Describes the node in words, for messages.
    pub fn describe(&self) -> String {
        match &self.value {
            _ if self.is_nothing() => "nothing".to_owned(),
            Value::Scalar { text, .. } if text.chars().count() > 40 => "a long text".to_owned(),
            Value::Scalar { text, .. } => format!("`{}`", text.escape_debug()),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}
