//! What commands need before they begin: data files, an image, a prepared machine.

use std::fmt::Display;

use nix::unistd::geteuid;
use virt_aa_probe::local::Engine;

use crate::backend::{Backend, Kind, LocalConfig, VmConfig, hardware};
use crate::image::{self, BuildOptions, Image, ImageError, Store};
use crate::prepare::{PrepareError, Prepared, SetRequest, prepare};
use crate::profile_set::spec::SetSpec;
use crate::root::Root;
use crate::session::Session;
use crate::target::{BackendName, Target};
use virt_aa_model::data::{self, Data};
use virt_aa_model::yaml::error::DataError;
use virt_aa_model::yaml::suggest;

/// For the hypervisor, its dom0, and one small guest.
const XEN_MEMORY_MIB: u32 = 1536;

/// Why a command cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// Something that should work does not.
    #[error("{0}")]
    Broken(String),
    /// Data files are wrong.
    #[error("{}", .0.iter().map(|error| error.render(false)).collect::<Vec<_>>().join("\n\n"))]
    Data(Vec<DataError>),
}

impl SetupError {
    fn usage(message: impl Display) -> SetupError {
        SetupError::Usage(message.to_string())
    }

    fn broken(message: impl Display) -> SetupError {
        SetupError::Broken(message.to_string())
    }
}

/// Every data file.
pub fn data(root: &Root) -> Result<Data, SetupError> {
    data::read(&root.dir, root.cases.as_deref()).map_err(SetupError::Data)
}

/// Recipes and the cache.
pub fn store(root: &Root) -> Result<Store, SetupError> {
    Store::open(&root.recipes(), None).map_err(of_image)
}

/// The image. It is built if it does not exist.
pub fn image(root: &Root, name: &str, allow_expired_index: bool) -> Result<Image, SetupError> {
    let store = store(root)?;
    let options = BuildOptions {
        allow_expired_index,
        ..BuildOptions::default()
    };
    let mut progress = image::progress_for_stderr(name);
    image::ensure(&store, name, &options, progress.as_mut()).map_err(of_image)
}

/// Counts an image error as a usage error if it is about a name.
pub fn of_image(error: ImageError) -> SetupError {
    match error {
        ImageError::Recipe(_) => SetupError::usage(error),
        other => SetupError::broken(other),
    }
}

/// How machines of that image are made.
pub fn vm_config(root: &Root, image: &str) -> Result<VmConfig, SetupError> {
    let plain = VmConfig {
        devices: hardware::arguments(),
        cmdline_extra: hardware::KERNEL_ARGUMENTS.into(),
        saved_states: true,
        ..VmConfig::default()
    };
    let recipe = store(root)?.recipe(image).map_err(of_image)?;
    Ok(match recipe.hypervisor {
        None => plain,
        Some(_) => VmConfig {
            memory_mib: XEN_MEMORY_MIB,
            ..plain
        },
    })
}

/// The backend that a command line requests, for `jobs` machines side by side.
pub fn backend(root: &Root, target: &Target, jobs: u8) -> Result<Backend, SetupError> {
    let kind = match target.backend {
        BackendName::Vm => {
            let config = vm_config(root, &target.image)?;
            return Ok(Backend::Vm(VmConfig {
                saved_states: target.saved_states,
                ..config
            }));
        }
        BackendName::Host => Kind::Host,
        BackendName::Container => Kind::Container(engine(target.engine)?),
    };
    if !geteuid().is_root() {
        return Err(SetupError::usage(
            "the host and container backends load policy and make namespaces, so they need root; the vm backend does not",
        ));
    }
    if jobs > 1 {
        return Err(SetupError::usage(
            "a host has one run at a time; --jobs is for the vm backend",
        ));
    }
    Ok(Backend::Local(LocalConfig::new(kind)))
}

/// The named engine, or the first one that is installed.
fn engine(named: Option<Engine>) -> Result<Engine, SetupError> {
    let installed = |engine: &Engine| which::which(engine.program()).is_ok();
    match named {
        Some(engine) if installed(&engine) => Ok(engine),
        Some(engine) => Err(SetupError::broken(format!(
            "{} is not installed; it is in the Debian package {}",
            engine.program(),
            engine.package()
        ))),
        None => Engine::ALL.into_iter().find(installed).ok_or_else(|| {
            SetupError::broken(
                "no container engine is installed; the Debian packages podman and systemd-container have one",
            )
        }),
    }
}

/// What a backend runs: an image, built if it does not exist, or this host.
pub fn image_for(root: &Root, target: &Target, backend: &Backend) -> Result<Image, SetupError> {
    match backend {
        Backend::Local(LocalConfig { kind: Kind::Host, .. }) => {
            image::this_host(&store(root)?).map_err(of_image)
        }
        _ => image(root, &target.image, target.allow_expired_index),
    }
}

/// A machine that starts while the set is compiled.
pub fn prepared(
    root: &Root,
    data: &Data,
    target: &Target,
    known_bad: Option<&str>,
    backend: &Backend,
) -> Result<(Prepared, Session), SetupError> {
    let wanted = wanted(data, &target.profiles, target, known_bad)?;
    let image = image_for(root, target, backend)?;
    prepare(data, &image, &wanted, backend).map_err(of_prepare)
}

/// Checks what a command line says about a set, before an image is built for nothing.
pub fn wanted(
    data: &Data,
    set: &str,
    target: &Target,
    known_bad: Option<&str>,
) -> Result<SetRequest, SetupError> {
    let spec = SetSpec::parse(set);
    known("profile set", &spec.name, data.sets.manifests.keys())?;
    if let Some(bad) = known_bad {
        known("known-bad set", bad, data.sets.known_bad.keys())?;
    }
    Ok(SetRequest {
        spec,
        dirs: target.set_dirs.iter().cloned().collect(),
        known_bad: known_bad.map(str::to_string),
    })
}

/// Errors in a set are the user's to fix.
pub fn of_prepare(error: PrepareError) -> SetupError {
    match error {
        PrepareError::NoSet { .. }
        | PrepareError::OtherSet { .. }
        | PrepareError::Set(_)
        | PrepareError::Open(_)
        | PrepareError::NothingUsable(_)
        | PrepareError::Compile(_) => SetupError::usage(error),
        other => SetupError::broken(other),
    }
}

/// Checks that `name` is among the existing names.
fn known<'a>(
    what: &str,
    name: &str,
    mut names: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), SetupError> {
    let all = names.clone().map(String::as_str);
    if names.any(|known| known == name) {
        return Ok(());
    }
    let help = suggest::help(name, all).unwrap_or_else(|| "they are the files of profiles/".into());
    Err(SetupError::usage(format!("no {what} `{name}`; {help}")))
}
