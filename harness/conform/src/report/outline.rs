//! What the formats for other programs have in common: a run or its proofs as a list of entries, each with a status.

use crate::report::human;
use virt_aa_model::guard::{Outcome, Proof};
use virt_aa_model::profile_set::{POLICY_DIR, Unusable};
use virt_aa_model::shell::quoted;
use virt_aa_model::verdict::judge::Verdict;

use virt_aa_model::report::model::{CaseReport, PlaceKind, Report};
use virt_aa_model::report::run_info::RunInfo;

/// The status of an entry. Only the first is success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryStatus {
    /// It holds.
    Good,
    /// It does not hold.
    Red,
    /// Nothing is claimed: the evidence is incomplete, or something broke.
    Broken,
    /// It is a known failure.
    Known,
    /// Nothing was tested, and that is acceptable.
    PassedOver,
}

impl EntryStatus {
    /// The status of a verdict. With `strict`, a verdict that proves nothing is red.
    pub fn of(verdict: Verdict, strict: bool) -> EntryStatus {
        match verdict {
            Verdict::Pass => EntryStatus::Good,
            Verdict::KnownFailure => EntryStatus::Known,
            Verdict::Vacuous | Verdict::Skip if !strict => EntryStatus::PassedOver,
            Verdict::Fail | Verdict::UnexpectedPass | Verdict::Vacuous | Verdict::Skip => EntryStatus::Red,
            Verdict::Inconclusive | Verdict::Error => EntryStatus::Broken,
        }
    }

    /// The status of a proof.
    pub fn of_proof(outcome: Outcome) -> EntryStatus {
        match outcome {
            Outcome::Killed => EntryStatus::Good,
            outcome if outcome.may_be_passed_over() => EntryStatus::PassedOver,
            Outcome::Inconclusive => EntryStatus::Broken,
            _ => EntryStatus::Red,
        }
    }

    /// Whether it makes the exit status nonzero.
    pub fn is_bad(self) -> bool {
        matches!(self, EntryStatus::Red | EntryStatus::Broken)
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePlace {
    /// The file: a policy file by its path in the image, a case file by its path below the data's root.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1.
    pub column: Option<u32>,
}

/// One variant or one guard.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name, unique in its run.
    pub name: String,
    /// The case's folder.
    pub folder: String,
    /// The verdict or outcome in a word.
    pub word: &'static str,
    /// The status.
    pub standing: EntryStatus,
    /// One line; `None` if it is good.
    pub message: Option<String>,
    /// More lines for people; empty if it is good.
    pub details: Vec<String>,
    /// How long it took, if that is known.
    pub seconds: Option<f64>,
    /// Where to look.
    pub place: Option<FilePlace>,
}

impl Entry {
    /// The message. The word precedes it if it says more than the format's directive does.
    pub fn why(&self) -> String {
        match self.message.as_deref() {
            Some(message) if self.word == Verdict::Skip.name() || message == self.word => message.into(),
            Some(message) => format!("{}: {message}", self.word),
            None => self.word.into(),
        }
    }
}

/// Text from outside on one line, without control characters.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        for character in word.chars() {
            if character.is_control() {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
    }
    line
}

/// A run or its proofs, as a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// The recipe: `debian-13`.
    pub recipe: String,
    /// The line that people see first.
    pub heading: String,
    /// The line that people see last.
    pub closing: String,
    /// Names and values that say where the run took place, and on what.
    pub facts: Vec<(&'static str, String)>,
    /// The entries, in the run's order.
    pub entries: Vec<Entry>,
}

impl Outline {
    /// The outline of a run.
    pub fn of_run(report: &Report) -> Outline {
        let entries = report.cases.iter().map(|case| of_case(case, report.strict));
        let entries = entries.chain(report.run.profile_set.unusable.iter().map(of_file));
        let closing = human::summary(report);
        Outline::new(&report.run, closing, entries.collect(), "case")
    }

    /// The outline of proofs; `folder` finds a case's folder by the variant's id.
    pub fn of_proofs(
        run: &RunInfo,
        proofs: &[Proof],
        again: &str,
        closing: String,
        folder: &dyn Fn(&str) -> String,
    ) -> Outline {
        let files = run.profile_set.unusable.iter().map(of_file);
        let entries = proofs.iter().map(|proof| {
            let standing = EntryStatus::of_proof(proof.outcome);
            let bad = standing.is_bad();
            let again = format!("again: {again} {}", quoted(&proof.case));
            Entry {
                name: format!("{} {}", proof.case, proof.guard),
                folder: folder(&proof.case),
                word: proof.outcome.name(),
                standing,
                message: (standing != EntryStatus::Good).then(|| {
                    proof
                        .detail
                        .clone()
                        .unwrap_or_else(|| proof.outcome.name().into())
                }),
                details: if bad { vec![again] } else { Vec::new() },
                seconds: None,
                place: None,
            }
        });
        Outline::new(run, closing, entries.chain(files).collect(), "guard")
    }

