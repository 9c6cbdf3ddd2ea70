//! Templates: `{key}` and `{name.key}` in a case's texts.
//!
//! Braces that hold anything else are literal text (`/usr/{lib,lib64}/x`, `{}`). So are those after `@` and `$`: they
//! are AppArmor's and the shell's own variables (`@{run}`, `${x}`).

use std::borrow::Cow;
use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::yaml::path::Path;

/// Why a text cannot be filled in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The key is unknown.
    #[error("unknown name `{{{key}}}` in {path}")]
    Unknown {
        /// The key, without braces.
        key: String,
        /// The text that uses it.
        path: Path,
    },
    /// A value, once filled in, does not have the form that its place needs.
    #[error("with its templates filled in this does not read as before: {0}")]
    Form(String),
}

/// The keys in a text, in order, with the bytes of each, braces included.
pub fn keys(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('{').map(|offset| at + offset) {
        at = open + 1;
        if text[..open].ends_with(['@', '$']) {
            continue;
        }
        let Some(close) = text[at..].find(['{', '}']).map(|offset| at + offset) else {
            break;
        };
        let key = &text[at..close];
        if text.as_bytes()[close] == b'}' && is_key(key) {
            found.push((open..close + 1, key));
        }
        // Another `{` may begin a key of its own.
        at = close;
    }
    found
}

/// Whether a word is `[a-z][a-z0-9_-]*`.
pub fn is_word(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
        && word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
}

fn is_key(key: &str) -> bool {
    match key.split_once('.') {
        Some((name, fact)) => is_word(name) && is_word(fact),
        None => is_word(key),
    }
}

/// `text` with each key replaced by its value from `lookup`; the error is a key without a value. Inserted values are
/// not searched for keys.
pub fn fill<'v>(text: &str, lookup: &impl Fn(&str) -> Option<Cow<'v, str>>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut done = 0;
    for (span, key) in keys(text) {
        filled.push_str(&text[done..span.start]);
        filled.push_str(&lookup(key).ok_or_else(|| key.to_owned())?);
        done = span.end;
    }
    filled.push_str(&text[done..]);
    Ok(filled)
}

/// `value` with every text in it filled in; keys of mappings are left alone. `path` is where it stands.
pub fn fill_all<'v, T: Serialize + DeserializeOwned>(
    value: &T,
    path: &Path,
    lookup: &impl Fn(&str) -> Option<Cow<'v, str>>,
) -> Result<T, TemplateError> {
    let form = |error: serde_json::Error| TemplateError::Form(error.to_string());
    let mut json = serde_json::to_value(value).map_err(form)?;
    fill_json(&mut json, path, lookup)?;
    serde_json::from_value(json).map_err(form)
}

/// Every text in `value`, with its place.
pub fn texts<T: Serialize>(value: &T, path: &Path) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    // A value that cannot be converted to JSON holds no templates; `fill_all` reports the error.
    if let Ok(json) = serde_json::to_value(value) {
        collect(json, path, &mut found);
    }
    found
}

fn collect(value: Value, path: &Path, found: &mut Vec<(Path, String)>) {
    match value {
        Value::String(text) => found.push((path.clone(), text)),
        Value::Array(items) => {
            items
                .into_iter()
                .enumerate()
                .for_each(|(index, item)| collect(item, &path.index(index), found));
        }
        Value::Object(entries) => {
            entries
                .into_iter()
                .for_each(|(key, entry)| collect(entry, &path.key(&key), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fill_json<'v>(
    value: &mut Value,
    path: &Path,
    lookup: &impl Fn(&str) -> Option<Cow<'v, str>>,
) -> Result<(), TemplateError> {
    match value {
        Value::String(text) => {
            *text = fill(text, lookup).map_err(|key| TemplateError::Unknown {
                key,
                path: path.clone(),
            })?;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                fill_json(item, &path.index(index), lookup)?;
            }
        }
        Value::Object(entries) => {
            for (key, entry) in entries.iter_mut() {
                fill_json(entry, &path.key(key), lookup)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn upper(key: &str) -> Option<Cow<'static, str>> {
        (key != "missing").then(|| Cow::Owned(key.to_uppercase()))
    }

    #[rstest]
    #[case("{set.libexecdir}/x", "SET.LIBEXECDIR/x")]
    #[case("{a}{b-c}", "AB-C")]
    #[case("/usr/{lib,lib64}/{a}", "/usr/{lib,lib64}/A")]
    #[case("{lib,{a}}", "{lib,A}")]
    #[case("@{run}/x ${y} {a}", "@{run}/x ${y} A")]
    #[case("{} {A} {1} {a.b.c} {a. {é}", "{} {A} {1} {a.b.c} {a. {é}")]
    #[case("{a", "{a")]
    fn what_is_a_template(#[case] text: &str, #[case] want: &str) {
        assert_eq!(fill(text, &upper).unwrap(), want);
    }

    #[test]
    fn what_was_put_in_is_left_alone() {
        let lookup = |_: &str| Some(Cow::Borrowed("{a}"));
        assert_eq!(fill("{x}", &lookup).unwrap(), "{a}");
    }

    #[test]
    fn a_missing_key_is_named_with_its_place() {
        let error = fill_all(
            &["x".to_owned(), "{missing}".to_owned()].to_vec(),
            &Path::root().key("run"),
            &upper,
        );
        assert_eq!(
            error.unwrap_err().to_string(),
            "unknown name `{missing}` in run[1]"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in ".*") {
            let filled = fill(&text, &|key: &str| Some(Cow::Owned(format!("{{{key}}}"))));
            prop_assert_eq!(filled.unwrap(), text);
        }
    }
}
