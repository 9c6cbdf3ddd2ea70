//! Saved states: a machine that is restored is as good as one that booted, and a state that is not good is made anew.
//!
//! The machines have an unusual amount of memory, so that no other run uses their states.

#![allow(clippy::unwrap_used)]

mod both_ways;
mod daemons;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use virt_aa_engine::backend::{Backend, VmConfig};
use virt_aa_engine::image::{self, BuildOptions, Image, Store};
use virt_aa_engine::prepare::{SetRequest, prepare};
use virt_aa_engine::session::Session;
use virt_aa_engine::state::{self, LoadedSet};
use virt_aa_model::data;
use virt_aa_model::fixture::Fixture;
use virt_aa_probe::protocol::FixtureOutcome;

const LIMIT: Duration = Duration::from_secs(60);

struct Machines {
    image: Image,
    backend: Backend,
    state: PathBuf,
}

impl Machines {
    /// No two tests may have the same amount, because each removes its state.
    fn of_memory(memory_mib: u32) -> Machines {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let name = std::env::var("VIRT_AA_CONFORM_IMAGE").unwrap_or_else(|_| "debian-13".into());
        let store = Store::open(&root.join("vm-images"), None).unwrap();
        let mut progress = image::progress_for_stderr(&name);
        let image = image::ensure(&store, &name, &BuildOptions::default(), progress.as_mut()).unwrap();
        let config = VmConfig {
            memory_mib,
            saved_states: true,
            program: env!("CARGO_BIN_EXE_virt-aa-conform").into(),
            ..VmConfig::default()
        };
        let state = state::dir_of(&image, &config, None).unwrap();
        // One of an earlier run of this test may be there.
        let _ = fs::remove_dir_all(&state);
        Machines {
            image,
            backend: Backend::Vm(config),
            state,
        }
    }

    fn config(&self) -> &VmConfig {
        match &self.backend {
            Backend::Vm(config) => config,
            Backend::Local(_) => unreachable!("they are virtual machines"),
        }
    }

    /// A machine, and what was told of its state.
    fn start(&self) -> (Session, Vec<String>) {
        let mut told = Vec::new();
        let tell = &mut |line: &str| told.push(line.to_owned());
        let session = state::start_and_tell(&self.image, &self.backend, tell).unwrap();
        (session, told)
    }

    /// The image's own set, with the canary's profile.
    fn packaged(&self) -> LoadedSet {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = data::read(&root, None).unwrap();
        let wanted = SetRequest::plain("packaged");
        let (prepared, _) = prepare(&data, &self.image, &wanted, &self.backend).unwrap();
        LoadedSet {
            policies: prepared.base.compiled.policies(),
            files: prepared.base.set.overlay(),
        }
    }

    /// The state that is there. No other file gets its inode number as long as it is open.
    fn held(&self) -> File {
        File::open(self.state.join("state.json")).unwrap()
    }

    fn is_still(&self, held: &File) -> bool {
        held.metadata().unwrap().ino() == self.held().metadata().unwrap().ino()
    }

    fn edit(&self, file: &str, edit: impl FnOnce(&File)) {
        let file = File::options().read(true).write(true).open(self.state.join(file));
        edit(&file.unwrap());
    }

    fn rewrite(&self, file: &str, edit: impl FnOnce(String) -> String) {
        let path = self.state.join(file);
        let text = edit(fs::read_to_string(&path).unwrap());
        fs::write(&path, text).unwrap();
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.state);
    }
}

