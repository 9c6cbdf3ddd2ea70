//! `doctor`: reports what this machine can run, what is missing, and how to install it.

use std::time::Duration;

use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use virt_aa_probe::local::{self, Engine, Traces};

use super::failure::Failure;
use super::output;
use crate::exit;
use virt_aa_engine::backend::VmConfig;
use virt_aa_engine::backend::accel::Accelerator;
use virt_aa_engine::capacity::{self, BESIDE_MIB};
use virt_aa_engine::children;
use virt_aa_engine::image::{self, Store};
use virt_aa_engine::root::Root;
use virt_aa_engine::setup;
use virt_aa_engine::state;
use virt_aa_engine::tools::{self, GIT, NEWUIDMAP, Tool, UNSHARE};

const MIB: u64 = 1024 * 1024;
/// Timeout for a tool that only reports whether it works.
const SHORT: Duration = Duration::from_secs(20);

/// The state of one requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is available.
    Good,
    /// It is missing, and the vm backend needs it.
    Missing,
    /// The program's own files cannot be read. This does not depend on the machine.
    Broken,
    /// A remark.
    Note,
}

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    state: State,
    what: &'static str,
    detail: String,
}

impl Finding {
    fn new(state: State, what: &'static str, detail: impl Into<String>) -> Finding {
        let detail = detail.into();
        Finding { state, what, detail }
    }
}

/// Check the machine and print the result. `root` is where the data files are, or why there are none.
pub fn doctor(root: Result<Root, Failure>) -> Result<u8, Failure> {
    let missing: Vec<Tool> = needed_tools()
        .filter(|tool| tools::find(*tool).is_none())
        .collect();
    let mut findings = vec![accelerator()];
    findings.extend(needed_tools().map(tool));
    findings.push(image_building());
    findings.push(memory(capacity::available_mib()));
    findings.extend(data(root));
    findings.push(git());
    findings.push(nextest());
    findings.extend(elsewhere());
    output::print(&report(&findings, &missing))?;
    Ok(status(&findings))
}

fn status(findings: &[Finding]) -> u8 {
    let any = |state| findings.iter().any(|finding| finding.state == state);
    if any(State::Broken) {
        exit::BROKEN
    } else if any(State::Missing) {
        exit::MISSING
    } else {
        exit::OK
    }
}

fn report(findings: &[Finding], missing: &[Tool]) -> String {
    let mut text = String::new();
    for Finding { state, what, detail } in findings {
        let state = match state {
            State::Good => "ok",
            State::Missing => "MISSING",
            State::Broken => "BROKEN",
            State::Note => "note",
        };
        text += &format!("{state:<8} {what:<20} {detail}\n");
    }
    text.push('\n');
    if !missing.is_empty() {
        text += &format!("install what is missing: {}\n", tools::install_command(missing));
    }
    text += match status(findings) {
        exit::OK => "everything for the vm backend is there\n",
        exit::BROKEN => "this program cannot work until what is BROKEN is mended\n",
        _ => "not all is well until what is MISSING is there, or done\n",
    };
    text
}

/// The needed tools. Root maps no user ids, so it does not need newuidmap.
fn needed_tools() -> impl Iterator<Item = Tool> {
    let root = geteuid().is_root();
    tools::ALL
        .iter()
        .copied()
        .filter(move |tool| !(root && *tool == NEWUIDMAP))
}

fn tool(tool: Tool) -> Finding {
    match tools::find(tool) {
        Some(path) => Finding::new(State::Good, tool.program, path.display().to_string()),
        None => Finding::new(
            State::Missing,
            tool.program,
            format!("{}; it is in the Debian package {}", tool.purpose, tool.package),
        ),
    }
}

fn accelerator() -> Finding {
    let detail = match Accelerator::detect() {
        Accelerator::Kvm => "kvm: the processor runs the machines",
        Accelerator::Tcg => "tcg: no usable /dev/kvm, so machines are emulated; slower, the same verdicts",
    };
    Finding::new(State::Good, "accelerator", detail)
}

