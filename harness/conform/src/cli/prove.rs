//! `prove`: proves every guard of the chosen cases.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::{DEFAULT_SET, ProveArgs};
use super::failure::Failure;
use super::prologue::{Prologue, announce, paint, progress};
use super::reports::Reports;
use super::run::cases;
use crate::exit;
use crate::report::format::{Format, FormatError, ReportInput};
use crate::report::human;
use crate::report::outline::Outline;
use virt_aa_engine::root::Root;
use virt_aa_engine::run_info;
use virt_aa_engine::setup;
use virt_aa_engine::suite::{Bounds, Suite};
use virt_aa_model::case::expand::Variant;
use virt_aa_model::guard::{Outcome, Proof};
use virt_aa_model::report::model::{PROGRAM_VERSION, SCHEMA_VERSION};
use virt_aa_model::report::run_info::RunInfo;
use virt_aa_model::shell::word;

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    program_version: &'static str,
    run: &'a RunInfo,
    proofs: &'a [Proof],
    summary: BTreeMap<&'static str, usize>,
}

/// Prove the guards, print and store the outcomes, and return how it ended.
pub fn prove_all(root: &Root, args: &ProveArgs) -> Result<u8, Failure> {
    let prologue = Prologue::read(root, &args.target, &args.cases, args.all)?;
    let (data, started) = (&prologue.data, prologue.started);
    if args.reports.iter().any(|spec| spec.format == Format::Sarif) {
        return Err(Failure::usage(FormatError::NoProofs));
    }
    let reports = Reports::open(&args.reports)?;
    let (backend, machines) = prologue.backend(args.jobs, args.timeout)?;
    let (prepared, session) = setup::prepared(root, data, &prologue.target, None, &backend)?;
    let (selection, left) = prologue.choose(&prepared.base.set)?;
    let info = run_info::of_base(&prepared, &backend, None);
    let mut book = prepared.proofs(data, &info.profile_set.hash);
    let paint = paint(&reports);
    announce(&reports, &info)?;
    let bar = progress(selection.variants.len());
    let suite = Suite {
        data,
        prepared: &prepared,
        backend: &backend,
        bounds: Bounds::new(machines, args.timeout, prepared.timings.whole),
    };
    let mut proofs = Vec::new();
    let mut printed = Ok(());
    let mut ended = |of_variant: &[Proof]| {
        for proof in of_variant {
            if printed.is_ok() {
                printed = bar.suspend(|| reports.line(&human::proof(proof, paint)));
            }
            if let Some(of) = &proof.of {
                book.set(&proof.case, &of.0, &of.1, proof.outcome == Outcome::Killed);
            }
        }
        bar.inc(1);
    };
    let begun = |variant: &Variant| bar.set_message(variant.id.clone());
    for of_variant in suite.prove(session, &selection.variants, &begun, &mut ended) {
        proofs.extend(of_variant);
    }
    bar.finish_and_clear();
    book.save().map_err(Failure::broken)?;
    let mut summary: BTreeMap<&'static str, usize> = BTreeMap::new();
    for proof in &proofs {
        *summary.entry(proof.outcome.name()).or_default() += 1;
    }
    let closing = human::proof_summary(&summary, started.elapsed().as_secs_f64());
    let report = Report {
        schema_version: SCHEMA_VERSION,
        program_version: PROGRAM_VERSION,
        run: &info,
        proofs: &proofs,
        summary,
    };
    let folder = |id: &str| {
        let variant = selection.variants.iter().find(|variant| variant.id == id);
        variant
            .map(|variant| variant.loaded.group.clone())
            .unwrap_or_default()
    };
    let telling = ReportInput {
        human: human::proofs(&info, &proofs, &closing),
        json: &|| serde_json::to_string_pretty(&report),
        outline: Outline::of_proofs(&info, &proofs, &again(root, args), closing.clone(), &folder),
        report: None,
        token: reports.token(),
    };
    reports.end(&telling, &closing)?;
    printed?;
    for left in left {
        eprintln!("{}", left.replace("virt-aa-conform run", "virt-aa-conform prove"));
    }
    Ok(if proofs.is_empty() {
        // No case was shown to turn red.
        exit::INCONCLUSIVE
    } else if proofs.iter().all(|proof| proof.outcome.is_good()) {
        exit::of_unusable(&info.profile_set.unusable)
    } else {
        exit::RED
    })
}

/// The command that proves one case's guards again, without the case's name.
fn again(root: &Root, args: &ProveArgs) -> String {
    let mut command = format!("virt-aa-conform prove --image {}", args.target.image);
    if args.target.profiles != DEFAULT_SET {
        command += &format!(" --profiles {}", word(&args.target.profiles));
    }
    for (name, dir) in &args.target.set_dirs {
        command += &format!(" --set-dir {name}={dir}");
    }
    command + &cases(root)
}
