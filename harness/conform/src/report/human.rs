//! Reports for people. Pure: values in, text out.

use std::collections::BTreeMap;
use std::fmt::Write;

use virt_aa_model::guard::{Outcome, Proof};
use virt_aa_model::report::model::{CaseReport, FindingReport, PlaceKind, Report};
use virt_aa_model::report::run_info::{ProfileSetInfo, RunInfo};
use virt_aa_model::verdict::judge::Verdict;
use virt_aa_model::verdict::once::times;

/// Whether to use colours.
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

    /// Text in a colour, by its code.
    pub fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_string()
        }
    }
}

/// The run in one line.
pub fn heading(run: &RunInfo) -> String {
    format!("{}, profile set {}", place(run), set(&run.profile_set))
}

/// Where cases run, in one line.
pub fn place(run: &RunInfo) -> String {
    let engine = run.engine.as_ref().map(|engine| format!(" by {engine}"));
    format!(
        "{} ({}{}, {}), kernel {}, parser {}, libvirt {}",
        run.image,
        run.backend,
        engine.unwrap_or_default(),
        run.accelerator,
        run.kernel,
        run.parser,
        run.libvirt,
    )
}

/// A set with its revision and its hash.
pub fn set(set: &ProfileSetInfo) -> String {
    let mut text = set.name.clone();
    if let Some(source) = &set.provenance.source {
        let _ = write!(text, ":{source}");
    }
    if let Some(bad) = &set.known_bad {
        let _ = write!(text, " with {bad}");
    }
    let short = |hash: &str| hash[..12.min(hash.len())].to_string();
    let mut facts = Vec::new();
    if let Some(revision) = &set.provenance.revision {
        let modified = if set.provenance.modified == Some(true) {
            ", modified"
        } else {
            ""
        };
        facts.push(format!("commit {}{modified}", short(revision)));
    }
    facts.push(short(&set.hash));
    let _ = write!(text, " ({})", facts.join(", "));
    text
}

/// The files of a set that cannot be loaded; empty if there are none.
pub fn unusable(set: &ProfileSetInfo, paint: Paint) -> String {
    let lines = set.unusable.iter().map(|unusable| {
        let gap = " ".repeat(6);
        let word = paint.with("31", "unusable");
        format!(
            "{word}{gap} {}\n    {}\n",
            unusable.file,
            unusable.message.replace('\n', "\n    ")
        )
    });
    lines.collect()
}

/// One case: one line if it is green, more if it is not.
pub fn case(case: &CaseReport, paint: Paint) -> String {
    // Padded before it is coloured, since colour codes have no width.
    let gap = " ".repeat(14usize.saturating_sub(case.verdict.name().len()));
    let mut text = format!("{}{gap} {}", paint.verdict(case.verdict), case.id);
    let _ = write!(
        text,
        " {}",
        paint.dim(&format!("{:.2} s", case.duration_ms / 1000.0))
    );
    if case.verdict == Verdict::Pass {
        let guards = &case.evidence.guards;
        let all = guards.proven.len() + guards.unproven.len();
        let _ = write!(
            text,
            " {}",
            paint.dim(&format!("guards proven {}/{all}", guards.proven.len()))
        );
        if !guards.not_applicable.is_empty() {
            let count = guards.not_applicable.len();
            let _ = write!(text, "{}", paint.dim(&format!(", {count} not applicable")));
        }
    }
    if !case.entered_by_change_profile.is_empty() {
        let _ = write!(text, " {}", paint.dim("entered by change_profile"));
    }
    text.push('\n');
    if case.verdict == Verdict::Pass {
        return text;
    }
    let details = match case.verdict {
        Verdict::Fail | Verdict::UnexpectedPass | Verdict::Inconclusive | Verdict::Error => details(case),
        _ => Vec::new(),
    };
    for line in case.reason.iter().chain(&details) {
        let _ = writeln!(text, "    {line}");
    }
    text
}

/// The details of a case besides the reason: other findings, records, rules, and the command to run it again.
pub fn details(case: &CaseReport) -> Vec<String> {
    let reason = case.reason.as_deref().unwrap_or_default();
    // The reason already has one of these.
    let findings = case.findings.iter().map(FindingReport::line);
    let gaps = case.evidence.gaps.iter().cloned();
    let mut lines: Vec<String> = findings
        .filter(|line| line != reason)
        .chain(gaps.filter(|gap| !reason.starts_with(gap)))
        .collect();
    for finding in &case.findings {
        lines.extend(finding.record.iter().map(|record| format!("record: {record}")));
        match (&finding.rule, &finding.record, &finding.place) {
            (Some(rule), _, Some(place)) => lines.push(format!(
                "the rule `{rule}` would allow it: {place}, in profile {}",
                place.profile
            )),
            (None, Some(_), Some(place)) if place.what == PlaceKind::Deny => lines.push(format!(
                "a `deny` rule denies it: {place}, in profile {}; no other rule allows it while that one is there",
                place.profile
            )),
            _ => {}
        }
    }
    for denied in &case.denied_on_purpose {
        let times = times(denied.count);
        lines.push(format!(
            "denied on purpose by {}{times}: {}",
            denied.rule, denied.record
        ));
    }
    lines.push(format!("again: {}", case.again));
    lines
}

/// The last line: the count of each verdict.
pub fn summary(report: &Report) -> String {
    let counts = Verdict::ALL.iter().filter_map(|verdict| {
        let count = *report.summary.get(verdict.name())?;
        (count > 0).then(|| format!("{count} {}", verdict.name()))
    });
    format!(
        "{} in {:.1} s: {}",
        count(report.cases.len(), "case"),
        report.duration_ms / 1000.0,
        counts.collect::<Vec<_>>().join(", ")
    )
}

/// The whole report.
pub fn report(report: &Report, paint: Paint) -> String {
    let cases: String = report.cases.iter().map(|of| case(of, paint)).collect();
    format!(
        "{}\n{}{cases}{}\n",
        paint.dim(&heading(&report.run)),
        unusable(&report.run.profile_set, paint),
        summary(report)
    )
}

/// One guard; one line if it is killed.
pub fn proof(proof: &Proof, paint: Paint) -> String {
    let name = proof.outcome.name();
    let gap = " ".repeat(14usize.saturating_sub(name.len()));
    let code = match proof.outcome {
        Outcome::Killed => "32",
        passed_over if passed_over.may_be_passed_over() => "33",
        _ => "31",
    };
    let mut text = format!(
        "{}{gap} {} {}\n",
        paint.with(code, name),
        proof.case,
        paint.dim(&proof.guard)
    );
    if let (false, Some(detail)) = (proof.outcome == Outcome::Killed, &proof.detail) {
        let _ = writeln!(text, "    {detail}");
    }
    text
}

/// The whole report of `prove`.
pub fn proofs(run: &RunInfo, proofs: &[Proof], closing: &str) -> String {
    let lines: String = proofs.iter().map(|of| proof(of, Paint(false))).collect();
    let unusable = unusable(&run.profile_set, Paint(false));
    format!("{}\n{unusable}{lines}{closing}\n", heading(run))
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
