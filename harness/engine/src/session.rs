//! A running machine and the protocol session with its agent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use virt_aa_probe::protocol::{
    CaseEvidence, CasePlan, FixtureOutcome, MachineFacts, PROTOCOL_VERSION, Policy, PolicyState, Ran,
    RawRecord, Request, Response, RunSpec, Sabotage, receive, send,
};

use crate::backend::saved::SaveError;
use crate::backend::{self, AgentStream, Backend, Machine, VmConfig, VmDeath, VmError};
use crate::image::Image;
use virt_aa_model::fixture::Fixture;

/// What the kernel's random number generator gets in a restored machine, in bytes.
const SEED_BYTES: usize = 64;

/// Time limits for answers. A late answer ends the machine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For answers that only need a lookup.
    pub short: Duration,
    /// For loading policy.
    pub load: Duration,
    /// Added to the agent's own deadlines, so that the agent is the one to report what hangs.
    pub grace: Duration,
    /// Deadline of all answers.
    pub until: Option<Instant>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            short: Duration::from_secs(30),
            load: Duration::from_secs(120),
            grace: Duration::from_secs(60),
            until: None,
        }
    }
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The machine did not come up.
    #[error(transparent)]
    Boot(#[from] VmError),
    /// The machine ended, or did not answer and was ended.
    #[error("the machine is gone: {0}")]
    Died(Box<VmDeath>),
    /// The time limit of the whole run is over.
    #[error("the time limit of the whole run was over; give more with --timeout")]
    OutOfTime,
    /// The agent belongs to another version of this program.
    #[error("the agent speaks version {0} of the protocol, not {PROTOCOL_VERSION}; build the program anew")]
    Version(u32),
    /// The machine cannot enforce anything.
    #[error("the machine's kernel runs without AppArmor")]
    NoAppArmor,
    /// The agent could not do what it was asked.
    #[error("the agent: {0}")]
    Agent(String),
    /// The answer does not fit the request.
    #[error("the agent answered something else than it was asked: {0}")]
    Nonsense(String),
}

/// A machine with its agent, and what was brought up in it.
pub struct Session {
    machine: Box<dyn Machine>,
    /// Facts about the machine.
    pub facts: MachineFacts,
    /// How long its answers may take.
    pub limits: Limits,
    fixtures: BTreeMap<String, FixtureOutcome>,
    /// The name of what an earlier case left for the next one.
    kept: Option<String>,
    /// Whether an earlier case had left something when the machine was restored.
    begun: bool,
    /// Whether a case has run in it.
    used: bool,
}

impl Session {
    /// Starts a machine and greets its agent.
    pub fn start(image: &Image, backend: &Backend) -> Result<Session, SessionError> {
        Session::greet(backend.start(image)?)
    }

    /// Boots a machine with its memory in a file, so that it can be saved.
    pub fn start_in_file(image: &Image, config: &VmConfig, memory: &File) -> Result<Session, SessionError> {
        Session::greet(backend::start_in_file(image, config, memory)?)
    }

    /// Saves the machine into a folder and ends it. Its memory is in the file that it was started with.
    pub fn save(self, dir: &Path, image: &Image) -> Result<(), SaveError> {
        self.machine.save(dir, image)
    }

    /// Takes a restored machine in which these fixtures are up. It gets the time and new random numbers, because all
    /// machines of one state begin alike.
    pub fn resume(
        mut machine: Box<dyn Machine>,
        fixtures: BTreeMap<String, FixtureOutcome>,
    ) -> Result<Session, SessionError> {
        let limits = Limits::default();
        let mut seed = vec![0; SEED_BYTES];
        getrandom::fill(&mut seed)
            .map_err(|error| SessionError::Agent(format!("no random numbers: {error}")))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let request = Request::Resume {
            now: now.unwrap_or_default(),
            seed,
        };
        match exchange(machine.as_mut(), &request, limits.short, None)? {
            Response::Facts(facts) => Ok(Session {
                fixtures,
                ..Session::of(machine, facts)
            }),
            other => Err(nonsense(&other)),
        }
    }

