//! Judges the cases of a bundle again, and compares the verdicts.

use std::collections::BTreeMap;

use aa_policy::{PolicyFile, parse};

use super::model::{Bundle, CaseFile};
use virt_aa_model::report::model::CaseReport;
use virt_aa_model::verdict::expected::Expected;
use virt_aa_model::verdict::judge::{Verdict, judge};
use virt_aa_model::verdict::policy::Policy;

/// The result of `verify`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many cases were judged again.
    pub judged: usize,
    /// The cases without evidence, since they were not run or ended with an error; each with its verdict and reason.
    pub without_evidence: Vec<String>,
    /// The claims of the bundle that do not hold.
    pub differences: Vec<Difference>,
}

/// A claim of the bundle that its evidence does not support.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The case, if the difference is about one.
    pub case: Option<String>,
    /// What differs.
    pub text: String,
}

/// Judges every case again by the policy and the evidence in the bundle, and compares the verdicts, the reasons and the
/// findings with those of the report.
pub fn verify(bundle: &Bundle) -> Checked {
    let mut checked = Checked::default();
    let mut differ = |case: Option<&str>, text: String| {
        checked.differences.push(Difference {
            case: case.map(str::to_owned),
            text,
        });
    };
    let hash = bundle.set.hash();
    let said = &bundle.report.run.profile_set.hash;
    if hash != *said {
        differ(
            None,
            format!("the set's files have the hash {hash}, and the report says {said}"),
        );
    }
    let policy = match policy(bundle) {
        Ok(policy) => policy,
        Err(problem) => {
            differ(None, problem);
            return checked;
        }
    };
    let mut raw: BTreeMap<&str, &CaseFile> = BTreeMap::new();
    for case in &bundle.cases {
        if raw.insert(&case.id, case).is_some() {
            differ(Some(&case.id), "its evidence is there twice".into());
        }
    }
    let (mut judged, mut without_evidence) = (0, Vec::new());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for told in &bundle.report.cases {
        *counts.entry(told.verdict.name().into()).or_default() += 1;
        match raw.remove(told.id.as_str()) {
            Some(case) => {
                judged += 1;
                if let Some(text) = compare(case, told, &policy) {
                    differ(Some(&told.id), text);
                }
            }
            None if matches!(told.verdict, Verdict::Skip | Verdict::Error) => {
                without_evidence.push(format!(
                    "{}: {}: {}",
                    told.id,
                    told.verdict.name(),
                    told.reason.as_deref().unwrap_or("no reason is given")
                ));
            }
            None => differ(
                Some(&told.id),
                format!(
                    "the report says {}, and there is no evidence for it",
                    told.verdict.name()
                ),
            ),
        }
    }
    for id in raw.into_keys() {
        differ(
            Some(id),
            "there is evidence of it, and the report does not have it".into(),
        );
    }
    if judged == 0 {
        differ(None, "no case in it was run, so it proves nothing".into());
    }
    let mut summary = bundle.report.summary.clone();
    summary.retain(|_, count| *count > 0);
    if summary != counts {
        differ(None, "the report's summary does not count its own cases".into());
    }
    checked.judged = judged;
    checked.without_evidence = without_evidence;
    checked
}

/// The policy as the judge needs it.
fn policy(bundle: &Bundle) -> Result<Policy, String> {
    let facts = &bundle.policy;
    let files: Result<Vec<PolicyFile>, String> = facts
        .set_files
        .iter()
        .map(|name| {
            parse(&bundle.set, name).map_err(|error| format!("a file of the set cannot be read: {error}"))
        })
        .collect();
    let files = files?;
    let policy = Policy {
        declared: facts.declared.clone(),
        warnings: facts.warnings.clone(),
        files_run: files.clone(),
        files,
        kernel: facts.kernel.clone(),
        namespace: facts.namespace.clone(),
    };
    let mut names: Vec<String> = policy
        .files_run
        .iter()
        .flat_map(PolicyFile::declared_names)
        .collect();
    names.sort();
    if !names.iter().eq(policy.declared.keys()) {
        return Err("the compiled profiles are not those that the set's files declare".into());
    }
    Ok(policy)
}

/// What differs; `None` if nothing does.
fn compare(case: &CaseFile, told: &CaseReport, policy: &Policy) -> Option<String> {
    let expected = Expected {
        case: case.case.clone(),
        profiles: case.profiles.clone(),
        held: case.plan.held,
    };
    let known: Vec<_> = case.known.iter().collect();
    let mut judgement = judge(&expected, &case.plan, &case.evidence, policy, &known);
    judgement.add_gaps(case.gaps_after.clone());
    if judgement.verdict != told.verdict {
        return Some(format!(
            "its evidence gives {}{}, and the report says {}",
            judgement.verdict.name(),
            judgement
                .reason
                .map(|reason| format!(" ({reason})"))
                .unwrap_or_default(),
            told.verdict.name()
        ));
    }
    if judgement.reason != told.reason {
        return Some(format!(
            "its evidence gives the reason {:?}, and the report says {:?}",
            judgement.reason.unwrap_or_default(),
            told.reason.as_deref().unwrap_or_default()
        ));
    }
    let records = &judgement.records;
    let mut found: Vec<String> = judgement
        .findings
        .iter()
        .map(|(_, finding)| finding.text(records))
        .collect();
    let mut said: Vec<String> = told.findings.iter().map(|finding| finding.text.clone()).collect();
    for all in [&mut found, &mut said] {
        all.sort();
        all.dedup();
    }
    (found != said).then(|| "its evidence gives other findings than the report has".into())
}
