//! Running a parser: its results, its complaints, its silence.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use aa_policy::{CompileError, Compiled, Parser, resolve_inside};
use common::tree;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use rstest::rstest;
use tempfile::TempDir;

fn parser() -> Parser {
    Parser {
        program: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-parser"),
        loader: None,
        library_path: Vec::new(),
        root: None,
        config_file: None,
        features: None,
        timeout: Duration::from_secs(30),
    }
}

fn compile(parser: &Parser, text: &str) -> Result<Compiled, CompileError> {
    let dir = TempDir::new().unwrap();
    tree(&[("sub/p", text), ("abstractions/x", "")])
        .write_to(dir.path())
        .unwrap();
    parser.compile(dir.path(), "sub/p", &[])
}

#[test]
fn a_good_policy_has_its_binary_and_every_warning() {
    let compiled = compile(&parser(), "good what it warns of\n").unwrap();
    assert_eq!(compiled.binary, b"compiled C");
    assert_eq!(compiled.warnings, ["Warning: what it warns of"]);
}

#[rstest]
#[case::placed("error\n", "sub/abstractions/x:7: syntax error, unexpected x")]
#[case::line_only("plain\n", "sub/p:3: no good")]
#[case::free("free\n", "sub/p: something else went wrong")]
#[case::silent("silent\n", "sub/p: the parser ended with exit status: 3")]
#[case::nothing(
    "nothing\n",
    "sub/p: the parser ended without an error and compiled nothing: Skipping profile"
)]
fn a_bad_one_is_an_error_at_its_place(#[case] text: &str, #[case] message: &str) {
    assert_eq!(compile(&parser(), text).unwrap_err().to_string(), message);
}

#[test]
fn a_parser_that_hangs_is_ended_with_its_children() {
    let dir = TempDir::new().unwrap();
    tree(&[("p", "hang\n")]).write_to(dir.path()).unwrap();
    let alive = dir.path().join("alive");
    nix::unistd::mkfifo(&alive, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Open before anybody writes: a parser killed early has then left an empty pipe, and nobody waits for it.
    let pipe = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(alive)
        .unwrap();
    let parser = Parser {
        timeout: Duration::from_secs(1),
        ..parser()
    };
    let error = parser.compile(dir.path(), "p", &[]).unwrap_err();
    assert!(matches!(error, CompileError::TimedOut { .. }), "{error}");
    fcntl(&pipe, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let (send, ended) = mpsc::channel();
    thread::spawn(move || send.send(std::io::read_to_string(pipe)));
    ended
        .recv_timeout(Duration::from_secs(30))
        .expect("the parser and its children are gone")
        .unwrap();
}

#[test]
fn a_missing_parser_is_an_error() {
    let parser = Parser {
        program: PathBuf::from("/nowhere/parser"),
        ..parser()
    };
    assert!(matches!(
        compile(&parser, "good\n").unwrap_err(),
        CompileError::Start { .. }
    ));
    let root = TempDir::new().unwrap();
    assert!(matches!(
        Parser::from_tree(root.path()).unwrap_err(),
        CompileError::NoParser(_)
    ));
}

#[test]
fn the_images_configuration_is_obeyed_inside_the_image() {
    let root = TempDir::new().unwrap();
    let real = root.path().canonicalize().unwrap();
    std::fs::create_dir_all(real.join("usr/share/f")).unwrap();
    std::fs::write(real.join("usr/share/f/real"), "").unwrap();
    symlink("/usr/share/f/real", real.join("usr/share/features")).unwrap();
    let config = real.join("parser.conf");
    let text = "# policy-features=/nowhere\nquiet\nwrite-cache\n  cache-loc = /gone\nOptimize=no-minimize\npolicy-features=/usr/share/features\nInclude /etc/apparmor.d/more\n";
    std::fs::write(&config, text).unwrap();
    let parser = Parser {
        root: Some(real.clone()),
        config_file: Some(config.clone()),
        ..parser()
    };
    let seen = String::from_utf8(compile(&parser, "config\n").unwrap().binary).unwrap();
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[0], "Optimize=no-minimize");
    assert_eq!(
        lines[1],
        format!("policy-features={}", real.join("usr/share/f/real").display())
    );
    // What lies in the policy's base is taken from the tree at hand.
    assert!(
        lines[2].starts_with("Include=/") && lines[2].ends_with("/more"),
        "{}",
        lines[2]
    );
    assert!(!lines[2].contains("/etc/apparmor.d"), "{}", lines[2]);
    assert_eq!(lines.len(), 3);

    std::fs::write(&config, "policy-features=/usr/share/gone\n").unwrap();
    let error = compile(&parser, "config\n").unwrap_err();
    assert!(matches!(error, CompileError::Missing { .. }), "{error}");
}

#[test]
fn links_of_an_image_are_followed_inside_it() {
    let root = TempDir::new().unwrap();
    let real = root.path().canonicalize().unwrap();
    std::fs::create_dir_all(real.join("usr/lib/x")).unwrap();
    std::fs::write(real.join("usr/lib/x/file"), "").unwrap();
    symlink("usr/lib", real.join("lib")).unwrap();
    symlink("/lib/x", real.join("absolute")).unwrap();
    symlink("../../../../absolute/file", real.join("usr/up")).unwrap();
    symlink("loop", real.join("loop")).unwrap();
    let file = real.join("usr/lib/x/file");
    for path in [
        "/usr/lib/x/file",
        "/lib/x/file",
        "/absolute/file",
        "/usr/up",
        "/lib/../lib/./x/file",
    ] {
        assert_eq!(resolve_inside(&real, Path::new(path)).unwrap(), file, "{path}");
    }
    assert!(resolve_inside(&real, Path::new("/loop")).is_err());
    assert!(resolve_inside(&real, Path::new("/lib/y")).is_err());
}
