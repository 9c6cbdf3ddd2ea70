//! Every outcome of a guard, with stand-ins for the machine and the compiler.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rstest::rstest;
use virt_aa_probe::protocol::{Outcome as Ended, Policy as ToLoad};

use super::*;
use crate::profile_set::compiled::{CompiledFile, CompiledSet};
use crate::profile_set::tests::Bench;
use virt_aa_model::case::expand::expand;
use virt_aa_model::case::loaded::Loaded;
use virt_aa_model::testing::evidence::{DENIED, Made, NEGATIVE, POSITIVE, errno};
use virt_aa_model::testing::reports::ran;
use virt_aa_model::verdict::features::Features;
use virt_aa_model::verdict::policy::Policy;

const OTHER: &str = r#"apparmor="DENIED" operation="open" class="file" profile="daemon" name="/x" pid=40 comm="x" requested_mask="r" denied_mask="r" fsuid=0 ouid=0"#;
const RULE: &str = "  network packet raw,\n";
const WITHOUT: &str = "{without: {network: packet raw}, denial: {operation: create}}";

/// What the machine does next.
enum Next {
    Run(Box<Made>),
    Skip,
}

struct Fake {
    next: VecDeque<Next>,
    load: Result<(), SessionError>,
    case: Case,
    discarded: bool,
}

impl MutantRunner for Fake {
    fn load_anew(&mut self, _: &Candidate) -> Result<(), SessionError> {
        std::mem::replace(&mut self.load, Ok(()))
    }

    fn run(&mut self, variant: &Variant, _: &Candidate, _: bool, _: &[&str]) -> CaseRun {
        match self.next.pop_front().expect("one run more than there should be") {
            Next::Skip => CaseRun::skipped(variant.clone(), "no such machine".into()),
            Next::Run(mut made) => {
                made.expected.case.guards.clone_from(&self.case.guards);
                ran("c", *made, |_| {})
            }
        }
    }

    fn discard(&mut self) {
        self.discarded = true;
    }
}

/// How the compiler fails, if it does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compiles {
    Well,
    /// Compiles everything to the same binary.
    Deaf,
    Not,
    /// Fails because the disk is full.
    NoDisk,
}

struct FakeCompiler {
    base: Candidate,
    compiles: Compiles,
    policy: Policy,
}

fn compiled(set: &SetUnderTest, compiles: Compiles) -> CompiledSet {
    let files = set.files.iter().map(|file| {
        let text = |path: &String| set.tree.get(path).unwrap_or_default().to_owned();
        let all: String = file.files.iter().map(text).collect();
        let compiled = CompiledFile {
            policy: ToLoad {
                name: file.file.clone(),
                binary: if compiles == Compiles::Deaf {
                    Vec::new()
                } else {
                    all.into_bytes()
                },
            },
            declared: BTreeMap::new(),
            warnings: Vec::new(),
        };
        (file.file.clone(), compiled)
    });
    CompiledSet {
        files: files.collect(),
    }
}

impl Compiler for FakeCompiler {
    fn base(&self) -> &Candidate {
        &self.base
    }

    fn candidate(&self, set: SetUnderTest) -> Result<Candidate, CompileSetError> {
        match self.compiles {
            Compiles::NoDisk => Err(CompileSetError::Io(io::Error::other("the disk is full"))),
            Compiles::Not => Err(CompileSetError::Names {
                file: "f".into(),
                declared: Vec::new(),
                names: Vec::new(),
            }),
            Compiles::Well | Compiles::Deaf => Ok(Candidate {
                compiled: compiled(&set, self.compiles),
                set,
                policy: self.policy.clone(),
            }),
        }
    }
}

/// A guard of a case of one step, and everything that is needed to prove it.
struct Proving {
    guard: &'static str,
    rules: &'static str,
    known: Vec<&'static str>,
    compiles: Compiles,
    load: Result<(), SessionError>,
    policy: Policy,
    next: Vec<Next>,
}

impl Proving {
    fn of(next: impl IntoIterator<Item = Made>) -> Proving {
        Proving {
            guard: WITHOUT,
            rules: RULE,
            known: Vec::new(),
            compiles: Compiles::Well,
            load: Ok(()),
            policy: Made::of(&[POSITIVE]).policy,
            next: next.into_iter().map(|made| Next::Run(Box::new(made))).collect(),
        }
    }

