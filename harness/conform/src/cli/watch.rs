//! `run --watch`: runs cases again whenever something that they depend on has changed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use sha2::{Digest, Sha256};
use virt_aa_engine::prepare::Prepared;
use virt_aa_engine::profile_set::spec::SetSpec;
use virt_aa_engine::root::{Origin, Root};
use virt_aa_model::case::expand::Variant;
use virt_aa_model::case_run::CaseRun;
use virt_aa_model::data::Data;
use virt_aa_model::verdict::judge::Verdict;

use super::args::RunArgs;
use super::failure::Failure;
use super::run::once;
use super::select::Selection;
use crate::report::human::count;

/// An editor writes several files or renames one. A change is over when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(150);

/// Runs the cases, and again those that each change affects, until a signal ends the program.
pub fn watch(root: &Root, args: &RunArgs) -> Result<u8, Failure> {
    let folders = folders(root, &args.target.target().profiles)?;
    // It watches before the first run, so that no change is missed.
    let changes = Changes::of(&folders)?;
    let shown: Vec<String> = folders.iter().map(|dir| dir.display().to_string()).collect();
    let mut seen = Seen::default();
    loop {
        if let Err(failure) = once(root, args, Some(&mut seen)) {
            failure.print();
        }
        eprintln!("waiting for changes in {}; Ctrl-C ends", shown.join(", "));
        changes.wait()?;
    }
}

/// The folders whose files decide what the cases do: the data's, and that of the profile set.
fn folders(root: &Root, profiles: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut folders = Vec::new();
    if root.origin != Origin::BuiltIn {
        folders.push(root.cases.clone().unwrap_or_else(|| root.dir.join("cases")));
        folders.push(root.dir.join("profiles"));
    }
    if let Some(given) = SetSpec::parse(profiles).given
        && given.revision.is_none()
    {
        folders.push(given.dir);
    }
    if folders.is_empty() {
        return Err(Failure::usage(
            "--watch has nothing to watch: the data are in the program, and --profiles names no folder",
        ));
    }
    Ok(folders)
}

/// Changes of files below some folders.
struct Changes {
    events: Receiver<notify::Result<Event>>,
    // Dropping it ends the events.
    _watcher: RecommendedWatcher,
}

impl Changes {
    fn of(folders: &[PathBuf]) -> Result<Changes, Failure> {
        let (send, events) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(send).map_err(Failure::broken)?;
        for folder in folders {
            let told = |error| Failure::usage(format!("cannot watch {}: {error}", folder.display()));
            watcher.watch(folder, RecursiveMode::Recursive).map_err(told)?;
        }
        Ok(Changes {
            events,
            _watcher: watcher,
        })
    }

    /// Waits for a change, and until it is over.
    fn wait(&self) -> Result<(), Failure> {
        let gone = |_| Failure::broken("the files are watched no longer");
        while !is_change(&self.events.recv().map_err(gone)?) {}
        loop {
            match self.events.recv_timeout(QUIET) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(gone(mpsc::RecvError)),
            }
        }
    }
}

/// Whether an event may have changed a file. Reading is none, and this program reads. An error may hide anything.
fn is_change(event: &notify::Result<Event>) -> bool {
    !matches!(event, Ok(event) if matches!(event.kind, EventKind::Access(_)))
}

/// The cases that ran, with what they depended on.
#[derive(Default)]
pub struct Seen(BTreeMap<String, Last>);

struct Last {
    basis: String,
    verdict: Verdict,
}

impl Seen {
    /// Leaves in the selection only what must run: what has not run yet, what depends on something that has changed, and
    /// what has no verdict for lack of evidence.
    pub fn leave_affected(&self, selection: &mut Selection, basis: &dyn Fn(&Variant) -> String) {
        let is_known = |variant: &Variant, basis: String| {
            let last = self.0.get(&variant.id);
            last.is_some_and(|last| {
                last.basis == basis && !matches!(last.verdict, Verdict::Error | Verdict::Inconclusive)
            })
        };
        selection
            .variants
            .retain(|variant| !is_known(variant, basis(variant)));
        selection
            .skipped
            .retain(|(variant, reason)| !is_known(variant, reason.clone()));
    }

    /// Notes how cases ended, and returns a line about those that did not run now; `None` if all ran.
    pub fn note(
        &mut self,
        ran: &[CaseRun],
        chosen: &[String],
        basis: &dyn Fn(&Variant) -> String,
    ) -> Option<String> {
        self.0.retain(|id, _| chosen.contains(id));
        for run in ran {
            let basis = match (&run.ran, &run.reason) {
                (None, Some(reason)) if run.verdict == Verdict::Skip => reason.clone(),
                _ => basis(&run.variant),
            };
            let verdict = run.verdict;
            self.0.insert(run.id.clone(), Last { basis, verdict });
        }
        let now = |id: &String| ran.iter().any(|run| run.id == *id);
        let others: Vec<_> = self.0.iter().filter(|(id, _)| !now(id)).collect();
        let red = others.iter().filter(|(_, last)| !last.verdict.is_green());
        let red: Vec<&str> = red.map(|(id, _)| id.as_str()).collect();
        let told = match red.as_slice() {
            [] => String::new(),
            red => format!(", {} of them red: {}", red.len(), red.join(", ")),
        };
        (!others.is_empty()).then(|| format!("not affected: {}{told}", count(others.len(), "case")))
    }
}

