//! Every gap in the evidence makes the verdict inconclusive, whatever else was seen.

use rstest::rstest;
use virt_aa_probe::protocol::{CaseEvidence, Escaped, LoadedProfile, ProcessFacts, RawRecord};

use crate::testing::evidence::{DENIED, Made, POSITIVE, errno};
use crate::verdict::complete::gaps_after_the_last;
use crate::verdict::judge::Verdict;

#[test]
fn whole_and_clean_evidence_is_a_pass() {
    let judgement = Made::of(&[POSITIVE]).judge();
    assert_eq!(
        (judgement.verdict, judgement.gaps.as_slice()),
        (Verdict::Pass, &[][..])
    );
}

fn profile<'e>(profiles: &'e mut [LoadedProfile], name: &str) -> &'e mut LoadedProfile {
    profiles.iter_mut().find(|profile| profile.name == name).unwrap()
}

fn subject(evidence: &mut CaseEvidence) -> &mut virt_aa_probe::protocol::SubjectFacts {
    evidence.subjects.get_mut("d").unwrap()
}

fn one_more() -> LoadedProfile {
    LoadedProfile {
        name: "more".into(),
        mode: "enforce".into(),
        attach: String::new(),
        hash: None,
    }
}

/// A process of `d`'s outside its control group.
fn escaped(label: &str, brought_back: bool) -> Escaped {
    let process = ProcessFacts {
        pid: 55,
        label: label.into(),
        mode: "enforce".into(),
        exe: "/x".into(),
    };
    Escaped {
        subject: "d".into(),
        process,
        brought_back,
    }
}

#[test]
fn a_guest_may_be_put_elsewhere_by_its_daemon() {
    let mut made = Made::of(&[POSITIVE]);
    let guest = "{role: daemon, run-by: d, label: guest}";
    let guest = serde_yaml::from_str(guest).unwrap();
    made.expected.case.subjects.insert("vm".into(), guest);
    let judge = |label: &str, brought_back: bool| {
        made.judge_spoilt(|evidence| {
            let escaped = escaped(label, brought_back);
            subject(evidence).started.push(ProcessFacts {
                label: "guest".into(),
                ..escaped.process.clone()
            });
            evidence.escaped.push(escaped);
        })
    };
    assert_eq!(judge("guest", true).verdict, Verdict::Pass);
    assert_eq!(judge("guest", false).verdict, Verdict::Inconclusive);
    assert_eq!(judge("other", true).verdict, Verdict::Inconclusive);
}

type E = CaseEvidence;
type Spoil = fn(&mut E);

