//! Runs the tools that make the root file system and the root disk. They run in mount and process namespaces, so that
//! nothing they mount or start outlives them, and without root also in a user namespace.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use duct::Expression;
use nix::unistd::{User, geteuid};

use super::error::ImageError;
use super::progress::Progress;
use super::recipe::Recipe;
use super::tree::Given;
use super::unpack;
use crate::children;
use crate::tools::{self, MKE2FS, MMDEBSTRAP, NEWUIDMAP, Tool, UNSHARE};

const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(30 * 60);
const DISK_LIMIT: Duration = Duration::from_secs(5 * 60);
const REMOVE_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How many lines of a failed tool's output an error shows.
const LAST_LINES: usize = 15;

/// Checks what the tools need before a build begins, for an image from a given tree or from a suite.
pub fn check_tools(given: Option<&Given>) -> Result<(), ImageError> {
    let mut needed = vec![UNSHARE];
    needed.extend(given.map_or_else(|| vec![MMDEBSTRAP], unpack::tools));
    needed.push(MKE2FS);
    if !geteuid().is_root() {
        needed.push(NEWUIDMAP);
    }
    tools::require(&needed)?;
    check_subordinate_ids()
}

/// Makes the root file system in `root`.
pub fn root_filesystem(
    recipe: &Recipe,
    suite: &str,
    root: &Path,
    log: &Path,
    allow_expired_index: bool,
    progress: &mut dyn Progress,
) -> Result<(), ImageError> {
    let arguments = mmdebstrap_arguments(recipe, suite, root, allow_expired_index);
    // The image boots with an initramfs of its own, so Debian's is not needed.
    let expression = fenced(MMDEBSTRAP, &arguments)
        .env("INITRD", "No")
        .env_remove("TMPDIR");
    let mut expired = false;
    let result = logged(MMDEBSTRAP, expression, BOOTSTRAP_LIMIT, log, &mut |line| {
        expired |= says_expired(line);
        if let Some(message) = line.strip_prefix("I: ") {
            progress.note(message);
        }
    });
    if expired && result.is_err() {
        return Err(ImageError::ExpiredIndex {
            suite: suite.to_owned(),
        });
    }
    result
}

/// Makes the root disk from the root file system.
pub fn root_disk(recipe: &Recipe, root: &Path, disk: &Path, log: &Path) -> Result<(), ImageError> {
    let mut too_small = false;
    let expression = fenced(MKE2FS, &mke2fs_arguments(recipe, root, disk));
    let result = logged(MKE2FS, expression, DISK_LIMIT, log, &mut |line| {
        too_small |= line.contains("Could not allocate");
    });
    if too_small && result.is_err() {
        return Err(ImageError::DiskTooSmall {
            size_mib: recipe.filesystem.size_mib,
        });
    }
    result
}

/// Removes a folder or a file, even if files in it belong to the user's subordinate ids.
pub fn remove_tree(dir: &Path) -> Result<(), ImageError> {
    match fs::remove_dir_all(dir) {
        Ok(()) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        // The log of a failed build is not a folder.
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => {
            return fs::remove_file(dir).map_err(ImageError::file("remove", dir));
        }
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied && !geteuid().is_root() => {}
        Err(e) => return Err(ImageError::file("remove", dir)(e)),
    }
    let remove = Tool {
        program: "rm",
        package: "coreutils",
        purpose: "removes what a build has left",
    };
    let arguments = ["-rf", "--one-file-system", "--"].map(str::to_owned);
    let expression = fenced(
        remove,
        &[arguments.as_slice(), &[dir.display().to_string()]].concat(),
    );
    let mut said = String::new();
    let status = children::run("rm", expression, REMOVE_LIMIT, &mut |line| {
        line.clone_into(&mut said)
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(ImageError::file("remove", dir)(std::io::Error::other(said)))
    }
}

fn mmdebstrap_arguments(recipe: &Recipe, suite: &str, root: &Path, allow_expired_index: bool) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        "--aptopt=Apt::Install-Recommends \"false\"",
    ]
    .map(str::to_owned)
    .into();
    if allow_expired_index {
        arguments.push("--aptopt=Acquire::Check-Valid-Until \"false\"".into());
    }
    arguments.extend(
        recipe
            .exclude
            .iter()
            .map(|path| format!("--dpkgopt=path-exclude={path}")),
    );
    arguments.push(format!("--include={}", recipe.packages.join(",")));
    arguments.push(suite.to_owned());
    arguments.push(root.display().to_string());
    arguments
}

