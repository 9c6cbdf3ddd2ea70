//! Turns a variant and the machine's facts into the agent's plan. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use virt_aa_probe::protocol::{CasePlan, Daemon, GuestPlan, StepPlan, SubjectPlan};

use super::expand::Variant;
use super::model::{Case, Step, Subject};
use super::names::MAX_TIMEOUT;
use super::problem::{Located, Problem};
use super::template::{self, TemplateError};
use crate::yaml::path::Path;

mod act;
mod numbers;

/// The default time limit of a step, in seconds.
pub(super) const STEP_TIMEOUT: u64 = 10;
/// The default time limit for a daemon to become ready, in seconds.
pub(super) const DAEMON_TIMEOUT: u64 = 30;

/// The values for the templates of a case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `{set.KEY}`: folders of the profile set.
    pub set: BTreeMap<String, String>,
    /// `{FIXTURE.FACT}`: what each fixture reported when it was up.
    pub fixtures: BTreeMap<String, BTreeMap<String, String>>,
}

/// A case ready to run, and to be judged.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan for the agent.
    pub plan: CasePlan,
    /// The case with its templates filled in. The steps of the plan are its `setup` and then its `steps`, one for one.
    /// Its expectations and guards are used for judging and proving.
    pub case: Case,
}

/// Why a variant cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A template that these facts do not fill in.
    #[error("case `{id}`: {error}")]
    Template {
        /// The variant's id.
        id: String,
        /// Which template, and where.
        error: TemplateError,
    },
    /// A step or subject that makes no sense once filled in.
    #[error("case `{id}`: {error}")]
    Step {
        /// The variant's id.
        id: String,
        /// What is wrong, and where.
        error: Located,
    },
}

/// The plan of a variant; `token` is unguessable and new for each run.
pub fn plan(variant: &Variant, facts: &Facts, token: String) -> Result<Planned, PlanError> {
    let id = variant.id.clone();
    let case = fill(variant, facts).map_err(|error| PlanError::Template {
        id: id.clone(),
        error,
    })?;
    let plan = to_plan(&case, variant, token).map_err(|error| PlanError::Step { id, error })?;
    Ok(Planned { plan, case })
}

/// The case with all templates filled in.
fn fill(variant: &Variant, facts: &Facts) -> Result<Case, TemplateError> {
    let mut labels: BTreeMap<String, String> = variant
        .profiles
        .iter()
        .map(|(name, chosen)| (name.clone(), chosen.profile.clone()))
        .collect();
    // Labels from roles are known from the start; labels that are written out may use them.
    for (name, subject) in &variant.loaded.case.subjects {
        if let Some(label) = &subject.label {
            let path = Path::root().key("subjects").key(name).key("label");
            let filled = template::fill(label, &|key: &str| look_up(key, variant, facts, &labels))
                .map_err(|key| TemplateError::Unknown { key, path })?;
            labels.insert(name.clone(), filled);
        }
    }
    let mut case = fill_case(&variant.loaded.case, &|key: &str| {
        look_up(key, variant, facts, &labels)
    })?;
    numbers::restore(&variant.loaded.case, &mut case, &variant.values);
    Ok(case)
}

fn look_up<'v>(
    key: &str,
    variant: &'v Variant,
    facts: &'v Facts,
    labels: &'v BTreeMap<String, String>,
) -> Option<Cow<'v, str>> {
    let Some((name, fact)) = key.split_once('.') else {
        return variant.values.get(key).map(|value| Cow::Owned(value.to_string()));
    };
    let found = match (name, fact) {
        ("set", _) => facts.set.get(fact),
        (_, "label") if labels.contains_key(name) => labels.get(name),
        (_, "uuid") if labels.contains_key(name) => {
            let uuid = labels.get(name)?.strip_prefix(GUEST_LABEL)?;
            return Some(Cow::Borrowed(uuid));
        }
        _ => facts.fixtures.get(name).and_then(|facts| facts.get(fact)),
    };
    found.map(|text| Cow::Borrowed(text.as_str()))
}

/// Fills in every part of a case that may hold templates.
pub(crate) fn fill_case<'v>(
    case: &Case,
    lookup: &impl Fn(&str) -> Option<Cow<'v, str>>,
) -> Result<Case, TemplateError> {
    let root = Path::root();
    Ok(Case {
        subjects: template::fill_all(&case.subjects, &root.key("subjects"), lookup)?,
        setup: template::fill_all(&case.setup, &root.key("setup"), lookup)?,
        steps: template::fill_all(&case.steps, &root.key("steps"), lookup)?,
        cleanup: template::fill_all(&case.cleanup, &root.key("cleanup"), lookup)?,
        guards: template::fill_all(&case.guards, &root.key("guards"), lookup)?,
        policy_loads: template::fill_all(&case.policy_loads, &root.key("policy-loads"), lookup)?,
        ..case.clone()
    })
}

