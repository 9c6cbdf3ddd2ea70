//! What the harness and its agent say to each other: length-prefixed JSON frames over one byte stream.
//!
//! The guest is not trusted to be honest or well: a frame has a size limit, and every read on the harness's side
//! has a deadline of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod evidence;
mod plan;
mod wire;

pub use evidence::{
    AuditState, CaseEvidence, Credentials, Effect, Escaped, Identity, Outcome, ProcessFacts,
    ProcessWatchState, Ran, RawRecord, StepEvidence, SubjectFacts, SwitchesSeen,
};
pub use plan::{
    Act, CasePlan, Daemon, FileSpec, IoctlSpec, LockMemory, PacketExchange, PciReset, Ptrace, RunSpec,
    SetLimit, SocketSpec, StepPlan, SubjectPlan,
};
pub use wire::{receive, send};

use wire::bytes;

/// Raised with every change of a message's form; both sides are the same program, so they must be equal.
pub const PROTOCOL_VERSION: u32 = 4;

/// The profile whose denials mark the ends of each step in the audit stream.
pub const CANARY_PROFILE: &str = "virt-aa-conform-canary";
/// Whose records are the canary's, as the owner of processes; no subject has this name.
pub const CANARY: &str = "canary";

/// The largest frame that either side accepts, in bytes.
pub const MAX_FRAME: usize = 64 << 20;

/// Harness to agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// What machine this is.
    Facts,
    /// The kernel's features directory in the flat form that apparmor_parser's `--kernel-features` reads.
    Features,
    /// Take every profile away, write these files, then load each of these compiled policies in one write.
    LoadPolicy {
        /// Files of the profile set that differ from the image's own, by absolute path; `None` takes one away.
        files: BTreeMap<String, Option<String>>,
        /// Compiled policies.
        policies: Vec<Policy>,
    },
    /// What the kernel says is loaded.
    PolicyState,
    /// Bring up what a case needs: a shell script run by the agent, once for each boot.
    Fixture {
        /// The script, for `/bin/sh -eu`.
        script: String,
        /// Kernel modules that it wants, as far as there are such.
        modules: Vec<String>,
        /// Milliseconds.
        timeout_ms: u64,
    },
    /// What the audit socket gave since the last case.
    Unattributed,
    /// Run one case.
    Case(Box<CasePlan>),
    /// Run a program as the agent and return what it printed (the image's own parser, `dpkg-query`).
    Run {
        /// Program and arguments.
        run: RunSpec,
        /// Milliseconds.
        timeout_ms: u64,
    },
    /// A root shell on the console; answered when it ends.
    Shell,
    /// Spoil the log path on purpose, so that a test can see that the verdict notices.
    Sabotage(Sabotage),
    /// Power off.
    Shutdown,
}

/// Ways to break the evidence, for the tests of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sabotage {
    /// Close the audit socket before the next case's closing canary.
    CloseAuditSocket,
    /// Backlog limit 1, the reader stopped, and a burst of denials during the next case.
    Burst,
    /// Undo the above.
    None,
}

/// One compiled policy file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Policy {
    /// Where it came from, for messages.
    pub name: String,
    /// apparmor_parser's output.
    #[serde(with = "bytes")]
    pub binary: Vec<u8>,
}

/// Agent to harness: one answer for each request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Response {
    /// Said once, unasked, when the agent is up.
    Hello {
        /// [`PROTOCOL_VERSION`] of the agent.
        protocol: u32,
        /// Seconds since the kernel started.
        uptime: f64,
    },
    /// Answer to [`Request::Facts`].
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
        /// Messages that no case has waited for.
        records: Vec<RawRecord>,
    },
    /// Answer to [`Request::Case`].
    Case(Box<CaseEvidence>),
    /// Answer to [`Request::Run`].
    Ran(Ran),
    /// Answer to [`Request::Shell`] and [`Request::Sabotage`].
    Done,
    /// The request could not be carried out; the agent goes on.
    Failed {
        /// What went wrong.
        message: String,
    },
}

/// What machine this is.
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
    /// Processors on line.
    pub cpus: usize,
    /// Total memory, bytes.
    pub memory: u64,
    /// Where the agent's own program lies in the machine.
    pub agent: String,
}

/// What the kernel says of its policy.
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
    /// Full name, `parent//child`.
    pub name: String,
    /// `enforce`, `complain`, `kill`, `unconfined`, `user`.
    pub mode: String,
    /// Attachment as the kernel prints it.
    pub attach: String,
    /// `sha1` or `sha256`, and the digest in hex; `None` where the kernel keeps none.
    pub hash: Option<(String, String)>,
}

/// Answer to a fixture's script.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "fixture", rename_all = "kebab-case")]
pub enum FixtureOutcome {
    /// It stands; these are its `key=value` lines.
    Up {
        /// Facts for the templates of a case.
        facts: BTreeMap<String, String>,
    },
    /// Exit status 77: this machine cannot have it; the reason is the last line of its standard error.
    Unavailable {
        /// The last line of standard error.
        reason: String,
    },
    /// It should have worked and did not.
    Broken {
        /// What went wrong, with the end of its standard error.
        message: String,
    },
}
