//! Removes what mail, issue trackers and loggers add to a line.

use std::borrow::Cow;

use memchr::memmem;

/// A value's opening quote as JSON writes it, with the `=` of its key.
const JSON: &[u8] = b"=\\\"";
/// The same as a word processor writes it.
const CURLY: [&str; 2] = ["=\u{201c}", "=\u{201d}"];

/// HTML's names of characters, and the characters.
const ENTITIES: [(&[u8], u8); 12] = [
    (b"&quot;", b'"'),
    (b"&#34;", b'"'),
    (b"&#034;", b'"'),
    (b"&#x22;", b'"'),
    (b"&apos;", b'\''),
    (b"&#39;", b'\''),
    (b"&#039;", b'\''),
    (b"&#x27;", b'\''),
    (b"&lt;", b'<'),
    (b"&gt;", b'>'),
    (b"&nbsp;", b' '),
    // Last, so that its result is not taken for an entity.
    (b"&amp;", b'&'),
];

/// The line with plain quotes: HTML's entities, JSON's backslashes and a word processor's quotes are undone if a value
/// begins with one. Any other line is unchanged.
pub(super) fn clean(line: &[u8]) -> Cow<'_, [u8]> {
    let holds = |needle: &[u8]| memmem::find(line, needle).is_some();
    let quotes = ENTITIES.iter().filter(|(_, byte)| *byte == b'"');
    let mut quotes = quotes.map(|(text, _)| [b"=", *text].concat());
    if quotes.any(|mark| holds(&mark)) {
        Cow::Owned(without_entities(line))
    } else if holds(JSON) {
        Cow::Owned(without_json(line))
    } else if CURLY.iter().any(|mark| holds(mark.as_bytes())) {
        let text = String::from_utf8_lossy(line);
        Cow::Owned(text.replace(['\u{201c}', '\u{201d}'], "\"").into_bytes())
    } else {
        Cow::Borrowed(line)
    }
}

fn without_entities(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, after @ ..] = rest {
        let entity = ENTITIES.iter().find(|(text, _)| rest.starts_with(text));
        if let Some((text, byte)) = entity {
            out.push(*byte);
            rest = &rest[text.len()..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

fn without_json(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, after @ ..] = rest {
        match rest {
            [b'\\', byte @ (b'"' | b'\\'), after @ ..] => {
                out.push(*byte);
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// The line without quotation marks (`> `, `| `) and without white space at both ends.
pub(super) fn unquoted(line: &[u8]) -> &[u8] {
    let mut line = line.trim_ascii();
    while let [b'>' | b'|', rest @ ..] = line {
        line = rest.trim_ascii_start();
    }
    line
}
