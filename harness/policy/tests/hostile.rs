//! Whatever the text, there is an answer soon.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::time::{Duration, Instant};

use aa_policy::{Access, Request, Tree, deny_covers, grants, parse, with_rule, without};
use common::tree;
use proptest::prelude::*;
use rstest::rstest;

/// Far more than any of these takes, and far less than a blow-up would.
const SOON: Duration = Duration::from_secs(20);

fn doubling(levels: usize) -> String {
    let mut text = "@{V0}=aaaaaaaaaa\n".to_owned();
    for level in 1..=levels {
        text.push_str(&format!("@{{V{level}}}=@{{V{0}}}@{{V{0}}}\n", level - 1));
    }
    text + &format!("profile p {{ /@{{V{levels}}} r, }}\n")
}

fn chain(files: usize) -> Tree {
    let mut tree = tree(&[("top", "profile p { include <f0> }")]);
    for file in 0..files {
        tree.insert(&format!("f{file}"), format!("include <f{}>\n", file + 1))
            .unwrap();
    }
    tree.insert(&format!("f{files}"), "/a r,").unwrap();
    tree
}

#[rstest]
#[case::doubling_variables(tree(&[("top", &doubling(60))]))]
#[case::many_doubling(tree(&[("top", &format!("{}profile q {{ {} }}", doubling(11), "/@{V11} r,\n".repeat(20_000)))]))]
#[case::circle(tree(&[("top", "@{A}=@{B}\n@{B}=x@{A}\nprofile p { /@{A} r, }")]))]
#[case::long_chain(chain(500))]
#[case::deep_blocks(tree(&[("top", &format!("profile p {{ {}", "owner {".repeat(100_000)))]))]
#[case::deep_children(tree(&[("top", &"profile p {".repeat(100_000))]))]
#[case::child_includes_itself(tree(&[("top", "profile p { include <c> }"), ("c", "profile a { include <c> }\nprofile b { include <c> }\n")]))]
#[case::deep_braces(tree(&[("top", &format!("profile p {{ /{} r, }}", "{a,".repeat(10_000)))]))]
#[case::deep_condition(tree(&[("top", &format!("profile p {{ if {} $a {{ }} }}", "not ".repeat(100_000)))]))]
#[case::deep_parentheses(tree(&[("top", &format!("$a = {}", "(".repeat(100_000)))]))]
#[case::long_glob(tree(&[("top", &format!("profile p {{ /{} r, }}", "*a".repeat(100_000)))]))]
fn too_much_is_an_error_soon(#[case] tree: Tree) {
    let start = Instant::now();
    let error = parse(&tree, "top").unwrap_err();
    assert!(start.elapsed() < SOON, "{error}");
}

#[rstest]
#[case::one_line(&"/a r, ".repeat(150_000))]
#[case::comments(&"# a comment\n".repeat(500_000))]
#[case::no_end(&format!("/{} r,", "a".repeat(30_000)))]
fn much_is_read_soon(#[case] rules: &str) {
    let start = Instant::now();
    parse(&tree(&[("top", &format!("profile p {{\n{rules}\n}}"))]), "top").unwrap();
    assert!(start.elapsed() < SOON);
}

#[test]
fn matching_does_not_backtrack() {
    let start = Instant::now();
    let glob = format!("/{}b", "*a".repeat(200));
    let braces = format!("/{}b", "{a,aa,*}".repeat(200));
    let tree = tree(&[(
        "top",
        &format!("profile p {{ {glob} r, {braces} r, deny {glob} w, }}"),
    )]);
    let policy = parse(&tree, "top").unwrap();
    let name = format!("/{}", "a".repeat(4000));
    let request = Request::File {
        name,
        mask: "r".into(),
        owner: true,
    };
    assert!(grants(&policy, "p", &request).is_empty());
    assert_eq!(deny_covers(&policy, "p", &request), None);
    // Comparing the two is cut short; the answer is then the careful one, a deny.
    let edited = without(
        &tree,
        "top",
        "p",
        &Access::File {
            path: braces,
            mask: "r".into(),
        },
    )
    .unwrap();
    assert!(edited.removed.len() + edited.added.len() > 0);
    assert!(start.elapsed() < SOON);
}

