//! Daemons that go on after the case that started them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use virt_aa_engine::session::Session;
use virt_aa_engine::state::{self, CaseToKeep};
use virt_aa_probe::protocol::{Act, CaseEvidence, CasePlan, Daemon, Outcome, StepPlan, SubjectPlan};

use super::{Machines, output};

/// A case whose only step is to start a daemon that sleeps.
fn starting() -> CasePlan {
    let subject = SubjectPlan {
        label: None,
        user: None,
        memlock: None,
        program: Some(Daemon {
            argv: ["/bin/sh", "-c", ": > /run/vaac-ready; exec sleep 1000"]
                .map(String::from)
                .into(),
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
        held: 0,
        begins_from: None,
        keep_as: None,
        guests: Vec::new(),
    }
}

/// The same case, which leaves its daemon under the name `one`.
fn keeping() -> CasePlan {
    CasePlan {
        keep_as: Some("one".into()),
        ..starting()
    }
}

/// A case whose first step was performed by the one that left something under that name.
fn beginning_from(name: &str) -> CasePlan {
    CasePlan {
        held: 1,
        begins_from: Some(name.into()),
        ..starting()
    }
}

/// The daemon's process id.
fn pid_in(evidence: &CaseEvidence) -> i32 {
    let facts = &evidence.subjects["d"];
    assert_eq!((facts.label.as_str(), facts.quiesced), ("unconfined", true));
    assert_eq!(facts.pids, [facts.pid]);
    facts.pid
}

fn started(session: &mut Session, plan: &CasePlan) -> i32 {
    let evidence = session.case(plan).unwrap();
    assert!(matches!(evidence.steps[0].outcome, Outcome::Ok(_)));
    assert!(!evidence.subjects["d"].started_before);
    pid_in(&evidence)
}

#[test]
fn a_daemon_goes_on_for_the_case_that_begins_with_it_and_no_longer() {
    let machines = Machines::of_memory(645);
    let set = machines.packaged();
    let session = &mut machines.start().0;
    session.load(set.policies, set.files).unwrap();
    let sleeping = |session: &mut Session| output(session, "cat /proc/[0-9]*/comm | grep -cx sleep || true");
    let first = started(session, &keeping());
    assert_eq!((sleeping(session).as_str(), session.kept()), ("1", Some("one")));
    // It is at rest only while its case ends.
    let frozen = "cat /sys/fs/cgroup/virt-aa-conform/d/cgroup.freeze";
    assert_eq!(output(session, frozen), "0");
    // A case that begins with something else is refused, and changes nothing.
    let error = session.case(&beginning_from("other")).unwrap_err().to_string();
    assert!(
        error.contains("begins with other, and what is kept is one"),
        "{error}"
    );
    // Its first step is not performed again, and the daemon is there even if no step is by it.
    let evidence = session.case(&beginning_from("one")).unwrap();
    assert_eq!((pid_in(&evidence), evidence.steps.len()), (first, 0));
    assert!(evidence.subjects["d"].started_before);
    assert_eq!((sleeping(session).as_str(), session.kept()), ("0", None));
    let error = session.case(&beginning_from("one")).unwrap_err().to_string();
    assert!(error.contains("what is kept is nothing"), "{error}");
    // A case that begins with nothing ends what is kept.
    let second = started(session, &keeping());
    assert_ne!(started(session, &starting()), second);
    assert_eq!(sleeping(session), "0");
    // One that has ended meanwhile is not there, and is not started anew without a word.
    let third = started(session, &keeping());
    output(
        session,
        &format!("kill -9 {third}; while [ -e /proc/{third}/exe ]; do :; done"),
    );
    let evidence = session.case(&beginning_from("one")).unwrap();
    assert!(evidence.subjects.is_empty());
}

#[test]
fn the_end_of_a_case_is_saved_once_and_a_case_that_does_not_pass_makes_no_state() {
    let machines = Machines::of_memory(644);
    let set = machines.packaged();
    let ran = Cell::new(0);
    let start = |session: &mut Session| {
        ran.set(ran.get() + 1);
        started(session, &keeping());
        Ok(None)
    };
    // The second case begins where the first one has ended.
    let go_on = |session: &mut Session| {
        ran.set(ran.get() + 1);
        let plan = CasePlan {
            keep_as: Some("two".into()),
            ..beginning_from("one")
        };
        session.case(&plan)?;
        Ok(None)
    };
    fn case<'a>(
        identity: &str,
        perform: &'a dyn Fn(&mut Session) -> Result<Option<String>, virt_aa_engine::session::SessionError>,
    ) -> CaseToKeep<'a> {
        CaseToKeep {
            identity: identity.into(),
            fixtures: Vec::new(),
            limit: Duration::from_secs(60),
            perform,
        }
    }
    let machine =
        |cases: &[CaseToKeep<'_>]| state::start_with(&machines.image, &machines.backend, &set, &[], cases);
    let both = [case("one", &start), case("two", &go_on)];
    let pids: Vec<i32> = (0..2)
        .map(|_| {
            let mut session = machine(&both).unwrap();
            assert_eq!((session.kept(), session.is_spent()), (Some("two"), false));
            let pid = pid_in(&session.case(&beginning_from("two")).unwrap());
            assert_eq!((session.kept(), session.is_spent()), (None, true));
            pid
        })
        .collect();
    assert_eq!((pids[0], ran.get()), (pids[1], 2));
    // The first case has a state of its own.
    assert_eq!(machine(&both[..1]).unwrap().kept(), Some("one"));
    assert_eq!(ran.get(), 2);
    let denied = |_: &mut Session| Ok(Some("it was denied".into()));
    let denied = [case("one", &start), case("denied", &denied)];
    assert!(machine(&denied).is_none());
    let dir = |cases: &[CaseToKeep<'_>]| {
        state::dir_of(&machines.image, machines.config(), Some((&set, &[], cases))).unwrap()
    };
    assert!(!dir(&denied).exists());
    for cases in [&both[..1], &both] {
        fs::remove_dir_all(dir(cases)).unwrap();
    }
}
