//! Stores which guards were seen to turn their case red, in the cache, by image, set, case and guard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use virt_aa_probe::lock::lock_within;

use crate::program_hash;
use virt_aa_model::case::expand::SubjectProfile;
use virt_aa_model::case::model::{Case, Guard};
use virt_aa_model::data::Data;
use virt_aa_model::report::model::PROGRAM_VERSION;
use virt_aa_model::verdict::summary::Guards;

/// The proofs of one image and set.
pub struct ProofStore {
    file: PathBuf,
    ground: ProofBasis,
    proven: BTreeSet<String>,
    /// Results of this run: keys, and whether they are proven.
    news: BTreeMap<String, bool>,
}

impl ProofStore {
    /// Opens the store for an image (by its folder, named after its content), a set (by its hash), and a kernel (by
    /// its release, unless it is the image's own).
    pub fn open(image: &Path, set_hash: &str, kernel: Option<&str>, ground: ProofBasis) -> ProofStore {
        let of_kernel = kernel.map(|release| format!("-on-{release}"));
        let file = image.join(format!(
            "proofs-{}{}",
            &set_hash[..16.min(set_hash.len())],
            of_kernel.unwrap_or_default()
        ));
        let proven = read(&file);
        ProofStore {
            file,
            ground,
            proven,
            news: BTreeMap::new(),
        }
    }

    /// The guards of a case whose templates are filled in: proven, unproven, and not applicable to these profiles.
    pub fn guards(&self, id: &str, case: &Case, profiles: &BTreeMap<String, SubjectProfile>) -> Guards {
        Guards::of(case, profiles, |guard| {
            self.proven.contains(&self.key(id, case, guard))
        })
    }

    /// The key includes the case's own text and everything that the proof rests on. What has changed must be proven
    /// again.
    fn key(&self, id: &str, case: &Case, guard: &Guard) -> String {
        let mut hash = Sha256::new();
        // A case and a guard are plain data, which always have a JSON form.
        let (case_text, guard_text) = (
            serde_json::to_string(case).unwrap_or_default(),
            serde_json::to_string(guard).unwrap_or_default(),
        );
        let own = [id, &case_text, &guard_text];
        for part in own.into_iter().chain(self.ground.of_case(id, case)) {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hex::encode(hash.finalize())
    }

    /// Records how a guard ended.
    pub fn set(&mut self, id: &str, case: &Case, guard: &Guard, killed: bool) {
        let key = self.key(id, case, guard);
        self.news.insert(key, killed);
    }

    /// Saves this run's results together with those of other runs. The file is replaced atomically.
    pub fn save(&self) -> io::Result<()> {
        let _lock = lock_within(&self.file.with_extension("lock"), LOCK_TIMEOUT)?;
        let mut proven = read(&self.file);
        for (key, killed) in &self.news {
            if *killed {
                proven.insert(key.clone());
            } else {
                proven.remove(key);
            }
        }
        let temporary = self.file.with_extension(std::process::id().to_string());
        let text: String = proven.iter().map(|key| format!("{key}\n")).collect();
        fs::write(&temporary, text)?;
        fs::rename(&temporary, &self.file)
    }
}

/// The holder of the lock writes one small file. A process that holds it for longer hangs.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The keys in a file; empty if there is no file.
fn read(file: &Path) -> BTreeSet<String> {
    fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .map(str::to_string)
        .collect()
}

/// What a proof rests on besides image, set, case and guard. After a change in it a killed guard may survive.
#[derive(Debug, Clone, Default)]
pub struct ProofBasis {
    /// This program.
    program: String,
    /// Each fixture's data, by name.
    fixtures: BTreeMap<String, String>,
    /// Known failures, whose `fix` is used to prove guards: the case of each, and its data.
    known: Vec<(String, String)>,
}

impl ProofBasis {
    /// Takes the data's fixtures and known failures, and the running program.
    pub fn of(data: &Data) -> ProofBasis {
        // Plain data always has a JSON form.
        let fixtures = data.fixtures.iter();
        let known = data.known.0.iter();
        ProofBasis {
            program: format!("{PROGRAM_VERSION} {}", own_hash()),
            fixtures: fixtures
                .map(|(name, fixture)| (name.clone(), serde_json::to_string(fixture).unwrap_or_default()))
                .collect(),
            known: known
                .map(|known| {
                    (
                        known.case.clone(),
                        serde_json::to_string(known).unwrap_or_default(),
                    )
                })
                .collect(),
        }
    }