fn mke2fs_arguments(recipe: &Recipe, root: &Path, disk: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["-q", "-t", "ext4", "-L", "root", "-E", "lazy_itable_init=1"]
        .map(str::to_owned)
        .into();
    let features = &recipe.filesystem.features;
    if !features.is_empty() {
        arguments.extend(["-O".to_owned(), features.join(",")]);
    }
    arguments.extend([
        "-d".to_owned(),
        root.display().to_string(),
        disk.display().to_string(),
    ]);
    arguments.push(format!("{}M", recipe.filesystem.size_mib));
    arguments
}

pub(super) fn fenced(tool: Tool, arguments: &[String]) -> Expression {
    let mut all: Vec<String> = Vec::new();
    if !geteuid().is_root() {
        all.extend(["--user", "--map-root-user", "--map-auto"].map(str::to_owned));
    }
    all.extend(["--mount", "--pid", "--fork", "--kill-child", "--"].map(str::to_owned));
    all.push(path_of(tool));
    all.extend_from_slice(arguments);
    duct::cmd(path_of(UNSHARE), all).env("LC_ALL", "C.UTF-8")
}

/// Whether apt reports an index past its valid-until date.
fn says_expired(line: &str) -> bool {
    line.contains("Release file for") && line.contains("is expired")
}

/// Whether a tool reports that the build's disk is full.
pub fn says_full(line: &str) -> bool {
    line.contains("No space left on device") || line.contains("You don't have enough free space")
}

/// Whether apt reports an unreachable mirror.
pub fn says_unreachable(line: &str) -> bool {
    line.contains("Temporary failure resolving")
        || line.contains("Could not resolve")
        || line.contains("Could not connect to")
        || line.contains("Unable to connect to")
}

fn path_of(tool: Tool) -> String {
    tools::find(tool).map_or_else(|| tool.program.to_owned(), |path| path.display().to_string())
}

/// Runs a tool and appends its output to the log. On failure the error contains the last lines.
pub(super) fn logged(
    tool: Tool,
    expression: Expression,
    limit: Duration,
    log: &Path,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), ImageError> {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(ImageError::file("open", log))?;
    let mut last_lines: Vec<String> = Vec::new();
    let mut unwritten = None;
    let status = children::run(tool.program, expression, limit, &mut |line| {
        if let Err(error) = writeln!(file, "{line}") {
            unwritten = Some(error);
        }
        if last_lines.len() == LAST_LINES {
            last_lines.remove(0);
        }
        last_lines.push(line.to_owned());
        on_line(line);
    })?;
    if status.success() {
        return match unwritten {
            Some(error) => Err(ImageError::file("write", log)(error)),
            None => Ok(()),
        };
    }
    Err(ImageError::Tool {
        tool: tool.program,
        status,
        log: log.to_owned(),
        last_lines,
    })
}

fn check_subordinate_ids() -> Result<(), ImageError> {
    let uid = geteuid();
    if uid.is_root() {
        return Ok(());
    }
    // Without a passwd entry, the files may contain the number itself.
    let user = User::from_uid(uid)
        .ok()
        .flatten()
        .map_or_else(|| uid.to_string(), |user| user.name);
    for file in ["/etc/subuid", "/etc/subgid"] {
        let text = fs::read_to_string(file).unwrap_or_default();
        if !has_range(&text, &[&user, &uid.to_string()]) {
            return Err(ImageError::NoSubordinateIds { user, file });
        }
    }
    Ok(())
}

