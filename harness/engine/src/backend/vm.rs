//! A virtual machine: started from an image, watched while it runs, ended with its owner.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use virt_aa_probe::init::READY_LINE;

use super::accel::Accelerator;
use super::machine::Machine;
use super::qemu::{self, Boots};
use super::stream::AgentStream;
use super::watch::{VmDeath, Watch};
use crate::children::{self, Group};
use crate::image::{AgentError, Image, boot_initrd};
use crate::tools::{self, MissingTools, QEMU};

/// A machine whose stream has just closed is about to end by itself. Its own end says more than a kill.
const GRACE: Duration = Duration::from_secs(1);

/// Where the guest's console goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Console {
    /// Kept for the report of a failure.
    #[default]
    Captured,
    /// This program's terminal.
    Stdio,
}

/// How a machine is made.
#[derive(Debug, Clone)]
pub struct VmConfig {
    /// The guest's memory.
    pub memory_mib: u32,
    /// The guest's processors.
    pub cpus: u32,
    /// What runs the guest.
    pub accelerator: Accelerator,
    /// Further arguments of QEMU; a `-M` or `-machine` among them replaces the plain `q35`.
    pub devices: Vec<String>,
    /// Further words of the kernel's command line.
    pub cmdline_extra: String,
    /// Where the console goes.
    pub console: Console,
    /// How long the agent may take to report.
    pub boot_timeout: Duration,
    /// The program that becomes the machine's init: by default this one.
    pub program: PathBuf,
}

/// A running machine. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Vm {
    stream: AgentStream,
    watch: Watch,
    boot_time: Duration,
}

/// Why a machine did not come up.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// QEMU is not installed.
    #[error(transparent)]
    MissingTools(#[from] MissingTools),
    /// This program cannot be the guest's init.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// QEMU or something that it needs could not be started.
    #[error("cannot start the machine: {0}")]
    Start(#[from] io::Error),
    /// The machine ended, or was ended, before the agent reported.
    #[error("the machine did not come up (it was given {:.1} s): {death}", .after.as_secs_f32())]
    Boot {
        /// How it ended.
        death: Box<VmDeath>,
        /// The time until then.
        after: Duration,
    },
}

impl Default for VmConfig {
    fn default() -> Self {
        Self {
            memory_mib: 768,
            cpus: 1,
            accelerator: Accelerator::detect(),
            devices: Vec::new(),
            cmdline_extra: String::new(),
            console: Console::Captured,
            boot_timeout: Duration::from_secs(120),
            program: PathBuf::from("/proc/self/exe"),
        }
    }
}

impl Vm {
    /// Starts the machine and waits until its agent has reported.
    pub(super) fn start(image: &Image, config: &VmConfig) -> Result<Self, VmError> {
        let start = Instant::now();
        tools::require(&[QEMU])?;
        let initrd = boot_initrd(&image.initrd, &config.program)?;
        let (agent, agent_there) = UnixStream::pair()?;
        let (console, console_there) = match config.console {
            Console::Captured => {
                let (here, there) = UnixStream::pair()?;
                (Some(here), Some(there))
            }
            Console::Stdio => (None, None),
        };
        let (stderr, stderr_there) = io::pipe()?;
        let dom0 = match &image.hypervisor {
            Some(hypervisor) => Some((hypervisor, File::open(&image.kernel)?)),
            None => None,
        };
        let boots = match &dom0 {
            Some((hypervisor, kernel)) => Boots::Xen {
                hypervisor,
                kernel_fd: kernel.as_raw_fd(),
            },
            None => Boots::Kernel(&image.kernel),
        };
        let arguments = qemu::arguments(&qemu::Machine {
            accelerator: config.accelerator,
            memory_mib: config.memory_mib,
            cpus: config.cpus,
            boots,
            disk: &image.disk,
            initrd_fd: initrd.as_raw_fd(),
            agent_fd: agent_there.as_raw_fd(),
            console_fd: console_there.as_ref().map(AsRawFd::as_raw_fd),
            extra_devices: &config.devices,
            extra_cmdline: &config.cmdline_extra,
        });
        // The disk's temporary overlay goes into the image's folder, because /tmp may be in memory.
        let mut expression = duct::cmd(
            tools::find(QEMU).unwrap_or_else(|| QEMU.program.into()),
            arguments,
        )
        .env("TMPDIR", &image.dir)
        .stderr_file(stderr_there);
        let group = match config.console {
            Console::Captured => {
                expression = expression.stdin_null().stdout_null();
                Group::Own
            }
            Console::Stdio => Group::Terminal,
        };
        let mut inherited: Vec<OwnedFd> = vec![initrd.into(), agent_there.into()];
        inherited.extend(console_there.map(OwnedFd::from));
        inherited.extend(dom0.map(|(_, kernel)| OwnedFd::from(kernel)));
        let child = children::spawn(expression, group, inherited)?;
        let watch = Watch::start(child, agent.try_clone()?, console, stderr)?;
        let stream = AgentStream::new(agent, config.boot_timeout);
        let mut vm = Self {
            stream,
            watch,
            boot_time: Duration::ZERO,
        };
        match vm.read_greeting() {
            Ok(()) => {
                vm.boot_time = start.elapsed();
                Ok(vm)
            }
            Err(_) => Err(VmError::Boot {
                death: Box::new(vm.post_mortem()),
                after: start.elapsed(),
            }),
        }
    }

    fn read_greeting(&mut self) -> io::Result<()> {
        let mut greeting = vec![0; READY_LINE.len()];
        self.stream.read_exact(&mut greeting)?;
        if greeting == READY_LINE.as_bytes() {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the agent's greeting is not of this program",
        ))
    }
}

impl Machine for Vm {
    fn stream(&mut self) -> &mut AgentStream {
        &mut self.stream
    }

    fn boot_time(&self) -> Duration {
        self.boot_time
    }

    fn console(&self) -> Vec<String> {
        self.watch.console()
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        self.watch.signal(signal)
    }

    fn post_mortem(&mut self) -> VmDeath {
        self.watch.wait(GRACE).unwrap_or_else(|| self.watch.end())
    }
}
