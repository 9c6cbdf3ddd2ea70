//! Opens the data, a set and a machine at the first request, and runs the requested variants on as many machines as the
//! host bears.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::paths::KeeperPaths;
use super::wire::{Answer, Ask};
use crate::backend::{Backend, LocalConfig, VmConfig};
use crate::capacity;
use crate::prepare::Prepared;
use crate::proof_store::ProofStore;
use crate::root::Root;
use crate::runner::Runner;
use crate::session::Session;
use crate::setup::{self, SetupError};
use crate::target;
use virt_aa_model::case::expand::{Variant, expand};
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::data::Data;
use virt_aa_model::report::build::Context;

/// What is tested, and by which program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The folder with the data files.
    pub root: PathBuf,
    /// Where cases run, and with which profiles.
    pub target: target::Target,
    /// The program that is the machine's agent.
    pub program: PathBuf,
}

/// One request, and the channel for its answer.
pub struct Job {
    /// What to run.
    pub ask: Ask,
    /// Receives the answer.
    pub reply: Sender<Answer>,
}

/// Serves requests until nobody can send any more. The image is built if needed. If nothing can be run, each answer
/// says why. `place` has the key that the data must still match.
pub fn work(target: &Target, place: &KeeperPaths, jobs: Receiver<Job>) {
    let Ok(first) = jobs.recv() else { return };
    let (data, backend, prepared, session) = match open(target, place) {
        Ok(opened) => opened,
        Err(message) => {
            for job in std::iter::once(first).chain(jobs) {
                let _ = job.reply.send(Answer::error(&message));
            }
            return;
        }
    };
    let again = format!("virt-aa-conform run {}", target.target.words().join(" "));
    let proofs = prepared.proofs(&data, &prepared.base.set.tree.hash());
    let machines = backend.memory_mib().map_or(1, capacity::machines);
    let begun = Mutex::new(Some((first, session)));
    let jobs = Mutex::new(jobs);
    let next = |jobs: &Mutex<Receiver<Job>>| jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    thread::scope(|scope| {
        for _ in 0..machines {
            scope.spawn(|| {
                let begun = begun.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (first, session) = begun.unzip();
                let mut runner = Runner::new(&data, &prepared, &backend, session);
                for job in first.into_iter().chain(std::iter::from_fn(|| next(&jobs).ok())) {
                    let answer = answer(&data, &prepared, &proofs, &mut runner, &job.ask, &again);
                    // The requester may be gone. The next one is served all the same.
                    let _ = job.reply.send(answer);
                }
            });
        }
    });
}

fn open(target: &Target, place: &KeeperPaths) -> Result<(Data, Backend, Prepared, Session), String> {
    let said = |error: SetupError| error.to_string();
    let root = Root::at(&target.root);
    let backend = match setup::backend(&root, &target.target, 1).map_err(said)? {
        Backend::Vm(config) => Backend::Vm(VmConfig {
            program: target.program.clone(),
            ..config
        }),
        Backend::Local(config) => Backend::Local(LocalConfig {
            program: target.program.clone(),
            ..config
        }),
    };
    let data = setup::data(&root).map_err(said)?;
    let now = KeeperPaths::of(target).map_err(|error| error.to_string())?;
    if now.key != place.key {
        return Err("the program or the data files changed after the test began; run it again".into());
    }
    let (prepared, session) = setup::prepared(&root, &data, &target.target, None, &backend).map_err(said)?;
    Ok((data, backend, prepared, session))
}

fn answer(
    data: &Data,
    prepared: &Prepared,
    proofs: &ProofStore,
    runner: &mut Runner<'_>,
    ask: &Ask,
    again: &str,
) -> Answer {
    let Some(loaded) = data.cases.iter().find(|loaded| loaded.case.name == ask.case) else {
        return Answer::error(&format!("there is no case `{}`", ask.case));
    };
    let mut run = match expand(loaded, prepared.base.set.roles()) {
        Ok(variants) => match variants.iter().find(|variant| ask.is_for(variant)) {
            Some(variant) => runner.run(variant, &prepared.base, true),
            None => CaseRun::skipped(
                Variant::without_profiles(loaded),
                "this image's packages have no such profile with this role".into(),
            ),
        },
        Err(none) => CaseRun::skipped(Variant::without_profiles(loaded), none.to_string()),
    };
    // Another request may or may not follow.
    run.add_gaps(runner.last_gaps());
    let context = Context {
        policy: &prepared.base.policy,
        guards: &|id, case, profiles| proofs.guards(id, case, profiles),
        again,
    };
    Answer {
        verdict: run.verdict,
        case: Some(Box::new(context.case(&run))),
        reason: run.reason,
    }
}
