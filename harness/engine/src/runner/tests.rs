//! Tests of the runner. A thread stands in for the machine and gives the answers that a test specifies.

mod machine;

use aa_policy::Parser;
use rstest::rstest;
use std::time::Duration;
use virt_aa_probe::protocol::Response;

use self::machine::{LONG, Next, brought, cannot, case, green, loaded, machine, refused, unattributed, up};
use super::*;
use crate::backend::{Kind, LocalConfig};
use crate::prepare::Timings;
use crate::profile_set::compiled::CompiledSet;
use crate::profile_set::programs::Programs;
use crate::profile_set::tests::Bench;
use crate::prove::MutantRunner;
use virt_aa_model::case::model::{Step, Subject};
use virt_aa_model::known::Known;
use virt_aa_model::profile_set::manifest::Origin;
use virt_aa_model::testing::evidence::{DENIED, Made};
use virt_aa_model::testing::reports::{ran, variant};
use virt_aa_model::verdict::features::Features;

/// All that a runner needs besides a machine. It cannot start another machine.
struct Surroundings {
    data: Data,
    prepared: Prepared,
    backend: Backend,
}

fn set_of(text: &str) -> (Bench, Candidate) {
    let bench = Bench::new();
    bench.write_policy(&[("usr.sbin.daemon", text)]);
    let set = bench.open("packaged", "packaged", "4.1.0").unwrap();
    let candidate = Candidate {
        set,
        compiled: CompiledSet::default(),
        policy: green().policy,
    };
    (bench, candidate)
}

fn place() -> Surroundings {
    let (bench, base) = set_of("profile daemon /usr/sbin/daemon {\n}\n");
    let fixture = serde_yaml::from_str("{name: disk, summary: s, timeout: 1, up: 'true'}").unwrap();
    Surroundings {
        data: Data {
            fixtures: BTreeMap::from([("disk".into(), fixture)]),
            ..Data::default()
        },
        prepared: Prepared {
            image: bench.image("4.1.0"),
            base,
            parser: Parser {
                program: "/nonexistent".into(),
                loader: None,
                library_path: Vec::new(),
                root: None,
                config_file: None,
                features: None,
                timeout: LONG,
            },
            kernel: Features::default(),
            kernel_release: "6.1".into(),
            namespace: None,
            programs: Programs::parse("/usr/sbin/daemon\n"),
            timings: Timings::default(),
        },
        backend: Backend::Local(LocalConfig {
            program: "/nonexistent".into(),
            ..LocalConfig::new(Kind::Host)
        }),
    }
}

impl Surroundings {
    fn runner(&self, session: Session) -> Runner<'_> {
        Runner::new(&self.data, &self.prepared, &self.backend, Some(session))
    }
}

fn needing_a_disk() -> Variant {
    let mut made = green();
    made.expected.case.needs = vec!["disk".into()];
    variant(&made, "c")
}

#[test]
fn a_set_is_loaded_once_and_another_one_in_its_place() {
    let place = place();
    let (_bench, other) = set_of("profile daemon /usr/sbin/daemon {\n  /more r,\n}\n");
    let base = &place.prepared.base;
    let c = variant(&green(), "c");
    let script = [loaded(), case(), case(), loaded(), case(), loaded(), case()];
    let (session, heard) = machine(script);
    let mut runner = place.runner(session);
    for set in [base, base, &other, base] {
        assert_eq!(runner.run(&c, set, true).verdict, Verdict::Pass);
    }
    drop(runner);
    let asked: Vec<&str> = heard.iter().collect();
    assert_eq!(asked, ["load", "case", "case", "load", "case", "load", "case"]);
}

#[test]
fn a_fixture_is_brought_up_once() {
    let place = place();
    let (session, heard) = machine([loaded(), up(), case(), case()]);
    let mut runner = place.runner(session);
    for _ in 0..2 {
        let run = runner.run(&needing_a_disk(), &place.prepared.base, true);
        assert_eq!(run.verdict, Verdict::Pass, "{:?}", run.reason);
    }
    drop(runner);
    let asked: Vec<&str> = heard.iter().collect();
    assert_eq!(asked, ["load", "fixture", "case", "case"]);
}

