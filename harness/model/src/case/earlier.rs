//! The cases that a variant begins with, as variants of their own, so that their steps need not be performed again. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::expand::Variant;
use super::loaded::Loaded;
use super::model::Step;
use super::plan::{AGENT, DAEMON_TIMEOUT, Planned, STEP_TIMEOUT};

/// A case that comes before another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// The case, with all that comes before it.
    pub variant: Variant,
    /// How many of the first steps of the later case it performs.
    pub steps: usize,
}

impl Earlier {
    /// All that the machine at the end of this case depends on, besides the image, the set's text and the fixtures. `folders`
    /// are the set's.
    pub fn identity(&self, folders: &BTreeMap<String, String>) -> String {
        let variant = &self.variant;
        let parts = (
            &*variant.loaded.case,
            &variant.profiles,
            &variant.values,
            self.steps,
            folders,
        );
        // Plain data always has a JSON form.
        serde_json::to_string(&parts).unwrap_or_default()
    }

    /// How long its steps may take.
    pub fn limit(&self) -> Duration {
        let case = &self.variant.loaded.case;
        let steps = case.setup.iter().chain(&case.steps);
        let steps = steps.map(|step| step.timeout.or(case.timeout).unwrap_or(STEP_TIMEOUT));
        let daemons = case
            .subjects
            .values()
            .filter_map(|subject| subject.daemon.as_ref());
        let daemons = daemons.map(|daemon| daemon.timeout.unwrap_or(DAEMON_TIMEOUT));
        Duration::from_secs(steps.chain(daemons).sum())
    }

    /// Whether one of these subjects is a subject of this case.
    pub fn has_any(&self, subjects: &[&str]) -> bool {
        let own = &self.variant.loaded.case.subjects;
        subjects.iter().any(|name| own.contains_key(*name))
    }
}

/// The cases that a variant begins with, the first one first; `cases` are all cases. One whose end cannot be kept is left
/// out, with those after it.
pub fn chain(variant: &Variant, cases: &[Loaded]) -> Vec<Earlier> {
    let mut chain = Vec::new();
    let mut later = variant.clone();
    while let Some(earlier) = before(&later, cases) {
        let steps = earlier.loaded.case.setup.len() + earlier.loaded.case.steps.len();
        later = earlier.clone();
        chain.push(Earlier {
            variant: earlier,
            steps,
        });
    }
    chain.reverse();
    let can = chain.iter().take_while(|earlier| can_be_kept(earlier, variant));
    let can = can.count();
    chain.truncate(can);
    chain
}

/// The variant of the case that this one begins with.
fn before(variant: &Variant, cases: &[Loaded]) -> Option<Variant> {
    let name = variant.loaded.case.from.as_ref()?;
    let loaded = cases.iter().find(|loaded| loaded.case.name == *name)?;
    let profiles = variant.profiles.iter();
    let profiles = profiles.filter(|(subject, _)| loaded.case.subjects.contains_key(*subject));
    Some(Variant {
        id: name.clone(),
        variant: None,
        values: BTreeMap::new(),
        profiles: profiles
            .map(|(subject, chosen)| (subject.clone(), chosen.clone()))
            .collect(),
        loaded: loaded.clone(),
    })
}

/// Whether a later case can go on where this one has ended. Only daemons and their guests outlive a case: no other subject
/// may act in both, and no other program of a daemon may have a label of its own.
fn can_be_kept(earlier: &Earlier, later: &Variant) -> bool {
    let case = &later.loaded.case;
    let all: Vec<&Step> = case.setup.iter().chain(&case.steps).collect();
    let (held, own) = all.split_at(earlier.steps.min(all.len()));
    let acts = |steps: &[&Step], name: &str| steps.iter().any(|step| names(step, name));
    let subjects = earlier.variant.loaded.case.subjects.iter();
    subjects.into_iter().all(|(name, subject)| {
        let ends = subject.daemon.is_none() && subject.run_by.is_none();
        let is_program = subject.run_by.is_some() && !subject.is_guest();
        let acts_in_both = acts(held, name) && acts(own, name);
        !(is_program || ends && acts_in_both)
    })
}

/// Whether a subject acts in a step, or the step is done to it.
fn names(step: &Step, subject: &str) -> bool {
    let to = step.signal.as_ref().map(|signal| signal.to.as_str());
    let of = step.ptrace.as_ref().map(|ptrace| ptrace.of.as_str());
    let limited = step.set_limit.as_ref().and_then(|limit| limit.of.as_deref());
    [Some(step.by.as_str()), to, of, limited].contains(&Some(subject)) && subject != AGENT
}

impl Planned {
    /// Has the case begin where an earlier one ended; what that one left is kept under the name `identity`.
    pub fn begin_from(&mut self, earlier: &Earlier, identity: &str) {
        self.plan.held = earlier.steps;
        self.plan.begins_from = Some(identity.to_owned());
        let loads = earlier.variant.loaded.case.policy_loads.count;
        let own = &mut self.case.policy_loads.count;
        *own = own.saturating_sub(loads);
    }

    /// Has the case leave its daemons and their guests to the next one, under the name `identity`.
    pub fn keep_as(&mut self, identity: &str) {
        self.plan.keep_as = Some(identity.to_owned());
        self.plan.cleanup = Vec::new();
        self.case.cleanup = Vec::new();
    }
}

#[cfg(test)]
mod tests;