    /// The parts that concern one variant.
    fn of_case(&self, id: &str, case: &Case) -> Vec<&str> {
        let name = id.split_once('@').map_or(id, |(name, _)| name);
        let fixtures = case.needs.iter().filter_map(|need| self.fixtures.get(need));
        let known = self.known.iter().filter(|(of, _)| of == id || of == name);
        std::iter::once(self.program.as_str())
            .chain(fixtures.map(String::as_str))
            .chain(known.map(|(_, text)| text.as_str()))
            .collect()
    }
}

/// The hash of the running program, which is also the agent. If it cannot be read, no stored proof matches.
fn own_hash() -> String {
    program_hash::of(Path::new(program_hash::OWN))
        .unwrap_or_else(|error| format!("{error} {:?}", SystemTime::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> Case {
        let text = format!(
            "name: {name}\nsummary: s\norigin: []\nsubjects: {{}}\nsteps: []\nguards: [{{without: {{network: packet raw}}}}]\n"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    const SET: &str = "0123456789abcdef0";

    fn none() -> BTreeMap<String, SubjectProfile> {
        BTreeMap::new()
    }

    #[test]
    fn a_proof_is_of_that_case_only_and_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let open = |set: &str, kernel: Option<&str>| {
            ProofStore::open(dir.path(), set, kernel, ProofBasis::default())
        };
        let mut proofs = open(SET, None);
        let (one, other) = (case("one"), case("other"));
        proofs.set("one@p", &one, &one.guards[0], true);
        proofs.save().unwrap();
        let proofs = open(SET, None);
        assert_eq!(
            proofs.guards("one@p", &one, &none()).proven,
            ["without network packet raw"]
        );
        assert_eq!(
            proofs.guards("one@p", &other, &none()).unproven,
            ["without network packet raw"]
        );
        for proofs in [open("another-set-hash0", None), open(SET, Some("6.12.1"))] {
            assert!(proofs.guards("one@p", &one, &none()).proven.is_empty());
        }
    }

    #[test]
    fn a_proof_lasts_no_longer_than_what_it_rests_on() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = case("one");
        one.needs = vec!["disk".into()];
        let ground = |program: &str, disk: &str, other: &str, fix: &str| ProofBasis {
            program: program.into(),
            fixtures: [("disk", disk), ("other", other)]
                .map(|(name, text)| (name.into(), text.into()))
                .into(),
            known: vec![("one".into(), fix.into()), ("two".into(), other.into())],
        };
        let is_proven = |ground: ProofBasis| {
            let proofs = ProofStore::open(dir.path(), SET, None, ground);
            !proofs.guards("one@p", &one, &none()).proven.is_empty()
        };
        let mut proofs = ProofStore::open(dir.path(), SET, None, ground("1", "a", "x", "f"));
        proofs.set("one@p", &one, &one.guards[0], true);
        proofs.save().unwrap();
        assert!(is_proven(ground("1", "a", "x", "f")));
        // Data of other cases does not matter.
        assert!(is_proven(ground("1", "a", "y", "f")));
        assert!(!is_proven(ground("2", "a", "x", "f")), "another program");
        assert!(!is_proven(ground("1", "b", "x", "f")), "another fixture's script");
        assert!(!is_proven(ground("1", "a", "x", "g")), "another fix");
    }

    #[test]
    fn a_ground_is_of_the_data_and_of_the_program_that_runs() {
        let own = hex::encode(Sha256::digest(fs::read("/proc/self/exe").unwrap()));
        let data = |up: &str, fix: &str| {
            let fixture = format!("{{name: disk, summary: s, timeout: 1, up: '{up}'}}");
            let known = format!(
                "[{{case: one, sets: [s], images: [i], step: 0, effect: x, reason: r, link: l, no-fix: {fix}}}]"
            );
            Data {
                fixtures: [("disk".into(), serde_yaml::from_str(&fixture).unwrap())].into(),
                known: serde_yaml::from_str(&known).unwrap(),
                ..Data::default()
            }
        };
        let mut one = case("one");
        one.needs = vec!["disk".into()];
        let ground = |data: Data| {
            let ground = ProofBasis::of(&data);
            ground.of_case("one@p", &one).join(" ")
        };
        let base = ground(data("true", "a"));
        assert!(base.contains(&own) && base.contains(PROGRAM_VERSION), "{base}");
        assert_eq!(base, ground(data("true", "a")));
        assert_ne!(base, ground(data("false", "a")));
        assert_ne!(base, ground(data("true", "b")));
    }

    #[test]
    fn a_guard_applies_by_the_profile_of_its_own_subject() {
        let text = "name: c\nsummary: s\norigin: []\nsubjects: {d: {role: daemon}, g: {role: guest}}\nsteps: []\nguards: [{of: g, without: {capability: kill}, only: [guest-a]}]\n";
        let case: Case = serde_yaml::from_str(text).unwrap();
        let profiles = |d: &str, g: &str| {
            let chosen = |name: &str| SubjectProfile {
                name: name.into(),
                profile: name.into(),
                user: None,
            };
            BTreeMap::from([("d".to_string(), chosen(d)), ("g".to_string(), chosen(g))])
        };
        let guards = |profiles: &BTreeMap<_, _>| {
            ProofStore::open(Path::new("/nonexistent"), SET, None, ProofBasis::default())
                .guards("c", &case, profiles)
        };
        let own = guards(&profiles("libvirtd", "guest-a"));
        assert_eq!((own.unproven.len(), own.not_applicable.len()), (1, 0));
        // It is still listed.
        let other = guards(&profiles("guest-a", "guest-b"));
        assert_eq!((other.unproven.len(), other.not_applicable.len()), (0, 1));
    }

    #[test]
    fn proofs_of_runs_side_by_side_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let open = || ProofStore::open(dir.path(), SET, None, ProofBasis::default());
        let (mut first, mut second) = (open(), open());
        let (one, other) = (case("one"), case("other"));
        first.set("one@p", &one, &one.guards[0], true);
        second.set("other@p", &other, &other.guards[0], true);
        second.save().unwrap();
        first.save().unwrap();
        assert_eq!(
            open().guards("one@p", &one, &none()).unproven,
            Vec::<String>::new()
        );
        assert_eq!(
            open().guards("other@p", &other, &none()).unproven,
            Vec::<String>::new()
        );
        // A guard that is seen to survive is no longer proven.
        first.set("other@p", &other, &other.guards[0], false);
        first.save().unwrap();
        assert_eq!(
            open().guards("other@p", &other, &none()).proven,
            Vec::<String>::new()
        );
    }
}