/// What happens to the machine.
#[derive(Debug, PartialEq, Eq)]
enum Machines {
    Kept,
    GivenUp,
}

#[rstest]
#[case::pass(vec![loaded(), up(), case()], Verdict::Pass, "", Machines::Kept)]
#[case::fail(vec![loaded(), up(), Next::Case(Box::new(refused()))], Verdict::Fail, "was denied create", Machines::Kept)]
#[case::no_such_machine(
    vec![loaded(), brought(FixtureOutcome::Unavailable { reason: "no disk here".into() })],
    Verdict::Skip, "disk: no disk here", Machines::Kept
)]
#[case::broken_fixture(
    vec![loaded(), brought(FixtureOutcome::Broken { message: "it hangs".into() })],
    Verdict::Error, "fixture disk: it hangs", Machines::GivenUp
)]
#[case::not_loaded(vec![cannot()], Verdict::Error, "the agent: no memory", Machines::GivenUp)]
#[case::cannot_run_it(vec![loaded(), up(), cannot()], Verdict::Error, "the agent: no memory", Machines::GivenUp)]
#[case::answers_something_else(
    vec![loaded(), up(), loaded()], Verdict::Error, "something else than it was asked", Machines::GivenUp
)]
#[case::ends_in_the_case(vec![loaded(), up(), Next::End], Verdict::Error, "the machine is gone", Machines::GivenUp)]
#[case::ends_while_it_loads(vec![Next::End], Verdict::Error, "the machine is gone", Machines::GivenUp)]
#[case::incomplete(
    vec![loaded(), up(), Next::Gap(Box::new(green()))], Verdict::Inconclusive, "serial", Machines::GivenUp
)]
fn every_end_is_told_and_a_spoilt_machine_is_given_up(
    #[case] script: Vec<Next>,
    #[case] verdict: Verdict,
    #[case] reason: &str,
    #[case] machines: Machines,
) {
    let place = place();
    let (session, _heard) = machine(script);
    let mut runner = place.runner(session);
    let run = runner.run(&needing_a_disk(), &place.prepared.base, true);
    let told = run.reason.unwrap_or_default();
    assert_eq!(run.verdict, verdict, "{told}");
    assert!(told.contains(reason), "{told}");
    let left = if runner.session.is_some() {
        Machines::Kept
    } else {
        Machines::GivenUp
    };
    assert_eq!(left, machines);
    assert_eq!(runner.loaded.is_some(), machines == Machines::Kept);
}

#[test]
fn no_case_is_judged_without_a_machine() {
    let place = place();
    let (session, _heard) = machine([Next::End]);
    let mut runner = place.runner(session);
    let c = variant(&green(), "c");
    for reason in [
        "the machine is gone",
        "cannot start the machine",
        "cannot start the machine",
    ] {
        let run = runner.run(&c, &place.prepared.base, true);
        assert_eq!(run.verdict, Verdict::Error);
        assert!(
            run.reason.as_ref().is_some_and(|told| told.contains(reason)),
            "{:?}",
            run.reason
        );
    }
}

#[test]
fn a_case_is_judged_by_its_own_plan_and_not_by_a_changed_one() {
    let place = place();
    let (session, _heard) = machine([loaded(), case()]);
    let mut runner = place.runner(session);
    let c = variant(&green(), "c");
    let run = runner.run_otherwise(&c, &place.prepared.base, true, &|plan| plan.steps.clear());
    assert_eq!(run.verdict, Verdict::Inconclusive);
    // Whoever changes the plan decides what happens to the machine.
    assert!(runner.session.is_some());
}

#[test]
fn what_an_agent_cannot_do_once_it_may_do_the_next_time() {
    let place = place();
    let (session, heard) = machine([cannot(), loaded(), cannot(), case()]);
    let mut runner = place.runner(session);
    let c = variant(&green(), "c");
    let mut verdict = || {
        runner
            .run_otherwise(&c, &place.prepared.base, true, &|_| {})
            .verdict
    };
    assert_eq!(
        [verdict(), verdict(), verdict()],
        [Verdict::Error, Verdict::Error, Verdict::Pass]
    );
    drop(runner);
    let asked: Vec<&str> = heard.iter().collect();
    assert_eq!(asked, ["load", "load", "case", "case"]);
}

