//! `run`: runs cases under enforcement, and reports their verdicts.

use std::path::PathBuf;

use super::args::RunArgs;
use super::compare::compare;
use super::failure::Failure;
use super::prologue::{Prologue, announce, paint, progress};
use super::reports::Reports;
use super::select::Selection;
use super::watch::{Seen, basis, watch};
use crate::bundle;
use crate::exit;
use crate::report::format::ReportInput;
use crate::report::human::{self, Paint};
use crate::report::outline::Outline;
use crate::report::timings::{self, RunTimes};
use virt_aa_engine::root::Root;
use virt_aa_engine::run_info;
use virt_aa_engine::setup;
use virt_aa_engine::suite::{Bounds, Suite};
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::merge;
use virt_aa_model::report::build::Context;
use virt_aa_model::report::model::{CaseReport, Report};
use virt_aa_model::shard::{Durations, Split, split};
use virt_aa_model::shell::word;

/// Run the cases, print the report, and return how the run ended.
pub fn run(root: &Root, args: &RunArgs) -> Result<u8, Failure> {
    match &args.base {
        Some(base) => compare(root, args, base),
        None if args.watch => watch(root, args),
        None => once(root, args, None),
    }
}

/// Like [`run`]. Of cases that were seen before, only those run that a change affects.
pub fn once(root: &Root, args: &RunArgs, seen: Option<&mut Seen>) -> Result<u8, Failure> {
    let prologue = Prologue::read(root, &args.target, &args.cases, args.all)?;
    let (data, started) = (&prologue.data, prologue.started);
    let durations = match &args.durations {
        Some(file) => merge::durations(file).map_err(Failure::usage)?,
        None => Durations::new(),
    };
    let reports = Reports::open(&args.reports)?;
    if let Some(file) = &args.bundle {
        bundle::writable(file).map_err(Failure::usage)?;
    }
    let (backend, machines) = prologue.backend(args.jobs, args.timeout)?;
    let (prepared, session) =
        setup::prepared(root, data, &prologue.target, args.known_bad.as_deref(), &backend)?;
    let (mut selection, left) = prologue.choose(&prepared.base.set)?;
    let shard = shard(args, &mut selection, &durations)?;
    let chosen = selection.ids();
    let basis = |variant: &Variant| basis(variant, data, &prepared);
    if let Some(seen) = &seen {
        seen.leave_affected(&mut selection, &basis);
        if selection.ids().is_empty() {
            eprintln!("nothing has changed that these cases depend on");
            return Ok(exit::OK);
        }
    }
    let info = run_info::of_base(&prepared, &backend, args.known_bad.as_deref());
    let proofs = prepared.proofs(data, &info.profile_set.hash);
    let paint = paint(&reports);
    announce(&reports, &info)?;
    let bar = progress(selection.variants.len());
    let suite = Suite {
        data,
        prepared: &prepared,
        backend: &backend,
        bounds: Bounds::new(machines, args.timeout, prepared.timings.whole),
    };
    let again = again(root, args);
    let context = Context {
        policy: &prepared.base.policy,
        guards: &|id, case, profiles| proofs.guards(id, case, profiles),
        again: &again,
    };
    let mut first_verdict = None;
    let mut printed = Ok(());
    let mut told: Vec<CaseReport> = Vec::new();
    let mut tell = |case: &CaseRun| {
        first_verdict.get_or_insert_with(|| started.elapsed());
        let case = context.case(case);
        if printed.is_ok() {
            printed = bar.suspend(|| reports.line(&human::case(&case, paint)));
        }
        told.push(case);
        bar.inc(1);
    };
    let begun = |variant: &Variant| bar.set_message(variant.id.clone());
    let mut cases = suite.run(session, &selection.variants, &begun, &mut tell);
    for (variant, reason) in selection.skipped {
        let case = CaseRun::skipped(variant, reason);
        tell(&case);
        cases.push(case);
    }
    bar.finish_and_clear();
    let report = Report::new(
        info,
        args.strict,
        shard,
        started.elapsed().as_secs_f64() * 1000.0,
        told,
    );
    end(&reports, &report)?;
    if let Some(file) = &args.bundle {
        let made = bundle::make(&prepared.base.policy, &prepared.base.set.tree, &cases, &report);
        bundle::write(&made, file).map_err(Failure::broken)?;
    }
    printed?;
    match seen.and_then(|seen| seen.note(&cases, &chosen, &basis)) {
        Some(others) => eprintln!("{others}"),
        None => left.into_iter().for_each(|left| eprintln!("{left}")),
    }
    if args.timings {
        let marks = RunTimes {
            prepared: prepared.timings,
            first_verdict: first_verdict.unwrap_or_default(),
            whole: started.elapsed(),
            memory_mib: backend.memory_mib(),
        };
        eprint!("{}", timings::text(&marks, &cases));
    }
    Ok(exit::of_report(&report))
}

/// Write the rest of the reports of a run.
pub fn end(reports: &Reports, report: &Report) -> Result<(), Failure> {
    let telling = ReportInput {
        human: human::report(report, Paint(false)),
        json: &|| serde_json::to_string_pretty(report),
        outline: Outline::of_run(report),
        report: Some(report),
        token: reports.token(),
    };
    reports.end(&telling, &human::summary(report))
}

/// Keep in the selection only the requested shard.
fn shard(args: &RunArgs, selection: &mut Selection, durations: &Durations) -> Result<Option<Split>, Failure> {
    let Some(shard) = args.shard else { return Ok(None) };
    let ids = selection.ids();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let split = split(shard, &ids, durations).map_err(Failure::usage)?;
    selection.variants.retain(|variant| split.has(&variant.id));
    selection.skipped.retain(|(variant, _)| split.has(&variant.id));
    Ok(Some(split))
}

/// The command that runs one case again, without the case's name.
pub fn again(root: &Root, args: &RunArgs) -> String {
    let mut command = String::from("virt-aa-conform run");
    for argument in args.target.target().words() {
        command += &format!(" {}", word(&argument));
    }
    if let Some(bad) = &args.known_bad {
        command += &format!(" --known-bad {bad}");
    }
    command + &cases(root)
}

/// The option for cases from another folder; empty if they are not.
pub fn cases(root: &Root) -> String {
    let option = |dir: &PathBuf| format!(" --cases {}", word(&dir.display().to_string()));
    root.cases.as_ref().map(option).unwrap_or_default()
}
