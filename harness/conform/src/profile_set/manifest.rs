//! The format of profile sets: `profiles/*.yaml`, and `profiles/known-bad/*.yaml` for those that are wrong on purpose.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::case::expand::{Roles, SubjectProfile};
use crate::case::model::AccessSpec;

/// A profile set: where its files come from, and what each profile is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// The file's own name without `.yaml`.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Where the files come from.
    pub from: Origin,
    /// Folders that the profiles were made for; `{set.KEY}` in a case.
    pub dirs: Dirs,
    /// The profiles.
    pub profiles: Vec<Profile>,
}

/// Where the files of a set come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// What the image's packages installed under `/etc/apparmor.d`.
    Packaged,
}

/// Folders as libvirt was configured; absolute, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dirs {
    /// Helper programs, `/usr/lib/libvirt`.
    pub libexecdir: String,
    /// Daemons, `/usr/sbin`.
    pub sbindir: String,
    /// Configuration, `/etc`.
    pub sysconfdir: String,
}

impl Dirs {
    /// By the names that templates use.
    pub fn by_key(&self) -> BTreeMap<String, String> {
        [
            ("libexecdir", &self.libexecdir),
            ("sbindir", &self.sbindir),
            ("sysconfdir", &self.sysconfdir),
        ]
        .into_iter()
        .map(|(key, dir)| (key.to_owned(), dir.clone()))
        .collect()
    }
}

/// A profile: exactly one of `file`, `within`, `template` says where its text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// Full name as the kernel lists it, `libvirtd//qemu_bridge_helper`.
    pub name: String,
    /// Its file below `/etc/apparmor.d`.
    #[serde(default)]
    pub file: Option<String>,
    /// The profile of this set in whose file it is written.
    #[serde(default)]
    pub within: Option<String>,
    /// The template below `/etc/apparmor.d` from which it is made.
    #[serde(default)]
    pub template: Option<String>,
    /// For `template`: the word in it that stands for the profile's name.
    #[serde(default)]
    pub placeholder: Option<String>,
    /// For `template`: rules for the included file, as virt-aa-helper writes for one guest.
    #[serde(default)]
    pub files: Vec<String>,
    /// What it is for; cases name these.
    pub roles: Vec<String>,
    /// The user that its processes run as; root where not given.
    #[serde(default)]
    pub user: Option<String>,
    /// The image may lack its file, or its template; then it is no part of the set there.
    #[serde(default)]
    pub optional: bool,
}

impl Manifest {
    /// Roles and their profiles, as far as `present` says that a profile is there.
    pub fn roles(&self, present: impl Fn(&Profile) -> bool) -> Roles {
        let mut roles = Roles::new();
        for profile in self.profiles.iter().filter(|profile| present(profile)) {
            for role in &profile.roles {
                let chosen = SubjectProfile {
                    profile: profile.name.clone(),
                    user: profile.user.clone(),
                };
                roles.entry(role.clone()).or_default().push(chosen);
            }
        }
        roles
    }
}

/// A set that is wrong on purpose: another set, edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KnownBad {
    /// The file's own name without `.yaml`.
    pub name: String,
    /// One sentence: what is wrong with it.
    pub summary: String,
    /// The set that is edited.
    pub of: String,
    /// In this order.
    pub edits: Vec<Edit>,
}

/// One change of a profile: exactly one of `without`, `add`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Edit {
    /// The profile's full name.
    pub profile: String,
    /// An access to take away.
    #[serde(default)]
    pub without: Option<AccessSpec>,
    /// A rule to add.
    #[serde(default)]
    pub add: Option<String>,
}
