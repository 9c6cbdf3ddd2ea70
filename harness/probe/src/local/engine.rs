//! Container engines. They run a container from a root file system, with our process as its first.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::wait::until_ready;
use nix::poll::{PollFd, PollFlags};
use serde::{Deserialize, Serialize};

use super::holder::{HOLDER, Holder};
use super::tool;
use crate::cgroup::Cgroup;
use crate::pidfd;

/// From the engine's start to the first message of the container's process. Docker imports a root file system in that
/// time.
const START: Duration = Duration::from_secs(300);
const SHORT: Duration = Duration::from_secs(60);
/// The folder that host and container share, as the container sees it.
const SHARED: &str = "/run/virt-aa-conform";
const SOCKET: &str = "holder.sock";
const PROGRAM: &str = "holder";
const LOG: &str = "engine.log";

/// A container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// podman(1).
    Podman,
    /// docker(1).
    Docker,
    /// systemd-nspawn(1).
    Nspawn,
}

impl Engine {
    /// All engines, in the order in which they are tried.
    pub const ALL: [Engine; 3] = [Engine::Podman, Engine::Docker, Engine::Nspawn];

    /// The name used on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Podman => "podman",
            Engine::Docker => "docker",
            Engine::Nspawn => "nspawn",
        }
    }

    /// The engine's program.
    pub fn program(self) -> &'static str {
        match self {
            Engine::Podman => "podman",
            Engine::Docker => "docker",
            Engine::Nspawn => "systemd-nspawn",
        }
    }

    /// The Debian package with that program.
    pub fn package(self) -> &'static str {
        match self {
            Engine::Podman => "podman",
            Engine::Docker => "docker.io",
            Engine::Nspawn => "systemd-container",
        }
    }
}

/// What Docker's daemon keeps. The other engines keep everything in our folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// The container's and the image's name.
    name: String,
}

impl Remains {
    /// What an engine keeps elsewhere of the container `name`.
    pub fn of(engine: Engine, name: &str) -> Option<Remains> {
        (engine == Engine::Docker).then(|| Remains { name: name.into() })
    }

    /// Remove it; returns whether there was anything.
    pub fn remove(&self) -> io::Result<bool> {
        tool::run("docker", &["rm", "--force", "--volumes", &self.name], SHORT)?;
        let image = tool::run("docker", &["images", "--quiet", &self.name], SHORT)?;
        if image.trim().is_empty() {
            return Ok(false);
        }
        tool::run("docker", &["rmi", "--force", &self.name], SHORT)?;
        Ok(true)
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Docker's container and image {}", self.name)
    }
}

/// A running container. Its first process ends with the agent, and the container ends with that process.
pub struct Container {
    /// Its first process.
    pub holder: Holder,
    engine: Child,
}

impl Container {
    /// Start a container. `dir` is a folder for the engine's files and the socket, `root` the root file system.
    pub fn start(
        engine: Engine,
        name: &str,
        root: &Path,
        dir: &Path,
        cgroup: &Cgroup,
    ) -> io::Result<Container> {
        let shared = dir.join("shared");
        fs::create_dir_all(&shared)?;
        let program = shared.join(PROGRAM);
        fs::copy("/proc/self/exe", &program)?;
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let listener = UnixListener::bind(shared.join(SOCKET))?;
        if engine == Engine::Docker {
            import(root, name)?;
        }
        let log = dir.join(LOG);
        let mut command = Command::new(engine.program());
        command
            .args(arguments(engine, name, root, dir))
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        cgroup.spawn_in(&mut command);
        let child = command.spawn().map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot start {}: {error}", engine.program()),
            )
        })?;
        // From here on an error ends it.
        let starting = Starting { child: Some(child) };
        let agent = starting.await_connection(&listener, engine, &log)?;
        let holder = Holder::of_container(agent)?;
        Ok(Container {
            holder,
            engine: starting.into_child()?,
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The engine ends with the container, which ended with its cgroups.
        let _ = self.engine.kill();
        let _ = self.engine.wait();
    }
}

struct Starting {
    child: Option<Child>,
}

