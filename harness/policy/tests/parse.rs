//! Policy text to rules and places.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use aa_policy::{Owner, PolicyErrorKind, RuleKind, parse};
use common::{policy, profile, tree};
use rstest::rstest;

#[test]
fn places_includes_and_children() {
    let policy = policy(&[
        (
            "top",
            "#include <tunables/all>\n\nprofile outer /bin/{a,b} flags=(complain, attach_disconnected) {\n  include <abs/one>\n  capability kill,\n  profile inner {\n    /x r,\n  }\n  ^hat { /h r, }\n  include if exists <nothing>\n  include \"abs/dir\"\n}\n",
        ),
        ("tunables/all", "@{HERE}=/here/\n@{HERE}+=/there\n"),
        (
            "abs/one",
            "# a comment, with a comma\n  @{HERE}/f rw, # more\n  #include <abs/two>\n",
        ),
        ("abs/two", "network inet stream,\n"),
        ("abs/dir/z", "/z r,\n"),
        ("abs/dir/y.dpkg-old", "this is not policy"),
        ("abs/dir/.hidden", "nor this"),
    ]);
    assert_eq!(policy.declared_names(), ["outer", "outer//hat", "outer//inner"]);
    let outer = policy.profile("outer").unwrap();
    assert_eq!(outer.flags, ["complain", "attach_disconnected"]);
    assert!(outer.attachment.as_ref().unwrap().matches("/bin/b"));
    assert_eq!(
        (outer.location.to_string(), outer.end.to_string()),
        ("top:3:1".into(), "top:12:1".into())
    );
    let places: Vec<_> = outer
        .rules
        .iter()
        .map(|rule| format!("{} {}", rule.location, rule.text))
        .collect();
    assert_eq!(
        places,
        [
            "abs/one:2:3 @{HERE}/f rw,",
            "abs/two:1:1 network inet stream,",
            "top:5:3 capability kill,",
            "abs/dir/z:1:1 /z r,"
        ]
    );
    let chain: Vec<_> = outer.rules[1].includes.iter().map(ToString::to_string).collect();
    assert_eq!(chain, ["top:4:3", "abs/one:3:3"]);
    let RuleKind::File { path, .. } = &outer.rules[0].kind else {
        panic!("a file rule")
    };
    assert!(path.matches("/here/f") && path.matches("/there/f") && !path.matches("/here//f"));
    assert_eq!(policy.profile("outer//inner").unwrap().rules.len(), 1);
    assert!(policy.profile("outer//hat").unwrap().hat);
    assert_eq!(
        policy.files,
        ["abs/dir/z", "abs/one", "abs/two", "top", "tunables/all"]
    );
}

#[test]
fn qualifiers_of_blocks_reach_their_rules() {
    let policy = profile("audit deny { /a w, owner { /b w, } }\n priority=3 allow /c r,\n /d r,");
    let rules = &policy.profiles[0].rules;
    assert!(rules[0].qualifiers.audit && rules[0].qualifiers.deny && rules[0].qualifiers.owner == Owner::Any);
    assert!(rules[1].qualifiers.deny && rules[1].qualifiers.owner == Owner::Own);
    assert_eq!(
        (rules[2].qualifiers.priority, rules[2].qualifiers.deny),
        (3, false)
    );
    assert_eq!(rules[3].qualifiers, Default::default());
}

#[rstest]
#[case::boolean("$on", "/yes")]
#[case::not("not $on", "/no")]
#[case::braces("${off}", "/no")]
#[case::defined("defined @{SET}", "/yes")]
#[case::undefined("defined @{NOT_SET}", "/no")]
#[case::and_or("$off and $on or defined @{SET}", "/yes")]
#[case::parentheses("$off and ($on or defined @{SET})", "/no")]
#[case::equal("@{SET} == one", "/yes")]
#[case::at_least("@{NUMBER} >= 10", "/yes")]
#[case::less("@{NUMBER} < 10", "/no")]
#[case::value("True", "/yes")]
#[case::different("@{SET} != one", "/no")]
fn conditions(#[case] condition: &str, #[case] path: &str) {
    let text = format!(
        "$on = true\n${{off}} = false\n@{{SET}} = one\n@{{NUMBER}} = 10\nprofile p {{\n if {condition} {{ /yes r, }} else {{ /no r, @{{NOT_SET}}/x r, }}\n}}\n"
    );
    // The branch not taken uses a variable that nobody set; where it is taken, that is an error.
    match parse(&tree(&[("top", &text)]), "top") {
        Ok(policy) => {
            let rules = &policy.profiles[0].rules;
            assert_eq!((rules.len(), path), (1, "/yes"));
            assert_eq!(rules[0].text, "/yes r,");
        }
        Err(error) => {
            assert_eq!(path, "/no");
            assert_eq!(error.kind, PolicyErrorKind::NoVariable("NOT_SET".into()));
        }
    }
}

