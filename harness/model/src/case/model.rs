//! The format of a case: what a YAML document under `cases/` may say.
//!
//! Strings may hold templates: `{set.libexecdir}` from the profile set, `{FIXTURE.FACT}` from a fixture, `{KEY}` from
//! `with`, `{SUBJECT.label}` of a subject. Braces that hold anything else (`/usr/{lib,lib64}/x`) are literal text.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

mod acts;
mod domain;

pub use domain::{Disk, Domain};

pub use acts::{Ask, File, Ioctl, LockMemory, PacketExchange, PciReset, Ptrace, SetLimit, Signal, Socket};

/// One named operation, or a short sequence, and what must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// Unique over all files: lower-case words joined by `-`.
    pub name: String,
    /// One sentence: what is done, and why libvirt does it.
    pub summary: String,
    /// Where the requirement comes from.
    pub origin: Vec<Origin>,
    /// The name of another case, whose steps come first: this case begins where that one ends. It has that case's fixtures
    /// and subjects, and its steps come before `setup`. That case has no variants of its own (`with`).
    #[serde(default)]
    pub from: Option<String>,
    /// Names of fixtures. If the machine cannot have one of them, the case is skipped with the reason.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The confined processes, by name.
    #[serde(default)]
    pub subjects: BTreeMap<String, Subject>,
    /// One case is made for each entry, named `NAME:ID`. The other keys are values for templates.
    #[serde(default)]
    pub with: Vec<BTreeMap<String, Scalar>>,
    /// Steps before `steps`; by the agent unless they say otherwise, judged like any other.
    #[serde(default)]
    pub setup: Vec<Step>,
    /// What the case is about.
    pub steps: Vec<Step>,
    /// Steps that always run. If one fails, the verdict is `error` and the machine is discarded.
    #[serde(default)]
    pub cleanup: Vec<Step>,
    /// The permissions that the case needs. Taking any of them away must turn the case red.
    #[serde(default)]
    pub guards: Vec<Guard>,
    /// Why the case has no guard: the reason that no single rule answers for it.
    #[serde(default)]
    pub no_guard: Option<String>,
    /// Classes of mediation that a pass depends on, as in the kernel's features directory: `caps`, `file`, `network`,
    /// `network_v8/af_inet`, `domain`, `rlimit`, `signal`…; any one of them is enough.
    #[serde(default)]
    pub mediates: Vec<String>,
    /// How many times the steps load policy themselves (virt-aa-helper runs the parser).
    #[serde(default)]
    pub policy_loads: PolicyLoads,
    /// Time limit in seconds for each step that sets none; 10 by default.
    #[serde(default)]
    pub timeout: Option<u64>,
    /// Run the case on a machine on which no other case has run.
    #[serde(default)]
    pub fresh: bool,
    /// The case takes many seconds: `run` leaves it out unless it is selected by name or with `--all`.
    #[serde(default)]
    pub slow: bool,
}

/// Policy loads that a case declares. The policy evidence allows only these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PolicyLoads {
    /// How often the case loads, replaces or removes a profile; a profile and its children count once.
    #[serde(default)]
    pub count: u64,
    /// The profiles that these loads are of; their children are included. They must not be loaded before the case, and
    /// must be gone when it ends.
    #[serde(default)]
    pub profiles: Vec<String>,
}

/// A text or a whole number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Int(number) => write!(out, "{number}"),
            Scalar::Text(text) => write!(out, "{text}"),
        }
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Scalar::Int(number)
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Scalar::Text(text.to_owned())
    }
}

// Written by hand, because serde's untagged enums report only that no variant matched.
impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a text or a whole number")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Scalar, E> {
        i64::try_from(number)
            .map(Scalar::Int)
            .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
}

/// Where a case comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Origin {
    /// `commit`, `bug`, `code`, `audit`.
    pub kind: OriginKind,
    /// Repository or tracker.
    #[serde(default)]
    pub repo: Option<String>,
    /// Commit, bug number, file and function, or the audit text itself.
    pub id: String,
}

/// Kind of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OriginKind {
    /// A commit.
    Commit,
    /// A bug report.
    Bug,
    /// A place in the source.
    Code,
    /// A denial, as the kernel wrote it.
    Audit,
}

