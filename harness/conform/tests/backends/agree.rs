//! The same cases by each backend: the same verdicts, or a difference that the case's data explain.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use expect_test::expect_file;
use virt_aa_conform::cli::elsewhere;
use virt_aa_conform::table::{backends::by_backends, read};
use virt_aa_model::data::{self, Data};
use virt_aa_model::report::model::Report;
use virt_aa_model::verdict::judge::Verdict;

use super::host::{IMAGE, program, root, with_host};

/// Every way to run the cases on the host: the name of its report, and its words.
const ELSEWHERE: [(&str, &str); 3] = [
    ("host", "--backend host"),
    ("podman", "--backend container --engine podman"),
    ("nspawn", "--backend container --engine nspawn"),
];
const VM: &str = "vm";

/// For every case, under emulation.
const LIMIT: Duration = Duration::from_secs(900);

/// The control: a set with something wrong on purpose is red, by the denial that it is about.
pub fn known_bad_is_red() -> Result<(), String> {
    with_host(|host| {
        for (name, words) in ELSEWHERE {
            let script = format!("exec $PROGRAM run {words} --known-bad no-packet-raw packet-raw");
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
    let data = data::read(&root(), None).map_err(|errors| format!("{errors:?}"))?;
    with_host(|host| {
        let file = |name: &str| format!("{name}.json");
        let here = host.results().join(file(VM));
        let status = Command::new(program())
            .args(["--root".as_ref(), root().as_os_str()])
            .args(["run", "--backend", VM, "--image", IMAGE, "--report"])
            .arg(format!("json:{}", here.display()))
            .status()
            .map_err(|error| error.to_string())?;
        let vm = verdicts(&host.result(&file(VM))?, status.code())?;
        let mut wrong = Vec::new();
        for (name, words) in ELSEWHERE {
            let script = format!("exec $PROGRAM run {words} --report json:$RESULTS/{name}.json");
            let (exit, text) = host.run(&script, LIMIT)?;
            let found = host
                .result(&file(name))
                .and_then(|json| verdicts(&json, Some(exit)))
                .map_err(|error| format!("{name}: {error}: {text}"))?;
            let unlike = unexplained(&vm, &found, &data).into_iter();
            wrong.extend(unlike.map(|case| format!("{name}: {case}")));
        }
        let reports = [VM].into_iter().chain(ELSEWHERE.map(|(name, _)| name));
        let told: Result<Vec<_>, _> = reports
            .map(|name| read(&host.results().join(file(name))))
            .collect();
        let table = told
            .and_then(|told| by_backends(&told, true))
            .map_err(|error| error.to_string())?;
        expect_file!["../golden/backends.md"].assert_eq(&format!(
            "Every case of {IMAGE} by each backend, made by `ci/backends`.\n\n{table}"
        ));
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(wrong.join("\n"))
        }
    })
}

/// Verdicts by the variant's id, with the case's name and the reason.
type Verdicts = BTreeMap<String, (Verdict, String, Option<String>)>;

/// What a report says of each case; the exit status must be that of a run without a red case.
fn verdicts(json: &str, exit: Option<i32>) -> Result<Verdicts, String> {
    let report: Report = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if exit != Some(0) {
        return Err(format!("ended with {exit:?}"));
    }
    let cases = report.cases.into_iter();
    Ok(cases
        .map(|case| {
            let name = case.name.split(':').next().unwrap_or_default().to_owned();
            (case.id, (case.verdict, name, case.reason))
        })
        .collect())
}

/// Every variant that has not the VM's verdict, unless it is skipped as its fixtures say that it is elsewhere.
fn unexplained(vm: &Verdicts, found: &Verdicts, data: &Data) -> Vec<String> {
    let ids = vm.keys().chain(found.keys().filter(|id| !vm.contains_key(*id)));
    let unlike = ids.filter(|id| {
        let (there, here) = (vm.get(*id), found.get(*id));
        let alike = matches!((there, here), (Some(there), Some(here)) if there.0 == here.0);
        let explained = here.is_some_and(|(verdict, name, reason)| {
            let of_data = data.cases.iter().find(|loaded| loaded.case.name == *name);
            let of_data = of_data.and_then(|loaded| elsewhere::reason(data, loaded, None));
            *verdict == Verdict::Skip && of_data.is_some() && *reason == of_data
        });
        !alike && !explained
    });
    unlike
        .map(|id| format!("{id}: {:?}, and in the VM {:?}", found.get(id), vm.get(id)))
        .collect()
}
