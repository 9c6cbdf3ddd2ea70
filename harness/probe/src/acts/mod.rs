//! The acts of a step, performed by the process that runs this code.

mod ask;
mod file;
mod label;
mod memory;
mod packet;
mod pci;
mod perform;
mod ptrace;
mod run;
mod socket;

pub use label::{ask_capability_everywhere, change_profile};
pub use perform::perform;
pub use run::{DEFAULT_PATH, reap, run};
