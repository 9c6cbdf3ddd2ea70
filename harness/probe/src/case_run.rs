//! Runs one case from the opening to the closing canary, and collects everything that a verdict rests on.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use crate::audit_socket::{self, AuditSocket};
use crate::canary::Canary;
use crate::kept::{Kept, Taken};
use crate::policy::{self, Kernel};
use crate::process;
use crate::process_watch::{AGENT, ProcessWatch};
use crate::protocol::{
    Act, AuditState, CaseEvidence, CasePlan, Effect, Escaped, Outcome, RawRecord, Sabotage, StepEvidence,
    StepPlan, SubjectFacts,
};
use crate::subject::Subject;
use crate::subject_env::SubjectEnv;
use crate::switches::{self, Switches};

/// AppArmor's audit mode in a machine that we own. It logs what a `deny` rule would hide.
const QUIET_ABOUT_NOTHING: &str = "noquiet";
/// How many denials the canary causes in a sabotage's burst.
const BURST: usize = 3000;

/// How long to wait for missing records. A record that belongs to a system call comes when that call ends.
const STRAGGLERS: Duration = Duration::from_secs(3);

/// The act that asks a guest gives up this long before it would be killed, or a tenth of its time limit if that is less. So
/// it can tell what the guest said.
const BEFORE_THE_KILL: Duration = Duration::from_secs(1);

/// Where a case is run, and with what.
pub struct Bench<'a> {
    /// Where the subjects live.
    pub place: &'a SubjectEnv,
    /// The subjects' policy.
    pub kernel: &'a Kernel,
    /// Whether we own the machine: only then may AppArmor's audit mode be changed.
    pub owned: bool,
    /// Knows the owner of each process.
    pub watch: &'a ProcessWatch,
}

/// Run a case. An error means that the evidence could not be collected at all.
pub fn run(
    plan: &CasePlan,
    bench: &Bench<'_>,
    (audit, switches): (&mut AuditSocket, &mut Switches),
    (canary, kept): (&mut Canary, &mut Kept),
    sabotage: Sabotage,
) -> io::Result<CaseEvidence> {
    let started = Instant::now();
    kept.end_unless_used(plan, (bench.kernel, bench.watch, bench.place))?;
    let mut unattributed = audit.take(bench.watch);
    bench.watch.clear();
    let Taken { daemons, guests } = kept.take(bench.watch, bench.place);
    // Changes made between two cases may still be in effect.
    let before = switches.take();
    let policy_before = policy::state(bench.kernel)?;
    let audit_before = audit_state(audit)?;
    let canary_before = canary.barrier(&format!("{}-open", plan.token), audit)?;
    let mut case = Running {
        plan,
        bench,
        audit,
        switches,
        canary,
        kept,
        subjects: BTreeMap::new(),
        ended: BTreeMap::new(),
        barriers: 0,
    };
    case.take_up(daemons);

    let mut steps = Vec::new();
    for step in plan.own_steps() {
        let evidence = case.step(step)?;
        let go_on = match &evidence.outcome {
            Outcome::Ok(_) | Outcome::Errno { .. } => true,
            Outcome::Ran(ran) => step.exit_or_end.is_none_or(|exit| ran.exit == Some(exit)),
            Outcome::TimedOut
            | Outcome::NoAnswer { .. }
            | Outcome::NoSubject { .. }
            | Outcome::Broken { .. } => false,
        };
        steps.push(evidence);
        if !go_on {
            break;
        }
    }
    let cleanup = plan
        .cleanup
        .iter()
        .map(|step| case.step(step))
        .collect::<io::Result<Vec<_>>>()?;
    let escaped = case.quiesce();
    match sabotage {
        Sabotage::None => {}
        Sabotage::CloseAuditSocket => case.audit.close(),
        Sabotage::Burst => burst(case.canary, case.audit, &plan.token)?,
    }
    let canary_after = case
        .canary
        .barrier(&format!("{}-close", plan.token), case.audit)?;
    let subjects = case.facts();
    case.end()?;
    if let (Some(first), Some(last), false) = (canary_before, canary_after, bench.owned) {
        // Serials that are still missing are counted below.
        audit.wait_for_all(first, last, Instant::now() + STRAGGLERS);
    }
    let mut records = audit.take(bench.watch);
    // What was written before the opening canary's record belongs to no step, however late it came.
    let early = |record: &mut RawRecord| canary_before.is_some_and(|first| record.serial < first);
    unattributed.extend(records.extract_if(.., early));
    let audit_after = audit_state(audit)?;
    let policy_after = policy::state(bench.kernel)?;
    let steps_ms = steps
        .iter()
        .chain(&cleanup)
        .map(|step: &StepEvidence| step.ms)
        .sum();
    Ok(CaseEvidence {
        policy_before,
        policy_after,
        audit_before,
        audit_after,
        canary_before,
        canary_after,
        serial_gaps: gaps(&records, canary_before, canary_after),
        subjects,
        guests,
        steps,
        cleanup,
        processes: bench.watch.state(),
        escaped,
        switches: switches.take().beside(before),
        records,
        unattributed,
        guest_ms: millis(started),
        steps_ms,
    })
}

