//! What commands need before they begin: data files, an image, a prepared machine.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::args::Target;
use super::failure::Failure;
use crate::backend::{VmConfig, hardware};
use crate::data::{self, Data};
use crate::image::{self, BuildOptions, Image, ImageError, Store};
use crate::prepare::{PrepareError, Prepared, Wanted, prepare};
use crate::profile_set::spec::SetSpec;
use crate::session::Session;
use crate::yaml::suggest;

/// For the hypervisor, its dom0, and one small guest.
const XEN_MEMORY_MIB: u32 = 1536;

/// Folders that a root has.
pub const MARKS: [&str; 3] = ["cases", "profiles", "vm-images"];

/// The folder with the data files: as given, else this folder or the nearest above that looks like one.
pub fn root(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let is_root = |dir: &Path| MARKS.iter().all(|mark| dir.join(mark).is_dir());
    if let Some(dir) = given {
        if is_root(dir) {
            return Ok(dir.to_path_buf());
        }
        return Err(Failure::usage(format!(
            "{} has no folders {}",
            dir.display(),
            MARKS.join("/, ") + "/"
        )));
    }
    let here = std::env::current_dir().map_err(Failure::broken)?;
    here.ancestors()
        .find(|dir| is_root(dir))
        .map(Path::to_path_buf)
        .ok_or_else(|| {
            let folders = MARKS.join("/, ");
            Failure::usage(format!(
                "neither {} nor a folder above it has {folders}/; name one with --root",
                here.display()
            ))
        })
}

/// Whether messages on standard error are coloured.
pub fn coloured_errors() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Every data file.
pub fn data(root: &Path) -> Result<Data, Failure> {
    data::read(root).map_err(|errors| Failure::data(&errors, coloured_errors()))
}

/// Recipes and the cache.
pub fn store(root: &Path) -> Result<Store, Failure> {
    Store::open(&root.join("vm-images"), None).map_err(of_image)
}

/// The image, built if it is not there.
pub fn image(root: &Path, name: &str, allow_expired_index: bool) -> Result<Image, Failure> {
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
pub fn vm_config(root: &Path, image: &str) -> Result<VmConfig, Failure> {
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

/// A machine that boots while the set is compiled.
pub fn prepared(
    root: &Path,
    data: &Data,
    target: &Target,
    known_bad: Option<&str>,
    config: &VmConfig,
) -> Result<(Prepared, Session), Failure> {
    let wanted = wanted(data, &target.profiles, target, known_bad)?;
    let image = image(root, &target.image, target.allow_expired_index)?;
    prepare(data, &image, &wanted, config).map_err(of_prepare)
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
