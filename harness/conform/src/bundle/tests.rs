use std::collections::BTreeMap;

use aa_policy::Tree;
use rstest::rstest;
use virt_aa_probe::protocol::{CANARY_PROFILE, RawRecord};

use super::*;
use virt_aa_model::report::model::Report;
use virt_aa_model::testing::reports as made;
use virt_aa_model::verdict::judge::Verdict;
use virt_aa_model::verdict::policy::Policy;

/// A set with the profiles that the made-up cases are judged by.
fn set() -> Tree {
    let of_run = made::set();
    let daemon = of_run.get("daemon.profile").unwrap();
    let daemon = daemon.replace("rw,\n}", "rw,\n  profile child {\n  }\n}");
    let mut tree = Tree::new();
    let others = format!("profile other {{\n}}\nprofile {CANARY_PROFILE} {{\n}}\n");
    tree.insert("daemon.profile", daemon + &others).unwrap();
    tree
}

/// The bundle of a made-up run with a case of every verdict.
fn bundle() -> Bundle {
    let runs = made::cases();
    let set = set();
    let policy = Policy {
        files: vec![aa_policy::parse(&set, "daemon.profile").unwrap()],
        ..made::policy()
    };
    let mut info = made::info();
    info.profile_set.hash = set.hash();
    let report = Report::new(info, false, None, 1.0, made::told(&policy, &runs));
    make(&policy, &set, &runs, &report)
}

/// The same bundle without the cases that are judged by a policy of their own.
fn sound() -> Bundle {
    let mut bundle = bundle();
    let other: Vec<String> = verify(&bundle)
        .differences
        .into_iter()
        .filter_map(|difference| difference.case)
        .collect();
    bundle.cases.retain(|case| !other.contains(&case.id));
    bundle.report.cases.retain(|case| !other.contains(&case.id));
    count(&mut bundle.report);
    assert_eq!(verify(&bundle).differences, []);
    assert!(bundle.cases.len() >= 7, "{}", bundle.cases.len());
    bundle
}

fn count(report: &mut Report) {
    let mut summary = BTreeMap::new();
    for case in &report.cases {
        *summary.entry(case.verdict.name().to_owned()).or_default() += 1;
    }
    report.summary = summary;
}

fn case<'b>(bundle: &'b mut Bundle, name: &str) -> &'b mut CaseFile {
    let id = format!("{name}@daemon");
    bundle.cases.iter_mut().find(|case| case.id == id).unwrap()
}

fn told(checked: &Checked) -> String {
    let all: Vec<String> = checked
        .differences
        .iter()
        .map(|difference| {
            format!(
                "{}: {}",
                difference.case.as_deref().unwrap_or("-"),
                difference.text
            )
        })
        .collect();
    all.join("\n")
}

#[test]
fn what_is_written_is_read_and_holds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bundle.tgz");
    let mut bundle = sound();
    bundle.policy.set_dirs.push("disable".into());
    bundle.set.insert_dir("disable").unwrap();
    bundle.report.run.profile_set.hash = bundle.set.hash();
    write(&bundle, &file).unwrap();
    let read = read(&file).unwrap();
    let checked = verify(&read);
    assert_eq!(checked.differences, []);
    assert_eq!(checked.judged, bundle.cases.len());
    assert_eq!(
        checked.judged + checked.without_evidence.len(),
        bundle.report.cases.len()
    );
    assert_eq!(read.manifest.made, bundle.manifest.made);
    assert!(read.manifest.files.contains_key("report.json"));
}

/// Changes of the evidence that `verify` must notice.
#[rstest]
#[case::a_record_is_removed("denied", |case: &mut CaseFile| { case.evidence.records.retain(|record| !record.text.contains("DENIED")); })]
#[case::a_record_is_added("holds", |case: &mut CaseFile| {
    let mut record = case.evidence.records[0].clone();
    record.text = record.text.replace("daemon-canary", "daemon").replace("comm=\"", "comm=\"x");
    record.text = "audit(1700000000.500:999): apparmor=\"DENIED\" operation=\"open\" class=\"file\" profile=\"daemon\" name=\"/x\" pid=40 comm=\"x\" requested_mask=\"r\" denied_mask=\"r\" fsuid=0 ouid=0".into();
    case.evidence.records.push(record);
})]
#[case::a_record_is_changed("denied", |case: &mut CaseFile| {
    for record in &mut case.evidence.records {
        record.text = record.text.replace("family=\"packet\"", "family=\"inet\"");
    }
})]
#[case::a_counter_is_changed("lost-records", |case: &mut CaseFile| { case.evidence.audit_after.lost = case.evidence.audit_before.lost; })]
#[case::a_gap_is_added("holds", |case: &mut CaseFile| { case.gaps_after.push("an unattributed record arrived after the case".into()); })]
#[case::a_known_failure_is_added("denied", |case: &mut CaseFile| {
    case.known = vec![serde_yaml::from_str("{case: denied, sets: [packaged], images: [debian-13], step: 0, denial: {operation: create}, reason: none, link: none}").unwrap()];
})]
#[case::what_was_to_be_is_changed("no-effect", |case: &mut CaseFile| { case.case.steps[0].denied = None; case.case.steps.clear(); })]
fn evidence_that_was_changed_gives_another_verdict(#[case] name: &str, #[case] change: fn(&mut CaseFile)) {
    let mut bundle = sound();
    change(case(&mut bundle, name));
    let checked = verify(&bundle);
    assert!(
        told(&checked).starts_with(&format!("{name}@daemon: ")),
        "{}",
        told(&checked)
    );
}