struct Running<'a> {
    plan: &'a CasePlan,
    bench: &'a Bench<'a>,
    audit: &'a mut AuditSocket,
    switches: &'a mut Switches,
    canary: &'a mut Canary,
    kept: &'a mut Kept,
    subjects: BTreeMap<String, Subject>,
    /// Subjects that could not be started.
    ended: BTreeMap<String, String>,
    barriers: usize,
}

impl Running<'_> {
    /// Takes up the daemons that an earlier case started, and looks at what they run.
    fn take_up(&mut self, daemons: BTreeMap<String, io::Result<Subject>>) {
        for (name, daemon) in daemons {
            match daemon {
                Ok(subject) => {
                    self.subjects.insert(name, subject);
                }
                Err(error) => {
                    self.ended
                        .insert(name.clone(), format!("subject {name}: {error}"));
                }
            }
        }
        self.look_at_what_runs();
    }

    fn step(&mut self, step: &StepPlan) -> io::Result<StepEvidence> {
        let timeout = Duration::from_millis(step.timeout_ms.unwrap_or(self.plan.step_timeout_ms));
        // The kernel does not log the same capability denial of a profile twice in a row, so let the canary be the last
        // one denied.
        self.canary.ask_capability()?;
        let (outcome, ms) = match &step.by {
            Some(name) => self.by_subject(name, &step.act, timeout)?,
            None => {
                let started = Instant::now();
                let mut act = step.act.clone();
                if let Act::Ask(spec) = &mut act {
                    let limit = timeout - BEFORE_THE_KILL.min(timeout / 10);
                    spec.timeout_ms = limit.as_millis() as u64;
                }
                let outcome = by_agent(&act, timeout, self.bench.place, self.bench.watch);
                (outcome, millis(started))
            }
        };
        self.look_at_what_runs();
        self.barriers += 1;
        let barrier = self
            .canary
            .barrier(&format!("{}-{}", self.plan.token, self.barriers), self.audit)?;
        Ok(StepEvidence {
            outcome,
            barrier,
            ms,
            revision: policy::revision(self.bench.kernel)?,
        })
    }

    fn by_subject(&mut self, name: &str, act: &Act, timeout: Duration) -> io::Result<(Outcome, f64)> {
        let mut act = act.clone();
        if let Err(reason) = self.point_at_subjects(&mut act).and_then(|()| self.start(name)) {
            return Ok((Outcome::NoSubject { reason }, 0.0));
        }
        let Some(subject) = self.subjects.get_mut(name) else {
            return Ok((
                Outcome::NoSubject {
                    reason: format!("{name} is not started"),
                },
                0.0,
            ));
        };
        // The label of a short-lived program is read from the record of its exec. A granted exec has a record only if
        // all accesses are audited, or if the policy asks for it.
        let watched = self.bench.owned && matches!(act, Act::Run(_));
        if watched {
            self.switches.set_audit(QUIET_ABOUT_NOTHING, "all")?;
        }
        let started = Instant::now();
        let outcome = match act {
            Act::Start => Outcome::Ok(Effect::default()),
            _ => subject.act(&act, timeout, self.bench.place),
        };
        let ms = millis(started);
        if watched {
            self.switches.set_audit("all", QUIET_ABOUT_NOTHING)?;
        }
        Ok((outcome, ms))
    }

    /// Start a subject at its first step.
    fn start(&mut self, name: &str) -> Result<(), String> {
        if self.subjects.contains_key(name) {
            return Ok(());
        }
        if let Some(reason) = self.ended.get(name) {
            return Err(reason.clone());
        }
        let plan = self
            .plan
            .subjects
            .get(name)
            .ok_or_else(|| format!("the plan has no subject {name}"))?;
        let (watch, place) = (self.bench.watch, self.bench.place);
        match Subject::start(name, plan, place, watch) {
            Ok(subject) => {
                self.subjects.insert(name.into(), subject);
                Ok(())
            }
            Err(error) => {
                let reason = format!("subject {name}: {error}");
                self.ended.insert(name.into(), reason.clone());
                Err(reason)
            }
        }
    }

    /// Fill in the process of the subject that an act names.
    fn point_at_subjects(&mut self, act: &mut Act) -> Result<(), String> {
        match act {
            Act::Signal { to, .. } => {
                self.start(to)?;
                *to = self.pid_of(to)?.unwrap_or_default().to_string();
            }
            Act::SetLimit(spec) => {
                if let Some(other) = spec.of.take() {
                    self.start(&other)?;
                    spec.pid = self.pid_of(&other)?;
                }
            }
            Act::Ptrace(spec) => {
                self.start(&spec.of)?;
                spec.pid = self.pid_of(&spec.of)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A subject's process id, as other subjects see it.
    fn pid_of(&self, name: &str) -> Result<Option<i32>, String> {
        let Some(subject) = self.subjects.get(name) else {
            return Ok(None);
        };
        let inner = self.bench.place.inner_pid(subject.pid());
        inner
            .map(Some)
            .map_err(|error| format!("subject {name}: {error}"))
    }

    /// Record which processes run now, with their labels. Nothing else sees the programs that a daemon starts.
    fn look_at_what_runs(&mut self) {
        for (name, subject) in &mut self.subjects {
            subject.look_at(&self.bench.watch.living(name), self.bench.place);
        }
    }

    /// Bring every process of the case to rest. Returns those that were outside their subject's control group.
    fn quiesce(&mut self) -> Vec<Escaped> {
        let (watch, place) = (self.bench.watch, self.bench.place);
        let mut escaped = Vec::new();
        for (name, subject) in &mut self.subjects {
            escaped.extend(subject.quiesce(name, watch, place));
        }
        // Processes of an unconfined step end with it, unless they have left its control group.
        let left = watch.living(AGENT).into_iter().filter_map(process::facts);
        escaped.extend(left.map(|process| Escaped {
            subject: AGENT.into(),
            process,
            brought_back: false,
        }));
        escaped
    }

    /// Ends the subjects, or lets the daemons and their guests go on.
    fn end(self) -> io::Result<()> {
        let Some(identity) = &self.plan.keep_as else {
            return Ok(());
        };
        let is_daemon = |name: &String| {
            let plan = self.plan.subjects.get(name);
            plan.is_some_and(|plan| plan.program.is_some())
        };
        let mut daemons = self.subjects;
        daemons.retain(|name, _| is_daemon(name));
        let at = (self.bench.kernel, self.bench.watch, self.bench.place);
        self.kept.keep(identity, daemons, &self.plan.guests, at)
    }

    fn facts(&self) -> BTreeMap<String, SubjectFacts> {
        self.subjects
            .iter()
            .map(|(name, subject)| (name.clone(), subject.facts()))
            .collect()
    }
}

/// Performs an unconfined act in a separate process, so that it can be killed.
pub fn by_agent(act: &Act, timeout: Duration, place: &SubjectEnv, watch: &ProcessWatch) -> Outcome {
    let plan = crate::protocol::SubjectPlan {
        label: None,
        user: None,
        memlock: None,
        program: None,
    };
    match Subject::start(AGENT, &plan, place, watch) {
        Ok(mut subject) => subject.act(act, timeout, place),
        Err(error) => Outcome::Broken {
            reason: format!("the agent could not start a process: {error}"),
        },
    }
}

fn audit_state(audit: &AuditSocket) -> io::Result<AuditState> {
    let status = audit_socket::status()?;
    Ok(AuditState {
        enabled: status.enabled,
        lost: status.lost,
        backlog_limit: status.backlog_limit,
        rate_limit: status.rate_limit,
        pid: status.pid,
        ours: status.pid == std::process::id(),
        overruns: audit.overruns(),
        reading: audit.reading(),
        exclude_rules: audit_socket::exclude_rules()?,
        mode: switches::audit_mode()?,
        enforcement: switches::enforcement()?,
    })
}

/// Make messages get lost: a queue of one, no reader, and many denials.
fn burst(canary: &mut Canary, audit: &AuditSocket, token: &str) -> io::Result<()> {
    audit_socket::set_backlog_limit(1)?;
    audit.pause(true);
    for n in 0..BURST {
        canary.deny_without_waiting(&format!("{token}-burst-{n}"))?;
    }
    audit.pause(false);
    Ok(())
}

/// How many serial numbers between the two canaries are missing.
fn gaps(records: &[RawRecord], first: Option<u64>, last: Option<u64>) -> u64 {
    let (Some(first), Some(last)) = (first, last) else {
        return 0;
    };
    let inside = records
        .iter()
        .map(|record| record.serial)
        .filter(|serial| (first..=last).contains(serial));
    let arrived = inside.collect::<std::collections::BTreeSet<_>>().len() as u64;
    (last + 1).saturating_sub(first).saturating_sub(arrived)
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(serial: u64) -> RawRecord {
        RawRecord {
            kind: 1400,
            serial,
            text: String::new(),
            subject: None,
        }
    }

    #[test]
    fn missing_serials_are_counted_between_the_canaries() {
        let records: Vec<_> = [10, 11, 11, 13, 14].map(record).into();
        assert_eq!(gaps(&records, Some(10), Some(14)), 1);
        assert_eq!(gaps(&records, Some(13), Some(14)), 0);
        assert_eq!(gaps(&records, None, Some(14)), 0);
    }
}