#[rstest]
// 1: the policy.
#[case::complain(|e: &mut E| profile(&mut e.policy_before.profiles, "daemon").mode = "complain".into(), "is in complain mode")]
#[case::complain_later(|e: &mut E| profile(&mut e.policy_after.profiles, "daemon").mode = "complain".into(), "after the case")]
#[case::child_in_complain(|e: &mut E| profile(&mut e.policy_before.profiles, "daemon//child").mode = "complain".into(), "daemon//child")]
#[case::another_policy(|e: &mut E| profile(&mut e.policy_before.profiles, "other").hash = Some(("sha256".into(), "0".into())), "differs from that of the compiled")]
#[case::hash_of_another_kind(|e: &mut E| profile(&mut e.policy_after.profiles, "other").hash = Some(("md5".into(), "hash of other".into())), "differs from that of the compiled")]
#[case::no_hash(|e: &mut E| profile(&mut e.policy_before.profiles, "daemon").hash = None, "keeps no hash")]
#[case::not_loaded(|e: &mut E| e.policy_before.profiles.retain(|p| p.name != "daemon"), "is not loaded")]
#[case::taken_away(|e: &mut E| e.policy_after.profiles.clear(), "is not loaded")]
#[case::one_more(|e: &mut E| e.policy_after.profiles.push(one_more()), "does not declare it")]
#[case::revision_moved(|e: &mut E| e.policy_after.revision += 1, "revision moved")]
#[case::revision_fell(|e: &mut E| e.policy_after.revision -= 1, "revision moved")]
// 2 and 3: the subject.
#[case::unconfined(|e: &mut E| { subject(e).label = "unconfined".into(); subject(e).mode.clear() }, "had the label")]
#[case::in_complain(|e: &mut E| subject(e).mode = "complain".into(), "had the label")]
#[case::in_a_child(|e: &mut E| subject(e).label = "daemon//child".into(), "had the label")]
#[case::another_user(|e: &mut E| subject(e).credentials.uid = 1000, "should be root")]
#[case::another_group(|e: &mut E| subject(e).credentials.gid = 1000, "should be root")]
#[case::a_group_more(|e: &mut E| subject(e).credentials.groups = vec![29], "should be root")]
#[case::fewer_capabilities(|e: &mut E| subject(e).credentials.cap_eff = "0000000000000001".into(), "should be root")]
#[case::not_even_the_agent_is_root(|e: &mut E| { subject(e).should_be.uid = 5; subject(e).credentials.uid = 5 }, "should be root")]
#[case::no_new_privs(|e: &mut E| subject(e).credentials.no_new_privs = true, "restricted by something other")]
#[case::seccomp(|e: &mut E| subject(e).credentials.seccomp = 2, "restricted by something other")]
#[case::not_at_rest(|e: &mut E| subject(e).quiesced = false, "still running")]
#[case::an_older_process(|e: &mut E| subject(e).started_before = true, "was started before the case")]
#[case::never_seen(|e: &mut E| e.subjects.clear(), "reported nothing")]
// 5: the log path.
#[case::no_opening_canary(|e: &mut E| e.canary_before = None, "open canary")]
#[case::no_closing_canary(|e: &mut E| e.canary_after = None, "close canary")]
#[case::canary_of_another_serial(|e: &mut E| e.canary_after = e.canary_before, "close canary")]
#[case::no_barrier(|e: &mut E| e.steps[0].barrier = None, "after step 0")]
#[case::barrier_of_another(|e: &mut E| e.steps[0].barrier = e.canary_after, "after step 0")]
#[case::gaps_told(|e: &mut E| e.serial_gaps = 3, "3 audit messages never arrived")]
#[case::lost(|e: &mut E| e.audit_after.lost += 7, "lost 7")]
#[case::lost_counter_reset(|e: &mut E| e.audit_after.lost = 0, "lost")]
#[case::overrun(|e: &mut E| e.audit_after.overruns = 1, "ENOBUFS")]
#[case::not_ours(|e: &mut E| e.audit_after.ours = false, "the agent was not reading")]
#[case::not_reading(|e: &mut E| e.audit_after.reading = false, "the agent was not reading")]
#[case::backlog(|e: &mut E| e.audit_before.backlog_limit = 64, "backlog limit was 64")]
#[case::rate(|e: &mut E| e.audit_after.rate_limit = 1, "rate limit 1")]
#[case::auditing_off(|e: &mut E| e.audit_before.enabled = false, "auditing was off")]
#[case::excluding(|e: &mut E| e.audit_before.exclude_rules = 1, "exclude records")]
#[case::quiet(|e: &mut E| e.audit_after.mode = "normal".into(), "not `noquiet`")]
// 5: the switches, even if they have the right values when they are checked.
#[case::a_switch_put_back(|e: &mut E| e.switches.writers.push(77), "process 77 changed AppArmor's logging")]
#[case::a_switch_healed(|e: &mut E| e.switches.other_values.push("quiet".into()), "audit mode was changed to `quiet`")]
#[case::switches_not_watched(|e: &mut E| e.switches.unavailable = Some("no".into()), "could not be watched")]
#[case::complain_for_all(|e: &mut E| e.audit_after.enforcement = "complain".into(), "not `enforce`")]
#[case::audit_set_anew(|e: &mut E| e.records.push(RawRecord { kind: 1305, serial: 101, text: "op=set".into(), subject: None }), "the audit configuration changed")]
// 6: the processes and who started them.
#[case::not_followed(|e: &mut E| e.processes.unavailable = Some("no".into()), "does not report processes")]
#[case::followed_in_part(|e: &mut E| e.processes.overruns = 1, "some are missing")]
#[case::left(|e: &mut E| e.escaped.push(escaped("daemon", true)), "left its control group")]
#[case::not_brought_back(|e: &mut E| e.escaped.push(escaped("guest", false)), "left its control group")]
// The steps that were done are those of the plan.
#[case::a_step_more(|e: &mut E| e.steps.push(e.steps[0].clone()), "2 steps, but the plan has")]
#[case::a_cleanup_more(|e: &mut E| e.cleanup.push(e.steps[0].clone()), "1 cleanup steps")]
fn a_gap_is_inconclusive(#[case] spoil: Spoil, #[case] reason: &str) {
    let judgement = Made::of(&[POSITIVE]).judge_spoilt(spoil);
    assert_eq!(judgement.verdict, Verdict::Inconclusive, "{:?}", judgement.reason);
    assert!(
        judgement.gaps.iter().any(|gap| gap.contains(reason)),
        "{:?}",
        judgement.gaps
    );
    // A finding does not outweigh a gap: with incomplete evidence, the finding may have another cause.
    let failing = Made::of(&[POSITIVE])
        .ending(errno(libc::EACCES))
        .saying(0, DENIED);
    assert_eq!(failing.judge_spoilt(spoil).verdict, Verdict::Inconclusive);
    assert_eq!(failing.judge().verdict, Verdict::Fail);
}

