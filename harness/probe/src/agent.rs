//! The agent, which serves the harness's requests over one stream.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::acts;
use crate::audit_socket::{self, AuditSocket};
use crate::canary::Canary;
use crate::case_run::{self, Bench};
use crate::fixture;
use crate::kept::Kept;
use crate::local::Local;
use crate::policy::{self, Kernel, Overlay};
use crate::process_watch::ProcessWatch;
use crate::protocol::{
    Act, CaseEvidence, CasePlan, MachineFacts, Outcome, PROTOCOL_VERSION, Request, Response, Sabotage,
    receive, send,
};
use crate::resume;
use crate::subject::{self, PROGRAM};
use crate::subject_env::SubjectEnv;
use crate::switches::Switches;

/// The names of the console terminals: a serial line, or Xen's in a dom0. `/dev/console` is the last one.
const CONSOLES: &str = "/sys/class/tty/console/active";

/// What the agent keeps between requests.
struct Agent<'a> {
    place: &'a SubjectEnv,
    kernel: Kernel,
    /// Changes to a machine that we do not own; `None` if we own it.
    local: Option<&'a Local>,
    audit: AuditSocket,
    switches: Switches,
    watch: ProcessWatch,
    canary: Option<Canary>,
    overlay: Overlay,
    kept: Kept,
    sabotage: Sabotage,
}

/// Serve in a machine that we own, until the harness says `shutdown` or goes away.
pub fn serve(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let here = SubjectEnv::here();
    subject::install_program(&here)?;
    serve_at(stream, &here, Kernel::own(), None)
}

/// Serve on a machine that we do not own.
pub(crate) fn serve_locally(
    stream: &mut UnixStream,
    place: &SubjectEnv,
    kernel: Kernel,
    local: &Local,
) -> io::Result<()> {
    serve_at(stream, place, kernel, Some(local))
}

