//! `run`: cases under enforcement, and their verdicts.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{DEFAULT_SET, Format, RunArgs};
use super::exit;
use super::failure::Failure;
use super::output::written;
use super::select::{all_roles, leave_to_others, select};
use super::setup;
use crate::case::expand::Variant;
use crate::proofs::Proofs;
use crate::report::human::{self, Paint};
use crate::report::json;
use crate::report::run_info::RunInfo;
use crate::report::timings::{self, Marks};
use crate::runner::CaseRun;
use crate::suite::{Bounds, Suite};

/// Run, print, and say how it ended.
pub fn run(root: &Path, args: &RunArgs) -> Result<u8, Failure> {
    let started = Instant::now();
    let data = setup::data(root)?;
    // A misspelt name is told before anything is built or booted.
    select(&data, &all_roles(&data), &args.cases)?;
    let mut config = setup::vm_config(root, &args.target.image)?;
    config.boot_timeout = config.boot_timeout.min(args.timeout);
    let (prepared, session) = setup::prepared(root, &data, &args.target, args.known_bad.as_deref(), &config)?;
    let mut selection = select(&data, prepared.base.set.roles(), &args.cases)?;
    let named = !args.cases.is_empty();
    let store = setup::store(root)?;
    let left = leave_to_others(&mut selection, &data, &store, &args.target.image, named)?;
    let info = RunInfo::of(&prepared, &config, args.known_bad.as_deref());
    let proofs = Proofs::open(&prepared.image.dir, &info.profile_set.hash);
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
    let again = again(args);
    let mut first_verdict = None;
    let mut printed = Ok(());
    let mut print = |case: &CaseRun| {
        first_verdict.get_or_insert_with(|| started.elapsed());
        if human && printed.is_ok() {
            let text = human::case(case, &prepared.base.policy, &proofs, &again, paint);
            printed = bar.suspend(|| out.write_all(text.as_bytes()));
        }
        bar.inc(1);
    };
    let begun = |variant: &Variant| bar.set_message(variant.id.clone());
    let mut cases = suite.run(session, &selection.variants, &begun, &mut print);
    for (name, reason) in &selection.skipped {
        if let Some(loaded) = data.cases.iter().find(|loaded| loaded.case.name == *name) {
            let case = CaseRun::skipped(loaded, reason.clone());
            print(&case);
            cases.push(case);
        }
    }
    written(printed)?;
    bar.finish_and_clear();
    let status = exit::of_verdicts(cases.iter().map(|case| case.verdict), args.strict);
    if human {
        written(writeln!(
            out,
            "{}",
            human::summary(&cases, started.elapsed().as_secs_f64())
        ))?;
    } else {
        let report = json::report(info, &cases, &proofs);
        let text = serde_json::to_string_pretty(&report).map_err(Failure::broken)?;
        written(writeln!(out, "{text}"))?;
    }
    if let Some(left) = left {
        eprintln!("{left}");
    }
    if args.timings {
        let marks = Marks {
            prepared: prepared.timings,
            first_verdict: first_verdict.unwrap_or_default(),
            whole: started.elapsed(),
            memory_mib: config.memory_mib,
        };
        eprint!("{}", timings::text(&marks, &cases));
    }
    Ok(status)
}

/// The command that runs one case again, its name left out.
fn again(args: &RunArgs) -> String {
    let mut command = format!("virt-aa-conform run --image {}", args.target.image);
    if args.target.profiles != DEFAULT_SET {
        command += &format!(" --profiles {}", args.target.profiles);
    }
    if let Some(bad) = &args.known_bad {
        command += &format!(" --known-bad {bad}");
    }
    command
}

/// One line on a terminal; nothing elsewhere.
pub fn progress(length: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length as u64);
    let style = ProgressStyle::with_template("{pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
