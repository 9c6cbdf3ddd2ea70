//! Checks whether the kernel and the compiled profile mediate the class of an access. If they do not, a pass proves
//! nothing.

use aa_policy::{Access, Class};

use super::policy::Policy;

/// Entries of the features directory, any of which shows that the class is mediated; `None` if the class of a rule is
/// unknown.
fn entries(access: &Access) -> Option<Vec<&'static str>> {
    Some(match access {
        Access::Exec(_) | Access::File { .. } => vec!["file"],
        Access::Capability(_) => of_rule("capability")?.to_vec(),
        Access::Network(_) => of_rule("network")?.to_vec(),
        Access::Signal { .. } => vec!["signal"],
        Access::Ptrace { .. } => vec!["ptrace"],
        Access::ChangeProfile(_) => vec!["domain/change_profile"],
        Access::Rule(rule) => of_rule(rule)?.to_vec(),
        // If any of them is mediated, the kernel denies the access without it.
        Access::Rules(rules) => {
            let all: Option<Vec<_>> = rules.iter().map(|rule| of_rule(rule)).collect();
            all?.concat()
        }
    })
}

/// Whether the program knows which features of a kernel show that it mediates the class of this access.
pub fn is_known(access: &Access) -> bool {
    entries(access).is_some()
}

/// Qualifiers that may stand before a rule.
const QUALIFIERS: [&str; 6] = ["audit", "quiet", "deny", "allow", "prompt", "owner"];

fn of_rule(rule: &str) -> Option<&'static [&'static str]> {
    let (word, rest) = first_word(rule);
    if is_path(word) {
        return Some(&["file"]);
    }
    Some(match word {
        "file" | "link" | "all" => &["file"],
        "set" | "rlimit" => &["rlimit"],
        "capability" => &["caps", "capability"],
        "network" => &["network", "network_v8", "network_v9"],
        "signal" => &["signal"],
        "ptrace" => &["ptrace"],
        "change_profile" => &["domain/change_profile"],
        "mount" | "umount" | "remount" | "pivot_root" => &["mount"],
        "unix" => &["network/af_unix", "network_v9/af_unix"],
        "dbus" => &["dbus"],
        "userns" => &["namespaces/mask/userns_create"],
        "io_uring" => &["io_uring"],
        "mqueue" => &["ipc/posix_mqueue"],
        // `rw /x,` and `px /x -> y,`: the permissions come before the path.
        _ if are_permissions(word) && is_path(rest) => &["file"],
        _ => return None,
    })
}

fn are_permissions(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|letter| "rwaklmxpPcCuUiI".contains(letter))
}

fn is_path(word: &str) -> bool {
    word.starts_with(['/', '@', '"'])
}

/// The first word of a rule after `priority=…` and the qualifiers, and what follows it. The comma that ends the rule is
/// left out.
fn first_word(rule: &str) -> (&str, &str) {
    let mut rest = rule.trim_start();
    loop {
        let end = rest
            .find(|c: char| c.is_whitespace() || c == '=' || c == ',' || c == '(')
            .unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let behind = behind.trim_start();
        if word == "priority" && behind.starts_with('=') {
            let number = behind[1..].trim_start();
            let end = number.find(char::is_whitespace).unwrap_or(number.len());
            rest = number[end..].trim_start();
        } else if QUALIFIERS.contains(&word) {
            rest = behind;
        } else {
            return (word, behind);
        }
    }
}

/// The classes of which a profile's automaton must cover at least one for a kernel feature to be in use. Empty if the
/// feature is about another part of the profile.
fn classes(feature: &str) -> &'static [Class] {
    match feature.split('/').next().unwrap_or_default() {
        "mount" => &[7],
        "ptrace" => &[9],
        "signal" => &[10],
        // If the parser has rules of the ninth version, the profile has one of the two.
        "network_v8" | "network_v9" => &[14, 15],
        "dbus" => &[32],
        _ => &[],
    }
}

