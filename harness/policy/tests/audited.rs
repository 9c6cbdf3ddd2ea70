//! `audit` where a set is to tell of itself.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use aa_policy::{audited, parse};
use common::tree;
use rstest::rstest;

#[rstest]
#[case::deny("deny /a w,", "audit deny /a w,")]
#[case::told_already("audit deny /a w,", "audit deny /a w,")]
#[case::program("/bin/a PUx,", "audit /bin/a PUx,")]
#[case::program_of_an_owner("owner /bin/a ix,", "audit owner /bin/a ix,")]
#[case::priority("priority=3 deny capability kill,", "priority=3 audit deny capability kill,")]
#[case::other_files("/a rw,", "/a rw,")]
#[case::everything("file,", "file,")]
#[case::others("capability kill,\nnetwork inet,", "capability kill,\nnetwork inet,")]
fn what_would_be_silent_is_told(#[case] rules: &str, #[case] expected: &str) {
    let set = |rules: &str| tree(&[("top", &format!("profile p {{\n  {rules}\n}}\n"))]);
    let before = set(rules);
    let files = [parse(&before, "top").unwrap()];
    let after = audited(&before, &files);
    assert_eq!(after.get("top"), set(expected).get("top"));
    // Once told, told for good.
    let files = [parse(&after, "top").unwrap()];
    assert_eq!(audited(&after, &files), after);
}

#[test]
fn an_included_file_is_told_once_for_all() {
    let before = tree(&[
        (
            "top",
            "profile p {\n  include <abs>\n  profile c {\n    include <abs>\n  }\n}\n",
        ),
        ("abs", "  deny /a w,\n"),
    ]);
    let files = [parse(&before, "top").unwrap()];
    let after = audited(&before, &files);
    assert_eq!(after.get("abs"), Some("  audit deny /a w,\n"));
    assert_eq!(after.get("top"), before.get("top"));
}
