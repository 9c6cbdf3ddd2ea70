//! The formats, read by programs that others wrote. The made-up run of the golden files goes through the program's own
//! `merge`. Without its reader a test is ignored, and says how to get it; with `VIRT_AA_CONFORM_READERS=required` it fails.
//! `ci/readers` installs them all.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use boon::{Compiler, Schemas};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

type Outcome = Result<Completion, Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        Trial::ignorable_test("json_is_what_its_schema_says", json),
        Trial::ignorable_test("junit_is_what_the_xsd_says", junit),
        Trial::ignorable_test("sarif_is_what_its_schema_says", sarif),
        Trial::ignorable_test("tap_is_counted_by_tap_parser", tap),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The made-up run's cases, by verdict.
fn summary() -> Result<Value, Failed> {
    Ok(parsed(&std::fs::read_to_string(here("tests/golden/run.json"))?)?["summary"].take())
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The made-up run in a format, into a file, as the program writes it.
fn written(format: &str) -> Result<(tempfile::TempDir, PathBuf), Failed> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("report");
    let output = Command::new(env!("CARGO_BIN_EXE_virt-aa-conform"))
        .arg("merge")
        .arg(here("tests/golden/run.json"))
        .arg("--report")
        .arg(format!("{format}:{}", file.display()))
        .output()?;
    // The run has an error among its verdicts.
    if output.status.code() != Some(4) {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok((dir, file))
}

fn parsed(text: &str) -> Result<Value, Failed> {
    serde_json::from_str(text).map_err(|error| error.to_string().into())
}

/// Check a value by a schema, and that the schema refuses what `spoil` makes of it.
fn by_schema(schema: Value, value: &Value, spoil: impl FnOnce(&mut Value)) -> Outcome {
    let mut schemas = Schemas::new();
    let mut compiler = Compiler::new();
    let place = "file:///schema.json";
    compiler.add_resource(place, schema)?;
    let index = compiler.compile(place, &mut schemas)?;
    schemas
        .validate(value, index)
        .map_err(|error| error.to_string())?;
    let mut spoilt = value.clone();
    spoil(&mut spoilt);
    match schemas.validate(&spoilt, index) {
        Ok(()) => Err("the schema takes a spoilt report too".into()),
        Err(_) => Ok(Completion::Completed),
    }
}

fn json() -> Outcome {
    let (_dir, file) = written("json")?;
    let schema = Command::new(env!("CARGO_BIN_EXE_virt-aa-conform"))
        .args(["schema", "report"])
        .output()?;
    let schema = parsed(&String::from_utf8(schema.stdout)?)?;
    let report = parsed(&std::fs::read_to_string(file)?)?;
    by_schema(schema, &report, |report| {
        report["cases"][0]["verdict"] = "green".into()
    })
}

/// By the schema that comes with the serde-sarif package.
fn sarif() -> Outcome {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        // Packages for other systems need not have been downloaded.
        .args(["--filter-platform", &platform])
        .current_dir(here(""))
        .output();
    let Some(metadata) = output
        .ok()
        .and_then(|output| serde_json::from_slice::<Value>(&output.stdout).ok())
    else {
        return missing("cargo metadata does not say where serde-sarif is");
    };
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let schema = packages
        .iter()
        .find(|package| package["name"] == "serde-sarif")
        .and_then(|package| Path::new(package["manifest_path"].as_str()?).parent())
        .and_then(|dir| std::fs::read_to_string(dir.join("src/schema.json")).ok());
    let Some(schema) = schema else {
        return missing("the serde-sarif package has no schema.json");
    };
    let (_dir, file) = written("sarif")?;
    let report = parsed(&std::fs::read_to_string(file)?)?;
    by_schema(parsed(&schema)?, &report, |report| {
        report["runs"][0]["results"][0]["level"] = "red".into();
    })
}

/// By the schema of Jenkins' and Surefire's JUnit files.
fn junit() -> Outcome {
    let Ok(xmllint) = which::which("xmllint") else {
        return missing("xmllint is not installed (ci/readers installs it)");
    };
    let validate = |file: &Path| {
        Command::new(&xmllint)
            .args(["--noout", "--nonet", "--schema"])
            .arg(here("tests/schemas/junit-10.xsd"))
            .arg(file)
            .output()
    };
    let (dir, file) = written("junit")?;
    for file in [file.clone(), here("tests/golden/prove.junit.xml")] {
        let output = validate(&file)?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
    }
    let spoilt = dir.path().join("spoilt");
    std::fs::write(
        &spoilt,
        std::fs::read_to_string(&file)?.replacen("<testcase name=", "<testcase nom=", 1),
    )?;
    if validate(&spoilt)?.status.success() {
        return Err("the schema takes a spoilt report too".into());
    }
    Ok(Completion::Completed)
}

fn missing(message: &str) -> Outcome {
    if std::env::var("VIRT_AA_CONFORM_READERS").is_ok_and(|value| value == "required") {
        return Err(message.into());
    }
    Ok(Completion::ignored_with(message))
}

fn tap() -> Outcome {
    let Ok(parser) = which::which("tap-parser") else {
        return missing("tap-parser is not installed (ci/readers installs it)");
    };
    let (_dir, file) = written("tap")?;
    let output = Command::new(parser)
        .arg("--json")
        .stdin(std::fs::File::open(file)?)
        .output()?;
    if output.status.success() {
        return Err("a run with red cases was taken for good".into());
    }
    // Events, each an array of its name and its value; the last tells the numbers.
    let events = parsed(&String::from_utf8(output.stdout)?)?;
    let complete = events
        .as_array()
        .and_then(|events| events.iter().find(|event| event[0] == "complete"))
        .ok_or("tap-parser says nothing of the end")?;
    let told = &complete[1];
    let of = |names: &[&str]| -> Result<u64, Failed> {
        let summary = summary()?;
        Ok(names.iter().filter_map(|name| summary[*name].as_u64()).sum())
    };
    let bad = of(&["fail", "inconclusive", "unexpected-pass", "error"])?;
    let silent = of(&["skip", "vacuous"])?;
    let known = of(&["known-failure"])?;
    let count = of(&["pass"])? + bad + silent + known;
    // What it counts as failed has known failures among it.
    let wanted = [
        ("count", count),
        ("fail", bad + known),
        ("todo", known),
        ("skip", silent),
    ];
    for (key, wanted) in wanted {
        if told[key] != wanted {
            return Err(format!("{key} is {}, and should be {wanted}", told[key]).into());
        }
    }
    let failures = told["failures"].as_array().map_or(0, Vec::len) as u64;
    if failures != bad {
        return Err(format!("{failures} failures, and should be {bad}").into());
    }
    Ok(Completion::Completed)
}