#[test]
fn nothing_is_asked_when_the_time_of_the_whole_run_is_over() {
    let place = place();
    let (session, heard) = machine([loaded()]);
    let mut runner = place.runner(session).until(Instant::now());
    let run = runner.run(&variant(&green(), "c"), &place.prepared.base, true);
    assert_eq!(run.verdict, Verdict::Error);
    assert!(run.reason.is_some_and(|told| told.contains("--timeout")));
    drop(runner);
    assert_eq!(heard.iter().count(), 0);
}

#[test]
fn a_silent_machine_is_waited_for_no_longer_than_the_whole_run_may_take() {
    let place = place();
    let (session, _heard) = machine([loaded(), Next::Silence]);
    let mut runner = place.runner(session);
    let c = variant(&green(), "c");
    runner.load_anew(&place.prepared.base).unwrap();
    let soon = Instant::now() + Duration::from_millis(300);
    let run = runner.until(soon).run(&c, &place.prepared.base, true);
    assert_eq!(run.verdict, Verdict::Error);
    assert!(run.reason.is_some_and(|told| told.contains("--timeout")));
    assert!(Instant::now() >= soon);
}

#[rstest]
#[case::nothing(Next::Say(Response::Unattributed { records: Vec::new() }), None)]
#[case::a_denial(unattributed(DENIED), Some("an unattributed record arrived after the case"))]
#[case::no_look(cannot(), Some("cannot read the audit log after the last case"))]
#[case::its_end(Next::End, Some("cannot read the audit log after the last case"))]
fn the_log_is_looked_at_once_more_after_the_last_case(#[case] next: Next, #[case] gap: Option<&str>) {
    let place = place();
    let (session, _heard) = machine([next]);
    let mut runner = place.runner(session);
    let gaps = runner.last_gaps();
    assert_eq!(gaps.len(), usize::from(gap.is_some()), "{gaps:?}");
    assert!(gap.is_none_or(|gap| gaps[0].contains(gap)), "{gaps:?}");
    runner.discard();
    assert_eq!(runner.last_gaps(), Vec::<String>::new());
}

#[test]
fn a_known_failure_counts_only_where_it_is_asked_for() {
    let mut place = place();
    let made = refused()
        .knowing("step: 0, denial: {operation: create}")
        .knowing("step: 0, effect: failed");
    let mut known = made.known.clone();
    for known in &mut known {
        known.sets = vec!["packaged".into()];
    }
    place.data.known = Known(known);
    let refused = || Next::Case(Box::new(refused()));
    let (session, _heard) = machine([loaded(), refused(), refused(), case()]);
    let mut runner = place.runner(session);
    let c = variant(&green(), "c");
    let base = &place.prepared.base;
    assert_eq!(runner.run(&c, base, true).verdict, Verdict::KnownFailure);
    assert_eq!(runner.run(&c, base, false).verdict, Verdict::Fail);
    // The case is known to fail, but passes.
    assert_eq!(runner.run(&c, base, true).verdict, Verdict::UnexpectedPass);
}

#[rstest]
#[case::as_the_image_has_it(Origin::Packaged, Verdict::UnexpectedPass, Verdict::Fail)]
#[case::as_somebody_gives_it(Origin::LibvirtSource, Verdict::Pass, Verdict::KnownFailure)]
fn of_a_given_set_a_known_failure_need_not_show(
    #[case] from: Origin,
    #[case] gone: Verdict,
    #[case] one_of_two: Verdict,
) {
    let mut place = place();
    let made = green()
        .knowing("step: 0, denial: {operation: create}")
        .knowing("step: 0, denial: {operation: bind}");
    place.data.known = Known(made.known);
    for known in &mut place.data.known.0 {
        known.sets = vec!["packaged".into()];
    }
    place.prepared.base.set.manifest.from = from;
    let denied = Next::Case(Box::new(green().saying(0, DENIED)));
    let (session, _heard) = machine([loaded(), case(), denied]);
    let mut runner = place.runner(session);
    let c = variant(&green(), "c");
    assert_eq!(runner.run(&c, &place.prepared.base, true).verdict, gone);
    assert_eq!(runner.run(&c, &place.prepared.base, true).verdict, one_of_two);
}

