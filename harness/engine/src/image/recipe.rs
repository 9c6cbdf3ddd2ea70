//! Recipes: what an image is made of, as data in `vm-images/NAME.yaml`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use virt_aa_model::yaml::error::DataError;

use super::tree::Given;
use super::written;

/// The image that is used if none is named.
pub const DEFAULT: &str = "debian-13";

/// Increases when the same recipe makes a different image, so that images of an older program are not used.
const FORMAT: u32 = 3;

/// How many hexadecimal digits of the hash are in a build's name: enough for a folder of images.
pub(super) const KEY_DIGITS: usize = 16;

/// What an image is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recipe {
    /// What the root file system comes from.
    #[serde(flatten)]
    pub source: Source,
    /// The packages to install, with their dependencies but without recommended packages; empty for a given tree.
    pub packages: Vec<String>,
    /// Paths that are not unpacked, as patterns of dpkg's `path-exclude`.
    pub exclude: Vec<String>,
    /// The kernel's file in `/boot`, as a pattern with `*`. If several match, the newest is used.
    pub kernel: String,
    /// The hypervisor's file in `/boot`, likewise. The kernel then boots as its dom0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    /// The modules that the initramfs loads, by name. Their dependencies are added automatically.
    pub modules: Vec<String>,
    /// The root file system.
    pub filesystem: Filesystem,
    /// Whether nobody has run the cases on the image yet. It does not affect the build.
    #[serde(skip)]
    pub untested: bool,
}

/// What a root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The suite of a distribution, as its mirrors name it.
    Suite(String),
    /// An existing root file system.
    From(Given),
}

/// The root file system of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Its size in MiB; the file is sparse.
    pub size_mib: u64,
    /// Features of ext4 to set, or to clear if they begin with `^`.
    #[serde(default)]
    pub features: Vec<String>,
}

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// There is no recipe of that name.
    #[error("unknown image `{name}`{}", .help.as_deref().map(|help| format!(" ({help})")).unwrap_or_default())]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// A similar name, or the existing names.
        help: Option<String>,
    },
    /// The folder cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The path.
        path: PathBuf,
        /// The system error.
        source: io::Error,
    },
    /// A recipe's file is wrong.
    #[error(transparent)]
    Data(Box<DataError>),
}

impl From<DataError> for RecipeError {
    fn from(error: DataError) -> RecipeError {
        RecipeError::Data(Box::new(error))
    }
}

impl Recipe {
    /// Loads a recipe from a folder of recipes, with those that it extends.
    pub fn load(dir: &Path, name: &str) -> Result<Self, RecipeError> {
        written::read(dir, name)
    }

    /// The key in the name of what is built from it. It depends on the content only, not on the file's layout and
    /// comments. `tree` stands for the content of a given tree.
    pub fn key(&self, tree: Option<&str>) -> String {
        // A struct of strings and numbers always has a JSON form; its fields keep their order.
        let mut content = serde_json::json!({ "format": FORMAT, "recipe": self });
        if let Some(tree) = tree {
            content["tree"] = tree.into();
        }
        let content = content.to_string();
        let digest = Sha256::digest(content.as_bytes());
        hex::encode(digest)[..KEY_DIGITS].to_owned()
    }
}

/// The names of the recipes in a folder, sorted.
pub fn names(dir: &Path) -> Result<Vec<String>, RecipeError> {
    let failed = |source| RecipeError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "yaml")
            && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
        {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const GOOD: &str = "suite: trixie\npackages: [apparmor]\nkernel: vmlinuz-*\nmodules: [ext4]\nfilesystem: {size_mib: 900}\n";

    fn load(text: &str) -> Result<Recipe, RecipeError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("debian-13.yaml"), text).unwrap();
        Recipe::load(dir.path(), "debian-13")
    }

    #[test]
    fn a_recipe_is_read() {
        let recipe = load(GOOD).unwrap();
        assert_eq!(
            (recipe.source, recipe.filesystem.size_mib),
            (Source::Suite("trixie".into()), 900)
        );
    }

    #[rstest]
    #[case::misspelt_key(
        "packages",
        "pakages",
        ":2:1: unknown key `pakages` (did you mean `packages`?)"
    )]
    #[case::wrong_type("[apparmor]", "7", ":2:11: expected a list")]
    #[case::option_as_package(
        "apparmor",
        "--eatmydata",
        ":2:12: `--eatmydata` is not the name of a package"
    )]
    #[case::option_as_suite("trixie", "-x", ":1:8: `-x` is not the name of a suite")]
    #[case::too_small("900", "9", ":5:24: 9 is less than 64")]
    #[case::two_origins("packages", "from: {tar: x}\npackages", ":2:8: either `suite` or `from`")]
    #[case::tar_and_folder(
        "suite: trixie",
        "from: {tar: x, dir: y}",
        ":1:8: exactly one of `tar`, `dir`"
    )]
    #[case::packages_in_a_tree("suite: trixie", "from: {tar: x}", ":2:12: no packages can be installed")]
    #[case::path_as_kernel("vmlinuz-*", "../x", ":3:9: `../x` names a file in /boot")]
    #[case::path_as_hypervisor("modules:", "hypervisor: a/b\nmodules:", ":4:13: `a/b` names a file in /boot")]
    #[case::anchor("modules: [ext4]", "modules: &m [ext4]", ":4:10: anchors")]
    #[case::nothing_to_boot("kernel: vmlinuz-*", "hypervisor: xen-*", ":1:1: `kernel` is missing")]
    fn what_is_wrong_is_said(#[case] from: &str, #[case] to: &str, #[case] message: &str) {
        let error = load(&GOOD.replace(from, to)).unwrap_err().to_string();
        assert!(
            error.contains("debian-13.yaml") && error.contains(message),
            "{error}"
        );
    }

    #[rstest]
    #[case("debain-13", "unknown image `debain-13` (did you mean `debian-13`?)")]
    #[case("windows", "unknown image `windows` (known are: debian-13)")]
    #[case("../debian-13", "unknown image `../debian-13` (did you mean")]
    fn an_unknown_image_is_answered_with_the_known_ones(#[case] name: &str, #[case] message: &str) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("debian-13.yaml"), GOOD).unwrap();
        let error = Recipe::load(dir.path(), name).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }

    #[test]
    fn the_key_follows_the_content_only() {
        let key = |text: &str| load(text).unwrap().key(None);
        let good = key(GOOD);
        assert_eq!(key(&format!("# a comment\n{GOOD}untested: true\n")), good);
        assert_ne!(key(&GOOD.replace("ext4", "ext2")), good);
        assert_eq!(good.len(), KEY_DIGITS);
    }

    #[test]
    fn the_key_of_a_given_tree_follows_its_content() {
        let given = GOOD
            .replace("suite: trixie", "from: {tar: x.tar}")
            .replace("[apparmor]", "[]");
        let recipe = load(&given).unwrap();
        assert_eq!(recipe.source, Source::From(Given::Tar("x.tar".into())));
        assert_ne!(recipe.key(Some("one")), recipe.key(Some("two")));
    }
}
