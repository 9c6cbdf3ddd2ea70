//! Each format's whole text, as it was reviewed once.

use expect_test::expect_file;
use rstest::rstest;

use crate::report::format::{Format, ReportInput};
use crate::report::human::{self, Paint};
use crate::report::outline::Outline;
use virt_aa_model::testing::reports::{info, proofs, report};

const TOKEN: &str = "0123456789abcdef";

#[rstest]
#[case(Format::Human, "run.txt")]
#[case(Format::Json, "run.json")]
#[case(Format::Junit, "run.junit.xml")]
#[case(Format::Tap, "run.tap")]
#[case(Format::Github, "run.github.txt")]
#[case(Format::Sarif, "run.sarif")]
#[case(Format::Markdown, "run.md")]
fn a_run_reads_as_before(#[case] format: Format, #[case] file: &str) {
    let report = report(false);
    let telling = ReportInput {
        human: human::report(&report, Paint(false)),
        json: &|| serde_json::to_string_pretty(&report),
        outline: Outline::of_run(&report),
        report: Some(&report),
        token: TOKEN,
    };
    let text = telling.text(format).unwrap();
    expect_file![format!("../../../tests/golden/{file}")].assert_eq(&text);
}

#[rstest]
#[case(Format::Human, "prove.txt")]
#[case(Format::Junit, "prove.junit.xml")]
#[case(Format::Tap, "prove.tap")]
#[case(Format::Github, "prove.github.txt")]
#[case(Format::Markdown, "prove.md")]
fn proofs_read_as_before(#[case] format: Format, #[case] file: &str) {
    let proofs = proofs();
    let folder = |_: &str| "network".to_string();
    let closing = "9 guards in 1.0 s";
    let telling = ReportInput {
        human: human::proofs(&info(), &proofs, closing),
        json: &|| serde_json::to_string_pretty(&proofs),
        outline: Outline::of_proofs(&info(), &proofs, "virt-aa-conform prove", closing.into(), &folder),
        report: None,
        token: TOKEN,
    };
    let text = telling.text(format).unwrap();
    expect_file![format!("../../../tests/golden/{file}")].assert_eq(&text);
    assert!(telling.text(Format::Sarif).is_err());
}
