//! Runs variants one after another on one machine. A machine that is gone or spoilt is replaced.

use std::collections::BTreeMap;
use std::time::Instant;

use virt_aa_probe::protocol::{CasePlan, FixtureOutcome};

use crate::backend::Backend;
use crate::prepare::{Candidate, Prepared};
use crate::profile_set::assemble::SetUnderTest;
use crate::session::{Session, SessionError};
use crate::state;
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case::plan::{Facts, Planned, plan};
use virt_aa_model::case_run::{CaseRun, Ran, profile_of};
use virt_aa_model::data::Data;
use virt_aa_model::known::KnownFailure;
use virt_aa_model::verdict::complete::gaps_after_the_last;
use virt_aa_model::verdict::expected::Expected;
use virt_aa_model::verdict::judge::{Verdict, judge};

mod beginning;

use self::beginning::BeginFrom;

/// A machine and what is loaded in it.
pub struct Runner<'a> {
    data: &'a Data,
    /// Image and base set.
    pub prepared: &'a Prepared,
    backend: &'a Backend,
    session: Option<Session>,
    /// The hash of the loaded set.
    loaded: Option<String>,
    /// After this time nothing is started, and what runs is ended.
    until: Option<Instant>,
}

impl<'a> Runner<'a> {
    /// A runner on a running machine.
    pub fn new(
        data: &'a Data,
        prepared: &'a Prepared,
        backend: &'a Backend,
        session: Option<Session>,
    ) -> Runner<'a> {
        Runner {
            data,
            prepared,
            backend,
            session,
            loaded: None,
            until: None,
        }
    }

    /// The same runner with a deadline.
    pub fn until(self, deadline: Instant) -> Runner<'a> {
        Runner {
            until: Some(deadline),
            ..self
        }
    }

    /// Whether there is a machine on which another case may run.
    pub fn has_machine(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.is_spent())
    }

    /// The machine, booted anew if the last one is gone or spent.
    pub fn session(&mut self) -> Result<&mut Session, SessionError> {
        let mut session = match self.session.take().filter(|session| !session.is_spent()) {
            Some(session) => session,
            None => {
                self.loaded = None;
                let session = self.boot()?;
                if !session.facts.apparmor {
                    return Err(SessionError::NoAppArmor);
                }
                session
            }
        };
        session.limits.until = self.until;
        Ok(self.session.insert(session))
    }

    fn boot(&self) -> Result<Session, SessionError> {
        let Some(until) = self.until else {
            return state::start(&self.prepared.image, self.backend);
        };
        let left = until.saturating_duration_since(Instant::now());
        state::start(&self.prepared.image, &self.backend.within(left)).map_err(|error| {
            if Instant::now() >= until {
                SessionError::OutOfTime
            } else {
                error
            }
        })
    }

    /// Loads a set unless it is loaded already.
    fn load(&mut self, candidate: &Candidate) -> Result<(), SessionError> {
        let hash = candidate.set.tree.hash();
        self.session()?;
        if self.loaded.as_deref() != Some(&hash) {
            self.load_anew(candidate)?;
        }
        Ok(())
    }

    /// Load a set into a kernel that has no other policy.
    pub fn load_anew(&mut self, candidate: &Candidate) -> Result<(), SessionError> {
        self.loaded = None;
        let (policies, overlay) = (candidate.compiled.policies(), candidate.set.overlay());
        self.session()?.load(policies, overlay)?;
        self.loaded = Some(candidate.set.tree.hash());
        Ok(())
    }

    /// Discards the machine.
    pub fn discard(&mut self) {
        self.session = None;
        self.loaded = None;
    }

    /// Read the audit log once more after the last case. Each gap speaks against that case. There is no machine if the
    /// last case ended with an error, and then there are no gaps either.
    pub fn last_gaps(&mut self) -> Vec<String> {
        let policy = &self.prepared.base.policy;
        match self.session.as_mut().map(Session::unattributed) {
            None => Vec::new(),
            Some(Ok(records)) => gaps_after_the_last(&records, policy),
            Some(Err(error)) => {
                self.discard();
                vec![format!("cannot read the audit log after the last case: {error}")]
            }
        }
    }

    /// Runs a variant with the set to be judged. Known failures of the set count only if `with_known`.
    pub fn run(&mut self, variant: &Variant, candidate: &Candidate, with_known: bool) -> CaseRun {
        self.run_and_keep_or_discard(variant, candidate, with_known, BeginFrom::SameSet)
    }

    /// Like [`Runner::run`] for a mutant of the base set. Earlier cases of a saved state were run under the base set, up to the
    /// first that has a subject of `not_yet`: what the mutant lacks, the variant lacks from its first step after these.
    pub fn run_mutant(
        &mut self,
        variant: &Variant,
        mutant: &Candidate,
        with_known: bool,
        not_yet: &[&str],
    ) -> CaseRun {
        self.run_and_keep_or_discard(variant, mutant, with_known, BeginFrom::BaseSet(not_yet))
    }

    fn run_and_keep_or_discard(
        &mut self,
        variant: &Variant,
        candidate: &Candidate,
        with_known: bool,
        from: BeginFrom<'_>,
    ) -> CaseRun {
        let run = self.run_changed(variant, candidate, with_known, (from, &|_| {}));
        // The next case must not inherit what this one could not put back, or what spoilt its evidence.
        if matches!(run.verdict, Verdict::Error | Verdict::Inconclusive) {
            self.discard();
        }
        run
    }

    /// Like `run`, but the agent gets a changed plan, and the machine is not exchanged for one from a saved state. The verdict
    /// is judged by the original plan. The machine is kept if it can go on.
    pub fn run_otherwise(
        &mut self,
        variant: &Variant,
        candidate: &Candidate,
        with_known: bool,
        change: &dyn Fn(&mut CasePlan),
    ) -> CaseRun {
        self.run_changed(variant, candidate, with_known, (BeginFrom::ThisMachine, change))
    }

    fn run_changed(
        &mut self,
        variant: &Variant,
        candidate: &Candidate,
        with_known: bool,
        how: (BeginFrom<'_>, &dyn Fn(&mut CasePlan)),
    ) -> CaseRun {
        let started = Instant::now();
        let (verdict, reason, ran) = match self.try_run(variant, candidate, with_known, how) {
            Ok(ran) => (
                ran.judgement.verdict,
                ran.judgement.reason.clone(),
                Some(Box::new(ran)),
            ),
            Err(Stopped::Skip(reason)) => (Verdict::Skip, Some(reason), None),
            Err(Stopped::Error(reason)) => (Verdict::Error, Some(reason), None),
            Err(Stopped::Session(error)) => {
                if !error.is_recoverable() {
                    self.discard();
                }
                (Verdict::Error, Some(error.to_string()), None)
            }
        };
        CaseRun {
            id: variant.id.clone(),
            profile: profile_of(variant),
            verdict,
            reason,
            without_program: self.without_program(variant, &candidate.set),
            duration: started.elapsed(),
            ran,
            gaps_after: Vec::new(),
            variant: variant.clone(),
        }
    }

    fn without_program(&self, variant: &Variant, set: &SetUnderTest) -> Vec<String> {
        let attaches_to_nothing = |label: &str| {
            let file = set.file_of(label);
            let attachment = file.and_then(|file| file.profile(label)?.attachment.as_ref());
            attachment.is_some_and(|attachment| !self.prepared.programs.any_matches(attachment))
        };
        let labels = variant.profiles.values().map(|chosen| &chosen.profile);
        let mut labels: Vec<String> = labels
            .filter(|label| attaches_to_nothing(label))
            .cloned()
            .collect();
        labels.sort();
        labels.dedup();
        labels
    }

    fn try_run(
        &mut self,
        variant: &Variant,
        candidate: &Candidate,
        with_known: bool,
        (from, change): (BeginFrom<'_>, &dyn Fn(&mut CasePlan)),
    ) -> Result<Ran, Stopped> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(Stopped::Session(SessionError::OutOfTime));
        }
        let begun = self.begin(variant, candidate, from);
        self.load(candidate)?;
        let mut planned = self.plan(variant, &candidate.set)?;
        if let Some(begun) = &begun {
            planned.begin_from(&begun.earlier, &begun.identity);
        }
        let expected = Expected {
            case: planned.case,
            profiles: variant.profiles.clone(),
            held: planned.plan.held,
        };
        let mut done = planned.plan.clone();
        change(&mut done);
        let session = self.session()?;
        let evidence = session.case(&done)?;
        let console = session.console();
        let manifest = &candidate.set.manifest;
        let mut known = if with_known {
            self.known(variant, &candidate.set)
        } else {
            Vec::new()
        };
        let mut judgement = judge(&expected, &planned.plan, &evidence, &candidate.policy, &known);
        // Nobody knows in advance which failures a given set still has. Known failures that do not show are dropped.
        let showing: Vec<_> = known
            .iter()
            .copied()
            .filter(|known| judgement.shows(known))
            .collect();
        if manifest.from.is_given() && showing.len() < known.len() {
            judgement = judge(&expected, &planned.plan, &evidence, &candidate.policy, &showing);
            known = showing;
        }
        Ok(Ran {
            expected,
            plan: planned.plan,
            known: known.into_iter().cloned().collect(),
            console,
            evidence,
            judgement,
        })
    }

    /// The known failures of a variant with a set.
    pub fn known(&self, variant: &Variant, set: &SetUnderTest) -> Vec<&'a KnownFailure> {
        let labels = variant.profiles.values().map(|chosen| chosen.profile.as_str());
        let (known, image) = (&self.data.known, &self.prepared.image.name);
        known.find(&set.known_as(labels), image, &variant.id)
    }

    /// Brings up what the variant needs, then fills in its templates.
    fn plan(&mut self, variant: &Variant, set: &SetUnderTest) -> Result<Planned, Stopped> {
        let mut facts = Facts {
            set: set.dirs.by_key(),
            fixtures: BTreeMap::new(),
        };
        let data = self.data;
        for name in &variant.loaded.case.needs {
            let fixture = data
                .fixtures
                .get(name)
                .ok_or_else(|| Stopped::Error(format!("there is no fixture `{name}`")))?;
            match self.session()?.fixture(fixture)? {
                FixtureOutcome::Up { facts: up } => {
                    facts.fixtures.insert(name.clone(), up);
                }
                FixtureOutcome::Unavailable { reason } => {
                    return Err(Stopped::Skip(format!("{name}: {reason}")));
                }
                FixtureOutcome::Broken { message } => {
                    return Err(Stopped::Error(format!("fixture {name}: {message}")));
                }
            }
        }
        let token = token().map_err(|error| Stopped::Error(format!("no random numbers: {error}")))?;
        let planned = plan(variant, &facts, token).map_err(|error| Stopped::Error(error.to_string()))?;
        for (name, subject) in &planned.plan.subjects {
            let program = subject.program.as_ref().and_then(|daemon| daemon.argv.first());
            if let Some(program) = program.filter(|program| self.prepared.programs.lacks(program)) {
                return Err(Stopped::Skip(format!(
                    "the image has no {program}, which subject {name} must run to get its label"
                )));
            }
        }
        Ok(planned)
    }
}

enum Stopped {
    Skip(String),
    Error(String),
    Session(SessionError),
}

impl From<SessionError> for Stopped {
    fn from(error: SessionError) -> Stopped {
        Stopped::Session(error)
    }
}

/// An unguessable token, so that nothing in the machine can write a canary's record before its time.
fn token() -> Result<String, getrandom::Error> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("canary-{}", hex::encode(bytes)))
}

#[cfg(test)]
mod tests;
