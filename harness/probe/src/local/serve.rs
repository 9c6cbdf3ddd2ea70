//! The agent on a machine that we do not own, from its start until everything is undone.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wait::until_ready;
use nix::mount::{MntFlags, umount2};
use nix::poll::{PollFd, PollFlags};
use nix::sched::{CloneFlags, unshare};
use serde::{Deserialize, Serialize};

use super::engine::{Container, Engine, Remains};
use super::holder::Holder;
use super::undo::{Journal, RepairError, Undo, unfit};
use super::{loops, modules, mounts, tool};
use crate::cgroup::{self, Cgroup};
use crate::init;
use crate::policy::Kernel;
use crate::subject;
use crate::subject_env::{self, SubjectEnv};

/// First argument that starts the program as such an agent. The descriptor number of its stream and its [`Plan`] as
/// JSON follow.
pub const LOCAL: &str = "agent-local";

/// What the agent writes to its stream when it is ready, before any protocol message.
pub const READY_LINE: &str = init::READY_LINE;

const MOUNT: Duration = Duration::from_secs(60);

/// What an agent on a machine that we do not own does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the policy namespace, and of the container if there is one.
    pub namespace: String,
    /// Where subjects live.
    pub sandbox: Sandbox,
}

/// Where subjects live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sandbox {
    /// In namespaces made from the host's.
    Host,
    /// In a container.
    Container {
        /// The container engine.
        engine: Engine,
        /// Its root file system: ext4 in a raw file that stays unchanged.
        disk: PathBuf,
    },
}

/// Changes that the agent may make to the host, and how they are undone.
pub struct Local {
    journal: Mutex<Journal>,
}

impl Local {
    /// Load kernel modules. Those that were not loaded before are unloaded at the end.
    pub fn load_modules(&self, names: &[String]) -> io::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            for module in modules::missing(name) {
                journal.note(Undo::Module(module))?;
            }
            modules::load(name);
        }
        Ok(())
    }

    fn note(&self, undo: Undo) -> io::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.note(undo)
    }

    fn dir(&self) -> PathBuf {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.dir().to_path_buf()
    }
}

/// The holder of the subjects' namespaces.
enum Held {
    Host(Holder),
    Container(Container),
}

impl Held {
    fn holder(&self) -> &Holder {
        match self {
            Held::Host(holder) => holder,
            Held::Container(container) => &container.holder,
        }
    }
}

/// Serves the agent's requests on a machine that we do not own: on a stream, in an environment, with its policy.
pub type Agent = fn(&mut UnixStream, &SubjectEnv, Kernel, &Local) -> io::Result<()>;

/// Runs `agent` as the arguments say until the harness is gone, then undoes its changes.
pub fn main(agent: Agent) -> ExitCode {
    let mut arguments = std::env::args().skip(2);
    let stream = arguments.next().and_then(|text| text.parse::<RawFd>().ok());
    let plan = arguments.next().and_then(|text| serde_json::from_str(&text).ok());
    let (Some(stream), Some(plan)) = (stream, plan) else {
        eprintln!("{LOCAL} is started by the harness, with a descriptor and a plan");
        return ExitCode::from(2);
    };
    // SAFETY: the harness opened it for this process, and nothing else here uses it.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(stream) });
    match run(stream, &plan, agent) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(stream: UnixStream, plan: &Plan, agent: Agent) -> io::Result<()> {
    suits()?;
    cgroup::use_local_hierarchy();
    let (journal, repaired) = Journal::open().map_err(io::Error::other)?;
    for line in repaired {
        eprintln!("left by an earlier run: {line}");
    }
    let local = Local {
        journal: Mutex::new(journal),
    };
    let served = serve(stream, plan, &local, agent);
    let mut journal = local.journal.lock().unwrap_or_else(PoisonError::into_inner);
    let undone = journal.undo().map(drop).map_err(|error: RepairError| {
        io::Error::other(format!(
            "{error}; `virt-aa-conform doctor --repair` tries it again"
        ))
    });
    served.and(undone)
}

/// Reports what cannot work before anything is created.
fn suits() -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(io::Error::other("this backend needs root"));
    }
    unfit().map_or(Ok(()), |why| Err(io::Error::other(why)))
}

