//! Where subjects live: in the agent's own world, as in a machine that is all ours, or in namespaces beside it, as on a
//! host whose own policy, files and network are not ours to touch.
//!
//! The agent itself always stays outside: the kernel gives audit records to nobody in a pid or user namespace.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::{acts, pidfd, process};

/// What a subject shares with the holder but not with the agent; its pid namespace is entered at its start.
const ENTERED: CloneFlags = CloneFlags::CLONE_NEWNS
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWIPC);

/// Where subjects live.
pub struct SubjectEnv(Option<Inside>);

/// Namespaces beside the agent's own.
struct Inside {
    /// The process that holds them.
    holder: OwnedFd,
    /// The agent's own pid namespace, to come back to.
    own_pids: File,
    /// The policy namespace, a child of the agent's own.
    namespace: String,
}

impl SubjectEnv {
    /// The agent's own world.
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

    /// The full name of a label, as the agent must give it; `None` if nothing is to be entered.
    pub fn label(&self, label: Option<&str>) -> Option<String> {
        match &self.0 {
            None => label.map(str::to_string),
            Some(inside) => Some(format!(":{}:{}", inside.namespace, label.unwrap_or("unconfined"))),
        }
    }

    /// A label that the agent reads from outside, as it is called in the policy namespace. One of elsewhere stays as it
    /// is, so that nobody takes it for one of ours.
    pub fn inner_label(&self, label: &str) -> String {
        match &self.0 {
            None => label.to_string(),
            Some(inside) => inner_label(label, &inside.namespace),
        }
    }

    /// Have a command start there, from its first instruction on, in that label where one is named.
    pub fn enter_in(&self, command: &mut Command, label: Option<String>) {
        let Some(inside) = &self.0 else { return };
        let holder = inside.holder.as_raw_fd();
        // SAFETY: plain system calls between fork and exec, but for the few bytes that the label's change takes; there is
        // one thread in the child, and the descriptor lives as long as the place.
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
        // For the children of this thread alone, and only until it is set back.
        setns(&inside.holder, CloneFlags::CLONE_NEWPID)?;
        let child = command.spawn();
        setns(&inside.own_pids, CloneFlags::CLONE_NEWPID)?;
        child
    }

    /// Do something with the files of that place: paths, links included, are those that a subject sees.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.by_a_thread(CloneFlags::CLONE_NEWNS, work)
    }

    /// Do something with the network of that place.
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
                    // Only a thread that shares its root with no other may enter a mount namespace.
                    unshare(CloneFlags::CLONE_FS)?;
                    setns(holder, entered)?;
                    work()
                })?;
            worker
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the work inside the place panicked")))
        })
    }

    /// The number of a process, as it is called there.
    pub fn inner_pid(&self, pid: i32) -> io::Result<i32> {
        match &self.0 {
            None => Ok(pid),
            Some(_) => {
                process::innermost_pid(pid).ok_or_else(|| io::Error::other(format!("process {pid} is gone")))
            }
        }
    }

    /// The agent's number of a child of `parent` that calls itself `pid` there. It may be a zombie, but not reaped.
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

/// Where AppArmor's policy namespaces are, below the agent's own.
pub fn namespace_dir(name: &str) -> PathBuf {
    Path::new(crate::policy::APPARMORFS)
        .join("policy/namespaces")
        .join(name)
}

/// Make a policy namespace.
pub fn make_namespace(name: &str) -> io::Result<()> {
    fs::create_dir(namespace_dir(name))
}

/// Take a policy namespace away, with all that is loaded in it; one that is not there is gone already.
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