#[test]
fn a_report_that_says_more_than_its_evidence_is_told() {
    let mut bundle = sound();
    let red = bundle
        .report
        .cases
        .iter_mut()
        .find(|case| case.verdict == Verdict::Fail)
        .unwrap();
    (red.verdict, red.reason) = (Verdict::Pass, None);
    count(&mut bundle.report);
    let text = told(&verify(&bundle));
    assert!(text.contains("its evidence gives fail"), "{text}");

    let mut bundle = sound();
    bundle
        .report
        .cases
        .iter_mut()
        .for_each(|case| case.findings.clear());
    assert!(told(&verify(&bundle)).contains("other findings"));

    let mut bundle = sound();
    bundle.report.summary.insert("pass".into(), 99);
    assert!(told(&verify(&bundle)).contains("does not count its own cases"));
}

#[test]
fn a_verdict_without_evidence_is_none() {
    let mut bundle = sound();
    bundle.cases.retain(|case| case.id != "holds@daemon");
    let text = told(&verify(&bundle));
    assert_eq!(
        text,
        "holds@daemon: the report says pass, and there is no evidence for it"
    );

    let mut bundle = sound();
    bundle.report.cases.retain(|case| case.id != "denied@daemon");
    count(&mut bundle.report);
    assert!(told(&verify(&bundle)).contains("the report does not have it"));

    let mut bundle = sound();
    let twice = bundle.cases[0].clone();
    bundle.cases.push(twice);
    assert!(told(&verify(&bundle)).contains("its evidence is there twice"));
}

#[test]
fn what_was_not_run_is_named_and_nothing_shows_nothing() {
    let mut bundle = sound();
    let checked = verify(&bundle);
    let unrun = "unrun: skip: no profile of this set is left".to_owned();
    assert!(checked.without_evidence.contains(&unrun), "{checked:?}");
    bundle.cases.clear();
    bundle.report.cases.clear();
    bundle.report.summary.clear();
    assert!(told(&verify(&bundle)).contains("it proves nothing"));
}

#[test]
fn the_policy_is_the_one_of_the_report() {
    let mut bundle = sound();
    bundle
        .set
        .insert("daemon.profile", "profile daemon {\n  deny /** rw,\n}\n")
        .unwrap();
    assert!(told(&verify(&bundle)).contains("and the report says"));
    let mut bundle = sound();
    bundle.policy.declared.clear();
    assert!(told(&verify(&bundle)).contains("are not those that the set's files declare"));
}

/// Unpacks a written bundle, changes its files, and packs it again.
fn repacked(change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> Result<Bundle, BundleError> {
    use std::io::Read;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bundle.tgz");
    write(&sound(), &file).unwrap();
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(&file).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = Vec::new();
        entry.read_to_end(&mut text).unwrap();
        files.insert(entry.path().unwrap().to_string_lossy().into_owned(), text);
    }
    change(&mut files);
    let out =
        flate2::write::GzEncoder::new(std::fs::File::create(&file).unwrap(), flate2::Compression::fast());
    let mut archive = tar::Builder::new(out);
    for (name, text) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        archive.append_data(&mut header, name, text.as_slice()).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap();
    read(&file)
}

#[test]
fn an_archive_that_was_changed_is_refused() {
    let problem = |change: fn(&mut BTreeMap<String, Vec<u8>>)| repacked(change).unwrap_err().to_string();
    assert!(repacked(|_| {}).is_ok());
    let changed = problem(|files| files.get_mut("cases/0000.json").unwrap().push(b' '));
    assert!(
        changed.contains("cases/0000.json in it is not as it was written"),
        "{changed}"
    );
    let missing = problem(|files| drop(files.remove("cases/0001.json")));
    assert!(missing.contains("cases/0001.json is missing in it"), "{missing}");
    let more = problem(|files| drop(files.insert("cases/0099.json".into(), b"{}".to_vec())));
    assert!(more.contains("cases/0099.json was put into it"), "{more}");
    let none = problem(|files| drop(files.remove("manifest.json")));
    assert!(none.contains("manifest.json is missing in it"), "{none}");
    let newer = problem(|files| {
        let text = String::from_utf8(files["manifest.json"].clone()).unwrap();
        files.insert(
            "manifest.json".into(),
            text.replace("\"format\": 1", "\"format\": 9").into_bytes(),
        );
    });
    assert!(newer.contains("format 9"), "{newer}");
}

#[test]
fn what_is_no_bundle_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x");
    for text in [
        &b""[..],
        b"no archive",
        b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03",
    ] {
        std::fs::write(&file, text).unwrap();
        assert!(matches!(read(&file), Err(BundleError::Invalid { .. })));
    }
    assert!(matches!(
        read(&dir.path().join("none")),
        Err(BundleError::Io { .. })
    ));
    assert!(writable(dir.path()).is_err());
    assert!(writable(&dir.path().join("no/folder")).is_err());
}

#[test]
fn raw_records_are_in_it() {
    let mut bundle = sound();
    let records: &Vec<RawRecord> = &case(&mut bundle, "denied").evidence.records;
    assert!(
        records
            .iter()
            .any(|record| record.text.contains("apparmor=\"DENIED\""))
    );
}
