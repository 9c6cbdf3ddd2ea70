//! Daemons that go on after the case that started them, so that a machine can be saved while they are up.

use std::collections::BTreeMap;
use std::io;

use crate::process_watch::ProcessWatch;
use crate::protocol::{CasePlan, SubjectPlan};
use crate::subject::Subject;
use crate::subject_env::SubjectEnv;

/// The daemons that are up between two cases, by the name of their subject.
#[derive(Default)]
pub struct KeptDaemons(BTreeMap<String, Kept>);

struct Kept {
    plan: SubjectPlan,
    subject: Subject,
}

impl KeptDaemons {
    /// Ends the daemons that a case does not use. A case uses one if a subject of that name has the same plan.
    pub fn end_others(&mut self, case: &CasePlan, watch: &ProcessWatch) {
        self.0.retain(|name, kept| {
            let used = case.subjects.get(name) == Some(&kept.plan);
            if !used {
                watch.release(name);
            }
            used
        });
    }

    /// The daemon of a subject, if it is up: its facts are read anew. Fails if it has ended meanwhile.
    pub fn take(
        &mut self,
        name: &str,
        watch: &ProcessWatch,
        place: &SubjectEnv,
    ) -> Option<io::Result<Subject>> {
        let kept = self.0.remove(name)?;
        watch.release(name);
        Some(kept.subject.look_again(place))
    }

    /// Lets a daemon that is at rest go on after its case.
    pub fn keep(
        &mut self,
        name: &str,
        plan: &SubjectPlan,
        subject: Subject,
        watch: &ProcessWatch,
    ) -> io::Result<()> {
        watch.keep(name);
        subject.go_on()?;
        let plan = plan.clone();
        self.0.insert(name.into(), Kept { plan, subject });
        Ok(())
    }

    /// The profiles that they run under. Removing one would leave its daemon unconfined.
    pub fn profiles(&self) -> Vec<String> {
        let labels = self.0.values().map(|kept| kept.subject.label());
        labels
            .map(|label| label.split("//").next().unwrap_or_default().to_owned())
            .collect()
    }
}
