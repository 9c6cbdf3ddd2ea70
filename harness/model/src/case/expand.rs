//! Expands one case into its variants: each entry of `with`, for each profile that has the role.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::loaded::Loaded;
use super::model::{Case, Scalar};

/// A profile that a subject enters, and the user it runs as.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SubjectProfile {
    /// Its name in the manifest, which is the same in every set. Variant ids, `except` and `only` use it.
    pub name: String,
    /// Its full name, as the kernel lists it.
    pub profile: String,
    /// The user the role runs as; `None` means root.
    pub user: Option<String>,
}

/// Roles, each with the profiles that have it in the set under test.
pub type Roles = BTreeMap<String, Vec<SubjectProfile>>;

/// One run of a case.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// `NAME@PROFILE` or `NAME:VARIANT@PROFILE`, unique over all cases of a set. The profile is that of the first step
    /// done by a subject with a role. If several profiles have another subject's role too, `+PROFILE` follows for that
    /// subject. Without a role there is no `@`.
    pub id: String,
    /// The `id` of the entry of `with`.
    pub variant: Option<String>,
    /// The entry's values, including `id`.
    pub values: BTreeMap<String, Scalar>,
    /// The profile of each subject that has a role.
    pub profiles: BTreeMap<String, SubjectProfile>,
    /// The case as loaded.
    pub loaded: Loaded,
}

/// A case that a profile set has no profile for. It is reported as a skip, never dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no profile of this set is left for the role `{role}` of subject `{subject}` in case `{case}`{}",
    reasons(excepted)
)]
pub struct NoProfile {
    /// The case's name.
    pub case: String,
    /// The subject's name.
    pub subject: String,
    /// Its role.
    pub role: String,
    /// Profiles of the set that the case leaves out, with its reasons.
    pub excepted: Vec<(String, String)>,
}

fn reasons(excepted: &[(String, String)]) -> String {
    excepted
        .iter()
        .map(|(profile, reason)| format!("; not for {profile}: {reason}"))
        .collect()
}

/// The variants of a case under a set: at least one.
pub fn expand(loaded: &Loaded, roles: &Roles) -> Result<Vec<Variant>, NoProfile> {
    let case = &*loaded.case;
    let candidates = candidates(case, roles)?;
    let named = named_subjects(case, &candidates);
    let no_values = [BTreeMap::new()];
    let entries = if case.with.is_empty() {
        &no_values[..]
    } else {
        &case.with[..]
    };
    let mut variants = Vec::new();
    for values in entries {
        let variant = values.get("id").map(ToString::to_string);
        for profiles in assignments(&candidates) {
            if !children_are_of_their_runners(case, &profiles) {
                continue;
            }
            let mut id = case.name.clone();
            if let Some(variant) = &variant {
                id = format!("{id}:{variant}");
            }
            for (at, subject) in named.iter().enumerate() {
                id.push(if at == 0 { '@' } else { '+' });
                id.push_str(&profiles[*subject].name);
            }
            let (variant, values, loaded) = (variant.clone(), values.clone(), loaded.clone());
            variants.push(Variant {
                id,
                variant,
                values,
                profiles,
                loaded,
            });
        }
    }
    if variants.is_empty() {
        return Err(no_pair(case));
    }
    Ok(variants)
}

/// Whether each program that a subject runs enters a child of that subject's own profile.
fn children_are_of_their_runners(case: &Case, profiles: &BTreeMap<String, SubjectProfile>) -> bool {
    let mut pairs = case.subjects.iter().filter_map(|(name, subject)| {
        let by = profiles.get(subject.run_by.as_ref()?)?;
        let (parent, _) = profiles.get(name)?.name.rsplit_once("//")?;
        Some((parent, by))
    });
    pairs.all(|(parent, by)| parent == by.name)
}

/// The error if no profile has the child that the case is about.
fn no_pair(case: &Case) -> NoProfile {
    let child = case.subjects.iter().find(|(_, subject)| subject.run_by.is_some());
    let (subject, role) = child.map_or_else(Default::default, |(name, subject)| {
        (name.clone(), subject.role.clone().unwrap_or_default())
    });
    NoProfile {
        case: case.name.clone(),
        subject,
        role,
        excepted: Vec::new(),
    }
}