    /// The proof, and whether the machine was discarded.
    fn proof(self) -> (Proof, bool) {
        let bench = Bench::new();
        let text = format!("profile daemon /usr/sbin/daemon {{\n{}}}\n", self.rules);
        bench.write_policy(&[("usr.sbin.daemon", &text)]);
        let set = bench.open("packaged", "packaged", "4.1.0").unwrap();
        let mut case = Made::of(&[POSITIVE]).expected.case;
        case.guards = vec![serde_yaml::from_str(self.guard).unwrap()];
        let loaded = Loaded {
            case: Arc::new(case.clone()),
            held: 0,
            file: PathBuf::from("c.yaml"),
            line: 1,
            group: String::new(),
        };
        let variant = expand(&loaded, set.roles()).unwrap().remove(0);
        let compiler = FakeCompiler {
            base: Candidate {
                compiled: compiled(&set, self.compiles),
                set,
                policy: self.policy.clone(),
            },
            compiles: self.compiles,
            policy: self.policy,
        };
        let mut lab = Fake {
            next: self.next.into(),
            load: self.load,
            case,
            discarded: false,
        };
        let known: Vec<KnownFailure> = self
            .known
            .iter()
            .map(|keys| {
                let text = format!("{{case: c, sets: [s], images: [i], reason: a bug, link: there, {keys}}}");
                serde_yaml::from_str(&text).unwrap()
            })
            .collect();
        let known: Vec<&KnownFailure> = known.iter().collect();
        let mut told = 0;
        let mut proofs = prove(&mut lab, &compiler, &variant, &known, &mut |_| told += 1);
        assert!(lab.next.is_empty(), "{} runs are left", lab.next.len());
        assert_eq!((proofs.len(), told), (1, 1));
        (proofs.remove(0), lab.discarded)
    }
}

fn green() -> Made {
    Made::of(&[POSITIVE])
}

fn refused(by: &str) -> Made {
    green().ending(errno(libc::EACCES)).saying(0, by)
}

fn broken() -> Made {
    green().ending(Ended::Broken {
        reason: "no fork".into(),
    })
}

fn known_to_fail() -> Made {
    refused(OTHER)
        .knowing("step: 0, denial: {operation: open}")
        .knowing("step: 0, effect: failed")
}

