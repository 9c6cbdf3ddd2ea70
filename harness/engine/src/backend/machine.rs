//! The selected backend, and a machine that it runs.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::accel::Accelerator;
use super::local::{Kind, LocalConfig, LocalMachine};
use super::saved::{SaveError, SavedMachine};
use super::stream::AgentStream;
use super::vm::{Vm, VmConfig, VmError};
use super::watch::VmDeath;
use crate::image::Image;

/// Where cases run, and how that machine is made.
#[derive(Debug, Clone)]
pub enum Backend {
    /// In a virtual machine.
    Vm(VmConfig),
    /// On this host, or in a container on it.
    Local(LocalConfig),
}

impl Backend {
    /// Start a machine and wait until its agent has reported.
    pub fn start(&self, image: &Image) -> Result<Box<dyn Machine>, VmError> {
        Ok(match self {
            Backend::Vm(config) => Box::new(Vm::start(image, config)?),
            Backend::Local(config) => Box::new(LocalMachine::start(image, config)?),
        })
    }

    /// The name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Backend::Vm(_) => "vm",
            Backend::Local(local) => match local.kind {
                Kind::Host => "host",
                Kind::Container(_) => "container",
            },
        }
    }

    /// The accelerator of a VM; `native` for other backends.
    pub fn accelerator(&self) -> &'static str {
        match self {
            Backend::Vm(vm) => match vm.accelerator {
                Accelerator::Kvm => "kvm",
                Accelerator::Tcg => "tcg",
            },
            Backend::Local(_) => "native",
        }
    }

    /// The container engine, if there is one.
    pub fn engine(&self) -> Option<&'static str> {
        match self {
            Backend::Local(LocalConfig {
                kind: Kind::Container(engine),
                ..
            }) => Some(engine.name()),
            _ => None,
        }
    }

    /// The policy namespace of the set under test; `None` if the set has the whole kernel.
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Backend::Vm(_) => None,
            Backend::Local(local) => Some(&local.namespace),
        }
    }

    /// The same backend with a start timeout of at most `limit`.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Backend {
        match self {
            Backend::Vm(vm) => Backend::Vm(VmConfig {
                boot_timeout: vm.boot_timeout.min(limit),
                ..vm.clone()
            }),
            Backend::Local(local) => Backend::Local(LocalConfig {
                start_timeout: local.start_timeout.min(limit),
                ..local.clone()
            }),
        }
    }

    /// The memory of a machine; `None` if it uses the host's.
    pub fn memory_mib(&self) -> Option<u32> {
        match self {
            Backend::Vm(vm) => Some(vm.memory_mib),
            Backend::Local(_) => None,
        }
    }
}

/// Boots a machine with its memory in a file, so that it can be saved, and waits until its agent has reported.
pub fn start_in_file(image: &Image, config: &VmConfig, memory: &File) -> Result<Box<dyn Machine>, VmError> {
    Ok(Box::new(Vm::start_in_file(image, config, memory)?))
}

/// Restores a machine that was made with the same configuration. Its agent awaits a request.
pub fn restore(image: &Image, config: &VmConfig, saved: &SavedMachine) -> Result<Box<dyn Machine>, VmError> {
    Ok(Box::new(Vm::restore(image, config, saved)?))
}

/// Likewise, in a copy of the saved machine's files, so that the machine can be saved again.
pub fn restore_in_files(
    image: &Image,
    config: &VmConfig,
    copy: &SavedMachine,
) -> Result<Box<dyn Machine>, VmError> {
    Ok(Box::new(Vm::restore_in_files(image, config, copy)?))
}

/// A running machine. Dropping it ends it.
pub trait Machine: Debug + Send {
    /// The stream to the agent, after its greeting.
    fn stream(&mut self) -> &mut AgentStream;

    /// How long it took from the start to the agent's greeting.
    fn boot_time(&self) -> Duration;

    /// Sends QEMU a signal. Tests use this to check how its end is handled.
    fn signal(&self, signal: Signal) -> io::Result<()>;

    /// The last lines of its console, oldest first; empty if it has no console of its own.
    fn console(&self) -> Vec<String>;

    /// Saves a machine that was started by [`start_in_file`] into a folder, and ends it.
    fn save(self: Box<Self>, _dir: &Path, _image: &Image) -> Result<(), SaveError> {
        Err(SaveError::Io(io::ErrorKind::Unsupported.into()))
    }

    /// How the machine ended. A machine that still runs is ended now, as not responding.
    fn post_mortem(&mut self) -> VmDeath;
}
