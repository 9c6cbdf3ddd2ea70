//! Taking an access away and adding a rule.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use aa_policy::{Access, EditError, Tree, parse, with_rule, without};
use common::tree;
use rstest::rstest;

fn one(rules: &str) -> Tree {
    tree(&[("top", &format!("profile p {{\n{rules}\n}}\n"))])
}

fn exec(path: &str) -> Access {
    Access::Exec(path.into())
}

fn file(path: &str, mask: &str) -> Access {
    Access::File {
        path: path.into(),
        mask: mask.into(),
    }
}

fn network(kind: &str) -> Access {
    Access::Network(kind.into())
}

fn signal(signal: &str, peer: &str) -> Access {
    Access::Signal {
        mask: Some("send".into()),
        signal: Some(signal.into()),
        peer: Some(peer.into()),
    }
}

#[rstest]
#[case::exact("/a ix,\n/b ix,", exec("/a"), &["/a ix,"], &[])]
#[case::both("/l/* PUxr,\n/l/a ix,", exec("/l/a"), &["/l/a ix,"], &["audit deny /l/a x,"])]
#[case::choices("/{l,l64}/a Ux,", exec("/l/a"), &[], &["audit deny /l/a x,"])]
#[case::all_choices("/{l,l64}/a Ux,", exec("/{l,l64,x}/a"), &["/{l,l64}/a Ux,"], &[])]
#[case::glob("/l/a ix,\n/l/b ix,\n/m ix,", exec("/l/*"), &["/l/a ix,", "/l/b ix,"], &[])]
#[case::other_perms("/a rwk,", file("/a", "w"), &[], &["audit deny /a w,"])]
#[case::fewer_perms("/a w,\n/a k,", file("/a", "rwk"), &["/a w,", "/a k,"], &[])]
#[case::broad_file("/ r,\n/** rwmkl,", file("/dev/vfio/vfio", "rw"), &[], &["audit deny /dev/vfio/vfio rw,"])]
#[case::spaces("\"/a b\" r,\n/** r,", file("/a b", "r"), &["\"/a b\" r,"], &["audit deny \"/a b\" r,"])]
#[case::owner("owner /a r,", file("/a", "r"), &["owner /a r,"], &[])]
#[case::bare_file("file,", exec("/a"), &[], &["audit deny /a x,"])]
#[case::capability("capability kill,\ncapability chown,", Access::Capability("kill".into()), &["capability kill,"], &[])]
#[case::capability_list("capability kill chown,", Access::Capability("kill".into()), &[], &["audit deny capability kill,"])]
#[case::capability_all("capability,", Access::Capability("kill".into()), &[], &["audit deny capability kill,"])]
#[case::network("network packet raw,\nnetwork packet dgram,", network("packet raw"), &["network packet raw,"], &[])]
#[case::network_family("network inet,", network("inet stream"), &[], &["audit deny network inet stream,"])]
#[case::network_families("network inet stream,\nnetwork inet dgram,", network("inet"), &["network inet stream,", "network inet dgram,"], &[])]
#[case::network_all("network,", network("packet raw"), &[], &["audit deny network packet raw,"])]
#[case::signal("signal send set=term peer=a,", signal("term", "a"), &["signal send set=term peer=a,"], &[])]
#[case::signal_broad("signal send peer=a,", signal("term", "a"), &[], &["audit deny signal (send) set=(term) peer=a,"])]
#[case::ptrace("ptrace (read,trace) peer=a,", Access::Ptrace { mask: None, peer: Some("a".into()) }, &["ptrace (read,trace) peer=a,"], &[])]
#[case::change("change_profile -> a-*,", Access::ChangeProfile("a-1".into()), &[], &["audit deny change_profile -> a-1,"])]
#[case::mount("mount options=(rw) /a -> /b,\nmount /c -> /d,", Access::Rule("mount /a -> /b".into()), &["mount options=(rw) /a -> /b,"], &[])]
#[case::text("/a  r,\n/b r,", Access::Rules(vec!["/a r".into()]), &["/a r,"], &[])]
#[case::priority("priority=5 /** x,", exec("/a"), &[], &["priority=5 audit deny /a x,"])]
#[case::lower_deny("deny /a w,\npriority=1 /a w,", file("/a", "w"), &["priority=1 /a w,"], &[])]
#[case::all("all,", network("packet raw"), &[], &["audit deny network packet raw,"])]
#[case::unix_of_network("network unix,", Access::Rule("unix type=stream".into()), &[], &["audit deny unix type=stream,"])]
#[case::with_allow("unix,", Access::Rule("allow unix,".into()), &["unix,"], &[])]
#[case::with_allow_broad("unix,", Access::Rule("allow unix type=stream,".into()), &[], &["audit deny unix type=stream,"])]
#[case::with_audit("network,", Access::Rule("audit network packet raw,".into()), &[], &["audit deny network packet raw,"])]
#[case::with_priority("priority=3 unix,", Access::Rule("priority=3 audit unix type=stream".into()), &[], &["priority=3 audit deny unix type=stream,"])]
#[case::with_owner("/** rw,", Access::Rule("allow owner /a w,".into()), &[], &["audit deny owner /a w,"])]
#[case::link("/** l,", Access::Rule("link /a -> /b".into()), &[], &["audit deny link /a -> /b,"])]
#[case::remount_of_mount("mount,", Access::Rule("remount".into()), &[], &["audit deny remount,"])]
#[case::remount_by_option("mount options=(remount, ro) -> /a,", Access::Rule("remount /a".into()), &[], &["audit deny remount /a,"])]
#[case::attributes("change_profile -> a,", file("/proc/*/attr/current", "w"), &[], &["audit deny /proc/*/attr/current w,"])]
#[case::change_alone("change_profile -> a,", Access::ChangeProfile("a".into()), &["change_profile -> a,"], &[])]
#[case::two_lines("network\n  inet\n  stream, /a r,", network("inet stream"), &["network inet stream,"], &[])]
fn an_access_is_taken_away(
    #[case] rules: &str,
    #[case] access: Access,
    #[case] removed: &[&str],
    #[case] added: &[&str],
) {
    let tree = one(rules);
    let edited = without(&tree, "top", "p", &access).unwrap();
    let texts = |rules: &[(aa_policy::Location, String)]| -> Vec<String> {
        rules.iter().map(|(_, text)| text.clone()).collect()
    };
    assert_eq!(texts(&edited.removed), removed);
    assert_eq!(texts(&edited.added), added);
    // What was said of places holds in the edited text, and nothing else changed.
    let policy = parse(&edited.tree, "top").unwrap();
    let profile = policy.profile("p").unwrap();
    for added in &edited.added {
        assert!(
            profile
                .rules
                .iter()
                .any(|rule| (rule.location.clone(), rule.text.clone()) == *added)
        );
    }
    let before = parse(&tree, "top").unwrap();
    let before: Vec<_> = before.profiles[0]
        .rules
        .iter()
        .map(|rule| (rule.location.clone(), rule.text.clone()))
        .collect();
    let kept: Vec<_> = before
        .iter()
        .filter(|rule| !edited.removed.contains(rule))
        .cloned()
        .collect();
    let now: Vec<_> = profile
        .rules
        .iter()
        .map(|rule| (rule.location.clone(), rule.text.clone()))
        .collect();
    assert_eq!(
        now,
        kept.into_iter().chain(edited.added.clone()).collect::<Vec<_>>()
    );
    // A second time there is nothing left to take.
    let again = without(&edited.tree, "top", "p", &access);
    assert!(
        matches!(
            again,
            Err(EditError::NoSuchRule { .. } | EditError::Denied { .. })
        ),
        "{again:?}"
    );
}