impl Starting {
    fn await_connection(
        &self,
        listener: &UnixListener,
        engine: Engine,
        log: &Path,
    ) -> io::Result<std::os::unix::net::UnixStream> {
        let deadline = Instant::now() + START;
        let pid = self.child.as_ref().map_or(0, |child| child.id().cast_signed());
        let ended = pidfd::open(pid)?;
        let mut waiting = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(ended.as_fd(), PollFlags::POLLIN),
        ];
        let is_ready = until_ready(&mut waiting, Some(deadline))?;
        if is_ready && waiting[0].any().unwrap_or(false) {
            return Ok(listener.accept()?.0);
        }
        let said = fs::read_to_string(log).unwrap_or_default();
        let how = if is_ready {
            "ended before it started"
        } else {
            "did not start"
        };
        Err(io::Error::other(format!(
            "{} {how} the container: {}",
            engine.program(),
            said.trim()
        )))
    }

    fn into_child(mut self) -> io::Result<Child> {
        self.child.take().ok_or_else(|| io::Error::other("no engine"))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Imports the root file system as a tar archive, since Docker's daemon takes no folder.
fn import(root: &Path, name: &str) -> io::Result<()> {
    let mut tar = Command::new("tar")
        .args(["--create", "--numeric-owner", "--directory"])
        .arg(root)
        .arg(".")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let archive = tar.stdout.take().ok_or_else(|| io::Error::other("no archive"))?;
    let mut docker = Command::new("docker");
    docker
        .args(["import", "-", name])
        .stdin(archive)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let output = tool::output(&mut docker, START);
    let _ = tar.kill();
    let packed = tar.wait()?;
    let output = output?;
    if output.status.success() && packed.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "docker import: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}

/// The engine's arguments. They turn off its seccomp filter, its capability limits and its own profile, which would
/// refuse accesses without a record.
fn arguments(engine: Engine, name: &str, root: &Path, dir: &Path) -> Vec<String> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let in_dir = |file: &str| path(&dir.join(file));
    let shared = format!("{}:{SHARED}", in_dir("shared"));
    let payload = [
        format!("{SHARED}/{PROGRAM}"),
        HOLDER.into(),
        format!("{SHARED}/{SOCKET}"),
    ];
    let words: Vec<String> = match engine {
        Engine::Podman => vec![
            "--root".into(),
            in_dir("storage"),
            "--runroot".into(),
            in_dir("runroot"),
            "--tmpdir".into(),
            in_dir("tmp"),
            "--storage-driver=vfs".into(),
            "--cgroup-manager=cgroupfs".into(),
            "--events-backend=none".into(),
            "run".into(),
            "--rm".into(),
            "--privileged".into(),
            "--security-opt=apparmor=unconfined".into(),
            "--network=none".into(),
            "--cgroups=disabled".into(),
            "--systemd=false".into(),
            "--log-driver=none".into(),
            format!("--name={name}"),
            format!("--volume={shared}"),
            "--rootfs".into(),
            path(root),
        ],
        Engine::Docker => vec![
            "run".into(),
            "--rm".into(),
            "--privileged".into(),
            "--security-opt=apparmor=unconfined".into(),
            "--network=none".into(),
            "--cgroupns=host".into(),
            format!("--name={name}"),
            format!("--volume={shared}"),
            name.into(),
        ],
        Engine::Nspawn => vec![
            "--quiet".into(),
            format!("--directory={}", path(root)),
            format!("--machine={name}"),
            "--register=no".into(),
            "--keep-unit".into(),
            "--capability=all".into(),
            "--private-users=no".into(),
            "--private-network".into(),
            "--resolv-conf=off".into(),
            "--timezone=off".into(),
            "--link-journal=no".into(),
            "--console=pipe".into(),
            format!("--bind={shared}"),
            "--".into(),
        ],
    };
    words.into_iter().chain(payload).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_runs_our_program_and_lifts_its_own_limits() {
        for engine in Engine::ALL {
            let words = arguments(engine, "n", Path::new("/r"), Path::new("/d"));
            assert_eq!(words.last().unwrap(), "/run/virt-aa-conform/holder.sock");
            let lifted = ["--privileged", "--capability=all"];
            assert!(
                words.iter().any(|word| lifted.contains(&word.as_str())),
                "{words:?}"
            );
        }
    }
}
