//! Checks the names of profiles: each is declared once, none is the canary's, and none is in a namespace.

use std::collections::BTreeMap;

use aa_policy::PolicyFile;
use virt_aa_probe::protocol::CANARY_PROFILE;

use super::assemble::SetError;

/// The files with a bad name, each with the first error. A name is bad if an earlier file declares it, if it is the
/// canary's, or if it has a namespace of its own.
pub fn badly_named(set: &str, files: &[PolicyFile]) -> Vec<(String, SetError)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut bad = Vec::new();
    for file in files {
        let of = |profile: String| (set.to_string(), profile, file.file.clone());
        let mut names = file.declared_names().into_iter();
        let wrong = names.find_map(|profile| {
            if profile.starts_with(':') {
                let (set, profile, file) = of(profile);
                return Some(SetError::OfNamespace { set, profile, file });
            }
            if profile == CANARY_PROFILE && file.file != CANARY_PROFILE {
                let (set, _, file) = of(profile);
                return Some(SetError::CanarysProfile { set, file });
            }
            let first = seen.insert(profile.clone(), &file.file)?;
            let (set, profile, second) = of(profile);
            let first = first.into();
            Some(SetError::DeclaredTwice {
                set,
                profile,
                first,
                second,
            })
        });
        bad.extend(wrong.map(|error| (file.file.clone(), error)));
    }
    bad
}

#[cfg(test)]
mod tests {
    use aa_policy::{Tree, parse};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::once("profile a {\n}\n", "profile b {\n}\n", None)]
    #[case::twice(
        "profile a {\n}\n",
        "profile a {\n}\n",
        Some("a is declared twice, in /etc/apparmor.d/one and /etc/apparmor.d/two")
    )]
    #[case::the_canary(
        "profile virt-aa-conform-canary {\n}\n",
        "profile virt-aa-conform-canary {\n}\n",
        Some("declares virt-aa-conform-canary, the profile by which")
    )]
    #[case::of_a_namespace("profile a {\n}\n", "profile :ns:b {\n}\n", Some("in a namespace of its own"))]
    fn a_name_is_declared_once_and_in_no_namespace(
        #[case] one: &str,
        #[case] two: &str,
        #[case] wanted: Option<&str>,
    ) {
        let mut tree = Tree::new();
        tree.insert("one", one).unwrap();
        tree.insert("two", two).unwrap();
        let files: Vec<PolicyFile> = ["one", "two"]
            .iter()
            .map(|file| parse(&tree, file).unwrap())
            .collect();
        let bad = badly_named("s", &files);
        let told = bad.first().map(|(_, error)| error.to_string());
        match wanted {
            None => assert_eq!(told, None),
            Some(wanted) => assert!(
                told.as_deref().is_some_and(|told| told.contains(wanted)),
                "{told:?}"
            ),
        }
    }
}
