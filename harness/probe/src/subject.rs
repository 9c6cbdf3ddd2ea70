//! The agent's side of a subject: it starts it, inspects it from outside, sends it orders and ends it.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cgroup::Cgroup;
use crate::last_words::LastWords;
use crate::pidfd;
use crate::process;
use crate::process_watch::ProcessWatch;
use crate::protocol::{Act, Daemon, Escaped, Identity, Outcome, SubjectFacts, SubjectPlan, receive, send};
use crate::ready;
use crate::subject_env::SubjectEnv;
use crate::timed::Timed;
use crate::users::{self, User};
use crate::worker::{Order, Reply, SUBJECT};

/// Where the agent installs its program in the machine.
pub const PROGRAM: &str = "/run/virt-aa-conform/agent";

/// Timeout for entering a label and reporting it.
const ENTER_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout for ending what is left of a subject.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the last messages of a daemon that has failed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How often to look for processes outside the subject's control group.
const ROUNDS: usize = 10;

/// A subject's process, in a cgroup of its own.
pub struct Subject {
    child: Child,
    /// Orders and replies; `None` for a daemon.
    pipes: Option<(ChildStdin, ChildStdout)>,
    // Dropped last: it kills the remaining processes.
    cgroup: Cgroup,
    facts: SubjectFacts,
}

impl Subject {
    /// Start a subject up to the barrier: it has entered its label and done nothing else.
    pub fn start(
        name: &str,
        plan: &SubjectPlan,
        place: &SubjectEnv,
        watch: &ProcessWatch,
    ) -> io::Result<Subject> {
        let cgroup = Cgroup::make(name)?;
        let user = match &plan.user {
            Some(user) => Some(place.within(|| users::find(user))?),
            None => None,
        };
        match &plan.program {
            Some(daemon) => Subject::attach(name, cgroup, daemon, plan, user, (place, watch)),
            None => Subject::enter(name, cgroup, plan, user, (place, watch)),
        }
    }