#[rstest]
#[case::by_its_denial(Proving::of([green(), refused(DENIED)]), Outcome::Killed)]
#[case::green_all_the_same(Proving::of([green(), green()]), Outcome::Survived)]
#[case::by_another_denial(Proving::of([green(), refused(OTHER)]), Outcome::RedByAnotherDenial)]
#[case::without_any_denial(Proving::of([green(), green().ending(errno(libc::EACCES))]), Outcome::RedByAnotherDenial)]
#[case::red_before(Proving::of([refused(OTHER)]), Outcome::BaseNotGreen)]
#[case::broken_before(Proving::of([broken()]), Outcome::Inconclusive)]
#[case::broken_without_it(Proving::of([green(), broken()]), Outcome::Inconclusive)]
#[case::no_rule(Proving { rules: "", ..Proving::of([green()]) }, Outcome::NoSuchRule)]
#[case::no_machine_for_it(Proving { next: vec![Next::Skip], ..Proving::of([]) }, Outcome::NotApplicable)]
#[case::of_other_profiles(
    Proving { guard: "{without: {network: packet raw}, denial: {operation: create}, only: [elsewhere]}", ..Proving::of([green()]) },
    Outcome::NotApplicable
)]
#[case::not_compiled(Proving { compiles: Compiles::Not, ..Proving::of([green()]) }, Outcome::DoesNotCompile)]
#[case::no_disk(Proving { compiles: Compiles::NoDisk, ..Proving::of([green()]) }, Outcome::Inconclusive)]
#[case::nothing_changed(Proving { compiles: Compiles::Deaf, ..Proving::of([green()]) }, Outcome::SameBinary)]
#[case::not_loaded(Proving { load: Err(SessionError::OutOfTime), ..Proving::of([green()]) }, Outcome::Inconclusive)]
#[case::unmediated(
    Proving { policy: Policy { kernel: Features::default(), ..green().policy }, ..Proving::of([green()]) },
    Outcome::ClassNotMediated
)]
#[case::the_act_now_succeeds(
    Proving { guard: "{add: 'network packet raw,'}", rules: "", ..Proving::of([
        Made::of(&[NEGATIVE]).ending(errno(libc::EACCES)).saying(0, DENIED),
        Made::of(&[NEGATIVE]),
    ]) },
    Outcome::Killed
)]
#[case::denied_in_spite_of_it(
    Proving { guard: "{add: 'network packet raw,'}", rules: "", ..Proving::of([
        Made::of(&[NEGATIVE]).ending(errno(libc::EACCES)).saying(0, DENIED),
        Made::of(&[NEGATIVE]).ending(errno(libc::EACCES)).saying(0, DENIED),
    ]) },
    Outcome::Survived
)]
#[case::known_without_a_remedy(
    Proving { known: vec!["step: 0, denial: {operation: open}"], ..Proving::of([]) },
    Outcome::BaseNotGreen
)]
#[case::known_and_mended(
    Proving {
        known: vec!["step: 0, denial: {operation: open}, fix: [{profile: daemon, add: '/x r,'}]"],
        ..Proving::of([green(), refused(DENIED)])
    },
    Outcome::Killed
)]
#[case::known_with_a_remedy_that_does_not_compile(
    Proving {
        known: vec!["step: 0, denial: {operation: open}, fix: [{profile: daemon, add: '/x r,'}]"],
        compiles: Compiles::Not,
        ..Proving::of([])
    },
    Outcome::BaseNotGreen
)]
#[case::beyond_mending(
    Proving { known: vec!["step: 0, effect: failed, no-fix: a bug"], ..Proving::of([known_to_fail(), known_to_fail()]) },
    Outcome::NoEditMendsIt
)]
#[case::beyond_mending_and_killed(
    Proving {
        known: vec!["step: 0, effect: failed, no-fix: a bug"],
        ..Proving::of([known_to_fail(), known_to_fail().saying(0, DENIED)])
    },
    Outcome::Killed
)]
fn a_guard_ends_as_it_should(#[case] proving: Proving, #[case] outcome: Outcome) {
    let (proof, _) = proving.proof();
    assert_eq!(proof.outcome, outcome, "{:?}", proof.detail);
    assert_eq!(proof.outcome.is_good(), {
        let passed_over = [
            Outcome::ClassNotMediated,
            Outcome::NoEditMendsIt,
            Outcome::NotApplicable,
        ];
        outcome == Outcome::Killed || passed_over.contains(&outcome)
    });
}

#[test]
fn a_machine_that_cannot_load_a_set_is_thrown_away() {
    let load = Err(SessionError::OutOfTime);
    let (_, discarded) = Proving {
        load,
        ..Proving::of([green()])
    }
    .proof();
    assert!(discarded);
    assert!(!Proving::of([green(), green()]).proof().1);
}

#[rstest]
#[case(Proving::of([green(), refused(DENIED)]), Outcome::Inconclusive)]
#[case(Proving::of([green(), green()]), Outcome::Survived)]
fn what_is_found_later_takes_a_kill_back(#[case] proving: Proving, #[case] after: Outcome) {
    let (mut proof, _) = proving.proof();
    let before = proof.outcome;
    proof.add_gaps(Vec::new());
    assert_eq!(proof.outcome, before);
    proof.add_gaps(vec!["a stray record".into()]);
    assert_eq!(proof.outcome, after);
}

#[rstest]
#[case::of_the_guest("{of: vm, without: {capability: kill}, denial: {operation: capable}}", &["vm"])]
#[case::of_its_daemon("{of: d, without: {capability: kill}, denial: {operation: capable}}", &[])]
#[case::of_its_daemon_with_a_rule_for_the_guest(
    "{of: d, without: {capability: kill}, denial: {operation: capable}, also: [{of: vm, add: '/x r,'}]}",
    &["vm"]
)]
fn a_guest_whose_profile_is_changed_must_not_have_started(#[case] guard: &str, #[case] want: &[&str]) {
    let mut case = green().expected.case;
    let guest = serde_yaml::from_str("{role: guest, run-by: d, label: libvirt-u}").unwrap();
    case.subjects.insert("vm".into(), guest);
    let guard = serde_yaml::from_str(guard).unwrap();
    assert_eq!(changed_guests(&case, &guard), want);
}
