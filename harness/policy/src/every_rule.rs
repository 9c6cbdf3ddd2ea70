//! A test of [`without`]: for each rule of each profile of a system, it removes this one rule, compiles the profile with
//! that system's own parser, and checks that the compiled policy no longer grants what the rule granted. `ci/every-rule`
//! runs it.
//!
//! What a rule grants is read from an automaton that is compiled from this rule alone: the shortest input strings (*words*)
//! that it accepts, with the permission bits of each. The compiled profile accepts these words before the removal, and must
//! not accept them after it. So the test does not depend on how this crate reads rules.

pub(crate) mod accepts;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::accepts::{Grants, grants};
use crate::{Access, EditError, Parser, PolicyFile, Profile, Rule, RuleKind, Tree, parse, without};

/// The system's root, which has its parser, its policy and its further profiles.
pub(crate) const ROOT: &str = "AA_POLICY_ROOT";
/// N: only every N-th rule is removed.
const EVERY: &str = "AA_POLICY_EVERY";
/// The name of the profile that has only the rule.
const ALONE: &str = "made-up-rule-alone";

/// How often each outcome occurred, and what went wrong.
#[derive(Default)]
struct Seen {
    counts: BTreeMap<&'static str, usize>,
    faults: Vec<String>,
}

impl Seen {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}

