//! What is wrong with a data file, where, and what to do.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

use super::source::Source;

/// One thing that is wrong with a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataError {
    /// The file, as messages name it.
    pub file: PathBuf,
    /// The place in it; `None` means the file as a whole.
    pub place: Option<SourceSpan>,
    /// What is wrong; lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// A second, related place, and how it is related.
    pub related: Option<Box<(SourceSpan, String)>>,
}

/// A span of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSpan {
    /// The file's text.
    pub source: Arc<Source>,
    /// The byte range in it.
    pub span: Range<usize>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl SourceSpan {
    /// A span of `source`, limited to its bytes.
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let start = source.text.floor_char_boundary(span.start);
        let end = source.text.ceil_char_boundary(span.end).max(start);
        // An excerpt of many lines would hide the point.
        let end = source.text[start..end]
            .find('\n')
            .map_or(end, |newline| start + newline);
        let (line, column) = source.position(start);
        Self {
            source: source.clone(),
            span: start..end,
            line,
            column,
        }
    }
}

impl DataError {
    /// An error about a file as a whole.
    pub fn of_file(file: &Path, message: String) -> Self {
        Self {
            file: file.to_owned(),
            place: None,
            message,
            help: None,
            related: None,
        }
    }

    /// An error about a place in a file.
    pub fn at(place: SourceSpan, message: String) -> Self {
        Self {
            file: place.source.file.clone(),
            place: Some(place),
            message,
            help: None,
            related: None,
        }
    }

    /// The same error with advice.
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// The same error with a second place.
    pub fn with_related(self, place: SourceSpan, label: impl Into<String>) -> Self {
        Self {
            related: Some(Box::new((place, label.into()))),
            ..self
        }
    }

    /// Renders several lines with an excerpt of the file, in colour if `colour` is set.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let mut group = Group::with_title(Level::ERROR.primary_title(self.message.as_str()));
        match &self.place {
            None => group = group.element(annotate_snippets::Origin::path(self.file.to_string_lossy())),
            Some(place) => {
                let mut snippet = excerpt(place).annotation(AnnotationKind::Primary.span(place.span.clone()));
                match self.related.as_deref() {
                    Some((other, label)) if other.source.file == place.source.file => {
                        snippet =
                            snippet.annotation(AnnotationKind::Context.span(other.span.clone()).label(label));
                        group = group.element(snippet);
                    }
                    Some((other, label)) => {
                        let other_snippet = excerpt(other)
                            .annotation(AnnotationKind::Context.span(other.span.clone()).label(label));
                        group = group.element(snippet).element(other_snippet);
                    }
                    None => group = group.element(snippet),
                }
            }
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }

    /// The order in which errors are shown: by file, then by place.
    pub fn order(&self, other: &Self) -> Ordering {
        let key = |error: &Self| error.place.as_ref().map(|place| (place.line, place.column));
        self.file
            .cmp(&other.file)
            .then(key(self).cmp(&key(other)))
            .then(self.message.cmp(&other.message))
    }
}

fn excerpt(place: &SourceSpan) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
    Snippet::source(place.source.text.as_str()).path(place.source.file.to_string_lossy())
}

/// One line: `FILE:LINE:COLUMN: what is wrong (what to do) [a second place]`.
impl fmt::Display for DataError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.file.display())?;
        if let Some(place) = &self.place {
            write!(out, ":{}:{}", place.line, place.column)?;
        }
        write!(out, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(out, " ({help})")?;
        }
        if let Some((place, label)) = self.related.as_deref() {
            write!(
                out,
                " [{label}: {}:{}:{}]",
                place.source.file.display(),
                place.line,
                place.column
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for DataError {}