fn serve(mut stream: UnixStream, plan: &Plan, local: &Local, agent: Agent) -> io::Result<()> {
    watch(&stream)?;
    local.note(Undo::Cgroups)?;
    let cgroup = Cgroup::make("holder")?;
    local.note(Undo::Namespace(plan.namespace.clone()))?;
    subject_env::make_namespace(&plan.namespace)?;
    // Dropped after the container that is made from it.
    let stage;
    let held = match &plan.sandbox {
        Sandbox::Host => Held::Host(Holder::on_the_host(&cgroup)?),
        Sandbox::Container { engine, disk } => {
            stage = Stage::of(disk, local)?;
            if let Some(remains) = Remains::of(*engine, &plan.namespace) {
                local.note(Undo::Container(remains))?;
            }
            let container = Container::start(*engine, &plan.namespace, &stage.root(), &local.dir(), &cgroup)?;
            Held::Container(container)
        }
    };
    let holder = held.holder();
    if !holder.is_apart()? {
        return Err(io::Error::other(
            "the namespaces of subjects are not apart from the host's, or of another user namespace",
        ));
    }
    let place = SubjectEnv::inside(holder.pid, &plan.namespace)?;
    local.note(Undo::Loops(place.within(loops::devices)?))?;
    share_cgroups(&place)?;
    up(&place)?;
    subject::install_program(&place)?;
    io::Write::write_all(&mut stream, READY_LINE.as_bytes())?;
    let kernel = Kernel::of_namespace(&subject_env::namespace_dir(&plan.namespace));
    agent(&mut stream, &place, kernel, local)
}

/// When the harness is gone, kills all processes of the case, since nobody needs its result.
fn watch(stream: &UnixStream) -> io::Result<()> {
    let stream = stream.try_clone()?;
    thread::Builder::new().name("watch".into()).spawn(move || {
        let mut waiting = [PollFd::new(stream.as_fd(), PollFlags::empty())];
        // If the wait fails, the harness counts as gone.
        let _ = until_ready(&mut waiting, None);
        cgroup::kill_all();
    })?;
    Ok(())
}

/// The root file system of a container: the disk below a layer that takes all changes, in the agent's mount namespace.
struct Stage {
    dir: PathBuf,
    /// The run's folder. Engines make mounts in it too.
    run: PathBuf,
}

impl Stage {
    fn of(disk: &Path, local: &Local) -> io::Result<Stage> {
        local.load_modules(&["loop".into(), "ext4".into(), "overlay".into()])?;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mounts::keep_to_ourselves()?;
        let dir = local.dir().join("root");
        fs::create_dir_all(&dir)?;
        mounts::tmpfs(&dir)?;
        // From here on an error unmounts it.
        let stage = Stage {
            dir,
            run: local.dir(),
        };
        let (ground, root) = (stage.dir.join("ground"), stage.root());
        fs::create_dir_all(&ground)?;
        fs::create_dir_all(&root)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let (disk, there) = (text(disk), text(&ground));
        tool::run("mount", &["-t", "ext4", "-o", "loop,ro", &disk, &there], MOUNT)?;
        mounts::layer(&ground, &root, &stage.dir.join("layer"))?;
        Ok(stage)
    }

    fn root(&self) -> PathBuf {
        self.dir.join("merged")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for point in mounts::below(&self.run).into_iter().rev() {
            // A leftover mount ends with the namespace, and that ends with this process.
            let _ = umount2(&point, MntFlags::MNT_DETACH);
        }
    }
}

/// Binds the host's control groups at their usual path. A new mount would change their options.
fn share_cgroups(place: &SubjectEnv) -> io::Result<()> {
    const OPEN_TREE_CLONE: libc::c_uint = 1;
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
    let mount = c"/sys/fs/cgroup";
    // SAFETY: plain system calls on names that outlive them. The descriptor is checked before use.
    let tree = unsafe {
        let fd = libc::syscall(
            libc::SYS_open_tree,
            libc::AT_FDCWD,
            mount.as_ptr(),
            OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned(),
        );
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(io::Error::other)?)
    };
    place.within(move || {
        fs::create_dir_all("/sys/fs/cgroup")?;
        // SAFETY: as above.
        let moved = unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                tree.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                mount.as_ptr(),
                MOVE_MOUNT_F_EMPTY_PATH,
            )
        };
        if moved < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    })
}

/// Brings up the network namespace's loopback interface.
fn up(place: &SubjectEnv) -> io::Result<()> {
    place.within_network(|| init::loopback_up().map_err(|error| io::Error::other(error.to_string())))
}
