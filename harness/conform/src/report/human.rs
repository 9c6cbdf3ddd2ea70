//! Reports for people. Pure: values in, text out.

use std::collections::BTreeMap;
use std::fmt::Write;

use aa_policy::{insertion_point, rule_for};

use super::run_info::RunInfo;
use crate::denial::request_of;
use crate::profile_set::assemble::POLICY_DIR;
use crate::proofs::Proofs;
use crate::prove::Proof;
use crate::runner::CaseRun;
use crate::verdict::judge::{Place, Verdict};
use crate::verdict::policy::Policy;
use crate::verdict::records::{Attributed, Class};
use crate::verdict::steps::Finding;

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    /// The verdict's name in its colour.
    pub fn verdict(self, verdict: Verdict) -> String {
        let code = match verdict {
            Verdict::Pass => "32",
            Verdict::Fail | Verdict::UnexpectedPass | Verdict::Error => "31",
            Verdict::Inconclusive => "35",
            Verdict::KnownFailure | Verdict::Skip | Verdict::Vacuous => "33",
        };
        self.with(code, verdict.name())
    }

    /// Less important text.
    pub fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }
}

/// What the run is about, in one line.
pub fn heading(run: &RunInfo) -> String {
    let bad = run
        .profile_set
        .known_bad
        .as_ref()
        .map(|bad| format!(" with {bad}"))
        .unwrap_or_default();
    format!(
        "{} ({}, {}), kernel {}, parser {}, libvirt {}, profile set {}{bad} ({})",
        run.image,
        run.backend,
        run.accelerator,
        run.kernel,
        run.parser,
        run.libvirt,
        run.profile_set.name,
        &run.profile_set.hash[..12.min(run.profile_set.hash.len())],
    )
}

/// One case: one line if it is green, more if it is not.
pub fn case(case: &CaseRun, policy: &Policy, proofs: &Proofs, again: &str, paint: Paint) -> String {
    // Padded before it is painted: colours have no width.
    let gap = " ".repeat(14usize.saturating_sub(case.verdict.name().len()));
    let mut text = format!("{}{gap} {}", paint.verdict(case.verdict), case.id);
    let _ = write!(
        text,
        " {}",
        paint.dim(&format!("{:.2} s", case.duration.as_secs_f64()))
    );
    if let (Verdict::Pass, Some(ran)) = (case.verdict, &case.ran) {
        let guards = proofs.guards(
            &case.id,
            &ran.expected.case,
            case.profile.as_deref().unwrap_or_default(),
        );
        let all = guards.proven.len() + guards.unproven.len();
        let _ = write!(
            text,
            " {}",
            paint.dim(&format!("guards proven {}/{all}", guards.proven.len()))
        );
    }
    text.push('\n');
    if case.verdict == Verdict::Pass {
        return text;
    }
    if let Some(reason) = &case.reason {
        let _ = writeln!(text, "    {reason}");
    }
    if matches!(
        case.verdict,
        Verdict::Fail | Verdict::UnexpectedPass | Verdict::Inconclusive | Verdict::Error
    ) {
        details(case, policy, &mut text);
        let _ = writeln!(text, "    again: {again} '{}'", case.id);
    }
    text
}

fn details(case: &CaseRun, policy: &Policy, text: &mut String) {
    let Some(ran) = &case.ran else { return };
    let records = &ran.judgement.records;
    // The reason already says the first of these.
    for (place, finding) in ran.judgement.findings.iter().skip(1) {
        let place = match place {
            Place::Step(index) => format!("step {index}: "),
            Place::Cleanup(index) => format!("cleanup step {index}: "),
            Place::Case => String::new(),
        };
        let _ = writeln!(text, "    {place}{}", finding.text(records));
    }
    for gap in ran.judgement.gaps.iter().skip(1) {
        let _ = writeln!(text, "    {gap}");
    }
    for (_, finding) in &ran.judgement.findings {
        if let Finding::Denial(index) = finding {
            let record = &records[*index];
            let _ = writeln!(text, "    record: {}", record.text);
            if let Some(hint) = rule_hint(record, policy) {
                let _ = writeln!(text, "    {hint}");
            }
        }
    }
    for record in records
        .iter()
        .filter(|record| matches!(record.class, Class::Quieted(_)))
    {
        if let Class::Quieted(rule) = &record.class {
            let _ = writeln!(
                text,
                "    denied on purpose by {POLICY_DIR}/{rule}: {}",
                record.text
            );
        }
    }
}

/// The rule that would allow what a record says was denied, and where it would go.
fn rule_hint(record: &Attributed, policy: &Policy) -> Option<String> {
    let profile = record.record.profile.as_deref()?;
    let rule = rule_for(&request_of(&record.record)?)?;
    let place = insertion_point(policy.file_of(profile)?, profile)?;
    Some(format!(
        "the rule `{rule}` would allow it: {POLICY_DIR}/{place}, in profile {profile}"
    ))
}

/// The last line: how many of each verdict.
pub fn summary(cases: &[CaseRun], seconds: f64) -> String {
    let mut counts: BTreeMap<Verdict, usize> = BTreeMap::new();
    for case in cases {
        *counts.entry(case.verdict).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(verdict, count)| format!("{count} {}", verdict.name()))
        .collect();
    format!(
        "{} in {seconds:.1} s: {}",
        count(cases.len(), "case"),
        counts.join(", ")
    )
}

/// One guard, in one line if it is killed.
pub fn proof(proof: &Proof, paint: Paint) -> String {
    let name = proof.outcome.name();
    let gap = " ".repeat(14usize.saturating_sub(name.len()));
    let code = if proof.outcome.is_good() { "32" } else { "31" };
    let mut text = format!(
        "{}{gap} {} {}\n",
        paint.with(code, name),
        proof.case,
        paint.dim(&proof.guard)
    );
    if let (false, Some(detail)) = (proof.outcome.is_good(), &proof.detail) {
        let _ = writeln!(text, "    {detail}");
    }
    text
}

/// The last line of `prove`.
pub fn proof_summary(counts: &BTreeMap<&'static str, usize>, seconds: f64) -> String {
    let all: usize = counts.values().sum();
    let counts: Vec<String> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    format!("{} in {seconds:.1} s: {}", count(all, "guard"), counts.join(", "))
}

/// `1 case`, `2 cases`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!([count(1, "case"), count(0, "case")], ["1 case", "0 cases"]);
    }
}
