//! Where images are: one folder each, named after the recipe and its content. An existing folder is complete.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::error::ImageError;
use super::facts::ImageFacts;
use super::recipe::{self, Recipe, Source};
use super::tree::{self, Given};
use crate::xdg;

/// Prefix of the folder of an unfinished build. No recipe's name begins with it.
pub(super) const PARTIAL_PREFIX: &str = ".partial-";
const LOCK_SUFFIX: &str = ".lock";
/// Suffix of the log of a failed build.
pub(super) const LOG_SUFFIX: &str = ".log";

pub(super) const KERNEL: &str = "kernel";
pub(super) const HYPERVISOR: &str = "hypervisor";
pub(super) const INITRD: &str = "modules.cpio";
pub(super) const DISK: &str = "root.ext4";
pub(super) const TREE: &str = "tree";
pub(super) const FACTS: &str = "facts.json";

/// The recipes, and the folder with what was built from them.
#[derive(Debug, Clone)]
pub struct Store {
    recipes: PathBuf,
    images: PathBuf,
    /// The folder of given trees whose paths are relative.
    trees: PathBuf,
}

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// The recipe's name.
    pub name: String,
    /// The image's folder.
    pub dir: PathBuf,
    /// The kernel, in a form that QEMU boots.
    pub kernel: PathBuf,
    /// The hypervisor whose dom0 the kernel is, if the recipe has one.
    pub hypervisor: Option<PathBuf>,
    /// The first part of the initramfs, with the kernel modules.
    pub initrd: PathBuf,
    /// The root disk: ext4 in a raw sparse file. Never written to.
    pub disk: PathBuf,
    /// The part of the root file system that the host needs.
    pub tree: PathBuf,
    /// What it contains.
    pub facts: ImageFacts,
}

/// State of a recipe's image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageState {
    /// Built from the current recipe.
    Built,
    /// Not built, or not from the current recipe.
    Missing,
}

/// One line of the list of images.
#[derive(Debug, Clone)]
pub struct Row {
    /// The recipe's name.
    pub name: String,
    /// The state of its image.
    pub state: ImageState,
    /// Whether nobody has run the cases on it yet.
    pub untested: bool,
    /// The bytes that it takes on disk, if it is built.
    pub bytes: u64,
    /// What it contains, if it is built.
    pub facts: Option<ImageFacts>,
}

/// What `prune` removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// The folders.
    pub removed: Vec<PathBuf>,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Store {
    /// Takes recipes from that folder, and keeps images under `cache`, by default
    /// `$XDG_CACHE_HOME/virt-aa-conform` or `~/.cache/virt-aa-conform`.
    pub fn open(recipes: &Path, cache: Option<PathBuf>) -> Result<Self, ImageError> {
        let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let cache = match cache {
            Some(cache) => std::path::absolute(&cache).map_err(ImageError::file("find", &cache))?,
            None => xdg::cache(|name| std::env::var_os(name)).ok_or(ImageError::NoCacheDir)?,
        };
        Ok(Self {
            recipes: recipes.to_owned(),
            images: cache.join("images"),
            trees: tree::default_trees(var).unwrap_or_else(|| cache.join("trees")),
        })
    }

    /// The folder with the images.
    pub fn images_dir(&self) -> &Path {
        &self.images
    }

    /// The recipe of that name.
    pub fn recipe(&self, name: &str) -> Result<Recipe, ImageError> {
        Ok(Recipe::load(&self.recipes, name)?)
    }

    /// The names of all the recipes.
    pub fn names(&self) -> Result<Vec<String>, ImageError> {
        Ok(recipe::names(&self.recipes)?)
    }

    /// The given tree that a recipe is made from, if there is one.
    pub(super) fn given(&self, recipe: &Recipe) -> Option<Given> {
        match &recipe.source {
            Source::Suite(_) => None,
            Source::From(given) => Some(given.at(&self.trees)),
        }
    }

    /// The folder of the image. Its name also depends on the given tree, which must exist.
    pub(super) fn dir_of(&self, name: &str, recipe: &Recipe) -> Result<PathBuf, ImageError> {
        let tree = match self.given(recipe) {
            Some(given) => Some(given.identity(name, &self.images)?),
            None => None,
        };
        Ok(self
            .images
            .join(format!("{name}-{}", recipe.key(tree.as_deref()))))
    }

    pub(super) fn partial_prefix(name: &str) -> String {
        format!("{PARTIAL_PREFIX}{name}.")
    }

    pub(super) fn lock_path(&self, name: &str) -> PathBuf {
        self.images.join(format!("{name}{LOCK_SUFFIX}"))
    }

    /// Opens the file that the builders of an image lock. Creates it if needed.
    pub(super) fn lock_file(&self, name: &str) -> Result<File, ImageError> {
        fs::create_dir_all(&self.images).map_err(ImageError::file("create", &self.images))?;
        let path = self.lock_path(name);
        File::options()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(ImageError::file("open", &path))
    }

    /// The folders of unfinished builds of that image. Only the holder of its lock may remove them.
    pub(super) fn leftovers(&self, name: &str) -> Result<Vec<PathBuf>, ImageError> {
        let prefix = Self::partial_prefix(name);
        Ok(self
            .entries()?
            .into_iter()
            .filter(|(entry, _)| entry.starts_with(&prefix))
            .map(|(_, p)| p)
            .collect())
    }

    fn entries(&self) -> Result<Vec<(String, PathBuf)>, ImageError> {
        let listing = match fs::read_dir(&self.images) {
            Ok(listing) => listing,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(ImageError::file("read", &self.images)(e)),
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry.map_err(ImageError::file("read", &self.images))?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push((name, entry.path()));
            }
        }
        entries.sort();
        Ok(entries)
    }
}

