//! `prove`: every guard of the chosen cases.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Instant;

use serde::Serialize;

use super::args::{DEFAULT_SET, ProveArgs};
use super::exit;
use super::failure::Failure;
use super::reports::Reports;
use super::run::{cases, progress, shell_word};
use super::select::{all_roles, leave_to_others, select};
use super::setup;
use crate::case::expand::Variant;
use crate::prove::{Outcome, Proof};
use crate::report::format::{Format, FormatError, Telling};
use crate::report::human::{self, Paint};
use crate::report::model::{PROGRAM_VERSION, SCHEMA_VERSION};
use crate::report::outline::Outline;
use crate::report::run_info::RunInfo;
use crate::root::Root;
use crate::suite::{Bounds, Suite};

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    program_version: &'static str,
    run: &'a RunInfo,
    proofs: &'a [Proof],
    summary: BTreeMap<&'static str, usize>,
}

/// Prove, print, note down, and say how it ended.
pub fn prove_all(root: &Root, args: &ProveArgs) -> Result<u8, Failure> {
    let started = Instant::now();
    let data = setup::data(root)?;
    // A misspelt name is told before anything is built or booted.
    select(&data, &all_roles(&data), &args.cases)?;
    if args.reports.iter().any(|spec| spec.format == Format::Sarif) {
        return Err(Failure::usage(FormatError::NoProofs));
    }
    let reports = Reports::open(&args.reports)?;
    let backend = setup::backend(root, &args.target, args.jobs)?.within(args.timeout);
    let (prepared, session) = setup::prepared(root, &data, &args.target, None, &backend)?;
    let mut selection = select(&data, prepared.base.set.roles(), &args.cases)?;
    let named = !args.cases.is_empty();
    let left = leave_to_others(&mut selection, &data, root, &args.target, named)?;
    let info = RunInfo::of(&prepared, &backend, None);
    let mut book = prepared.proofs(&data, &info.profile_set.hash);
    let paint = Paint(
        reports.may_paint() && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    );
    reports.begin(&paint.dim(&human::heading(&info)))?;
    reports.line(&human::unusable(&info.profile_set, paint))?;
    let bar = progress(selection.variants.len());
    let suite = Suite {
        data: &data,
        prepared: &prepared,
        backend: &backend,
        bounds: Bounds::new(args.jobs, args.timeout, prepared.timings.whole),
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
    let telling = Telling {
        human: human::proofs(&info, &proofs, &closing),
        json: &|| serde_json::to_string_pretty(&report),
        outline: Outline::of_proofs(&info, &proofs, &again(root, args), closing.clone(), &folder),
        report: None,
        token: reports.token(),
    };
    reports.end(&telling, &closing)?;
    printed?;
    if let Some(left) = left {
        eprintln!("{}", left.replace("virt-aa-conform run", "virt-aa-conform prove"));
    }
    Ok(if proofs.is_empty() {
        // Nothing was shown to turn red.
        exit::INCONCLUSIVE
    } else if proofs.iter().all(|proof| proof.outcome.is_good()) {
        exit::of_unusable(&info.profile_set.unusable)
    } else {
        exit::RED
    })
}

/// The command that proves one case's guards again, its name left out.
fn again(root: &Root, args: &ProveArgs) -> String {
    let mut command = format!("virt-aa-conform prove --image {}", args.target.image);
    if args.target.profiles != DEFAULT_SET {
        command += &format!(" --profiles {}", shell_word(&args.target.profiles));
    }
    for (name, dir) in &args.target.set_dirs {
        command += &format!(" --set-dir {name}={dir}");
    }
    command + &cases(root)
}
