//! One machine for every test, and made-up cases for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use virt_aa_engine::backend::{Backend, VmConfig};
use virt_aa_engine::image::{self, BuildOptions, Store, progress_for_stderr};
use virt_aa_engine::prepare::{Prepared, SetRequest, prepare};
use virt_aa_engine::runner::Runner;
use virt_aa_model::case::expand::{Variant, expand};
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::data::{self, Data};

/// Cases that are about the harness, not about libvirt.
const CASES: &str = include_str!("cases.yaml");

/// A runner, and what it runs on.
pub struct Bench {
    pub data: &'static Data,
    pub prepared: &'static Prepared,
    pub runner: Runner<'static>,
}

static BENCH: Mutex<Option<Result<Bench, String>>> = Mutex::new(None);

/// Do something with the machine, which is booted for the first who asks.
pub fn with_bench(act: impl FnOnce(&mut Bench) -> Result<(), String>) -> Result<(), String> {
    let mut bench: MutexGuard<'_, _> = BENCH.lock().unwrap_or_else(PoisonError::into_inner);
    act(bench
        .get_or_insert_with(open)
        .as_mut()
        .map_err(|error| error.clone())?)
}

/// The checkout.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The program under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_virt-aa-conform")
}

/// The image's name.
pub fn image_name() -> String {
    std::env::var("VIRT_AA_CONFORM_IMAGE").unwrap_or_else(|_| "debian-13".into())
}

fn open() -> Result<Bench, String> {
    let dir = made_up_data().map_err(|error| error.to_string())?;
    let data = data::read(dir.path(), None).map_err(|errors| format!("{errors:?}"))?;
    let store = Store::open(&root().join("vm-images"), None).map_err(|error| error.to_string())?;
    let name = image_name();
    let mut progress = progress_for_stderr(&name);
    let image = image::ensure(&store, &name, &BuildOptions::default(), progress.as_mut())
        .map_err(|error| error.to_string())?;
    let backend = Backend::Vm(VmConfig {
        program: program().into(),
        ..VmConfig::default()
    });
    // They live as long as the process, as does the machine.
    let (data, backend): (&'static Data, &'static Backend) =
        (Box::leak(Box::new(data)), Box::leak(Box::new(backend)));
    let (prepared, session) =
        prepare(data, &image, &SetRequest::plain("packaged"), backend).map_err(|error| error.to_string())?;
    let prepared: &'static Prepared = Box::leak(Box::new(prepared));
    Ok(Bench {
        data,
        prepared,
        runner: Runner::new(data, prepared, backend, Some(session)),
    })
}

/// The checkout's profile sets with the made-up cases.
fn made_up_data() -> io::Result<tempfile::TempDir> {
    let dir = tempfile::tempdir()?;
    fs::create_dir_all(dir.path().join("cases/fixtures"))?;
    fs::create_dir_all(dir.path().join("profiles/known-bad"))?;
    fs::write(dir.path().join("cases/made-up.yaml"), CASES)?;
    for file in ["packaged.yaml", "known-bad/no-packet-raw.yaml"] {
        fs::copy(
            root().join("profiles").join(file),
            dir.path().join("profiles").join(file),
        )?;
    }
    Ok(dir)
}

impl Bench {
    /// The variant of a made-up case for libvirtd.
    pub fn variant(&self, name: &str) -> Result<Variant, String> {
        let loaded = self
            .data
            .cases
            .iter()
            .find(|loaded| loaded.case.name == name)
            .ok_or_else(|| format!("no case {name}"))?;
        let variants = expand(loaded, self.prepared.base.set.roles()).map_err(|none| none.to_string())?;
        variants
            .into_iter()
            .find(|variant| variant.id.ends_with("@libvirtd"))
            .ok_or_else(|| format!("{name} has no variant for libvirtd"))
    }

    /// Run a case with whatever is loaded as if it were the honest base set.
    pub fn run_as_loaded(&mut self, name: &str) -> Result<CaseRun, String> {
        let variant = self.variant(name)?;
        Ok(self.runner.run(&variant, &self.prepared.base, false))
    }

    /// Load the honest set, and run.
    pub fn run_honest(&mut self, name: &str) -> Result<CaseRun, String> {
        self.runner
            .load_anew(&self.prepared.base)
            .map_err(|error| error.to_string())?;
        self.run_as_loaded(name)
    }

    /// How long the machine may be silent beyond the case's own limits.
    pub fn set_grace(&mut self, grace: Duration) -> Result<(), String> {
        let session = self.runner.session().map_err(|error| error.to_string())?;
        session.limits.grace = grace;
        session.limits.short = grace;
        Ok(())
    }
}
