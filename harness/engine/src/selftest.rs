//! Checks that each way to spoil the evidence keeps a passing case from being green.

mod change;
mod table;

use std::sync::Arc;

use crate::backend::{Backend, VmConfig};
use crate::prepare::{Candidate, Prepared};
use crate::runner::Runner;
use virt_aa_model::case::expand::{Variant, expand};
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::data::Data;
use virt_aa_model::verdict::judge::Verdict;

use self::change::NoPolicy;
pub use self::table::{Sabotage, table};

/// How a sabotage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The verdict and its reason are those in the table.
    Caught,
    /// The case is green all the same: a false green.
    Missed,
    /// The case is not green, but the verdict or its reason is not that of the table.
    Otherwise,
    /// The image's parser does not know it, so it cannot happen there.
    Refused,
    /// The sabotage could not be done, or the case does not pass without it, so nothing is shown.
    NotDone,
}

impl Outcome {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Caught => "caught",
            Outcome::Missed => "MISSED",
            Outcome::Otherwise => "otherwise",
            Outcome::Refused => "refused",
            Outcome::NotDone => "not done",
        }
    }
}

/// The result of a sabotage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// How it ended.
    pub outcome: Outcome,
    /// The verdict; `None` if the case was not run.
    pub verdict: Option<Verdict>,
    /// The verdict's text, unless it is what the table says.
    pub detail: Option<String>,
}

impl Tried {
    fn without(outcome: Outcome, why: String) -> Tried {
        Tried {
            outcome,
            verdict: None,
            detail: Some(why),
        }
    }

    fn of(sabotage: &Sabotage, verdict: Verdict, said: &[String]) -> Tried {
        let is_said = said.iter().any(|text| text.contains(&sabotage.says));
        let outcome = if verdict.is_green() {
            Outcome::Missed
        } else if verdict == sabotage.gives && is_said {
            Outcome::Caught
        } else {
            Outcome::Otherwise
        };
        let wanted = format!("wanted {} with `{}`", sabotage.gives.name(), sabotage.says);
        Tried {
            outcome,
            verdict: Some(verdict),
            detail: (outcome != Outcome::Caught).then(|| format!("{wanted}; got: {}", said.join("; "))),
        }
    }
}

/// A machine on which sabotages are tried one after another.
pub struct Bench<'a> {
    data: &'a Data,
    prepared: &'a Prepared,
    config: &'a VmConfig,
    runner: Runner<'a>,
}

