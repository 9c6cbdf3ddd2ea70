//! Saved states: a machine is booted once, saved when it is ready, and from then on restored in less than a second.
//!
//! A state is a shortcut and never evidence. Whatever is wrong with it, the machine boots instead, and one line says why.

mod key;
mod store;
mod sum;

use std::sync::atomic::{AtomicBool, Ordering};

use self::key::StateKey;
pub use self::store::{SPACE, StateError, StateOnDisk, all, dir_of, prune};
use self::store::{States, make_room};
use crate::backend::saved::{SaveError, SavedMachine};
use crate::backend::{Backend, Console, VmConfig};
use crate::image::Image;
use crate::session::{Session, SessionError};

/// Set once a state could not be made. Every machine of this process boots from then on.
static CANNOT_SAVE: AtomicBool = AtomicBool::new(false);

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
    let Backend::Vm(config) = backend else {
        return Session::start(image, backend);
    };
    let key = (config.saved_states && !CANNOT_SAVE.load(Ordering::Relaxed))
        .then(|| StateKey::of(image, config))
        .flatten();
    let Some(key) = key else {
        return Session::start(image, backend);
    };
    let states = States::of(&image.dir);
    if let Some(session) = restored(image, config, &states, &key, tell) {
        return Ok(session);
    }
    match make(image, config, &states, &key) {
        Ok(saved) => match Session::restore(image, config, &saved) {
            Ok(session) => return Ok(session),
            Err(error) => not_restored(&states, &key, &error.to_string(), tell),
        },
        // The same would happen without a state.
        Err(NotSaved::Session(error)) => return Err(error),
        Err(error) => tell(&format!(
            "machines boot, because their state cannot be saved: {error}"
        )),
    }
    CANNOT_SAVE.store(true, Ordering::Relaxed);
    Session::start(image, backend)
}

/// A machine of the state, if there is a state and it restores.
fn restored(
    image: &Image,
    config: &VmConfig,
    states: &States,
    key: &StateKey,
    tell: &mut dyn FnMut(&str),
) -> Option<Session> {
    let why = match states.find(key) {
        Ok(None) => return None,
        Ok(Some(saved)) => match Session::restore(image, config, &saved) {
            Ok(session) => return Some(session),
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    not_restored(states, key, &why, tell);
    None
}

fn not_restored(states: &States, key: &StateKey, why: &str, tell: &mut dyn FnMut(&str)) {
    tell(&format!("the saved state is made anew: {why}"));
    if let Err(error) = states.remove(key) {
        tell(&format!("it cannot be removed: {error}"));
    }
}

/// Boots a machine and saves it, unless somebody else has just done so.
fn make(image: &Image, config: &VmConfig, states: &States, key: &StateKey) -> Result<SavedMachine, NotSaved> {
    let partial = states.begin(key, config.boot_timeout)?;
    if let Some(saved) = states.find(key).ok().flatten() {
        return Ok(saved);
    }
    let memory = partial.memory(config.memory_mib)?;
    // What the kernel says while it boots is nobody's concern here.
    let quiet = VmConfig {
        console: Console::Captured,
        ..config.clone()
    };
    let session = Session::start_in_file(image, &quiet, &memory)?;
    session.save(partial.dir(), image)?;
    partial.commit()?;
    if let Some(images) = image.dir.parent() {
        make_room(images, SPACE);
    }
    let saved = states.find(key)?;
    saved.ok_or_else(|| NotSaved::Save(SaveError::Io(std::io::ErrorKind::NotFound.into())))
}