#[rstest]
#[case::else_if("$b", "/b")]
#[case::last("$c", "/c")]
fn else_if(#[case] second: &str, #[case] path: &str) {
    let text = format!(
        "$b = true\n$c = false\nprofile p {{ if $c {{ /a r, }} else if {second} {{ /b r, }} else {{ /c r, }} }}"
    );
    assert_eq!(
        policy(&[("top", &text)]).profiles[0].rules[0].text,
        format!("{path} r,")
    );
}

#[rstest]
#[case("/a/b rw,", "rw", None, None)]
#[case("rw /a/b,", "rw", None, None)]
#[case("file /a/b k,", "k", None, None)]
#[case("\"/a b\" r,", "r", None, None)]
#[case("/a,b r,", "r", None, None)]
#[case("/a/b ix,", "x", Some("ix"), None)]
#[case("/a/b rPUx,", "rx", Some("PUx"), None)]
#[case("/a/b Cx -> child,", "x", Some("Cx"), Some("child"))]
#[case("unsafe /a/b px -> a//b,", "x", Some("px"), Some("a//b"))]
#[case("/a/b wlk,", "wkl", None, None)]
#[case("file,", "rwmklx", Some("ix"), None)]
fn file_rules(
    #[case] text: &str,
    #[case] letters: &str,
    #[case] mode: Option<&str>,
    #[case] target: Option<&str>,
) {
    let policy = profile(text);
    let RuleKind::File { perms, exec, .. } = &policy.profiles[0].rules[0].kind else {
        panic!("a file rule")
    };
    assert_eq!(perms.letters(), letters);
    assert_eq!(exec.as_ref().map(|exec| exec.mode.as_str()), mode);
    assert_eq!(exec.as_ref().and_then(|exec| exec.target.as_deref()), target);
}

#[rstest]
#[case("network packet raw,", Some("packet"), Some("raw"), None)]
#[case("network packet,", Some("packet"), None, None)]
#[case("network raw,", None, Some("raw"), None)]
#[case("network inet tcp,", Some("inet"), Some("stream"), Some("tcp"))]
#[case("network,", None, None, None)]
fn network_rules(
    #[case] text: &str,
    #[case] domain: Option<&str>,
    #[case] sock_type: Option<&str>,
    #[case] protocol: Option<&str>,
) {
    let policy = profile(text);
    let RuleKind::Network(network) = &policy.profiles[0].rules[0].kind else {
        panic!("a network rule")
    };
    let found = (
        network.domain.as_deref(),
        network.sock_type.as_deref(),
        network.protocol.as_deref(),
    );
    assert_eq!(found, (domain, sock_type, protocol));
}

#[test]
fn conditional_rules() {
    let policy = profile(
        "signal (send, read) set=(\"kill\", term) peer=other//child,\n\
         unix (send receive) type=stream addr=none peer=(label=x-@{profile_name}, addr=\"@a b\"),\n\
         ptrace rw peer=p,\n\
         mount options=(rw, rslave) options in (ro) fstype=ext4 /a -> /b/,\n\
         umount /c/,\n\
         dbus send bus=system path=/o/{a,b} peer=(name=n),\n\
         change_profile unsafe /bin/x -> y-*,\n\
         set rlimit nofile <= 1024,\n\
         userns create,",
    );
    let rules = &policy.profiles[0].rules;
    let RuleKind::Signal(signal) = &rules[0].kind else {
        panic!("signal")
    };
    assert_eq!(signal.access, ["receive", "send"]);
    assert_eq!(signal.own["set"].len(), 2);
    assert!(signal.peer["label"][0].matches("other//child"));
    let RuleKind::Unix(unix) = &rules[1].kind else {
        panic!("unix")
    };
    assert!(unix.peer["label"][0].matches("x-p") && unix.peer["addr"][0].matches("@a b"));
    let RuleKind::Ptrace(ptrace) = &rules[2].kind else {
        panic!("ptrace")
    };
    assert_eq!(ptrace.access, ["read", "trace"]);
    let RuleKind::Mount(mount) = &rules[3].kind else {
        panic!("mount")
    };
    assert_eq!(mount.options.len(), 2);
    assert!(mount.options[0].exact && !mount.options[1].exact);
    assert_eq!(mount.source.as_ref().unwrap().as_str(), "/a");
    assert_eq!(mount.target.as_ref().unwrap().as_str(), "/b/");
    let RuleKind::ChangeProfile { exec, target } = &rules[6].kind else {
        panic!("change_profile")
    };
    assert!(exec.as_ref().unwrap().matches("/bin/x") && target.as_ref().unwrap().matches("y-1"));
    assert!(!rules[7].allows(), "a limit gives nothing");
    assert_eq!(rules.len(), 9);
}

