//! What commands need before they begin: data files, an image, a prepared machine.

use std::io::IsTerminal;

use nix::unistd::geteuid;
use virt_aa_probe::local::Engine;

use super::args::{BackendName, Cli, EngineName, Target};
use super::failure::Failure;
use crate::backend::{Backend, Kind, LocalConfig, VmConfig, hardware};
use crate::data::{self, Data};
use crate::image::{self, BuildOptions, Image, ImageError, Store};
use crate::prepare::{PrepareError, Prepared, Wanted, prepare};
use crate::profile_set::spec::SetSpec;
use crate::root::{Root, RootError};
use crate::session::Session;
use crate::yaml::suggest;

/// For the hypervisor, its dom0, and one small guest.
const XEN_MEMORY_MIB: u32 = 1536;

/// The data files, where the command line and the environment say.
pub fn root(cli: &Cli) -> Result<Root, Failure> {
    Root::find(cli.root.as_deref(), cli.cases_dir.as_deref()).map_err(|error| match error {
        RootError::Lacks { .. } | RootError::NoCases(_) => Failure::usage(error),
        other => Failure::broken(other),
    })
}

/// Whether messages on standard error are coloured.
pub fn coloured_errors() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Every data file.
pub fn data(root: &Root) -> Result<Data, Failure> {
    data::read_root(root).map_err(|errors| Failure::data(&errors, coloured_errors()))
}

/// Recipes and the cache.
pub fn store(root: &Root) -> Result<Store, Failure> {
    Store::open(&root.recipes(), None).map_err(of_image)
}

/// The image, built if it is not there.
pub fn image(root: &Root, name: &str, allow_expired_index: bool) -> Result<Image, Failure> {
    let store = store(root)?;
    let options = BuildOptions {
        allow_expired_index,
        ..BuildOptions::default()
    };
    let mut progress = image::progress_for_stderr(name);
    image::ensure(&store, name, &options, progress.as_mut()).map_err(of_image)
}

/// An image error is the user's where it is about a name.
pub fn of_image(error: ImageError) -> Failure {
    match error {
        ImageError::Recipe(_) => Failure::usage(error),
        other => Failure::broken(other),
    }
}

/// How machines of that image are made.
pub fn vm_config(root: &Root, image: &str) -> Result<VmConfig, Failure> {
    let plain = VmConfig {
        devices: hardware::arguments(),
        cmdline_extra: hardware::KERNEL_ARGUMENTS.into(),
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

/// The backend that a command line asks for; `jobs` machines side by side.
pub fn backend(root: &Root, target: &Target, jobs: u8) -> Result<Backend, Failure> {
    let kind = match target.backend {
        BackendName::Vm => return vm_config(root, &target.image).map(Backend::Vm),
        BackendName::Host => Kind::Host,
        BackendName::Container => Kind::Container(engine(target.engine)?),
    };
    if !geteuid().is_root() {
        return Err(Failure::usage(
            "the host and container backends load policy and make namespaces, so they need root; the vm backend does not",
        ));
    }
    if jobs > 1 {
        return Err(Failure::usage(
            "one run at a time has the host: --jobs is of the vm backend",
        ));
    }
    Ok(Backend::Local(LocalConfig::new(kind)))
}

/// The engine that was named, or the first that there is.
fn engine(named: Option<EngineName>) -> Result<Engine, Failure> {
    let installed = |engine: &Engine| which::which(engine.program()).is_ok();
    let named = named.map(|name| match name {
        EngineName::Podman => Engine::Podman,
        EngineName::Docker => Engine::Docker,
        EngineName::Nspawn => Engine::Nspawn,
    });
    match named {
        Some(engine) if installed(&engine) => Ok(engine),
        Some(engine) => Err(Failure::broken(format!(
            "{} is not installed; it is in the Debian package {}",
            engine.program(),
            engine.package()
        ))),
        None => Engine::ALL.into_iter().find(installed).ok_or_else(|| {
            Failure::broken(
                "no container engine is installed; the Debian packages podman and systemd-container have one",
            )
        }),
    }
}

/// What a backend runs: an image, built if it is not there, or this host.
pub fn image_for(root: &Root, target: &Target, backend: &Backend) -> Result<Image, Failure> {
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
) -> Result<(Prepared, Session), Failure> {
    let wanted = wanted(data, &target.profiles, target, known_bad)?;
    let image = image_for(root, target, backend)?;
    prepare(data, &image, &wanted, backend).map_err(of_prepare)
}

/// What a command line says of a set, looked at before an image is built for nothing.
pub fn wanted(data: &Data, set: &str, target: &Target, known_bad: Option<&str>) -> Result<Wanted, Failure> {
    let spec = SetSpec::parse(set);
    known("profile set", &spec.name, data.sets.manifests.keys())?;
    if let Some(bad) = known_bad {
        known("known-bad set", bad, data.sets.known_bad.keys())?;
    }
    Ok(Wanted {
        spec,
        dirs: target.set_dirs.iter().cloned().collect(),
        known_bad: known_bad.map(str::to_string),
    })
}

/// What is wrong with a set is the user's to mend.
pub fn of_prepare(error: PrepareError) -> Failure {
    match error {
        PrepareError::NoSet { .. }
        | PrepareError::OtherSet { .. }
        | PrepareError::Set(_)
        | PrepareError::Open(_)
        | PrepareError::NothingUsable(_)
        | PrepareError::Compile(_) => Failure::usage(error),
        other => Failure::broken(other),
    }
}

/// Whether `name` is among the names there are.
fn known<'a>(
    what: &str,
    name: &str,
    mut names: impl Iterator<Item = &'a String> + Clone,
) -> Result<(), Failure> {
    let all = names.clone().map(String::as_str);
    if names.any(|known| known == name) {
        return Ok(());
    }
    let help = suggest::help(name, all).unwrap_or_else(|| "they are the files of profiles/".into());
    Err(Failure::usage(format!("no {what} `{name}`; {help}")))
}