/// Texts that look like policy more than random ones do.
fn policy_like() -> impl Strategy<Value = String> {
    let words = [
        "profile",
        "p",
        "{",
        "}",
        ",",
        "/a",
        "/**",
        "rw",
        "ix",
        "deny",
        "audit",
        "owner",
        "include",
        "<x>",
        "\"",
        "(",
        ")",
        "=",
        "->",
        "@{A}",
        "@{A}=b\n",
        "$b",
        "if",
        "else",
        "not",
        "defined",
        "network",
        "inet",
        "signal",
        "peer=",
        "set=",
        "mount",
        "options",
        "in",
        "#c\n",
        "#include",
        "^h",
        "capability",
        "kill",
        "\\",
        "\n",
        "[",
        "]",
        "abi",
        "alias",
        "set",
        "rlimit",
        "<=",
        "flags=",
        "priority=",
        "1",
        "ü",
        "change_profile",
        "unix",
        "link",
        "file",
        "dbus",
    ];
    proptest::collection::vec((proptest::sample::select(words.to_vec()), any::<bool>()), 0..40).prop_map(
        |words| {
            words
                .iter()
                .map(|(word, space)| {
                    if *space {
                        format!("{word} ")
                    } else {
                        (*word).to_owned()
                    }
                })
                .collect()
        },
    )
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![policy_like(), any::<String>()], wrap in any::<bool>()) {
        let text = if wrap { format!("profile p {{ {text} }}") } else { text };
        let tree = tree(&[("top", &text), ("x", &text)]);
        match parse(&tree, "top") {
            Ok(policy) => {
                for profile in &policy.profiles {
                    // What was read can be edited, and is still policy then.
                    let edited = with_rule(&tree, "top", &profile.name, "/new/path r").unwrap();
                    prop_assert!(parse(&edited.tree, "top").is_ok(), "{:?}", edited.tree.get("top"));
                }
            }
            Err(error) => prop_assert!(error.location.line >= 1 && error.location.column >= 1),
        }
    }

    #[test]
    fn no_rule_text_makes_it_panic(text in prop_oneof![policy_like(), any::<String>()]) {
        let tree = tree(&[("top", "profile p {\n /** rw,\n capability,\n network,\n}\n")]);
        let _ = with_rule(&tree, "top", "p", &text);
        if let Ok(edited) = without(&tree, "top", "p", &Access::Rule(text)) {
            prop_assert!(parse(&edited.tree, "top").is_ok(), "{:?}", edited.tree.get("top"));
        }
    }

    /// Two globs and a text: what the comparisons say agrees with what the text shows.
    #[test]
    fn comparisons_agree_with_matching(
        a in "/(a|b|\\*|\\*\\*|\\?|\\[ab\\]|\\{a,b/\\}|/){0,5}",
        b in "/(a|b|\\*|\\*\\*|\\?|\\[ab\\]|\\{a,b/\\}|/){0,5}",
        text in "/[ab/]{0,5}",
    ) {
        let one = tree(&[("top", &format!("profile p {{ {a} r, }}"))]);
        let policy = |rule: &str| parse(&tree(&[("top", &format!("profile p {{ {rule} r, }}"))]), "top").unwrap();
        let request = Request::File { name: text.clone(), mask: "r".into(), owner: true };
        let matched = |rule: &str| !grants(&policy(rule), "p", &request).is_empty();
        let (in_a, in_b) = (matched(&a), matched(&b));
        match without(&one, "top", "p", &Access::File { path: b.clone(), mask: "r".into() }) {
            Err(_) => prop_assert!(!(in_a && in_b), "{a} and {b} share {text}"),
            Ok(edited) => {
                if !edited.removed.is_empty() && in_a {
                    prop_assert!(in_b, "{a} was taken to lie within {b}, but {text} does not");
                }
                let now = parse(&edited.tree, "top").unwrap();
                let left = !grants(&now, "p", &request).is_empty() && deny_covers(&now, "p", &request).is_none();
                prop_assert_eq!(left, in_a && !in_b, "{} without {}: {}", a, b, text);
            }
        }
    }
}
