//! What a case says must hold, in the order of the plan's steps.

use std::collections::BTreeMap;

use aa_policy::Access;

use crate::case::expand::SubjectProfile;
use crate::case::model::{Case, Guard, Step};
use crate::case::rules::owner;
use crate::denial::access_of;

/// A case with its templates filled in, and the profile of each subject.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The filled-in case.
    pub case: Case,
    /// The profile of each subject that has a role.
    pub profiles: BTreeMap<String, SubjectProfile>,
}

impl Expected {
    /// Steps in the order of the evidence: `setup`, then `steps`.
    pub fn steps(&self) -> Vec<&Step> {
        self.case.setup.iter().chain(&self.case.steps).collect()
    }

    /// The label that a subject must have had, and whether a daemon had to get it by attachment.
    pub fn label_of(&self, subject: &str) -> Option<&str> {
        let by_role = self.profiles.get(subject).map(|chosen| chosen.profile.as_str());
        by_role.or_else(|| self.case.subjects.get(subject)?.label.as_deref())
    }

    /// The user that a subject must be; `None` is root.
    pub fn user_of(&self, subject: &str) -> Option<&str> {
        let own = self.case.subjects.get(subject)?.user.as_deref();
        own.or_else(|| self.profiles.get(subject)?.user.as_deref())
            .filter(|user| *user != "root")
    }

    /// The accesses that the guards protect, each with the profile that grants or lacks it.
    pub fn guarded(&self) -> Vec<(Access, Option<&str>)> {
        let of = |guard| self.label_of(owner(&self.case, guard)?);
        let guards = self.case.guards.iter();
        guards
            .filter_map(|guard| Some((guarded(guard)?, of(guard))))
            .collect()
    }
}

/// The access that a guard protects, or lets be asked for.
pub fn guarded(guard: &Guard) -> Option<Access> {
    let taken = guard.without.as_ref().and_then(access_of);
    taken.or_else(|| guard.add.clone().map(Access::Rule))
}
