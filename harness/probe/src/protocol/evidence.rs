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
    /// Every system call succeeded.
    Ok(Effect),
    /// A system call failed.
    Errno {
        /// Its name, `open`, `execve`…
        call: String,
        /// Process id.
        errno: i32,
    },
    /// A program was started and has ended, by itself or by a signal. Or a guest has answered: its answer is the standard
    /// output, and the exit status is 0 for `ok` and 1 for an error.
    Ran(Ran),
    /// It did not end in time. Everything in its cgroup was killed.
    TimedOut,
    /// A guest was asked and did not answer in time.
    NoAnswer {
        /// Why.
        reason: String,
    },
    /// The subject's process had ended, or could not enter its label.
    NoSubject {
        /// Why.
        reason: String,
    },
    /// The agent could not perform the act.
    Broken {
        /// Why.
        reason: String,
    },
}

/// What a successful probe saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// The bytes read, or the argument of the ioctl as the kernel left it.
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
    /// Process id.
    pub pid: i32,
    /// Exit status, if it exited.
    pub exit: Option<i32>,
    /// The signal that ended it, if one did.
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
    /// Policy after the last step.
    pub policy_after: PolicyState,
    /// State of the audit system before the first step.
    pub audit_before: AuditState,
    /// State of the audit system after the last step.
    pub audit_after: AuditState,
    /// Serial number of the opening canary's record; `None` if it did not arrive.
    pub canary_before: Option<u64>,
    /// Serial number of the closing canary's record; `None` if it did not arrive.
    pub canary_after: Option<u64>,
    /// How many serial numbers are missing between the two canaries.
    pub serial_gaps: u64,
    /// What was seen of each subject, by name.
    pub subjects: BTreeMap<String, SubjectFacts>,
    /// The guests of the case that this one begins with.
    #[serde(default)]
    pub guests: Vec<KeptGuest>,
    /// One for each step that was reached, without those that an earlier case performed.
    pub steps: Vec<StepEvidence>,
    /// One for each cleanup step.
    pub cleanup: Vec<StepEvidence>,
    /// Whether the kernel reported every process that was started.
    pub processes: ProcessWatchState,
    /// Processes that had left their subject's control group and were running when the case ended.
    pub escaped: Vec<Escaped>,
    /// What other processes did to AppArmor's switches.
    pub switches: SwitchesSeen,
    /// Every audit message between the two canaries, ordered by serial number.
    pub records: Vec<RawRecord>,
    /// Messages since the previous case that belong to no case.
    #[serde(alias = "strays")]
    pub unattributed: Vec<RawRecord>,
    /// Milliseconds that the whole case took in the guest.
    pub guest_ms: f64,
    /// Milliseconds that the acts of the steps took.
    pub steps_ms: f64,
}

/// Whether the process watch is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessWatchState {
    /// Why the kernel does not report processes; `None` if it does.
    pub unavailable: Option<String>,
    /// How often the socket's queue overflowed since the agent started.
    pub overruns: u64,
}

/// A process that left its subject's control group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escaped {
    /// The subject that it belongs to.
    pub subject: String,
    /// The process.
    pub process: ProcessFacts,
    /// Whether it was moved back, and therefore at rest before the closing canary.
    pub brought_back: bool,
}

/// What processes other than the agent did to AppArmor's switches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchesSeen {
    /// Why writes to the switches could not be watched.
    pub unavailable: Option<String>,
    /// Processes that wrote to a switch.
    pub writers: Vec<i32>,
    /// Values of the audit mode that the agent found in place of the one it had set.
    pub other_values: Vec<String>,
}

impl SwitchesSeen {
    /// Combines the observations of two spans of time.
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
    /// Process id.
    pub pid: i32,
    /// Its label, without the mode.
    pub label: String,
    /// `enforce`, `complain`…; empty for `unconfined`.
    pub mode: String,
    /// Its program.
    pub exe: String,
}

/// A guest of the case that this one begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptGuest {
    /// Its label.
    pub label: String,
    /// Whether its profile was loaded when the earlier case ended.
    pub loaded: bool,
    /// Its processes when the earlier case ended.
    pub left: Vec<ProcessFacts>,
    /// Those of them that run, before the first step of this case.
    pub found: Vec<ProcessFacts>,
}

/// State of the audit system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
    /// Whether auditing is enabled. If not, the kernel does not report changes to the audit system.
    pub enabled: bool,
    /// The kernel's count of lost messages.
    pub lost: u32,
    /// 0 means no limit.
    pub backlog_limit: u32,
    /// 0 means no limit.
    pub rate_limit: u32,
    /// Process id of the kernel's audit daemon.
    pub pid: u32,
    /// Whether the agent is that daemon.
    pub ours: bool,
    /// How often the reader got `ENOBUFS` since it started.
    pub overruns: u64,
    /// Whether the reader thread still runs.
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
    /// Process id.
    pub pid: i32,
    /// Every process seen in its cgroup.
    pub pids: Vec<i32>,
    /// Its descendants that were running when a step ended.
    pub started: Vec<ProcessFacts>,
    /// From `/proc/PID/attr/current`, without the mode.
    pub label: String,
    /// `enforce`, `complain`…; empty for `unconfined`.
    pub mode: String,
    /// Its program.
    pub exe: String,
    /// Its credentials.
    pub credentials: Credentials,
    /// The identity it should have: that of its user in the machine, or the agent's.
    pub should_be: Identity,
    /// Whether it was reaped or frozen before the closing canary.
    pub quiesced: bool,
    /// Whether it is a daemon that an earlier case started.
    #[serde(default)]
    pub started_before: bool,
}

/// A user with its groups and capabilities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Supplementary groups, in ascending order.
    pub groups: Vec<u32>,
    /// Effective capabilities, as the kernel prints them.
    pub cap_eff: String,
}

/// Credentials of a process, from `/proc/PID/status` and `/proc/PID/limits`.
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
    /// The part that depends only on the user.
    pub fn identity(&self) -> Identity {
        Identity {
            uid: self.uid,
            gid: self.gid,
            groups: self.groups.clone(),
            cap_eff: self.cap_eff.clone(),
        }
    }
}

/// What happened in a step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepEvidence {
    /// How it ended.
    pub outcome: Outcome,
    /// Serial of the barrier record after the step. The step's records lie between it and the previous barrier.
    #[serde(alias = "fence")]
    pub barrier: Option<u64>,
    /// Milliseconds that the act took.
    pub ms: f64,
    /// Policy revision after the step.
    pub revision: u64,
}

/// One message from the kernel's audit socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawRecord {
    /// netlink message type; AppArmor's records are 1400.
    pub kind: u16,
    /// Serial number from `audit(…:SERIAL)`.
    pub serial: u64,
    /// The message, with invalid UTF-8 replaced.
    pub text: String,
    /// The subject that started its process; `None` if no subject of the case did.
    pub subject: Option<String>,
}
