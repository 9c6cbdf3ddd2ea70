//! `run --base`: the cases with two sets, on the same machines, and only what differs.

use std::io::IsTerminal;
use std::time::Instant;

use super::args::RunArgs;
use super::exit;
use super::failure::Failure;
use super::reports::Reports;
use super::run::{again, progress};
use super::select::{Selection, all_roles, leave_to_others, select};
use super::setup;
use crate::case::expand::Variant;
use crate::compare::{Kind, Seen, compare as differences};
use crate::prepare::{Candidate, prepare};
use crate::profile_set::assemble::SetUnderTest;
use crate::report::build::Context;
use crate::report::comparison::{Comparison, Told};
use crate::report::format::{Format, FormatError, Telling};
use crate::report::human::Paint;
use crate::report::run_info::RunInfo;
use crate::root::Root;
use crate::runner::CaseRun;
use crate::suite::{Bounds, Suite};
use crate::verdict::judge::Verdict;

/// Run both, print what differs, and say whether the set is worse than the base.
pub fn compare(root: &Root, args: &RunArgs, base: &str) -> Result<u8, Failure> {
    let started = Instant::now();
    let data = setup::data(root)?;
    // A misspelt name is told before anything is built or booted, and so is a file that cannot be written.
    select(&data, &all_roles(&data), &args.cases)?;
    let target = &args.target;
    let wanted_base = setup::wanted(&data, base, target, None)?;
    let wanted = setup::wanted(&data, &target.profiles, target, args.known_bad.as_deref())?;
    if args.reports.iter().any(|spec| spec.format == Format::Sarif) {
        return Err(Failure::usage(FormatError::NoComparison));
    }
    let reports = Reports::open(&args.reports)?;
    let backend = setup::backend(root, target, args.jobs)?.within(args.timeout);
    let image = setup::image_for(root, target, &backend)?;
    let (prepared, mut session) =
        prepare(&data, &image, &wanted_base, &backend).map_err(setup::of_prepare)?;
    let other = prepared.other(&data, &wanted).map_err(setup::of_prepare)?;
    if wanted.known_bad.is_none() {
        let alike = prepared.check_alike(&mut session, &other);
        alike.map_err(Failure::broken)?;
    }
    let base_info = RunInfo::of(&prepared, &backend, None);
    let info = RunInfo::of_candidate(&prepared, &other, &backend, args.known_bad.as_deref());
    let named = !args.cases.is_empty();
    let choose = |set: &SetUnderTest| {
        let mut selection = select(&data, set.roles(), &args.cases)?;
        let left = leave_to_others(&mut selection, &data, root, target, named)?;
        Ok::<_, Failure>((selection, left))
    };
    let ((of_base, _), (of_other, left)) = (choose(&prepared.base.set)?, choose(&other.set)?);
    let bar = progress(of_base.variants.len() + of_other.variants.len());
    let suite = Suite {
        data: &data,
        prepared: &prepared,
        backend: &backend,
        bounds: Bounds::new(args.jobs, args.timeout, started.elapsed()),
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
    let seen = |runs: &[CaseRun]| runs.iter().map(Seen::of).collect::<Vec<_>>();
    let kinds = differences(&seen(&base_runs), &seen(&runs));
    let again = again(root, args);
    let told = |runs: &[CaseRun], candidate: &Candidate, info: &RunInfo| {
        let context = Context {
            policy: &candidate.policy,
            proofs: &prepared.proofs(&data, &info.profile_set.hash),
            again: &again,
        };
        let told = runs.iter().map(|run| (run.variant.key(), context.case(run)));
        told.collect::<Told>()
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
    if let Some(left) = left {
        eprintln!("{left}");
    }
    Ok(status(&comparison))
}

fn print(reports: &Reports, comparison: &Comparison) -> Result<(), Failure> {
    let paint = Paint(
        reports.may_paint() && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    );
    let closing = comparison.closing();
    reports.begin(&comparison.heading(paint))?;
    reports.line(&comparison.differences(paint))?;
    let telling = Telling {
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

/// The worst of what was found: a broken machine, a worse set, what nothing can be said of.
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
    // Where nothing was run with either, nothing is shown.
    let nothing = if comparison.ran() {
        exit::OK
    } else {
        exit::INCONCLUSIVE
    };
    let all = of_kinds.chain(broken).chain([of_files, nothing]);
    exit::worst(all).unwrap_or(exit::INCONCLUSIVE)
}
