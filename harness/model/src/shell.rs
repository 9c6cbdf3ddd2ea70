//! Words for a POSIX shell.

/// The word unchanged if a shell reads it as it is, else in single quotes.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// The word in single quotes.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a-b_c/d.e:f@g+h,i=j", "a-b_c/d.e:f@g+h,i=j")]
    #[case("", "''")]
    #[case("a b", "'a b'")]
    #[case("it's", r"'it'\''s'")]
    #[case("$(x)", "'$(x)'")]
    #[case("*", "'*'")]
    #[case("~", "'~'")]
    fn a_word_is_quoted_where_a_shell_would_read_it(#[case] text: &str, #[case] want: &str) {
        assert_eq!(word(text), want);
    }
}
