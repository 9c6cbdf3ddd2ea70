//! Acts of a step other than running a program.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Scalar;

/// A command for a guest that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ask {
    /// The UNIX socket of the guest's serial port. It is waited for.
    pub socket: String,
    /// The command, one line. It is sent once, when the guest is up.
    pub say: String,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Socket {
    /// `inet`, `inet6`, `packet`, `netlink`, `unix`.
    pub family: String,
    /// `stream`, `dgram`, `raw`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The protocol as passed to socket(2) (768 is htons(ETH_P_ALL)); 0 by default.
    #[serde(default = "zero")]
    pub protocol: Scalar,
}

fn zero() -> Scalar {
    Scalar::Int(0)
}

/// A frame from one interface to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PacketExchange {
    /// Interface that sends.
    pub send: String,
    /// Interface that receives.
    pub receive: String,
}

/// A file to open, and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// Absolute path.
    pub path: String,
    /// `r`, `w`, `rw`, `a`, or `list` for a directory.
    pub open: String,
    /// Create it if it does not exist.
    #[serde(default)]
    pub create: bool,
    /// Take an exclusive lock.
    #[serde(default)]
    pub lock: bool,
    /// Offset.
    #[serde(default)]
    pub at: u64,
    /// Text to write.
    #[serde(default)]
    pub write: Option<String>,
    /// Maximum number of bytes to read.
    #[serde(default)]
    pub read: Option<u64>,
    /// Map it shared and touch it.
    #[serde(default)]
    pub map: bool,
}

/// An ioctl.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ioctl {
    /// Device.
    pub path: String,
    /// `r` or `rw`.
    pub open: String,
    /// The request's number, `0x…` or decimal.
    pub request: Scalar,
    /// The argument's bytes in hex; the same number of bytes is returned.
    #[serde(default)]
    pub argument: String,
}

/// Memory to lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockMemory {
    /// `mmap` (MAP_LOCKED) or `mlock`.
    pub how: String,
    /// Size.
    pub bytes: u64,
}

/// A resource limit, soft and hard alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SetLimit {
    /// `memlock`, `nofile`, `nproc`, `core`.
    pub resource: String,
    /// The new value.
    pub to: u64,
    /// The subject whose limit to set; the acting subject by default.
    #[serde(default)]
    pub of: Option<String>,
}

/// A signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signal {
    /// The subject that gets it.
    pub to: String,
    /// `term`, `kill`, `exists` (signal 0).
    pub signal: String,
}

/// A ptrace access to another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ptrace {
    /// The subject whose process is accessed.
    pub of: String,
    /// `read` (restricted files in /proc) or `trace` (attach and detach).
    pub how: String,
}

/// A reset of a PCI function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PciReset {
    /// The function's `config` file.
    pub config: String,
    /// `flr`, `power`, `bus`.
    pub how: String,
    /// The parent bridge's `config` file, for `bus`.
    #[serde(default)]
    pub bridge: Option<String>,
}