    fn enter(
        name: &str,
        cgroup: Cgroup,
        plan: &SubjectPlan,
        user: Option<User>,
        (place, watch): (&SubjectEnv, &ProcessWatch),
    ) -> io::Result<Subject> {
        let mut command = Command::new(PROGRAM);
        command
            .arg(SUBJECT)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(null(place)?);
        let should_be = should_be(user.as_ref())?;
        prepare(&mut command, &cgroup, plan, user, place, None);
        let mut child = place.spawn(&mut command)?;
        watch.claim(child.id().cast_signed(), name);
        let pipes = child.stdin.take().zip(child.stdout.take());
        let mut subject = Subject::new(child, pipes, cgroup, should_be);
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
        name: &str,
        cgroup: Cgroup,
        daemon: &Daemon,
        plan: &SubjectPlan,
        user: Option<User>,
        (place, watch): (&SubjectEnv, &ProcessWatch),
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
            .stderr(Stdio::piped());
        let should_be = should_be(user.as_ref())?;
        // What an earlier daemon left there does not show that this one is ready.
        place.within(|| match fs::remove_file(&daemon.ready) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })?;
        prepare(&mut command, &cgroup, plan, user, place, place.label(None));
        let mut child = place.spawn(&mut command)?;
        let words = child.stderr.take().map(LastWords::of);
        watch.claim(child.id().cast_signed(), name);
        let mut subject = Subject::new(child, None, cgroup, should_be);
        let deadline = Instant::now() + Duration::from_millis(daemon.timeout_ms);
        let child = &mut subject.child;
        let ready = place.within(|| ready::wait_for(Path::new(&daemon.ready), child, deadline));
        if let Err(error) = ready {
            let seen = waits(watch.living(name));
            let said = words.map(|words| words.take(LAST_WORDS)).unwrap_or_default();
            return Err(io::Error::new(error.kind(), format!("{error}{seen}{said}")));
        }
        subject.look(place)
    }

    fn new(
        child: Child,
        pipes: Option<(ChildStdin, ChildStdout)>,
        cgroup: Cgroup,
        should_be: Identity,
    ) -> Subject {
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
            should_be,
            pid,
            pids: vec![pid],
            started: Vec::new(),
            label: String::new(),
            mode: String::new(),
            exe: String::new(),
            credentials,
            quiesced: false,
            started_before: false,
        };
        Subject {
            child,
            pipes,
            cgroup,
            facts,
        }
    }

    /// Records the subject's identity as evidence, read from outside.
    fn look(mut self, place: &SubjectEnv) -> io::Result<Subject> {
        let pid = self.facts.pid;
        let (label, mode) = process::label(pid)?;
        (self.facts.label, self.facts.mode) = (place.inner_label(&label), mode);
        self.facts.exe = process::exe(pid);
        self.facts.credentials = process::credentials(pid)?;
        Ok(self)
    }

    /// Lets a daemon that is at rest run again.
    pub fn go_on(&self) -> io::Result<()> {
        self.cgroup.thaw()
    }

    /// Takes up a daemon that has been running since an earlier case, as if it had just become ready.
    pub fn look_again(mut self, place: &SubjectEnv) -> io::Result<Subject> {
        let ended = |how: String| Err(io::Error::other(format!("it ended ({how}) before its case")));
        if let Some(status) = self.child.try_wait()? {
            return ended(status.to_string());
        }
        self.facts.pids = vec![self.facts.pid];
        self.facts.started = Vec::new();
        self.facts.quiesced = false;
        self.facts.started_before = true;
        self.note_pids();
        let subject = self.look(place)?;
        // A program of many threads has no status before the last of them has ended.
        if !process::is_running(subject.facts.pid) || subject.facts.exe.is_empty() {
            return ended("its first thread is gone".into());
        }
        Ok(subject)
    }

    /// Ends it with all that it has started, wherever that has gone.
    pub fn end(self, name: &str, watch: &ProcessWatch, place: &SubjectEnv) {
        self.bring_back(name, watch, place);
    }

    /// Its label when it was last looked at.
    pub fn label(&self) -> &str {
        &self.facts.label
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.facts.pid
    }

    /// Have the subject perform an act. At the timeout, all of its processes are killed.
    pub fn act(&mut self, act: &Act, timeout: Duration, place: &SubjectEnv) -> Outcome {
        match self.order(&Order::Act(act.clone()), timeout) {
            Ok(Some(Reply::Outcome(mut outcome))) => {
                // The subject itself asks a guest; no program is started.
                if let (Outcome::Ran(ran), false) = (&mut outcome, matches!(act, Act::Ask(_))) {
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

    /// Send an order; `None` if the reply does not come in time.
    pub fn order(&mut self, order: &Order, timeout: Duration) -> io::Result<Option<Reply>> {
        let (orders, replies) = self
            .pipes
            .as_mut()
            .ok_or_else(|| io::Error::other("a daemon takes no orders; use a step by the agent"))?;
        let deadline = Instant::now() + timeout;
        // A stopped process reads nothing, or stops in the middle of its reply.
        let reply = send(&mut Timed::new(orders, deadline)?, order)
            .and_then(|()| receive(&mut Timed::new(replies, deadline)?));
        match reply {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(None),
            other => other.map(Some),
        }
    }

    fn note_pids(&mut self) {
        for pid in self.cgroup.pids() {
            if !self.facts.pids.contains(&pid) {
                self.facts.pids.push(pid);
            }
        }
    }

    /// Record its running descendants; `living` are its processes.
    pub fn look_at(&mut self, living: &[i32], place: &SubjectEnv) {
        let others = living.iter().filter(|pid| **pid != self.facts.pid);
        for mut process in others.filter_map(|pid| process::facts(*pid)) {
            process.label = place.inner_label(&process.label);
            if !self.facts.started.contains(&process) {
                self.facts.started.push(process);
            }
        }
    }

    /// Make sure that no more records can come: a daemon is frozen, any other subject is ended and reaped. Processes
    /// that left its control group are moved back first and returned.
    pub fn quiesce(&mut self, name: &str, watch: &ProcessWatch, place: &SubjectEnv) -> Vec<Escaped> {
        let is_daemon = self.pipes.is_none();
        self.note_pids();
        self.pipes = None;
        let mut escaped = Vec::new();
        let mut at_rest = false;
        // A process at rest starts nothing, so a few rounds find everything that was started meanwhile.
        for _ in 0..ROUNDS {
            let outside = self.bring_back(name, watch, place);
            at_rest = if is_daemon {
                self.cgroup.freeze(END_TIMEOUT).is_ok()
            } else {
                self.cgroup.kill(END_TIMEOUT).is_ok()
            };
            if outside.is_empty() {
                break;
            }
            at_rest = false;
            escaped.extend(outside);
        }
        let none_is_left = if is_daemon {
            watch.living(name).iter().all(|pid| self.cgroup.holds(*pid))
        } else {
            all_end(&watch.living(name)) && watch.living(name).is_empty()
        };
        self.facts.quiesced = at_rest && none_is_left && (is_daemon || self.child.try_wait().is_ok());
        escaped
    }

    /// Move every process that belongs to the subject into its control group.
    fn bring_back(&self, name: &str, watch: &ProcessWatch, place: &SubjectEnv) -> Vec<Escaped> {
        let living = watch.living(name).into_iter();
        let outside = living.filter(|pid| !self.cgroup.holds(*pid));
        outside
            .filter_map(|pid| {
                let mut process = process::facts(pid)?;
                process.label = place.inner_label(&process.label);
                Some(Escaped {
                    subject: name.into(),
                    process,
                    brought_back: self.cgroup.bring_back(pid).is_ok(),
                })
            })
            .collect()
    }

    /// The recorded facts.
    pub fn facts(&self) -> SubjectFacts {
        self.facts.clone()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Closing its orders ends a process that waits for one, even if its profile denies all signals.
        self.pipes = None;
        if self.cgroup.kill(END_TIMEOUT).is_ok() && all_end(&[self.facts.pid]) {
            let _ = self.child.wait();
        }
    }
}

fn should_be(user: Option<&User>) -> io::Result<Identity> {
    let own = process::own_identity()?;
    Ok(user.map_or_else(|| own.clone(), |user| user.identity(&own.cap_eff)))
}

/// Wait for killed processes to end. Their control group is empty shortly before the last of them has ended, since a
/// process leaves it early in its exit.
fn all_end(pids: &[i32]) -> bool {
    let deadline = Instant::now() + END_TIMEOUT;
    pids.iter()
        .all(|pid| matches!(pidfd::await_end(*pid, deadline), Ok(true)))
}

/// What processes were doing when the wait for them timed out: the system call or wait channel they slept in.
fn waits(pids: Vec<i32>) -> String {
    let waits: Vec<String> = pids.into_iter().take(8).filter_map(process::waits_in).collect();
    if waits.is_empty() {
        String::new()
    } else {
        format!("; it was then waiting: {}", waits.join(", "))
    }
}

/// `/dev/null`, opened in the subject's namespaces. A descriptor from elsewhere has no name that a profile could allow.
fn null(place: &SubjectEnv) -> io::Result<fs::File> {
    place.within(|| fs::File::options().read(true).write(true).open("/dev/null"))
}

fn prepare(
    command: &mut Command,
    cgroup: &Cgroup,
    plan: &SubjectPlan,
    user: Option<User>,
    place: &SubjectEnv,
    label: Option<String>,
) {
    command.current_dir("/");
    cgroup.spawn_in(command);
    place.enter_in(command, label);
    let memlock = plan.memlock;
    // SAFETY: only plain system calls between fork and exec; the user's groups were read before.
    unsafe {
        command.pre_exec(move || {
            // Its own session: signals of the agent's terminal do not reach it.
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
                user.switch_to()?;
            }
            Ok(())
        });
    }
}

/// Install the program where subjects can be started from it, even if it came from an initramfs that is gone.
pub fn install_program(place: &SubjectEnv) -> io::Result<()> {
    let mut own = fs::File::open("/proc/self/exe")?;
    place.within(move || {
        if let Some(dir) = Path::new(PROGRAM).parent() {
            fs::create_dir_all(dir)?;
        }
        // A running program's file is never written to.
        let new = format!("{PROGRAM}.new");
        io::copy(&mut own, &mut fs::File::create(&new)?)?;
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::rename(&new, PROGRAM)
    })
}