#[test]
fn a_serial_that_never_arrived_is_noticed_though_the_machine_counts_none() {
    let clean = r#"apparmor="AUDIT" operation="open" class="file" profile="daemon" name="/x" pid=40 comm="x" requested_mask="r" fsuid=0 ouid=0"#;
    let made = Made::of(&[POSITIVE]).saying(0, clean);
    assert_eq!(made.judge().verdict, Verdict::Pass);
    let judgement = made.judge_spoilt(|evidence| {
        evidence.records.remove(1);
    });
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(
        judgement.gaps[0].contains("1 audit messages never arrived"),
        "{:?}",
        judgement.gaps
    );
}

#[test]
fn canaries_in_another_order_are_no_barriers() {
    let made = Made::of(&[POSITIVE, POSITIVE]);
    let judgement = made.judge_spoilt(|evidence| {
        // Both denials arrived, but the second step's before the first's.
        let (one, two) = (evidence.records[1].clone(), evidence.records[2].clone());
        evidence.records[1].text = two.text.replace("103", "102");
        evidence.records[2].text = one.text.replace("102", "103");
        (evidence.steps[0].barrier, evidence.steps[1].barrier) =
            (evidence.steps[1].barrier, evidence.steps[0].barrier);
    });
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(judgement.gaps[0].contains("order"), "{:?}", judgement.gaps);
}

#[test]
fn one_canary_is_no_barrier_of_two_steps() {
    let made = Made::of(&[POSITIVE, POSITIVE]);
    let judgement = made.judge_spoilt(|evidence| evidence.steps[1].barrier = evidence.steps[0].barrier);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(
        judgement.gaps.iter().any(|gap| gap.contains("order")),
        "{:?}",
        judgement.gaps
    );
}

#[rstest]
#[case::by_another_profile("virt-aa-conform-canary", "daemon")]
#[case::of_another_path("token-close", "token-other")]
#[case::not_denied("DENIED", "ALLOWED")]
fn a_canary_counts_only_as_itself(#[case] from: &str, #[case] to: &str) {
    let judgement = Made::of(&[POSITIVE]).judge_spoilt(|evidence| {
        let closing = evidence.records.last_mut().unwrap();
        assert!(closing.text.contains(from));
        closing.text = closing.text.replace(from, to);
    });
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(judgement.gaps.iter().any(|gap| gap.contains("close canary")));
}

