//! Sets that are put together from small made-up trees.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::assemble::SetUnderTest;
use super::open::{GivenDirs, OpenError, open};
use super::programs::Programs;
use super::spec::SetSpec;
use crate::image::{Image, ImageFacts};
use virt_aa_model::profile_set::manifest::Manifest;

const PROFILES: &str = "
profiles:
  - {name: daemon, file: usr.sbin.daemon, optional: true, roles: [daemon]}
  - {name: daemon//child, within: daemon, optional: true, roles: [child]}
  - {name: helper, file: usr.lib.helper, optional: true, roles: [helper]}
  - {name: guest, template: libvirt/TEMPLATE.qemu, placeholder: WORD, files: ['/disk rw,'], optional: true, roles: [guest]}
further: [abstractions/libvirt-qemu]
";
const GUEST: &str = "profile WORD {\n  #include <abstractions/libvirt-qemu>\n}\n";

fn manifest(from: &str) -> Manifest {
    serde_yaml::from_str(&format!("name: {from}\nsummary: s\nfrom: {from}\n{PROFILES}")).unwrap()
}

fn write(base: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = base.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// An image whose packages installed a daemon, a helper and what they include.
pub struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
        };
        let policy = [
            (
                "usr.sbin.daemon",
                "profile daemon /usr/sbin/daemon {\n  #include <abstractions/base>\n}\n",
            ),
            ("usr.lib.helper", "profile helper /usr/lib/helper {\n}\n"),
            ("abstractions/base", "  / r,\n"),
            ("abstractions/libvirt-qemu", "  /packaged r,\n"),
            ("local/usr.sbin.daemon", "  /local r,\n"),
            ("other", "profile other {\n}\n"),
        ];
        bench.write_policy(&policy);
        bench
    }

    /// Adds files to the image's policy.
    pub fn write_policy(&self, files: &[(&str, &str)]) {
        write(&self.dir.path().join("tree/etc/apparmor.d"), files);
    }

    /// The folder for what the command line gives.
    fn given(&self) -> PathBuf {
        self.dir.path().join("given")
    }

    fn source(&self, files: &[(&str, &str)]) {
        write(&self.given().join("src/security/apparmor"), files);
    }

    /// The image of the set.
    pub fn image(&self, parser: &str) -> Image {
        let path = |name: &str| self.dir.path().join(name);
        Image {
            name: "i".into(),
            dir: path(""),
            kernel: path("kernel"),
            hypervisor: None,
            initrd: path("initrd"),
            disk: path("disk"),
            tree: path("tree"),
            facts: ImageFacts {
                suite: "s".into(),
                kernel_release: "6.1".into(),
                parser_version: parser.into(),
                libvirt_version: "9".into(),
                packages: BTreeMap::new(),
                build_seconds: 1,
            },
        }
    }

    pub fn open(&self, from: &str, spec: &str, parser: &str) -> Result<SetUnderTest, OpenError> {
        let spec = SetSpec::parse(&spec.replace("DIR", &self.given().display().to_string()));
        let image = self.image(parser);
        let programs = Programs::parse("/usr/libexec/virt-aa-helper\n/usr/bin/libvirtd\n");
        let dirs = GivenDirs::from([("sysconfdir".to_owned(), "/conf".to_owned())]);
        open(&manifest(from), &spec, &dirs, &image, &programs)
    }

    fn of_source(&self) -> SetUnderTest {
        self.open("libvirt-source", "libvirt-source:DIR", "4.1.0")
            .unwrap()
    }
}

fn labels(set: &SetUnderTest, role: &str) -> Vec<String> {
    let chosen = set.roles().get(role).into_iter().flatten();
    chosen.map(|chosen| chosen.profile.clone()).collect()
}

