//! Is the class of an access mediated at all? Where it is not, a pass would say nothing.

use aa_policy::Access;

use super::features::Features;

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

/// Whether the kernel mediates the class of this access.
pub fn mediated(access: &Access, kernel: &Features) -> bool {
    entries(access).iter().any(|entry| kernel.has(entry))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::capability(Access::Capability("ipc_lock".into()), true)]
    #[case::network_of_any_version(Access::Network("packet raw".into()), true)]
    #[case::absent_class(Access::Rule("dbus send,".into()), false)]
    #[case::file_by_rule(Access::Rule("/etc/shadow r,".into()), true)]
    #[case::qualified(Access::Rule("audit deny unix,".into()), false)]
    fn classes_are_looked_up(#[case] access: Access, #[case] wanted: bool) {
        let kernel = Features::parse(
            "caps {mask {ipc_lock\n}\n}\nnetwork_v8 {af_mask {inet\n}\n}\nfile {mask {r\n}\n}\n",
        );
        assert_eq!(mediated(&access, &kernel), wanted);
    }
}
