//! Finds the owner of a process by who started it. A process cannot change that later, unlike its control group, its
//! parent and its label.

mod socket;
mod tree;

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::socket::Look;
use self::tree::Tree;
use crate::protocol::ProcessWatchState;

/// The owner of the processes that do unconfined steps.
pub const AGENT: &str = "agent";

/// The watch over all processes that subjects start.
pub struct ProcessWatch {
    socket: Result<OwnedFd, String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tree: Tree,
    overruns: u64,
}

impl ProcessWatch {
    /// Begin to watch. It is no error if the kernel does not report processes; [`ProcessWatch::state`] then says so.
    pub fn start() -> ProcessWatch {
        ProcessWatch {
            socket: socket::open().map_err(|error| error.to_string()),
            state: Mutex::default(),
        }
    }

    /// The process and all its descendants belong to `owner` until the next case.
    pub fn claim(&self, pid: i32, owner: &str) {
        self.read().tree.claim(pid, owner);
    }

    /// Like [`ProcessWatch::claim`], for the life of the agent.
    pub fn claim_for_good(&self, pid: i32, owner: &str) {
        self.read().tree.claim_for_good(pid, owner);
    }

    /// The processes of `owner` stay its own in the next cases too, until [`ProcessWatch::release`].
    pub fn keep(&self, owner: &str) {
        self.read().tree.keep(owner);
    }

    /// From the next case on, `owner` has no process.
    pub fn release(&self, owner: &str) {
        self.read().tree.release(owner);
    }

    /// Forget the processes of the last case.
    pub fn clear(&self) {
        self.read().tree.clear();
    }

    /// The owner of a process, dead or alive.
    pub fn owner(&self, pid: i32) -> Option<String> {
        self.read().tree.owner(pid).map(str::to_string)
    }

    /// Processes of `owner` that have not ended. A zombie has ended.
    pub fn living(&self, owner: &str) -> Vec<i32> {
        let mut living = self.read().tree.living(owner);
        living.retain(|pid| crate::process::is_running(*pid));
        living
    }

    /// Whether the watch is complete.
    pub fn state(&self) -> ProcessWatchState {
        let overruns = self.read().overruns;
        ProcessWatchState {
            unavailable: self.socket.as_ref().err().cloned(),
            overruns,
        }
    }

    /// The state, with all events until now.
    fn read(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(socket) = &self.socket else { return state };
        loop {
            match socket::look(socket) {
                Ok(Look::Event(event)) => state.tree.note(event),
                Ok(Look::Empty) => return state,
                Ok(Look::Overrun) => state.overruns += 1,
                // Messages that cannot be read are missing, as after an overflow.
                Err(_) => {
                    state.overruns += 1;
                    return state;
                }
            }
        }
    }
}
