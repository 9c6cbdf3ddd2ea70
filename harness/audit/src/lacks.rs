//! Whether a record says what was asked for, or was cut short.

use crate::kind::Kind;
use crate::record::Record;

/// Operations on files. If a record of such an operation has no known kind, it was cut short before its file.
const OF_FILES: [&str; 17] = [
    "open",
    "mknod",
    "mkdir",
    "rmdir",
    "unlink",
    "rename_src",
    "rename_dest",
    "link",
    "symlink",
    "chmod",
    "chown",
    "getattr",
    "truncate",
    "file_perm",
    "file_lock",
    "file_mmap",
    "file_mprotect",
];
/// Operations on sockets, and on inherited descriptors. Some apply to files too, by the socket's path.
const OF_SOCKETS: [&str; 13] = [
    "create",
    "bind",
    "connect",
    "listen",
    "accept",
    "sendmsg",
    "recvmsg",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "socket_shutdown",
    "file_inherit",
];

impl Record {
    /// The keys that say what the subject asked for but are missing from this record. Empty if the record is complete.
    ///
    /// A record that was cut short is often well-formed: each field that it has is intact, but the last fields are missing.
    /// Then nobody knows what the subject asked for, and no rule can be made of the record.
    ///
    /// ```
    /// let cut = aa_audit::parse_record(br#"apparmor="DENIED" operation="ptrace" profile="libvirtd" pid=7"#)?;
    /// assert_eq!(cut.lacks(), ["requested_mask", "peer"]);
    /// # Ok::<(), aa_audit::ParseError>(())
    /// ```
    #[must_use]
    pub fn lacks(&self) -> Vec<&'static str> {
        if self.verdict.is_clean() {
            return Vec::new();
        }
        let mut lacks = Vec::new();
        let mut need = |there: bool, key: &'static str| {
            if !there {
                lacks.push(key);
            }
        };
        let masked = self.requested_mask.is_some() || self.denied_mask.is_some();
        let spelt_short = self.requested.is_some() || self.denied.is_some();
        need(self.operation.is_some(), "operation");
        if self.operation.is_some() {
            need(self.profile.is_some() || self.label.is_some(), "profile");
        }
        match self.kind() {
            // The first kernels with AppArmor wrote it as `name`.
            Kind::Capability => need(self.capname.is_some() || self.name.is_some(), "capname"),
            Kind::Exec => need(self.name.is_some(), "name"),
            Kind::File => {
                need(self.name.is_some(), "name");
                need(masked, "requested_mask");
            }
            Kind::Unix | Kind::Network => {
                need(self.family.is_some(), "family");
                need(self.sock_type.is_some(), "sock_type");
            }
            Kind::Signal => {
                need(masked, "requested_mask");
                need(self.signal.is_some(), "signal");
                need(self.peer.is_some(), "peer");
            }
            Kind::Ptrace => {
                need(masked, "requested_mask");
                need(self.peer.is_some(), "peer");
            }
            Kind::ChangeProfile => need(self.target.is_some() || self.name.is_some(), "target"),
            Kind::Mount => {
                need(self.name.is_some(), "name");
                need(self.flags.is_some(), "flags");
            }
            Kind::Umount => need(self.name.is_some(), "name"),
            Kind::PivotRoot => {
                need(self.name.is_some(), "name");
                need(self.srcname.is_some(), "srcname");
            }
            Kind::Dbus => {
                need(self.bus.is_some(), "bus");
                need(self.mask.is_some(), "mask");
                if matches!(self.mask.as_deref(), Some("send" | "receive")) {
                    need(self.path.is_some(), "path");
                    need(self.member.is_some(), "member");
                }
                if self.mask.as_deref() == Some("bind") {
                    need(self.name.is_some(), "name");
                }
            }
            Kind::Rlimit => need(self.rlimit.is_some(), "rlimit"),
            Kind::IoUring => need(spelt_short || masked, "requested"),
            Kind::MessageQueue => {
                need(self.name.is_some(), "name");
                need(spelt_short || masked, "requested");
            }
            Kind::Other => match self.operation.as_deref() {
                Some(operation) if OF_FILES.contains(&operation) => {
                    need(self.name.is_some(), "name");
                    need(masked, "requested_mask");
                }
                Some(operation) if OF_SOCKETS.contains(&operation) => need(false, "family"),
                _ => {}
            },
            Kind::UserNamespace | Kind::Policy => {}
        }
        lacks
    }

    /// Whether the last key that the kernel writes in a record of this kind is present, so that no field can follow.
    pub(crate) fn ends_well(&self) -> bool {
        match self.kind() {
            Kind::Policy => self.comm.is_some(),
            Kind::Capability => self.capname.is_some(),
            Kind::Exec | Kind::File => self.ouid.is_some(),
            Kind::Signal | Kind::Ptrace => self.peer.is_some(),
            Kind::Network => self.denied_mask.is_some(),
            _ => false,
        }
    }
}