impl Variant {
    /// The variant that represents a case for which the set has no profile.
    pub fn without_profiles(loaded: &Loaded) -> Variant {
        Variant {
            id: loaded.case.name.clone(),
            variant: None,
            values: BTreeMap::new(),
            profiles: BTreeMap::new(),
            loaded: loaded.clone(),
        }
    }

    /// Whether a command-line pattern with `*` and `?` selects it. The pattern matches its name, `NAME:VARIANT`, its
    /// whole id, its folder, or its folder and any of these (`network/*`).
    pub fn matches(&self, pattern: &str) -> bool {
        let pattern = WildMatch::new(pattern);
        let group = &self.loaded.group;
        let names = [
            self.loaded.case.name.as_str(),
            self.without_profile(),
            self.id.as_str(),
        ];
        pattern.matches(group)
            || names
                .iter()
                .any(|name| pattern.matches(name) || pattern.matches(&format!("{group}/{name}")))
    }

    /// A key that is equal for the same case with the same profiles in any set. An id names only the profiles that the
    /// set leaves a choice of.
    pub fn key(&self) -> String {
        let profiles = self.profiles.iter();
        let profiles: Vec<String> = profiles
            .map(|(subject, chosen)| format!("{subject}={}", chosen.name))
            .collect();
        format!("{}@{}", self.without_profile(), profiles.join("+"))
    }

    /// `NAME` or `NAME:VARIANT`.
    pub fn without_profile(&self) -> &str {
        self.id.split_once('@').map_or(self.id.as_str(), |(name, _)| name)
    }
}

type Candidates<'a> = BTreeMap<&'a str, Vec<&'a SubjectProfile>>;

/// The profiles that each subject with a role may have.
fn candidates<'a>(case: &'a Case, roles: &'a Roles) -> Result<Candidates<'a>, NoProfile> {
    let mut candidates = BTreeMap::new();
    for (name, subject) in &case.subjects {
        let Some(role) = &subject.role else { continue };
        let all = roles.get(role).map(Vec::as_slice).unwrap_or_default();
        let (excepted, left): (Vec<_>, Vec<_>) = all
            .iter()
            .partition(|candidate| subject.except.contains_key(&candidate.name));
        if left.is_empty() {
            let excepted = excepted
                .into_iter()
                .map(|candidate| (candidate.name.clone(), subject.except[&candidate.name].clone()))
                .collect();
            let (case, subject, role) = (case.name.clone(), name.clone(), role.clone());
            return Err(NoProfile {
                case,
                subject,
                role,
                excepted,
            });
        }
        candidates.insert(name.as_str(), left);
    }
    Ok(candidates)
}

/// The subjects whose profile is part of the id: the first that acts, and each other one that has a choice.
fn named_subjects<'a>(case: &'a Case, candidates: &Candidates<'a>) -> Vec<&'a str> {
    let acting = case.setup.iter().chain(&case.steps).map(|step| step.by.as_str());
    let mut seen = BTreeSet::new();
    let mut order: Vec<&str> = acting
        .chain(case.subjects.keys().map(String::as_str))
        .filter(|name| candidates.contains_key(name) && seen.insert(*name))
        .collect();
    let mut at = 0;
    // A child's profile follows from the profile of the subject that runs it.
    let is_child = |name: &str| {
        let run = case
            .subjects
            .get(name)
            .is_some_and(|subject| subject.run_by.is_some());
        run && candidates[name]
            .iter()
            .all(|candidate| candidate.name.contains("//"))
    };
    order.retain(|name| {
        at += 1;
        at == 1 || (candidates[name].len() > 1 && !is_child(name))
    });
    order
}

/// Every combination of one profile for each subject.
fn assignments(candidates: &Candidates<'_>) -> Vec<BTreeMap<String, SubjectProfile>> {
    let mut all = vec![BTreeMap::new()];
    for (subject, profiles) in candidates {
        all = all
            .into_iter()
            .flat_map(|chosen: BTreeMap<String, SubjectProfile>| {
                profiles.iter().map(move |profile| {
                    let mut chosen = chosen.clone();
                    chosen.insert((*subject).to_owned(), (*profile).clone());
                    chosen
                })
            })
            .collect();
    }
    all
}
