//! A host with AppArmor: a machine of ours with the packaged policy enforced, container engines, and the checkout, the cache
//! of images and a folder for results shared with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use virt_aa_engine::backend::{Backend, VmConfig, hardware};
use virt_aa_engine::image::{self, BuildOptions, Image, Store, progress_for_stderr};
use virt_aa_engine::prepare::{SetRequest, prepare};
use virt_aa_engine::session::Session;
use virt_aa_model::data;

/// The image whose root file system containers get, and whose verdicts in a VM are compared.
pub const IMAGE: &str = "debian-13";
const RECIPE: &str = include_str!("debian-13-host.yaml");
const HOST: &str = "debian-13-host";
/// For a host that holds a container's changes in memory.
const MEMORY_MIB: u32 = 3072;
/// In the machine.
const CACHE: &str = "/vaac-cache";
const RESULTS: &str = "/vaac-results";

/// The host, up.
pub struct Host {
    session: Session,
    results: tempfile::TempDir,
}

static HOST_UP: Mutex<Option<Result<Host, String>>> = Mutex::new(None);

/// Do something with the host, which is booted for the first who asks.
pub fn with_host(act: impl FnOnce(&mut Host) -> Result<(), String>) -> Result<(), String> {
    let mut host = HOST_UP.lock().unwrap_or_else(PoisonError::into_inner);
    act(host
        .get_or_insert_with(Host::boot)
        .as_mut()
        .map_err(|error| error.clone())?)
}

/// The checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The program under test; the machine sees the checkout at the same place.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_virt-aa-conform")
}

fn said(error: impl ToString) -> String {
    error.to_string()
}

fn built(store: &Store, name: &str) -> Result<Image, String> {
    let mut progress = progress_for_stderr(name);
    image::ensure(store, name, &BuildOptions::default(), progress.as_mut()).map_err(said)
}

impl Host {
    fn boot() -> Result<Host, String> {
        if !Path::new(program()).starts_with(root()) {
            return Err(
                "the machine sees the checkout only: build below it, without CARGO_TARGET_DIR".into(),
            );
        }
        let recipes = recipes()?;
        let store = Store::open(recipes.path(), None).map_err(said)?;
        built(&store, IMAGE)?;
        let image = built(&store, HOST)?;
        let cache = store.images_dir().parent().ok_or("the cache has no folder")?;
        let results = tempfile::tempdir().map_err(said)?;
        let mut devices = hardware::arguments();
        for (tag, path) in [
            ("checkout", root().as_path()),
            ("cache", cache),
            ("results", results.path()),
        ] {
            devices.extend(shared(tag, path));
        }
        let backend = Backend::Vm(VmConfig {
            memory_mib: MEMORY_MIB,
            cpus: 2,
            devices,
            cmdline_extra: hardware::KERNEL_ARGUMENTS.into(),
            program: program().into(),
            ..VmConfig::default()
        });
        let data = data::read(&root(), None).map_err(|errors| format!("{errors:?}"))?;
        let (prepared, mut session) =
            prepare(&data, &image, &SetRequest::plain("packaged"), &backend).map_err(said)?;
        session
            .load(prepared.base.compiled.policies(), prepared.base.set.overlay())
            .map_err(said)?;
        let mut host = Host { session, results };
        // As on anybody's host, whose kernel is told nothing special of what to log.
        host.done(&format!(
            "modprobe -a 9pnet_virtio 9p
            shared() {{ mkdir -p \"$2\"; mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,$3 \"$1\" \"$2\"; }}
            shared checkout '{}' ro
            shared cache {CACHE}/virt-aa-conform rw
            shared results {RESULTS} rw
            printf normal > /sys/module/apparmor/parameters/audit",
            root().display()
        ))?;
        Ok(host)
    }

    /// Run a script to its end; its exit status and all that it printed.
    pub fn run(&mut self, script: &str, limit: Duration) -> Result<(i32, String), String> {
        let script = format!(
            "exec 2>&1; set -eu; export HOME=/root XDG_CACHE_HOME={CACHE} PROGRAM='{program}' RESULTS={RESULTS}; mkdir -p '{root}'; cd '{root}'; {script}",
            program = program(),
            root = root().display()
        );
        let ran = self
            .session
            .run(&["/bin/bash", "-c", &script], limit)
            .map_err(said)?;
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        match ran.exit {
            Some(exit) => Ok((exit, text)),
            None => Err(format!("ended by signal {:?}: {text}", ran.signal)),
        }
    }

    /// Run a script that must end well.
    pub fn done(&mut self, script: &str) -> Result<String, String> {
        match self.run(script, Duration::from_secs(120))? {
            (0, text) => Ok(text),
            (exit, text) => Err(format!("{script}\nended with {exit}: {text}")),
        }
    }

    /// A file that the host has left in its `$RESULTS`.
    pub fn result(&self, name: &str) -> Result<String, String> {
        let path = self.results.path().join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Where it is here.
    pub fn results(&self) -> &Path {
        self.results.path()
    }
}

/// The checkout's recipes, and the host's.
fn recipes() -> Result<tempfile::TempDir, String> {
    let dir = tempfile::tempdir().map_err(said)?;
    for entry in fs::read_dir(root().join("vm-images")).map_err(said)? {
        let entry = entry.map_err(said)?;
        fs::copy(entry.path(), dir.path().join(entry.file_name())).map_err(said)?;
    }
    fs::write(dir.path().join(format!("{HOST}.yaml")), RECIPE).map_err(said)?;
    Ok(dir)
}

/// A folder that the machine can mount, by its tag.
fn shared(tag: &str, path: &Path) -> [String; 4] {
    [
        "-fsdev".into(),
        format!(
            "local,id={tag},path={},security_model=none,multidevs=remap",
            path.display()
        ),
        "-device".into(),
        format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]
}