/// A confined process and how it gets its label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Subject {
    /// Role in the profile set; the case runs once for each profile that has it.
    #[serde(default)]
    pub role: Option<String>,
    /// Without a role: the label of a profile that an earlier step loads. With a role and `run-by`: the label of a
    /// guest that the other subject starts itself. That subject makes the guest's profile from the role's template and
    /// loads it; such loads need no `policy-loads`.
    #[serde(default)]
    pub label: Option<String>,
    /// The subject has no process of its own: a program that this other subject runs enters the label by attachment. It
    /// does no steps, but a guard may be about its profile.
    #[serde(default)]
    pub run_by: Option<String>,
    /// Profiles of the role to leave out, each with the reason: `{virtxend: "runs no helper"}`.
    #[serde(default)]
    pub except: BTreeMap<String, String>,
    /// User; the role's user by default, else root.
    #[serde(default)]
    pub user: Option<String>,
    /// Limit of locked memory in bytes, soft and hard.
    #[serde(default)]
    pub memlock: Option<u64>,
    /// Capabilities that its program is started without, as by `setpriv --bounding-set -ipc_lock`. It must lack these
    /// and have all others of its user.
    #[serde(default)]
    pub drops: Vec<String>,
    /// A daemon that gets its label by attachment: program and arguments.
    #[serde(default)]
    pub daemon: Option<DaemonSpec>,
}

impl Subject {
    /// Whether it is a guest that another subject starts.
    pub fn is_guest(&self) -> bool {
        self.run_by.is_some() && self.label.is_some()
    }
}

/// A daemon as subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DaemonSpec {
    /// Program (absolute path) and arguments.
    pub argv: Vec<String>,
    /// A path that appears when the daemon is ready.
    pub ready: String,
    /// Time limit in seconds until it is ready; 30 by default.
    #[serde(default)]
    pub timeout: Option<u64>,
}

/// One act: exactly one of the action keys, and the expected result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// The name of the subject that acts, or `agent` for the unconfined agent. Only steps that the agent alone can do, such
    /// as `virsh`, may leave it out.
    #[serde(rename = "as", default)]
    pub by: String,

    /// Run a program: path and arguments.
    #[serde(default)]
    pub run: Option<Vec<String>>,
    /// Run virsh with these arguments.
    #[serde(default)]
    pub virsh: Option<Vec<String>>,
    /// Start a guest that is gone when it ends: `virsh create`.
    #[serde(default)]
    pub create: Option<Domain>,
    /// Define a guest, and do not start it: `virsh define`.
    #[serde(default)]
    pub define: Option<Domain>,
    /// For `virsh`, `create` and `define`: the connection; `qemu:///system` by default.
    #[serde(default)]
    pub connection: Option<String>,
    /// For `run`: the environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// For `run` and `virsh`: text for standard input. A file of virsh's that is `/dev/stdin` is this text.
    #[serde(default)]
    pub stdin: Option<String>,
    /// For `run`: a file for standard input, opened by the subject.
    #[serde(default)]
    pub stdin_file: Option<String>,
    /// For `run`: a file for standard output, created by the subject.
    #[serde(default)]
    pub stdout_file: Option<String>,

    /// Send a line to a guest that answers, and read its answer.
    #[serde(default)]
    pub ask: Option<Ask>,
    /// Open a socket with socket(2) and send a message over it: to itself on the loopback (inet, inet6), or a query to
    /// rtnetlink.
    #[serde(default)]
    pub socket: Option<Socket>,
    /// Send a frame on one interface and receive it on another.
    #[serde(default)]
    pub packet_exchange: Option<PacketExchange>,
    /// Open a file and use it.
    #[serde(default)]
    pub file: Option<File>,
    /// Open a device and send it an ioctl.
    #[serde(default)]
    pub ioctl: Option<Ioctl>,
    /// Lock memory.
    #[serde(default)]
    pub lock_memory: Option<LockMemory>,
    /// Process accounting: a path, or `off`.
    #[serde(default)]
    pub acct: Option<String>,
    /// Set a resource limit.
    #[serde(default)]
    pub set_limit: Option<SetLimit>,
    /// Send a signal to another subject.
    #[serde(default)]
    pub signal: Option<Signal>,
    /// Change the profile to this label.
    #[serde(default)]
    pub change_profile: Option<String>,
    /// Look into another subject's process.
    #[serde(default)]
    pub ptrace: Option<Ptrace>,
    /// Reset a PCI function.
    #[serde(default)]
    pub pci_reset: Option<PciReset>,
    /// `daemon`: start the subject's daemon and wait until it is ready. The subject does no other steps.
    #[serde(default)]
    pub start: Option<String>,

    /// The expected result; success by default.
    #[serde(default)]
    pub expect: Option<Expect>,
    /// The step must fail, and only by these denials.
    #[serde(default)]
    pub denied: Option<Denied>,
    /// Time limit in seconds.
    #[serde(default)]
    pub timeout: Option<u64>,
}

