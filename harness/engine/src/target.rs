//! Where cases run and with which profiles.

use virt_aa_probe::local::Engine;

use crate::profile_set::packaged::PACKAGED;

/// The image that is used if none is named.
pub const DEFAULT_IMAGE: &str = "debian-13";

/// The profile set that is tested if none is named.
pub const DEFAULT_SET: &str = PACKAGED;

/// The name of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendName {
    /// A virtual machine that boots the image.
    Vm,
    /// This host.
    Host,
    /// A container of the image on this host.
    Container,
}

impl BackendName {
    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            BackendName::Vm => "vm",
            BackendName::Host => "host",
            BackendName::Container => "container",
        }
    }
}

/// Where cases run, and with which profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The backend.
    pub backend: BackendName,
    /// The container engine. If none is named, the first installed one is used.
    pub engine: Option<Engine>,
    /// Whether cases that start a libvirt daemon run although the host has one running.
    pub allow_host_daemon: bool,
    /// The image.
    pub image: String,
    /// The profile set, as the command line names it.
    pub profiles: String,
    /// Folders that the set is made for, if they differ from the image's.
    pub set_dirs: Vec<(String, String)>,
    /// Whether the image is built even if its suite's index is past its valid-until date.
    pub allow_expired_index: bool,
    /// Whether machines begin from saved states.
    pub saved_states: bool,
}

impl Target {
    /// A target with the packaged profiles on that backend.
    pub fn new(backend: BackendName, engine: Option<Engine>, image: &str) -> Target {
        Target {
            backend,
            engine,
            allow_host_daemon: false,
            image: image.into(),
            profiles: DEFAULT_SET.into(),
            set_dirs: Vec::new(),
            allow_expired_index: false,
            saved_states: true,
        }
    }

    /// The arguments of a command line that means the same, except what only a build of the image needs.
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.backend != BackendName::Vm {
            words.extend(["--backend".into(), self.backend.name().into()]);
        }
        if let Some(engine) = self.engine.filter(|_| self.backend == BackendName::Container) {
            words.extend(["--engine".into(), engine.name().into()]);
        }
        if self.backend != BackendName::Host {
            words.extend(["--image".into(), self.image.clone()]);
        }
        if self.profiles != DEFAULT_SET {
            words.extend(["--profiles".into(), self.profiles.clone()]);
        }
        for (name, dir) in &self.set_dirs {
            words.extend(["--set-dir".into(), format!("{name}={dir}")]);
        }
        if !self.saved_states && self.backend == BackendName::Vm {
            words.push("--no-saved-state".into());
        }
        if self.allow_host_daemon && self.backend != BackendName::Vm {
            words.push("--allow-host-daemon".into());
        }
        words
    }
}
