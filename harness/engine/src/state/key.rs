//! What a saved state depends on. A state is used only if all of it is as it was.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use virt_aa_model::fixture::Fixture;

use super::{CaseToKeep, LoadedSet};
use crate::backend::VmConfig;
use crate::backend::accel::Accelerator;
use crate::image::Image;
use crate::program_hash;
use crate::tools::{self, QEMU};

/// Raised whenever a state's files, or what the agent expects of a restored machine, change.
const FORMAT: u32 = 2;

/// How many hexadecimal digits of its hash name a state's folder.
pub(super) const DIGITS: usize = 16;

/// The processors of this machine, which a guest under KVM sees.
const CPU_INFO: &str = "/proc/cpuinfo";

/// Everything that the machine of a state was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateKey {
    format: u32,
    image: String,
    /// The program, which is the machine's agent.
    program: String,
    /// QEMU's file. An upgrade changes its size or its time.
    qemu: String,
    accelerator: String,
    memory_mib: u32,
    cpus: u32,
    devices: Vec<String>,
    cmdline: String,
    /// The host's processor and kernel under KVM.
    host: Option<String>,
    /// The steps after the boot, in order.
    then: Vec<Prepared>,
}

/// One step that prepared a machine after it had booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Prepared {
    /// A profile set was loaded, by the hash of its policies and files.
    Set(String),
    /// A fixture was brought up, with all that its file says.
    Fixture(String),
    /// A case was run, by the hash of all that its end depends on. What it left goes on.
    Case(String),
}

impl StateKey {
    /// The key of a machine that has just booted; `None` if something of it cannot be read, and then nothing is saved.
    pub fn of(image: &Image, config: &VmConfig) -> Option<StateKey> {
        let host = match config.accelerator {
            Accelerator::Tcg => None,
            Accelerator::Kvm => Some(host(&fs::read_to_string(CPU_INFO).ok()?)),
        };
        Some(StateKey {
            format: FORMAT,
            image: image.dir.display().to_string(),
            program: program_hash::of(&config.program).ok()?,
            qemu: identity(&tools::find(QEMU)?)?,
            accelerator: format!("{:?}", config.accelerator),
            memory_mib: config.memory_mib,
            cpus: config.cpus,
            devices: config.devices.clone(),
            cmdline: config.cmdline_extra.clone(),
            host,
            then: Vec::new(),
        })
    }

    /// The key of this machine after the set was loaded and the fixtures were brought up.
    pub fn with(&self, set: &LoadedSet, fixtures: &[&Fixture]) -> StateKey {
        let set = Prepared::Set(set.hash());
        self.after([set].into_iter().chain(fixtures.iter().map(brought_up)))
    }

    /// The key of this machine after a case's fixtures were brought up and the case was run.
    pub fn then(&self, case: &CaseToKeep<'_>) -> StateKey {
        let ran = Prepared::Case(case.identity.clone());
        self.after(case.fixtures.iter().map(brought_up).chain([ran]))
    }

    fn after(&self, more: impl Iterator<Item = Prepared>) -> StateKey {
        let mut key = self.clone();
        key.then.extend(more);
        key
    }

