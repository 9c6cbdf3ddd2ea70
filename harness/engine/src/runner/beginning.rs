//! Where a variant begins: where an earlier case has ended, in a machine that is restored with what that one left, or at its
//! own first step.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use virt_aa_probe::protocol::FixtureOutcome;

use super::{Runner, token};
use crate::backend::Backend;
use crate::prepare::Candidate;
use crate::profile_set::assemble::SetUnderTest;
use crate::session::{Session, SessionError};
use crate::state::{self, CaseToKeep, LoadedSet};
use virt_aa_model::case::earlier::{Earlier, chain};
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case::plan::{Facts, plan};
use virt_aa_model::fixture::Fixture;
use virt_aa_model::verdict::complete::gaps_after_the_last;
use virt_aa_model::verdict::expected::Expected;
use virt_aa_model::verdict::judge::judge;

/// Under which set the earlier cases of a saved state may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BeginFrom<'v> {
    /// The set that the variant runs with. A verdict on a set holds for the earlier cases too.
    SameSet,
    /// The base set, up to the first case that has one of these subjects.
    BaseSet(&'v [&'v str]),
    /// Whatever the machine that there is was left in; the caller may have done something to it.
    ThisMachine,
}

/// An earlier case, and the name under which a machine keeps what it leaves.
pub(super) struct Link {
    pub(super) earlier: Earlier,
    pub(super) identity: String,
}

impl<'a> Runner<'a> {
    /// Whether the machine that there is may be exchanged for another one before the variant runs.
    pub fn may_exchange_machine_for(&self, variant: &Variant) -> bool {
        self.session.as_ref().is_some_and(|session| {
            session.is_spent()
                || session.kept().is_some()
                || self.wants_fresh(variant, session)
                || lacks(session, &self.saved_fixtures(variant))
                || !chain(variant, &self.data.cases).is_empty()
        })
    }

    /// Whether the variant gets a machine in which the case that it begins with has just ended.
    pub fn restore_for(&mut self, variant: &Variant, candidate: &Candidate) -> bool {
        self.begin(variant, candidate, BeginFrom::SameSet).is_some()
    }

    fn wants_fresh(&self, variant: &Variant, session: &Session) -> bool {
        variant.loaded.case.fresh && session.is_used()
    }

