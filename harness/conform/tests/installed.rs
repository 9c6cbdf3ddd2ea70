//! The program as it is installed: in an empty folder, without a checkout, without an environment.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// An empty folder to be in, and a home.
struct Installation {
    dir: TempDir,
}

/// How a command ended.
#[derive(Debug)]
struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Installation {
    fn new() -> Installation {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        Installation { dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// A root with one recipe, whose name tells which root it is.
    fn root(&self, name: &str, mark: &str) -> String {
        for folder in ["cases", "profiles", "vm-images"] {
            fs::create_dir_all(self.dir.path().join(name).join(folder)).unwrap();
        }
        let recipe = "suite: trixie\npackages: []\nkernel: k\nmodules: []\nfilesystem: {size_mib: 900}\n";
        fs::write(
            self.dir.path().join(format!("{name}/vm-images/{mark}.yaml")),
            recipe,
        )
        .unwrap();
        self.path(name)
    }

    fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        self.run_in("empty", arguments, variables)
    }

    fn run_in(&self, folder: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_virt-aa-conform"))
            .args(arguments)
            .current_dir(self.dir.path().join(folder))
            .env_clear()
            .env("HOME", self.path("home"))
            .env("PATH", "/usr/bin:/bin")
            // What this machine has installed is not looked at.
            .env("XDG_DATA_DIRS", self.path("none"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        Ended {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn checkout() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap()
}

#[test]
fn from_an_empty_folder_it_is_as_from_a_checkout() {
    let place = Installation::new();
    let checkout = checkout().display().to_string();
    for command in [
        ["check"].as_slice(),
        &["list", "--format", "json"],
        &["image", "list"],
        &["plan"],
        &["completions", "zsh"],
    ] {
        let built_in = place.run(command, &[]);
        assert_eq!(built_in.status, Some(0), "{command:?}: {built_in:?}");
        assert!(built_in.out.len() > 50, "{command:?}: {built_in:?}");
        let there = place.run(&[command, &["--root", &checkout]].concat(), &[]);
        assert_eq!(built_in.out, there.out, "{command:?}");
    }
    let doctor = place.run(&["doctor"], &[]).out;
    assert!(
        doctor.contains("data files           built in, unpacked to "),
        "{doctor}"
    );
}

#[test]
fn each_place_comes_before_the_next() {
    let place = Installation::new();
    let data_dirs = place.path("dirs");
    place.root("dirs/virt-aa-conform", "of-data-dirs");
    place.root("home/.local/share/virt-aa-conform", "of-data-home");
    place.root("checkout", "of-checkout");
    fs::create_dir(place.dir.path().join("checkout/below")).unwrap();
    let (flag, variable) = (
        place.root("flag", "of-flag"),
        place.root("variable", "of-variable"),
    );
    let root = ("VIRT_AA_CONFORM_ROOT", variable.as_str());
    let dirs = ("XDG_DATA_DIRS", data_dirs.as_str());
    let list = ["image", "list"];
    let by_flag = ["image", "list", "--root", &flag];
    let listed = |ended: Ended| ended.out.split_whitespace().next().map(str::to_owned);
    let in_checkout = "checkout/below";
    let all = [
        (place.run_in(in_checkout, &by_flag, &[root, dirs]), "of-flag"),
        (place.run_in(in_checkout, &list, &[root, dirs]), "of-variable"),
        (place.run_in(in_checkout, &list, &[dirs]), "of-checkout"),
        (place.run(&list, &[dirs]), "of-data-home"),
        (
            place.run(&list, &[dirs, ("XDG_DATA_HOME", &place.path("none"))]),
            "of-data-dirs",
        ),
        (
            place.run(&list, &[("XDG_DATA_HOME", &place.path("none"))]),
            "debian-11",
        ),
    ];
    for (ended, expected) in all {
        let shown = format!("{ended:?}");
        assert_eq!(listed(ended).as_deref(), Some(expected), "{shown}");
    }
}

#[test]
fn a_root_that_is_named_and_is_none_is_told() {
    let place = Installation::new();
    let ended = place.run(&["check", "--root", "."], &[]);
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.err.contains("has no cases/, no profiles/, no vm-images/; "),
        "{ended:?}"
    );
    let ended = place.run(&["check"], &[("VIRT_AA_CONFORM_ROOT", "/nowhere")]);
    assert!(
        ended.status == Some(2) && ended.err.contains("/nowhere"),
        "{ended:?}"
    );
    let ended = place.run(&["check"], &[("HOME", "")]);
    assert!(
        ended.status == Some(4) && ended.err.contains("XDG_CACHE_HOME"),
        "{ended:?}"
    );
}

#[test]
fn other_cases_take_the_place_of_those_that_are_built_in() {
    let place = Installation::new();
    let of = "cases/network/packet-raw.yaml";
    fs::create_dir(place.dir.path().join("empty/mine")).unwrap();
    let text = fs::read_to_string(checkout().join(of)).unwrap();
    let mine = place.dir.path().join("empty/mine/one.yaml");
    fs::write(&mine, text.replace("name: packet-raw", "name: my-own")).unwrap();
    for arguments in [["--cases", "mine", "list"], ["list", "--cases", "mine"]] {
        let ended = place.run(&arguments, &[]);
        assert!(
            ended.out.starts_with("my-own\n") && ended.out.contains("\n1 case, "),
            "{ended:?}"
        );
    }
    // Known failures, fixtures and profile sets are still those that are built in.
    let ended = place.run(&["check", "--cases", "mine"], &[]);
    let fixtures = fs::read_dir(checkout().join("cases/fixtures")).unwrap();
    let fixtures = fixtures
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|kind| kind == "yaml"))
        .count();
    assert!(
        ended
            .out
            .starts_with(&format!("1 case, {fixtures} fixtures, 3 profile sets")),
        "{ended:?}"
    );
    // A place in it is told as it was named.
    fs::write(&mine, text.replace("summary:", "sumary:")).unwrap();
    let ended = place.run(&["check", "--cases", "mine"], &[]);
    assert!(
        ended.status == Some(2) && ended.err.contains("mine/one.yaml:"),
        "{ended:?}"
    );
    let ended = place.run(&["check", "--cases", "none"], &[]);
    assert!(
        ended.status == Some(2) && ended.err.contains("none is not a folder"),
        "{ended:?}"
    );
}

#[test]
fn data_that_were_changed_in_the_cache_are_not_used() {
    let place = Installation::new();
    let before = place.run(&["list"], &[]).out;
    let data = place.dir.path().join("home/.cache/virt-aa-conform/data");
    let unpacked = fs::read_dir(&data).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(unpacked.join("cases/network/packet-raw.yaml")).unwrap();
    // The control: that folder is where they are read from.
    let broken = place.run(&["list", "--root", &unpacked.display().to_string()], &[]);
    assert_ne!(broken.out, before);
    assert_eq!(place.run(&["list"], &[]).out, before);
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}