/// Whether the kernel has a feature, and the profile was compiled by a parser and for an ABI that use it.
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
    // `check` rejects an access of unknown class. If one gets here anyway, it must not be excused.
    entries(access).is_none_or(|entries| entries.iter().any(|entry| in_use(entry, policy, profile)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rstest::rstest;

    use super::*;
    use crate::verdict::features::Features;
    use crate::verdict::policy::Declared;

    /// One profile, `p`, that covers these classes.
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
            files_run: Vec::new(),
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

    const DEBIAN_13: &str = include_str!("../../tests/features/debian-13");
    const DEBIAN_12: &str = include_str!("../../tests/features/debian-12");

    /// The AppArmor features of Linux 6.12 and 6.1 as Debian builds them.
    #[rstest]
    #[case::file("/etc/shadow r,", true, true)]
    #[case::permissions_first("rw /etc/shadow,", true, true)]
    #[case::named_exec("priority=1 px /usr/bin/x -> y,", true, true)]
    #[case::variable("@{HOME}/x r,", true, true)]
    #[case::quoted("\"/a b\" r,", true, true)]
    #[case::bare_file("file,", true, true)]
    #[case::link("link subset /a -> /b,", true, true)]
    #[case::all("all,", true, true)]
    #[case::rlimit("set rlimit nofile <= 1024,", true, true)]
    #[case::capability("capability,", true, true)]
    #[case::network("network packet raw,", true, true)]
    #[case::signal("signal (send) peer=x,", true, true)]
    #[case::bare_signal("signal(send),", true, true)]
    #[case::ptrace("ptrace read,", true, true)]
    #[case::change_profile("change_profile -> x,", true, true)]
    #[case::mount("mount fstype=ext4 /a -> /b,", true, true)]
    #[case::umount("umount,", true, true)]
    #[case::pivot_root("pivot_root /x,", true, true)]
    #[case::userns("userns create,", true, false)]
    #[case::bare_userns("userns,", true, false)]
    #[case::io_uring("io_uring sqpoll,", true, false)]
    #[case::unix("unix,", false, false)]
    #[case::dbus("dbus send,", false, false)]
    #[case::mqueue("mqueue,", false, false)]
    #[case::priority("priority=10 userns,", true, false)]
    #[case::priority_apart("priority = -5 audit allow userns,", true, false)]
    #[case::audit_deny("audit deny dbus,", false, false)]
    #[case::owner("owner /x r,", true, true)]
    #[case::owner_permissions_first("owner r /x,", true, true)]
    fn every_class_is_found_in_the_features_of_a_kernel(
        #[case] rule: &str,
        #[case] debian_13: bool,
        #[case] debian_12: bool,
    ) {
        let access = Access::Rule(rule.into());
        assert!(is_known(&access));
        let classes: Vec<Class> = (0..=u8::MAX).collect();
        assert_eq!(
            mediated(&access, &policy(DEBIAN_13, &classes), Some("p")),
            debian_13
        );
        assert_eq!(
            mediated(&access, &policy(DEBIAN_12, &classes), Some("p")),
            debian_12
        );
    }

    #[rstest]
    #[case("audit teleport home,")]
    // These words are not permissions before a path.
    #[case("teleport /x,")]
    #[case("rw x,")]
    #[case(",")]
    fn a_class_that_nobody_knows_excuses_nothing(#[case] rule: &str) {
        let access = Access::Rule(rule.into());
        assert!(!is_known(&access));
        assert!(mediated(&access, &policy(DEBIAN_13, &[]), Some("p")));
    }

    #[test]
    fn of_several_rules_any_class_counts() {
        let rules = |rules: [&str; 2]| Access::Rules(rules.map(String::from).into());
        let policy = policy(DEBIAN_13, &[]);
        assert!(mediated(&rules(["dbus,", "/x r,"]), &policy, Some("p")));
        assert!(!mediated(&rules(["dbus,", "unix,"]), &policy, Some("p")));
        assert!(!is_known(&rules(["/x r,", "teleport,"])));
    }

    /// AppArmor 2.13 on Linux 5.10: the kernel could mediate the class, but the parser wrote nothing about it.
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

    #[rstest]
    #[case::mount("mount,", 7)]
    #[case::ptrace("ptrace,", 9)]
    #[case::signal("signal,", 10)]
    #[case::dbus("dbus,", 32)]
    fn each_class_is_looked_for_where_the_parser_writes_it(#[case] rule: &str, #[case] class: Class) {
        const KERNEL: &str = "mount {mask {mount\n}\n}\nptrace {mask {read\n}\n}\nsignal {mask {hup\n}\n}\ndbus {mask {send\n}\n}\n";
        let access = Access::Rule(rule.into());
        assert!(mediated(&access, &policy(KERNEL, &[class]), Some("p")));
        let others: Vec<Class> = (0..=u8::MAX).filter(|other| *other != class).collect();
        assert!(!mediated(&access, &policy(KERNEL, &others), Some("p")));
    }

    #[rstest]
    #[case::a_number("priority = -5 deny /x r", ("/x", "r"))]
    #[case::nothing_of_the_kind("priority", ("priority", ""))]
    #[case::another_key("rlimit=3 x", ("rlimit", "=3 x"))]
    fn only_a_priority_and_qualifiers_stand_before_the_first_word(
        #[case] rule: &str,
        #[case] wanted: (&str, &str),
    ) {
        assert_eq!(first_word(rule), wanted);
    }
}