impl Step {
    /// Whether the step runs a program.
    pub fn is_run(&self) -> bool {
        self.run.is_some() || self.is_virsh()
    }

    /// Whether only the agent can do the step.
    pub fn is_by_agent_alone(&self) -> bool {
        self.is_virsh() || self.ask.is_some()
    }

    /// Whether the step runs virsh.
    pub fn is_virsh(&self) -> bool {
        self.virsh.is_some() || self.create.is_some() || self.define.is_some()
    }
}

/// The expected result of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    /// Exit status of `run`; 0 by default. For `ask`, it is 0 if the guest answers `ok`, and 1 if it answers `error: …`.
    #[serde(default)]
    pub exit: Option<i32>,
    /// The step must fail with this error without a denial: `ENOENT`…
    #[serde(default)]
    pub errno: Option<String>,
    /// Standard output of `run`, or the guest's answer to `ask`.
    #[serde(default)]
    pub stdout: Option<Text>,
    /// Standard error of `run`.
    #[serde(default)]
    pub stderr: Option<Text>,
    /// What `file` read, or the ioctl's argument as it was returned (in hex).
    #[serde(default)]
    pub content: Option<Text>,
    /// How many bytes `file` read.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The label that the program of `run` gets, one of: `inherit`, `unconfined`, a profile's name.
    #[serde(default)]
    pub label: Vec<String>,
    /// For `run`: the next step, which must be by the agent, checks this step's effect.
    #[serde(default)]
    pub checked_by_next: bool,
}

/// Conditions on a text. All given keys must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Text {
    /// The text is exactly this, ignoring white space at the end.
    #[serde(default)]
    pub equals: Option<String>,
    /// The text contains each of these.
    #[serde(default)]
    pub contains: Vec<String>,
    /// The text contains none of these.
    #[serde(default)]
    pub lacks: Vec<String>,
    /// Number of NUL-terminated fields.
    #[serde(default)]
    pub nul_fields: Option<usize>,
    /// The text is not empty.
    #[serde(default)]
    pub some: bool,
}

/// The denials by which a negative step must fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Denied {
    /// The error of the system call; `EACCES` or `EPERM` by default. For `run`, the program's own exit status is
    /// checked only if `expect: {exit: …}` names one.
    #[serde(default)]
    pub errno: Option<String>,
    /// Each of these matches at least one record, and each record of a denial matches one of these.
    pub records: Vec<RecordMatch>,
    /// The number of records; by default, any number from one.
    #[serde(default)]
    pub count: Option<usize>,
}

/// Keys of a record, as the kernel names them, with the value that each must have. A value that ends in `*` matches by
/// prefix.
pub type RecordMatch = BTreeMap<String, Scalar>;

/// A permission that the case needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Guard {
    /// The access to take away from the profile.
    #[serde(default)]
    pub without: Option<AccessSpec>,
    /// For a negative case: the rule that, once added, makes the act succeed.
    #[serde(default)]
    pub add: Option<String>,
    /// For `add`: rules that other subjects' profiles also need, if both sides must allow the act.
    #[serde(default)]
    pub also: Vec<AlsoAdd>,
    /// The subject whose profile is changed; optional if only one subject has a role.
    #[serde(default)]
    pub of: Option<String>,
    /// For `without`: the denial that turns the case red, keys as the kernel names them.
    #[serde(default)]
    pub denial: Option<RecordMatch>,
    /// The profiles of the role that the guard is for; all by default.
    #[serde(default)]
    pub only: Vec<String>,
}

/// A rule for another subject's profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AlsoAdd {
    /// The subject.
    pub of: String,
    /// The rule.
    pub add: String,
}

/// An access; exactly one key, or `file` with `mask`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessSpec {
    /// Execution of this path.
    #[serde(default)]
    pub exec: Option<String>,
    /// A capability, `ipc_lock`.
    #[serde(default)]
    pub capability: Option<String>,
    /// A kind of socket, as a rule names it: `packet raw`.
    #[serde(default)]
    pub network: Option<String>,
    /// A path, with `mask`.
    #[serde(default)]
    pub file: Option<String>,
    /// Letters of `file`'s access, `rw`.
    #[serde(default)]
    pub mask: Option<String>,
    /// A label that change_profile may enter.
    #[serde(default)]
    pub change_profile: Option<String>,
    /// A signal to a peer: `send term libvirt-…`.
    #[serde(default)]
    pub signal: Option<String>,
    /// Rules by their exact text.
    #[serde(default)]
    pub rules: Vec<String>,
}
