//! What the harness and its agent say to each other: length-prefixed JSON frames over one byte stream.
//!
//! The guest is not trusted to be honest or well: a frame has a size limit, and every read on the harness's side
//! has a deadline of its own.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Raised with every change of a message's form; both sides are the same program, so they must be equal.
pub const PROTOCOL_VERSION: u32 = 1;

/// Name of the virtio-serial port on which the agent of a VM talks.
pub const PORT_NAME: &str = "org.virt-aa-conform.agent";

/// The profile whose denials mark the ends of each step in the audit stream.
pub const CANARY_PROFILE: &str = "virt-aa-conform-canary";

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
        /// Milliseconds.
        timeout_ms: u64,
    },
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
    /// Every audit message of the window, in the order of its serials.
    pub records: Vec<RawRecord>,
    /// Messages since the case before that nobody waited for.
    pub strays: Vec<RawRecord>,
    /// Milliseconds spent in the guest, whole and in steps alone.
    pub guest_ms: f64,
    /// Milliseconds spent in the steps' own acts.
    pub steps_ms: f64,
}

/// State of the audit system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditState {
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
}

/// A subject as seen from outside, at the barrier before its first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubjectFacts {
    /// Its process.
    pub pid: i32,
    /// Every process seen in its cgroup.
    pub pids: Vec<i32>,
    /// From `/proc/PID/attr/current`, without the mode.
    pub label: String,
    /// `enforce`, `complain`…; empty for `unconfined`.
    pub mode: String,
    /// Its program.
    pub exe: String,
    /// Who it is.
    pub credentials: Credentials,
    /// Whether it was reaped, or frozen, before the closing canary.
    pub quiesced: bool,
}

/// Who a process is, from `/proc/PID/status` and `/proc/PID/limits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A step as it went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepEvidence {
    /// How it ended.
    pub outcome: Outcome,
    /// Serial of the canary that closed it; records of the step lie between this and the one before.
    pub fence: Option<u64>,
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
    /// The subject in whose cgroup its process was when the record was read; `None` if it was gone or elsewhere.
    pub subject: Option<String>,
}

/// Send one frame: four bytes of length, little-endian, then JSON.
pub fn send<T: Serialize>(stream: &mut impl Write, message: &T) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    if body.len() > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("frame of {} bytes is over the limit", body.len()),
        ));
    }
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    stream.write_all(&frame)?;
    stream.flush()
}

/// Receive one frame; `UnexpectedEof` when the other side is gone, `InvalidData` when it talks nonsense.
pub fn receive<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes was announced"),
        ));
    }
    // The announced length is not believed before the bytes are there.
    let mut body = Vec::new();
    stream.take(length as u64).read_to_end(&mut body)?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Half a message in a whole frame is nonsense too, and not the stream's end.
    serde_json::from_slice(&body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Bytes as base64 text.
mod bytes {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(input)?)
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_wire() {
        let mut wire = Vec::new();
        send(&mut wire, &Request::PolicyState).unwrap();
        let got: Request = receive(&mut wire.as_slice()).unwrap();
        assert!(matches!(got, Request::PolicyState));
    }

    #[test]
    fn a_lying_length_is_refused() {
        let huge = u32::MAX.to_le_bytes();
        let error = receive::<Request>(&mut huge.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let short = [10, 0, 0, 0, b'{'];
        let error = receive::<Request>(&mut short.as_slice()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn nonsense_is_an_error_value() {
        for body in ["{x}", "", "{\"do\":", "null", "{\"do\":\"no-such-thing\"}"] {
            let mut wire = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
            wire.extend_from_slice(body.as_bytes());
            let error = receive::<Request>(&mut wire.as_slice()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{body:?}");
        }
    }
}
