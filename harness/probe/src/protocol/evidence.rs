//! What the agent saw while it ran a case.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PolicyState;
use super::wire::bytes;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The system call, or each of them, succeeded.
    Ok(Effect),
    /// One failed.
    Errno {
        /// Its name, `open`, `execve`…
        call: String,
        /// Its number.
        errno: i32,
    },
    /// A program was started, and ended or was ended.
    Ran(Ran),
    /// It did not end in time; everything in its cgroup was killed.
    TimedOut,
    /// The subject's process was gone, or could not enter its label.
    NoSubject {
        /// Why.
        reason: String,
    },
    /// The agent could not do what it was asked.
    Broken {
        /// Why.
        reason: String,
    },
}

/// What a successful probe saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Bytes read, or ioctl's argument as it came back.
    #[serde(with = "bytes", default)]
    pub data: Vec<u8>,
    /// Bytes written.
    #[serde(default)]
    pub written: u64,
    /// A number that the probe reports: a descriptor's device, an ioctl's result, a limit read back.
    #[serde(default)]
    pub value: i64,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ran {
    /// Its process.
    pub pid: i32,
    /// Exit status.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Standard output, cut at 1 MiB.
    #[serde(with = "bytes")]
    pub stdout: Vec<u8>,
    /// Standard error, cut at 1 MiB.
    #[serde(with = "bytes")]
    pub stderr: Vec<u8>,
    /// Whether there was more standard output.
    pub stdout_cut: bool,
    /// Whether there was more standard error.
    pub stderr_cut: bool,
}

/// Everything seen while a case ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseEvidence {
    /// Policy before the first step.
    pub policy_before: PolicyState,
    /// Policy after the last.
    pub policy_after: PolicyState,
    /// The log path before and after.
    pub audit_before: AuditState,
    /// The log path after.
    pub audit_after: AuditState,
    /// The token's arrival before the first step: its record's serial number.
    pub canary_before: Option<u64>,
    /// The token's arrival after the last step.
    pub canary_after: Option<u64>,
    /// Serial numbers missing between the two canaries.
    pub serial_gaps: u64,
    /// What was seen of each subject, by name.
    pub subjects: BTreeMap<String, SubjectFacts>,
    /// One for each step of the plan that was reached.
    pub steps: Vec<StepEvidence>,
    /// One for each cleanup step.
    pub cleanup: Vec<StepEvidence>,
    /// Whether the kernel told of every process that was started.
    pub processes: ProcessWatchState,
    /// Processes that had left the control group of the subject that they belong to, and were running when the case
    /// ended.
    pub escaped: Vec<Escaped>,
    /// What others did to AppArmor's switches.
    pub switches: SwitchesSeen,
    /// Every audit message of the window, in the order of its serials.
    pub records: Vec<RawRecord>,
    /// Messages since the case before that nobody waited for.
    #[serde(alias = "strays")]
    pub unattributed: Vec<RawRecord>,
    /// Milliseconds spent in the guest, whole and in steps alone.
    pub guest_ms: f64,
    /// Milliseconds spent in the steps' own acts.
    pub steps_ms: f64,
}

/// Whether the watch over processes was whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessWatchState {
    /// Why the kernel does not tell of processes.
    pub unavailable: Option<String>,
    /// How often its messages did not fit, since the agent started.
    pub overruns: u64,
}

/// A process that left its subject's control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escaped {
    /// The subject that it belongs to.
    pub subject: String,
    /// What it was.
    pub process: ProcessFacts,
    /// Whether it was brought back, and so was at rest before the closing canary.
    pub brought_back: bool,
}

/// What was done to AppArmor's switches by others than the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchesSeen {
    /// Why writes to the switches could not be watched.
    pub unavailable: Option<String>,
    /// Processes that wrote to one.
    pub writers: Vec<i32>,
    /// Values of the audit mode that the agent found where it had left another one.
    pub other_values: Vec<String>,
}

