//! A manifest and an image's tree to the set under test: every file there, guests made from their templates.

use std::collections::BTreeMap;
use std::path::Path;

use aa_policy::{EditError, PolicyError, PolicyFile, Tree, TreeError, parse, with_rule, without};
use virt_aa_probe::protocol::CANARY_PROFILE;

use super::manifest::{Edit, Manifest, Profile};
use super::template::{self, TemplateError};
use crate::case::expand::Roles;
use crate::denial::access_of;

/// Where policy lies in a machine.
pub const POLICY_DIR: &str = "/etc/apparmor.d";

/// Why a set cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// The image's policy cannot be read.
    #[error("cannot read the image's policy: {0}; build the image anew with `virt-aa-conform image build`")]
    Tree(#[from] TreeError),
    /// A file that the manifest names.
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
    /// A template.
    #[error("profile {profile}: {source}")]
    Template {
        /// The profile.
        profile: String,
        /// What is wrong.
        source: TemplateError,
    },
    /// Profile text.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// A profile that is not in its file.
    #[error("profile set {set}: {POLICY_DIR}/{file} declares no profile {profile}; correct the manifest")]
    NoProfile {
        /// The set.
        set: String,
        /// The profile.
        profile: String,
        /// Its file.
        file: String,
    },
    /// An edit of a known-bad set.
    #[error("profile {profile}: {source}")]
    Edit {
        /// The profile.
        profile: String,
        /// What is wrong.
        source: EditError,
    },
}

/// A profile set on one image.
#[derive(Debug, Clone)]
pub struct SetUnderTest {
    /// What it is.
    pub manifest: Manifest,
    /// Policy as it should lie in the machine.
    pub tree: Tree,
    /// Policy as the image has it.
    pub of_image: Tree,
    /// Top-level files of the set, parsed, the canary's among them.
    pub files: Vec<PolicyFile>,
    roles: Roles,
}

impl SetUnderTest {
    /// Put a set together from the tree of an image.
    pub fn assemble(manifest: &Manifest, image_tree: &Path) -> Result<SetUnderTest, SetError> {
        let of_image = Tree::read(&image_tree.join(POLICY_DIR.trim_start_matches('/')))?;
        Self::from_tree(manifest, of_image)
    }

    /// The same from a tree of policy.
    pub fn from_tree(manifest: &Manifest, of_image: Tree) -> Result<SetUnderTest, SetError> {
        let mut tree = of_image.clone();
        let mut file_of: BTreeMap<&str, String> = BTreeMap::new();
        for profile in &manifest.profiles {
            if let Some(file) = place(manifest, profile, &mut tree, &file_of)? {
                file_of.insert(&profile.name, file);
            }
        }
        tree.insert(CANARY_PROFILE, format!("profile {CANARY_PROFILE} {{\n}}\n"))?;
        let mut names: Vec<&str> = file_of
            .values()
            .map(String::as_str)
            .chain([CANARY_PROFILE])
            .collect();
        names.sort_unstable();
        names.dedup();
        let files = names
            .into_iter()
            .map(|file| parse(&tree, file))
            .collect::<Result<Vec<_>, _>>()?;
        for (profile, file) in &file_of {
            let declared = files
                .iter()
                .any(|parsed| parsed.file == *file && parsed.profile(profile).is_some());
            if !declared {
                let (set, profile, file) = (manifest.name.clone(), (*profile).to_string(), file.clone());
                return Err(SetError::NoProfile { set, profile, file });
            }
        }
        let roles = manifest.roles(|profile| file_of.contains_key(profile.name.as_str()));
        Ok(SetUnderTest {
            manifest: manifest.clone(),
            tree,
            of_image,
            files,
            roles,
        })
    }

    /// Roles with the profiles that this image has for them.
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// The top-level file in which a profile is declared.
    pub fn file_of(&self, profile: &str) -> Option<&PolicyFile> {
        self.files.iter().find(|file| file.profile(profile).is_some())
    }

    /// The set with edits made, as a known-bad set says.
    pub fn edited(&self, edits: &[Edit]) -> Result<SetUnderTest, SetError> {
        let mut tree = self.tree.clone();
        for edit in edits {
            let profile = edit.profile.clone();
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

    /// Files by which the set differs from what the image has, as the machine names them.
    pub fn overlay(&self) -> BTreeMap<String, Option<String>> {
        let changed = self.tree.changed_files(&self.of_image).into_iter();
        changed
            .map(|file| {
                (
                    format!("{POLICY_DIR}/{file}"),
                    self.tree.get(&file).map(str::to_string),
                )
            })
            .collect()
    }
}

/// The file of a profile, made if it comes from a template; `None` if it is optional and not there.
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
        template::instantiate(&text, placeholder, &profile.name, &profile.files).map_err(|source| {
            SetError::Template {
                profile: profile.name.clone(),
                source,
            }
        })?;
    let file = format!("libvirt/{}", profile.name);
    tree.insert(&format!("{file}.files"), guest.files)?;
    tree.insert(&file, guest.profile)?;
    Ok(Some(file))
}
