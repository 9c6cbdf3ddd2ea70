//! Every variant of every case as a test of its own.
//!
//! The tests run on this host if AppArmor is on and the user is root, else in a virtual machine. The variables
//! `VIRT_AA_CONFORM_BACKEND` (vm, host or container), `VIRT_AA_CONFORM_ENGINE` and `VIRT_AA_CONFORM_IMAGE` override this
//! choice. The first line says what was chosen, and why.
//!
//! A virtual machine starts when the first selected test runs. So `--list`, or a filter that selects nothing, needs no
//! image. Under `cargo test`, all tests run in one process and share its virtual machines. Under cargo-nextest, each test has
//! a process of its own; the virtual machines then belong to a *keeper*, a process in the background that outlives them.
//!
//! Slow cases, which start guests, are ignored tests: `--ignored` or `--include-ignored` runs them.
//!
//! With `VIRT_AA_CONFORM_STRICT=1`, a skipped or vacuous case is a failure. Without it, `cargo test` shows the case as
//! ignored. cargo-nextest always shows it as failed, because there a test that has begun can no longer become ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::thread;

use clap::ValueEnum;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use nix::unistd::geteuid;
use virt_aa_conform::cli::args::{BackendArg, EngineArg};
use virt_aa_conform::cli::elsewhere;
use virt_aa_conform::report::human::{self, Paint};
use virt_aa_engine::children;
use virt_aa_engine::image::{self, Image, Store};
use virt_aa_engine::keeper::{self, Answer, Ask, Job, KeeperPaths, Target};
use virt_aa_engine::placement::{self, Placement};
use virt_aa_engine::profile_set::assemble::SetUnderTest;
use virt_aa_engine::target::{self, BackendName};
use virt_aa_model::case::expand::{Roles, expand};
use virt_aa_model::case::loaded::Loaded;
use virt_aa_model::data;
use virt_aa_model::profile_set::manifest::Manifest;
use virt_aa_model::verdict::judge::Verdict;

const BACKEND: &str = "VIRT_AA_CONFORM_BACKEND";
const ENGINE: &str = "VIRT_AA_CONFORM_ENGINE";
const IMAGE: &str = "VIRT_AA_CONFORM_IMAGE";
const ROOT: &str = "VIRT_AA_CONFORM_ROOT";
const STRICT: &str = "VIRT_AA_CONFORM_STRICT";
/// Set by cargo-nextest in each test's process.
const NEXTEST: &str = "NEXTEST";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if let Err(error) = children::install_signal_handler() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    if !arguments.list && !nextest() {
        match backend() {
            Ok((name, why)) => println!("backend {}: {why}", name.name()),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::FAILURE;
            }
        }
    }
    match trials(arguments.list) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The backend that a variable names, else the one that suits this machine, and why.
fn backend() -> Result<(BackendName, String), String> {
    if let Some(name) = variable::<BackendArg>(BACKEND)? {
        return Ok((name.into(), format!("{BACKEND} says so")));
    }
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled").unwrap_or_default();
    Ok(match (enabled.trim() == "Y", geteuid().is_root()) {
        (true, true) => (
            BackendName::Host,
            "AppArmor is on in this kernel, and this is root".into(),
        ),
        (true, false) => (BackendName::Vm, "this is not root".into()),
        (false, _) => (BackendName::Vm, "AppArmor is not on in this kernel".into()),
    })
}

/// A word of the command line, from a variable.
fn variable<T: ValueEnum>(name: &str) -> Result<Option<T>, String> {
    let Ok(value) = std::env::var(name) else {
        return Ok(None);
    };
    T::from_str(&value, false).map(Some).map_err(|_| {
        let known = T::value_variants()
            .iter()
            .filter_map(ValueEnum::to_possible_value);
        let known: Vec<String> = known.map(|value| value.get_name().to_string()).collect();
        format!("{name}={value}: give one of {}", known.join(", "))
    })
}

fn target() -> Result<Target, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = || here.ancestors().nth(2).unwrap_or(here).to_path_buf();
    let image = std::env::var(IMAGE).unwrap_or_else(|_| target::DEFAULT_IMAGE.into());
    Ok(Target {
        root: std::env::var_os(ROOT).map_or_else(root, PathBuf::from),
        target: target::Target::new(
            backend()?.0,
            variable::<EngineArg>(ENGINE)?.map(Into::into),
            &image,
        ),
        program: PathBuf::from(env!("CARGO_BIN_EXE_virt-aa-conform")),
    })
}

