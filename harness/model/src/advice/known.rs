//! A profile set that is at hand, and what it says of a denial.

use std::path::{Path, PathBuf};

use aa_audit::Record;
use aa_policy::{PolicyFile, Profile, Request, RuleKind, Tree, TreeError, deny_covers, grants, parse};

use super::places::{PolicyOwner, is_guest, place_of, profile_of};
use crate::denial::request_of;

/// The file that stands for a guest's own, as virt-aa-helper would write it without any file of the guest's.
const GUEST_FILE: &str = "a-guest-of-no-domain";
const ABSTRACTION: &str = "abstractions/libvirt-qemu";

/// Folders in which a program of the same name may be that the set has rules for.
const PROGRAMS: [&str; 6] = [
    "/usr/bin",
    "/usr/sbin",
    "/bin",
    "/sbin",
    "/usr/lib/libvirt",
    "/usr/libexec",
];

/// The set's files, read as they are needed.
#[derive(Debug)]
pub struct Known {
    /// Where the set is, as a message begins with it: `in image debian-13`.
    name: String,
    tree: Tree,
}

/// What the set says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The explicit `deny` that covers the denial.
    pub denied: Option<String>,
    /// A rule that allows all of it.
    pub granted: Option<String>,
    /// How the profile runs a program of the same name that is elsewhere: `PUx`, `Cx -> child`.
    pub exec: Option<String>,
}

impl Known {
    /// The set in a folder laid out like `/etc/apparmor.d`.
    ///
    /// # Errors
    /// Where its files cannot be read.
    pub fn read(dir: &Path, name: &str) -> Result<Self, TreeError> {
        Ok(Self::new(Tree::read(dir)?, name))
    }

    fn new(mut tree: Tree, name: &str) -> Self {
        if tree.get(ABSTRACTION).is_some() {
            let text =
                format!("include <tunables/global>\nprofile guest {{\n  include <{ABSTRACTION}>\n}}\n");
            // A set that has a file of this name keeps its own, and guests are not looked up.
            let _ = tree.insert(GUEST_FILE, text);
        }
        Self {
            name: name.to_owned(),
            tree,
        }
    }

    /// What it says of what a record says was denied.
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
        // A rule cannot help where any part of it is denied.
        if let Some(deny) = asked.iter().find_map(|one| deny_covers(&policy, &name, one)) {
            return Look {
                denied: Some(at(&deny)),
                ..Look::default()
            };
        }
        // Each letter that was asked for must be granted by some rule.
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

    /// The file and the name there of the profile that a record names.
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

/// The request in parts, of which each is granted by one rule or not at all.
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

/// How a program of the same name runs that is in another folder.
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
    // One that names the program says more than one for a whole folder.
    let best = modes.min_by_key(|(path, _)| !path.as_str().ends_with(base));
    best.map(|(_, exec)| match &exec.target {
        Some(target) => format!("{} -> {target}", exec.mode),
        None => exec.mode.clone(),
    })
}

#[cfg(test)]
mod tests;
