//! Daemons and their guests that go on after the case that started them, so that a machine can be saved while they run.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::policy::{self, Kernel};
use crate::process;
use crate::process_watch::ProcessWatch;
use crate::protocol::{CasePlan, GuestPlan, KeptGuest, ProcessFacts};
use crate::subject::Subject;
use crate::subject_env::SubjectEnv;

/// Where libvirt writes the profiles of its guests.
const GUEST_PROFILES: &str = "/etc/apparmor.d/libvirt";

/// What a case left for the next one.
#[derive(Default)]
pub struct Kept(Option<Left>);

struct Left {
    /// The name under which it was kept.
    identity: String,
    /// The daemons, by the name of their subject.
    daemons: BTreeMap<String, Subject>,
    guests: Vec<LeftGuest>,
}

struct LeftGuest {
    plan: GuestPlan,
    /// Whether its profile was loaded.
    loaded: bool,
    processes: Vec<ProcessFacts>,
}

/// What a case begins with.
#[derive(Default)]
pub struct Taken {
    /// The daemons by the name of their subject, with their facts read anew; an error for one that has ended.
    pub daemons: BTreeMap<String, io::Result<Subject>>,
    /// Their guests.
    pub guests: Vec<KeptGuest>,
}

impl Kept {
    /// Ends what is kept, unless the case begins with it. Fails if the case begins with something else.
    pub fn end_unless_used(
        &mut self,
        case: &CasePlan,
        (kernel, watch, place): (&Kernel, &ProcessWatch, &SubjectEnv),
    ) -> io::Result<()> {
        let kept = self.0.as_ref().map(|left| &left.identity);
        match &case.begins_from {
            Some(wanted) if kept == Some(wanted) => Ok(()),
            Some(wanted) => Err(io::Error::other(format!(
                "the case begins with {wanted}, and what is kept is {}",
                kept.map_or("nothing", String::as_str)
            ))),
            None => match self.0.take() {
                Some(left) => left.end(kernel, watch, place),
                None => Ok(()),
            },
        }
    }

    /// Hands over what is kept to the case that begins with it.
    pub fn take(&mut self, watch: &ProcessWatch, place: &SubjectEnv) -> Taken {
        let Some(left) = self.0.take() else {
            return Taken::default();
        };
        let guests = left.guests.into_iter().map(|guest| {
            let own = guest.processes.iter().map(|process| process.pid);
            let own = own.filter(|pid| watch.owner(*pid).as_deref() == Some(&guest.plan.run_by));
            KeptGuest {
                found: own.filter_map(|pid| facts(pid, place)).collect(),
                label: guest.plan.label,
                loaded: guest.loaded,
                left: guest.processes,
            }
        });
        let guests = guests.collect();
        let daemons = left.daemons.into_iter().map(|(name, daemon)| {
            watch.release(&name);
            (name, daemon.look_again(place))
        });
        Taken {
            daemons: daemons.collect(),
            guests,
        }
    }

    /// Lets daemons that are at rest go on after their case, with their guests.
    pub fn keep(
        &mut self,
        identity: &str,
        daemons: BTreeMap<String, Subject>,
        guests: &[GuestPlan],
        (kernel, watch, place): (&Kernel, &ProcessWatch, &SubjectEnv),
    ) -> io::Result<()> {
        let loaded = policy::state(kernel)?.profiles;
        let guests = guests.iter().map(|plan| LeftGuest {
            loaded: loaded.iter().any(|profile| profile.name == plan.label),
            processes: watch
                .living(&plan.run_by)
                .into_iter()
                .filter_map(|pid| facts(pid, place))
                .filter(|process| process.label == plan.label)
                .collect(),
            plan: plan.clone(),
        });
        let guests = guests.collect();
        for (name, daemon) in &daemons {
            watch.keep(name);
            daemon.go_on()?;
        }
        self.0 = Some(Left {
            identity: identity.to_owned(),
            daemons,
            guests,
        });
        Ok(())
    }

    /// The profiles that the daemons and the guests run under. Removing one would leave its processes unconfined.
    pub fn profiles(&self) -> Vec<String> {
        let Some(left) = &self.0 else {
            return Vec::new();
        };
        let daemons = left.daemons.values().map(Subject::label);
        let guests = left.guests.iter().filter(|guest| guest.loaded);
        let guests = guests.map(|guest| guest.plan.label.as_str());
        daemons
            .chain(guests)
            .map(|label| label.split("//").next().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Left {
    /// Ends the daemons and the guests, and removes the guests' profiles.
    fn end(self, kernel: &Kernel, watch: &ProcessWatch, place: &SubjectEnv) -> io::Result<()> {
        for (name, daemon) in self.daemons {
            daemon.end(&name, watch, place);
            watch.release(&name);
        }
        for guest in self.guests {
            let label = guest.plan.label;
            policy::remove(kernel, &label)?;
            let dir = Path::new(GUEST_PROFILES);
            place.within(|| policy::remove_files(dir, &label))?;
        }
        Ok(())
    }
}

fn facts(pid: i32, place: &SubjectEnv) -> Option<ProcessFacts> {
    let mut process = process::facts(pid)?;
    process.label = place.inner_label(&process.label);
    Some(process)
}
