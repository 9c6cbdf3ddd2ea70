//! Which variants a command line asks for.

use super::failure::Failure;
use crate::case::expand::{Roles, Variant, expand};
use crate::data::Data;
use crate::yaml::suggest;

/// The variants chosen, and the cases that this set has no profile for, with the reason.
pub struct Selection {
    /// To be run, in the order of their files.
    pub variants: Vec<Variant>,
    /// Skipped: name and reason.
    pub skipped: Vec<(String, String)>,
}

/// Choose by patterns; none chooses everything. A pattern that chooses nothing is an error.
pub fn select(data: &Data, roles: &Roles, patterns: &[String]) -> Result<Selection, Failure> {
    let mut all = Vec::new();
    let mut skipped = Vec::new();
    for loaded in &data.cases {
        match expand(loaded, roles) {
            Ok(mut variants) => all.append(&mut variants),
            Err(none) => skipped.push((loaded.case.name.clone(), none.to_string())),
        }
    }
    if all.is_empty() && skipped.is_empty() {
        return Err(Failure::usage("there are no cases: cases/ holds none"));
    }
    for pattern in patterns {
        let found = all.iter().any(|variant| variant.matches(pattern))
            || skipped
                .iter()
                .any(|(name, _)| wildmatch::WildMatch::new(pattern).matches(name));
        if !found {
            let names = data.cases.iter().map(|loaded| loaded.case.name.as_str());
            let near = suggest::help(pattern, names)
                .unwrap_or_else(|| "`virt-aa-conform list` shows them all".into());
            return Err(Failure::usage(format!("no case matches `{pattern}`; {near}")));
        }
    }
    let wanted = |matches: &dyn Fn(&str) -> bool| {
        patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern))
    };
    all.retain(|variant| wanted(&|pattern| variant.matches(pattern)));
    skipped.retain(|(name, _)| wanted(&|pattern| wildmatch::WildMatch::new(pattern).matches(name)));
    Ok(Selection {
        variants: all,
        skipped,
    })
}

/// The roles of every set, each with all the profiles that any set has for it.
pub fn all_roles(data: &Data) -> Roles {
    let mut all = Roles::new();
    for manifest in data.sets.manifests.values() {
        for (role, profiles) in manifest.roles(|_| true) {
            let known = all.entry(role).or_default();
            for profile in profiles {
                if !known.contains(&profile) {
                    known.push(profile);
                }
            }
        }
    }
    all
}