#[rstest]
#[case::nothing("/a r,", exec("/a"))]
#[case::near("/a/b ix,", exec("/a"))]
#[case::other_owner("other /a r,", Access::Rule("owner /a r".into()))]
#[case::limit("set rlimit nofile <= 5,", Access::Rule("all".into()))]
#[case::text("/a r,", Access::Rules(vec!["/a rw,".into()]))]
fn nothing_grants_it(#[case] rules: &str, #[case] access: Access) {
    assert!(matches!(
        without(&one(rules), "top", "p", &access),
        Err(EditError::NoSuchRule { .. })
    ));
}

#[test]
fn what_is_denied_is_not_there_to_take() {
    let error = without(
        &one("/** rw,\naudit deny /etc/x/** w,"),
        "top",
        "p",
        &file("/etc/x/y", "w"),
    )
    .unwrap_err();
    assert_eq!(error.to_string(), "p denies /etc/x/y w already, at top:3:1");
    // A deny of a part is none of the whole.
    assert!(
        without(
            &one("/** rw,\naudit deny /etc/x/** w,"),
            "top",
            "p",
            &file("/etc/x/y", "rw")
        )
        .is_ok()
    );
}

#[test]
fn rules_go_from_the_files_they_are_in_and_children_stay() {
    let tree = tree(&[
        (
            "top",
            "profile p {\n  include <abs>\n  network packet raw,\n  profile c {\n    network packet raw,\n  }\n}\n",
        ),
        ("abs", "network packet raw,\n/x r,\n"),
    ]);
    let edited = without(&tree, "top", "p", &network("packet raw")).unwrap();
    assert_eq!(edited.tree.changed_files(&tree), ["abs", "top"]);
    assert_eq!(edited.tree.get("abs"), Some("\n/x r,\n"));
    let policy = parse(&edited.tree, "top").unwrap();
    assert_eq!(policy.profile("p").unwrap().rules.len(), 1);
    assert_eq!(policy.profile("p//c").unwrap().rules.len(), 1);
    let child = without(&tree, "top", "p//c", &network("packet raw")).unwrap();
    assert_eq!(child.removed[0].0.to_string(), "top:5:5");
    // A deny goes into the profile named, not the one around it.
    let child = with_rule(&tree, "top", "p//c", "/new r").unwrap();
    assert_eq!(child.tree.get("top").unwrap().lines().nth(5), Some("    /new r,"));
}

