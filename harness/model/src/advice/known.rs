//! A profile set that is available, and what it says about a denial.

use std::path::{Path, PathBuf};

use aa_audit::Record;
use aa_policy::{PolicyFile, Profile, Request, RuleKind, Tree, TreeError, deny_covers, grants, parse};

use super::places::{PolicyOwner, is_guest, place_of, profile_of};
use crate::denial::request_of;

/// A file that stands for a guest's profile, as virt-aa-helper would write it for a guest without files.
const GUEST_FILE: &str = "a-guest-of-no-domain";
const ABSTRACTION: &str = "abstractions/libvirt-qemu";

/// Folders that may hold a program of the same name for which the set has rules.
const PROGRAMS: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/bin",
    "/sbin",
    "/usr/lib/libvirt",
    "/usr/libexec",
];

/// The set's files, parsed as they are needed.
#[derive(Debug)]
pub struct Known {
    /// Where the set is, in the form that messages begin with: `in image debian-13`.
    name: String,
    tree: Tree,
}

/// What the set says about a denial.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The explicit `deny` that covers the denial.
    pub denied: Option<String>,
    /// A rule that allows all of it.
    pub granted: Option<String>,
    /// How the profile executes a program of the same name in another folder: `PUx`, `Cx -> child`.
    pub exec: Option<String>,
}

impl Known {
    /// Reads the set in a folder laid out like `/etc/apparmor.d`.
    ///
    /// # Errors
    /// Fails if its files cannot be read.
    pub fn read(dir: &Path, name: &str) -> Result<Self, TreeError> {
        Ok(Self::new(Tree::read(dir)?, name))
    }

    fn new(mut tree: Tree, name: &str) -> Self {
        if tree.get(ABSTRACTION).is_some() {
            let text =
                format!("include <tunables/global>\nprofile guest {{\n  include <{ABSTRACTION}>\n}}\n");
            // Without this file, guests are not looked up.
            let _ = tree.insert(GUEST_FILE, text);
        }
        Self {
            name: name.to_owned(),
            tree,
        }
    }

    /// What the set says about the access that a record denies.
    pub fn look(&self, record: &Record) -> Look {
        let profile = profile_of(record);
        let (Some((policy, name)), Some(request)) = (self.declaring(record, profile), request_of(record))
        else {
            return Look::default();
        };
        let at = |place: &aa_policy::Location| {
            let file = if &*place.file == GUEST_FILE {
                ABSTRACTION
            } else {
                &*place.file
            };
            format!("{}, {file}:{}", self.name, place.line)
        };
        let asked = single(&request);
        // A rule cannot help if any part of the access is denied.
        if let Some(deny) = asked.iter().find_map(|one| deny_covers(&policy, &name, one)) {
            return Look {
                denied: Some(at(&deny)),
                ..Look::default()
            };
        }
        // Some rule must grant each requested letter.
        let all: Vec<_> = asked.iter().map(|one| grants(&policy, &name, one)).collect();
        let granted = (!all.is_empty() && all.iter().all(|rules| !rules.is_empty()))
            .then(|| {
                all[0]
                    .first()
                    .map(|rule| format!("{} (`{}`)", at(&rule.location), rule.text))
            })
            .flatten();
        let exec = policy
            .profile(&name)
            .and_then(|profile| exec_like(profile, &request));
        Look {
            denied: None,
            granted,
            exec,
        }
    }

    /// The file that declares the profile of a record, and the profile's name in it.
    fn declaring(&self, record: &Record, profile: &str) -> Option<(PolicyFile, String)> {
        if is_guest(profile) {
            return Some((parse(&self.tree, GUEST_FILE).ok()?, "guest".to_owned()));
        }
        let named = match place_of(record) {
            PolicyOwner::Libvirt { file, .. } => Some(PathBuf::from(file)),
            _ => None,
        };
        let tops = self.tree.paths().filter(|path| !path.contains('/'));
        let holds = |path: &&str| self.tree.get(path).is_some_and(|text| text.contains(profile));
        let candidates = named
            .as_deref()
            .and_then(Path::to_str)
            .into_iter()
            .chain(tops.filter(holds));
        for file in candidates {
            let Ok(policy) = parse(&self.tree, file) else {
                continue;
            };
            let mut profiles = policy.profiles.iter();
            let found = profiles.find(|known| {
                known.name == profile
                    || known
                        .attachment
                        .as_ref()
                        .is_some_and(|program| program.matches(profile))
            });
            if let Some(found) = found {
                let name = found.name.clone();
                return Some((policy, name));
            }
        }
        None
    }
}

/// Splits the request into parts, each of which a single rule grants or none does.
fn single(request: &Request) -> Vec<Request> {
    match request {
        Request::File { name, mask, owner } => mask
            .chars()
            .filter(|letter| *letter != ':')
            .map(|letter| Request::File {
                name: name.clone(),
                mask: letter.to_string(),
                owner: *owner,
            })
            .collect(),
        other => vec![other.clone()],
    }
}

/// How the profile executes a program of the same name in another folder.
fn exec_like(profile: &Profile, request: &Request) -> Option<String> {
    let Request::File { name, mask, .. } = request else {
        return None;
    };
    let base = name
        .rsplit('/')
        .next()
        .filter(|base| mask.contains('x') && !base.is_empty())?;
    let elsewhere: Vec<String> = PROGRAMS.iter().map(|folder| format!("{folder}/{base}")).collect();
    let modes = profile.all_rules().filter_map(|rule| match &rule.kind {
        RuleKind::File {
            path,
            exec: Some(exec),
            ..
        } if rule.allows() && elsewhere.iter().any(|program| path.matches(program)) => Some((path, exec)),
        _ => None,
    });
    // A rule that names the program is more specific than one for a whole folder.
    let best = modes.min_by_key(|(path, _)| !path.as_str().ends_with(base));
    best.map(|(_, exec)| match &exec.target {
        Some(target) => format!("{} -> {target}", exec.mode),
        None => exec.mode.clone(),
    })
}

#[cfg(test)]
mod tests;
