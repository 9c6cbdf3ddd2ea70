//! Makes the bundle of a run.

use std::time::{SystemTime, UNIX_EPOCH};

use aa_policy::Tree;

use super::model::{Bundle, CaseFile, FORMAT, Manifest, PolicyFacts};
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::report::model::{PROGRAM_VERSION, Report};
use virt_aa_model::verdict::policy::Policy;

/// Makes the bundle of a run with one set. The set both runs and provides the `deny` rules that excuse denials. The
/// hashes of its files are filled in when it is written.
pub fn make(policy: &Policy, set: &Tree, runs: &[CaseRun], report: &Report) -> Bundle {
    Bundle {
        manifest: Manifest {
            format: FORMAT,
            program_version: PROGRAM_VERSION.into(),
            made: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            files: std::collections::BTreeMap::new(),
        },
        report: report.clone(),
        policy: PolicyFacts {
            set_dirs: set.dirs().map(str::to_owned).collect(),
            set_files: policy.files.iter().map(|file| file.file.clone()).collect(),
            declared: policy.declared.clone(),
            warnings: policy.warnings.clone(),
            kernel: policy.kernel.clone(),
            namespace: policy.namespace.clone(),
        },
        set: set.clone(),
        cases: runs.iter().filter_map(case).collect(),
    }
}

fn case(run: &CaseRun) -> Option<CaseFile> {
    let ran = run.ran.as_deref()?;
    Some(CaseFile {
        id: run.id.clone(),
        case: ran.expected.case.clone(),
        profiles: ran.expected.profiles.clone(),
        plan: ran.plan.clone(),
        evidence: ran.evidence.clone(),
        known: ran.known.clone(),
        gaps_after: run.gaps_after.clone(),
        console: ran.console.clone(),
    })
}
