//! Checks that each guard turns its case red: takes the access away from the set, loads it anew, runs the case.

use aa_policy::{EditError, Edited, with_rule, without};

use crate::prepare::{Candidate, Prepared};
use crate::profile_set::assemble::SetUnderTest;
use crate::profile_set::compiled::CompileSetError;
use crate::runner::Runner;
use crate::session::SessionError;
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case::guard::owner;
use virt_aa_model::case::guard::{applies, label};
use virt_aa_model::case::model::{Case, Guard, Subject};
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::denial::access_of;
use virt_aa_model::guard::{Findings, findings_of, killer};
use virt_aa_model::guard::{Outcome, Proof};
use virt_aa_model::known::KnownFailure;
use virt_aa_model::verdict::expected::guarded;
use virt_aa_model::verdict::judge::Verdict;
use virt_aa_model::verdict::mediation::mediated;

/// Compiles edited sets. It is the image's parser, or a test's stand-in.
pub trait Compiler {
    /// The set under test.
    fn base(&self) -> &Candidate;
    /// Compiles an edited set.
    fn candidate(&self, set: SetUnderTest) -> Result<Candidate, CompileSetError>;
}

impl Compiler for Prepared {
    fn base(&self) -> &Candidate {
        &self.base
    }

    fn candidate(&self, set: SetUnderTest) -> Result<Candidate, CompileSetError> {
        Prepared::candidate(self, set)
    }
}

/// Loads a set and runs a variant with it. It is a machine, or a test's stand-in.
pub trait MutantRunner {
    /// Load a set into a kernel that has no other policy.
    fn load_anew(&mut self, candidate: &Candidate) -> Result<(), SessionError>;
    /// Runs a variant. Known failures of the set count only if `with_known`. It may begin where an earlier case has ended
    /// under the base set, but with none of the subjects of `not_yet`.
    fn run(
        &mut self,
        variant: &Variant,
        candidate: &Candidate,
        with_known: bool,
        not_yet: &[&str],
    ) -> CaseRun;
    /// Discards the machine.
    fn discard(&mut self);
}

impl MutantRunner for Runner<'_> {
    fn load_anew(&mut self, candidate: &Candidate) -> Result<(), SessionError> {
        // A machine that is still to come gets the set before the case.
        if self.has_machine() {
            return Runner::load_anew(self, candidate);
        }
        Ok(())
    }

    fn run(
        &mut self,
        variant: &Variant,
        candidate: &Candidate,
        with_known: bool,
        not_yet: &[&str],
    ) -> CaseRun {
        Runner::run_mutant(self, variant, candidate, with_known, not_yet)
    }

    fn discard(&mut self) {
        Runner::discard(self);
    }
}

