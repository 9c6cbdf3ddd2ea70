//! A thread that stands in for a machine. It answers each request with the next entry of a script.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use virt_aa_probe::protocol::{
    CaseEvidence, CasePlan, FixtureOutcome, MachineFacts, PROTOCOL_VERSION, PolicyState, RawRecord, Request,
    Response, receive, send,
};

use crate::backend::{AgentStream, DeathReason, Machine, VmDeath};
use crate::session::Session;
use virt_aa_model::testing::evidence::{DENIED, Made, POSITIVE, errno};

pub const LONG: Duration = Duration::from_secs(20);

/// What the machine does at the next request.
pub enum Next {
    Say(Response),
    /// Returns evidence of the requested steps.
    Case(Box<Made>),
    /// Returns evidence of a case, with a gap in its serial numbers.
    Gap(Box<Made>),
    /// Ends.
    End,
    /// Stays silent until the other side hangs up.
    Silence,
}

pub fn case() -> Next {
    Next::Case(Box::new(green()))
}

pub fn green() -> Made {
    Made::of(&[POSITIVE])
}

pub fn refused() -> Made {
    green().ending(errno(libc::EACCES)).saying(0, DENIED)
}

pub fn loaded() -> Next {
    Next::Say(Response::Policy(PolicyState {
        revision: 1,
        profiles: Vec::new(),
    }))
}

pub fn cannot() -> Next {
    Next::Say(Response::Failed {
        message: "no memory".into(),
    })
}

pub fn brought(outcome: FixtureOutcome) -> Next {
    Next::Say(Response::Fixture(outcome))
}

pub fn up() -> Next {
    brought(FixtureOutcome::Up {
        facts: BTreeMap::new(),
    })
}

pub fn unattributed(text: &str) -> Next {
    Next::Say(Response::Unattributed {
        records: vec![RawRecord {
            kind: 1400,
            serial: 9,
            text: format!("audit(1.000:9): {text}"),
            subject: Some("d".into()),
        }],
    })
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::LoadPolicy { .. } => "load",
        Request::Fixture { .. } => "fixture",
        Request::Unattributed => "unattributed",
        Request::Case(_) => "case",
        _ => "something else",
    }
}

/// The evidence of `made`, with the canary's own token.
fn evidence(made: &Made, plan: &CasePlan) -> CaseEvidence {
    let mut evidence = made.evidence();
    evidence.steps.truncate(plan.steps.len());
    for record in &mut evidence.records {
        record.text = record
            .text
            .replace("/run/token-", &format!("/run/{}-", plan.token));
    }
    evidence
}

fn guest(mut stream: UnixStream, mut script: VecDeque<Next>, asked: &Sender<&'static str>) -> io::Result<()> {
    send(
        &mut stream,
        &Response::Hello {
            protocol: PROTOCOL_VERSION,
            uptime: 1.0,
        },
    )?;
    let _: Request = receive(&mut stream)?;
    send(
        &mut stream,
        &Response::Facts(MachineFacts {
            kernel: "6.1".into(),
            machine: "x86_64".into(),
            apparmor: true,
            audit_mode: "noquiet".into(),
            cpus: 1,
            memory: 1,
            agent: "/init".into(),
        }),
    )?;
    while let Ok(request) = receive::<Request>(&mut stream) {
        asked.send(name(&request)).map_err(io::Error::other)?;
        let made = |made: &Made| match &request {
            Request::Case(plan) => evidence(made, plan),
            _ => made.evidence(),
        };
        let answer = match script.pop_front() {
            Some(Next::Say(answer)) => answer,
            Some(Next::Case(of)) => Response::Case(Box::new(made(&of))),
            Some(Next::Gap(of)) => {
                let mut evidence = made(&of);
                evidence.serial_gaps = 1;
                Response::Case(Box::new(evidence))
            }
            Some(Next::Silence) => {
                let _ = stream.read(&mut [0])?;
                return Ok(());
            }
            Some(Next::End) | None => return Ok(()),
        };
        send(&mut stream, &answer)?;
    }
    Ok(())
}

#[derive(Debug)]
struct Fake(AgentStream);

impl Machine for Fake {
    fn stream(&mut self) -> &mut AgentStream {
        &mut self.0
    }

    fn boot_time(&self) -> Duration {
        Duration::ZERO
    }

    fn console(&self) -> Vec<String> {
        vec!["the machine says something".into()]
    }

    fn signal(&self, _: Signal) -> io::Result<()> {
        Ok(())
    }

    fn post_mortem(&mut self) -> VmDeath {
        self.0.shut_down();
        VmDeath {
            reason: DeathReason::NotResponding,
            console_tail: Vec::new(),
            stderr_tail: Vec::new(),
            speaker: "nobody",
        }
    }
}

/// A running machine, and the requests that it receives.
pub fn machine(script: impl IntoIterator<Item = Next>) -> (Session, Receiver<&'static str>) {
    let (here, there) = UnixStream::pair().unwrap();
    let (asked, heard) = mpsc::channel();
    let script = script.into_iter().collect();
    thread::spawn(move || guest(there, script, &asked));
    let machine = Fake(AgentStream::new(here, LONG));
    (Session::greet(Box::new(machine)).unwrap(), heard)
}
