//! Where cases run and with which profiles, as a command line says it.

use clap::{Args, ValueEnum};

use virt_aa_engine::target::{BackendName, Target};
pub use virt_aa_engine::target::{DEFAULT_IMAGE, DEFAULT_SET};
use virt_aa_probe::local::Engine;

/// Where cases run.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct TargetArgs {
    /// Where to run: in a virtual machine (vm), on this host (host), or in a container on this host (container)
    ///
    /// vm boots the image. host uses this host's kernel, and its installed profiles or those that --profiles names.
    /// container runs the image's root file system in a container engine, on this host's kernel. host and container need
    /// root and a kernel with AppArmor. The host's own policy, files, network, sysctls and audit settings do not change:
    /// the set is loaded into an AppArmor policy namespace of its own, and cases run in Linux namespaces, on overlay file
    /// systems that take all changes.
    #[arg(long, value_enum, default_value_t = BackendArg::Vm, env = "VIRT_AA_CONFORM_BACKEND", value_name = "BACKEND")]
    pub backend: BackendArg,
    /// Container engine: podman, docker or nspawn (default: the first that is installed)
    #[arg(long, value_enum, env = "VIRT_AA_CONFORM_ENGINE", value_name = "ENGINE")]
    pub engine: Option<EngineArg>,
    /// Run cases that start a libvirt daemon even if the host already runs one
    ///
    /// This is for the host and container backends. Without this option they skip such cases, because the second daemon
    /// could disturb the host's.
    #[arg(long)]
    pub allow_host_daemon: bool,
    /// Image to run on, one of those that `image list` prints; not used with --backend host
    #[arg(long, default_value = DEFAULT_IMAGE, value_name = "NAME")]
    pub image: String,
    /// Profile set to load: packaged, libvirt-source:DIR, libvirt-source:DIR@REVISION, or dir:DIR
    ///
    /// packaged is what the image's packages install. libvirt-source is a libvirt source tree, or a revision of it that is
    /// read from git without a checkout; virt-aa-conform processes its profiles as libvirt's build does, for the version of
    /// AppArmor and the installation folders of the image. dir is a folder laid out like /etc/apparmor.d.
    ///
    /// libvirt-source and dir replace all profiles of libvirt in the image. If they include a file that they do not bring
    /// along, such as one of AppArmor's abstractions, the image's file is used.
    ///
    /// The word before the colon is the name of a file profiles/NAME.yaml, which says where the profiles come from and
    /// which roles they have.
    #[arg(long, default_value = DEFAULT_SET, value_name = "SET")]
    pub profiles: String,
    /// Installation folder to use instead of the image's; NAME is libexecdir, sbindir, sysconfdir or runstatedir; may be
    /// given several times
    ///
    /// libvirt-source puts the folder into its profiles, and cases use it in the paths of libvirt's programs.
    #[arg(long = "set-dir", value_name = "NAME=DIR", value_parser = set_dir)]
    pub set_dirs: Vec<(String, String)>,
    /// Build the image even if the package index of its suite is past its valid-until date
    #[arg(long)]
    pub allow_expired_index: bool,
    /// Boot every virtual machine; neither save states nor start from them
    ///
    /// Without this option, the state of a booted virtual machine is saved, and later ones start from it instead of booting.
    #[arg(long)]
    pub no_saved_state: bool,
}

impl TargetArgs {
    /// As values.
    pub fn target(&self) -> Target {
        Target {
            backend: self.backend.into(),
            engine: self.engine.map(Engine::from),
            allow_host_daemon: self.allow_host_daemon,
            image: self.image.clone(),
            profiles: self.profiles.clone(),
            set_dirs: self.set_dirs.clone(),
            allow_expired_index: self.allow_expired_index,
            saved_states: !self.no_saved_state,
        }
    }
}

/// A backend, as it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// A virtual machine that boots the image
    Vm,
    /// This host
    Host,
    /// A container of the image on this host
    Container,
}

/// A container engine, as it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// podman(1)
    Podman,
    /// docker(1)
    Docker,
    /// systemd-nspawn(1)
    Nspawn,
}

impl From<BackendArg> for BackendName {
    fn from(name: BackendArg) -> BackendName {
        match name {
            BackendArg::Vm => BackendName::Vm,
            BackendArg::Host => BackendName::Host,
            BackendArg::Container => BackendName::Container,
        }
    }
}

impl From<EngineArg> for Engine {
    fn from(name: EngineArg) -> Engine {
        match name {
            EngineArg::Podman => Engine::Podman,
            EngineArg::Docker => Engine::Docker,
            EngineArg::Nspawn => Engine::Nspawn,
        }
    }
}

/// What stands in a profile must be no more than a path.
fn set_dir(text: &str) -> Result<(String, String), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    match text.split_once('=') {
        Some((name, dir)) if dir.starts_with('/') && !dir.ends_with('/') && dir.chars().all(plain) => {
            Ok((name.to_owned(), dir.to_owned()))
        }
        _ => Err(
            "give NAME=DIR, where DIR is an absolute path without a slash at its end, blanks or globs".into(),
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
        let mut target = Target::new(BackendName::Container, Some(Engine::Nspawn), "debian-12");
        target.profiles = "dir:/x y".into();
        target.set_dirs = vec![("libexecdir".into(), "/usr/libexec".into())];
        target.allow_host_daemon = true;
        let words = ["virt-aa-conform".into(), "run".into()]
            .into_iter()
            .chain(target.words());
        let Command::Run(args) = Cli::parse_from(words).command else {
            panic!("no run");
        };
        assert_eq!(args.target.target(), target);
    }
}
