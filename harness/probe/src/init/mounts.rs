//! The mounts of the machine, before and after it changes to its root disk.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::unistd::{chdir, chroot};

use super::InitError;

const NEW_ROOT: &str = "/newroot";

struct Mount {
    what: &'static str,
    on: &'static str,
    options: Option<&'static str>,
    flags: MsFlags,
}

const PLAIN: MsFlags = MsFlags::MS_NOSUID
    .union(MsFlags::MS_NODEV)
    .union(MsFlags::MS_NOEXEC);
const SHARED_TMP: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Control groups with an option that saves the wait for every processor, some milliseconds, when a process enters one.
/// Kernels before 6.0 do not know the option.
const CGROUPS: [Mount; 2] = [cgroups(Some("favordynmods")), cgroups(None)];

const fn cgroups(options: Option<&'static str>) -> Mount {
    Mount {
        what: "cgroup2",
        on: "/sys/fs/cgroup",
        options,
        flags: PLAIN,
    }
}

const EARLY: &[Mount] = &[
    Mount {
        what: "devtmpfs",
        on: "/dev",
        options: None,
        flags: MsFlags::MS_NOSUID,
    },
    Mount {
        what: "sysfs",
        on: "/sys",
        options: None,
        flags: PLAIN,
    },
];

/// In order: a later mount may lie below an earlier one.
const LATE: &[Mount] = &[
    Mount {
        what: "proc",
        on: "/proc",
        options: None,
        flags: PLAIN,
    },
    Mount {
        what: "sysfs",
        on: "/sys",
        options: None,
        flags: PLAIN,
    },
    Mount {
        what: "devtmpfs",
        on: "/dev",
        options: None,
        flags: MsFlags::MS_NOSUID,
    },
    Mount {
        what: "devpts",
        on: "/dev/pts",
        options: Some("gid=5,mode=620,ptmxmode=666"),
        flags: MsFlags::MS_NOSUID,
    },
    Mount {
        what: "tmpfs",
        on: "/dev/shm",
        options: Some("mode=1777"),
        flags: SHARED_TMP,
    },
    Mount {
        what: "securityfs",
        on: "/sys/kernel/security",
        options: None,
        flags: PLAIN,
    },
    Mount {
        what: "tmpfs",
        on: "/run",
        options: Some("mode=755"),
        flags: SHARED_TMP,
    },
    Mount {
        what: "tmpfs",
        on: "/tmp",
        options: Some("mode=1777"),
        flags: SHARED_TMP,
    },
];

/// Links that udev makes elsewhere and shells need.
const DEV_LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

/// Mounts what the search for the root disk needs.
pub fn early() -> Result<(), InitError> {
    EARLY.iter().try_for_each(mount_one)
}

/// Mounts the disk and makes it the root. The mount is moved onto `/`, because AppArmor names files from the root of
/// the mount tree: after a bare chroot the names would begin with `/newroot/`.
pub fn enter_root(disk: &Path) -> Result<(), InitError> {
    create_dir(NEW_ROOT)?;
    mount(
        Some(disk),
        NEW_ROOT,
        Some("ext4"),
        MsFlags::MS_NOATIME,
        None::<&str>,
    )
    .map_err(|e| InitError::io(format!("mount the root disk {}", disk.display()), e))?;
    chdir(NEW_ROOT).map_err(|e| InitError::io("enter the root disk", e))?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .map_err(|e| InitError::io("move the root disk to /", e))?;
    chroot(".").map_err(|e| InitError::io("change root", e))?;
    chdir("/").map_err(|e| InitError::io("enter /", e))
}

/// Mounts everything that a running system has, on the new root.
pub fn late() -> Result<(), InitError> {
    running_system(&[])?;
    let [quick, plain] = &CGROUPS;
    mount_one(quick).or_else(|_| mount_one(plain))?;
    for (target, link) in DEV_LINKS {
        symlink(target, link).map_err(|e| InitError::io(format!("link {link}"), e))?;
    }
    reopen_console()
}

/// Mounts what a running system has, except for control groups and these places.
pub fn running_system(but: &[&str]) -> Result<(), InitError> {
    for entry in LATE.iter().filter(|entry| !but.contains(&entry.on)) {
        create_dir(entry.on)?;
        mount_one(entry)?;
    }
    Ok(())
}

/// Reopens the standard streams. Those of the kernel lie in the initramfs, which has no name in the new root: a
/// confined child would inherit them and be denied a disconnected path.
fn reopen_console() -> Result<(), InitError> {
    let console = File::options()
        .read(true)
        .write(true)
        .open("/dev/console")
        .map_err(|e| InitError::io("open /dev/console", e))?;
    for fd in 0..=2 {
        // SAFETY: dup2 onto the standard descriptors, which no Rust value owns.
        if unsafe { libc::dup2(console.as_raw_fd(), fd) } < 0 {
            return Err(InitError::io(
                "reopen the console",
                std::io::Error::last_os_error(),
            ));
        }
    }
    Ok(())
}

fn create_dir(path: &str) -> Result<(), InitError> {
    fs::create_dir_all(path).map_err(|e| InitError::io(format!("create {path}"), e))
}

fn mount_one(entry: &Mount) -> Result<(), InitError> {
    let mounted = mount(
        Some(entry.what),
        entry.on,
        Some(entry.what),
        entry.flags,
        entry.options,
    );
    match mounted {
        // A container's engine has already mounted the same there.
        Err(Errno::EBUSY) => Ok(()),
        other => other.map_err(|e| InitError::io(format!("mount {} on {}", entry.what, entry.on), e)),
    }
}