/// Proves every guard of a variant. `each` receives each proof as soon as it is done.
pub fn prove(
    runner: &mut dyn MutantRunner,
    prepared: &dyn Compiler,
    variant: &Variant,
    known: &[&KnownFailure],
    each: &mut dyn FnMut(&Proof),
) -> Vec<Proof> {
    let mut proofs = Vec::new();
    let mut end = |guard: &Guard, case: Option<&Case>, outcome, detail| {
        let of = case.map(|case| Box::new((case.clone(), guard.clone())));
        let proof = Proof {
            case: variant.id.clone(),
            guard: label(guard),
            outcome,
            detail,
            of,
        };
        each(&proof);
        proofs.push(proof);
    };
    let raw = &variant.loaded.case;
    for guard in raw
        .guards
        .iter()
        .filter(|guard| !applies(raw, guard, &variant.profiles))
    {
        let only = format!("only for {}", guard.only.join(", "));
        end(guard, None, Outcome::NotApplicable, Some(only));
    }
    let applying = |guard: &&Guard| applies(raw, guard, &variant.profiles);
    // A known failure names the edits that mend it, and guards are proven on the mended set. If no edit mends it, the
    // case must fail as known, and without the access also with the guard's denial.
    let fixed;
    let stays = beyond_mending(known);
    let base = if known.is_empty() || stays.is_some() {
        prepared.base()
    } else {
        match fix(prepared, known) {
            Ok(candidate) => {
                fixed = candidate;
                &fixed
            }
            Err(reason) => {
                for guard in raw.guards.iter().filter(applying) {
                    end(guard, None, Outcome::BaseNotGreen, Some(reason.clone()));
                }
                return proofs;
            }
        }
    };
    // A guest keeps the profile that was made when it started, so none may have started before the set was mended.
    let guests = raw.subjects.iter().filter(|(_, subject)| subject.is_guest());
    let guests: Vec<&str> = guests.map(|(name, _)| name.as_str()).collect();
    let not_yet = if known.is_empty() || stays.is_some() {
        &[]
    } else {
        guests.as_slice()
    };
    let green = runner.run(variant, base, stays.is_some(), not_yet);
    let filled = green.ran.as_ref().map(|ran| ran.expected.case.clone());
    let good = match green.verdict {
        Verdict::Pass | Verdict::Vacuous => true,
        Verdict::KnownFailure => stays.is_some(),
        _ => false,
    };
    let Some(case) = filled.as_ref().filter(|_| good) else {
        for guard in raw.guards.iter().filter(applying) {
            let detail = format!(
                "{}: {}",
                green.verdict.name(),
                green.reason.clone().unwrap_or_default()
            );
            let outcome = match green.verdict {
                Verdict::Inconclusive | Verdict::Error => Outcome::Inconclusive,
                Verdict::Skip => Outcome::NotApplicable,
                _ => Outcome::BaseNotGreen,
            };
            end(guard, None, outcome, Some(detail));
        }
        return proofs;
    };
    let before = green
        .ran
        .as_ref()
        .map(|ran| findings_of(&ran.judgement))
        .unwrap_or_default();
    for guard in case.guards.iter().filter(applying) {
        let ground = Base {
            candidate: base,
            not_yet,
            stays,
            findings: &before,
        };
        let (outcome, detail) = prove_guard(runner, prepared, &ground, variant, case, guard);
        end(guard, Some(case), outcome, detail);
    }
    proofs
}

/// Why no edit mends the case, if the known failures say so.
fn beyond_mending<'k>(known: &[&'k KnownFailure]) -> Option<&'k str> {
    let mended = known.iter().any(|known| !known.fix.is_empty());
    known
        .iter()
        .find_map(|known| known.no_fix.as_deref())
        .filter(|_| !mended)
}

fn fix(prepared: &dyn Compiler, known: &[&KnownFailure]) -> Result<Candidate, String> {
    let edits: Vec<_> = known.iter().flat_map(|known| known.fix.clone()).collect();
    if edits.is_empty() {
        return Err(
            "the known failure names no `fix` and no `no-fix`, so its guards cannot be proven".into(),
        );
    }
    let set = prepared
        .base()
        .set
        .edited(&edits)
        .map_err(|error| format!("the known failure's `fix`: {error}"))?;
    prepared
        .candidate(set)
        .map_err(|error| format!("the known failure's `fix`: {error}"))
}

fn prove_guard(
    runner: &mut dyn MutantRunner,
    prepared: &dyn Compiler,
    ground: &Base<'_>,
    variant: &Variant,
    case: &Case,
    guard: &Guard,
) -> (Outcome, Option<String>) {
    let (base, stays) = (ground.candidate, ground.stays);
    let profile = owner(case, guard).and_then(|subject| variant.profiles.get(subject));
    let profile = profile.map(|chosen| chosen.profile.as_str());
    if guarded(guard).is_some_and(|access| !mediated(&access, &base.policy, profile)) {
        return (Outcome::ClassNotMediated, None);
    }
    let edited = match edit(&base.set, variant, case, guard) {
        Ok(edited) => edited,
        Err(Wrong::NoSuchRule(text)) => return (Outcome::NoSuchRule, Some(text)),
        Err(Wrong::Other(text)) => return (Outcome::DoesNotCompile, Some(text)),
    };
    let candidate = match base.set.with_tree(edited.tree) {
        Ok(set) => match prepared.candidate(set) {
            Ok(candidate) => candidate,
            Err(error @ CompileSetError::Io(_)) => return (Outcome::Inconclusive, Some(error.to_string())),
            Err(error) => return (Outcome::DoesNotCompile, Some(error.to_string())),
        },
        Err(error) => return (Outcome::DoesNotCompile, Some(error.to_string())),
    };
    let same = candidate.compiled.files.iter().all(|(name, file)| {
        base.compiled
            .files
            .get(name)
            .is_some_and(|other| other.policy.binary == file.policy.binary)
    });
    // A template or abstraction that only virt-aa-helper reads changes no binary here, but changes the machine.
    let changed = candidate.set.tree.changed_files(&base.set.tree);
    let is_compiled = |file: &String| base.compiled.files.contains_key(file);
    if same && changed.iter().all(is_compiled) {
        return (Outcome::SameBinary, None);
    }
    if let Err(error) = runner.load_anew(&candidate) {
        runner.discard();
        return (Outcome::Inconclusive, Some(error.to_string()));
    }
    let subject = owner(case, guard).unwrap_or_default();
    let mut not_yet = changed_guests(case, guard);
    not_yet.extend(ground.not_yet);
    outcome(
        &runner.run(variant, &candidate, stays.is_some(), &not_yet),
        guard,
        subject,
        ground,
    )
}

