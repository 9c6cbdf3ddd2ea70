//! What a record is about.

use crate::record::Record;
use crate::verdict::Verdict;

/// The kind of access that a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A change of the policy: a profile loaded, replaced or removed.
    Policy,
    /// A capability.
    Capability,
    /// The execution of a program.
    Exec,
    /// A change of label by the process itself: `change_profile`, `change_hat`, `change_onexec`.
    ChangeProfile,
    /// A file, other than its execution.
    File,
    /// A UNIX socket.
    Unix,
    /// Any other socket.
    Network,
    /// A signal.
    Signal,
    /// Tracing or reading of another process.
    Ptrace,
    /// A D-Bus message or name.
    Dbus,
    /// A mount of any kind.
    Mount,
    /// An unmount.
    Umount,
    /// A change of the root mount.
    PivotRoot,
    /// A resource limit.
    Rlimit,
    /// An io_uring operation.
    IoUring,
    /// The creation of a user namespace.
    UserNamespace,
    /// A message queue.
    MessageQueue,
    /// Anything else.
    Other,
}

impl Record {
    /// What the record is about. Old kernels do not write a class, so the operation and the keys are used as well.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let operation = self.operation.as_deref().unwrap_or_default();
        match operation {
            "profile_load" | "profile_replace" | "profile_remove" => return Kind::Policy,
            "exec" => return Kind::Exec,
            "capable" => return Kind::Capability,
            "change_profile" | "change_hat" | "change_onexec" | "stack" | "stack_onexec" => {
                return Kind::ChangeProfile;
            }
            "mount" | "remount" => return Kind::Mount,
            "umount" => return Kind::Umount,
            "pivotroot" => return Kind::PivotRoot,
            "signal" => return Kind::Signal,
            "ptrace" => return Kind::Ptrace,
            "setrlimit" => return Kind::Rlimit,
            "userns_create" => return Kind::UserNamespace,
            _ if operation.starts_with("dbus_") => return Kind::Dbus,
            _ if operation.starts_with("uring_") => return Kind::IoUring,
            _ if operation.starts_with("mqueue_") || operation == "sysv_mqueue" => return Kind::MessageQueue,
            _ => {}
        }
        match self.class.as_deref() {
            Some("posix_mqueue") => return Kind::MessageQueue,
            Some("io_uring") => return Kind::IoUring,
            Some("dbus") => return Kind::Dbus,
            _ => {}
        }
        if let Some(family) = &self.family {
            return if family == "unix" {
                Kind::Unix
            } else {
                Kind::Network
            };
        }
        if self.capability.is_some() || self.capname.is_some() {
            return Kind::Capability;
        }
        if self.bus.is_some() {
            return Kind::Dbus;
        }
        match self.class.as_deref() {
            Some("file") => Kind::File,
            Some("net") => Kind::Network,
            Some("namespace") => Kind::UserNamespace,
            Some("mount") => Kind::Mount,
            // A status is about the policy, even if its operation is none of the above.
            _ if self.verdict == Verdict::Status => Kind::Policy,
            _ if self.name.is_some() && self.requested_mask.is_some() => Kind::File,
            _ => Kind::Other,
        }
    }
}
