//! The messages between the harness and its agent: length-prefixed JSON frames over one byte stream.
//!
//! The guest is not trusted. A frame has a size limit, and every read on the harness's side has a deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod evidence;
mod plan;
mod wire;

pub use evidence::{
    AuditState, CaseEvidence, Credentials, Effect, Escaped, Identity, KeptGuest, Outcome, ProcessFacts,
    ProcessWatchState, Ran, RawRecord, StepEvidence, SubjectFacts, SwitchesSeen,
};
pub use plan::{
    Act, AskSpec, CasePlan, Daemon, FileSpec, GuestPlan, IoctlSpec, LockMemory, PacketExchange, PciReset,
    Ptrace, RunSpec, SetLimit, SocketSpec, StepPlan, SubjectPlan,
};
pub use wire::{receive, send};

use wire::bytes;

/// Raised with every change of a message. Both sides are the same program, so the versions must be equal.
pub const PROTOCOL_VERSION: u32 = 7;

/// The profile whose denials mark the ends of each step in the audit stream.
pub const CANARY_PROFILE: &str = "virt-aa-conform-canary";
/// The owner of the canary's records; no subject has this name.
pub const CANARY: &str = "canary";

/// The largest frame that either side accepts, in bytes.
pub const MAX_FRAME: usize = 64 << 20;

/// A request of the harness to the agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Facts about the machine.
    Facts,
    /// Go on in a machine that was just restored: take the time and the random numbers, and drop the audit messages that
    /// have arrived. The answer is as to [`Request::Facts`].
    Resume {
        /// The time since the epoch.
        now: Duration,
        /// Random bytes for the kernel's generator.
        #[serde(with = "bytes")]
        seed: Vec<u8>,
    },
    /// The kernel's features directory, flattened as `--kernel-features` of apparmor_parser expects it.
    Features,
    /// Remove every profile but those of daemons and guests that are kept, write these files, then load each compiled policy in one
    /// write.
    LoadPolicy {
        /// Files of the profile set that differ from the image's, by absolute path; `None` removes one.
        files: BTreeMap<String, Option<String>>,
        /// Compiled policies.
        policies: Vec<Policy>,
    },
    /// The loaded policy, as the kernel reports it.
    PolicyState,
    /// Bring up a fixture. The agent runs its shell script once for each boot.
    Fixture {
        /// The script, for `/bin/sh -eu`.
        script: String,
        /// Kernel modules to load, if they exist.
        modules: Vec<String>,
        /// Timeout in milliseconds.
        timeout_ms: u64,
    },
    /// Audit messages since the last case.
    Unattributed,
    /// Run one case.
    Case(Box<CasePlan>),
    /// Run a program as the agent and return what it printed (the image's own parser, `dpkg-query`).
    Run {
        /// Program and arguments.
        run: RunSpec,
        /// Timeout in milliseconds.
        timeout_ms: u64,
    },
    /// A root shell on the console. The answer comes when it ends.
    Shell,
    /// Break the log path on purpose, so that a test can check that the verdict notices.
    Sabotage(Sabotage),
    /// Power off.
    Shutdown,
}

/// Ways to break the evidence, for tests of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sabotage {
    /// Close the audit socket before the next case's closing canary.
    CloseAuditSocket,
    /// Backlog limit 1, the reader paused, and a burst of denials during the next case.
    Burst,
    /// Undo the above.
    None,
}

/// One compiled policy file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Policy {
    /// Its source, for messages.
    pub name: String,
    /// apparmor_parser's output.
    #[serde(with = "bytes")]
    pub binary: Vec<u8>,
}

/// A response of the agent to the harness: one for each request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Response {
    /// Sent once, without a request, when the agent starts.
    Hello {
        /// [`PROTOCOL_VERSION`] of the agent.
        protocol: u32,
        /// Seconds since the kernel started.
        uptime: f64,
    },
    /// Answer to [`Request::Facts`] and [`Request::Resume`].
    Facts(MachineFacts),
    /// Answer to [`Request::Features`].
    Features {
        /// The features in the parser's flat form.
        text: String,
    },
    /// Answer to [`Request::LoadPolicy`] and [`Request::PolicyState`].
    Policy(PolicyState),
    /// Answer to [`Request::Fixture`].
    Fixture(FixtureOutcome),
    /// Answer to [`Request::Unattributed`].
    Unattributed {
        /// Messages that belong to no case.
        records: Vec<RawRecord>,
    },
    /// Answer to [`Request::Case`].
    Case(Box<CaseEvidence>),
    /// Answer to [`Request::Run`].
    Ran(Ran),
    /// Answer to [`Request::Shell`] and [`Request::Sabotage`].
    Done,
    /// The request failed. The agent continues.
    Failed {
        /// What went wrong.
        message: String,
    },
}

/// Facts about the machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MachineFacts {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub machine: String,
    /// Whether `/sys/module/apparmor/parameters/enabled` says `Y`.
    pub apparmor: bool,
    /// `/sys/module/apparmor/parameters/audit`.
    pub audit_mode: String,
    /// Processors that are online.
    pub cpus: usize,
    /// Total memory, bytes.
    pub memory: u64,
    /// Path of the agent's program in the machine.
    pub agent: String,
}

/// The policy as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyState {
    /// `/sys/kernel/security/apparmor/revision`.
    pub revision: u64,
    /// Every profile loaded in the agent's namespace.
    pub profiles: Vec<LoadedProfile>,
}

/// One profile as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedProfile {
    /// Full name: `parent//child`.
    pub name: String,
    /// `enforce`, `complain`, `kill`, `unconfined`, `user`.
    pub mode: String,
    /// Attachment as the kernel prints it.
    pub attach: String,
    /// `sha1` or `sha256`, and the digest in hex; `None` if the kernel keeps none.
    pub hash: Option<(String, String)>,
}

/// How a fixture's script ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "fixture", rename_all = "kebab-case")]
pub enum FixtureOutcome {
    /// The fixture is up.
    Up {
        /// Its `key=value` lines: facts for the templates of a case.
        facts: BTreeMap<String, String>,
    },
    /// Exit status 77: this machine cannot have the fixture.
    Unavailable {
        /// The last line of standard error.
        reason: String,
    },
    /// The fixture should have come up and did not.
    Broken {
        /// What went wrong, with the last lines of standard error.
        message: String,
    },
}
