//! The agent's side of a subject: start it, look at it from outside, tell it what to do, end it.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::cgroup::Cgroup;
use crate::place::Place;
use crate::process;
use crate::protocol::{Act, Daemon, Outcome, SubjectFacts, SubjectPlan, receive, send};
use crate::ready;
use crate::users::{self, User};
use crate::worker::{Order, Reply, SUBJECT};

/// Where the agent puts its own program in the machine.
pub const PROGRAM: &str = "/run/virt-aa-conform/agent";

/// Entering a label and reporting so.
const ENTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Ending what is left of a subject.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// A subject's process, in a cgroup of its own.
pub struct Subject {
    child: Child,
    /// Orders and replies; a daemon has none.
    pipes: Option<(ChildStdin, ChildStdout)>,
    // Dropped last: it kills what is left.
    cgroup: Cgroup,
    facts: SubjectFacts,
}

impl Subject {
    /// Start a subject and wait at the barrier: its label is entered, nothing else is done.
    pub fn start(name: &str, plan: &SubjectPlan, place: &Place) -> io::Result<Subject> {
        let cgroup = Cgroup::make(name)?;
        let user = match &plan.user {
            Some(user) => Some(place.within(|| users::find(user))?),
            None => None,
        };
        match &plan.program {
            Some(daemon) => Subject::attach(cgroup, daemon, plan, user, place),
            None => Subject::enter(cgroup, plan, user, place),
        }
    }

