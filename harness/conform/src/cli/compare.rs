//! `run --base`: runs the cases with two sets on the same machines, and reports only what differs.

use super::args::RunArgs;
use super::failure::Failure;
use super::prologue::{Prologue, paint, progress};
use super::reports::Reports;
use super::run::again;
use super::select::Selection;
use crate::exit;
use crate::report::comparison::{CasesByKey, Comparison};
use crate::report::format::{Format, FormatError, ReportInput};
use crate::report::human::Paint;
use virt_aa_engine::prepare::{Candidate, prepare};
use virt_aa_engine::root::Root;
use virt_aa_engine::run_info;
use virt_aa_engine::setup;
use virt_aa_engine::suite::{Bounds, Suite};
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::compare::{CaseResult, Kind, compare as differences};
use virt_aa_model::report::build::Context;
use virt_aa_model::report::run_info::RunInfo;
use virt_aa_model::verdict::judge::Verdict;

/// Run both, print what differs, and return whether the set is worse than the base.
pub fn compare(root: &Root, args: &RunArgs, base: &str) -> Result<u8, Failure> {
    let prologue = Prologue::read(root, &args.target, &args.cases, args.all)?;
    let (data, started, target) = (&prologue.data, prologue.started, &prologue.target);
    let wanted_base = setup::wanted(data, base, target, None)?;
    let wanted = setup::wanted(data, &target.profiles, target, args.known_bad.as_deref())?;
    if args.reports.iter().any(|spec| spec.format == Format::Sarif) {
        return Err(Failure::usage(FormatError::NoComparison));
    }
    let reports = Reports::open(&args.reports)?;
    let (backend, machines) = prologue.backend(args.jobs, args.timeout)?;
    let image = setup::image_for(root, target, &backend)?;
    let (prepared, mut session) = prepare(data, &image, &wanted_base, &backend).map_err(setup::of_prepare)?;
    let other = prepared.other(data, &wanted).map_err(setup::of_prepare)?;
    if wanted.known_bad.is_none() {
        let alike = prepared.check_alike(&mut session, &other);
        alike.map_err(Failure::broken)?;
    }
    let base_info = run_info::of_base(&prepared, &backend, None);
    let info = run_info::of_candidate(&prepared, &other, &backend, args.known_bad.as_deref());
    let (of_base, _) = prologue.choose(&prepared.base.set)?;
    let (of_other, left) = prologue.choose(&other.set)?;
    let bar = progress(of_base.variants.len() + of_other.variants.len());
    let suite = Suite {
        data,
        prepared: &prepared,
        backend: &backend,
        bounds: Bounds::new(machines, args.timeout, started.elapsed()),
    };
    let begun = |variant: &Variant| bar.set_message(variant.id.clone());
    let mut ended = |_: &CaseRun| bar.inc(1);
    let (mut base_runs, mut runs) = suite.run_both(
        session,
        (&of_base.variants, &prepared.base),
        (&of_other.variants, &other),
        &begun,
        &mut ended,
    );
    bar.finish_and_clear();
    base_runs.extend(skipped(&of_base));
    runs.extend(skipped(&of_other));
    let seen = |runs: &[CaseRun]| runs.iter().map(CaseResult::of).collect::<Vec<_>>();
    let kinds = differences(&seen(&base_runs), &seen(&runs));
    let again = again(root, args);
    let told = |runs: &[CaseRun], candidate: &Candidate, info: &RunInfo| {
        let proofs = prepared.proofs(data, &info.profile_set.hash);
        let context = Context {
            policy: &candidate.policy,
            guards: &|id, case, profiles| proofs.guards(id, case, profiles),
            again: &again,
        };
        let told = runs.iter().map(|run| (run.variant.key(), context.case(run)));
        told.collect::<CasesByKey>()
    };
    let comparison = Comparison {
        base_cases: told(&base_runs, &prepared.base, &base_info),
        cases: told(&runs, &other, &info),
        base: base_info,
        other: info,
        kinds,
        duration_ms: started.elapsed().as_secs_f64() * 1000.0,
    };
    print(&reports, &comparison)?;
    for left in left {
        eprintln!("{left}");
    }
    Ok(status(&comparison))
}

fn print(reports: &Reports, comparison: &Comparison) -> Result<(), Failure> {
    let paint = paint(reports);
    let closing = comparison.closing();
    reports.begin(&comparison.heading(paint))?;
    reports.line(&comparison.differences(paint))?;
    let telling = ReportInput {
        human: comparison.human(Paint(false)),
        json: &|| serde_json::to_string_pretty(&comparison.json()),
        outline: comparison.outline(),
        report: None,
        token: reports.token(),
    };
    reports.end(&telling, &closing)
}

fn skipped(selection: &Selection) -> Vec<CaseRun> {
    let skipped = selection.skipped.iter();
    skipped
        .map(|(variant, reason)| CaseRun::skipped(variant.clone(), reason.clone()))
        .collect()
}

/// The worst result: a broken machine, a worse set, or cases that cannot be compared.
fn status(comparison: &Comparison) -> u8 {
    let all = comparison.base_cases.values().chain(comparison.cases.values());
    let broken = all
        .filter(|case| case.verdict == Verdict::Error)
        .map(|_| exit::BROKEN);
    let of_kinds = comparison.kinds.values().map(|kind| match kind {
        kind if kind.is_worse() => exit::RED,
        Kind::Unknown => exit::INCONCLUSIVE,
        _ => exit::OK,
    });
    let of_files = exit::of_unusable(&comparison.newly_unusable());
    // If nothing was run with either set, nothing is shown.
    let nothing = if comparison.ran() {
        exit::OK
    } else {
        exit::INCONCLUSIVE
    };
    let all = of_kinds.chain(broken).chain([of_files, nothing]);
    exit::worst(all).unwrap_or(exit::INCONCLUSIVE)
}