    /// Greet the agent of a machine.
    pub(crate) fn greet(mut machine: Box<dyn Machine>) -> Result<Session, SessionError> {
        let limits = Limits::default();
        machine.stream().set_deadline(Instant::now() + limits.short);
        let facts = match receive::<Response>(machine.stream()) {
            Ok(Response::Hello {
                protocol: PROTOCOL_VERSION,
                ..
            }) => match exchange(machine.as_mut(), &Request::Facts, limits.short, None)? {
                Response::Facts(facts) => facts,
                other => return Err(nonsense(&other)),
            },
            Ok(Response::Hello { protocol, .. }) => return Err(SessionError::Version(protocol)),
            Ok(other) => return Err(nonsense(&other)),
            Err(_) => return Err(SessionError::Died(Box::new(machine.post_mortem()))),
        };
        Ok(Session::of(machine, facts))
    }

    fn of(machine: Box<dyn Machine>, facts: MachineFacts) -> Session {
        Session {
            machine,
            facts,
            limits: Limits::default(),
            fixtures: BTreeMap::new(),
            kept: None,
            begun: false,
            used: false,
        }
    }

    /// The last lines of the machine's console, oldest first.
    pub fn console(&self) -> Vec<String> {
        self.machine.console()
    }

    /// Time from the start of the machine to the agent's greeting.
    pub fn boot_time(&self) -> Duration {
        self.machine.boot_time()
    }

    fn call(&mut self, request: &Request, timeout: Duration) -> Result<Response, SessionError> {
        exchange(self.machine.as_mut(), request, timeout, self.limits.until)
    }

    /// The kernel's features in the parser's flat form.
    pub fn features(&mut self) -> Result<String, SessionError> {
        match self.call(&Request::Features, self.limits.short)? {
            Response::Features { text } => Ok(text),
            other => Err(nonsense(&other)),
        }
    }

    /// Makes these policies the only ones in the kernel, and puts these files into the machine.
    pub fn load(
        &mut self,
        policies: Vec<Policy>,
        files: BTreeMap<String, Option<String>>,
    ) -> Result<PolicyState, SessionError> {
        match self.call(&Request::LoadPolicy { files, policies }, self.limits.load)? {
            Response::Policy(state) => Ok(state),
            other => Err(nonsense(&other)),
        }
    }

    /// What the kernel reports as loaded.
    pub fn policy(&mut self) -> Result<PolicyState, SessionError> {
        match self.call(&Request::PolicyState, self.limits.short)? {
            Response::Policy(state) => Ok(state),
            other => Err(nonsense(&other)),
        }
    }

    /// Whether a fixture was brought up in this machine, whatever came of it.
    pub fn has_fixture(&self, name: &str) -> bool {
        self.fixtures.contains_key(name)
    }

    /// The fixtures that were brought up, with their outcomes.
    pub fn fixtures(&self) -> &BTreeMap<String, FixtureOutcome> {
        &self.fixtures
    }

    /// Brings a fixture up, or returns its earlier outcome.
    pub fn fixture(&mut self, fixture: &Fixture) -> Result<FixtureOutcome, SessionError> {
        if let Some(outcome) = self.fixtures.get(&fixture.name) {
            return Ok(outcome.clone());
        }
        let timeout = Duration::from_secs(fixture.timeout);
        let timeout_ms = fixture.timeout.saturating_mul(1000);
        match self.call(
            &Request::Fixture {
                script: fixture.up.clone(),
                modules: fixture.modules.clone(),
                timeout_ms,
            },
            timeout + self.limits.grace,
        )? {
            Response::Fixture(outcome) => {
                self.fixtures.insert(fixture.name.clone(), outcome.clone());
                Ok(outcome)
            }
            other => Err(nonsense(&other)),
        }
    }

