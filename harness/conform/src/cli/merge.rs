//! `merge`: joins the reports of shards into one.

use super::args::MergeArgs;
use super::failure::Failure;
use super::reports::Reports;
use super::run::end;
use crate::exit;
use crate::report::human::{self, Paint};
use virt_aa_model::merge;

/// Join and print the reports; return how the whole run ended.
pub fn merge(args: &MergeArgs) -> Result<u8, Failure> {
    let read: Result<Vec<_>, _> = args.files.iter().map(|file| merge::read(file)).collect();
    let mut report = read.and_then(merge::merge).map_err(Failure::usage)?;
    report.strict |= args.strict;
    // One of the input reports may be overwritten.
    let reports = Reports::open(&args.reports)?;
    reports.begin(&human::heading(&report.run))?;
    reports.line(&human::unusable(&report.run.profile_set, Paint(false)))?;
    for case in &report.cases {
        reports.line(&human::case(case, Paint(false)))?;
    }
    end(&reports, &report)?;
    Ok(exit::of_report(&report))
}
