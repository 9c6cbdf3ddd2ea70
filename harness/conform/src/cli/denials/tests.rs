use std::path::{Path, PathBuf};

use super::*;

/// The text on standard output and on standard error, in turn, and the exit status.
fn answer(input: &[u8], format: DenialsFormat) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut work = Work {
        out: &mut out,
        err: &mut err,
        format,
        known: None,
        written: 0,
        skeletons: Skeletons::default(),
        fold: Fold::default(),
        wrong: false,
    };
    work.read(&mut &*input, || false, "input").unwrap();
    work.end().unwrap();
    let status = if work.wrong { exit::USAGE } else { exit::OK };
    let (out, err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
    format!("{out}{err}exit status {status}\n")
}

/// Every form in which people post records: `NAME.in` is the input, `NAME.out` the whole answer. To accept a changed
/// answer, run the test with `UPDATE_EXPECT=1`.
#[test]
fn every_form_has_its_whole_answer() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/denials");
    let mut inputs: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "in"))
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 20, "{} inputs", inputs.len());
    let mut wrong = Vec::new();
    for path in inputs {
        let found = answer(&std::fs::read(&path).unwrap(), DenialsFormat::Human);
        let wanted = path.with_extension("out");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(&wanted, &found).unwrap();
        } else if std::fs::read_to_string(&wanted).unwrap_or_default() != found {
            wrong.push(format!("{}:\n{found}", wanted.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_record_is_a_json_object() {
    let text = "apparmor=\"DENIED\" operation=\"capable\" profile=\"p\" capname=\"kill\"\n".repeat(2);
    let found = answer(text.as_bytes(), DenialsFormat::Json);
    let json = found.strip_suffix("exit status 0\n").unwrap();
    let all: Vec<serde_json::Value> = serde_json::from_str(json).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["capname"], "kill");
}

#[test]
fn what_is_wrong_stands_behind_what_was_told_before_it() {
    let good = "apparmor=\"DENIED\" operation=\"capable\" profile=\"p\" capname=\"kill\"";
    let cut = "apparmor=\"DENIED\" operation=\"ptrace\" profile=\"p\" pid=7";
    let (mut both, mut other) = (Vec::new(), Vec::new());
    let mut work = Work {
        out: &mut both,
        err: &mut other,
        format: DenialsFormat::Human,
        known: None,
        written: 0,
        skeletons: Skeletons::default(),
        fold: Fold::default(),
        wrong: false,
    };
    let text = format!("{good}\n{cut}\n{good}\n");
    work.read(&mut text.as_bytes(), || false, "input").unwrap();
    work.end().unwrap();
    let both = String::from_utf8(both).unwrap();
    // Counting starts again after a complaint.
    assert_eq!(both.matches("the capability kill").count(), 2, "{both}");
    assert!(!both.contains("times"));
}

/// The first step of CONTRIBUTING.md.
#[test]
fn the_sample_in_contributing_is_what_is_answered() {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CONTRIBUTING.md");
    let text = std::fs::read_to_string(text).unwrap();
    let (_, sample) = text
        .split_once("$ journalctl -k | virt-aa-conform denials\n")
        .unwrap();
    let (wanted, _) = sample.split_once("   ```").unwrap();
    let wanted: String = wanted.lines().map(|line| format!("{}\n", &line[3..])).collect();
    let record = r#"apparmor="DENIED" operation="create" class="net" profile="libvirtd" pid=811 comm="libvirtd" family="netlink" sock_type="raw" protocol=15 requested_mask="create" denied_mask="create""#;
    let found = answer(record.as_bytes(), DenialsFormat::Human);
    assert_eq!(found, format!("{wanted}exit status 0\n"));
}
