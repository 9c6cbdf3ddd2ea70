//! Saved states: a machine is booted once, saved when it is ready, and from then on restored in less than a second.
//!
//! A state is a shortcut and never evidence. Whatever is wrong with it, the machine boots instead, and one line says why.
//! States build on one another: one in which fixtures are up is made from the one that has just booted, and the end of a case
//! from the end of the case before it.

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

/// The states whose fixtures did not come up, or whose case did not pass. They are not tried again in this process.
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
    /// A case whose end is to be kept did not pass.
    #[error("the case did not pass: {0}")]
    Case(String),
}

/// A case that is run before a machine is saved. What it leaves goes on.
pub struct CaseToKeep<'a> {
    /// The name under which the agent keeps what the case leaves: all that its end depends on, besides the image.
    pub identity: String,
    /// The fixtures that it needs.
    pub fixtures: Vec<&'a Fixture>,
    /// How long it may take.
    pub limit: Duration,
    /// Runs it in a machine with the fixtures, where the case before it has just ended. Returns why it does not pass without
    /// a denial; `None` if it does.
    pub perform: &'a dyn Fn(&mut Session) -> Result<Option<String>, SessionError>,
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
    match machines.session(&machines.booted, Duration::ZERO, tell, &|partial| {
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

/// Starts a machine in which the set is loaded, these fixtures are up, and then these cases were run; `None` if the backend
/// has no such states, if a fixture does not come up, or if a case does not pass.
pub fn start_with(
    image: &Image,
    backend: &Backend,
    set: &LoadedSet,
    fixtures: &[&Fixture],
    cases: &[CaseToKeep<'_>],
) -> Option<Session> {
    let machines = Machines::of(image, backend)?;
    let with_set = machines.booted.with(set, fixtures);
    let key = cases.iter().fold(with_set, |key, case| key.then(case));
    let not_up = || NOT_UP.lock().unwrap_or_else(PoisonError::into_inner);
    if not_up().contains(&key.name()) {
        return None;
    }
    let limit = cases.iter().map(|case| case.limit).sum();
    let tell = &mut |line: &str| eprintln!("{line}");
    let made = machines.session(&key, limit, tell, &|partial| {
        let (mut session, last) = match cases.split_last() {
            None => (machines.with_set(backend, set, partial)?, None),
            // Without fixtures, nothing takes so long that a state of its own is worth it.
            Some((last, [])) if fixtures.is_empty() => {
                (machines.with_set(backend, set, partial)?, Some(last))
            }
            Some((last, earlier)) => {
                // The state that this one begins with is made too, if there is none.
                drop(start_with(image, backend, set, fixtures, earlier).ok_or(NotSaved::Earlier)?);
                let with_set = machines.booted.with(set, fixtures);
                let key = earlier.iter().fold(with_set, |key, case| key.then(case));
                let mut session = machines.copied(&key, partial)?;
                if let Some(case) = earlier.last() {
                    session.set_kept(case.identity.clone());
                }
                (session, Some(last))
            }
        };
        let of_case = last.iter().flat_map(|case| &case.fixtures);
        for fixture in fixtures.iter().chain(of_case) {
            if !matches!(session.fixture(fixture)?, FixtureOutcome::Up { .. }) {
                return Err(NotSaved::Fixture(fixture.name.clone()));
            }
        }
        if let Some(case) = last
            && let Some(why) = (case.perform)(&mut session)?
        {
            return Err(NotSaved::Case(why));
        }
        Ok(session)
    });
    match made {
        Ok(mut session) => {
            if let Some(case) = cases.last() {
                session.set_kept(case.identity.clone());
            }
            Some(session)
        }
        Err(error) => {
            // What is wrong with a fixture or a case is told by the case that needs it.
            if !matches!(
                error,
                NotSaved::Fixture(_) | NotSaved::Case(_) | NotSaved::Earlier
            ) {
                tell(&format!(
                    "a state with fixtures or the end of a case cannot be saved: {error}"
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

    /// A machine that is to be saved, with a copy of a state's files.
    fn copied(&self, key: &StateKey, partial: &store::Partial) -> Result<Session, NotSaved> {
        let earlier = self.states.find(key)?;
        let earlier = earlier.ok_or_else(|| SaveError::Io(std::io::ErrorKind::NotFound.into()))?;
        let copy = earlier.machine.copy_into(partial.dir()).map_err(SaveError::Io)?;
        let machine = backend::restore_in_files(self.image, &self.config, &copy);
        Ok(Session::resume(
            machine.map_err(SessionError::Boot)?,
            earlier.fixtures,
        )?)
    }

    /// A machine that is to be saved, in which the set is loaded.
    fn with_set(
        &self,
        backend: &Backend,
        set: &LoadedSet,
        partial: &store::Partial,
    ) -> Result<Session, NotSaved> {
        drop(start(self.image, backend)?);
        let mut session = self.copied(&self.booted, partial)?;
        session.load(set.policies.clone(), set.files.clone())?;
        Ok(session)
    }

    /// A machine of a state, which is made if there is none. Its cases may take as long as `limit`.
    fn session(
        &self,
        key: &StateKey,
        limit: Duration,
        tell: &mut dyn FnMut(&str),
        begin: &dyn Fn(&store::Partial) -> Result<Session, NotSaved>,
    ) -> Result<Session, NotSaved> {
        if let Some(session) = self.restored(key, tell) {
            return Ok(session);
        }
        let found = self.make(key, limit, begin)?;
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
        limit: Duration,
        begin: &dyn Fn(&store::Partial) -> Result<Session, NotSaved>,
    ) -> Result<Found, NotSaved> {
        let partial = self.states.begin(key, self.longest() + limit)?;
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

    /// How long somebody else may take to make a state, besides cases: a boot, and then fixtures.
    fn longest(&self) -> Duration {
        self.config.boot_timeout.saturating_mul(3)
    }
}