/// The image of that name, if it is built from the current recipe.
pub fn find(store: &Store, name: &str) -> Result<Option<Image>, ImageError> {
    let recipe = store.recipe(name)?;
    load(name, &store.dir_of(name, &recipe)?)
}

/// Where the image of that name is, or will be once built.
pub fn path(store: &Store, name: &str) -> Result<PathBuf, ImageError> {
    let recipe = store.recipe(name)?;
    store.dir_of(name, &recipe)
}

/// One row for each recipe.
pub fn list(store: &Store) -> Result<Vec<Row>, ImageError> {
    let mut rows = Vec::new();
    for name in store.names()? {
        let image = match find(store, &name) {
            // There is no image of a tree that does not exist yet.
            Err(ImageError::NoTree { .. }) => None,
            found => found?,
        };
        let bytes = image.as_ref().map_or(0, |image| bytes_on_disk(&image.dir));
        let state = if image.is_some() {
            ImageState::Built
        } else {
            ImageState::Missing
        };
        rows.push(Row {
            untested: store.recipe(&name)?.untested,
            name,
            state,
            bytes,
            facts: image.map(|image| image.facts),
        });
    }
    Ok(rows)
}

/// Removes the images that no recipe describes any more, and what ended builds left behind. Running builds are left
/// alone.
pub fn prune(store: &Store) -> Result<Pruned, ImageError> {
    let mut current = Vec::new();
    for name in store.names()? {
        match path(store, &name) {
            Ok(dir) => current.push(dir),
            // The tree is missing for now. Its images are removed once the recipe is gone.
            Err(ImageError::NoTree { .. }) => {
                current.extend(store.entries()?.into_iter().filter_map(|(entry, path)| {
                    let key = entry.strip_prefix(&name)?.strip_prefix('-')?;
                    (key.len() == recipe::KEY_DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit()))
                        .then_some(path)
                }))
            }
            Err(error) => return Err(error),
        }
    }
    let mut pruned = Pruned::default();
    for (entry, path) in store.entries()? {
        let kept = entry.ends_with(LOCK_SUFFIX) || entry.starts_with(tree::NOTE_PREFIX);
        if kept || current.contains(&path) || is_being_built(store, &entry)? {
            continue;
        }
        let bytes = bytes_on_disk(&path);
        super::build::remove_tree(&path)?;
        pruned.bytes += bytes;
        pruned.removed.push(path);
    }
    Ok(pruned)
}

/// Whether `entry` is the folder of a build whose lock is held.
fn is_being_built(store: &Store, entry: &str) -> Result<bool, ImageError> {
    let Some(name) = entry
        .strip_prefix(PARTIAL_PREFIX)
        .and_then(|rest| rest.rsplit_once('.'))
    else {
        return Ok(false);
    };
    let lock = store.lock_file(name.0)?;
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(fs::TryLockError::WouldBlock) => Ok(true),
        Err(fs::TryLockError::Error(e)) => Err(ImageError::file("lock", &store.lock_path(name.0))(e)),
    }
}

