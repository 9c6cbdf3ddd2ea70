//! Saved states: a machine is booted once, saved when it is ready, and from then on restored in less than a second.
//!
//! A state is a shortcut and never evidence. Whatever is wrong with it, the machine boots instead, and one line says why.
//! States build on one another: one in which fixtures are up is made from the one that has just booted.

mod key;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use virt_aa_model::fixture::Fixture;
use virt_aa_probe::protocol::{FixtureOutcome, Policy};

use self::key::StateKey;
use self::store::{Found, States, make_room};
pub use self::store::{SPACE, StateError, StateOnDisk, all, dir_of, prune};
use crate::backend::saved::SaveError;
use crate::backend::{self, Backend, Console, VmConfig};
use crate::image::Image;
use crate::session::{Session, SessionError};

/// Set once a state could not be made. Every machine of this process boots from then on.
static CANNOT_SAVE: AtomicBool = AtomicBool::new(false);

/// The states whose fixtures did not come up. They are not tried again in this process.
static NOT_UP: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A profile set as it is loaded.
#[derive(Debug, Clone)]
pub struct LoadedSet {
    /// Its compiled policies.
    pub policies: Vec<Policy>,
    /// The files that differ from the image's; `None` for one that is removed.
    pub files: BTreeMap<String, Option<String>>,
}

impl LoadedSet {
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for policy in &self.policies {
            hash.update(policy.name.len().to_le_bytes());
            hash.update(&policy.name);
            hash.update(policy.binary.len().to_le_bytes());
            hash.update(&policy.binary);
        }
        hash.update(serde_json::to_vec(&self.files).unwrap_or_default());
        hex::encode(hash.finalize())
    }
}

/// Why a machine does not begin from a saved state.
#[derive(Debug, thiserror::Error)]
enum NotSaved {
    /// Its files.
    #[error(transparent)]
    State(#[from] StateError),
    /// QEMU did not save it.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// The machine did not come up, which has nothing to do with states.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A fixture did not come up.
    #[error("the fixture {0} did not come up")]
    Fixture(String),
    /// There is no state to begin with; why has been told.
    #[error("the state that it begins with cannot be made")]
    Earlier,
    /// The start of the daemons did not pass as a case.
    #[error("daemons did not start as they should: {0}")]
    Daemons(String),
}

/// Daemons that are started before a machine is saved.
pub struct Daemons<'a> {
    /// All that their start depends on besides the machine, the set and the fixtures.
    pub identity: String,
    /// Starts them so that they go on after the start, in a machine with the fixtures. Returns why the start does not pass
    /// as a case; `None` if it passes.
    pub start: &'a dyn Fn(&mut Session) -> Result<Option<String>, SessionError>,
}

/// Starts a machine: restored from a saved state if the backend has them, else booted. What is wrong with a state is
/// printed on standard error.
pub fn start(image: &Image, backend: &Backend) -> Result<Session, SessionError> {
    start_and_tell(image, backend, &mut |line| eprintln!("{line}"))
}

/// Like [`start`]. `tell` gets a line for each thing that is wrong with a state.
pub fn start_and_tell(
    image: &Image,
    backend: &Backend,
    tell: &mut dyn FnMut(&str),
) -> Result<Session, SessionError> {
    let Some(machines) = Machines::of(image, backend) else {
        return Session::start(image, backend);
    };
    match machines.session(&machines.booted, tell, &|partial| {
        let memory = partial.memory(machines.config.memory_mib)?;
        // What the kernel says while it boots is nobody's concern here.
        let quiet = VmConfig {
            console: Console::Captured,
            ..machines.config.clone()
        };
        Ok(Session::start_in_file(image, &quiet, &memory)?)
    }) {
        Ok(session) => return Ok(session),
        // The same would happen without a state.
        Err(NotSaved::Session(error)) => return Err(error),
        Err(error) => tell(&format!(
            "machines boot, because their state cannot be saved: {error}"
        )),
    }
    CANNOT_SAVE.store(true, Ordering::Relaxed);
    Session::start(image, backend)
}