#[rstest]
#[case::plain("/a r,", "/b w,", &[])]
#[case::deny("audit deny /etc/d/** wxl,\n/** rw,", "/etc/d/x w,", &["audit deny /etc/d/** wxl,"])]
#[case::other_deny("audit deny /etc/d/** xl,", "/etc/d/x w,", &[])]
#[case::capability("deny capability kill,\ndeny capability chown,", "capability kill,", &["deny capability kill,"])]
#[case::new_deny("deny /a w,", "deny /a r,", &[])]
#[case::priority("deny /a w,", "priority=1 /a w,", &[])]
fn an_added_rule_holds(#[case] rules: &str, #[case] new: &str, #[case] removed: &[&str]) {
    let edited = with_rule(&one(rules), "top", "p", new).unwrap();
    let gone: Vec<_> = edited.removed.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(gone, removed);
    let policy = parse(&edited.tree, "top").unwrap();
    assert_eq!(policy.profiles[0].rules.last().unwrap().text, new);
}

#[test]
fn one_line_profiles_take_a_rule() {
    let edited = with_rule(&tree(&[("top", "profile p { /a r, }\n")]), "top", "p", "/b r,").unwrap();
    let policy = parse(&edited.tree, "top").unwrap();
    let last = policy.profiles[0].rules.last().unwrap();
    assert_eq!((last.location.clone(), last.text.clone()), edited.added[0]);
}

#[rstest]
#[case::no_profile(without(&one("/a r,"), "top", "q", &exec("/a")).unwrap_err(), "no profile \"q\" in top: it has p")]
#[case::no_rule(with_rule(&one(""), "top", "p", "capabilty kill").unwrap_err(), "\"capabilty kill\" is no rule: (rule):1:1: ")]
#[case::two_rules(with_rule(&one(""), "top", "p", "/a r, /b r").unwrap_err(), "\"/a r, /b r\" is no rule: (rule):1:7: expected a single rule")]
#[case::breaking_out(with_rule(&one(""), "top", "p", "/a r, } profile q { /b r").unwrap_err(), "\"/a r, } profile q { /b r\" is no rule")]
fn edits_that_can_not_be(#[case] error: EditError, #[case] message: &str) {
    assert!(error.to_string().starts_with(message), "{error}");
}

#[rstest]
#[case::where_it_leads("/b/x", &[], &["audit deny /b/x r,"])]
#[case::where_it_begins("/a/x", &[], &["audit deny /a/x r,"])]
#[case::both("/{a,b}/x", &["/a/x r,"], &[])]
#[case::below_a_variable("/b/home/y", &[], &["audit deny /b/home/y r,"])]
fn an_alias_grants_too(#[case] path: &str, #[case] removed: &[&str], #[case] added: &[&str]) {
    let text = "alias /a/ -> /b/,\n@{dirs} = /c/ /a/home/\nprofile p {\n/a/x r,\n@{dirs}* r,\n^h {\n}\n}\n";
    let tree = tree(&[("top", text)]);
    let edited = without(&tree, "top", "p", &file(path, "r")).unwrap();
    let texts = |rules: &[(aa_policy::Location, String)]| -> Vec<String> {
        rules.iter().map(|(_, text)| text.clone()).collect()
    };
    assert_eq!(texts(&edited.removed), removed);
    assert_eq!(texts(&edited.added), added);
}

#[test]
fn a_hat_lets_its_parent_change_to_it() {
    let tree = tree(&[("top", "profile p {\n^h {\n}\n}\n")]);
    let edited = without(&tree, "top", "p", &file("/proc/*/attr/current", "w")).unwrap();
    assert_eq!(edited.added.len(), 1);
}