/// Serve with subjects in `place`, under its policy. The program is already installed there.
fn serve_at(
    stream: &mut (impl Read + Write),
    place: &SubjectEnv,
    kernel: Kernel,
    local: Option<&Local>,
) -> io::Result<()> {
    let mut agent = Agent {
        place,
        kernel,
        local,
        audit: audit_socket(local)?,
        switches: Switches::watch(),
        watch: ProcessWatch::start(),
        canary: None,
        overlay: Overlay::default(),
        kept: Kept::default(),
        sabotage: Sabotage::None,
    };
    send(
        stream,
        &Response::Hello {
            protocol: PROTOCOL_VERSION,
            uptime: uptime(),
        },
    )?;
    loop {
        let request = match receive::<Request>(stream) {
            Ok(Request::Shutdown) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let response = agent.answer(request).unwrap_or_else(|error| Response::Failed {
            message: error.to_string(),
        });
        send(stream, &response)?;
    }
}

fn audit_socket(local: Option<&Local>) -> io::Result<AuditSocket> {
    match local {
        None => AuditSocket::open().map_err(|error| {
            let what = "the kernel's audit system cannot be used; is it off, by audit=0";
            io::Error::new(error.kind(), format!("{what}? {error}"))
        }),
        Some(_) => AuditSocket::listen(),
    }
}

impl Agent<'_> {
    fn answer(&mut self, request: Request) -> io::Result<Response> {
        Ok(match request {
            Request::Facts => Response::Facts(facts()?),
            Request::Resume { now, seed } => {
                if self.local.is_some() {
                    return Err(io::Error::other("only a machine of its own is restored"));
                }
                resume::set_clock(now)?;
                resume::seed_random(&seed)?;
                self.audit.take(&self.watch);
                Response::Facts(facts()?)
            }
            Request::Features => Response::Features {
                text: policy::features()?,
            },
            Request::LoadPolicy { files, policies } => {
                // The canary's profile is removed too, and its process would become unconfined.
                self.canary = None;
                let overlay = &mut self.overlay;
                self.place.within(|| overlay.apply(&files))?;
                policy::load_only(&self.kernel, &policies, &self.kept.profiles())?;
                Response::Policy(policy::state(&self.kernel)?)
            }
            Request::PolicyState => Response::Policy(policy::state(&self.kernel)?),
            Request::Fixture {
                script,
                modules,
                timeout_ms,
            } => {
                let timeout = Duration::from_millis(timeout_ms);
                match self.local {
                    Some(local) => local.load_modules(&modules)?,
                    None => fixture::load_modules(&modules, self.place, &self.watch),
                }
                Response::Fixture(fixture::bring_up(&script, timeout, self.place, &self.watch))
            }
            Request::Unattributed => Response::Unattributed {
                records: self.audit.take(&self.watch),
            },
            Request::Case(plan) => Response::Case(Box::new(self.case(&plan)?)),
            Request::Run { run, timeout_ms } => {
                let timeout = Duration::from_millis(timeout_ms);
                match case_run::by_agent(&Act::Run(run), timeout, self.place, &self.watch) {
                    Outcome::Ran(ran) => Response::Ran(ran),
                    other => Response::Failed {
                        message: format!("{other:?}"),
                    },
                }
            }
            Request::Shell if self.local.is_some() => Response::Failed {
                message: "a shell is of a machine of its own".into(),
            },
            Request::Shell => {
                shell()?;
                Response::Done
            }
            Request::Sabotage(kind) => {
                self.sabotage = kind;
                Response::Done
            }
            Request::Shutdown => Response::Done,
        })
    }

    fn case(&mut self, plan: &CasePlan) -> io::Result<CaseEvidence> {
        if !self.audit.reading() {
            self.audit = audit_socket(self.local)?;
        }
        let canary = match &mut self.canary {
            Some(canary) => canary,
            none => none.insert(Canary::start(self.place, &self.watch)?),
        };
        let bench = Bench {
            place: self.place,
            kernel: &self.kernel,
            owned: self.local.is_none(),
            watch: &self.watch,
        };
        let sabotage = std::mem::replace(&mut self.sabotage, Sabotage::None);
        let evidence = case_run::run(
            plan,
            &bench,
            (&mut self.audit, &mut self.switches),
            (canary, &mut self.kept),
            sabotage,
        );
        if sabotage == Sabotage::Burst {
            audit_socket::set_backlog_limit(0)?;
        }
        evidence
    }
}

fn facts() -> io::Result<MachineFacts> {
    let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_string());
    let uname = nix::sys::utsname::uname()?;
    let meminfo = read("/proc/meminfo")?;
    let memory = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    });
    Ok(MachineFacts {
        kernel: uname.release().to_string_lossy().into_owned(),
        machine: uname.machine().to_string_lossy().into_owned(),
        apparmor: read("/sys/module/apparmor/parameters/enabled").is_ok_and(|enabled| enabled == "Y"),
        audit_mode: read("/sys/module/apparmor/parameters/audit").unwrap_or_default(),
        cpus: std::thread::available_parallelism()?.get(),
        memory: memory.unwrap_or(0u64) * 1024,
        agent: PROGRAM.into(),
    })
}

fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or_default()
}

/// A root shell on the console, until it ends.
fn shell() -> io::Result<()> {
    let names = fs::read_to_string(CONSOLES)?;
    let name = names.split_ascii_whitespace().last().unwrap_or("console");
    // Use its own name: `/dev/console` cannot become the controlling terminal of a session.
    let console = Path::new("/dev").join(name);
    let console = fs::OpenOptions::new().read(true).write(true).open(console)?;
    let mut command = Command::new("/bin/bash");
    command
        .env_clear()
        .env("PATH", acts::DEFAULT_PATH)
        .env("HOME", "/root")
        .env("TERM", "vt100")
        .current_dir("/root");
    command
        .stdin(Stdio::from(console.try_clone()?))
        .stdout(Stdio::from(console.try_clone()?))
        .stderr(Stdio::from(console));
    // SAFETY: plain system calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        });
    }
    command.status()?;
    Ok(())
}
