//! A made-up run with a case of every verdict, and one whose texts have a special meaning in each format.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aa_policy::{Tree, parse};

use crate::case::expand::{SubjectProfile, Variant};
use crate::case::loaded::Loaded;
use crate::case::model::Case;
use crate::case_run::{CaseRun, Ran};
use crate::guard::{Outcome, Proof};
use crate::report::build::Context;
use crate::report::model::{CaseReport, Report};
use crate::report::run_info::{ProfileSetInfo, RunInfo};
use crate::testing::evidence::{DENIED, Made, POSITIVE, errno};
use crate::verdict::features::Features;
use crate::verdict::policy::Policy;
use crate::verdict::summary::Guards;
use virt_aa_probe::protocol::{CaseEvidence, Outcome as StepOutcome};

const POLICY: &str = "profile daemon {\n  network packet raw,\n\n  deny /quiet/** rw,\n}\n";
const QUIETED: &str = r#"apparmor="DENIED" operation="open" class="file" profile="daemon" name="/quiet/x" pid=40 comm="x" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#;

const MUST_BE_DENIED: &str = "{as: d, socket: {family: packet, type: raw}, denied: {records: [{operation: create, family: packet, sock_type: raw, denied_mask: create}]}}";

/// The command that runs a case again.
pub const AGAIN: &str = "virt-aa-conform run --image debian-13";

/// Where and on what the run took place.
pub fn info() -> RunInfo {
    RunInfo {
        backend: "vm".into(),
        accelerator: "tcg".into(),
        engine: None,
        recipe: "debian-13".into(),
        image: "debian-13-0123456789abcdef".into(),
        kernel: "6.12.1".into(),
        parser: "4.1.0-1".into(),
        libvirt: "11.3.0-3".into(),
        profile_set: ProfileSetInfo {
            name: "packaged".into(),
            known_bad: None,
            hash: "b4653378b512b4653378b512b4653378b512b4653378b512b4653378b512b465".into(),
            profiles: vec!["daemon".into()],
            ..ProfileSetInfo::default()
        },
    }
}

/// The profile set.
pub fn set() -> Tree {
    let mut tree = Tree::new();
    tree.insert("daemon.profile", POLICY).unwrap();
    tree
}

/// The policy of the set.
pub fn policy() -> Policy {
    let tree = set();
    Policy {
        files: vec![parse(&tree, "daemon.profile").unwrap()],
        files_run: vec![parse(&tree, "daemon.profile").unwrap()],
        ..Made::of(&[POSITIVE]).policy
    }
}

/// The variant that was made up.
pub fn variant(made: &Made, name: &str) -> Variant {
    Variant {
        id: format!("{name}@daemon"),
        variant: None,
        values: Default::default(),
        profiles: made.expected.profiles.clone(),
        loaded: Loaded {
            case: Arc::new(made.expected.case.clone()),
            held: 0,
            file: PathBuf::from("cases/network/made.yaml"),
            line: 7,
            group: "network".into(),
        },
    }
}

pub fn ran(name: &str, mut made: Made, spoil: impl FnOnce(&mut CaseEvidence)) -> CaseRun {
    made.policy.files = policy().files;
    made.expected.case.name = name.into();
    let mut evidence = made.evidence();
    spoil(&mut evidence);
    let judgement = made.judge_evidence(&evidence);
    CaseRun {
        without_program: Vec::new(),
        id: format!("{name}@daemon"),
        profile: Some("daemon".into()),
        verdict: judgement.verdict,
        reason: judgement.reason.clone(),
        duration: Duration::from_millis(1250),
        gaps_after: Vec::new(),
        variant: variant(&made, name),
        ran: Some(Box::new(Ran {
            plan: made.plan(),
            known: made.known.clone(),
            console: vec!["[    0.000000] Linux".into()],
            expected: made.expected,
            evidence,
            judgement,
        })),
    }
}

