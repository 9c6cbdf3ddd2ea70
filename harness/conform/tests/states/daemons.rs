//! Daemons that go on after the case that started them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;

use virt_aa_engine::session::Session;
use virt_aa_engine::state::{self, Daemons};
use virt_aa_probe::protocol::{Act, CasePlan, Daemon, Outcome, StepPlan, SubjectPlan};

use super::{Machines, output};

/// A case whose only step is to start a daemon that runs `sleep SECONDS`.
fn starting(seconds: u32, keep_daemons: bool) -> CasePlan {
    let script = format!(": > /run/vaac-ready; exec sleep {seconds}");
    let subject = SubjectPlan {
        label: None,
        user: None,
        memlock: None,
        program: Some(Daemon {
            argv: ["/bin/sh", "-c", &script].map(String::from).into(),
            ready: "/run/vaac-ready".into(),
            timeout_ms: 20_000,
        }),
    };
    let step = StepPlan {
        by: Some("d".into()),
        act: Act::Start,
        timeout_ms: None,
        exit_or_end: None,
    };
    CasePlan {
        id: "daemon".into(),
        token: "canary-of-this-test".into(),
        step_timeout_ms: 20_000,
        subjects: BTreeMap::from([("d".into(), subject)]),
        steps: vec![step],
        cleanup: Vec::new(),
        keep_daemons,
    }
}

/// Runs a case that starts the daemon, and returns its process id, or why there is none.
fn started(session: &mut Session, plan: &CasePlan) -> Result<i32, String> {
    let evidence = session.case(plan).unwrap();
    match &evidence.steps[0].outcome {
        Outcome::Ok(_) => {
            let facts = &evidence.subjects["d"];
            assert_eq!((facts.label.as_str(), facts.quiesced), ("unconfined", true));
            assert_eq!(facts.pids, [facts.pid]);
            Ok(facts.pid)
        }
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_daemon_goes_on_for_the_next_case_of_its_plan_and_no_longer() {
    let machines = Machines::of_memory(645);
    let set = machines.packaged();
    let session = &mut machines.start().0;
    session.load(set.policies, set.files).unwrap();
    let sleeping = |session: &mut Session| output(session, "cat /proc/[0-9]*/comm | grep -cx sleep || true");
    let (keep, end) = (starting(1000, true), starting(1000, false));
    let first = started(session, &keep).unwrap();
    assert_eq!(sleeping(session), "1");
    // It is at rest only while its case ends.
    let frozen = "cat /sys/fs/cgroup/virt-aa-conform/d/cgroup.freeze";
    assert_eq!(output(session, frozen), "0");
    assert_eq!(started(session, &end), Ok(first));
    assert_eq!(sleeping(session), "0");
    // A case with another daemon of that name, or with none, ends it.
    let second = started(session, &keep).unwrap();
    assert_ne!(started(session, &starting(2000, false)).unwrap(), second);
    started(session, &keep).unwrap();
    let none = CasePlan {
        subjects: BTreeMap::new(),
        steps: Vec::new(),
        ..starting(0, false)
    };
    session.case(&none).unwrap();
    assert_eq!(sleeping(session), "0");
    // One that has ended meanwhile is not there, and is not started anew without a word.
    let third = started(session, &keep).unwrap();
    output(
        session,
        &format!("kill -9 {third}; while [ -e /proc/{third}/exe ]; do :; done"),
    );
    let error = started(session, &end).unwrap_err();
    assert!(error.contains("before its case"), "{error}");
}

#[test]
fn daemons_of_a_state_are_started_once_and_a_start_that_does_not_pass_makes_no_state() {
    let machines = Machines::of_memory(644);
    let set = machines.packaged();
    let starts = Cell::new(0);
    let start = |session: &mut Session| {
        starts.set(starts.get() + 1);
        started(session, &starting(1000, true)).unwrap();
        Ok(None)
    };
    let daemons = |identity: &str, start| Daemons {
        identity: identity.into(),
        start,
    };
    let machine = |daemons: &Daemons<'_>| {
        state::start_with(&machines.image, &machines.backend, &set, &[], Some(daemons))
    };
    let good = daemons("good", &start);
    let pids: Vec<i32> = (0..2)
        .map(|_| {
            let mut session = machine(&good).unwrap();
            assert!(session.has_daemons("good") && !session.has_daemons("other"));
            assert!(!session.is_used());
            let pid = started(&mut session, &starting(1000, false)).unwrap();
            assert!(!session.has_daemons("good") && session.is_used());
            pid
        })
        .collect();
    assert_eq!((pids[0], starts.get()), (pids[1], 1));
    assert!(machine(&daemons("denied", &|_| Ok(Some("it was denied".into())))).is_none());
    let dir = |identity| {
        state::dir_of(
            &machines.image,
            machines.config(),
            Some((&set, &[], Some(identity))),
        )
    };
    assert!(!dir("denied").unwrap().exists());
    fs::remove_dir_all(dir("good").unwrap()).unwrap();
}
