//! Turns a manifest and an image's tree into the set under test. Guests' profiles are made from their templates.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aa_policy::{EditError, PolicyError, PolicyFile, Tree, TreeError, audited, parse, with_rule, without};
use virt_aa_probe::protocol::CANARY_PROFILE;

use super::names::badly_named;
use super::template::{self, TemplateError};
use virt_aa_model::case::expand::Roles;
use virt_aa_model::denial::access_of;
use virt_aa_model::profile_set::manifest::{Dirs, Edit, Manifest, Profile};
use virt_aa_model::profile_set::{POLICY_DIR, Provenance, Unusable};

/// Why a set cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The image's policy cannot be read.
    #[error("cannot read the image's policy: {0}; build the image anew with `virt-aa-conform image build`")]
    Tree(#[from] TreeError),
    /// A file that the manifest names is missing.
    #[error(
        "profile set {set}: the image has no {POLICY_DIR}/{file}, which profile {profile} is in; say `optional: true` if it may be missing"
    )]
    NoFile {
        /// The set.
        set: String,
        /// The profile.
        profile: String,
        /// Its file.
        file: String,
    },
    /// A template cannot be used.
    #[error("profile {profile}: {source}")]
    Template {
        /// The profile.
        profile: String,
        /// What is wrong.
        source: TemplateError,
    },
    /// Profile text is wrong.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// A profile is not in its file.
    #[error("profile set {set}: {POLICY_DIR}/{file} declares no profile {profile}; correct the manifest")]
    NoProfile {
        /// The set.
        set: String,
        /// The profile.
        profile: String,
        /// Its file.
        file: String,
    },
    /// Two profiles have the same name. The later one would replace the other.
    #[error(
        "profile set {set}: {profile} is declared twice, in {POLICY_DIR}/{first} and {POLICY_DIR}/{second}; rename one"
    )]
    DeclaredTwice {
        /// The set.
        set: String,
        /// The profile.
        profile: String,
        /// The first file.
        first: String,
        /// The second file.
        second: String,
    },
    /// A profile would be loaded into another namespace than the one in which the subjects run.
    #[error(
        "profile set {set}: {POLICY_DIR}/{file} declares {profile}, in a namespace of its own; take the namespace out"
    )]
    OfNamespace {
        /// The set.
        set: String,
        /// The profile.
        profile: String,
        /// Its file.
        file: String,
    },
    /// A profile has the name of the harness's canary.
    #[error(
        "profile set {set}: {POLICY_DIR}/{file} declares {CANARY_PROFILE}, the profile by which the harness sees that denials are logged; rename it"
    )]
    CanarysProfile {
        /// The set.
        set: String,
        /// Its file.
        file: String,
    },
    /// A file has the name of the harness's own file.
    #[error(
        "profile set {0}: {POLICY_DIR}/{CANARY_PROFILE} has the name of the harness's own file; rename it, as nothing of it would be loaded"
    )]
    CanarysFile(String),
    /// An edit of a known-bad set cannot be applied.
    #[error("profile {profile}: {source}")]
    Edit {
        /// The profile.
        profile: String,
        /// What is wrong.
        source: EditError,
    },
}

/// What a set is put together from.
#[derive(Debug, Clone)]
pub struct Material {
    /// Policy as it should be in the machine, without guests.
    pub tree: Tree,
    /// Policy as the image has it.
    pub of_image: Tree,
    /// Folders that the profiles are made for.
    pub dirs: Dirs,
    /// Top-level files to load, in addition to those that the manifest names.
    pub profiles: Vec<String>,
    /// Files that are known to be unusable before they are read.
    pub unusable: Vec<Unusable>,
    /// Where the files come from.
    pub provenance: Provenance,
}

impl Material {
    /// The material of the set that the image's packages installed.
    pub fn packaged(of_image: Tree, dirs: Dirs) -> Material {
        Material {
            tree: of_image.clone(),
            of_image,
            dirs,
            profiles: Vec::new(),
            unusable: Vec::new(),
            provenance: Provenance::default(),
        }
    }
}

/// A profile set on one image.
#[derive(Debug, Clone)]
pub struct SetUnderTest {
    /// Its manifest.
    pub manifest: Manifest,
    /// Folders that the profiles are made for.
    pub dirs: Dirs,
    /// Where its files come from.
    pub provenance: Provenance,
    /// Policy as it should be in the machine.
    pub tree: Tree,
    /// Policy as the image has it.
    pub of_image: Tree,
    /// The set's top-level files, parsed, including the canary's.
    pub files: Vec<PolicyFile>,
    /// Files that cannot be loaded. Only a given set may have any.
    pub unusable: Vec<Unusable>,
    /// Whether the set is loaded with `audit` on its denials and on what starts programs.
    pub audited: bool,
    /// The existing profiles: the kernel's label for each name in the manifest.
    labels: BTreeMap<String, String>,
    roles: Roles,
}

