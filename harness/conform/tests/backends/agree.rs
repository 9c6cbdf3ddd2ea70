//! The same cases by each backend: the same verdicts, or a difference that the case's data explain.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use expect_test::expect_file;
use virt_aa_conform::cli::elsewhere;
use virt_aa_conform::data::{self, Data};
use virt_aa_conform::report::model::Report;
use virt_aa_conform::verdict::judge::Verdict;

use super::host::{IMAGE, program, root, with_host};

/// Every way to run the cases on the host: the name of its column, and its words.
const ELSEWHERE: [(&str, &str); 3] = [
    ("host", "--backend host"),
    ("podman", "--backend container --engine podman"),
    ("nspawn", "--backend container --engine nspawn"),
];
const VM: &str = "vm";

/// For every case, under emulation.
const LIMIT: Duration = Duration::from_secs(900);

/// Verdicts by the case's name, and the reason of each skip.
type Verdicts = BTreeMap<String, (Verdict, Option<String>)>;

/// The control: a set with something wrong on purpose is red, by the denial that it is about.
pub fn known_bad_is_red() -> Result<(), String> {
    with_host(|host| {
        for (name, words) in ELSEWHERE {
            let script = format!(
                "exec $PROGRAM run {words} --known-bad no-packet-raw packet-raw --report json:$RESULTS/{name}-bad.json"
            );
            let (exit, text) = host.run(&script, LIMIT)?;
            let red = exit == 1 && text.contains("was denied create on a socket of family packet, type raw");
            if !red {
                return Err(format!("{name}: not red by the denial, status {exit}: {text}"));
            }
        }
        Ok(())
    })
}

/// The whole suite by each backend, and the table of it.
pub fn each_case_by_each_backend() -> Result<(), String> {
    let data = data::read(&root()).map_err(|errors| format!("{errors:?}"))?;
    with_host(|host| {
        let mut columns: Vec<(&str, Verdicts)> = Vec::new();
        let file = host.results().join("vm.json");
        let status = Command::new(program())
            .args(["--root".as_ref(), root().as_os_str()])
            .args(["run", "--backend", VM, "--image", IMAGE, "--report"])
            .arg(format!("json:{}", file.display()))
            .status()
            .map_err(|error| error.to_string())?;
        columns.push((VM, verdicts(&host.result("vm.json")?, status.code())?));
        for (name, words) in ELSEWHERE {
            let script = format!("exec $PROGRAM run {words} --report json:$RESULTS/{name}.json");
            let (exit, text) = host.run(&script, LIMIT)?;
            let column = host
                .result(&format!("{name}.json"))
                .and_then(|json| verdicts(&json, Some(exit)))
                .map_err(|error| format!("{name}: {error}: {text}"))?;
            columns.push((name, column));
        }
        expect_file!["../golden/backends.md"].assert_eq(&table(&columns));
        let wrong = unexplained(&columns, &data);
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    })
}

/// What a report says of each case; the exit status must be that of a run without a red case.
fn verdicts(json: &str, exit: Option<i32>) -> Result<Verdicts, String> {
    let report: Report = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if exit != Some(0) {
        return Err(format!("ended with {exit:?}"));
    }
    Ok(report
        .cases
        .into_iter()
        .map(|case| (case.name, (case.verdict, case.reason)))
        .collect())
}

/// Every case that has not the VM's verdict, unless it is skipped as its fixtures say that it is elsewhere.
fn unexplained(columns: &[(&str, Verdicts)], data: &Data) -> Vec<String> {
    let Some(((_, vm), others)) = columns.split_first() else {
        return vec!["nothing was run".into()];
    };
    let mut wrong = Vec::new();
    for (column, verdicts) in others {
        for loaded in &data.cases {
            let case = &loaded.case.name;
            let of_case = |name: &str| name == case || name.split_once(':').is_some_and(|(of, _)| of == case);
            let pick = |verdicts: &Verdicts| -> Verdicts {
                let own = verdicts.iter().filter(|(name, _)| of_case(name));
                own.map(|(name, value)| (name.clone(), value.clone())).collect()
            };
            let (there, here) = (pick(vm), pick(verdicts));
            let explained = elsewhere::reason(data, loaded, None);
            let skipped = matches!(here.get(case), Some((Verdict::Skip, reason)) if *reason == explained);
            let alike = there.len() == here.len()
                && there
                    .iter()
                    .zip(&here)
                    .all(|((name, (verdict, _)), (other, (found, _)))| name == other && verdict == found);
            if !(alike || explained.is_some() && skipped) {
                wrong.push(format!("{column}: {case}: {here:?}, and in the VM {there:?}"));
            }
        }
    }
    wrong
}

/// One line for each case, one column for each backend.
fn table(columns: &[(&str, Verdicts)]) -> String {
    let names: BTreeSet<&String> = columns.iter().flat_map(|(_, verdicts)| verdicts.keys()).collect();
    let heads: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut text = format!(
        "Every case of {IMAGE} by each backend, as `ci/backends` found it. `–`: the case's variants are not run there; what \
         is skipped on a host or in a container is so by its fixtures, which ask for a machine of its own.\n\n\
         | case | {} |\n|---|{}\n",
        heads.join(" | "),
        "---|".repeat(heads.len())
    );
    for name in names {
        let cells: Vec<&str> = columns
            .iter()
            .map(|(_, verdicts)| verdicts.get(name).map_or("–", |(verdict, _)| verdict.name()))
            .collect();
        text += &format!("| `{name}` | {} |\n", cells.join(" | "));
    }
    text
}