    /// Unattributed records: audit messages since the last case, caused by a process that nobody waited for.
    pub fn unattributed(&mut self) -> Result<Vec<RawRecord>, SessionError> {
        match self.call(&Request::Unattributed, self.limits.short)? {
            Response::Unattributed { records } => Ok(records),
            other => Err(nonsense(&other)),
        }
    }

    /// Whether a case has run in this machine. One that was run while a state was made does not count.
    pub fn is_used(&self) -> bool {
        self.used
    }

    /// The name of what an earlier case left for the next one.
    pub fn kept(&self) -> Option<&str> {
        self.kept.as_deref()
    }

    /// Whether the machine came with what an earlier case had left, and a case has run in it. No other case runs there,
    /// because that one has changed what was left.
    pub fn is_spent(&self) -> bool {
        self.begun && self.used
    }

    /// Notes what an earlier case has left in a machine that was just restored.
    pub(crate) fn set_kept(&mut self, identity: String) {
        (self.kept, self.begun) = (Some(identity), true);
    }

    /// Run a case. Of what was left for it, nothing is left for the next one.
    pub fn case(&mut self, plan: &CasePlan) -> Result<CaseEvidence, SessionError> {
        (self.kept, self.used) = (None, true);
        let timeout = longest(plan) + self.limits.grace;
        match self.call(&Request::Case(Box::new(plan.clone())), timeout)? {
            Response::Case(evidence) => {
                self.kept.clone_from(&plan.keep_as);
                Ok(*evidence)
            }
            other => Err(nonsense(&other)),
        }
    }

    /// Run a program unconfined.
    pub fn run(&mut self, argv: &[&str], timeout: Duration) -> Result<Ran, SessionError> {
        let run = RunSpec {
            argv: argv.iter().map(ToString::to_string).collect(),
            env: BTreeMap::new(),
            stdin: None,
            stdin_file: None,
            stdout_file: None,
        };
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        match self.call(&Request::Run { run, timeout_ms }, timeout + self.limits.grace)? {
            Response::Ran(ran) => Ok(ran),
            other => Err(nonsense(&other)),
        }
    }

    /// Sends QEMU a signal. Tests use this to check how its end is handled.
    pub fn signal_machine(&self, signal: Signal) -> io::Result<()> {
        self.machine.signal(signal)
    }

    /// Spoil the next case's evidence.
    pub fn sabotage(&mut self, how: Sabotage) -> Result<(), SessionError> {
        match self.call(&Request::Sabotage(how), self.limits.short)? {
            Response::Done => Ok(()),
            other => Err(nonsense(&other)),
        }
    }

    /// Runs a root shell on the machine's console until it ends.
    pub fn shell(&mut self) -> Result<(), SessionError> {
        // A person uses the shell.
        match self.call(&Request::Shell, Duration::from_secs(24 * 60 * 60))? {
            Response::Done => Ok(()),
            other => Err(nonsense(&other)),
        }
    }
}

fn exchange(
    machine: &mut dyn Machine,
    request: &Request,
    timeout: Duration,
    until: Option<Instant>,
) -> Result<Response, SessionError> {
    let own = Instant::now() + timeout;
    let deadline = until.map_or(own, |until| own.min(until));
    ask(machine.stream(), request, deadline).unwrap_or_else(|| {
        if until.is_some_and(|until| Instant::now() >= until) {
            Err(SessionError::OutOfTime)
        } else {
            Err(SessionError::Died(Box::new(machine.post_mortem())))
        }
    })
}

/// Sends a request and takes one answer; `None` if the machine is gone, or silent until the deadline.
fn ask(
    stream: &mut AgentStream,
    request: &Request,
    deadline: Instant,
) -> Option<Result<Response, SessionError>> {
    stream.set_deadline(deadline);
    match send(stream, request).and_then(|()| receive::<Response>(stream)) {
        Ok(Response::Failed { message }) => Some(Err(SessionError::Agent(message))),
        Ok(response) => Some(Ok(response)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
            ) =>
        {
            Some(Err(SessionError::Nonsense(error.to_string())))
        }
        Err(_) => None,
    }
}