pub(super) fn load(name: &str, dir: &Path) -> Result<Option<Image>, ImageError> {
    let path = dir.join(FACTS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ImageError::file("read", &path)(e)),
    };
    let facts = serde_json::from_str(&text).map_err(|e| {
        ImageError::malformed(&path, format!("{e}; remove {} and build again", dir.display()))
    })?;
    Ok(Some(Image {
        name: name.to_owned(),
        dir: dir.to_owned(),
        kernel: dir.join(KERNEL),
        hypervisor: Some(dir.join(HYPERVISOR)).filter(|path| path.exists()),
        initrd: dir.join(INITRD),
        disk: dir.join(DISK),
        tree: dir.join(TREE),
        facts,
    }))
}

/// The size of a folder on disk, without holes. What cannot be read counts as 0.
fn bytes_on_disk(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    const BLOCK: u64 = 512;
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return 0;
    };
    let below: u64 = if metadata.is_dir() {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| bytes_on_disk(&entry.path()))
            .sum()
    } else {
        0
    };
    metadata.blocks() * BLOCK + below
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1024 * 1024;
        match &self.facts {
            None => write!(f, "{:<19} not built", self.name)?,
            Some(facts) => write!(
                f,
                "{:<19} {:>5} MiB  linux {}  apparmor {}  libvirt {}",
                self.name,
                self.bytes / MIB,
                facts.kernel_release,
                facts.parser_version,
                facts.libvirt_version
            )?,
        }
        if self.untested {
            f.write_str("  untested: nobody has run the cases on it yet")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "suite: trixie\npackages: []\nkernel: k\nmodules: []\nfilesystem: {size_mib: 900}\n";

    #[test]
    fn prune_takes_the_stale_and_the_abandoned_only() {
        let dir = tempfile::tempdir().unwrap();
        let recipes = dir.path().join("recipes");
        fs::create_dir(&recipes).unwrap();
        for name in ["good", "busy"] {
            fs::write(recipes.join(format!("{name}.yaml")), RECIPE).unwrap();
        }
        let store = Store::open(&recipes, Some(dir.path().join("cache"))).unwrap();
        let kept = path(&store, "good").unwrap();
        let building = store.images.join(".partial-busy.1");
        let stale = store.images.join("good-0000");
        let gone = store.images.join("removed-0000");
        let abandoned = store.images.join(".partial-good.1");
        fs::create_dir_all(&store.images).unwrap();
        let log = store.images.join("good.log");
        fs::write(&log, "x").unwrap();
        fs::write(store.images.join(".tree-0123"), "x").unwrap();
        for folder in [&kept, &building, &stale, &gone, &abandoned] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("file"), "x").unwrap();
        }
        let lock = store.lock_file("busy").unwrap();
        lock.lock().unwrap();
        let mut pruned = prune(&store).unwrap();
        pruned.removed.sort();
        assert_eq!(pruned.removed, [abandoned, stale, log, gone]);
        assert!(pruned.bytes > 0 && kept.exists() && building.exists());
    }

    #[test]
    fn an_image_is_there_once_its_facts_are() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("x.yaml"), RECIPE).unwrap();
        let store = Store::open(dir.path(), Some(dir.path().join("cache"))).unwrap();
        let target = path(&store, "x").unwrap();
        fs::create_dir_all(&target).unwrap();
        assert!(find(&store, "x").unwrap().is_none());
        let facts = ImageFacts {
            suite: "trixie".into(),
            kernel_release: "6".into(),
            parser_version: "4".into(),
            libvirt_version: "11".into(),
            packages: Default::default(),
            build_seconds: 1,
        };
        fs::write(target.join(FACTS), serde_json::to_string(&facts).unwrap()).unwrap();
        assert_eq!(find(&store, "x").unwrap().unwrap().facts, facts);
        assert!(list(&store).unwrap()[0].to_string().contains("libvirt 11"));
        fs::write(target.join(FACTS), "{").unwrap();
        assert!(matches!(find(&store, "x"), Err(ImageError::Malformed { .. })));
    }
}
