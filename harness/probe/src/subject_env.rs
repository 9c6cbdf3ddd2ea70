//! Where subjects live: in the agent's namespaces if we own the machine, or in separate namespaces on a host whose
//! policy, files and network we must not change.
//!
//! The agent itself always stays outside: the kernel gives no audit records to a process in a pid or user namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::{acts, pidfd, process};

/// Namespaces that a subject shares with the holder but not with the agent. It enters its pid namespace at its start.
const ENTERED: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWIPC);

/// Where subjects live.
pub struct SubjectEnv(Option<Inside>);

/// Namespaces other than the agent's.
struct Inside {
    /// The process that holds the namespaces.
    holder: OwnedFd,
    /// The agent's pid namespace, to return to.
    own_pids: File,
    /// The policy namespace, a child of the agent's.
    namespace: String,
}

impl SubjectEnv {
    /// The agent's own namespaces.
    pub fn here() -> SubjectEnv {
        SubjectEnv(None)
    }

    /// The namespaces of the process `holder`, and the policy namespace `namespace`.
    pub fn inside(holder: i32, namespace: &str) -> io::Result<SubjectEnv> {
        Ok(SubjectEnv(Some(Inside {
            holder: pidfd::open(holder)?,
            own_pids: File::open("/proc/self/ns/pid")?,
            namespace: namespace.into(),
        })))
    }

    /// The full name of a label, as the agent must give it; `None` if there is no label to enter.
    pub fn label(&self, label: Option<&str>) -> Option<String> {
        match &self.0 {
            None => label.map(str::to_string),
            Some(inside) => Some(format!(":{}:{}", inside.namespace, label.unwrap_or("unconfined"))),
        }
    }

    /// Translates a label that the agent reads into its name in the policy namespace. A label of another namespace
    /// stays as it is, so that it is not mistaken for one of ours.
    pub fn inner_label(&self, label: &str) -> String {
        match &self.0 {
            None => label.to_string(),
            Some(inside) => inner_label(label, &inside.namespace),
        }
    }

    /// Make a command start in these namespaces, and in the given label if there is one.
    pub fn enter_in(&self, command: &mut Command, label: Option<String>) {
        let Some(inside) = &self.0 else { return };
        let holder = inside.holder.as_raw_fd();
        // SAFETY: plain system calls between fork and exec, except for the few bytes allocated to change the label. The
        // child has one thread, and the descriptor lives as long as the environment.
        unsafe {
            command.pre_exec(move || {
                let holder = std::os::fd::BorrowedFd::borrow_raw(holder);
                setns(holder, ENTERED)?;
                if let Some(label) = &label {
                    acts::change_profile(label).map_err(|failure| failure.error())?;
                }
                Ok(())
            });
        }
    }

    /// Start a command that [`SubjectEnv::enter_in`] has prepared.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let Some(inside) = &self.0 else {
            return command.spawn();
        };
        // Applies only to children of this thread, and only until it is set back.
        setns(&inside.holder, CloneFlags::CLONE_NEWPID)?;
        let child = command.spawn();
        setns(&inside.own_pids, CloneFlags::CLONE_NEWPID)?;
        child
    }

    /// Run `work` in the subjects' mount namespace, where paths and links are those that a subject sees.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.by_a_thread(CloneFlags::CLONE_NEWNS, work)
    }

    /// Run `work` in the subjects' network namespace.
    pub fn within_network<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.by_a_thread(CloneFlags::CLONE_NEWNET, work)
    }

    fn by_a_thread<T: Send>(
        &self,
        entered: CloneFlags,
        work: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let Some(inside) = &self.0 else { return work() };
        let holder = &inside.holder;
        thread::scope(|scope| {
            let worker = thread::Builder::new()
                .name("within".into())
                .spawn_scoped(scope, move || {
                    // Only a thread that shares its root with no other thread may enter a mount namespace.
                    unshare(CloneFlags::CLONE_FS)?;
                    setns(holder, entered)?;
                    work()
                })?;
            worker
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the work inside the place panicked")))
        })
    }

    /// The process's id in the subjects' pid namespace.
    pub fn inner_pid(&self, pid: i32) -> io::Result<i32> {
        match &self.0 {
            None => Ok(pid),
            Some(_) => {
                process::innermost_pid(pid).ok_or_else(|| io::Error::other(format!("process {pid} is gone")))
            }
        }
    }

    /// The agent's id of a child of `parent` whose id in the subjects' pid namespace is `pid`. The child may be a
    /// zombie, but must not be reaped.
    pub fn outer_pid(&self, parent: i32, pid: i32) -> io::Result<i32> {
        match &self.0 {
            None => Ok(pid),
            Some(_) => process::children(parent)
                .into_iter()
                .find(|child| process::innermost_pid(*child) == Some(pid))
                .ok_or_else(|| io::Error::other(format!("no child of {parent} calls itself {pid}"))),
        }
    }
}

fn inner_label(label: &str, namespace: &str) -> String {
    let own = label
        .strip_prefix(':')
        .and_then(|rest| rest.strip_prefix(namespace))
        .and_then(|rest| rest.strip_prefix(':'));
    match own {
        Some(rest) => rest.strip_prefix("//").unwrap_or(rest).to_string(),
        None => label.to_string(),
    }
}

/// The folder of a policy namespace below the agent's own.
pub fn namespace_dir(name: &str) -> PathBuf {
    Path::new(crate::policy::APPARMORFS)
        .join("policy/namespaces")
        .join(name)
}

/// Make a policy namespace.
pub fn make_namespace(name: &str) -> io::Result<()> {
    fs::create_dir(namespace_dir(name))
}

/// Remove a policy namespace with its profiles. It may already be gone.
pub fn remove_namespace(name: &str) -> io::Result<()> {
    match fs::remove_dir(namespace_dir(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_called_by_its_own_name_only_in_its_own_namespace() {
        assert_eq!(inner_label(":ours://libvirtd", "ours"), "libvirtd");
        assert_eq!(inner_label(":ours:libvirtd//child", "ours"), "libvirtd//child");
        assert_eq!(inner_label(":ours2://libvirtd", "ours"), ":ours2://libvirtd");
        assert_eq!(inner_label("libvirtd", "ours"), "libvirtd");
    }

    #[test]
    fn the_agents_own_world_needs_no_entering() {
        let here = SubjectEnv::here();
        assert_eq!(here.label(Some("p")).as_deref(), Some("p"));
        assert_eq!(here.label(None), None);
        assert_eq!(here.inner_pid(7).unwrap(), 7);
        assert_eq!(here.within(|| Ok(1)).unwrap(), 1);
    }
}
