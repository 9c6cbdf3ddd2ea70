//! `prove`: every guard of the chosen cases.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::args::{Format, ProveArgs};
use super::exit;
use super::failure::Failure;
use super::output::written;
use super::run::progress;
use super::select::{all_roles, leave_to_others, select};
use super::setup;
use crate::case::expand::Variant;
use crate::proofs::Proofs;
use crate::prove::{Outcome, Proof};
use crate::report::human::{self, Paint};
use crate::report::run_info::RunInfo;
use crate::suite::{Bounds, Suite};

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    run: &'a RunInfo,
    proofs: &'a [Proof],
    summary: BTreeMap<&'static str, usize>,
}

/// Prove, print, note down, and say how it ended.
pub fn prove_all(root: &Path, args: &ProveArgs) -> Result<u8, Failure> {
    let started = Instant::now();
    let data = setup::data(root)?;
    // A misspelt name is told before anything is built or booted.
    select(&data, &all_roles(&data), &args.cases)?;
    let mut config = setup::vm_config(root, &args.target.image)?;
    config.boot_timeout = config.boot_timeout.min(args.timeout);
    let (prepared, session) = setup::prepared(root, &data, &args.target, None, &config)?;
    let mut selection = select(&data, prepared.base.set.roles(), &args.cases)?;
    let named = !args.cases.is_empty();
    let store = setup::store(root)?;
    let left = leave_to_others(&mut selection, &data, &store, &args.target.image, named)?;
    let info = RunInfo::of(&prepared, &config, None);
    let mut book = Proofs::open(&prepared.image.dir, &info.profile_set.hash);
    let human = args.format == Format::Human;
    let paint = Paint(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    let mut out = std::io::stdout().lock();
    if human {
        written(writeln!(out, "{}", paint.dim(&human::heading(&info))))?;
    }
    let bar = progress(selection.variants.len());
    let suite = Suite {
        data: &data,
        prepared: &prepared,
        config: &config,
        bounds: Bounds::new(args.jobs, args.timeout, prepared.timings.whole),
    };
    let mut proofs = Vec::new();
    let mut ended = |of_variant: &[Proof]| {
        for proof in of_variant {
            if human {
                // What was printed so far stands in any case.
                let _ = bar.suspend(|| out.write_all(human::proof(proof, paint).as_bytes()));
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
    if human {
        let seconds = started.elapsed().as_secs_f64();
        written(writeln!(out, "{}", human::proof_summary(&summary, seconds)))?;
    } else {
        let report = Report {
            schema_version: crate::report::json::SCHEMA_VERSION,
            run: &info,
            proofs: &proofs,
            summary,
        };
        let text = serde_json::to_string_pretty(&report).map_err(Failure::broken)?;
        written(writeln!(out, "{text}"))?;
    }
    if let Some(left) = left {
        eprintln!("{}", left.replace("virt-aa-conform run", "virt-aa-conform prove"));
    }
    Ok(if proofs.is_empty() {
        // Nothing was shown to turn red.
        exit::INCONCLUSIVE
    } else if proofs.iter().all(|proof| proof.outcome.is_good()) {
        exit::OK
    } else {
        exit::RED
    })
}
