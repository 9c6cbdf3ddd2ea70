//! Files made from a text with placeholders.

use std::collections::BTreeMap;

/// What encloses a placeholder's name: `%%name%%`.
pub(super) const MARK: &str = "%%";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The file's content.
    pub text: String,
    /// Whether it is executable.
    pub executable: bool,
}

/// Files by their path below the target folder.
pub type Files = BTreeMap<&'static str, File>;

/// A file that is not executable.
pub(super) fn plain(text: String) -> File {
    File {
        text,
        executable: false,
    }
}

/// An executable file.
pub(super) fn program(text: String) -> File {
    File {
        text,
        executable: true,
    }
}

/// The text with its placeholders filled in, including those in values. A value of several lines replaces its
/// placeholder's line, without the final newline.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{MARK}{name}{MARK}"), value.trim_end_matches('\n'))
    })
}

/// A YAML list on one line.
pub(super) fn list<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_a_place_for_a_later_one() {
        assert_eq!(
            fill("a %%b%%\nc", &[("b", "x\ny %%d%%\n"), ("d", "z")]),
            "a x\ny z\nc"
        );
    }
}