/// The longest that the agent may take for a case by its own deadlines.
fn longest(plan: &CasePlan) -> Duration {
    let steps = plan.own_steps().iter().chain(&plan.cleanup);
    let steps: u64 = steps
        .map(|step| step.timeout_ms.unwrap_or(plan.step_timeout_ms))
        .sum();
    let daemons: u64 = plan
        .subjects
        .values()
        .filter_map(|subject| subject.program.as_ref())
        .map(|daemon| daemon.timeout_ms)
        .sum();
    Duration::from_millis(steps.saturating_add(daemons))
}

fn nonsense(response: &Response) -> SessionError {
    let mut text = format!("{response:?}");
    let end = text.char_indices().nth(200).map_or(text.len(), |(at, _)| at);
    text.truncate(end);
    SessionError::Nonsense(text)
}

impl SessionError {
    /// Whether the machine can go on.
    pub fn is_recoverable(&self) -> bool {
        matches!(self, SessionError::Agent(_))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::thread;

    use rstest::rstest;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(200);

    fn frame(body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    /// The harness's result for a guest that reads the request and answers with these bytes. Then the guest goes
    /// away, or stays and is silent.
    fn ask_guest(answer: Vec<u8>, stays: bool, limit: Duration) -> Option<Result<Response, SessionError>> {
        let (here, mut there) = UnixStream::pair().unwrap();
        let guest = thread::spawn(move || {
            let _: Request = receive(&mut there).unwrap();
            // The harness may have hung up halfway.
            let _ = there.write_all(&answer);
            if stays {
                let _ = there.read(&mut [0]);
            }
        });
        let mut stream = AgentStream::new(here, limit);
        let got = ask(&mut stream, &Request::PolicyState, Instant::now() + limit);
        drop(stream);
        guest.join().unwrap();
        got
    }

    #[test]
    fn an_honest_guest_is_heard() {
        let answer = frame(br#"{"is":"done"}"#);
        assert!(matches!(ask_guest(answer, true, LONG), Some(Ok(Response::Done))));
    }

    #[rstest]
    #[case::no_json(frame(b"no json at all"))]
    #[case::half_a_message(frame(br#"{"is":"policy","#))]
    #[case::nothing(frame(b""))]
    #[case::unknown_answer(frame(br#"{"is":"pass"}"#))]
    #[case::evidence_without_its_parts(frame(br#"{"is":"case","steps":[]}"#))]
    #[case::a_frame_beyond_the_limit(u32::MAX.to_le_bytes().to_vec())]
    fn a_guest_that_talks_nonsense_is_told_off_and_its_machine_given_up(#[case] answer: Vec<u8>) {
        let got = ask_guest(answer, true, LONG);
        let Some(Err(error @ SessionError::Nonsense(_))) = got else {
            panic!("{got:?}");
        };
        assert!(!error.is_recoverable());
    }

    #[rstest]
    #[case::silence(Vec::new())]
    #[case::half_a_length(vec![1, 0])]
    #[case::a_frame_that_never_ends((64u32 << 20).to_le_bytes().to_vec())]
    #[case::half_a_frame(frame(br#"{"is":"done"}"#)[..8].to_vec())]
    fn a_guest_that_does_not_finish_is_waited_for_until_the_deadline(#[case] answer: Vec<u8>) {
        let begun = Instant::now();
        assert!(ask_guest(answer.clone(), true, SHORT).is_none());
        assert!(begun.elapsed() >= SHORT);
        // A guest that goes away is not waited for.
        let begun = Instant::now();
        assert!(ask_guest(answer, false, LONG).is_none());
        assert!(begun.elapsed() < LONG);
    }

    #[test]
    fn a_guest_that_cannot_do_it_may_go_on() {
        let answer = frame(br#"{"is":"failed","message":"no"}"#);
        let Some(Err(error)) = ask_guest(answer, true, LONG) else {
            panic!("no error");
        };
        assert!(error.is_recoverable());
    }
}
