//! Sets that the command line gives, and two sets compared, through the program itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::machine::{image_name, program, root};

/// How `run` ended with these arguments, and its report.
fn run(arguments: &[&str]) -> Result<(i32, Value), String> {
    let image = image_name();
    let out = Command::new(program())
        .args([
            "run",
            "--format",
            "json",
            "--timeout",
            "300",
            "--image",
            &image,
            "--root",
        ])
        .arg(root())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&out.stderr);
    let report = serde_json::from_slice(&out.stdout).map_err(|error| format!("{error}; {said}"))?;
    Ok((out.status.code().unwrap_or(-1), report))
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, want: &T) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    Err(format!("{what}: {got:?}, not {want:?}"))
}

/// A set that is worse in one negative case and in one positive, and as before in a third.
pub fn worse_than_its_base() -> Result<(), String> {
    let cases = ["guest-other-disk-denied", "guest-own-disk"];
    let bad = ["--base", "packaged", "--known-bad", "guests-share-disks"];
    let (status, report) = run(&[&bad[..], &cases[..]].concat())?;
    equal("status", &status, &1)?;
    equal("worse", &report["worse"], &Value::Bool(true))?;
    equal("as before", &report["as_before"], &Value::from(1))?;
    equal("kind", &report["differences"][0]["kind"], &Value::from("allows"))?;
    equal(
        "before",
        &report["differences"][0]["base"]["verdict"],
        &Value::from("pass"),
    )?;
    equal(
        "now",
        &report["differences"][0]["set"]["verdict"],
        &Value::from("fail"),
    )?;
    equal("others", &report["differences"][1], &Value::Null)
}

/// Of a source tree with a file that no parser takes the others are run, and the run is not green.
pub fn a_file_that_no_parser_takes() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder = dir.path().join("src/security/apparmor");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text);
    let daemon = "#include <tunables/global>\n/usr/sbin/libvirtd {\n  #include <abstractions/base>\n  / r,\n  /** rwmkl,\n  \
        capability net_raw,\n  network packet raw,\n  #include <local/usr.sbin.libvirtd>\n}\n";
    fs::create_dir_all(&folder)
        .and_then(|()| write("usr.sbin.libvirtd", daemon))
        .and_then(|()| {
            write(
                "usr.lib.libvirt.virt-aa-helper.in",
                "profile virt-aa-helper @libexecdir@/x {\n  nonsense,\n}\n",
            )
        })
        .map_err(|error| error.to_string())?;
    let set = format!("libvirt-source:{}", dir.path().display());
    let (status, report) = run(&["--profiles", &set, "packet-raw:zero"])?;
    equal("status", &status, &1)?;
    equal("verdict", &report["cases"][0]["verdict"], &Value::from("pass"))?;
    // An unnamed profile is called by its path.
    equal(
        "label",
        &report["cases"][0]["evidence"]["label"],
        &Value::from("/usr/sbin/libvirtd"),
    )?;
    let unusable = &report["run"]["profile_set"]["unusable"];
    equal(
        "file",
        &unusable[0]["file"],
        &Value::from("usr.lib.libvirt.virt-aa-helper"),
    )?;
    let message = unusable[0]["message"].as_str().unwrap_or_default();
    if !message.contains("syntax error") {
        return Err(format!("these are not the parser's words: {message}"));
    }
    // The control: without that file it is green.
    remove(&folder.join("usr.lib.libvirt.virt-aa-helper.in"))?;
    let (status, _) = run(&["--profiles", &set, "packet-raw:zero"])?;
    equal("status without the file", &status, &0)
}

fn remove(file: &Path) -> Result<(), String> {
    fs::remove_file(file).map_err(|error| error.to_string())
}