/// Everything in the data and in the profile set that the verdict of a variant depends on, as a hash. A comment in a
/// profile is no part of it.
pub fn basis(variant: &Variant, data: &Data, prepared: &Prepared) -> String {
    let set = &prepared.base.set;
    let case = &variant.loaded.case;
    let fixtures: Vec<_> = case.needs.iter().map(|name| data.fixtures.get(name)).collect();
    let labels = variant.profiles.values().map(|chosen| chosen.profile.as_str());
    let known = data
        .known
        .find(&set.known_as(labels.clone()), &prepared.image.name, &variant.id);
    let mut hash = Sha256::new();
    // Plain data always has a JSON form.
    let parts = (&**case, &variant.values, &variant.profiles, fixtures, known);
    hash.update(serde_json::to_vec(&parts).unwrap_or_default());
    let own: Vec<&str> = labels
        .clone()
        .filter_map(|label| Some(set.file_of(label)?.file.as_str()))
        .collect();
    // Who starts programs under other profiles depends on those, too.
    let all = labels.clone().any(|label| {
        let profile = set.file_of(label).and_then(|file| file.profile(label));
        profile.is_none_or(|profile| profile.all_rules().any(aa_policy::Rule::changes_profile))
    });
    for policy in prepared.base.compiled.policies() {
        if all || own.contains(&policy.name.as_str()) {
            hash.update(&policy.name);
            hash.update(&policy.binary);
        }
    }
    // virt-aa-helper makes profiles from the set's templates while the case runs.
    if case.subjects.values().any(|subject| subject.run_by.is_some()) {
        hash.update(set.tree.hash());
    }
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rstest::rstest;
    use virt_aa_model::testing::evidence::Made;
    use virt_aa_model::testing::reports::ran;

    use super::*;

    fn run(name: &str, verdict: Verdict) -> CaseRun {
        let made = Made::of(&["{as: agent, acct: off}"]);
        CaseRun {
            verdict,
            ..ran(name, made, |_| {})
        }
    }

    fn selection(runs: &[CaseRun]) -> Selection {
        Selection {
            variants: runs.iter().map(|run| run.variant.clone()).collect(),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn what_has_a_verdict_runs_again_only_if_its_basis_has_changed() {
        let runs = [
            run("green", Verdict::Pass),
            run("red", Verdict::Fail),
            run("unclear", Verdict::Inconclusive),
            run("broken", Verdict::Error),
        ];
        let chosen = selection(&runs).ids();
        let mut seen = Seen::default();
        let left = |seen: &Seen, basis: &dyn Fn(&Variant) -> String| {
            let mut left = selection(&runs);
            seen.leave_affected(&mut left, basis);
            left.ids()
        };
        let same = |_: &Variant| "same".to_owned();
        assert_eq!(left(&seen, &same), chosen);
        assert_eq!(seen.note(&runs, &chosen, &same), None);
        assert_eq!(left(&seen, &same), chosen[2..]);
        let green_changed = |variant: &Variant| {
            let is_green = variant.id == chosen[0];
            String::from(if is_green { "other" } else { "same" })
        };
        let again = [&chosen[0], &chosen[2], &chosen[3]].map(String::clone);
        assert_eq!(left(&seen, &green_changed), again);
        // What is red and not affected is told each time.
        let told = seen.note(&runs[..1], &chosen, &green_changed).unwrap();
        assert_eq!(
            told,
            format!(
                "not affected: 3 cases, 3 of them red: {}, {}, {}",
                chosen[3], chosen[1], chosen[2]
            )
        );
        // A case that is chosen no longer is forgotten.
        assert_eq!(seen.note(&runs[..1], &chosen[..1], &same), None);
        assert_eq!(left(&seen, &same), chosen[1..]);
    }

    #[rstest]
    #[case::data(Origin::Given, "packaged", &["/r/cases", "/r/profiles"])]
    #[case::a_tree(Origin::Here, "libvirt-source:/src", &["/r/cases", "/r/profiles", "/src"])]
    #[case::a_commit_does_not_change(Origin::Here, "libvirt-source:/src@HEAD", &["/r/cases", "/r/profiles"])]
    #[case::built_in(Origin::BuiltIn, "dir:/etc/apparmor.d", &["/etc/apparmor.d"])]
    #[case::nothing(Origin::BuiltIn, "packaged", &[])]
    fn the_folders_that_decide_are_watched(
        #[case] origin: Origin,
        #[case] profiles: &str,
        #[case] want: &[&str],
    ) {
        let root = Root {
            dir: "/r".into(),
            cases: None,
            origin,
        };
        match folders(&root, profiles) {
            Ok(found) => assert_eq!(found, want.iter().map(Path::new).collect::<Vec<_>>()),
            Err(failure) => assert!(want.is_empty() && failure.message.contains("nothing to watch")),
        }
    }

    #[test]
    fn a_write_is_a_change_and_a_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("network");
        fs::create_dir(&deep).unwrap();
        let file = deep.join("case.yaml");
        fs::write(&file, "one").unwrap();
        let changes = Changes::of(&[dir.path().to_owned()]).unwrap();
        fs::read(&file).unwrap();
        fs::write(&file, "two").unwrap();
        changes.wait().unwrap();
        fs::read(&file).unwrap();
        let later = changes.events.recv_timeout(QUIET);
        assert!(later.iter().all(|event| !is_change(event)), "{later:?}");
        let missing = Changes::of(&[dir.path().join("missing")]).err().unwrap();
        assert!(missing.message.contains("cannot watch"), "{}", missing.message);
    }
}