/// Tries what a build does before it calls any other tool.
fn image_building() -> Finding {
    const WHAT: &str = "building images";
    if let Err(error) = image::check_tools(None) {
        return Finding::new(State::Missing, WHAT, error.to_string());
    }
    let Some(unshare) = tools::find(UNSHARE) else {
        return Finding::new(State::Missing, WHAT, "unshare is missing");
    };
    // Root in a container may not be allowed to do this.
    let (who, refused, attempt) = if geteuid().is_root() {
        (
            "as root",
            "root may make no mount namespace here; run it in a container that is privileged",
            duct::cmd!(unshare, "--mount", "--", "true"),
        )
    } else {
        (
            "as a user, in a user namespace",
            "this user may make no user namespace; build as root, or allow it",
            duct::cmd!(unshare, "--user", "--map-root-user", "--map-auto", "--", "true"),
        )
    };
    let mut said = String::new();
    let ended = children::run("unshare", attempt, SHORT, &mut |line| line.clone_into(&mut said));
    match ended {
        Ok(status) if status.success() => Finding::new(State::Good, WHAT, who),
        Ok(_) => Finding::new(State::Missing, WHAT, format!("{refused} ({said})")),
        Err(error) => Finding::new(State::Missing, WHAT, error.to_string()),
    }
}

fn memory(available: Option<u64>) -> Finding {
    const WHAT: &str = "memory";
    let needed = u64::from(VmConfig::default().memory_mib) + BESIDE_MIB;
    match available {
        Some(free) if free < needed => Finding::new(
            State::Missing,
            WHAT,
            format!("{free} MiB available; a machine and its keeper take {needed}"),
        ),
        Some(free) => Finding::new(
            State::Good,
            WHAT,
            format!("{free} MiB available; a machine and its keeper take {needed}"),
        ),
        None => Finding::new(State::Note, WHAT, "/proc/meminfo does not tell"),
    }
}

/// The source of the data files, their images, and the disk space for those that are not built.
fn data(root: Result<Root, Failure>) -> Vec<Finding> {
    const WHAT: &str = "data files";
    let root = match root {
        Ok(root) => root,
        Err(failure) => return vec![Finding::new(State::Broken, WHAT, failure.message)],
    };
    let mut findings = vec![Finding::new(State::Good, WHAT, root.to_string())];
    findings.extend(images(&root));
    findings
}

fn images(root: &Root) -> Vec<Finding> {
    const WHAT: &str = "images";
    let looked = setup::store(root).and_then(|store| {
        let rows = image::list(&store).map_err(setup::of_image)?;
        Ok((store, rows))
    });
    let (store, rows) = match looked {
        Ok(looked) => looked,
        Err(error) => return vec![Finding::new(State::Broken, WHAT, error.to_string())],
    };
    let mut findings = vec![space(&store), states(&store)];
    findings.extend(rows.iter().map(|row| {
        let state = match row.state {
            image::ImageState::Built => State::Good,
            image::ImageState::Missing => State::Note,
        };
        Finding::new(state, "image", row.to_string())
    }));
    findings
}

fn space(store: &Store) -> Finding {
    const WHAT: &str = "room for images";
    let dir = store.images_dir();
    // The folder does not exist before the first build.
    let there = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let free = match statvfs(there) {
        Ok(stat) => stat.blocks_available() * stat.fragment_size() / MIB,
        Err(error) => return Finding::new(State::Note, WHAT, format!("{}: {error}", there.display())),
    };
    let built = matches!(image::find(store, image::DEFAULT), Ok(Some(_)));
    let needed = match store.recipe(image::DEFAULT) {
        Ok(recipe) => image::needed_mib(&recipe),
        Err(error) => return Finding::new(State::Missing, WHAT, error.to_string()),
    };
    let state = if built || free >= needed {
        State::Good
    } else {
        State::Missing
    };
    let detail = format!(
        "{free} MiB free in {}; building one takes {needed}",
        dir.display()
    );
    Finding::new(state, WHAT, detail)
}

fn states(store: &Store) -> Finding {
    let states = state::all(store.images_dir());
    let bytes: u64 = states.iter().map(|state| state.bytes).sum();
    let detail = match states.len() {
        0 => "none yet; the first machine of an image boots and is saved".to_owned(),
        count => format!("{count}, {} MiB of at most {}", bytes / MIB, state::SPACE / MIB),
    };
    Finding::new(State::Note, "saved states", detail)
}

fn git() -> Finding {
    match tools::find(GIT) {
        Some(path) => Finding::new(State::Good, GIT.program, path.display().to_string()),
        None => {
            let detail = format!(
                "not installed; {}; it is in the Debian package {}",
                GIT.purpose, GIT.package
            );
            Finding::new(State::Note, GIT.program, detail)
        }
    }
}

fn nextest() -> Finding {
    const WHAT: &str = "cargo-nextest";
    match which::which(WHAT) {
        Ok(path) => Finding::new(State::Good, WHAT, path.display().to_string()),
        Err(_) => Finding::new(
            State::Note,
            WHAT,
            "not installed; not needed: `cargo test` does (cargo install --locked cargo-nextest)",
        ),
    }
}

