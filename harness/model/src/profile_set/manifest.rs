//! The format of profile sets: `profiles/*.yaml`, and `profiles/known-bad/*.yaml` for sets that are wrong on purpose.

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
    /// Folders that the profiles are made for, `{set.KEY}` in a case. By default they are found in the image.
    #[serde(default)]
    pub dirs: Option<Dirs>,
    /// The profiles. Either these or `like`.
    #[serde(default)]
    pub profiles: Vec<Profile>,
    /// The set whose profiles and further files this set also has. Each of them may be missing here.
    #[serde(default)]
    pub like: Option<String>,
    /// Further files below `/etc/apparmor.d` that belong to the set, such as those that its profiles include. A set
    /// that does not come from the image's packages replaces all of them.
    #[serde(default)]
    pub further: Vec<String>,
}

/// Where the files of a set come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// What the image's packages installed under `/etc/apparmor.d`.
    Packaged,
    /// A libvirt source tree, which the command line names: `NAME:DIR` or `NAME:DIR@REVISION`.
    LibvirtSource,
    /// A folder laid out like `/etc/apparmor.d`, which the command line names: `NAME:DIR`.
    Dir,
}

impl Origin {
    /// Whether the command line names the files, so that nothing is known about them beforehand. Files that a parser
    /// rejects are reported, and a known failure may be absent.
    pub fn is_given(self) -> bool {
        self != Origin::Packaged
    }
}

/// Folders as libvirt was configured; absolute, without a slash at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dirs {
    /// Helper programs, `/usr/lib/libvirt`.
    pub libexecdir: String,
    /// Daemons, `/usr/sbin`.
    pub sbindir: String,
    /// Configuration, `/etc`.
    pub sysconfdir: String,
    /// Files that last until the next boot, `/run`.
    #[serde(default = "run")]
    pub runstatedir: String,
}

fn run() -> String {
    "/run".into()
}

impl Dirs {
    /// The folders by the names that templates use.
    pub fn by_key(&self) -> BTreeMap<String, String> {
        [
            ("libexecdir", &self.libexecdir),
            ("sbindir", &self.sbindir),
            ("sysconfdir", &self.sysconfdir),
            ("runstatedir", &self.runstatedir),
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
    /// The name in cases and reports. Without `label` it is also the full name by which the kernel lists the profile,
    /// `libvirtd//qemu_bridge_helper`. An old file may instead name the profile by the path that it attaches to.
    pub name: String,
    /// For `template`: the full name by which the kernel lists the profile, if it is not `name`.
    #[serde(default)]
    pub label: Option<String>,
    /// Its file below `/etc/apparmor.d`.
    #[serde(default)]
    pub file: Option<String>,
    /// The profile of this set whose file also has this profile.
    #[serde(default)]
    pub within: Option<String>,
    /// The template below `/etc/apparmor.d` from which it is made.
    #[serde(default)]
    pub template: Option<String>,
    /// For `template`: the word in it that stands for the profile's name.
    #[serde(default)]
    pub placeholder: Option<String>,
    /// For `template`: rules for the included file, as virt-aa-helper writes them for one guest; empty if it writes
    /// none.
    #[serde(default)]
    pub files: Vec<String>,
    /// Its roles; cases name these.
    pub roles: Vec<String>,
    /// The user that its processes run as; root by default.
    #[serde(default)]
    pub user: Option<String>,
    /// Whether the image may lack its file or template. The profile is then not part of the set there.
    #[serde(default)]
    pub optional: bool,
}

impl Profile {
    /// The full name by which the kernel lists the profile.
    pub fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name)
    }
}

impl Manifest {
    /// Roles and their profiles, only those for which `present` is true.
    pub fn roles(&self, present: impl Fn(&Profile) -> bool) -> Roles {
        self.roles_by_label(|profile| present(profile).then(|| profile.label().to_owned()))
    }

    /// Roles and their profiles. `label` gives the name by which the kernel lists a profile, or `None` if the profile
    /// is missing.
    pub fn roles_by_label(&self, label: impl Fn(&Profile) -> Option<String>) -> Roles {
        let mut roles = Roles::new();
        for profile in &self.profiles {
            let Some(label) = label(profile) else { continue };
            for role in &profile.roles {
                let chosen = SubjectProfile {
                    name: profile.name.clone(),
                    profile: label.clone(),
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
    /// The edits, in this order.
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