#[test]
fn a_source_takes_the_place_of_the_images_own_files_and_of_no_others() {
    let bench = Bench::new();
    bench.source(&[
        ("usr.sbin.daemon.in", "profile daemon @sbindir@/daemon {\n  #include <abstractions/base>\n  @libexecdir@/x ix,\n  @sysconfdir@/y r,\n}\n"),
        ("libvirt-qemu", "  /given r,\n"),
        ("TEMPLATE", GUEST),
    ]);
    let set = bench.of_source();
    // The folders are those of the image's programs, or as given.
    let text = set.tree.get("usr.sbin.daemon").unwrap();
    assert!(text.contains("/usr/bin/daemon {"), "{text}");
    assert!(
        text.contains("/usr/libexec/x ix,") && text.contains("/conf/y r,"),
        "{text}"
    );
    assert_eq!(set.tree.get("abstractions/libvirt-qemu"), Some("  /given r,\n"));
    assert_eq!(set.tree.get("abstractions/base"), Some("  / r,\n"));
    assert!(set.tree.contains("other"));
    // The packaged helper is not part of the set, nor is the packaged daemon's local file.
    assert!(!set.tree.contains("usr.lib.helper"));
    assert!(!set.tree.contains("local/usr.sbin.daemon"));
    assert_eq!(labels(&set, "daemon"), ["daemon"]);
    assert_eq!(labels(&set, "guest"), ["guest"]);
    assert!(labels(&set, "helper").is_empty());
    assert_eq!(set.unusable, []);
    assert_eq!(set.provenance.folder.as_deref(), Some("src/security/apparmor"));
    // The folder is not in a repository.
    assert_eq!(set.provenance.revision, None);
    assert_eq!(set.provenance.apparmor, Some(3));
    // The machine removes the packaged files.
    assert_eq!(set.overlay()["/etc/apparmor.d/usr.lib.helper"], None);
}