#[test]
fn a_program_that_the_image_lacks_is_a_skip_and_named() {
    let mut place = place();
    let mut made = Made::of(&["{as: agent, socket: {family: packet, type: raw}}"]);
    let subject = "{role: daemon, daemon: {argv: [/usr/sbin/daemon], ready: /run/x}}";
    made.expected
        .case
        .subjects
        .insert("d".into(), serde_yaml::from_str(subject).unwrap());
    let c = variant(&made, "c");
    place.prepared.programs = Programs::parse("/usr/sbin/another\n");
    let (session, _heard) = machine([loaded()]);
    let run = place.runner(session).run(&c, &place.prepared.base, true);
    assert_eq!(run.verdict, Verdict::Skip, "{:?}", run.reason);
    assert!(run.reason.is_some_and(|told| told.contains("/usr/sbin/daemon")));
    assert_eq!(run.without_program, ["daemon"]);
}

/// A variant that begins where another case ends, which starts a daemon. That case is put among the data.
fn with_an_earlier_case(place: &mut Surroundings) -> Variant {
    let subject = "{role: daemon, daemon: {argv: [/usr/sbin/daemon], ready: /run/x}}";
    let subject: Subject = serde_yaml::from_str(subject).unwrap();
    let start: Step = serde_yaml::from_str("{as: s, start: daemon}").unwrap();
    let mut earlier = green();
    let case = &mut earlier.expected.case;
    case.name = "earlier".into();
    case.subjects = BTreeMap::from([("s".into(), subject.clone())]);
    case.steps = vec![start.clone()];
    place.data.cases = vec![variant(&earlier, "earlier").loaded];
    let mut made = green();
    let case = &mut made.expected.case;
    case.from = Some("earlier".into());
    case.subjects.insert("s".into(), subject);
    case.setup.insert(0, start);
    variant(&made, "c")
}

#[test]
fn a_case_that_wants_a_fresh_machine_gets_no_used_one() {
    let place = place();
    let mut made = green();
    made.expected.case.fresh = true;
    let fresh = variant(&made, "c");
    let (session, heard) = machine([loaded(), case(), case()]);
    let mut runner = place.runner(session);
    let session = runner.session.as_ref().unwrap();
    assert!(!session.is_used() && !runner.may_exchange_machine_for(&fresh));
    assert_eq!(
        runner.run(&fresh, &place.prepared.base, true).verdict,
        Verdict::Pass
    );
    assert!(runner.may_exchange_machine_for(&fresh));
    // What somebody has done to a machine is done to this one.
    let same = runner.run_otherwise(&fresh, &place.prepared.base, true, &|_| {});
    assert_eq!(same.verdict, Verdict::Pass);
    // There is no other machine here.
    assert_eq!(
        runner.run(&fresh, &place.prepared.base, true).verdict,
        Verdict::Error
    );
    drop(runner);
    assert_eq!(heard.iter().collect::<Vec<_>>(), ["load", "case", "case"]);
}

#[test]
fn what_a_case_left_under_another_set_is_for_mutants_only() {
    let mut place = place();
    let c = with_an_earlier_case(&mut place);
    let (_bench, other) = set_of("profile daemon /usr/sbin/daemon {\n  /more r,\n}\n");
    let up = || {
        let (mut session, heard) = machine([loaded(), case()]);
        session.set_kept(identity_of_the_beginning(&place, &c));
        (place.runner(session), heard)
    };
    let (mut runner, heard) = up();
    let run = runner.run(&c, &place.prepared.base, true);
    let begins_from = run.ran.unwrap().plan.begins_from;
    assert_eq!(begins_from, Some(identity_of_the_beginning(&place, &c)));
    drop(runner);
    assert_eq!(heard.iter().collect::<Vec<_>>(), ["load", "case"]);
    let (mut runner, heard) = up();
    runner.run_mutant(&c, &other, true, &[]);
    drop(runner);
    assert_eq!(heard.iter().collect::<Vec<_>>(), ["load", "case"]);
    // The machine is given up, and there is no other one here.
    let (mut runner, heard) = up();
    assert_eq!(runner.run(&c, &other, true).verdict, Verdict::Error);
    // So it is for a mutant if a subject of the earlier case must not have started yet.
    let (mut runner, heard_of_mutant) = up();
    assert_eq!(
        runner.run_mutant(&c, &other, true, &["s"]).verdict,
        Verdict::Error
    );
    drop(runner);
    assert_eq!(heard.iter().chain(&heard_of_mutant).count(), 0);
}

