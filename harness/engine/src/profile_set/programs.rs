//! The programs of an image, as far as profile sets need them: which folders libvirt was built for, and which
//! profiles attach to nothing there.

use std::collections::BTreeSet;

use aa_policy::Pattern;

/// Lists the programs in the machine, one per line. It skips a folder that is a link: the kernel sees its target.
pub const SCRIPT: &str = "\
for dir in /usr/sbin /usr/bin /usr/libexec /usr/libexec/libvirt /usr/lib/libvirt /usr/lib64/libvirt; do
    if [ -d \"$dir\" ] && [ ! -L \"$dir\" ]; then
        for file in \"$dir\"/*; do
            if [ -f \"$file\" ] && [ -x \"$file\" ]; then printf '%s\\n' \"$file\"; fi
        done
    fi
done
";

/// Absolute paths of programs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Programs(BTreeSet<String>);

impl Programs {
    /// Parses the output of [`SCRIPT`].
    pub fn parse(text: &str) -> Programs {
        Programs(text.lines().map(str::to_owned).collect())
    }

    /// The folder of the first of these programs that exists.
    pub fn dir_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| {
            let mut dirs = self.0.iter().filter_map(|path| path.rsplit_once('/'));
            dirs.find_map(|(dir, file)| (file == *name).then_some(dir))
        })
    }

    /// Whether a program is known to be missing: its folder was listed without it.
    pub fn lacks(&self, path: &str) -> bool {
        let Some((dir, _)) = path.rsplit_once('/') else {
            return false;
        };
        let listed = |other: &String| other.rsplit_once('/').is_some_and(|(other, _)| other == dir);
        !self.0.contains(path) && self.0.iter().any(listed)
    }

    /// Whether a profile with this attachment would attach to one of the programs.
    pub fn any_matches(&self, attachment: &Pattern) -> bool {
        self.0.iter().any(|path| attachment.matches(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs() -> Programs {
        Programs::parse("/usr/bin/virsh\n/usr/lib/libvirt/virt-aa-helper\n/usr/sbin/libvirtd\n")
    }

    #[test]
    fn a_folder_is_where_the_program_is() {
        assert_eq!(programs().dir_of(&["virt-aa-helper"]), Some("/usr/lib/libvirt"));
        assert_eq!(programs().dir_of(&["virtqemud", "libvirtd"]), Some("/usr/sbin"));
        assert_eq!(programs().dir_of(&["bvirtd"]), None);
    }

    #[test]
    fn only_a_folder_that_was_listed_lacks_a_program() {
        assert!(programs().lacks("/usr/sbin/virtqemud"));
        assert!(!programs().lacks("/usr/sbin/libvirtd"));
        assert!(!programs().lacks("/opt/sbin/virtqemud"));
        assert!(!programs().lacks("virtqemud"));
    }

    #[test]
    fn an_attachment_is_of_a_program_that_is_there_or_not() {
        assert!(programs().any_matches(&Pattern::literal("/usr/sbin/libvirtd")));
        assert!(!programs().any_matches(&Pattern::literal("/usr/sbin/virtqemud")));
    }
}
