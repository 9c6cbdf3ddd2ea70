//! Every case has the same verdict, for the same reasons, whether its machine comes from a saved state or has booted.

use std::collections::BTreeMap;
use std::path::Path;

use regex::Regex;
use serde_json::Value;

/// Seconds for each run, the build of the image included.
const LIMIT: &str = "1500";

/// What a report says about each case: the verdict, the reason and the findings.
fn report(options: &[&str]) -> BTreeMap<String, String> {
    let image = std::env::var("VIRT_AA_CONFORM_IMAGE").unwrap_or_else(|_| "debian-13".into());
    let arguments = ["run", "--image", &image, "--timeout", LIMIT, "--report", "json:-"];
    let ran = duct::cmd(
        env!("CARGO_BIN_EXE_virt-aa-conform"),
        arguments.iter().chain(options),
    )
    .dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
    .stdout_capture()
    .unchecked()
    .run()
    .unwrap();
    let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let cases = report["cases"].as_array().unwrap();
    cases
        .iter()
        .map(|case| {
            let said = [
                &case["verdict"],
                &case["reason"],
                &case["findings"],
                &case["denied_on_purpose"],
            ];
            let said: Vec<String> = said.iter().map(|value| value.to_string()).collect();
            (
                case["id"].as_str().unwrap().to_owned(),
                without_numbers(&said.join("\n")),
            )
        })
        .collect()
}

/// Without the serial numbers, times and process ids, which differ from run to run.
fn without_numbers(text: &str) -> String {
    let numbers = Regex::new(r"audit\([0-9.:]+\)|\bpid[ =:]+[0-9]+|/proc/[0-9]+|[0-9a-f]{32}").unwrap();
    numbers.replace_all(text, "N").into_owned()
}

#[test]
#[ignore = "it runs every case twice; ci/both-ways runs it"]
fn every_case_has_the_same_verdict_on_a_restored_and_on_a_booted_machine() {
    let (restored, booted) = (report(&[]), report(&["--no-saved-state"]));
    // Two runs in which no case passes would agree, too.
    let passes = restored
        .values()
        .filter(|said| said.starts_with(r#""pass""#))
        .count();
    assert!(passes > 60, "{passes} of {}", restored.len());
    for (id, said) in &booted {
        assert_eq!(restored.get(id), Some(said), "{id}");
    }
    assert_eq!(restored.len(), booted.len());
}

#[test]
fn only_what_differs_from_run_to_run_is_left_out() {
    let one = without_numbers("audit(1.2:3): pid=4 denied r on /a");
    assert_eq!(one, without_numbers("audit(5.6:7): pid=8 denied r on /a"));
    assert_ne!(one, without_numbers("audit(1.2:3): pid=4 denied w on /a"));
}