/// The guests whose profiles a guard changes. They get the changed profile when they start.
fn changed_guests<'c>(case: &'c Case, guard: &'c Guard) -> Vec<&'c str> {
    let also = guard.also.iter().map(|also| also.of.as_str());
    let changed = owner(case, guard).into_iter().chain(also);
    let is_guest = |name: &&str| case.subjects.get(*name).is_some_and(Subject::is_guest);
    changed.filter(is_guest).collect()
}

/// What a guard is proven on.
struct Base<'a> {
    /// The set that the guard's access is taken from.
    candidate: &'a Candidate,
    /// The guests that must not have started when the case begins.
    not_yet: &'a [&'a str],
    /// Why no edit mends the case, if it fails as known.
    stays: Option<&'a str>,
    /// The findings before the access was taken away.
    findings: &'a Findings,
}

enum Wrong {
    NoSuchRule(String),
    Other(String),
}

fn edit(set: &SetUnderTest, variant: &Variant, case: &Case, guard: &Guard) -> Result<Edited, Wrong> {
    let subject = owner(case, guard).ok_or_else(|| Wrong::Other("no subject's profile to change".into()))?;
    let (file, profile) = profile_text(set, variant, subject)?;
    let edited = match (guard.without.as_ref().and_then(access_of), &guard.add) {
        (Some(access), _) => without(&set.tree, &file, &profile, &access),
        (None, Some(rule)) => with_rule(&set.tree, &file, &profile, rule),
        (None, None) => return Err(Wrong::Other("the guard changes nothing".into())),
    };
    let mut edited = edited.map_err(wrong)?;
    for also in &guard.also {
        let (file, profile) = profile_text(set, variant, &also.of)?;
        edited = with_rule(&edited.tree, &file, &profile, &also.add).map_err(wrong)?;
    }
    Ok(edited)
}

/// The file and the name of a subject's profile.
fn profile_text(set: &SetUnderTest, variant: &Variant, subject: &str) -> Result<(String, String), Wrong> {
    let profile = variant.profiles.get(subject).map(|chosen| chosen.profile.clone());
    let profile = profile.ok_or_else(|| Wrong::Other(format!("subject {subject} has no role")))?;
    let file = set
        .file_of(&profile)
        .ok_or_else(|| Wrong::Other(format!("profile {profile} is not in the set")))?;
    Ok((file.file.clone(), profile))
}

fn wrong(error: EditError) -> Wrong {
    match error {
        EditError::NoSuchRule { .. } => Wrong::NoSuchRule(error.to_string()),
        other => Wrong::Other(other.to_string()),
    }
}

fn outcome(run: &CaseRun, guard: &Guard, subject: &str, ground: &Base<'_>) -> (Outcome, Option<String>) {
    let reason = run.reason.clone();
    match (run.verdict, &run.ran) {
        (Verdict::Fail, Some(ran)) => {
            match killer(guard, subject, ground.findings, &ran.expected, &ran.judgement) {
                Some(killer) => (Outcome::Killed, Some(killer)),
                None => (Outcome::RedByAnotherDenial, reason),
            }
        }
        (Verdict::Pass | Verdict::Vacuous, _) => (Outcome::Survived, None),
        (Verdict::KnownFailure, _) => (Outcome::NoEditMendsIt, ground.stays.map(str::to_owned)),
        _ => (Outcome::Inconclusive, reason),
    }
}

#[cfg(test)]
#[path = "prove/tests.rs"]
mod tests;