fn output(session: &mut Session, command: &str) -> String {
    let ran = session.run(&["/bin/sh", "-c", command], LIMIT).unwrap();
    assert_eq!(ran.exit, Some(0));
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

#[test]
fn a_state_is_made_once_and_its_machines_differ_in_what_must_differ() {
    let machines = Machines::of_memory(640);
    let (first, told) = machines.start();
    assert_eq!(told, Vec::<String>::new());
    let made = machines.held();
    drop(first);
    let random = "od -An -tx1 -N16 /dev/urandom";
    // Two at once, of the same state.
    let (mut one, told) = machines.start();
    let (mut other, told_again) = machines.start();
    assert_eq!((told, told_again), (Vec::new(), Vec::new()));
    assert!(machines.is_still(&made));
    assert_ne!(output(&mut one, random), output(&mut other, random));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let clock: u64 = output(&mut one, "date +%s").parse().unwrap();
    assert!(clock.abs_diff(now.as_secs()) <= 5, "{clock} {now:?}");
    // What one machine writes is not in another one, and not in the state.
    output(&mut one, "echo written > /root/written && sync");
    assert_eq!(output(&mut other, "ls /root"), "");
    drop((one, other));
    let (mut third, told) = machines.start();
    assert_eq!(told, Vec::<String>::new());
    assert_eq!(output(&mut third, "ls /root"), "");
}

fn fixture(name: &str, up: &str) -> Fixture {
    Fixture {
        name: name.into(),
        summary: String::new(),
        facts: BTreeMap::new(),
        timeout: 60,
        machine: Vec::new(),
        modules: Vec::new(),
        saved: true,
        up: up.into(),
    }
}

#[test]
fn a_fixture_of_a_state_comes_up_once_and_one_that_does_not_come_up_has_no_state() {
    let machines = Machines::of_memory(643);
    let set = LoadedSet {
        policies: Vec::new(),
        files: BTreeMap::from([("/etc/apparmor.d/made-up".to_owned(), Some("text".to_owned()))]),
    };
    let start =
        |fixtures: &[&Fixture]| state::start_with(&machines.image, &machines.backend, &set, fixtures, &[]);
    let first = fixture(
        "first",
        "echo once >> /root/first; (echo 0 > $KEEP; touch /run/kept; exec sleep 1000 >/dev/null 2>&1) & \
         \"$AGENT\" await /run/kept 20; \
         echo random=$(cat /proc/sys/kernel/random/uuid)",
    );
    let second = fixture("second", "test -e /root/first; echo random=2");
    let random = |session: &mut Session| match session.fixture(&first).unwrap() {
        FixtureOutcome::Up { facts } => facts["random"].clone(),
        other => panic!("{other:?}"),
    };
    let mut one = start(&[&first, &second]).unwrap();
    let mut other = start(&[&first, &second]).unwrap();
    assert_eq!(random(&mut one), random(&mut other));
    assert!(one.has_fixture("second"));
    assert_eq!(
        output(&mut one, "cat /root/first /etc/apparmor.d/made-up"),
        "once\ntext"
    );
    assert_eq!(output(&mut one, "cat /proc/[0-9]*/comm | grep -cx sleep"), "1");
    for unfit in [fixture("broken", "exit 1"), fixture("unavailable", "exit 77")] {
        assert!(start(&[&unfit]).is_none());
        // Nothing of the unfinished state is left. Other programs may be making states of their own.
        let dir = state::dir_of(&machines.image, machines.config(), Some((&set, &[&unfit], &[]))).unwrap();
        let name = dir.file_name().unwrap().to_str().unwrap();
        assert!(!dir.exists());
        assert!(!dir.with_file_name(format!(".partial-{name}")).exists());
    }
    drop((one, other));
    let dir = state::dir_of(
        &machines.image,
        machines.config(),
        Some((&set, &[&first, &second], &[])),
    );
    fs::remove_dir_all(dir.unwrap()).unwrap();
}

#[test]
fn a_state_that_is_not_good_is_made_anew_with_one_line_that_says_why() {
    let machines = Machines::of_memory(641);
    drop(machines.start());
    let damages: [(&str, &dyn Fn()); 6] = [
        ("memory: this file is not as it was saved", &|| {
            machines.edit("memory", |file| file.write_all_at(b"damage", 100 << 20).unwrap());
        }),
        ("devices: this file is not as it was saved", &|| {
            machines.edit("devices", |file| file.set_len(1000).unwrap());
        }),
        ("made from something else", &|| {
            machines.rewrite("state.json", |text| text.replace("qemu-system", "qemu-other"));
        }),
        ("state.json: ", &|| {
            machines.rewrite("state.json", |_| "[]".into())
        }),
        ("disk.qcow2: ", &|| {
            machines.edit("disk.qcow2", |file| file.set_len(0).unwrap())
        }),
        ("No such file", &|| {
            fs::remove_file(machines.state.join("devices")).unwrap()
        }),
    ];
    // A state whose files are as they were saved, of a machine that this one is not.
    let other = Machines::of_memory(642);
    drop(other.start());
    let exchange = || {
        for file in ["memory", "devices", "disk.qcow2", "state.json"] {
            fs::copy(other.state.join(file), machines.state.join(file)).unwrap();
        }
        machines.rewrite("state.json", |text| {
            text.replace("memory_mib\\\":642", "memory_mib\\\":641")
        });
    };
    let exchanged: (&str, &dyn Fn()) = ("QEMU did not restore the machine", &exchange);
    for (says, damage) in damages.into_iter().chain([exchanged]) {
        let before = machines.held();
        damage();
        let (mut session, told) = machines.start();
        assert_eq!(told.len(), 1, "{says}: {told:?}");
        assert!(
            told[0].starts_with("the saved state is made anew: ") && told[0].contains(says),
            "{says}: {told:?}"
        );
        assert!(!machines.is_still(&before), "{says}");
        assert_eq!(output(&mut session, "echo up"), "up");
    }
}
