//! A program that is denied the same thing again and again.

use crate::report::format::{Format, ReportInput};
use crate::report::human::{self, Paint};
use crate::report::outline::Outline;
use virt_aa_model::report::model::Report;
use virt_aa_model::testing::evidence::{DENIED, Made, POSITIVE, errno};
use virt_aa_model::testing::reports::{info, ran, told};

#[test]
fn every_format_tells_equal_denials_once_with_their_count() {
    const TIMES: usize = 20_000;
    let mut made = Made::of(&[POSITIVE]).ending(errno(libc::EACCES));
    for _ in 0..TIMES {
        made = made.saying(0, DENIED);
    }
    let another = DENIED.replace("comm=\"", "comm=\"another-");
    let made = made.saying(0, &another);
    let policy = made.policy.clone();
    let case = told(&policy, &[ran("denied", made, |_| {})]).remove(0);
    let counts: Vec<u64> = case.findings.iter().map(|finding| finding.count).collect();
    assert_eq!(counts, [TIMES as u64, 1, 1]);
    let report = Report::new(info(), false, None, 1.0, vec![case]);
    for format in [
        Format::Human,
        Format::Json,
        Format::Junit,
        Format::Tap,
        Format::Github,
        Format::Sarif,
        Format::Markdown,
    ] {
        let telling = ReportInput {
            human: human::report(&report, Paint(false)),
            json: &|| serde_json::to_string_pretty(&report),
            outline: Outline::of_run(&report),
            report: Some(&report),
            token: "t",
        };
        let text = telling.text(format).unwrap();
        assert!(text.len() < 30_000, "{format:?}: {}", text.len());
        assert!(text.contains("20000"), "{format:?}: {text}");
    }
}
