//! Opens a set by its name, with the files given for it, as the set under test on an image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aa_policy::{Tree, TreeError};

use super::assemble::{Material, SetError, SetUnderTest};
use super::checkout::{self, SourceError};
use super::git::Repository;
use super::programs::Programs;
use super::source::{self, Generation};
use super::spec::{Given, SetSpec};
use crate::image::Image;
use virt_aa_model::profile_set::manifest::{Dirs, Manifest, Origin};
use virt_aa_model::profile_set::{POLICY_DIR, Provenance, Unusable};

/// Why a set cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The set needs a folder.
    #[error("the profile set {0} needs a folder: --profiles {0}:DIR")]
    NeedsDir(String),
    /// The set takes no folder.
    #[error("the profile set {0} takes no folder: it is what the image's packages install")]
    TakesNone(String),
    /// A revision was given for a plain folder.
    #[error(
        "the profile set {0} takes a folder alone, and there is none of the name {1}; a revision is of a `libvirt-source`"
    )]
    TakesNoRevision(String, String),
    /// The command line names an unknown folder.
    #[error("unknown folder `{0}` in --set-dir; known are {1}")]
    UnknownDir(String, String),
    /// A source tree cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A folder cannot be read.
    #[error("{dir}: {source}", dir = dir.display())]
    Dir {
        /// The folder.
        dir: PathBuf,
        /// What is wrong.
        source: TreeError,
    },
    /// A folder has none of the set's files.
    #[error("{} has none of the set's files, as {example}; give a folder laid out like {POLICY_DIR}", dir.display())]
    NothingThere {
        /// The folder.
        dir: PathBuf,
        /// One of the files.
        example: String,
    },
    /// The set cannot be put together.
    #[error(transparent)]
    Set(#[from] SetError),
}

/// The folders from the command line, by name.
pub type GivenDirs = BTreeMap<String, String>;

/// Reads a set's files and puts it together for an image.
pub fn open(
    manifest: &Manifest,
    spec: &SetSpec,
    given_dirs: &GivenDirs,
    image: &Image,
    programs: &Programs,
) -> Result<SetUnderTest, OpenError> {
    let generation = Generation::of(&image.facts.parser_version);
    let of_image =
        Tree::read(&image.tree.join(POLICY_DIR.trim_start_matches('/'))).map_err(SetError::from)?;
    let dirs = dirs(manifest, given_dirs, programs)?;
    let material = match (manifest.from, &spec.given) {
        (Origin::Packaged, None) => Material::packaged(of_image, dirs),
        (Origin::Packaged, Some(_)) => return Err(OpenError::TakesNone(manifest.name.clone())),
        (_, None) => return Err(OpenError::NeedsDir(manifest.name.clone())),
        (Origin::LibvirtSource, Some(given)) => of_source(manifest, given, generation, dirs, of_image)?,
        (Origin::Dir, Some(given)) => of_dir(manifest, given, dirs, of_image)?,
    };
    Ok(SetUnderTest::of(manifest, material)?)
}

/// The given folders, else those of the manifest, else those of libvirt's programs in the image, else Debian's.
fn dirs(manifest: &Manifest, given: &GivenDirs, programs: &Programs) -> Result<Dirs, OpenError> {
    let found = |names: &[&str], else_: &str| programs.dir_of(names).unwrap_or(else_).to_owned();
    let base = manifest.dirs.clone().unwrap_or_else(|| Dirs {
        libexecdir: found(&["virt-aa-helper"], "/usr/lib/libvirt"),
        sbindir: found(&["libvirtd", "virtqemud"], "/usr/sbin"),
        sysconfdir: "/etc".into(),
        runstatedir: "/run".into(),
    });
    let mut dirs = base.by_key();
    for (key, dir) in given {
        let Some(known) = dirs.get_mut(key) else {
            let known: Vec<String> = dirs.into_keys().collect();
            return Err(OpenError::UnknownDir(key.clone(), known.join(", ")));
        };
        known.clone_from(dir);
    }
    let mut take = |key: &str| dirs.remove(key).unwrap_or_default();
    Ok(Dirs {
        libexecdir: take("libexecdir"),
        sbindir: take("sbindir"),
        sysconfdir: take("sysconfdir"),
        runstatedir: take("runstatedir"),
    })
}