/// The host and container backends. The vm backend brings its own kernel.
fn elsewhere() -> Vec<Finding> {
    let what = "host backend";
    let detail = match (local::unfit(), geteuid().is_root()) {
        (Some(why), _) => format!("not here: {why} (the vm backend does not need it)"),
        (None, false) => "as root: AppArmor is on in this kernel".into(),
        (None, true) => "AppArmor is on in this kernel".into(),
    };
    let engines: Vec<&str> = Engine::ALL
        .iter()
        .filter(|engine| which::which(engine.program()).is_ok())
        .map(|engine| engine.name())
        .collect();
    let engines = match (local::unfit(), engines.as_slice()) {
        (Some(_), _) => "not here, as the host backend".into(),
        (None, []) => {
            let packages: Vec<&str> = Engine::ALL.iter().map(|engine| engine.package()).collect();
            format!(
                "no engine is installed; one of the Debian packages {}",
                packages.join(", ")
            )
        }
        (None, engines) => format!("by {}", engines.join(", ")),
    };
    let mut findings = vec![
        Finding::new(State::Note, what, detail),
        Finding::new(State::Note, "container backend", engines),
    ];
    match local::traces() {
        Traces::None => {}
        Traces::UnderWay => findings.push(Finding::new(State::Note, what, "a run is under way")),
        Traces::Left => findings.push(Finding::new(
            State::Missing,
            what,
            "a run that was killed left something behind; `virt-aa-conform doctor --repair` undoes it",
        )),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Some(2048), State::Good)]
    #[case(Some(200), State::Missing)]
    #[case(None, State::Note)]
    fn a_machine_must_fit_the_memory(#[case] available: Option<u64>, #[case] state: State) {
        assert_eq!(memory(available).state, state);
    }

    #[test]
    fn data_that_are_not_there_are_broken_and_say_why() {
        let found = data(Err(Failure::usage("no such folder")));
        assert_eq!(status(&found), exit::BROKEN);
        assert_eq!(found[0].detail, "no such folder");
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("vm-images")).unwrap();
        let found = data(Ok(Root::at(dir.path())));
        assert_eq!((found[0].state, found[0].what), (State::Good, "data files"));
    }

    #[test]
    fn one_missing_thing_makes_the_status() {
        let good = Finding::new(State::Good, "memory", "");
        let note = Finding::new(State::Note, "images", "");
        let missing = Finding::new(State::Missing, "mke2fs", "");
        assert_eq!(status(&[good, note]), exit::OK);
        assert_eq!(status(&[missing]), exit::MISSING);
    }

    #[test]
    fn all_that_is_missing_is_installed_at_once() {
        let text = report(
            &[Finding::new(
                State::Missing,
                "mke2fs",
                "makes an image's root disk",
            )],
            &[tools::MKE2FS, tools::QEMU],
        );
        assert!(
            text.contains("apt-get install --no-install-recommends e2fsprogs qemu-system-x86\n"),
            "{text}"
        );
        assert!(text.starts_with("MISSING  mke2fs  "), "{text}");
    }

    #[test]
    fn the_debian_package_brings_every_tool() {
        // Every Debian has this one.
        const ESSENTIAL: &str = "util-linux";
        let manifest = include_str!("../../Cargo.toml");
        let (_, package) = manifest.split_once("[package.metadata.deb]").unwrap();
        let named = |package_name: &str| {
            let fields = ["depends", "recommends", "suggests"].map(|field| format!("{field} = \""));
            let lines = package.lines().filter_map(|line| {
                fields
                    .iter()
                    .find_map(|field| line.strip_prefix(field.as_str())?.strip_suffix('"'))
            });
            lines
                .flat_map(|line| line.split(", "))
                .any(|name| name == package_name)
        };
        let tools = tools::ALL.iter().chain([&GIT]);
        for tool in tools.filter(|tool| tool.package != ESSENTIAL) {
            assert!(
                named(tool.package),
                "harness/conform/Cargo.toml lacks {}",
                tool.package
            );
        }
        assert!(!named("mmdebstrap-of-another-name"));
    }

    #[test]
    fn the_setup_script_installs_every_tool() {
        let script = include_str!("../../../../ci/setup");
        for tool in tools::ALL {
            let line = format!("need {} {}\n", tool.program, tool.package);
            assert!(script.contains(&line), "ci/setup lacks: {line}");
        }
    }
}