impl SetUnderTest {
    /// Puts a packaged set together from the tree of an image.
    pub fn assemble(manifest: &Manifest, image_tree: &Path) -> Result<SetUnderTest, SetError> {
        let of_image = Tree::read(&image_tree.join(POLICY_DIR.trim_start_matches('/')))?;
        let dirs = manifest.dirs.clone().unwrap_or_default();
        Self::of(manifest, Material::packaged(of_image, dirs))
    }

    /// Puts a set together from its material.
    pub fn of(manifest: &Manifest, material: Material) -> Result<SetUnderTest, SetError> {
        let Material {
            mut tree,
            mut unusable,
            ..
        } = material;
        let given = manifest.from.is_given();
        let mut file_of: BTreeMap<&str, String> = BTreeMap::new();
        for profile in &manifest.profiles {
            match place(manifest, profile, &mut tree, &file_of) {
                Ok(Some(file)) => drop(file_of.insert(&profile.name, file)),
                Ok(None) => {}
                Err(error @ SetError::Template { .. }) if given => unusable.push(Unusable {
                    file: profile.template.clone().unwrap_or_default(),
                    message: error.to_string(),
                }),
                Err(error) => return Err(error),
            }
        }
        let canary = format!("profile {CANARY_PROFILE} {{\n}}\n");
        // A machine in which a harness runs may already have this file.
        if tree.contains(CANARY_PROFILE) && tree.get(CANARY_PROFILE) != Some(&canary) {
            return Err(SetError::CanarysFile(manifest.name.clone()));
        }
        tree.insert(CANARY_PROFILE, canary)?;
        let of_profiles = file_of.values().chain(&material.profiles);
        let names: BTreeSet<&str> = of_profiles.map(String::as_str).chain([CANARY_PROFILE]).collect();
        let mut files = Vec::new();
        for file in names {
            if unusable.iter().any(|unusable| unusable.file == file) {
                continue;
            }
            match parse(&tree, file) {
                Ok(parsed) => files.push(parsed),
                Err(error) if given => unusable.push(Unusable {
                    file: file.to_owned(),
                    message: error.to_string(),
                }),
                Err(error) => return Err(error.into()),
            }
        }
        for (file, error) in badly_named(&manifest.name, &files) {
            if !given {
                return Err(error);
            }
            unusable.push(Unusable {
                file,
                message: error.to_string(),
            });
        }
        files.retain(|parsed| !unusable.iter().any(|unusable| unusable.file == parsed.file));
        let mut labels = BTreeMap::new();
        for profile in &manifest.profiles {
            let Some(file) = file_of.get(profile.name.as_str()) else {
                continue;
            };
            let Some(parsed) = files.iter().find(|parsed| parsed.file == *file) else {
                continue;
            };
            match label_of(profile, parsed, &labels) {
                Some(label) => drop(labels.insert(profile.name.clone(), label)),
                None if profile.optional && profile.within.is_some() => {}
                None => {
                    let (set, profile, file) = (manifest.name.clone(), profile.name.clone(), file.clone());
                    let error = SetError::NoProfile { set, profile, file };
                    if !given {
                        return Err(error);
                    }
                    unusable.push(Unusable {
                        file: parsed.file.clone(),
                        message: error.to_string(),
                    });
                }
            }
        }
        let mut set = SetUnderTest {
            manifest: manifest.clone(),
            dirs: material.dirs,
            provenance: material.provenance,
            tree,
            of_image: material.of_image,
            files,
            unusable: Vec::new(),
            audited: false,
            labels,
            roles: Roles::new(),
        };
        set.leave_out(unusable);
        Ok(set)
    }

    /// Removes the files that cannot be loaded, with their profiles, from the set.
    pub fn leave_out(&mut self, unusable: Vec<Unusable>) {
        let left_out = |file: &PolicyFile| unusable.iter().any(|unusable| unusable.file == file.file);
        self.files.retain(|file| !left_out(file));
        self.unusable.extend(unusable);
        let files = &self.files;
        self.labels
            .retain(|_, label| files.iter().any(|file| file.profile(label).is_some()));
        let labels = &self.labels;
        self.roles = self
            .manifest
            .roles_by_label(|profile| labels.get(&profile.name).cloned());
    }