/// The name under which a machine keeps what the earlier cases of a variant left under the base set.
fn identity_of_the_beginning(place: &Surroundings, variant: &Variant) -> String {
    let (session, _heard) = machine([]);
    let runner = place.runner(session);
    let links = runner.links(variant, &place.prepared.base.set, &[]);
    links.last().unwrap().identity.clone()
}

#[test]
fn a_machine_with_what_a_case_left_is_for_one_case_and_for_no_other() {
    let mut place = place();
    let saved = with_an_earlier_case(&mut place);
    let (mut session, heard) = machine([loaded(), case(), loaded()]);
    session.set_kept(identity_of_the_beginning(&place, &saved));
    let mut runner = place.runner(session);
    // The evidence has no such daemon; this way of running keeps the machine in spite of that.
    runner.run_otherwise(&saved, &place.prepared.base, true, &|_| {});
    let plain = variant(&green(), "c");
    assert!(!runner.has_machine() && runner.may_exchange_machine_for(&plain));
    // The log of the machine is read once more before it is exchanged.
    assert_eq!(runner.last_gaps().len(), 1);
    let (mut session, other_heard) = machine([loaded(), case()]);
    session.set_kept("something else".into());
    let mut runner = place.runner(session);
    assert!(runner.may_exchange_machine_for(&plain));
    assert_eq!(
        runner.run(&plain, &place.prepared.base, true).verdict,
        Verdict::Error
    );
    drop(runner);
    assert_eq!(heard.iter().count(), 3);
    assert_eq!(other_heard.iter().count(), 0);
}

#[test]
fn a_lab_is_the_runner_itself() {
    let place = place();
    let (session, heard) = machine([loaded(), loaded(), case()]);
    let mut runner = place.runner(session);
    let lab: &mut dyn MutantRunner = &mut runner;
    lab.load_anew(&place.prepared.base).unwrap();
    lab.load_anew(&place.prepared.base).unwrap();
    let run = lab.run(&variant(&green(), "c"), &place.prepared.base, true, &[]);
    assert_eq!(run.verdict, Verdict::Pass);
    lab.discard();
    assert!(runner.session.is_none());
    let asked: Vec<&str> = heard.iter().collect();
    assert_eq!(asked, ["load", "load", "case"]);
}

#[rstest]
#[case::pass(Verdict::Pass, Verdict::Inconclusive)]
#[case::known_failure(Verdict::KnownFailure, Verdict::Inconclusive)]
#[case::vacuous(Verdict::Vacuous, Verdict::Inconclusive)]
#[case::fail(Verdict::Fail, Verdict::Fail)]
#[case::error(Verdict::Error, Verdict::Error)]
fn what_is_found_later_makes_no_verdict_better(#[case] before: Verdict, #[case] after: Verdict) {
    let whole = green();
    let mut run = ran("made", whole, |_| ());
    (run.verdict, run.reason) = (before, Some("first".into()));
    run.add_gaps(Vec::new());
    assert_eq!(run.verdict, before);
    run.add_gaps(vec!["later".into(), "more".into()]);
    assert_eq!(run.verdict, after);
    let reason = run.reason.unwrap();
    assert_eq!(reason, if before == after { "first" } else { "later" });
    let judgement = run.ran.unwrap().judgement;
    assert_eq!((judgement.verdict, judgement.gaps.len()), (after, 2));
}
