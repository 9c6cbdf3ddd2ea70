//! A profile: read or refused; what is read can be edited, and what comes of it can be read again.
use aa_policy::{Access, Tree, audited, parse, with_rule, without};

/// Reads a profile, and edits it. Panics where that does not end as it should.
pub fn profile_text(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let mut tree = Tree::new();
    let put = tree.insert("abstractions/base", "/etc/base r,\n").is_ok();
    if !put || tree.insert("top", text).is_err() {
        return;
    }
    let Ok(policy) = parse(&tree, "top") else { return };
    let again = audited(&tree, std::slice::from_ref(&policy));
    assert!(parse(&again, "top").is_ok(), "with audit it is not read any more");
    let Some(profile) = policy.profiles.first() else {
        return;
    };
    if let Ok(edited) = with_rule(&tree, "top", &profile.name, "/some/path r,") {
        assert!(
            parse(&edited.tree, "top").is_ok(),
            "with a rule more it is not read any more"
        );
    }
    let mut accesses = vec![Access::Capability("kill".into())];
    accesses.extend(profile.rules.first().map(|rule| Access::Rule(rule.text.clone())));
    for access in accesses {
        if let Ok(edited) = without(&tree, "top", &profile.name, &access) {
            assert!(
                parse(&edited.tree, "top").is_ok(),
                "without {access:?} it is not read any more"
            );
        }
    }
}