/// The image's policy without the files of the set. The set brings all of its own files.
fn without_own(manifest: &Manifest, of_image: &Tree) -> Tree {
    let mut tree = of_image.clone();
    let own = manifest.profiles.iter();
    let own = own.flat_map(|profile| profile.file.iter().chain(&profile.template));
    for file in own.chain(&manifest.further) {
        tree.remove(file);
        tree.remove(&format!("local/{file}"));
    }
    tree
}

fn of_source(
    manifest: &Manifest,
    given: &Given,
    generation: Generation,
    dirs: Dirs,
    of_image: Tree,
) -> Result<Material, OpenError> {
    let (folder, texts, revision, modified) = match &given.revision {
        Some(revision) => {
            let repository = Repository::open(&given.dir)?;
            let commit = repository.commit(revision)?;
            let (folder, texts) = repository.read(&commit)?;
            (folder, texts, Some(commit), Some(false))
        }
        None => {
            let (folder, texts) = checkout::read(&given.dir)?;
            let head = head(&given.dir, folder);
            let modified = head.as_ref().map(|(_, committed)| *committed != texts);
            (folder, texts, head.map(|(commit, _)| commit), modified)
        }
    };
    let installed = source::install(&texts, generation, &dirs);
    let mut tree = without_own(manifest, &of_image);
    let mut profiles = Vec::new();
    for (file, text) in installed.files {
        if file.starts_with("usr.") {
            profiles.push(file.clone());
        }
        tree.insert(&file, text).map_err(SetError::from)?;
    }
    let unusable = installed.problems.into_iter();
    Ok(Material {
        tree,
        of_image,
        dirs,
        profiles,
        unusable: unusable
            .map(|(file, message)| Unusable { file, message })
            .collect(),
        provenance: Provenance {
            source: Some(given.dir.display().to_string()),
            folder: Some(folder.to_owned()),
            revision,
            modified,
            apparmor: Some(match generation {
                Generation::Two => 2,
                Generation::Three => 3,
            }),
        },
    })
}

/// The commit that is checked out at `dir`, and its profile folder; `None` if the folder is not in a repository, as
/// after unpacking a release tar file.
fn head(dir: &Path, folder: &str) -> Option<(String, checkout::Texts)> {
    let repository = Repository::open(dir).ok()?;
    let commit = repository.commit("HEAD").ok()?;
    let texts = repository.read_folder(&commit, folder).ok()?;
    checkout::has_profiles(&texts).then_some((commit, texts))
}

fn of_dir(manifest: &Manifest, given: &Given, dirs: Dirs, of_image: Tree) -> Result<Material, OpenError> {
    if let Some(revision) = &given.revision {
        let path = format!("{}@{revision}", given.dir.display());
        return Err(OpenError::TakesNoRevision(manifest.name.clone(), path));
    }
    let own = Tree::read(&given.dir).map_err(|source| OpenError::Dir {
        dir: given.dir.clone(),
        source,
    })?;
    let files = || {
        manifest
            .profiles
            .iter()
            .filter_map(|profile| profile.file.as_ref())
    };
    if !files().any(|file| own.contains(file)) {
        return Err(OpenError::NothingThere {
            dir: given.dir.clone(),
            example: files().next().cloned().unwrap_or_default(),
        });
    }
    let mut tree = without_own(manifest, &of_image);
    let mut unusable = Vec::new();
    for file in own.paths() {
        match own.get(file) {
            Some(text) => tree.insert(file, text).map_err(SetError::from)?,
            // An include of such a file is reported as missing.
            None if !files().any(|profile| profile == file) => {}
            None => {
                let message = format!("{file} is not UTF-8 text, which policy must be");
                let file = file.to_owned();
                unusable.push(Unusable { file, message });
            }
        }
    }
    // The packages' `local/` files went with the packaged profiles. The given profiles get empty ones.
    for file in files().filter(|file| own.contains(file)) {
        let local = format!("local/{file}");
        if !tree.contains(&local) {
            tree.insert(&local, "").map_err(SetError::from)?;
        }
    }
    Ok(Material {
        tree,
        of_image,
        dirs,
        profiles: Vec::new(),
        unusable,
        provenance: Provenance {
            source: Some(given.dir.display().to_string()),
            ..Provenance::default()
        },
    })
}