    /// The fixtures of a variant that a state may have.
    fn saved_fixtures(&self, variant: &Variant) -> Vec<&'a Fixture> {
        let mut fixtures = self.fixtures(variant);
        fixtures.retain(|fixture| fixture.saved);
        fixtures
    }

    fn fixtures(&self, variant: &Variant) -> Vec<&'a Fixture> {
        let needs = variant.loaded.case.needs.iter();
        needs.filter_map(|name| self.data.fixtures.get(name)).collect()
    }

    /// The earlier cases that may have run under a set, up to the first that has one of these subjects.
    pub(super) fn links(&self, variant: &Variant, set: &SetUnderTest, without: &[&str]) -> Vec<Link> {
        let (hash, folders) = (set.tree.hash(), set.dirs.by_key());
        let chain = chain(variant, &self.data.cases).into_iter();
        chain
            .take_while(|earlier| !earlier.has_any(without))
            .map(|earlier| {
                let text = format!("{hash}\n{}", earlier.identity(&folders));
                let identity = hex::encode(Sha256::digest(text));
                Link { earlier, identity }
            })
            .collect()
    }

    /// Gets the machine on which the variant is run. Returns the earlier case that has just ended there; `None` if the variant
    /// begins at its own first step. Fixtures that a state may have were brought up under the base set, whatever set the
    /// variant runs with.
    pub(super) fn begin(
        &mut self,
        variant: &Variant,
        candidate: &Candidate,
        from: BeginFrom<'_>,
    ) -> Option<Link> {
        let base = &self.prepared.base;
        let (set, without) = match from {
            BeginFrom::BaseSet(without) => (base, without),
            BeginFrom::SameSet | BeginFrom::ThisMachine => (candidate, &[][..]),
        };
        let mut links = self.links(variant, &set.set, without);
        if from == BeginFrom::ThisMachine {
            let kept = self.session.as_ref().and_then(Session::kept);
            let at = links
                .iter()
                .position(|link| Some(link.identity.as_str()) == kept)?;
            return Some(links.swap_remove(at));
        }
        let wanted = links.last().map(|link| link.identity.as_str());
        let fixtures = self.saved_fixtures(variant);
        let is_unfit = |session: &Session| {
            session.is_spent()
                || self.wants_fresh(variant, session)
                || session
                    .kept()
                    .is_some_and(|kept| Some(kept) != wanted || lacks(session, &fixtures))
        };
        if self.session.as_ref().is_some_and(is_unfit) {
            self.discard();
        }
        let has = |session: &Session| wanted.is_some() && session.kept() == wanted;
        if self.session.as_ref().is_some_and(has) || self.restore(variant, set, &links) {
            return links.pop();
        }
        let session = self.session.as_ref();
        if !fixtures.is_empty() && session.is_none_or(|session| lacks(session, &fixtures)) {
            let session = self.start_with(base, &fixtures, &[]);
            self.take_over(base, session);
        }
        None
    }

    /// Takes a machine in which these earlier cases have run. Returns whether there is one.
    fn restore(&mut self, variant: &Variant, set: &Candidate, links: &[Link]) -> bool {
        if links.is_empty() {
            return false;
        }
        // What a later case needs comes up before the first step, as if all steps were performed.
        let fixtures = self.saved_fixtures(variant);
        let left = self.left().unwrap_or(Duration::MAX);
        let runner = &*self;
        let performs: Vec<_> = (0..links.len())
            .map(|at| {
                let (before, link) = (at.checked_sub(1).map(|at| &links[at]), &links[at]);
                move |session: &mut Session| runner.perform(link, before, set, session)
            })
            .collect();
        let cases = links.iter().zip(&performs).map(|(link, perform)| CaseToKeep {
            identity: link.identity.clone(),
            fixtures: self.fixtures(&link.earlier.variant),
            limit: link.earlier.limit().min(left),
            perform,
        });
        let cases: Vec<_> = cases.collect();
        let session = self.start_with(set, &fixtures, &cases);
        self.take_over(set, session)
    }

    fn start_with(
        &self,
        set: &Candidate,
        fixtures: &[&Fixture],
        cases: &[CaseToKeep<'_>],
    ) -> Option<Session> {
        let loaded = LoadedSet {
            policies: set.compiled.policies(),
            files: set.set.overlay(),
        };
        let backend = match self.left() {
            Some(left) => self.backend.within(left),
            None => Backend::clone(self.backend),
        };
        state::start_with(&self.prepared.image, &backend, &loaded, fixtures, cases)
    }

    /// Takes a machine in which that set is loaded, if there is one.
    fn take_over(&mut self, set: &Candidate, session: Option<Session>) -> bool {
        let Some(session) = session else {
            return false;
        };
        self.session = Some(session);
        self.loaded = Some(set.set.tree.hash());
        true
    }

    fn left(&self) -> Option<Duration> {
        let until = self.until?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// Runs an earlier case so that what it leaves goes on, and judges it. Returns why it does not pass without a denial.
    fn perform(
        &self,
        link: &Link,
        before: Option<&Link>,
        set: &Candidate,
        session: &mut Session,
    ) -> Result<Option<String>, SessionError> {
        session.limits.until = self.until;
        let up = session.fixtures().iter();
        let facts = Facts {
            set: set.set.dirs.by_key(),
            fixtures: up
                .filter_map(|(name, outcome)| match outcome {
                    FixtureOutcome::Up { facts } => Some((name.clone(), facts.clone())),
                    _ => None,
                })
                .collect(),
        };
        let token = token().map_err(|error| SessionError::Agent(error.to_string()))?;
        let variant = &link.earlier.variant;
        let mut planned = match plan(variant, &facts, token) {
            Ok(planned) => planned,
            Err(error) => return Ok(Some(error.to_string())),
        };
        if let Some(before) = before {
            planned.begin_from(&before.earlier, &before.identity);
        }
        planned.keep_as(&link.identity);
        let evidence = session.case(&planned.plan)?;
        let expected = Expected {
            case: planned.case,
            profiles: variant.profiles.clone(),
            held: planned.plan.held,
        };
        let mut judgement = judge(&expected, &planned.plan, &evidence, &set.policy, &[]);
        // A machine that is restored drops what was written before.
        judgement.add_gaps(gaps_after_the_last(&session.unattributed()?, &set.policy));
        Ok(judgement.why_not_silent())
    }
}

/// Whether a machine lacks one of these fixtures.
fn lacks(session: &Session, fixtures: &[&Fixture]) -> bool {
    fixtures.iter().any(|fixture| !session.has_fixture(&fixture.name))
}
