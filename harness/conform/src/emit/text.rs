//! Files that are made of a text with open places.

use std::collections::BTreeMap;

/// What a place looks like: `%%name%%`.
pub(super) const MARK: &str = "%%";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub text: String,
    /// Whether it is a program.
    pub executable: bool,
}

/// Files by their path below the folder that they are for.
pub type Files = BTreeMap<&'static str, File>;

/// A file that is read.
pub(super) fn plain(text: String) -> File {
    File {
        text,
        executable: false,
    }
}

/// A file that is run.
pub(super) fn program(text: String) -> File {
    File {
        text,
        executable: true,
    }
}

/// The text with its places filled, those in what is put in, too. A value of several lines takes its place's own line,
/// with neither newline at its end.
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