fn has_range(text: &str, owners: &[&str]) -> bool {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(owner, _)| owners.contains(&owner))
}

/// The path of the log, in an unfinished or finished image's folder.
pub fn log_path(dir: &Path) -> PathBuf {
    dir.join("build.log")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::recipe::{Filesystem, Source};
    use rstest::rstest;

    fn recipe() -> Recipe {
        Recipe {
            source: Source::Suite("trixie".into()),
            packages: vec!["one".into(), "two".into()],
            exclude: vec!["/usr/share/doc/*".into()],
            kernel: "vmlinuz-*".into(),
            hypervisor: None,
            modules: vec![],
            filesystem: Filesystem {
                size_mib: 900,
                features: vec!["^has_journal".into()],
            },
            untested: false,
        }
    }

    #[test]
    fn the_recipe_becomes_arguments() {
        let line = mmdebstrap_arguments(&recipe(), "trixie", Path::new("/r"), false).join(" ");
        assert!(
            line.ends_with("--dpkgopt=path-exclude=/usr/share/doc/* --include=one,two trixie /r"),
            "{line}"
        );
        assert!(!line.contains("Valid-Until"));
        assert!(
            mmdebstrap_arguments(&recipe(), "trixie", Path::new("/r"), true)
                .join(" ")
                .contains("Valid-Until")
        );
        let line = mke2fs_arguments(&recipe(), Path::new("/r"), Path::new("/d")).join(" ");
        assert!(line.ends_with("-O ^has_journal -d /r /d 900M"), "{line}");
    }

    #[rstest]
    #[case(
        "E: Release file for http://m/sid/InRelease is expired (invalid since 2d 3h).",
        "expired"
    )]
    #[case("E: Release file for http://m/sid/InRelease is not valid yet", "")]
    #[case("tar: ./usr/bin/x: Cannot write: No space left on device", "full")]
    #[case("E: You don't have enough free space in /x/var/cache/apt/archives/.", "full")]
    #[case("  Temporary failure resolving 'm'", "unreachable")]
    #[case(
        "  Could not connect to m:80 (192.0.2.1), connection timed out",
        "unreachable"
    )]
    #[case("Setting up full (1.0)", "")]
    fn what_the_tools_say_is_understood(#[case] line: &str, #[case] meaning: &str) {
        let said = [
            (says_expired(line), "expired"),
            (says_full(line), "full"),
            (says_unreachable(line), "unreachable"),
        ];
        let meanings: Vec<&str> = said
            .into_iter()
            .filter_map(|(said, word)| said.then_some(word))
            .collect();
        assert_eq!(meanings.join(" "), meaning);
    }

    #[test]
    fn a_range_belongs_to_the_user_by_name_or_number() {
        let text = "other:100000:65536\n1000:165536:65536\n";
        assert!(has_range(text, &["someone", "1000"]));
        assert!(!has_range(text, &["someone", "1001"]));
    }

    #[test]
    fn a_failed_tool_shows_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let log = log_path(dir.path());
        let tool = Tool {
            program: "sh",
            package: "dash",
            purpose: "testing",
        };
        let command = duct::cmd!("sh", "-c", "for i in $(seq 30); do echo line $i; done; exit 7");
        let result = logged(tool, command, Duration::from_secs(20), &log, &mut |_| {});
        let Err(ImageError::Tool {
            status, last_lines, ..
        }) = result
        else {
            panic!("{result:?}")
        };
        assert_eq!(status.code(), Some(7));
        assert_eq!(
            (last_lines.len(), last_lines.last().map(String::as_str)),
            (LAST_LINES, Some("line 30"))
        );
        assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 30);
    }
}