#[test]
#[ignore = "needs a system's root with a parser and profiles: ci/every-rule"]
fn every_rule_that_is_taken_away_is_gone_from_the_compiled_policy() {
    let root = PathBuf::from(std::env::var_os(ROOT).expect("AA_POLICY_ROOT names the root"));
    let every: usize = std::env::var(EVERY).map_or(1, |every| every.parse().expect("a number"));
    let tree = Tree::read(&root.join("etc/apparmor.d")).unwrap();
    let further = Tree::read(&root.join("usr/share/apparmor/extra-profiles")).unwrap();
    let parser = Parser::from_tree(&root).unwrap();
    let features = tempfile::NamedTempFile::new().unwrap();
    let of_system = std::fs::read_to_string(root.join("usr/share/apparmor-features/features")).unwrap();
    std::fs::write(features.path(), with_plain_tables(&of_system)).unwrap();
    let parser = parser.with_features(features.path());
    let knows_unix = of_system.contains("af_unix");
    let own = tree.paths().filter(|path| !path.contains('/'));
    let own: Vec<(String, Tree)> = own.map(|path| (path.to_owned(), tree.clone())).collect();
    let further = further
        .paths()
        .filter(|path| !path.contains('/') && *path != "README");
    let further = further.map(|path| {
        let name = format!("further.{path}");
        let mut with = tree.clone();
        with.replace(&name, further_text(&root, path));
        (name, with)
    });
    let files: Vec<(String, Tree)> = own.into_iter().chain(further).collect();
    assert!(files.len() > 100, "{} files only", files.len());
    let (next, seen, met) = (AtomicUsize::new(0), Mutex::new(Seen::default()), Mutex::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((file, tree)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    Bench::new(&parser, tree, file, knows_unix).all_rules(every, &met, &seen);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("{:#?}", seen.counts);
    assert!(seen.counts.get("gone").is_some_and(|gone| gone * every > 2000));
    assert!(seen.faults.is_empty(), "{}", seen.faults.join("\n"));
}

/// The features of a kernel that reads permissions from the automata themselves, not as indices into a table.
pub(crate) fn with_plain_tables(features: &str) -> String {
    let mut left = features;
    let mut plain = String::new();
    while let Some(at) = left.find("permstable32") {
        plain += &left[..at];
        left = left[at..].split_once('}').map_or("", |(_, rest)| rest);
    }
    plain + left
}

fn further_text(root: &Path, path: &str) -> String {
    std::fs::read_to_string(root.join("usr/share/apparmor/extra-profiles").join(path)).unwrap()
}

/// One file's policy, written to a folder to be compiled repeatedly.
struct Bench<'p> {
    parser: &'p Parser,
    tree: &'p Tree,
    file: &'p str,
    knows_unix: bool,
    dir: tempfile::TempDir,
}

impl<'p> Bench<'p> {
    fn new(parser: &'p Parser, tree: &'p Tree, file: &'p str, knows_unix: bool) -> Bench<'p> {
        let dir = tempfile::tempdir().unwrap();
        tree.write_to(dir.path()).unwrap();
        Bench {
            parser,
            tree,
            file,
            knows_unix,
            dir,
        }
    }

    /// What each profile of the file grants, compiled with the changed files of this tree.
    fn compiled(&self, tree: &Tree) -> Result<BTreeMap<String, Grants>, String> {
        let changed = tree.changed_files(self.tree);
        let write = |tree: &Tree| {
            for path in &changed {
                std::fs::write(self.dir.path().join(path), tree.get(path).unwrap()).unwrap();
            }
        };
        write(tree);
        let compiled = self.parser.compile(self.dir.path(), self.file, &[]);
        write(self.tree);
        Ok(grants(&compiled.map_err(|error| error.to_string())?.binary))
    }

    fn all_rules(&self, every: usize, met: &Mutex<BTreeSet<String>>, seen: &Mutex<Seen>) {
        let count = |what| seen.lock().unwrap().count(what);
        if self.compiled(self.tree).is_err() {
            return count("file that its own parser does not take");
        }
        let policy = match parse(self.tree, self.file) {
            Ok(policy) => policy,
            Err(error) => return seen.lock().unwrap().faults.push(error.to_string()),
        };
        let mut todo: Vec<&Profile> = policy.profiles.iter().collect();
        while let Some(profile) = todo.pop() {
            todo.extend(&profile.children);
            for rule in profile.rules.iter().filter(|rule| rule.allows()) {
                let place = format!("{} {}", rule.location, rule.text);
                // Selects the same rules in each run.
                let number = place.bytes().fold(0_usize, |sum, byte| {
                    sum.wrapping_mul(31).wrapping_add(byte.into())
                });
                if !number.is_multiple_of(every) || !met.lock().unwrap().insert(place.clone()) {
                    continue;
                }
                match self.one(&policy, profile, rule) {
                    Ok(what) => count(what),
                    Err(fault) => {
                        let mut seen = seen.lock().unwrap();
                        seen.faults.push(format!("{} {place}: {fault}", profile.name));
                    }
                }
            }
        }
    }

    fn one(&self, policy: &PolicyFile, profile: &Profile, rule: &Rule) -> Result<&'static str, String> {
        // For a kernel without unix mediation, the parser makes rules for whole socket families, and none for a `deny`.
        if matches!(rule.kind, RuleKind::Unix(_)) && !self.knows_unix {
            return Ok("class that is not mediated");
        }
        let mut with = self.tree.clone();
        let mut text = self.tree.get(&policy.file).unwrap_or_default().to_owned();
        let _ = write!(text, "\nprofile {ALONE} {{\n  {}\n}}\n", rule.text);
        with.replace(&policy.file, text);
        // A rule may need its context, such as a child profile to change to.
        let Ok(before) = self.compiled(&with) else {
            return Ok("rule that cannot stand alone");
        };
        let (Some(alone), Some(before)) = (before.get(ALONE), before.get(&profile.name)) else {
            return Err("a profile is not in what is compiled".into());
        };
        let words = alone.words(rule);
        let (held, other): (Vec<_>, Vec<_>) =
            words.into_iter().partition(|word| before.has(word) == word.bits);
        if held.is_empty() && other.is_empty() {
            return Ok("class that is not mediated");
        }
        if held.is_empty() {
            return Ok("rule that a deny or the profile's own name makes another one");
        }
        let access = Access::Rule(rule.text.clone());
        let edited = match without(self.tree, self.file, &profile.name, &access) {
            Ok(edited) => edited,
            Err(EditError::Denied { .. }) => return Ok("rule that is denied already"),
            Err(error) => return Err(error.to_string()),
        };
        let after = self.compiled(&edited.tree)?;
        let after = after.get(&profile.name).ok_or("the profile is gone")?;
        match held.iter().find(|word| after.has(word) != 0) {
            None => Ok("gone"),
            Some(word) => Err(format!(
                "still granted: {:#x} of {word}; removed {:?}, added {:?}",
                after.has(word),
                edited.removed,
                edited.added
            )),
        }
    }
}
