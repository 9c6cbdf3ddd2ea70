//! A virtual machine: started from an image, watched while it runs, ended with its owner.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use virt_aa_probe::init::READY_LINE;

use super::accel::Accelerator;
use super::machine::Machine;
use super::qemu::{self, Begins, Boots};
use super::qmp::{Qmp, QmpError};
use super::saved::{self, DiskPlace, SaveError, SavedMachine};
use super::stream::AgentStream;
use super::watch::{VmDeath, Watch};
use crate::children::{self, Group};
use crate::image::{AgentError, Image, boot_initrd};
use crate::tools::{self, MissingTools, QEMU};

/// A machine whose stream has just closed is about to end by itself. Its own end says more than a kill.
const GRACE: Duration = Duration::from_secs(1);

/// How long QEMU may take to save a machine, or to restore one.
const SAVE_TIMEOUT: Duration = Duration::from_secs(60);

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
    /// Whether machines begin from a saved state, which is made if there is none.
    pub saved_states: bool,
}

/// A running machine. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Vm {
    stream: AgentStream,
    watch: Watch,
    boot_time: Duration,
    /// The monitor of a machine that can be saved.
    monitor: Option<Qmp>,
    disk: DiskPlace,
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
    /// QEMU could not restore the machine.
    #[error("QEMU did not restore the machine: {error}{}", told(death))]
    Restore {
        /// What its monitor answered.
        error: QmpError,
        /// How it ended.
        death: Box<VmDeath>,
    },
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
            saved_states: false,
        }
    }
}

/// QEMU's last line, which says what it missed.
fn told(death: &VmDeath) -> String {
    let last = death.stderr_tail.last();
    last.map(|line| format!(" ({line})")).unwrap_or_default()
}