    /// Makes an outline. Without entries, it is not good.
    pub fn new(run: &RunInfo, closing: String, mut entries: Vec<Entry>, what: &str) -> Outline {
        if entries.is_empty() {
            entries.push(Entry {
                name: format!("any {what}"),
                folder: String::new(),
                word: "inconclusive",
                standing: EntryStatus::Broken,
                message: Some(format!("there was no {what} to run, so nothing is proven")),
                details: Vec::new(),
                seconds: None,
                place: None,
            });
        }
        Outline {
            recipe: run.recipe.clone(),
            heading: human::heading(run),
            closing,
            facts: facts(run),
            entries,
        }
    }

    /// How many entries have this status.
    pub fn count(&self, standing: EntryStatus) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.standing == standing)
            .count()
    }
}

fn facts(run: &RunInfo) -> Vec<(&'static str, String)> {
    let set = &run.profile_set;
    let mut facts = vec![
        ("image", run.image.clone()),
        ("backend", run.backend.clone()),
        ("accelerator", run.accelerator.clone()),
        ("kernel", run.kernel.clone()),
        ("parser", run.parser.clone()),
        ("libvirt", run.libvirt.clone()),
        ("profile-set", set.name.clone()),
        ("profile-set-hash", set.hash.clone()),
    ];
    if let Some(engine) = &run.engine {
        facts.push(("engine", engine.clone()));
    }
    if let Some(revision) = &set.provenance.revision {
        facts.push(("profile-set-revision", revision.clone()));
    }
    if let Some(bad) = &set.known_bad {
        facts.push(("known-bad", bad.clone()));
    }
    facts
}

/// The entry of a file of the set that cannot be loaded. It is red, since nothing in it is tested.
pub fn of_file(unusable: &Unusable) -> Entry {
    let mut lines = unusable.message.lines().map(str::to_owned);
    Entry {
        name: format!("load {POLICY_DIR}/{}", unusable.file),
        folder: "profiles".into(),
        word: "unusable",
        standing: EntryStatus::Red,
        message: lines.next(),
        details: lines.collect(),
        seconds: None,
        place: Some(FilePlace {
            file: format!("{POLICY_DIR}/{}", unusable.file),
            line: 1,
            column: None,
        }),
    }
}

fn of_case(case: &CaseReport, strict: bool) -> Entry {
    let standing = EntryStatus::of(case.verdict, strict);
    let in_policy = case.place().map(|place| FilePlace {
        file: place.file.clone(),
        line: place.line as usize,
        column: (place.what != PlaceKind::Profile).then_some(place.column),
    });
    let in_case = || FilePlace {
        file: case.source.file.clone(),
        line: case.source.line,
        column: None,
    };
    let good = standing == EntryStatus::Good;
    Entry {
        name: case.id.clone(),
        folder: case.source.folder.clone(),
        word: case.verdict.name(),
        standing,
        message: (!good).then(|| case.reason.clone().unwrap_or_else(|| case.verdict.name().into())),
        details: if standing.is_bad() {
            human::details(case)
        } else {
            Vec::new()
        },
        seconds: Some(case.duration_ms / 1000.0),
        place: (!good).then(|| in_policy.unwrap_or_else(in_case)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit;

    #[test]
    fn what_is_bad_is_what_the_exit_status_says() {
        for verdict in Verdict::ALL {
            for strict in [false, true] {
                let status = exit::of_verdicts([verdict].into_iter(), strict);
                let standing = EntryStatus::of(verdict, strict);
                assert_eq!(
                    standing.is_bad(),
                    status != exit::OK,
                    "{} {strict}",
                    verdict.name()
                );
            }
        }
    }

    #[test]
    fn only_a_pass_is_good() {
        let good = |verdict: &Verdict| EntryStatus::of(*verdict, false) == EntryStatus::Good;
        assert_eq!(
            Verdict::ALL.into_iter().filter(good).collect::<Vec<_>>(),
            [Verdict::Pass]
        );
    }
}
