//! Where cases run and with which profiles, as a command line says it.

use clap::{Args, ValueEnum};

use crate::profile_set::packaged::PACKAGED;

/// Where cases run.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Target {
    /// Where cases run: vm, host (as root, on a kernel with AppArmor), container (likewise)
    ///
    /// vm boots the image. host runs the cases on this machine, with the profiles that it has installed or those that
    /// --profiles names: its own policy, files, network, sysctls and audit settings stay as they are, since the set is
    /// loaded into a policy namespace and cases run in namespaces with a layer over all files. container does the same with
    /// the image's root file system, by an engine, on this machine's kernel.
    #[arg(long, value_enum, default_value_t = BackendName::Vm, env = "VIRT_AA_CONFORM_BACKEND", value_name = "BACKEND")]
    pub backend: BackendName,
    /// Container engine: podman, docker or nspawn (default: the first of these that is installed)
    #[arg(long, value_enum, env = "VIRT_AA_CONFORM_ENGINE", value_name = "ENGINE")]
    pub engine: Option<EngineName>,
    /// Also run cases that start a libvirt daemon, although the host has one running
    #[arg(long)]
    pub allow_host_daemon: bool,
    /// Image to run on
    #[arg(long, default_value = DEFAULT_IMAGE, value_name = "NAME")]
    pub image: String,
    /// Profile set to test: packaged, libvirt-source:DIR, libvirt-source:DIR@REVISION, dir:DIR
    ///
    /// packaged is what the image's packages install. libvirt-source is a libvirt source tree, or a revision of it that
    /// is read from git without a checkout; what libvirt's build does to the profiles is done here, for the image's
    /// AppArmor and its folders. dir is a folder laid out like /etc/apparmor.d. Both take the place of all of libvirt's
    /// own profiles in the image; what they include besides comes from the image.
    #[arg(long, default_value = DEFAULT_SET, value_name = "SET")]
    pub profiles: String,
    /// Folder that the set is made for, where it is not as in the image: libexecdir, sbindir, sysconfdir, runstatedir
    #[arg(long = "set-dir", value_name = "NAME=DIR", value_parser = set_dir)]
    pub set_dirs: Vec<(String, String)>,
    /// Build the image although its suite's index is past its valid-until date
    #[arg(long)]
    pub allow_expired_index: bool,
}

impl Target {
    /// The packaged profiles by that backend.
    pub fn new(backend: BackendName, engine: Option<EngineName>, image: &str) -> Target {
        Target {
            backend,
            engine,
            allow_host_daemon: false,
            image: image.into(),
            profiles: DEFAULT_SET.into(),
            set_dirs: Vec::new(),
            allow_expired_index: false,
        }
    }

    /// The words of a command line that say the same, but for what only a build of the image needs.
    pub fn words(&self) -> Vec<String> {
        let name = |value: Option<clap::builder::PossibleValue>| {
            value
                .map(|value| value.get_name().to_string())
                .unwrap_or_default()
        };
        let mut words = Vec::new();
        if self.backend != BackendName::Vm {
            words.extend(["--backend".into(), name(self.backend.to_possible_value())]);
        }
        if let Some(engine) = self.engine.filter(|_| self.backend == BackendName::Container) {
            words.extend(["--engine".into(), name(engine.to_possible_value())]);
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
        if self.allow_host_daemon && self.backend != BackendName::Vm {
            words.push("--allow-host-daemon".into());
        }
        words
    }
}

/// A backend, as it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendName {
    /// A virtual machine that boots the image
    Vm,
    /// This host
    Host,
    /// A container of the image on this host
    Container,
}

/// A container engine, as it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// podman(1)
    Podman,
    /// docker(1)
    Docker,
    /// systemd-nspawn(1)
    Nspawn,
}

/// The image that is used where none is named.
pub const DEFAULT_IMAGE: &str = "debian-13";

/// The profile set that is tested where none is named.
pub const DEFAULT_SET: &str = PACKAGED;

/// What stands in a profile must be no more than a path.
fn set_dir(text: &str) -> Result<(String, String), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    match text.split_once('=') {
        Some((name, dir)) if dir.starts_with('/') && !dir.ends_with('/') && dir.chars().all(plain) => {
            Ok((name.to_owned(), dir.to_owned()))
        }
        _ => Err(
            "give NAME=DIR, DIR an absolute path without a slash at its end and without blanks or globs"
                .into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    #[test]
    fn a_folder_is_an_absolute_path_and_nothing_more() {
        let good = set_dir("libexecdir=/usr/libexec").unwrap();
        assert_eq!(good, ("libexecdir".to_owned(), "/usr/libexec".to_owned()));
        for bad in ["libexecdir", "a=b", "a=/b/", "a=/b rwx,", "a=/**", "a=/b\"c"] {
            assert!(set_dir(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_what_its_words_say() {
        let mut target = Target::new(BackendName::Container, Some(EngineName::Nspawn), "debian-12");
        target.profiles = "dir:/x y".into();
        target.set_dirs = vec![("libexecdir".into(), "/usr/libexec".into())];
        target.allow_host_daemon = true;
        let words = ["virt-aa-conform".into(), "run".into()]
            .into_iter()
            .chain(target.words());
        let Command::Run(args) = Cli::parse_from(words).command else {
            panic!("no run");
        };
        assert_eq!(args.target, target);
    }
}
