//! `cargo test` on a host with AppArmor.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::host::{root, with_host};

const LIMIT: Duration = Duration::from_secs(900);

/// As root on a host with AppArmor the cases are run there, and pass; a variable chooses otherwise. Some cases are enough:
/// another test runs all of them there.
pub fn cargo_test_chooses_the_host() -> Result<(), String> {
    let test = test_program()?;
    with_host(|host| {
        let script = format!(
            "export VIRT_AA_CONFORM_ROOT='{}'; exec '{}' network::",
            root().display(),
            test.display()
        );
        let (exit, text) = host.run(&script, LIMIT)?;
        let first = text.lines().next().unwrap_or_default();
        let passed =
            text.contains("test result: ok.") && text.contains("test network::packet-raw:all@libvirtd");
        if exit != 0 || !first.starts_with("backend host: AppArmor is on in this kernel") || !passed {
            return Err(format!("status {exit}: {text}"));
        }
        let wrong = format!("export VIRT_AA_CONFORM_BACKEND=hots; exec '{}'", test.display());
        match host.run(&wrong, LIMIT)? {
            (101 | 1, text) if text.contains("give one of vm, host, container") => Ok(()),
            other => Err(format!("a misspelt backend: {other:?}")),
        }
    })
}

/// The program that `cargo test` has built of the cases, beside this one: the newest.
fn test_program() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let dir = own.parent().ok_or("this test lies in no folder")?;
    let entries = fs::read_dir(dir).map_err(|error| error.to_string())?;
    let found = entries.flatten().filter(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        name.starts_with("conformance-") && !name.contains('.')
    });
    let age = |entry: &fs::DirEntry| {
        entry
            .metadata()
            .and_then(|meta| meta.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH)
    };
    found
        .max_by_key(age)
        .map(|entry| entry.path())
        .ok_or_else(|| "the test of the cases is not built; `cargo test --no-run` builds it".into())
}
