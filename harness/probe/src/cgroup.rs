//! One cgroup for each subject: lists, freezes and kills its processes.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::wait::until_ready;
use nix::poll::{PollFd, PollFlags};

const MOUNT: &str = "/sys/fs/cgroup";

/// The name of our folder in a machine that we own, and elsewhere. An agent may run a harness that has an agent too.
const OWNED: &str = "virt-aa-conform";
const LOCAL: &str = "virt-aa-conform-local";

/// Timeout for emptying what is left behind.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(20);

static BASE: OnceLock<&'static str> = OnceLock::new();

/// From here on this process uses the cgroups of a machine that we do not own.
pub fn use_local_hierarchy() {
    // This is called once, before anything is made.
    let _ = BASE.set(LOCAL);
}

fn base() -> &'static str {
    BASE.get().unwrap_or(&OWNED)
}

/// The cgroup of what fixtures start and cases use. It lives as long as the machine.
fn kept() -> PathBuf {
    Path::new(MOUNT).join(format!("{}-kept", base()))
}

/// The file through which a process enters that cgroup.
pub fn kept_procs() -> io::Result<PathBuf> {
    fs::create_dir_all(kept())?;
    Ok(kept().join("cgroup.procs"))
}

/// Kill every process in our cgroups on a machine that we do not own.
pub fn kill_all() {
    for dir in local_dirs() {
        kill_at_once(&dir);
    }
}

/// Like [`kill_all`], and remove the cgroups; returns whether there were any.
pub fn remove_all() -> io::Result<bool> {
    let dirs = local_dirs();
    for dir in &dirs {
        Cgroup { path: dir.clone() }.kill(REMOVE_TIMEOUT)?;
    }
    // The deepest first.
    for dir in dirs.iter().rev() {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(!dirs.is_empty())
}

/// Our cgroups on such a machine, each before those below it.
fn local_dirs() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = [LOCAL.to_string(), format!("{LOCAL}-kept")]
        .iter()
        .map(|name| Path::new(MOUNT).join(name))
        .filter(|dir| dir.is_dir())
        .collect();
    let mut at = 0;
    while let Some(dir) = all.get(at) {
        let below = fs::read_dir(dir).into_iter().flatten().flatten();
        let below: Vec<PathBuf> = below
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        all.extend(below);
        at += 1;
    }
    all
}

/// Whether cgroups of version 2 are mounted at the expected path.
pub fn available() -> bool {
    Path::new(MOUNT).join("cgroup.procs").exists()
}

/// Have the kernel kill everything in a cgroup; false before Linux 5.14, which cannot do that.
fn kill_at_once(dir: &Path) -> bool {
    fs::write(dir.join("cgroup.kill"), "1").is_ok()
}

/// Send SIGKILL to everything in a cgroup. A frozen process dies of it too.
fn signal_all(dir: &Path) {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in text.lines().filter_map(|line| line.parse().ok()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

/// How long processes may take to end by themselves once their pipes are closed.
const BY_ITSELF: Duration = Duration::from_millis(500);

/// A subject's cgroup; its processes are killed when it is dropped.
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Make the cgroup of the subject `name`.
    pub fn make(name: &str) -> io::Result<Cgroup> {
        let path = Path::new(MOUNT).join(base()).join(name);
        fs::create_dir_all(&path)?;
        Ok(Cgroup { path })
    }

    /// Start `command` inside, from its first instruction.
    pub fn spawn_in(&self, command: &mut Command) {
        let procs = self.path.join("cgroup.procs");
        // SAFETY: only plain system calls are made between fork and exec. The path's bytes were prepared before.
        let target = std::ffi::CString::new(procs.as_os_str().as_encoded_bytes()).unwrap_or_default();
        unsafe {
            command.pre_exec(move || {
                let file = libc::open(target.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                if file < 0 || libc::write(file, b"0".as_ptr().cast(), 1) != 1 {
                    return Err(io::Error::last_os_error());
                }
                libc::close(file);
                Ok(())
            });
        }
    }

    /// Whether the process is in this cgroup or in one below it.
    pub fn holds(&self, pid: i32) -> bool {
        let name = self
            .path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| is_in(&text, base(), name))
    }

    /// Move a process into it.
    pub fn bring_back(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// The processes that are in it now.
    pub fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Freeze everything in it and wait until that is done.
    pub fn freeze(&self, timeout: Duration) -> io::Result<()> {
        fs::write(self.path.join("cgroup.freeze"), "1")?;
        self.await_event("frozen 1", timeout)
    }

    /// Let everything in it run again.
    pub fn thaw(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.freeze"), "0")
    }

    /// Kill everything in it and wait until it is empty.
    pub fn kill(&self, timeout: Duration) -> io::Result<()> {
        if !kill_at_once(&self.path) {
            // AppArmor also checks a signal against the receiver's profile: if that grants none, it is denied, with a
            // record. So a process that ends by itself gets no signal.
            if self.await_event("populated 0", timeout.min(BY_ITSELF)).is_ok() {
                return Ok(());
            }
            signal_all(&self.path);
        }
        self.await_event("populated 0", timeout)
    }

    /// Wait until `cgroup.events` contains `what`. The kernel announces each change there.
    pub fn await_event(&self, what: &str, timeout: Duration) -> io::Result<()> {
        let path = self.path.join("cgroup.events");
        let deadline = Instant::now() + timeout;
        let file = fs::File::open(&path)?;
        loop {
            let mut text = String::new();
            io::Read::read_to_string(&mut fs::File::open(&path)?, &mut text)?;
            if text.lines().any(|line| line == what) {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("{}: not `{what}`", path.display()),
                ));
            }
            // Reading a separate descriptor once arms the notification.
            let mut armed = String::new();
            io::Read::read_to_string(&mut &file, &mut armed)?;
            io::Seek::rewind(&mut &file)?;
            if armed.lines().any(|line| line == what) {
                return Ok(());
            }
            let mut waiting = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
            until_ready(&mut waiting, Some(deadline))?;
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.kill(Duration::from_secs(5));
        let _ = fs::remove_dir(&self.path);
    }
}

/// Whether a process with this `/proc/PID/cgroup` text is in our folder `name`, or below it.
fn is_in(text: &str, base: &str, name: &str) -> bool {
    text.lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .filter_map(|path| path.strip_prefix('/')?.strip_prefix(base)?.strip_prefix('/'))
        .any(|path| path.split('/').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::{LOCAL, OWNED, is_in};

    #[test]
    fn a_process_is_in_the_folder_of_its_subject_or_below_it() {
        assert!(is_in("0::/virt-aa-conform/d\n", OWNED, "d"));
        assert!(is_in("0::/virt-aa-conform/d/machine\n", OWNED, "d"));
        assert!(!is_in("0::/virt-aa-conform/dd\n", OWNED, "d"));
        assert!(!is_in("0::/init.scope\n", OWNED, "d"));
        assert!(!is_in("0::/virt-aa-conform-local/d\n", OWNED, "d"));
        assert!(is_in("0::/virt-aa-conform-local/d\n", LOCAL, "d"));
    }
}
