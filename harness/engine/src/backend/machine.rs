//! The selected backend, and a machine that it runs.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::accel::Accelerator;
use super::local::{Kind, LocalConfig, LocalMachine};
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

    /// How the machine ended. A machine that still runs is ended now, as not responding.
    fn post_mortem(&mut self) -> VmDeath;
}