    fn enter(cgroup: Cgroup, plan: &SubjectPlan, user: Option<User>, place: &Place) -> io::Result<Subject> {
        let mut command = Command::new(PROGRAM);
        command
            .arg(SUBJECT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(null(place)?);
        prepare(&mut command, &cgroup, plan, user, place, None);
        let mut child = place.spawn(&mut command)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let mut subject = Subject::new(child, pipes, cgroup);
        let label = place.label(plan.label.as_deref());
        match subject.order(&Order::Enter(label), ENTER_TIMEOUT)? {
            Some(Reply::Ready) => subject.look(place),
            Some(Reply::Failed(reason)) => Err(io::Error::other(reason)),
            other => Err(io::Error::other(format!(
                "the subject answered {other:?} when it should enter its label"
            ))),
        }
    }

    fn attach(
        cgroup: Cgroup,
        daemon: &Daemon,
        plan: &SubjectPlan,
        user: Option<User>,
        place: &Place,
    ) -> io::Result<Subject> {
        let (program, arguments) = daemon
            .argv
            .split_first()
            .ok_or_else(|| io::Error::other("a daemon without a program"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", crate::acts::DEFAULT_PATH);
        command
            .stdin(null(place)?)
            .stdout(null(place)?)
            .stderr(null(place)?);
        prepare(&mut command, &cgroup, plan, user, place, place.label(None));
        let mut subject = Subject::new(place.spawn(&mut command)?, None, cgroup);
        let deadline = Instant::now() + Duration::from_millis(daemon.timeout_ms);
        let child = &mut subject.child;
        place.within(|| ready::wait_for(Path::new(&daemon.ready), child, deadline))?;
        subject.look(place)
    }

    fn new(child: Child, pipes: Option<(ChildStdin, ChildStdout)>, cgroup: Cgroup) -> Subject {
        let pid = child.id().cast_signed();
        let credentials = crate::protocol::Credentials {
            uid: u32::MAX,
            gid: u32::MAX,
            groups: Vec::new(),
            cap_eff: String::new(),
            no_new_privs: false,
            seccomp: u32::MAX,
            memlock: (None, None),
        };
        let facts = SubjectFacts {
            pid,
            pids: vec![pid],
            label: String::new(),
            mode: String::new(),
            exe: String::new(),
            credentials,
            quiesced: false,
        };
        Subject {
            child,
            pipes,
            cgroup,
            facts,
        }
    }

    /// Evidence: who the subject is, read from outside.
    fn look(mut self, place: &Place) -> io::Result<Subject> {
        let pid = self.facts.pid;
        let (label, mode) = process::label(pid)?;
        (self.facts.label, self.facts.mode) = (place.inner_label(&label), mode);
        self.facts.exe = process::exe(pid);
        self.facts.credentials = process::credentials(pid)?;
        Ok(self)
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        self.facts.pid
    }

    /// Perform an act; when time runs out, everything of the subject is killed.
    pub fn act(&mut self, act: &Act, timeout: Duration, place: &Place) -> Outcome {
        match self.order(&Order::Act(act.clone()), timeout) {
            Ok(Some(Reply::Outcome(mut outcome))) => {
                if let Outcome::Ran(ran) = &mut outcome {
                    match place.outer_pid(self.facts.pid, ran.pid) {
                        Ok(pid) => ran.pid = pid,
                        Err(error) => {
                            return Outcome::Broken {
                                reason: format!("the program's process was not found: {error}"),
                            };
                        }
                    }
                    self.facts.pids.push(ran.pid);
                }
                self.note_pids();
                outcome
            }
            Ok(None) => {
                self.note_pids();
                let _ = self.cgroup.kill(END_TIMEOUT);
                Outcome::TimedOut
            }
            Ok(Some(other)) => Outcome::NoSubject {
                reason: format!("the subject answered {other:?}"),
            },
            Err(error) => Outcome::NoSubject {
                reason: format!("the subject's process is gone: {error}"),
            },
        }
    }

    /// Give an order; `None` if the reply does not come in time.
    pub fn order(&mut self, order: &Order, timeout: Duration) -> io::Result<Option<Reply>> {
        let (orders, replies) = self
            .pipes
            .as_mut()
            .ok_or_else(|| io::Error::other("a daemon takes no orders; use a step by the agent"))?;
        send(orders, order)?;
        let mut waiting = [PollFd::new(replies.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        if poll(&mut waiting, timeout)? == 0 {
            return Ok(None);
        }
        receive(replies).map(Some)
    }

    fn note_pids(&mut self) {
        for pid in self.cgroup.pids() {
            if !self.facts.pids.contains(&pid) {
                self.facts.pids.push(pid);
            }
        }
    }

    /// Make sure that no more records can come: a daemon is frozen, any other is ended and reaped.
    pub fn quiesce(&mut self) {
        self.note_pids();
        self.facts.quiesced = if self.pipes.is_none() {
            self.cgroup.freeze(END_TIMEOUT).is_ok()
        } else {
            self.pipes = None;
            self.cgroup.kill(END_TIMEOUT).is_ok() && self.child.wait().is_ok()
        };
    }

    /// What was seen of it.
    pub fn facts(&self) -> SubjectFacts {
        self.facts.clone()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // The end of its orders ends a process that waits for one, also where its profile lets no signal in.
        self.pipes = None;
        if self.cgroup.kill(END_TIMEOUT).is_ok() {
            let _ = self.child.wait();
        }
    }
}

/// Opened there: a descriptor of elsewhere has no name that a profile could allow.
fn null(place: &Place) -> io::Result<fs::File> {
    place.within(|| fs::File::options().read(true).write(true).open("/dev/null"))
}

fn prepare(
    command: &mut Command,
    cgroup: &Cgroup,
    plan: &SubjectPlan,
    user: Option<User>,
    place: &Place,
    label: Option<String>,
) {
    command.current_dir("/");
    cgroup.spawn_in(command);
    place.enter_in(command, label);
    let memlock = plan.memlock;
    // SAFETY: only plain system calls between fork and exec; the user's groups were read before.
    unsafe {
        command.pre_exec(move || {
            // A session of its own: no signal of the agent's terminal reaches it.
            libc::setsid();
            if let Some((soft, hard)) = memlock {
                let limit = libc::rlimit {
                    rlim_cur: soft,
                    rlim_max: hard,
                };
                if libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            if let Some(user) = &user {
                user.become_it()?;
            }
            Ok(())
        });
    }
}

/// Put the program where subjects can be started from it, also when it came from an initramfs that is gone.
pub fn install_program(place: &Place) -> io::Result<()> {
    let mut own = fs::File::open("/proc/self/exe")?;
    place.within(move || {
        if let Some(dir) = Path::new(PROGRAM).parent() {
            fs::create_dir_all(dir)?;
        }
        // Never written into one that runs.
        let new = format!("{PROGRAM}.new");
        io::copy(&mut own, &mut fs::File::create(&new)?)?;
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::rename(&new, PROGRAM)
    })
}
