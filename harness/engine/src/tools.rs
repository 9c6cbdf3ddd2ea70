//! The tools of this machine that the program calls, and the Debian packages that contain them.

use std::path::PathBuf;

/// A tool that is called by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// The program's file name.
    pub program: &'static str,
    /// The Debian package that contains it.
    pub package: &'static str,
    /// What it is needed for, in a few words.
    pub purpose: &'static str,
}

/// Makes the root file system of an image.
pub const MMDEBSTRAP: Tool = Tool {
    program: "mmdebstrap",
    package: "mmdebstrap",
    purpose: "makes an image's root file system",
};
/// Copies an existing root file system.
pub const TAR: Tool = Tool {
    program: "tar",
    package: "tar",
    purpose: "copies a root file system that a recipe names (from: {tar: …}, from: {dir: …})",
};
/// Joins two tools by a pipe.
pub const BASH: Tool = Tool {
    program: "bash",
    package: "bash",
    purpose: "copies a root file system that a recipe names as a folder (from: {dir: …})",
};
/// Makes the root disk of an image.
pub const MKE2FS: Tool = Tool {
    program: "mke2fs",
    package: "e2fsprogs",
    purpose: "makes an image's root disk",
};
/// Gives a build its own mounts and process ids, and, when not root, its own user ids.
pub const UNSHARE: Tool = Tool {
    program: "unshare",
    package: "util-linux",
    purpose: "fences an image's build in",
};
/// Gives a user the user ids that a root file system needs.
pub const NEWUIDMAP: Tool = Tool {
    program: "newuidmap",
    package: "uidmap",
    purpose: "lets a user who is not root build an image",
};
/// The machine emulator.
pub const QEMU: Tool = Tool {
    program: "qemu-system-x86_64",
    package: "qemu-system-x86",
    purpose: "runs the virtual machine",
};

/// Reads a revision of a source tree.
pub const GIT: Tool = Tool {
    program: "git",
    package: "git",
    purpose: "reads a revision of a libvirt source tree (--profiles libvirt-source:DIR@REVISION)",
};

/// The tools that everybody needs, in the order in which they are used.
pub const ALL: &[Tool] = &[UNSHARE, NEWUIDMAP, MMDEBSTRAP, MKE2FS, QEMU];

/// Tools that are not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("missing {}; install with: {}", names(.0), install_command(.0))]
pub struct MissingTools(
    /// The tools that were not found; never empty.
    pub Vec<Tool>,
);

/// Where a tool is, in `PATH` or where Debian puts the administrator's tools.
pub fn find(tool: Tool) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH on Debian lacks the sbin folders, where mke2fs is.
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    dirs.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let dirs = std::env::join_paths(dirs).ok()?;
    which::which_in_global(tool.program, Some(dirs)).ok()?.next()
}

/// Reports all missing tools at once.
pub fn require(tools: &[Tool]) -> Result<(), MissingTools> {
    let missing: Vec<Tool> = tools
        .iter()
        .copied()
        .filter(|tool| find(*tool).is_none())
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(MissingTools(missing))
    }
}

/// The Debian packages of tools, sorted.
pub fn packages(tools: &[Tool]) -> Vec<&'static str> {
    let mut packages: Vec<&str> = tools.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// The command that installs the tools' packages.
pub fn install_command(tools: &[Tool]) -> String {
    let packages = packages(tools);
    let sudo = if nix::unistd::geteuid().is_root() {
        ""
    } else {
        "sudo "
    };
    format!(
        "{sudo}apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

fn names(tools: &[Tool]) -> String {
    tools
        .iter()
        .map(|tool| tool.program)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_THERE: Tool = Tool {
        program: "no-such-tool-here",
        package: "nowhere",
        purpose: "testing",
    };
    const SHELL: Tool = Tool {
        program: "sh",
        package: "dash",
        purpose: "testing",
    };

    #[test]
    fn only_what_is_missing_is_named_with_its_command() {
        assert_eq!(require(&[SHELL]), Ok(()));
        let missing = require(&[SHELL, NOT_THERE]).unwrap_err();
        assert_eq!(missing.0, [NOT_THERE]);
        let text = missing.to_string();
        assert!(
            text.starts_with("missing no-such-tool-here; install with: "),
            "{text}"
        );
        assert!(
            text.ends_with("apt-get install --no-install-recommends nowhere"),
            "{text}"
        );
    }

    #[test]
    fn a_package_is_named_once() {
        let command = install_command(&[QEMU, QEMU, MKE2FS]);
        assert!(command.ends_with(" e2fsprogs qemu-system-x86"), "{command}");
    }
}