#[test]
fn a_cleanup_that_was_not_done_is_a_gap() {
    let mut made = Made::of(&[POSITIVE]);
    made.expected.case.cleanup = made.expected.case.steps.clone();
    assert_eq!(made.judge().verdict, Verdict::Inconclusive);
    made.cleanup.push(crate::testing::evidence::ok());
    assert_eq!(made.judge().verdict, Verdict::Pass);
}

#[test]
fn a_step_that_was_not_reached_is_no_pass() {
    let made = Made::of(&[POSITIVE, POSITIVE]);
    let mut shorter = Made::of(&[POSITIVE, POSITIVE]);
    shorter.outcomes.pop();
    assert_eq!(made.judge().verdict, Verdict::Pass);
    assert_eq!(shorter.judge().verdict, Verdict::Inconclusive);
}

#[test]
fn a_users_subject_has_no_capabilities() {
    let mut made = Made::of(&[POSITIVE]);
    made.expected.profiles.get_mut("d").unwrap().user = Some("libvirt-qemu".into());
    assert_eq!(made.judge().verdict, Verdict::Inconclusive);
    let as_user = |caps: &'static str| {
        move |evidence: &mut CaseEvidence| {
            let facts = subject(evidence);
            (facts.should_be.uid, facts.should_be.cap_eff) = (64055, "0".repeat(16));
            (facts.credentials.uid, facts.credentials.cap_eff) = (64055, caps.into());
        }
    };
    assert_eq!(
        made.judge_spoilt(as_user("0000000000000000")).verdict,
        Verdict::Pass
    );
    assert_eq!(
        made.judge_spoilt(as_user("0000000000000002")).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn what_the_parser_warned_of_is_a_gap() {
    let mut made = Made::of(&[POSITIVE]);
    made.policy.warnings.push("a rule was dropped".into());
    assert_eq!(made.judge().verdict, Verdict::Inconclusive);
    made.policy.warnings.clear();
    made.policy.declared.get_mut("daemon").unwrap().enforce = false;
    assert_eq!(made.judge().verdict, Verdict::Inconclusive);
}

#[rstest]
#[case::red(1400, "DENIED", Verdict::Inconclusive)]
#[case::clean(1400, "STATUS", Verdict::Pass)]
#[case::of_user_space(1107, "DENIED", Verdict::Pass)]
fn a_record_from_before_the_case_is_a_gap_if_it_is_the_kernels(
    #[case] kind: u16,
    #[case] word: &str,
    #[case] verdict: Verdict,
) {
    let judgement = Made::of(&[POSITIVE]).judge_spoilt(|evidence| {
        evidence.unattributed.push(RawRecord {
            kind,
            serial: 90,
            text: format!("audit(1.000:90): {}", DENIED.replace("DENIED", word)),
            subject: None,
        });
    });
    assert_eq!(judgement.verdict, verdict);
}

#[test]
fn a_record_behind_the_last_case_is_a_gap_of_it() {
    let made = Made::of(&[POSITIVE]);
    let record = |word: &str| RawRecord {
        kind: 1400,
        serial: 900,
        text: format!("audit(1.000:900): {}", DENIED.replace("DENIED", word)),
        subject: None,
    };
    assert!(gaps_after_the_last(&[record("STATUS")], &made.policy).is_empty());
    let canary = RawRecord {
        text: format!(
            "audit(1.000:900): {}",
            crate::testing::evidence::canary("close").text
        ),
        ..record("DENIED")
    };
    assert!(gaps_after_the_last(&[canary], &made.policy).is_empty());
    let gaps = gaps_after_the_last(&[record("STATUS"), record("DENIED")], &made.policy);
    assert_eq!(gaps.len(), 1);
    assert!(gaps[0].contains("after the case"), "{gaps:?}");
}