#[test]
fn an_unnamed_profile_is_the_same_one_under_its_paths_name() {
    let bench = Bench::new();
    bench.source(&[
        (
            "usr.sbin.daemon",
            "/usr/sbin/daemon {\n  profile child {\n  }\n}\n",
        ),
        ("usr.lib.helper", "/usr/{lib,lib64}/helper {\n}\n"),
    ]);
    let set = bench.of_source();
    let chosen = &set.roles()["daemon"][0];
    assert_eq!(
        (chosen.name.as_str(), chosen.profile.as_str()),
        ("daemon", "/usr/sbin/daemon")
    );
    assert_eq!(labels(&set, "child"), ["/usr/sbin/daemon//child"]);
    assert_eq!(labels(&set, "helper"), ["/usr/{lib,lib64}/helper"]);
    // If there are two such profiles, neither is known to be the one.
    bench.source(&[("usr.lib.helper", "/a {\n}\n/b {\n}\n")]);
    let set = bench.of_source();
    assert!(labels(&set, "helper").is_empty());
    assert_eq!(set.unusable[0].file, "usr.lib.helper");
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_stay() {
    let bench = Bench::new();
    bench.source(&[
        ("usr.sbin.daemon", "profile daemon /d {\n}\n"),
        ("usr.lib.helper.in", "profile helper @bindir@/h {\n}\n"),
        ("TEMPLATE.qemu", "profile without-the-word {\n}\n"),
        ("usr.sbin.new", "profile new /n {\n  nonsense\n}\n"),
    ]);
    let set = bench.of_source();
    let files: Vec<&str> = set
        .unusable
        .iter()
        .map(|unusable| unusable.file.as_str())
        .collect();
    assert_eq!(files, ["usr.lib.helper", "libvirt/TEMPLATE.qemu", "usr.sbin.new"]);
    assert_eq!(labels(&set, "daemon"), ["daemon"]);
    assert!(labels(&set, "helper").is_empty() && labels(&set, "guest").is_empty());
    // In a packaged set this is an error.
    let packaged = bench.dir.path().join("tree/etc/apparmor.d");
    write(
        &packaged,
        &[("usr.lib.helper", "profile helper {\n  nonsense\n}\n")],
    );
    assert!(bench.open("packaged", "packaged", "4.1.0").is_err());
}

#[test]
fn profiles_that_nobody_has_a_role_for_are_loaded_all_the_same() {
    let bench = Bench::new();
    bench.source(&[
        ("usr.sbin.daemon", "profile daemon /d {\n}\n"),
        ("usr.sbin.new", "profile new /n {\n}\n"),
    ]);
    let set = bench.of_source();
    assert!(set.file_of("new").is_some());
}

#[test]
fn the_generation_is_the_images() {
    let bench = Bench::new();
    let marked = "profile daemon /d {\n@BEGIN_APPARMOR_2@\n  /two r,\n@END_APPARMOR_2@\n}\n";
    bench.source(&[("usr.sbin.daemon.in", marked)]);
    let of = |parser: &str| {
        let set = bench
            .open("libvirt-source", "libvirt-source:DIR", parser)
            .unwrap();
        (
            set.provenance.apparmor,
            set.tree.get("usr.sbin.daemon").unwrap().contains("/two"),
        )
    };
    assert_eq!(of("2.13.6-10"), (Some(2), true));
    assert_eq!(of("3.0.8-3"), (Some(3), false));
}

#[test]
fn a_checkout_tells_its_commit_and_whether_it_was_changed() {
    let bench = Bench::new();
    bench.source(&[("usr.sbin.daemon", "profile daemon /d {\n}\n")]);
    let git = |arguments: &str| {
        let words = arguments.split(' ').map(str::to_owned);
        let words = ["-C".to_owned(), bench.given().display().to_string()]
            .into_iter()
            .chain(words);
        duct::cmd("git", words).stdout_null().run().unwrap();
    };
    git("init -q .");
    git("add .");
    git("-c user.name=n -c user.email=e commit -q -m m");
    let clean = bench.of_source();
    assert_eq!(clean.provenance.modified, Some(false));
    let commit = clean.provenance.revision.clone().unwrap();
    bench.source(&[("usr.sbin.daemon", "profile daemon /d {\n  /new r,\n}\n")]);
    let changed = bench.of_source();
    assert_eq!(changed.provenance.modified, Some(true));
    assert_eq!(changed.provenance.revision.as_ref(), Some(&commit));
    assert_ne!(changed.tree.hash(), clean.tree.hash());
    // The revision has the committed files.
    let of_revision = bench
        .open("libvirt-source", "libvirt-source:DIR@HEAD", "4.1.0")
        .unwrap();
    assert_eq!(of_revision.tree.hash(), clean.tree.hash());
    assert_eq!(of_revision.provenance, clean.provenance);
}

#[test]
fn a_folder_takes_the_place_of_the_images_own_files() {
    let bench = Bench::new();
    write(
        &bench.given(),
        &[(
            "usr.sbin.daemon",
            "profile daemon /d {\n  #include <local/usr.sbin.daemon>\n}\n",
        )],
    );
    let set = bench.open("dir", "dir:DIR", "4.1.0").unwrap();
    assert_eq!(labels(&set, "daemon"), ["daemon"]);
    assert!(!set.tree.contains("usr.lib.helper") && set.tree.contains("other"));
    assert_eq!(set.tree.get("local/usr.sbin.daemon"), Some(""));
}

#[test]
fn folders_that_are_no_set() {
    let bench = Bench::new();
    let error = |from: &str, spec: &str| bench.open(from, spec, "4.1.0").unwrap_err().to_string();
    assert!(error("packaged", "packaged:DIR").contains("takes no folder"));
    assert!(error("dir", "dir").contains("--profiles dir:DIR"));
    assert!(error("dir", "dir:DIR").contains("No such file"));
    assert!(error("libvirt-source", "libvirt-source:DIR@-x").contains("is not a revision of"));
    write(&bench.given(), &[("usr.other", "")]);
    assert!(error("dir", "dir:DIR").contains("none of the set's files, as usr.sbin.daemon"));
    assert!(error("dir", "dir:DIR@HEAD").contains("a revision is of a `libvirt-source`"));
    assert!(error("libvirt-source", "libvirt-source:DIR").contains("has profiles neither in"));
    symlink("/etc/shadow", bench.given().join("usr.sbin.daemon")).unwrap();
    assert!(error("dir", "dir:DIR").contains("leads out of the tree"));
}

#[test]
fn a_file_with_a_name_that_is_taken_is_told_and_the_others_stay() {
    let bench = Bench::new();
    bench.source(&[
        ("usr.lib.helper.in", "profile helper /x {\n}\n"),
        (
            "usr.sbin.daemon.in",
            "profile daemon /y {\n}\nprofile virt-aa-conform-canary {\n}\n",
        ),
        ("usr.sbin.more.in", "profile helper /z {\n}\n"),
    ]);
    let set = bench.of_source();
    let unusable: Vec<&str> = set
        .unusable
        .iter()
        .map(|unusable| unusable.file.as_str())
        .collect();
    assert_eq!(unusable, ["usr.sbin.daemon", "usr.sbin.more"]);
    assert!(set.unusable[1].message.contains("helper is declared twice"));
    assert_eq!(labels(&set, "helper"), ["helper"]);
    assert!(labels(&set, "daemon").is_empty());
}

#[test]
fn the_harness_own_file_is_not_overwritten_without_a_word() {
    let bench = Bench::new();
    let file = "tree/etc/apparmor.d/virt-aa-conform-canary";
    fs::write(bench.dir.path().join(file), "profile more {\n}\n").unwrap();
    let error = bench
        .open("packaged", "packaged", "4.1.0")
        .unwrap_err()
        .to_string();
    assert!(error.contains("the name of the harness's own file"), "{error}");
}

#[test]
fn what_is_known_of_the_packaged_profiles_is_known_of_the_same_ones_by_another_name() {
    let bench = Bench::new();
    let of_image = bench.dir.path().join("tree/etc/apparmor.d");
    bench.write_policy(&[("libvirt/TEMPLATE.qemu", GUEST)]);
    let read = |file: &str| fs::read_to_string(of_image.join(file)).unwrap();
    let daemon = "usr.sbin.daemon";
    let with = |files: &[(&str, &str)]| {
        let own = ["usr.sbin.daemon", "usr.lib.helper", "libvirt/TEMPLATE.qemu"];
        for file in own.into_iter().chain(["abstractions/libvirt-qemu"]) {
            write(&bench.given(), &[(file, &read(file))]);
        }
        write(&bench.given(), files);
        bench.open("dir", "dir:DIR", "4.1.0").unwrap()
    };
    let known_as = |set: &SetUnderTest, label: &str| -> Vec<String> {
        set.known_as([label].into_iter())
            .into_iter()
            .map(str::to_owned)
            .collect()
    };
    let local = ("local/usr.sbin.daemon", read("local/usr.sbin.daemon"));
    let set = with(&[(local.0, &local.1)]);
    for label in ["daemon", "helper", "guest"] {
        assert_eq!(known_as(&set, label), ["dir", "packaged"], "{label}");
    }
    // One more comment.
    let text = read(daemon);
    let set = with(&[(local.0, &local.1), (daemon, &format!("# mine\n\n{text}"))]);
    assert_eq!(known_as(&set, "daemon"), ["dir", "packaged"]);
    // One more rule: only this profile loses its known failures.
    let set = with(&[(daemon, &text.replace('{', "{\n  /more r,"))]);
    assert_eq!(known_as(&set, "daemon"), ["dir"]);
    assert_eq!(known_as(&set, "helper"), ["dir", "packaged"]);
    // A change in an include, and one in the template.
    let set = with(&[("abstractions/libvirt-qemu", "  /other r,\n")]);
    assert_eq!(known_as(&set, "guest"), ["dir"]);
    let set = with(&[("libvirt/TEMPLATE.qemu", &GUEST.replace("}", "  /more r,\n}"))]);
    assert_eq!(known_as(&set, "guest"), ["dir"]);
}
