//! A place inside a document, by keys and indices.

use std::fmt;

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// Into a mapping's entry.
    Key(String),
    /// Into a list's item, from 0.
    Index(usize),
}

/// Steps from a document's root; shown as `steps[1].expect.stdout`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<Segment>);

impl Path {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The entry of this name.
    pub fn key(&self, name: &str) -> Self {
        self.push(Segment::Key(name.to_owned()))
    }

    /// The item of this index, from 0.
    pub fn index(&self, index: usize) -> Self {
        self.push(Segment::Index(index))
    }

    /// The steps, outermost first.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    fn push(&self, segment: Segment) -> Self {
        let mut path = self.clone();
        path.0.push(segment);
        path
    }
}

impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(name) if at == 0 => write!(out, "{name}")?,
                Segment::Key(name) => write!(out, ".{name}")?,
                Segment::Index(index) => write!(out, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_would_write_it() {
        let path = Path::root().key("steps").index(1).key("expect").key("stdout");
        assert_eq!(path.to_string(), "steps[1].expect.stdout");
    }
}