fn to_plan(case: &Case, variant: &Variant, token: String) -> Result<CasePlan, Located> {
    let mut subjects = BTreeMap::new();
    let acting = case
        .subjects
        .iter()
        .filter(|(_, subject)| subject.run_by.is_none());
    for (name, subject) in acting {
        subjects.insert(name.clone(), subject_plan(name, subject, variant)?);
    }
    let mut steps = step_plans(&case.setup, "setup")?;
    steps.append(&mut step_plans(&case.steps, "steps")?);
    let cleanup = step_plans(&case.cleanup, "cleanup")?;
    let step_timeout_ms = milliseconds(case.timeout.unwrap_or(STEP_TIMEOUT), &Path::root().key("timeout"))?;
    Ok(CasePlan {
        id: variant.id.clone(),
        token,
        step_timeout_ms,
        subjects,
        steps,
        cleanup,
        held: 0,
        begins_from: None,
        keep_as: None,
        guests: guests(case),
    })
}

fn guests(case: &Case) -> Vec<GuestPlan> {
    let guests = case.subjects.values();
    guests
        .filter_map(|subject| {
            Some(GuestPlan {
                run_by: subject.run_by.clone()?,
                label: subject.label.clone()?,
            })
        })
        .collect()
}

fn subject_plan(name: &str, subject: &Subject, variant: &Variant) -> Result<SubjectPlan, Located> {
    let chosen = variant.profiles.get(name);
    let profile = chosen
        .map(|chosen| chosen.profile.clone())
        .or_else(|| subject.label.clone());
    let user = subject
        .user
        .clone()
        .or_else(|| chosen.and_then(|chosen| chosen.user.clone()));
    let program = match &subject.daemon {
        Some(daemon) => {
            let path = Path::root()
                .key("subjects")
                .key(name)
                .key("daemon")
                .key("timeout");
            let timeout_ms = milliseconds(daemon.timeout.unwrap_or(DAEMON_TIMEOUT), &path)?;
            Some(Daemon {
                argv: daemon.argv.clone(),
                ready: daemon.ready.clone(),
                timeout_ms,
            })
        }
        None => None,
    };
    // A daemon gets its label by attachment.
    let label = if program.is_some() { None } else { profile };
    Ok(SubjectPlan {
        label,
        user,
        memlock: subject.memlock.map(|bytes| (bytes, bytes)),
        program,
    })
}

fn step_plans(steps: &[Step], list: &str) -> Result<Vec<StepPlan>, Located> {
    let path = Path::root().key(list);
    steps
        .iter()
        .enumerate()
        .map(|(index, step)| step_plan(step, &path.index(index)))
        .collect()
}

/// One step, filled in; `path` is where it stands.
pub(crate) fn step_plan(step: &Step, path: &Path) -> Result<StepPlan, Located> {
    let timeout_ms = step
        .timeout
        .map(|seconds| milliseconds(seconds, &path.key("timeout")))
        .transpose()?;
    let by = (step.by != AGENT).then(|| step.by.clone());
    // If the agent's program fails, what it should have made is missing, and later steps would wait for it in vain.
    let exit_or_end = (by.is_none() && step.is_run() && step.denied.is_none())
        .then(|| step.expect.as_ref().and_then(|expect| expect.exit).unwrap_or(0));
    Ok(StepPlan {
        by,
        exit_or_end,
        act: act::act(step, path)?,
        timeout_ms,
    })
}

/// What libvirt puts before a guest's UUID for its label.
const GUEST_LABEL: &str = "libvirt-";

/// The value of a step's `as` that means the agent, not a subject.
pub const AGENT: &str = "agent";

/// Converts a case's seconds to milliseconds.
pub(crate) fn milliseconds(seconds: u64, path: &Path) -> Result<u64, Located> {
    if (1..=MAX_TIMEOUT).contains(&seconds) {
        return Ok(seconds * 1000);
    }
    Err(Problem::NotA {
        text: seconds.to_string(),
        wanted: "a time from 1 to 900 seconds",
    }
    .at(path.clone()))
}