    /// Roles with the profiles that this image has for them.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The top-level file in which a profile is declared.
    pub fn file_of(&self, profile: &str) -> Option<&PolicyFile> {
        self.files.iter().find(|file| file.profile(profile).is_some())
    }

    /// The set with the edits of a known-bad set.
    pub fn edited(&self, edits: &[Edit]) -> Result<SetUnderTest, SetError> {
        let mut tree = self.tree.clone();
        for edit in edits {
            // The edit names the profile as the manifest or as the kernel does.
            let profile = self.labels.get(&edit.profile).unwrap_or(&edit.profile).clone();
            let file = self
                .file_of(&profile)
                .map(|file| file.file.clone())
                .ok_or_else(|| SetError::NoProfile {
                    set: self.manifest.name.clone(),
                    profile: profile.clone(),
                    file: String::new(),
                })?;
            let access = edit.without.as_ref().and_then(access_of);
            let edited = match (&access, &edit.add) {
                (Some(access), _) => without(&tree, &file, &profile, access),
                (None, Some(rule)) => with_rule(&tree, &file, &profile, rule),
                (None, None) => continue,
            };
            tree = edited.map_err(|source| SetError::Edit { profile, source })?.tree;
        }
        self.with_tree(tree)
    }

    /// The same set with another tree.
    pub fn with_tree(&self, tree: Tree) -> Result<SetUnderTest, SetError> {
        let files = self
            .files
            .iter()
            .map(|file| parse(&tree, &file.file))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(SetUnderTest {
            tree,
            files,
            ..self.clone()
        })
    }

    /// The policy as it is loaded: unchanged, or changed to log what a verdict needs.
    pub fn loaded_tree(&self) -> Cow<'_, Tree> {
        if self.audited {
            Cow::Owned(audited(&self.tree, &self.files))
        } else {
            Cow::Borrowed(&self.tree)
        }
    }

    /// Files in which the set differs from the image, by their paths in the machine.
    pub fn overlay(&self) -> BTreeMap<String, Option<String>> {
        let tree = self.loaded_tree();
        let changed = tree.changed_files(&self.of_image).into_iter();
        changed
            .map(|file| {
                let text = tree.get(&file).map(str::to_string);
                (format!("{POLICY_DIR}/{file}"), text)
            })
            .collect()
    }
}

/// The file of a profile, created if it comes from a template; `None` if it is optional and missing.
fn place(
    manifest: &Manifest,
    profile: &Profile,
    tree: &mut Tree,
    file_of: &BTreeMap<&str, String>,
) -> Result<Option<String>, SetError> {
    if let Some(parent) = &profile.within {
        return Ok(file_of.get(parent.as_str()).cloned());
    }
    let Some(source) = profile.file.as_ref().or(profile.template.as_ref()) else {
        return Ok(None);
    };
    let Some(text) = tree.get(source).map(str::to_string) else {
        if profile.optional {
            return Ok(None);
        }
        let (set, name) = (manifest.name.clone(), profile.name.clone());
        return Err(SetError::NoFile {
            set,
            profile: name,
            file: source.clone(),
        });
    };
    let Some(placeholder) = &profile.placeholder else {
        return Ok(Some(source.clone()));
    };
    let guest =
        template::instantiate(&text, placeholder, profile.label(), &profile.files).map_err(|source| {
            SetError::Template {
                profile: profile.name.clone(),
                source,
            }
        })?;
    let file = format!("libvirt/{}", profile.label());
    if let Some(files) = guest.files {
        tree.insert(&format!("{file}.files"), files)?;
    }
    tree.insert(&file, guest.profile)?;
    Ok(Some(file))
}

/// The label of a profile in a file, as the kernel lists it. `labels` has its parent's label.
fn label_of(profile: &Profile, file: &PolicyFile, labels: &BTreeMap<String, String>) -> Option<String> {
    let label = match &profile.within {
        Some(parent) => {
            let child = profile.name.strip_prefix(parent.as_str())?;
            format!("{}{child}", labels.get(parent)?)
        }
        None => profile.label().to_owned(),
    };
    if file.profile(&label).is_some() {
        return Some(label);
    }
    // A profile without a name is listed by the path that it attaches to.
    let mut unnamed = file
        .profiles
        .iter()
        .filter(|other| profile.within.is_none() && other.name.starts_with('/'));
    match (unnamed.next(), unnamed.next()) {
        (Some(only), None) => Some(only.name.clone()),
        _ => None,
    }
}
