//! Kernel names that a case may use, and limits of the format.

/// The longest time limit that a data file may set, in seconds.
pub const MAX_TIMEOUT: u64 = 900;

/// Capabilities in the order of their numbers, as AppArmor's rules and records name them.
pub const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Keys of an AppArmor audit record.
pub const RECORD_KEYS: &[&str] = &[
    "apparmor",
    "operation",
    "class",
    "profile",
    "namespace",
    "name",
    "requested_mask",
    "denied_mask",
    "requested",
    "denied",
    "capability",
    "capname",
    "family",
    "sock_type",
    "protocol",
    "laddr",
    "lport",
    "faddr",
    "fport",
    "saddr",
    "src",
    "daddr",
    "dest",
    "addr",
    "peer_addr",
    "peer",
    "peer_label",
    "peer_profile",
    "peer_info",
    "peer_pid",
    "label",
    "signal",
    "target",
    "srcname",
    "fstype",
    "flags",
    "info",
    "error",
    "comm",
    "exe",
    "pid",
    "fsuid",
    "ouid",
    "rlimit",
    "value",
    "bus",
    "path",
    "interface",
    "member",
    "mask",
    "execpath",
];

/// Signals, as AppArmor's records name them; `exists` is signal 0.
pub const SIGNALS: &[&str] = &[
    "exists", "hup", "int", "quit", "ill", "trap", "abrt", "bus", "fpe", "kill", "usr1", "segv", "usr2",
    "pipe", "alrm", "term", "stkflt", "chld", "cont", "stop", "stp", "ttin", "ttou", "urg", "xcpu", "xfsz",
    "vtalrm", "prof", "winch", "io", "pwr", "sys", "emt", "lost",
];

/// Families of sockets that the agent can open.
pub const FAMILIES: &[&str] = &["inet", "inet6", "packet", "netlink", "unix"];

/// Types of sockets that the agent can open.
pub const SOCKET_TYPES: &[&str] = &["stream", "dgram", "raw"];

/// How a `file` step opens its file.
pub const FILE_OPENS: &[&str] = &["r", "w", "rw", "a", "list"];

/// How an `ioctl` step opens its device.
pub const IOCTL_OPENS: &[&str] = &["r", "rw"];

/// How memory is locked.
pub const LOCKS: &[&str] = &["mmap", "mlock"];

/// Resource limits that the agent can set.
pub const LIMITS: &[&str] = &["memlock", "nofile", "nproc", "core"];

/// How another process is accessed with ptrace.
pub const PTRACES: &[&str] = &["read", "trace"];

/// What a `start` step starts.
pub const STARTS: &[&str] = &["daemon"];

/// How a PCI function is reset.
pub const PCI_RESETS: &[&str] = &["flr", "power", "bus"];

/// Classes of mediation: the first part of a path in the kernel's features directory.
pub const MEDIATION_CLASSES: &[&str] = &[
    "capability",
    "caps",
    "dbus",
    "domain",
    "file",
    "io_uring",
    "ipc",
    "mount",
    "namespaces",
    "network",
    "network_v8",
    "network_v9",
    "policy",
    "ptrace",
    "query",
    "rlimit",
    "signal",
];

/// Number of a capability.
pub fn capability(name: &str) -> Option<u32> {
    CAPABILITIES
        .iter()
        .position(|known| *known == name)
        .and_then(|at| u32::try_from(at).ok())
}

/// Number of an error, by its name in upper case.
pub fn errno(name: &str) -> Option<i32> {
    ERRNOS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
}

/// The name of an error: `EACCES` for 13. A number that has none is written out: `errno 999`.
pub fn errno_name(number: i32) -> String {
    let known = ERRNOS.iter().find(|(_, known)| *known == number);
    known.map_or_else(|| format!("errno {number}"), |(name, _)| (*name).to_owned())
}

macro_rules! errnos {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

/// Errors by name, the usual name first if a number has two.
pub const ERRNOS: &[(&str, i32)] = errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY
    EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK
    EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT
    EL3RST ELNRNG EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR ENODATA ETIME
    ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ
    EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK
    EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
    EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED ECONNRESET ENOBUFS EISCONN
    ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE
    EUCLEAN ENOTNAM ENAVAIL EISNAM EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED
    EKEYREVOKED EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
};

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("chown", 0)]
    #[case("ipc_lock", 14)]
    #[case("sys_pacct", 20)]
    #[case("sys_admin", 21)]
    #[case("sys_resource", 24)]
    #[case("perfmon", 38)]
    #[case("bpf", 39)]
    #[case("checkpoint_restore", 40)]
    fn numbers_are_the_kernels(#[case] name: &str, #[case] number: u32) {
        assert_eq!(capability(name), Some(number));
    }

    #[test]
    fn errors_have_names_both_ways() {
        assert_eq!(errno("EACCES"), Some(13));
        assert_eq!(errno_name(13), "EACCES");
        assert_eq!(errno_name(999), "errno 999");
        assert_eq!(errno("eacces"), None);
        let mut numbers: Vec<i32> = ERRNOS.iter().map(|(_, number)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), ERRNOS.len());
        // Linux does not use 41 and 58.
        let all: Vec<i32> = (1..=133).filter(|number| ![41, 58].contains(number)).collect();
        assert_eq!(numbers, all);
    }
}
