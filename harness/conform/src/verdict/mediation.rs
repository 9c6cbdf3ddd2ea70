//! Is the class of an access mediated at all, by the kernel and by the profile as compiled? Where it is not, a pass would
//! say nothing.

use aa_policy::{Access, Class};

use super::policy::Policy;

/// Entries of the features directory, any of which says that the class is mediated.
fn entries(access: &Access) -> &'static [&'static str] {
    match access {
        Access::Exec(_) | Access::File { .. } => &["file"],
        Access::Capability(_) => &["caps", "capability"],
        Access::Network(_) => &["network", "network_v8", "network_v9"],
        Access::Signal { .. } => &["signal"],
        Access::Ptrace { .. } => &["ptrace"],
        Access::ChangeProfile(_) => &["domain/change_profile"],
        Access::Rule(rule) => of_rule(rule),
        Access::Rules(rules) => rules.first().map_or(&["file"], |rule| of_rule(rule)),
    }
}

fn of_rule(rule: &str) -> &'static [&'static str] {
    let word = rule
        .split_whitespace()
        .find(|word| !matches!(*word, "audit" | "deny" | "allow" | "owner"));
    match word.unwrap_or_default().trim_end_matches(',') {
        "capability" => &["caps", "capability"],
        "network" => &["network", "network_v8", "network_v9"],
        "signal" => &["signal"],
        "ptrace" => &["ptrace"],
        "change_profile" => &["domain/change_profile"],
        "mount" | "umount" | "remount" | "pivot_root" => &["mount"],
        "unix" => &["network/af_unix", "network_v9/af_unix"],
        "dbus" => &["dbus"],
        "userns" => &["namespaces/userns_create"],
        "io_uring" => &["io_uring"],
        "mqueue" => &["ipc/posix_mqueue"],
        _ => &["file"],
    }
}

/// The classes of a profile's automaton, in any of which it must say something for a feature of the kernel to be of use;
/// none where what the feature is about stands elsewhere in the profile.
fn classes(feature: &str) -> &'static [Class] {
    match feature.split('/').next().unwrap_or_default() {
        "mount" => &[7],
        "ptrace" => &[9],
        "signal" => &[10],
        // Of a parser that has rules of the ninth version, the profile has either.
        "network_v8" | "network_v9" => &[14, 15],
        "dbus" => &[32],
        _ => &[],
    }
}

/// Whether a feature of the kernel is there, and the profile was compiled by a parser and for an ABI that use it.
pub fn in_use(feature: &str, policy: &Policy, profile: Option<&str>) -> bool {
    let declared = profile.and_then(|profile| policy.declared.get(profile));
    let classes = classes(feature);
    let said = |classes_of: &std::collections::BTreeSet<Class>| {
        classes.iter().any(|class| classes_of.contains(class))
    };
    policy.kernel.has(feature)
        && (classes.is_empty() || declared.is_none_or(|declared| said(&declared.classes)))
}

/// Whether the class of an access by a process with this profile is mediated.
pub fn mediated(access: &Access, policy: &Policy, profile: Option<&str>) -> bool {
    entries(access).iter().any(|entry| in_use(entry, policy, profile))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rstest::rstest;

    use super::*;
    use crate::verdict::features::Features;
    use crate::verdict::policy::Declared;

    /// One profile, `p`, that says something of these classes.
    fn policy(kernel: &str, classes: &[Class]) -> Policy {
        let declared = Declared {
            hashes: BTreeMap::new(),
            enforce: true,
            classes: classes.iter().copied().collect::<BTreeSet<_>>(),
        };
        Policy {
            declared: BTreeMap::from([("p".into(), declared)]),
            warnings: Vec::new(),
            files: Vec::new(),
            namespace: None,
            kernel: Features::parse(kernel),
        }
    }

    #[rstest]
    #[case::capability(Access::Capability("ipc_lock".into()), true)]
    #[case::network_of_any_version(Access::Network("packet raw".into()), true)]
    #[case::absent_class(Access::Rule("dbus send,".into()), false)]
    #[case::file_by_rule(Access::Rule("/etc/shadow r,".into()), true)]
    #[case::qualified(Access::Rule("audit deny unix,".into()), false)]
    fn classes_are_looked_up(#[case] access: Access, #[case] wanted: bool) {
        let policy = policy(
            "caps {mask {ipc_lock\n}\n}\nnetwork_v8 {af_mask {inet\n}\n}\nfile {mask {r\n}\n}\n",
            &[14],
        );
        assert_eq!(mediated(&access, &policy, Some("p")), wanted);
    }

    /// AppArmor 2.13 on Linux 5.10: the kernel could, and the parser wrote nothing of it.
    #[rstest]
    #[case::said(&[14], "p", true)]
    #[case::of_the_later_version(&[15], "p", true)]
    #[case::nothing_said(&[7, 9, 10], "p", false)]
    #[case::of_a_profile_of_somebody_elses(&[], "other", true)]
    fn a_class_of_which_the_profile_says_nothing_is_not_mediated(
        #[case] classes: &[Class],
        #[case] profile: &str,
        #[case] wanted: bool,
    ) {
        let policy = policy("network_v8 {af_mask {inet\n}\n}\n", classes);
        let access = Access::Network("packet raw".into());
        assert_eq!(mediated(&access, &policy, Some(profile)), wanted);
        // Capabilities are not in the automaton.
        let caps = self::policy("caps {mask {ipc_lock\n}\n}\n", classes);
        assert!(mediated(
            &Access::Capability("ipc_lock".into()),
            &caps,
            Some(profile)
        ));
    }
}