/// Starts a machine in which the set is loaded, these fixtures are up and the daemons run; `None` if the backend has no such
/// states, if a fixture does not come up, or if the daemons' start does not pass as a case.
pub fn start_with(
    image: &Image,
    backend: &Backend,
    set: &LoadedSet,
    fixtures: &[&Fixture],
    daemons: Option<&Daemons<'_>>,
) -> Option<Session> {
    let tell = &mut |line: &str| eprintln!("{line}");
    let machines = Machines::of(image, backend)?;
    let identity = daemons.map(|daemons| daemons.identity.as_str());
    let key = machines.booted.with(set, fixtures, identity);
    let not_up = || NOT_UP.lock().unwrap_or_else(PoisonError::into_inner);
    if not_up().contains(&key.name()) {
        return None;
    }
    let made = machines.session(&key, tell, &|partial| {
        // The state that this one begins with is made too, if there is none.
        let earlier = if daemons.is_some() && !fixtures.is_empty() {
            drop(start_with(image, backend, set, fixtures, None).ok_or(NotSaved::Earlier)?);
            machines.booted.with(set, fixtures, None)
        } else {
            drop(start(image, backend)?);
            machines.booted.clone()
        };
        let earlier = machines.states.find(&earlier)?;
        let earlier = earlier.ok_or_else(|| SaveError::Io(std::io::ErrorKind::NotFound.into()))?;
        let copy = earlier.machine.copy_into(partial.dir()).map_err(SaveError::Io)?;
        let machine = backend::restore_in_files(image, &machines.config, &copy);
        let mut session = Session::resume(machine.map_err(SessionError::Boot)?, earlier.fixtures)?;
        session.load(set.policies.clone(), set.files.clone())?;
        for fixture in fixtures {
            if !matches!(session.fixture(fixture)?, FixtureOutcome::Up { .. }) {
                return Err(NotSaved::Fixture(fixture.name.clone()));
            }
        }
        if let Some(daemons) = daemons
            && let Some(why) = (daemons.start)(&mut session)?
        {
            return Err(NotSaved::Daemons(why));
        }
        Ok(session)
    });
    match made {
        Ok(mut session) => {
            if let Some(identity) = identity {
                session.set_daemons(identity.to_owned());
            }
            Some(session)
        }
        Err(error) => {
            // What is wrong with a fixture or a daemon is told by the case that needs it.
            if !matches!(
                error,
                NotSaved::Fixture(_) | NotSaved::Daemons(_) | NotSaved::Earlier
            ) {
                tell(&format!(
                    "a state with fixtures or daemons cannot be saved: {error}"
                ));
            }
            not_up().insert(key.name());
            None
        }
    }
}

/// How machines of one image are saved.
struct Machines<'a> {
    image: &'a Image,
    config: VmConfig,
    states: States,
    booted: StateKey,
}

impl<'a> Machines<'a> {
    /// `None` if machines of this backend are not saved.
    fn of(image: &'a Image, backend: &Backend) -> Option<Machines<'a>> {
        match backend {
            Backend::Vm(config) if config.saved_states && !CANNOT_SAVE.load(Ordering::Relaxed) => {
                Some(Machines {
                    image,
                    booted: StateKey::of(image, config)?,
                    config: config.clone(),
                    states: States::of(&image.dir),
                })
            }
            _ => None,
        }
    }

    /// A machine of a state, which is made if there is none.
    fn session(
        &self,
        key: &StateKey,
        tell: &mut dyn FnMut(&str),
        begin: &dyn Fn(&store::Partial) -> Result<Session, NotSaved>,
    ) -> Result<Session, NotSaved> {
        if let Some(session) = self.restored(key, tell) {
            return Ok(session);
        }
        let found = self.make(key, begin)?;
        self.restore(found)
            .inspect_err(|error| self.give_up(key, &error.to_string(), tell))
    }

    fn restore(&self, found: Found) -> Result<Session, NotSaved> {
        let restored = backend::restore(self.image, &self.config, &found.machine)
            .map_err(SessionError::Boot)
            .and_then(|machine| Session::resume(machine, found.fixtures));
        restored.map_err(|error| NotSaved::Save(SaveError::Io(std::io::Error::other(error.to_string()))))
    }

    /// A machine of a state, if there is a state and it restores.
    fn restored(&self, key: &StateKey, tell: &mut dyn FnMut(&str)) -> Option<Session> {
        let why = match self.states.find(key) {
            Ok(None) => return None,
            Ok(Some(found)) => match self.restore(found) {
                Ok(session) => return Some(session),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        self.give_up(key, &why, tell);
        None
    }

    fn give_up(&self, key: &StateKey, why: &str, tell: &mut dyn FnMut(&str)) {
        tell(&format!("the saved state is made anew: {why}"));
        if let Err(error) = self.states.remove(key) {
            tell(&format!("it cannot be removed: {error}"));
        }
    }

    /// Saves what `begin` starts, unless somebody else has just done so.
    fn make(
        &self,
        key: &StateKey,
        begin: &dyn Fn(&store::Partial) -> Result<Session, NotSaved>,
    ) -> Result<Found, NotSaved> {
        let partial = self.states.begin(key, self.longest())?;
        if let Some(found) = self.states.find(key).ok().flatten() {
            return Ok(found);
        }
        let session = begin(&partial)?;
        let fixtures = session.fixtures().clone();
        session.save(partial.dir(), self.image)?;
        partial.commit(fixtures)?;
        if let Some(images) = self.image.dir.parent() {
            make_room(images, SPACE);
        }
        let found = self.states.find(key)?;
        found.ok_or_else(|| NotSaved::Save(SaveError::Io(std::io::ErrorKind::NotFound.into())))
    }

    /// How long somebody else may take to make a state: a boot, and then fixtures.
    fn longest(&self) -> Duration {
        self.config.boot_timeout.saturating_mul(3)
    }
}