    /// The key as text, which a state keeps.
    pub fn text(&self) -> String {
        // Plain data always has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether a state with that key's text may be used again by this program with the QEMU that is installed.
    pub fn may_return(text: &str) -> bool {
        let own = program_hash::of(Path::new(program_hash::OWN)).ok();
        let qemu = tools::find(QEMU).and_then(|qemu| identity(&qemu));
        serde_json::from_str::<StateKey>(text)
            .is_ok_and(|key| key.format == FORMAT && Some(key.program) == own && Some(key.qemu) == qemu)
    }

    /// The name of the state's folder.
    pub fn name(&self) -> String {
        let mut name = hex::encode(Sha256::digest(self.text()));
        name.truncate(DIGITS);
        name
    }
}

fn brought_up(fixture: &&Fixture) -> Prepared {
    // Plain data always has a JSON form.
    Prepared::Fixture(serde_json::to_string(fixture).unwrap_or_default())
}

/// A file by its place, size and time.
fn identity(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let found = fs::metadata(&path).ok()?;
    Some(format!(
        "{} {} {}.{}",
        path.display(),
        found.len(),
        found.mtime(),
        found.mtime_nsec()
    ))
}

/// The first processor's lines that do not change from moment to moment, and the kernel's release.
fn host(cpu_info: &str) -> String {
    let first = cpu_info.split("\n\n").next().unwrap_or_default();
    let lines = first.lines().filter(|line| {
        [
            "vendor_id",
            "cpu family",
            "model",
            "stepping",
            "microcode",
            "flags",
        ]
        .iter()
        .any(|name| line.starts_with(name))
    });
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let lines: Vec<&str> = lines.chain([release.trim()]).collect();
    lines.join("\n")
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use rstest::rstest;
    use virt_aa_probe::protocol::Policy;

    use super::*;

    pub fn key() -> StateKey {
        StateKey {
            format: FORMAT,
            image: "/c/images/debian-13-0".into(),
            program: "p".into(),
            qemu: "/usr/bin/qemu 1 2.3".into(),
            accelerator: "Tcg".into(),
            memory_mib: 1,
            cpus: 1,
            devices: vec!["-device".into(), "x".into()],
            cmdline: "a=b".into(),
            host: None,
            then: Vec::new(),
        }
    }

    /// The key of a machine with that much memory.
    pub fn of_memory(memory_mib: u32) -> StateKey {
        StateKey { memory_mib, ..key() }
    }

    #[rstest]
    #[case::format(StateKey { format: FORMAT + 1, ..key() })]
    #[case::image(StateKey { image: "/c/images/debian-13-1".into(), ..key() })]
    #[case::program(StateKey { program: "q".into(), ..key() })]
    #[case::qemu(StateKey { qemu: "/usr/bin/qemu 1 2.4".into(), ..key() })]
    #[case::accelerator(StateKey { accelerator: "Kvm".into(), ..key() })]
    #[case::memory(StateKey { memory_mib: 769, ..key() })]
    #[case::cpus(StateKey { cpus: 2, ..key() })]
    #[case::devices(StateKey { devices: vec!["-device x".into()], ..key() })]
    #[case::command_line(StateKey { cmdline: "a=c".into(), ..key() })]
    #[case::host(StateKey { host: Some("flags: vmx".into()), ..key() })]
    #[case::set(key().with(&set("a"), &[]))]
    #[case::case_that_ran(key().then(&ran("c", Vec::new())))]
    fn each_part_makes_another_state(#[case] other: StateKey) {
        assert_ne!(other.name(), key().name());
        assert_ne!(other.text(), key().text());
        assert_eq!(key().name().len(), DIGITS);
    }

    fn ran<'a>(identity: &str, fixtures: Vec<&'a Fixture>) -> CaseToKeep<'a> {
        CaseToKeep {
            identity: identity.into(),
            fixtures,
            limit: Duration::ZERO,
            perform: &|_| Ok(None),
        }
    }

    fn set(binary: &str) -> LoadedSet {
        let policy = Policy {
            name: "p".into(),
            binary: binary.into(),
        };
        LoadedSet {
            policies: vec![policy],
            files: BTreeMap::new(),
        }
    }

    #[test]
    fn the_set_and_the_fixtures_and_the_cases_with_their_order_make_another_state() {
        let fixture = |name: &str, up: &str| Fixture {
            name: name.into(),
            summary: String::new(),
            facts: BTreeMap::new(),
            timeout: 1,
            machine: Vec::new(),
            modules: Vec::new(),
            saved: true,
            up: up.into(),
        };
        let (one, other) = (fixture("one", "a"), fixture("two", "a"));
        let with = |set_of: &str, fixtures: &[&Fixture]| key().with(&set(set_of), fixtures).name();
        let then = |of: &[CaseToKeep<'_>]| {
            let booted = key().with(&set("a"), &[&one]);
            of.iter().fold(booted, |key, case| key.then(case)).name()
        };
        let all = [
            with("a", &[]),
            with("b", &[]),
            with("a", &[&one]),
            with("a", &[&one, &other]),
            with("a", &[&other, &one]),
            with("a", &[&fixture("one", "b")]),
            then(&[ran("d", Vec::new())]),
            then(&[ran("e", Vec::new())]),
            then(&[ran("d", vec![&other])]),
            then(&[ran("d", Vec::new()), ran("e", Vec::new())]),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }

    #[test]
    fn only_a_state_of_this_program_and_this_qemu_may_return() {
        assert!(!StateKey::may_return("{}"));
        assert!(!StateKey::may_return(&key().text()));
        let own = StateKey {
            program: program_hash::of(Path::new(program_hash::OWN)).unwrap(),
            qemu: identity(&tools::find(QEMU).unwrap()).unwrap(),
            ..key()
        };
        assert!(StateKey::may_return(&own.text()));
        assert!(!StateKey::may_return(&StateKey { format: 0, ..own }.text()));
    }

    #[test]
    fn a_host_is_the_same_from_moment_to_moment() {
        let info = |mhz: u32, flags: &str| {
            format!("processor: 0\nvendor_id: x\ncpu MHz: {mhz}\nflags: {flags}\n\nprocessor: 1\n")
        };
        assert_eq!(host(&info(1, "vmx")), host(&info(2, "vmx")));
        assert_ne!(host(&info(1, "vmx")), host(&info(1, "svm")));
    }

    #[test]
    fn a_program_that_is_upgraded_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("qemu");
        assert_eq!(identity(&file), None);
        fs::write(&file, "one").unwrap();
        let one = identity(&file);
        fs::write(&file, "three").unwrap();
        assert!(one.is_some() && one != identity(&file));
    }
}