impl SwitchesSeen {
    /// What was seen in two spans of time.
    pub fn beside(mut self, other: SwitchesSeen) -> SwitchesSeen {
        self.unavailable = self.unavailable.or(other.unavailable);
        self.writers.extend(other.writers);
        self.other_values.extend(other.other_values);
        self
    }
}

/// A process as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ProcessFacts {
    /// Its number.
    pub pid: i32,
    /// Its label, without the mode.
    pub label: String,
    /// `enforce`, `complain`…; empty for `unconfined`.
    pub mode: String,
    /// Its program.
    pub exe: String,
}

/// State of the audit system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
    /// Whether auditing is on; off, the kernel tells of no change to the audit system.
    pub enabled: bool,
    /// The kernel's own count of lost messages.
    pub lost: u32,
    /// 0 is no limit.
    pub backlog_limit: u32,
    /// 0 is no limit.
    pub rate_limit: u32,
    /// The kernel's audit daemon, as it should be: the agent.
    pub pid: u32,
    /// Whether that is the agent.
    pub ours: bool,
    /// `ENOBUFS` seen by the reader since it started.
    pub overruns: u64,
    /// Whether the reader still reads.
    pub reading: bool,
    /// How many exclude rules are set.
    pub exclude_rules: u32,
    /// `/sys/module/apparmor/parameters/audit`.
    pub mode: String,
    /// `/sys/module/apparmor/parameters/mode`.
    pub enforcement: String,
}

/// A subject as seen from outside, at the barrier before its first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectFacts {
    /// Its process.
    pub pid: i32,
    /// Every process seen in its cgroup.
    pub pids: Vec<i32>,
    /// What it started, and what that started, as far as it was running when a step ended.
    pub started: Vec<ProcessFacts>,
    /// From `/proc/PID/attr/current`, without the mode.
    pub label: String,
    /// `enforce`, `complain`…; empty for `unconfined`.
    pub mode: String,
    /// Its program.
    pub exe: String,
    /// Who it is.
    pub credentials: Credentials,
    /// Who it should be: its user as the machine knows it, or who the agent is.
    pub should_be: Identity,
    /// Whether it was reaped, or frozen, before the closing canary.
    pub quiesced: bool,
}

/// A user with its groups and capabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// Supplementary groups, in ascending order.
    pub groups: Vec<u32>,
    /// Effective capabilities, as the kernel prints them.
    pub cap_eff: String,
}

/// Who a process is, from `/proc/PID/status` and `/proc/PID/limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Credentials {
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Effective capabilities, as the kernel prints them.
    pub cap_eff: String,
    /// no_new_privs.
    pub no_new_privs: bool,
    /// Seccomp mode: 0 none, 1 strict, 2 filter.
    pub seccomp: u32,
    /// Soft and hard limit of locked memory; `None` is unlimited.
    pub memlock: (Option<u64>, Option<u64>),
}

impl Credentials {
    /// The part of them that the user decides.
    pub fn identity(&self) -> Identity {
        Identity {
            uid: self.uid,
            gid: self.gid,
            groups: self.groups.clone(),
            cap_eff: self.cap_eff.clone(),
        }
    }
}

/// A step as it went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepEvidence {
    /// How it ended.
    pub outcome: Outcome,
    /// Serial of the canary that closed it; records of the step lie between this and the one before.
    #[serde(alias = "fence")]
    pub barrier: Option<u64>,
    /// Milliseconds of the act itself.
    pub ms: f64,
    /// Policy revision after it.
    pub revision: u64,
}

/// One message from the kernel's audit socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawRecord {
    /// netlink message type; AppArmor's records are 1400.
    pub kind: u16,
    /// Serial number from `audit(…:SERIAL)`.
    pub serial: u64,
    /// The message, bytes that are no UTF-8 replaced.
    pub text: String,
    /// The subject that its process belongs to, by who started it; `None` where that is nobody of the case.
    pub subject: Option<String>,
}
