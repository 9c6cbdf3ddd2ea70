//! What a case says must hold, in the order of the plan's steps.

use std::collections::BTreeMap;

use aa_policy::Access;
use virt_aa_probe::protocol::{CaseEvidence, StepEvidence};

use crate::case::expand::SubjectProfile;
use crate::case::guard::owner;
use crate::case::model::{Case, Guard, Step};
use crate::denial::access_of;

/// A case with its templates filled in, and the profile of each subject.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The filled-in case.
    pub case: Case,
    /// The profile of each subject that has a role.
    pub profiles: BTreeMap<String, SubjectProfile>,
    /// How many of the first steps an earlier case has performed. The evidence has none of them.
    pub held: usize,
}

impl Expected {
    /// All steps: `setup`, then `steps`. A step's number is its index here, also if an earlier case has performed it.
    pub fn steps(&self) -> Vec<&Step> {
        self.case.setup.iter().chain(&self.case.steps).collect()
    }

    /// The steps that the evidence has, each with its number.
    pub fn reached<'a>(
        &'a self,
        evidence: &'a CaseEvidence,
    ) -> impl Iterator<Item = (usize, &'a Step, &'a StepEvidence)> {
        let steps = self.steps().into_iter().enumerate().skip(self.held);
        steps
            .zip(&evidence.steps)
            .map(|((number, step), done)| (number, step, done))
    }

    /// The evidence of the step with this number.
    pub fn done<'a>(&self, number: usize, evidence: &'a CaseEvidence) -> Option<&'a StepEvidence> {
        evidence.steps.get(number.checked_sub(self.held)?)
    }

    /// The number of the first step that was not reached.
    pub fn next_step(&self, evidence: &CaseEvidence) -> usize {
        self.held + evidence.steps.len()
    }

    /// Whether an earlier case has started the subject's daemon.
    pub fn is_held(&self, subject: &str) -> bool {
        let held = self.steps().into_iter().take(self.held);
        held.into_iter()
            .any(|step| step.by == subject && step.start.is_some())
    }

    /// The label that a subject must have had.
    pub fn label_of(&self, subject: &str) -> Option<&str> {
        let own = self
            .case
            .subjects
            .get(subject)
            .and_then(|subject| subject.label.as_deref());
        own.or_else(|| Some(self.profiles.get(subject)?.profile.as_str()))
    }

    /// The guests that subjects start themselves, each with the label that its daemon loads for it.
    pub fn guests(&self) -> impl Iterator<Item = Guest<'_>> {
        self.case.subjects.values().filter_map(|subject| {
            Some(Guest {
                run_by: subject.run_by.as_deref()?,
                label: subject.label.as_deref()?,
            })
        })
    }

    /// The labels of the subjects that are programs run by this one.
    pub fn labels_of_run_by(&self, subject: &str) -> impl Iterator<Item = &str> {
        let run = self.case.subjects.iter();
        let run = run.filter(move |(_, other)| other.run_by.as_deref() == Some(subject));
        run.filter_map(|(name, _)| self.label_of(name))
    }

    /// The user that a subject must be; `None` is root.
    pub fn user_of(&self, subject: &str) -> Option<&str> {
        let own = self.case.subjects.get(subject)?.user.as_deref();
        own.or_else(|| self.profiles.get(subject)?.user.as_deref())
            .filter(|user| *user != "root")
    }

    /// The capabilities that a subject is started without.
    pub fn drops_of(&self, subject: &str) -> &[String] {
        let subject = self.case.subjects.get(subject);
        subject
            .map(|subject| subject.drops.as_slice())
            .unwrap_or_default()
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

/// A guest that a subject starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest<'a> {
    /// The subject that starts it.
    pub run_by: &'a str,
    /// The label of its process.
    pub label: &'a str,
}

/// The access that a guard takes away or adds.
pub fn guarded(guard: &Guard) -> Option<Access> {
    let taken = guard.without.as_ref().and_then(access_of);
    taken.or_else(|| guard.add.clone().map(Access::Rule))
}
