//! The page docs/findings.md: each known failure as one would report it. Made of the data files, and checked by a test.

use std::fmt::Write as _;

use virt_aa_model::data::Data;
use virt_aa_model::known::KnownFailure;
use virt_aa_model::shell::word;

const BEGINNING: &str = "# Findings

These are bugs of the packaged profiles or of libvirt that the cases have found, one section each. The page is made of
`profiles/known-failures.yaml` by a test. Each command runs the case that fails; its verdict is `known-failure`, and its report
has the kernel's records.
";

/// The page, from the known failures and the summaries of their cases.
pub fn page(data: &Data) -> String {
    let mut page = BEGINNING.to_owned();
    for failure in &data.known.0 {
        section(data, failure, &mut page);
    }
    page
}

fn section(data: &Data, failure: &KnownFailure, page: &mut String) {
    let name = failure.case.split(['@', ':']).next().unwrap_or_default();
    let case = data.cases.iter().find(|loaded| loaded.case.name == name);
    let summary = case.map_or("", |loaded| loaded.case.summary.as_str());
    let images = failure.images.join(", ");
    let image = failure.images.last().map_or("debian-13", String::as_str);
    let mut lines = vec![
        format!("\n## {}\n", failure.case),
        format!("{summary}.\n"),
        format!("- Why it fails: {}.", failure.reason.trim_end_matches('.')),
    ];
    if let Some(denial) = &failure.denial {
        let keys: Vec<String> = denial
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        lines.push(format!("- Denial: `{}`", keys.join(" ")));
    }
    for effect in &failure.effect.0 {
        lines.push(format!("- What is lost: `{effect}`"));
    }
    for edit in &failure.fix {
        if let Some(rule) = &edit.add {
            lines.push(format!(
                "- What mends it: `{rule}` in the profile `{}`",
                edit.profile
            ));
        }
    }
    if let Some(why) = &failure.no_fix {
        lines.push(format!("- No edit of the profiles mends it: {why}."));
    }
    lines.push(format!("- Seen on: {images}"));
    lines.push(format!("- Where: {}", failure.link));
    lines.push(format!(
        "- Again: `virt-aa-conform run --image {image} {}`",
        word(&failure.case)
    ));
    for line in lines {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// `UPDATE_EXPECT=1 cargo test -p virt-aa-conform --lib findings` writes the page anew.
    #[test]
    fn the_page_is_of_what_is_known_now() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = virt_aa_model::data::read(&root, None).unwrap_or_else(|_| panic!("see `check`"));
        let page = page(&data);
        let file = root.join("docs/findings.md");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let there = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == page,
            "docs/findings.md is old; UPDATE_EXPECT=1 writes it anew"
        );
        assert_eq!(page.matches("\n## ").count(), data.known.0.len());
    }
}