impl<'a> Bench<'a> {
    /// Tries sabotages on the runner's machine. `config` says how to make it.
    pub fn new(
        data: &'a Data,
        prepared: &'a Prepared,
        config: &'a VmConfig,
        runner: Runner<'a>,
    ) -> Bench<'a> {
        Bench {
            data,
            prepared,
            config,
            runner,
        }
    }

    /// Checks that the case passes, spoils it, and checks the verdict. The machine is left as it should be.
    pub fn attempt(&mut self, sabotage: &Sabotage) -> Tried {
        let tried = match &sabotage.kernel {
            Some(words) => self.on_another_kernel(sabotage, words),
            None => self.on_this_machine(sabotage),
        };
        // The next sabotage must not inherit what this one changed.
        if !sabotage.leaves_the_machine_alone() {
            self.runner.discard();
        }
        tried.unwrap_or_else(|why| Tried::without(Outcome::NotDone, why))
    }

    fn on_this_machine(&mut self, sabotage: &Sabotage) -> Result<Tried, String> {
        let honest = self.variant(&sabotage.case, &Sabotage::default())?;
        let spoilt = self.variant(&sabotage.case, sabotage)?;
        let base = &self.prepared.base;
        self.runner.load_anew(base).map_err(|error| error.to_string())?;
        let control = self.runner.run(&honest, base, false);
        if control.verdict != Verdict::Pass {
            let why = control.reason.unwrap_or_default();
            return Err(format!(
                "without it the case is {}: {why}",
                control.verdict.name()
            ));
        }
        let edited: Candidate;
        let candidate = match &sabotage.edit {
            Some(edit) => {
                let set = base.set.edited(std::slice::from_ref(edit));
                let set = set.map_err(|error| error.to_string())?;
                edited = self.prepared.candidate(set).map_err(|error| error.to_string())?;
                &edited
            }
            None => base,
        };
        if let Some(load) = &sabotage.load {
            let policies = match change::policies(self.prepared, load) {
                Ok(policies) => policies,
                Err(NoPolicy::Refused(why)) => return Ok(Tried::without(Outcome::Refused, why)),
                Err(NoPolicy::Broken(why)) => return Err(why),
            };
            let session = self.runner.session().map_err(|error| error.to_string())?;
            session
                .load(policies, base.set.overlay())
                .map_err(|error| error.to_string())?;
        }
        if sabotage.restored && !self.runner.restore_for(&spoilt, candidate) {
            return Err("there is no saved state with which the case begins".into());
        }
        change::machine(&mut self.runner, sabotage)?;
        let run = self
            .runner
            .run_otherwise(&spoilt, candidate, false, &|plan| sabotage.plan.apply_to(plan));
        Ok(Tried::of(sabotage, run.verdict, &said(&run)))
    }

    /// Runs the case on a machine whose kernel gets further arguments.
    fn on_another_kernel(&self, sabotage: &Sabotage, words: &str) -> Result<Tried, String> {
        let variant = self.variant(&sabotage.case, sabotage)?;
        let backend = Backend::Vm(VmConfig {
            cmdline_extra: format!("{} {words}", self.config.cmdline_extra),
            // Nobody boots this kernel again.
            saved_states: false,
            ..self.config.clone()
        });
        let mut runner = Runner::new(self.data, self.prepared, &backend, None);
        let run = runner.run(&variant, &self.prepared.base, false);
        Ok(Tried::of(sabotage, run.verdict, &said(&run)))
    }

    /// The variant with that id, with the sabotage's subjects and steps added.
    fn variant(&self, id: &str, sabotage: &Sabotage) -> Result<Variant, String> {
        let name = id.split([':', '@']).next().unwrap_or(id);
        let mut loaded = self
            .data
            .cases
            .iter()
            .find(|loaded| loaded.case.name == name)
            .ok_or_else(|| format!("there is no case `{name}`"))?
            .clone();
        let case = Arc::make_mut(&mut loaded.case);
        case.subjects.extend(sabotage.subjects.clone());
        case.steps.splice(0..0, sabotage.first.iter().cloned());
        case.steps.extend(sabotage.last.iter().cloned());
        let variants = expand(&loaded, self.prepared.base.set.roles()).map_err(|error| error.to_string())?;
        let of_id = |variant: &Variant| variant.id == id || variant.id.starts_with(&format!("{id}+"));
        variants
            .into_iter()
            .find(of_id)
            .ok_or_else(|| format!("case `{name}` has no variant `{id}`"))
    }
}

/// Everything that a verdict gives as its reasons: its first line, every finding, every gap.
fn said(run: &CaseRun) -> Vec<String> {
    let mut said: Vec<String> = run.reason.iter().cloned().collect();
    if let Some(ran) = &run.ran {
        let judgement = &ran.judgement;
        let findings = judgement.findings.iter();
        said.extend(findings.map(|(_, finding)| finding.text(&judgement.records)));
        said.extend(judgement.gaps.iter().cloned());
    }
    said
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::as_the_table_says(Verdict::Inconclusive, "the socket closed", Outcome::Caught)]
    #[case::another_reason(Verdict::Inconclusive, "the clock", Outcome::Otherwise)]
    #[case::another_verdict(Verdict::Error, "the socket closed", Outcome::Otherwise)]
    #[case::a_pass(Verdict::Pass, "the socket closed", Outcome::Missed)]
    #[case::a_skip(Verdict::Skip, "the socket closed", Outcome::Missed)]
    #[case::no_mediation(Verdict::Vacuous, "the socket closed", Outcome::Missed)]
    fn only_what_the_table_says_is_caught(
        #[case] verdict: Verdict,
        #[case] said: &str,
        #[case] outcome: Outcome,
    ) {
        let sabotage = Sabotage {
            gives: Verdict::Inconclusive,
            says: "socket".into(),
            ..Sabotage::default()
        };
        let tried = Tried::of(&sabotage, verdict, &["first".to_string(), said.to_string()]);
        assert_eq!(tried.outcome, outcome);
        assert_eq!(tried.detail.is_none(), outcome == Outcome::Caught);
    }
}
