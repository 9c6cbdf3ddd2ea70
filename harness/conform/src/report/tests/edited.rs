//! Reports of a denial by a `deny` rule that an edit of the set added.

use aa_policy::{Tree, parse};

use crate::report::human;
use virt_aa_model::report::model::PlaceKind;
use virt_aa_model::testing::evidence::{DENIED, Made, POSITIVE, errno};
use virt_aa_model::testing::reports::{ran, told};
use virt_aa_model::verdict::judge::Verdict;

#[test]
fn a_denial_by_a_rule_of_an_edit_is_red_and_no_rule_is_said_to_allow_it() {
    let mut made = Made::of(&[POSITIVE])
        .ending(errno(libc::EACCES))
        .saying(0, DENIED);
    let mut tree = Tree::new();
    let edited = "profile daemon {\n  network packet raw,\n  deny network packet raw,\n}\n";
    tree.insert("daemon.profile", edited).unwrap();
    made.policy.files_run = vec![parse(&tree, "daemon.profile").unwrap()];
    let policy = made.policy.clone();
    let run = ran("denied", made, |_| {});
    assert_eq!(run.verdict, Verdict::Fail);
    let case = &told(&policy, &[run])[0];
    let finding = &case.findings[0];
    let place = finding.place.as_ref().unwrap();
    assert_eq!(
        (place.what, place.line, &finding.rule),
        (PlaceKind::Deny, 3, &None)
    );
    let details = human::details(case).join("\n");
    assert!(details.contains("a `deny` rule denies it"), "{details}");
    assert!(!details.contains("would allow it"), "{details}");
}
