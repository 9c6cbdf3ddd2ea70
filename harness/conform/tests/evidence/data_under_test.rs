//! Policy or log path are not what the verdict takes them for.

use virt_aa_engine::prepare::{Candidate, Prepared};
use virt_aa_engine::profile_set::compiled::CompiledSet;
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::profile_set::manifest::Edit;
use virt_aa_model::verdict::judge::Verdict;
use virt_aa_probe::protocol::{Policy, Sabotage};

use crate::machine::{Bench, with_bench};

const CASE: &str = "socket";
const PROFILE: &str = "libvirtd";

pub fn complain_mode() -> Result<(), String> {
    tampered(
        |prepared| {
            let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
            let set = &prepared.base.set;
            set.tree.write_to(dir.path()).map_err(|error| error.to_string())?;
            let mut policies = prepared.base.compiled.policies();
            let file = &set.file_of(PROFILE).ok_or("no file")?.file;
            let complaining = prepared
                .parser
                .compile(dir.path(), file, &["--Complain"])
                .map_err(|error| error.to_string())?;
            policy_of(&mut policies, file)?.binary = complaining.binary;
            Ok(policies)
        },
        "is in complain mode",
    )
}

pub fn not_loaded() -> Result<(), String> {
    tampered(
        |prepared| {
            let file = &prepared.base.set.file_of(PROFILE).ok_or("no file")?.file;
            let mut policies = prepared.base.compiled.policies();
            policies.retain(|policy| policy.name != *file);
            Ok(policies)
        },
        "profile libvirtd is not loaded",
    )
}

pub fn looser_profile() -> Result<(), String> {
    tampered(
        |prepared| {
            let looser = Edit {
                profile: PROFILE.into(),
                without: None,
                add: Some("capability wake_alarm,".into()),
            };
            let policies = edited(prepared, looser)?.policies();
            let honest = prepared.base.compiled.policies();
            let same = policies
                .iter()
                .zip(&honest)
                .all(|(one, other)| one.binary == other.binary);
            if same {
                return Err("the profile grants that already, so nothing was loosened".into());
            }
            Ok(policies)
        },
        "of profile libvirtd differs from that of the compiled profile",
    )
}

pub fn one_profile_more() -> Result<(), String> {
    tampered(
        |prepared| {
            let mut set = prepared.base.set.clone();
            let file = set.file_of(PROFILE).ok_or("no file")?.file.clone();
            let text = set.tree.get(&file).ok_or("no text")?.to_string();
            set.tree
                .insert(&file, format!("{text}\nprofile made-up-one-more {{\n}}\n"))
                .map_err(|error| error.to_string())?;
            let set = set
                .with_tree(set.tree.clone())
                .map_err(|error| error.to_string())?;
            let compiled =
                CompiledSet::compile(&set, &prepared.parser, None).map_err(|error| error.to_string())?;
            Ok(compiled.policies())
        },
        "made-up-one-more is loaded, but the set does not declare it",
    )
}

pub fn audit_socket_closed() -> Result<(), String> {
    sabotaged(Sabotage::CloseAuditSocket, "the close canary did not arrive")
}

pub fn burst() -> Result<(), String> {
    // How many records are lost differs; sometimes none.
    sabotaged(Sabotage::Burst, "the audit backlog limit was 1")
}

/// A set that is wrong on purpose is red, by the denial that it brings about.
pub fn known_bad() -> Result<(), String> {
    with_bench(|bench| {
        passes(&bench.run_honest(CASE)?)?;
        let bad = &bench.data.sets.known_bad["no-packet-raw"];
        let set = bench
            .prepared
            .base
            .set
            .edited(&bad.edits)
            .map_err(|error| error.to_string())?;
        let candidate: Candidate = bench.prepared.candidate(set).map_err(|error| error.to_string())?;
        let variant = bench.variant(CASE)?;
        let run = bench.runner.run(&variant, &candidate, false);
        is_red(&run, Verdict::Fail, "packet")
    })
}

fn edited(prepared: &Prepared, edit: Edit) -> Result<CompiledSet, String> {
    let set = prepared
        .base
        .set
        .edited(&[edit])
        .map_err(|error| error.to_string())?;
    CompiledSet::compile(&set, &prepared.parser, None).map_err(|error| error.to_string())
}

fn policy_of<'p>(policies: &'p mut [Policy], file: &str) -> Result<&'p mut Policy, String> {
    policies
        .iter_mut()
        .find(|policy| policy.name == file)
        .ok_or_else(|| format!("no policy of {file}"))
}

/// With these policies loaded behind the verdict's back the case is inconclusive for that reason; without, it passes.
fn tampered(
    policies: impl FnOnce(&Prepared) -> Result<Vec<Policy>, String>,
    reason: &str,
) -> Result<(), String> {
    with_bench(|bench| {
        passes(&bench.run_honest(CASE)?)?;
        let policies = policies(bench.prepared)?;
        let overlay = bench.prepared.base.set.overlay();
        bench
            .runner
            .session()
            .and_then(|session| session.load(policies, overlay))
            .map_err(|error| error.to_string())?;
        is_red(&bench.run_as_loaded(CASE)?, Verdict::Inconclusive, reason)?;
        passes(&bench.run_honest(CASE)?)
    })
}

fn sabotaged(how: Sabotage, reason: &str) -> Result<(), String> {
    with_bench(|bench: &mut Bench| {
        passes(&bench.run_honest(CASE)?)?;
        bench
            .runner
            .session()
            .and_then(|session| session.sabotage(how))
            .map_err(|error| error.to_string())?;
        is_red(&bench.run_as_loaded(CASE)?, Verdict::Inconclusive, reason)?;
        passes(&bench.run_honest(CASE)?)
    })
}

/// The control.
pub fn passes(run: &CaseRun) -> Result<(), String> {
    if run.verdict == Verdict::Pass {
        return Ok(());
    }
    Err(format!(
        "the untouched case was {}: {}",
        run.verdict.name(),
        run.reason.as_deref().unwrap_or_default()
    ))
}

/// The verdict, and somewhere among its reasons that text.
pub fn is_red(run: &CaseRun, verdict: Verdict, reason: &str) -> Result<(), String> {
    let gaps = run.ran.iter().flat_map(|ran| &ran.judgement.gaps);
    let all: Vec<&str> = run.reason.iter().chain(gaps).map(String::as_str).collect();
    if run.verdict == verdict && all.iter().any(|text| text.contains(reason)) {
        return Ok(());
    }
    Err(format!(
        "wanted {} with `{reason}`, got {}: {}",
        verdict.name(),
        run.verdict.name(),
        all.join("; ")
    ))
}
