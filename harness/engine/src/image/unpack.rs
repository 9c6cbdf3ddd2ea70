//! Makes a given root file system the image's. `tar` copies it from the tar file or the folder, in the namespaces of
//! every build. Nothing in it is run, and nothing is written outside the image's folder: `tar` strips the slash of
//! absolute names, refuses names with `..`, and makes links that lead elsewhere only after everything else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::bootstrap::{fenced, logged};
use super::error::ImageError;
use super::recipe::Recipe;
use super::tree::Given;
use crate::tools::{BASH, TAR, Tool};

const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Folders that the machine fills at each boot. A user lacks the right to make the device nodes in them.
const MADE_AT_BOOT: &[&str] = &["/dev/*", "/proc/*", "/sys/*", "/run/*", "/tmp/*"];

/// The folders on which the machine mounts something.
const MOUNT_POINTS: &[&str] = &["dev", "proc", "sys", "run", "tmp"];

/// A folder's files also go through a pipe, so that excluding and writing work as for a tar file.
const COPY: &str = r#"set -o pipefail; from=$1 to=$2; shift 2; tar --directory="$from" --create "${@}" --file=- . | tar --directory="$to" --extract --file=- $OPTIONS"#;

/// Options for both.
const OPTIONS: &[&str] = &[
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=security.capability",
];
const EXTRACT: &[&str] = &["--same-owner", "--same-permissions", "--delay-directory-restore"];

/// The tools that unpacking needs.
pub fn tools(given: &Given) -> Vec<Tool> {
    match given {
        Given::Tar(_) => vec![TAR],
        Given::Dir(_) => vec![TAR, BASH],
    }
}

/// Copies the given tree to `root`.
pub fn unpack(recipe: &Recipe, given: &Given, root: &Path, log: &Path) -> Result<(), ImageError> {
    fs::create_dir_all(root).map_err(ImageError::file("create", root))?;
    let (tool, arguments) = command(recipe, given, root);
    let expression = fenced(tool, &arguments).env("OPTIONS", [OPTIONS, EXTRACT].concat().join(" "));
    logged(tool, expression, LIMIT, log, &mut |_| {})?;
    for point in MOUNT_POINTS {
        let path = root.join(point);
        // If the tree has a link in its place, the link stays.
        if fs::symlink_metadata(&path).is_err() {
            fs::create_dir(&path).map_err(ImageError::file("create", &path))?;
        }
    }
    Ok(())
}

fn command(recipe: &Recipe, given: &Given, root: &Path) -> (Tool, Vec<String>) {
    let left_out = left_out(recipe);
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match given {
        Given::Tar(tar) => {
            let mut all = vec![
                format!("--directory={}", root.display()),
                "--extract".into(),
                format!("--file={}", tar.display()),
                // A colon in the name does not begin with a host's name.
                "--force-local".into(),
            ];
            all.extend(words(OPTIONS));
            all.extend(words(EXTRACT));
            all.extend(left_out);
            (TAR, all)
        }
        Given::Dir(dir) => {
            let mut all = words(&["-c", COPY, "copy"]);
            all.push(dir.display().to_string());
            all.push(root.display().to_string());
            all.push("--one-file-system".into());
            all.extend(words(OPTIONS));
            all.extend(left_out);
            (BASH, all)
        }
    }
}

/// Names in a tar file begin with `./`, with a slash, or with neither.
fn left_out(recipe: &Recipe) -> Vec<String> {
    let mut arguments: Vec<String> = ["--anchored", "--wildcards", "--wildcards-match-slash"]
        .map(str::to_owned)
        .into();
    let patterns = MADE_AT_BOOT.iter().copied();
    for pattern in patterns.chain(recipe.exclude.iter().map(String::as_str)) {
        let bare = pattern.trim_start_matches('/');
        arguments.extend(["", "/", "./"].map(|before| format!("--exclude={before}{bare}")));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process::Command;

    use nix::unistd::geteuid;
    use rstest::rstest;

    use super::*;
    use crate::image::recipe::{Filesystem, Source};

    fn recipe(given: &Given) -> Recipe {
        Recipe {
            source: Source::From(given.clone()),
            packages: vec![],
            exclude: vec!["/usr/share/doc/*".into()],
            kernel: "vmlinuz-*".into(),
            hypervisor: None,
            modules: vec![],
            filesystem: Filesystem {
                size_mib: 900,
                features: vec![],
            },
            untested: false,
        }
    }

    fn unpacked(given: &Given, root: &Path) -> Result<(), ImageError> {
        unpack(&recipe(given), given, root, &root.with_extension("log"))
    }

    fn tar(arguments: &[&str]) {
        let output = Command::new("tar").args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Whether a user's build can run. It needs subordinate ids, which not every machine has.
    fn can_be_fenced() -> bool {
        geteuid().is_root()
    }

    #[rstest]
    #[case::tar(true)]
    #[case::folder(false)]
    fn a_tree_is_copied_but_for_what_is_left_out(#[case] packed: bool) {
        if !can_be_fenced() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (from, root) = (dir.path().join("from tree"), dir.path().join("root"));
        for file in ["etc/passwd", "usr/share/doc/x/y", "dev/null", "usr/lib/kept"] {
            let path = from.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let given = if packed {
            let file = dir.path().join("tree:1.tar.gz");
            let (name, folder) = (file.display().to_string(), from.display().to_string());
            tar(&["--force-local", "-czf", &name, "-C", &folder, "."]);
            Given::Tar(file)
        } else {
            Given::Dir(from)
        };
        unpacked(&given, &root).unwrap();
        let there = |path: &str| root.join(path).exists();
        assert!(there("etc/passwd") && there("usr/lib/kept") && there("usr/share/doc") && there("proc"));
        assert!(!there("usr/share/doc/x") && !there("dev/null"));
    }

    /// What a hostile tar file could try: names outside the folder, and writing through a link.
    #[rstest]
    #[case::absolute(&["-P"], false)]
    #[case::upwards(&["-P", "--transform=s,.*evil,../evil,"], false)]
    #[case::through_a_link(&["--transform=s,.*evil,link/evil,"], true)]
    fn nothing_is_written_outside(#[case] how: &[&str], #[case] with_link: bool) {
        if !can_be_fenced() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (outside, root) = (dir.path().join("outside"), dir.path().join("root"));
        fs::create_dir(&outside).unwrap();
        let evil = dir.path().join("evil");
        fs::write(&evil, "evil").unwrap();
        let file = dir.path().join("hostile.tar").display().to_string();
        let evil_name = evil.display().to_string();
        let mut first = vec!["-cf", &file];
        let place = dir.path().display().to_string();
        if with_link {
            symlink(&outside, dir.path().join("link")).unwrap();
            first.extend(["-C", &place, "link"]);
        } else {
            first.extend(["-T", "/dev/null"]);
        }
        tar(&first);
        tar(&[how, &["-rf", &file, &evil_name]].concat());
        fs::remove_file(&evil).unwrap();
        // Refused, or written inside: both are fine.
        let _ = unpacked(&Given::Tar(file.into()), &root);
        assert!(!evil.exists() && !dir.path().join("evil").exists());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    }

    #[test]
    fn patterns_hold_for_every_form_of_a_name() {
        let line = left_out(&recipe(&Given::Tar("t".into()))).join(" ");
        for form in ["usr/share/doc/*", "/usr/share/doc/*", "./usr/share/doc/*"] {
            assert!(line.contains(&format!("--exclude={form}")), "{line}");
        }
    }
}
