//! What the agent does in a case, with every template filled in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One case, with every template filled in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CasePlan {
    /// Id, for messages and cgroup names.
    pub id: String,
    /// An unguessable token. The canary's paths are made from it.
    pub token: String,
    /// Timeout in milliseconds of each step that has none of its own.
    pub step_timeout_ms: u64,
    /// Subjects by name; each is started at its first step.
    pub subjects: BTreeMap<String, SubjectPlan>,
    /// Setup and steps, in order.
    pub steps: Vec<StepPlan>,
    /// Cleanup steps. They always run, in order.
    pub cleanup: Vec<StepPlan>,
    /// How many of the first steps an earlier case has performed. The agent leaves them out.
    #[serde(default)]
    pub held: usize,
    /// What must have been kept, under this name, for the case to begin with. Without it, nothing kept is used.
    #[serde(default)]
    pub begins_from: Option<String>,
    /// Under this name, its daemons and their guests go on for the next case. Without it, they end with the case.
    #[serde(default)]
    pub keep_as: Option<String>,
    /// The guests that its daemons start.
    #[serde(default)]
    pub guests: Vec<GuestPlan>,
}

impl CasePlan {
    /// The steps that no earlier case has performed.
    pub fn own_steps(&self) -> &[StepPlan] {
        self.steps.get(self.held..).unwrap_or_default()
    }
}

/// A guest that a daemon starts, under a profile that the daemon makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestPlan {
    /// The subject whose daemon starts it.
    pub run_by: String,
    /// Its label, which is the name of its profile.
    pub label: String,
}

/// A confined process, and how it gets its label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectPlan {
    /// The profile to enter by change_profile. If `None` with a `program`, the profile attaches at exec.
    pub label: Option<String>,
    /// User name in the machine's `/etc/passwd`; `None` is root.
    pub user: Option<String>,
    /// Soft and hard limit of locked memory, bytes.
    pub memlock: Option<(u64, u64)>,
    /// The daemon, if the subject is one.
    pub program: Option<Daemon>,
}

/// A program that runs for the length of a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// A path, its socket for example, that exists once the daemon is ready.
    pub ready: String,
    /// Milliseconds until it must be ready.
    pub timeout_ms: u64,
}

/// One act of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepPlan {
    /// The subject's name; `None` is the unconfined agent.
    pub by: Option<String>,
    /// What to do.
    pub act: Act,
    /// Timeout in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The exit status that the program must have; otherwise the steps end here.
    pub exit_or_end: Option<i32>,
}

/// What a step does. Constants have the names of the kernel's headers, in lower case, without prefix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// fork and execve.
    Run(RunSpec),
    /// Send a line to a guest and read its answer.
    Ask(AskSpec),
    /// socket(2), and a message over it if one process can send itself one.
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
        /// The file that accounting goes to; `None` turns it off.
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
    /// aa_change_profile(2). The subject keeps the new label.
    ChangeProfile {
        /// The new label.
        to: String,
    },
    /// ptrace(2), or an access that needs its permission.
    Ptrace(Ptrace),
    /// Reset a PCI function through configuration space, as libvirt does.
    PciReset(PciReset),
    /// Only start the subject: the only step of a daemon.
    Start,
}

/// A program to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// Program (absolute path) and arguments.
    pub argv: Vec<String>,
    /// The whole environment. PATH has the usual value if it is not set.
    pub env: BTreeMap<String, String>,
    /// Text for standard input.
    pub stdin: Option<String>,
    /// File for standard input, opened by the subject.
    pub stdin_file: Option<String>,
    /// File for standard output, created and opened by the subject.
    pub stdout_file: Option<String>,
}

/// A question to a guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskSpec {
    /// Absolute path of the UNIX socket that QEMU has for the guest's serial port.
    pub socket: String,
    /// The command, one line.
    pub say: String,
    /// Milliseconds until the answer must have come; the agent fills them in.
    #[serde(default)]
    pub timeout_ms: u64,
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
    /// Create it with mode 0600 if it does not exist.
    pub create: bool,
    /// Take an exclusive lock (flock).
    pub lock: bool,
    /// Offset of reading and writing.
    pub at: u64,
    /// Text to write.
    pub write: Option<String>,
    /// How many bytes to read at most.
    pub read: Option<u64>,
    /// Map it shared for reading and writing, and touch the mapping.
    pub map: bool,
}

/// An ioctl on a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IoctlSpec {
    /// Absolute path of the device.
    pub path: String,
    /// `r` or `rw`.
    pub open: String,
    /// The request number.
    pub request: u64,
    /// The argument's bytes. As many bytes are returned.
    pub argument: Vec<u8>,
}

/// Locked memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LockMemory {
    /// `mmap` or `mlock`.
    pub how: String,
    /// Size of the locked memory.
    pub bytes: u64,
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetLimit {
    /// `memlock`, `nofile`, `nproc`, `core`.
    pub resource: String,
    /// Both the soft and the hard limit.
    pub to: u64,
    /// The other subject; `None` is the subject itself.
    pub of: Option<String>,
    /// The target process; the agent fills it in.
    #[serde(default)]
    pub pid: Option<i32>,
}

/// An access to another process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ptrace {
    /// The subject to be read or traced.
    pub of: String,
    /// `read` or `trace`.
    pub how: String,
    /// The target process; the agent fills it in.
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
