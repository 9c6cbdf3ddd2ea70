//! tmt: a plan for each image, a test for each folder of cases.

use super::facts::{Facts, GroupFacts, ImageFacts};
use super::text::{Files, fill, list, plain, program};
use crate::report::human::count;
use virt_aa_engine::tools;

/// The version file by which fmf recognizes a folder.
const VERSION: &str = "1\n";

/// The metadata tree, and the script that its tests call.
pub fn files(facts: &Facts) -> Files {
    let plans: Vec<String> = facts.images.iter().map(plan).collect();
    let tests: Vec<String> = facts.groups.iter().map(test).collect();
    let require: Vec<String> = tools::packages(tools::ALL)
        .iter()
        .map(|package| format!("  - {package}"))
        .collect();
    let plans = fill(
        include_str!("texts/tmt/plan.fmf"),
        &[
            ("tried", include_str!("texts/tmt/tried")),
            ("plans", &plans.join("\n")),
        ],
    );
    let tests = fill(
        include_str!("texts/tmt/tests.fmf"),
        &[("require", &require.join("\n")), ("tests", &tests.join("\n"))],
    );
    Files::from([
        (".fmf/version", plain(VERSION.into())),
        ("plans/apparmor-conform.fmf", plain(plans)),
        ("tests/apparmor-conform/main.fmf", plain(tests)),
        (
            "tests/apparmor-conform/run.sh",
            program(include_str!("texts/tmt/run.sh").into()),
        ),
    ])
}

fn plan(image: &ImageFacts) -> String {
    let ImageFacts { name, .. } = image;
    let cases = count(image.cases, "case");
    format!(
        "/{name}:\n    summary: libvirt under AppArmor, {cases} on {name}\n    environment+:\n        \
         VIRT_AA_CONFORM_IMAGE: {name}\n    discover+:\n        filter: tag:{name}\n"
    )
}

fn test(group: &GroupFacts) -> String {
    let GroupFacts { name, .. } = group;
    format!(
        "/{name}:\n    summary: {} of cases/{name}\n    test: ./run.sh {name}\n    tag: {}\n",
        count(group.cases, "case"),
        list(&group.images)
    )
}