#[rstest]
#[case::no_comma(
    "profile p {\n  /a r\n  /b r,\n}",
    "top:3:3: expected a comma at the end of the rule before"
)]
#[case::no_brace("profile p {\n  /a r,\n", "top:3:1: expected a closing brace")]
#[case::no_file("profile p {\n  include <gone>\n}", "top:2:3: no file \"gone\" in the tree")]
#[case::no_variable("profile p {\n  /x/@{GONE} r,\n}", "top:2:3: the variable @{GONE} is not set")]
#[case::absolute(
    "include \"/etc/apparmor.d/x\"\n",
    "top:1:1: the include of \"/etc/apparmor.d/x\" is by absolute path"
)]
#[case::perms("profile p {\n  /x rz,\n}", "top:2:6: \"rz\" is not known as permissions")]
#[case::word(
    "profile p {\n  capabilty kill,\n}",
    "top:2:3: \"capabilty\" is not known as the beginning of a rule"
)]
#[case::twice("@{A}=b\n@{A}=c\n", "top:2:1: the variable @{A} is already set")]
#[case::glob("profile p {\n  /a/{b r,\n}", "top:2:3: in \"/a/{b\": a `{` is never closed")]
#[case::single(
    "profile p {\n  /a/{b} r,\n}",
    "top:2:3: in \"/a/{b}\": braces hold a single alternative"
)]
#[case::circle(
    "@{A}=@{A}\nprofile p {\n /@{A} r,\n}",
    "top:3:2: in \"/@{A}\": it is longer than"
)]
#[case::stray("}\n", "top:1:1: expected a profile, an include or a variable")]
#[case::column(
    "profile p { # ü\n  /ü r, /é zz,\n}",
    "top:2:12: \"zz\" is not known as permissions"
)]
fn errors_name_their_place(#[case] text: &str, #[case] message: &str) {
    let error = parse(&tree(&[("top", text)]), "top").unwrap_err().to_string();
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn errors_in_includes_name_the_included_file() {
    let error = parse(
        &tree(&[("top", "profile p { include <x> }"), ("x", "\n\n  /a\n")]),
        "top",
    )
    .unwrap_err();
    assert_eq!(error.location.to_string().split(':').next(), Some("x"));
}

#[test]
fn a_profile_has_variables_by_itself() {
    let policy = policy(&[(
        "top",
        "profile a /at/a { @{exec_path} r, profile c { / r, signal peer=@{profile_name}, } @{attach_path} r, }\nprofile b /at/b { @{exec_path} r, }\n",
    )]);
    let path = |profile: &str, rule: usize| match &policy.profile(profile).unwrap().rules[rule].kind {
        RuleKind::File { path, .. } => path.expanded().to_owned(),
        RuleKind::Signal(signal) => signal.peer["label"][0].expanded().to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!([path("a", 0), path("a", 1)], ["/at/a", "/at/a"]);
    assert_eq!(path("a//c", 1), "a//c");
    assert_eq!(path("b", 0), "/at/b");
}

#[test]
fn a_file_may_set_those_variables_and_else_they_are_not_there() {
    let text =
        "@{exec_path}=/set\nprofile a @{exec_path} { @{exec_path} r, }\nprofile b { @{exec_path} r, }\n";
    for profile in policy(&[("top", text)]).profiles {
        let RuleKind::File { path, .. } = &profile.rules[0].kind else {
            panic!("a file rule")
        };
        assert_eq!(path.expanded(), "/set");
    }
    let error = parse(&tree(&[("top", "profile a { @{exec_path} r, }")]), "top").unwrap_err();
    assert_eq!(error.kind, PolicyErrorKind::NoVariable("exec_path".into()));
}

#[test]
fn namespaces_are_told_one_way() {
    let policy = policy(&[(
        "top",
        "profile :n:a { signal peer=@{profile_name}, ^h { / r, } }\n:n:///x { / r, }\n",
    )]);
    assert_eq!(policy.declared_names(), [":n:///x", ":n://a", ":n://a//h"]);
    let RuleKind::Signal(signal) = &policy.profiles[0].rules[0].kind else {
        panic!("signal")
    };
    assert_eq!(signal.peer["label"][0].expanded(), "a");
}

#[test]
fn an_at_sign_before_braces_is_no_variable() {
    let policy = profile("unix peer=(addr=\"@{one,two}-x\"),");
    let RuleKind::Unix(unix) = &policy.profiles[0].rules[0].kind else {
        panic!("unix")
    };
    assert!(unix.peer["addr"][0].matches("@two-x"));
}

#[test]
fn an_include_circle_ends() {
    let policy = policy(&[
        ("top", "profile p {\n include <a>\n}"),
        ("a", "/a r,\ninclude <b>\n"),
        ("b", "/b r,\ninclude <a>\n"),
    ]);
    assert_eq!(policy.profiles[0].rules.len(), 2);
}

#[test]
fn an_absolute_include_may_be_missing_where_it_says_so() {
    let policy = profile("include if exists \"/absolute/missing\"\n/a r,");
    assert_eq!(policy.profiles[0].rules.len(), 1);
}