/// A case of every verdict.
pub fn cases() -> Vec<CaseRun> {
    let whole = |_: &mut CaseEvidence| {};
    let refused = || Made::of(&[POSITIVE]).ending(errno(libc::EACCES));
    let known = "step: 0, denial: {operation: create}";
    let mut unmediated = Made::of(&[POSITIVE]);
    unmediated.policy.kernel = Features::default();
    let broken = StepOutcome::Broken {
        reason: "no fork".into(),
    };
    let mut unrun = Made::of(&[POSITIVE]);
    unrun.expected.case.name = "unrun".into();
    let unrun = variant(&unrun, "unrun").loaded;
    vec![
        ran("holds", Made::of(&[POSITIVE]), whole),
        ran("denied", refused().saying(0, DENIED), whole),
        ran("denied-on-purpose", refused().saying(0, QUIETED), whole),
        ran("not-denied", Made::of(&[MUST_BE_DENIED]), whole),
        ran("no-effect", refused(), whole),
        ran("lost-records", Made::of(&[POSITIVE]), |evidence| {
            evidence.audit_after.lost += 1;
        }),
        ran("unmediated", unmediated, whole),
        ran(
            "known",
            refused()
                .saying(0, DENIED)
                .knowing(known)
                .knowing("step: 0, effect: socket failed"),
            whole,
        ),
        ran("mended", Made::of(&[POSITIVE]).knowing(known), whole),
        ran("broken", Made::of(&[POSITIVE]).ending(broken), whole),
        CaseRun::skipped(
            Variant::without_profiles(&unrun),
            "no profile of this set is left".into(),
        ),
    ]
}

/// Texts that are commands, markup, directives or terminators in some format.
fn hostile(of: &CaseReport) -> CaseReport {
    let text = "\u{1b}[31m]]></failure> <b>|`` # SKIP \\ %0A @all\n::error::x\n...\n  ---\nok 1\u{0}";
    let mut case = of.clone();
    case.id = format!("hostile@/a b:c,d#e {text}");
    case.name = "hostile".into();
    case.reason = Some(text.into());
    case.source.file = "cases/a b/ü#.yaml".into();
    if let Some(finding) = case.findings.first_mut() {
        finding.text = text.into();
        finding.record = Some(text.into());
    }
    case
}

fn unproven(_: &str, case: &Case, profiles: &BTreeMap<String, SubjectProfile>) -> Guards {
    Guards::of(case, profiles, |_| false)
}

/// The reports of these runs under this policy, with no guard proven.
pub fn told(policy: &Policy, runs: &[CaseRun]) -> Vec<CaseReport> {
    let context = Context {
        policy,
        guards: &unproven,
        again: AGAIN,
    };
    runs.iter().map(|run| context.case(run)).collect()
}

/// The report of the run.
pub fn report(strict: bool) -> Report {
    let mut cases = told(&policy(), &cases());
    cases.push(hostile(&cases[1]));
    Report::new(info(), strict, None, 12_345.6, cases)
}

/// A guard of every outcome.
pub fn proofs() -> Vec<Proof> {
    let all = [
        Outcome::Killed,
        Outcome::Survived,
        Outcome::NoSuchRule,
        Outcome::DoesNotCompile,
        Outcome::SameBinary,
        Outcome::RedByAnotherDenial,
        Outcome::BaseNotGreen,
        Outcome::ClassNotMediated,
        Outcome::Inconclusive,
        Outcome::NoEditMendsIt,
        Outcome::NotApplicable,
    ];
    let proof = |(index, outcome): (usize, Outcome)| Proof {
        case: format!("case-{index}@daemon"),
        guard: "without network packet raw".into(),
        outcome,
        detail: (index % 2 == 0 || outcome == Outcome::NoEditMendsIt)
            .then(|| format!("what was seen <{index}>")),
        of: None,
    };
    all.into_iter().enumerate().map(proof).collect()
}