/// The tests. What is listed is what an image that is built has profiles for; without one, what every image must have.
/// A test may have been listed before the image was built and be run after, so that under nextest each name that any
/// list may have had is known.
fn trials(listing: bool) -> Result<Vec<Trial>, String> {
    let target = target()?;
    let data = data::read(&target.root, None).map_err(|errors| {
        let texts: Vec<String> = errors.iter().map(|error| error.render(false)).collect();
        texts.join("\n\n")
    })?;
    let manifest = data
        .sets
        .manifests
        .get(&target.target.profiles)
        .ok_or_else(|| format!("there is no profile set `{}`", target.target.profiles))?;
    let built = roles_of_image(&target, manifest)?;
    let certain = manifest.roles(|profile| !profile.optional);
    let possible = manifest.roles(|_| true);
    let views = match (&built, nextest()) {
        (_, true) if !listing => [built.as_ref(), Some(&certain), Some(&possible)],
        (Some(built), _) => [Some(built), None, None],
        (None, true) => [Some(&certain), None, None],
        (None, false) => [Some(&possible), None, None],
    };
    let left_out = left_out(&target, &data)?;
    let mut trials = BTreeMap::new();
    let mut elsewhere = Vec::new();
    let mut slow = BTreeSet::new();
    for loaded in &data.cases {
        let reason = left_out(loaded);
        if let Some(reason) = reason {
            let name = name(loaded, &loaded.case.name);
            let ignored = move || Ok(Completion::ignored_with(reason));
            // A list tells so; a run says why, but to cargo-nextest no test that has begun can.
            elsewhere.push(Trial::ignorable_test(name, ignored).with_ignored_flag(listing || nextest()));
            continue;
        }
        for roles in views.iter().flatten() {
            match expand(loaded, roles) {
                Ok(variants) => {
                    for variant in variants {
                        if loaded.case.slow {
                            slow.insert(name(loaded, &variant.id));
                        }
                        let ask = Ask::of(&variant);
                        trials.insert(name(loaded, &variant.id), (ask, false));
                    }
                }
                Err(_) => {
                    let ask = Ask {
                        case: loaded.case.name.clone(),
                        variant: None,
                        profiles: BTreeMap::new(),
                    };
                    // A list tells so; a run says why.
                    trials.insert(name(loaded, &loaded.case.name), (ask, listing));
                }
            }
        }
    }
    let trial = |(name, (ask, ignored))| {
        let ignored = ignored || slow.contains(&name);
        Trial::ignorable_test(name, move || check(ask)).with_ignored_flag(ignored)
    };
    Ok(trials.into_iter().map(trial).chain(elsewhere).collect())
}

fn name(loaded: &Loaded, id: &str) -> String {
    if loaded.group.is_empty() {
        id.to_string()
    } else {
        format!("{}::{id}", loaded.group.replace('/', "::"))
    }
}

/// Why a case is not run; nothing for one that is.
type Reason<'a> = Box<dyn Fn(&Loaded) -> Option<String> + 'a>;

/// Which cases are not run by this backend on this image.
fn left_out<'a>(target: &Target, data: &'a data::Data) -> Result<Reason<'a>, String> {
    if target.target.backend != BackendName::Vm {
        let daemon = elsewhere::running_daemon();
        return Ok(Box::new(move |loaded| {
            elsewhere::reason(data, loaded, daemon.as_deref())
        }));
    }
    let recipe = store(target)?
        .recipe(&target.target.image)
        .map_err(|error| error.to_string())?;
    let had = placement::of_recipe(&recipe);
    Ok(Box::new(move |loaded| {
        match placement::place(&placement::of_case(data, loaded), &had) {
            Placement::Here => None,
            Placement::Plainer => Some("it needs no image like this; the default one costs less".into()),
            Placement::Lacking(feature) => Some(feature.lack().into()),
        }
    }))
}

fn store(target: &Target) -> Result<Store, String> {
    Store::open(&target.root.join("vm-images"), None).map_err(|error| error.to_string())
}

/// The roles that a built image, or this host, has profiles for.
fn roles_of_image(target: &Target, manifest: &Manifest) -> Result<Option<Roles>, String> {
    let store = store(target)?;
    let image: Option<Image> = match target.target.backend {
        BackendName::Host => Some(image::this_host(&store).map_err(|error| error.to_string())?),
        _ => image::find(&store, &target.target.image).map_err(|error| error.to_string())?,
    };
    let Some(image) = image else { return Ok(None) };
    let set = SetUnderTest::assemble(manifest, &image.tree).map_err(|error| error.to_string())?;
    Ok(Some(set.roles().clone()))
}

fn nextest() -> bool {
    std::env::var_os(NEXTEST).is_some()
}

fn check(ask: Ask) -> Result<Completion, Failed> {
    let answer = if nextest() {
        keeper::ask(&target()?, &ask)?
    } else {
        ask_here(ask)?
    };
    let strict = std::env::var_os(STRICT).is_some_and(|value| value == "1");
    completion(answer, nextest(), strict)
}

/// What a verdict is to the test runner. Nothing but a green one passes.
fn completion(answer: Answer, under_nextest: bool, strict: bool) -> Result<Completion, Failed> {
    match answer.verdict {
        Verdict::Pass | Verdict::KnownFailure => Ok(Completion::Completed),
        Verdict::Skip | Verdict::Vacuous if under_nextest => Err(format!(
            "{}nothing was tested, and cargo-nextest cannot show that as ignored; leave the test out with -E, or \
             use cargo test",
            text(&answer)
        )
        .into()),
        Verdict::Skip | Verdict::Vacuous if !strict => Ok(Completion::ignored_with(
            answer
                .reason
                .unwrap_or_else(|| answer.verdict.name().to_string()),
        )),
        _ => Err(text(&answer).into()),
    }
}

/// The report for people.
fn text(answer: &Answer) -> String {
    match &answer.case {
        Some(case) => human::case(case, Paint(false)),
        None => answer.reason.clone().unwrap_or_default(),
    }
}

/// By the one machine of this process, which is booted for the first test.
fn ask_here(ask: Ask) -> Result<Answer, Failed> {
    static BENCH: OnceLock<Result<Mutex<mpsc::Sender<Job>>, String>> = OnceLock::new();
    let bench = BENCH.get_or_init(|| {
        let target = target()?;
        let place = KeeperPaths::of(&target).map_err(|error| error.to_string())?;
        let (jobs, queue) = mpsc::channel();
        thread::Builder::new()
            .name("bench".into())
            .spawn(move || keeper::work(&target, &place, queue))
            .map_err(|error| error.to_string())?;
        Ok(Mutex::new(jobs))
    });
    let (reply, answer) = mpsc::channel();
    bench
        .as_ref()
        .map_err(Failed::from)?
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send(Job { ask, reply })?;
    // Every wait below has its limit; if the thread panics, the sender is dropped.
    Ok(answer.recv()?)
}
