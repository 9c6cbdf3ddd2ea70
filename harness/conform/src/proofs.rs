//! Which guards were seen to turn their case red: kept in the cache, by image, set, case and guard.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use crate::case::model::{Case, Guard};
use crate::verdict::summary::Guards;

/// Proofs of one image and set.
pub struct Proofs {
    file: PathBuf,
    proven: BTreeSet<String>,
    /// What this run found out: keys and whether they are proven.
    news: BTreeMap<String, bool>,
}

impl Proofs {
    /// Proofs for an image (by its folder, named after its content), a set (by its hash), and a kernel by its release
    /// where it is not the image's own.
    pub fn open(image: &Path, set_hash: &str, kernel: Option<&str>) -> Proofs {
        let of_kernel = kernel.map(|release| format!("-on-{release}"));
        let file = image.join(format!(
            "proofs-{}{}",
            &set_hash[..16.min(set_hash.len())],
            of_kernel.unwrap_or_default()
        ));
        let proven = read(&file);
        Proofs {
            file,
            proven,
            news: BTreeMap::new(),
        }
    }

    /// The guards of a case, with its templates filled in, that apply to `profile`: proven and not.
    pub fn guards(&self, id: &str, case: &Case, profile: &str) -> Guards {
        let mut guards = Guards::default();
        for guard in applying(case, profile) {
            let list = if self.proven.contains(&key(id, case, guard)) {
                &mut guards.proven
            } else {
                &mut guards.unproven
            };
            list.push(label(guard));
        }
        guards
    }

    /// Note how a guard ended.
    pub fn set(&mut self, id: &str, case: &Case, guard: &Guard, killed: bool) {
        self.news.insert(key(id, case, guard), killed);
    }

    /// Write down what this run found out, beside what others did meanwhile; the file appears whole or not at all.
    pub fn save(&self) -> io::Result<()> {
        let lock = fs::File::create(self.file.with_extension("lock"))?;
        // Whoever holds it writes one small file.
        let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
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

/// The keys in a file; none where there is none yet.
fn read(file: &Path) -> BTreeSet<String> {
    fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .map(str::to_string)
        .collect()
}

/// The guards that hold for a profile.
pub fn applying<'c>(case: &'c Case, profile: &str) -> impl Iterator<Item = &'c Guard> {
    case.guards
        .iter()
        .filter(move |guard| guard.only.is_empty() || guard.only.iter().any(|only| only == profile))
}

/// A guard in a few words: `without network packet raw`, `add /etc/shadow r,`.
pub fn label(guard: &Guard) -> String {
    if let Some(rule) = &guard.add {
        return format!("add {rule}");
    }
    let Some(access) = &guard.without else {
        return "nothing".into();
    };
    let named = [
        ("exec", &access.exec),
        ("capability", &access.capability),
        ("network", &access.network),
        ("file", &access.file),
        ("change-profile", &access.change_profile),
        ("signal", &access.signal),
    ];
    let named = named
        .into_iter()
        .find_map(|(key, value)| value.as_ref().map(|value| format!("{key} {value}")));
    let mask = access
        .mask
        .as_ref()
        .map(|mask| format!(" {mask}"))
        .unwrap_or_default();
    let of = guard
        .of
        .as_ref()
        .map(|of| format!(" of {of}"))
        .unwrap_or_default();
    match named {
        Some(named) => format!("without {named}{mask}{of}"),
        None => format!("without {}{of}", access.rules.join(" ")),
    }
}

/// The case's own text is part of the key: a changed case must be proven anew.
fn key(id: &str, case: &Case, guard: &Guard) -> String {
    let mut hash = Sha256::new();
    // A case and a guard are plain data, which JSON always takes.
    for part in [
        id.to_string(),
        serde_json::to_string(case).unwrap_or_default(),
        serde_json::to_string(guard).unwrap_or_default(),
    ] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::model::AccessSpec;

    fn case(name: &str) -> Case {
        let text = format!(
            "name: {name}\nsummary: s\norigin: []\nsubjects: {{}}\nsteps: []\nguards: [{{without: {{network: packet raw}}}}]\n"
        );
        serde_yaml::from_str(&text).unwrap()
    }

    #[test]
    fn a_proof_is_of_that_case_only_and_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let mut proofs = Proofs::open(dir.path(), "0123456789abcdef0", None);
        let (one, other) = (case("one"), case("other"));
        proofs.set("one@p", &one, &one.guards[0], true);
        proofs.save().unwrap();
        let proofs = Proofs::open(dir.path(), "0123456789abcdef0", None);
        assert_eq!(
            proofs.guards("one@p", &one, "p").proven,
            ["without network packet raw"]
        );
        assert_eq!(
            proofs.guards("one@p", &other, "p").unproven,
            ["without network packet raw"]
        );
        let of_others = [
            Proofs::open(dir.path(), "another-set-hash0", None),
            Proofs::open(dir.path(), "0123456789abcdef0", Some("6.12.1")),
        ];
        for proofs in of_others {
            assert!(proofs.guards("one@p", &one, "p").proven.is_empty());
        }
    }

    #[test]
    fn proofs_of_runs_side_by_side_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Proofs::open(dir.path(), "0123456789abcdef0", None);
        let (mut first, mut second) = (open(), open());
        let (one, other) = (case("one"), case("other"));
        first.set("one@p", &one, &one.guards[0], true);
        second.set("other@p", &other, &other.guards[0], true);
        second.save().unwrap();
        first.save().unwrap();
        assert_eq!(open().guards("one@p", &one, "p").unproven, Vec::<String>::new());
        assert_eq!(
            open().guards("other@p", &other, "p").unproven,
            Vec::<String>::new()
        );
        // What is seen to fail is no longer proven.
        first.set("other@p", &other, &other.guards[0], false);
        first.save().unwrap();
        assert_eq!(open().guards("other@p", &other, "p").proven, Vec::<String>::new());
    }

    #[test]
    fn a_guard_says_what_it_takes_away() {
        let access = AccessSpec {
            file: Some("/dev/snd/*".into()),
            mask: Some("rw".into()),
            ..AccessSpec::default()
        };
        let guard = Guard {
            without: Some(access),
            add: None,
            also: vec![],
            of: Some("g".into()),
            denial: None,
            only: vec![],
        };
        assert_eq!(label(&guard), "without file /dev/snd/* rw of g");
    }
}