/// What a machine's memory and disk begin with.
#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// Nothing, and the image's disk.
    Image,
    /// The same, with the memory in this file.
    ImageInto(&'a File),
    /// A saved machine.
    Saved(&'a SavedMachine),
    /// A copy of one, in which the machine goes on until it is saved again.
    SavedInto(&'a SavedMachine),
}

impl Vm {
    /// Boots the machine and waits until its agent has reported.
    pub(super) fn start(image: &Image, config: &VmConfig) -> Result<Self, VmError> {
        Vm::launch(image, config, Source::Image)?.greeted(config)
    }

    /// The same, with the memory in a file, so that the machine can be saved.
    pub(super) fn start_in_file(image: &Image, config: &VmConfig, memory: &File) -> Result<Self, VmError> {
        Vm::launch(image, config, Source::ImageInto(memory))?.greeted(config)
    }

    /// Restores a machine that was made with the same configuration. Its agent reports nothing until it is asked.
    pub(super) fn restore(image: &Image, config: &VmConfig, saved: &SavedMachine) -> Result<Self, VmError> {
        Vm::resume(image, config, saved, Source::Saved(saved))
    }

    /// Likewise, with memory and disk in the files themselves, so that the machine can be saved again.
    pub(super) fn restore_in_files(
        image: &Image,
        config: &VmConfig,
        copy: &SavedMachine,
    ) -> Result<Self, VmError> {
        let vm = Vm::resume(image, config, copy, Source::SavedInto(copy))?;
        Ok(Vm {
            disk: DiskPlace::InPlace,
            ..vm
        })
    }

    fn resume(
        image: &Image,
        config: &VmConfig,
        saved: &SavedMachine,
        source: Source<'_>,
    ) -> Result<Self, VmError> {
        let start = Instant::now();
        let limit = SAVE_TIMEOUT.min(config.boot_timeout);
        let Launched { mut vm, monitor } = Vm::launch(image, config, source)?;
        let done = monitor
            .ok_or_else(|| QmpError::Io(io::ErrorKind::NotConnected.into()))
            .and_then(|monitor| {
                let mut qmp = Qmp::connect(monitor, start + limit)?;
                saved::resume(&mut qmp, saved)?;
                Ok(qmp)
            });
        match done {
            Ok(qmp) => {
                vm.monitor = Some(qmp);
                vm.boot_time = start.elapsed();
                Ok(vm)
            }
            Err(error) => Err(VmError::Restore {
                error,
                death: Box::new(vm.post_mortem()),
            }),
        }
    }

    fn launch(image: &Image, config: &VmConfig, source: Source<'_>) -> Result<Launched, VmError> {
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
        let (monitor, monitor_there) = match source {
            Source::Image => (None, None),
            _ => {
                let (here, there) = UnixStream::pair()?;
                (Some(here), Some(there))
            }
        };
        let mut inherited: Vec<OwnedFd> = Vec::new();
        let begins = match (source, monitor_there) {
            (Source::ImageInto(memory), Some(monitor)) => {
                let memory = OwnedFd::from(memory.try_clone()?);
                let begins = Begins::EmptyInFile {
                    memory_fd: memory.as_raw_fd(),
                    monitor_fd: monitor.as_raw_fd(),
                };
                inherited.extend([memory, monitor.into()]);
                begins
            }
            (Source::Saved(saved) | Source::SavedInto(saved), Some(monitor)) => {
                let memory = OwnedFd::from(saved.memory.try_clone()?);
                let disk = OwnedFd::from(saved.disk.try_clone()?);
                let begins = Begins::Saved {
                    memory_fd: memory.as_raw_fd(),
                    disk_fd: disk.as_raw_fd(),
                    monitor_fd: monitor.as_raw_fd(),
                    to_be_saved: matches!(source, Source::SavedInto(_)),
                };
                inherited.extend([memory, disk, monitor.into()]);
                begins
            }
            _ => Begins::Empty,
        };
        let arguments = qemu::arguments(&qemu::Machine {
            begins,
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
        inherited.extend([initrd.into(), agent_there.into()]);
        inherited.extend(console_there.map(OwnedFd::from));
        inherited.extend(dom0.map(|(_, kernel)| OwnedFd::from(kernel)));
        let child = children::spawn(expression, group, inherited)?;
        let watch = Watch::start(child, agent.try_clone()?, console, stderr)?;
        let vm = Vm {
            stream: AgentStream::new(agent, config.boot_timeout),
            watch,
            boot_time: Duration::ZERO,
            monitor: None,
            disk: DiskPlace::Temporary,
        };
        Ok(Launched { vm, monitor })
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

/// A machine whose QEMU was started, and the socket of its monitor.
struct Launched {
    vm: Vm,
    monitor: Option<UnixStream>,
}

impl Launched {
    /// The machine once its agent has reported.
    fn greeted(self, config: &VmConfig) -> Result<Vm, VmError> {
        let start = Instant::now();
        let Launched { mut vm, monitor } = self;
        if vm.read_greeting().is_err() {
            return Err(VmError::Boot {
                death: Box::new(vm.post_mortem()),
                after: start.elapsed(),
            });
        }
        vm.boot_time = start.elapsed();
        if let Some(monitor) = monitor {
            let connected = Qmp::connect(monitor, start + config.boot_timeout);
            vm.monitor = Some(connected.map_err(|error| VmError::Start(io::Error::other(error)))?);
        }
        Ok(vm)
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

    fn save(mut self: Box<Self>, dir: &Path, image: &Image) -> Result<(), SaveError> {
        let Some(qmp) = &mut self.monitor else {
            return Err(SaveError::Io(io::ErrorKind::Unsupported.into()));
        };
        qmp.set_deadline(Instant::now() + SAVE_TIMEOUT);
        saved::save(qmp, dir, &image.disk, self.disk)
    }

    fn post_mortem(&mut self) -> VmDeath {
        self.watch.wait(GRACE).unwrap_or_else(|| self.watch.end())
    }
}
