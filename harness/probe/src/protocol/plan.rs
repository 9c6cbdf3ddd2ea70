//! What the agent is to do in a case, with every template filled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One case, with every template filled in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CasePlan {
    /// Identity, for messages and cgroup names.
    pub id: String,
    /// Unguessable; the canaries' paths are made from it.
    pub token: String,
    /// For each step that names none, milliseconds.
    pub step_timeout_ms: u64,
    /// Subjects by name; each is started at its first step.
    pub subjects: BTreeMap<String, SubjectPlan>,
    /// In order: setup, steps.
    pub steps: Vec<StepPlan>,
    /// Always run, in order, whatever happened before.
    pub cleanup: Vec<StepPlan>,
}

/// A confined process, and how it gets its label.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubjectPlan {
    /// The profile to enter by change_profile; `None` with `program` set means by attachment at exec.
    pub label: Option<String>,
    /// User name, looked up in the machine's own `/etc/passwd`; root where not given.
    pub user: Option<String>,
    /// Soft and hard limit of locked memory, bytes.
    pub memlock: Option<(u64, u64)>,
    /// A daemon that is the subject itself.
    pub program: Option<Daemon>,
}

/// A program that runs for the length of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Daemon {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// A path whose appearance says that the daemon is ready (its socket).
    pub ready: String,
    /// Milliseconds until then.
    pub timeout_ms: u64,
}

/// One act of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepPlan {
    /// Subject's name; `None` is the agent, unconfined.
    pub by: Option<String>,
    /// What to do.
    pub act: Act,
    /// Milliseconds.
    pub timeout_ms: Option<u64>,
    /// For a program: the exit status without which the steps end here, since what follows builds on it.
    pub exit_or_end: Option<i32>,
}

/// What a step does. Names of constants are those of the kernel's headers, in lower case, without prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// fork and execve.
    Run(RunSpec),
    /// socket(2), and a message over it where one process alone can send itself one.
    Socket(SocketSpec),
    /// Send an Ethernet frame on one interface and receive it on another, by raw packet sockets.
    PacketExchange(PacketExchange),
    /// open(2), and what follows on the descriptor.
    File(FileSpec),
    /// open(2) and ioctl(2).
    Ioctl(IoctlSpec),
    /// mmap(2) with MAP_LOCKED, or mlock(2).
    LockMemory(LockMemory),
    /// acct(2).
    Acct {
        /// Where accounting goes; `None` turns it off.
        file: Option<String>,
    },
    /// prlimit(2).
    SetLimit(SetLimit),
    /// kill(2).
    Signal {
        /// The subject that gets it.
        to: String,
        /// `term`, `kill`, `0`…
        signal: String,
    },
    /// aa_change_profile(2), for good: the subject has the new label afterwards.
    ChangeProfile {
        /// The label wanted.
        to: String,
    },
    /// ptrace(2), or what needs its permission.
    Ptrace(Ptrace),
    /// Reset a PCI function through configuration space, as libvirt does.
    PciReset(PciReset),
    /// Nothing but that the subject is up: a daemon's only step.
    Start,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Program (absolute path) and arguments.
    pub argv: Vec<String>,
    /// The whole environment, but for PATH, which has the usual value where not given.
    pub env: BTreeMap<String, String>,
    /// Text for standard input.
    pub stdin: Option<String>,
    /// File for standard input, opened by the subject.
    pub stdin_file: Option<String>,
    /// File for standard output, created and opened by the subject.
    pub stdout_file: Option<String>,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SocketSpec {
    /// `inet`, `inet6`, `packet`, `netlink`, `unix`.
    pub family: String,
    /// `stream`, `dgram`, `raw`.
    pub kind: String,
    /// As given to socket(2).
    pub protocol: i32,
}

/// A frame from one interface to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PacketExchange {
    /// Name of the sending interface.
    pub send: String,
    /// Name of the receiving interface.
    pub receive: String,
}

/// A file to open, and what to do with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute path.
    pub path: String,
    /// `r`, `w`, `rw`, `a`, or `list` for a directory.
    pub open: String,
    /// Create it, mode 0600, if it is not there.
    pub create: bool,
    /// Take an exclusive lock (flock).
    pub lock: bool,
    /// Offset of reading and writing.
    pub at: u64,
    /// Text to write.
    pub write: Option<String>,
    /// How many bytes to read at most.
    pub read: Option<u64>,
    /// Map it shared, read and write, and touch it.
    pub map: bool,
}

/// An ioctl on a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IoctlSpec {
    /// Absolute path of the device.
    pub path: String,
    /// `r` or `rw`.
    pub open: String,
    /// The request's number.
    pub request: u64,
    /// The argument's bytes; as many come back.
    pub argument: Vec<u8>,
}

/// Locked memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockMemory {
    /// `mmap` or `mlock`.
    pub how: String,
    /// Size.
    pub bytes: u64,
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetLimit {
    /// `memlock`, `nofile`, `nproc`, `core`.
    pub resource: String,
    /// Soft and hard alike.
    pub to: u64,
    /// Another subject; its own where not given.
    pub of: Option<String>,
    /// Filled in by the agent: the process meant.
    #[serde(default)]
    pub pid: Option<i32>,
}

/// A look into another process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ptrace {
    /// The subject that is looked into.
    pub of: String,
    /// `read` or `trace`.
    pub how: String,
    /// Filled in by the agent: the process meant.
    #[serde(default)]
    pub pid: Option<i32>,
}

/// A reset of a PCI function.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PciReset {
    /// The function's `config` file.
    pub config: String,
    /// `flr` (PCIe capability), `power` (D3hot and back), `bus` (through the parent bridge).
    pub how: String,
    /// The parent bridge's `config` file, for `bus`.
    pub bridge: Option<String>,
}
