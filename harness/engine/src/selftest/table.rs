//! The table of sabotages, and its format.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use virt_aa_probe::protocol::{self, CasePlan};

use virt_aa_model::case::model::{Step, Subject};
use virt_aa_model::profile_set::manifest::Edit;
use virt_aa_model::verdict::judge::Verdict;
use virt_aa_model::yaml::document::Document;
use virt_aa_model::yaml::error::DataError;
use virt_aa_model::yaml::source::Source;

const TABLE: &str = include_str!("sabotages.yaml");

/// One way to spoil the evidence of a case that passes without it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sabotage {
    /// Lower-case words joined by `-`.
    pub name: String,
    /// What is done, in a few words.
    pub what: String,
    /// The case's full id.
    #[serde(default = "plain_case")]
    pub case: String,
    /// Policy that is loaded in place of the policy that the verdict assumes.
    #[serde(default)]
    pub load: Option<Load>,
    /// An edit of the set under test, of which the verdict knows.
    #[serde(default)]
    pub edit: Option<Edit>,
    /// The case begins where an earlier one has ended, in a machine from a saved state.
    #[serde(default)]
    pub restored: bool,
    /// A script that an unconfined root shell in the machine runs before the case.
    #[serde(default)]
    pub before: Option<String>,
    /// What the agent does to its own log path during the case.
    #[serde(default)]
    pub agent: Option<protocol::Sabotage>,
    /// What is done to QEMU.
    #[serde(default)]
    pub qemu: Option<Qemu>,
    /// Further words of the kernel's command line.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Differences between what the agent does and what the verdict assumes.
    #[serde(default)]
    pub plan: PlanChange,
    /// Further subjects of the case.
    #[serde(default)]
    pub subjects: BTreeMap<String, Subject>,
    /// Steps before the first of the case.
    #[serde(default)]
    pub first: Vec<Step>,
    /// Steps after the last of the case.
    #[serde(default)]
    pub last: Vec<Step>,
    /// The expected verdict, which is never green.
    pub gives: Verdict,
    /// What the verdict must say.
    pub says: String,
}

/// A change in how one profile's file is loaded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Load {
    /// The profile.
    pub profile: String,
    /// Its file is not loaded at all.
    #[serde(default)]
    pub missing: bool,
    /// A flag of the parser.
    #[serde(default)]
    pub flag: Option<String>,
    /// Text in the file that is replaced, at its first occurrence.
    #[serde(default)]
    pub replace: String,
    /// What replaces it.
    #[serde(default)]
    pub by: String,
    /// Whether some images' parsers may not know it, so that nobody can load it there.
    #[serde(default)]
    pub may_be_refused: bool,
}

/// What is done to QEMU right before the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Qemu {
    /// SIGKILL.
    Killed,
    /// SIGSTOP.
    Stopped,
}

/// A change of the agent's plan that the verdict does not know.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PlanChange {
    /// The label of each of these subjects.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The user of each of these subjects.
    #[serde(default)]
    pub users: BTreeMap<String, String>,
    /// The token from which the canaries' paths are made.
    #[serde(default)]
    pub token: Option<String>,
    /// Only this many steps.
    #[serde(default)]
    pub steps: Option<usize>,
}

impl PlanChange {
    /// Applies the change to a plan.
    pub fn apply_to(&self, plan: &mut CasePlan) {
        for (name, subject) in &mut plan.subjects {
            if let Some(label) = self.labels.get(name) {
                subject.label = Some(label.clone());
            }
            if let Some(user) = self.users.get(name) {
                subject.user = Some(user.clone());
            }
        }
        if let Some(token) = &self.token {
            plan.token.clone_from(token);
        }
        if let Some(steps) = self.steps {
            plan.steps.truncate(steps);
        }
    }
}

impl Default for Sabotage {
    /// A sabotage that does nothing.
    fn default() -> Sabotage {
        Sabotage {
            name: String::new(),
            what: String::new(),
            case: plain_case(),
            load: None,
            edit: None,
            restored: false,
            before: None,
            agent: None,
            qemu: None,
            kernel: None,
            plan: PlanChange::default(),
            subjects: BTreeMap::new(),
            first: Vec::new(),
            last: Vec::new(),
            gives: Verdict::Pass,
            says: String::new(),
        }
    }
}

impl Sabotage {
    /// Whether loading the base set anew removes every trace of it.
    pub fn leaves_the_machine_alone(&self) -> bool {
        self.before.is_none() && self.first.is_empty() && self.last.is_empty() && self.qemu.is_none()
    }
}

fn plain_case() -> String {
    "lock-memory:mlock@libvirtd".into()
}

/// Every sabotage, or the error in the table.
pub fn table() -> Result<Vec<Sabotage>, DataError> {
    let source = Source::from_bytes(Path::new("sabotages.yaml"), TABLE.into())?;
    Document::parse(&source)?
        .iter()
        .map(Document::read::<Sabotage>)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_demands_something_of_each_and_nothing_green() {
        let table = table().unwrap();
        assert!(table.len() >= 40, "{}", table.len());
        let mut names = BTreeSet::new();
        for sabotage in &table {
            let Sabotage { name, what, says, .. } = sabotage;
            assert!(names.insert(name), "{name} is there twice");
            assert!(!says.is_empty(), "{name}");
            assert!(
                matches!(
                    sabotage.gives,
                    Verdict::Fail | Verdict::Inconclusive | Verdict::Error
                ),
                "{name}"
            );
            // A line of the table has 80 columns.
            assert!(name.len() <= 22 && what.len() <= 34, "{name}: {}", what.len());
        }
    }

    #[test]
    fn each_sabotage_is_of_a_case_that_there_is() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let data = virt_aa_model::data::read(&root, None).unwrap();
        let names: BTreeSet<&str> = data
            .cases
            .iter()
            .map(|loaded| loaded.case.name.as_str())
            .collect();
        for Sabotage { name, case, .. } in table().unwrap() {
            let of = case.split([':', '@']).next().unwrap_or_default();
            assert!(names.contains(of), "{name}: there is no case {of}");
        }
    }

    #[test]
    fn a_plan_is_changed_where_it_says() {
        let change: PlanChange = serde_json::from_str(r#"{"token": "other", "steps": 0}"#).unwrap();
        let mut plan: CasePlan = serde_json::from_str(
            r#"{"id": "x", "token": "t", "step_timeout_ms": 1, "subjects": {}, "steps": [], "cleanup": []}"#,
        )
        .unwrap();
        change.apply_to(&mut plan);
        assert_eq!(plan.token, "other");
    }
}
