//! What virt-aa-conform runs cases on (images, machines, other backends, sessions with the agent), and how.

pub mod backend;
pub mod capacity;
pub mod children;
mod file_identity;
pub mod image;
pub mod keeper;
pub mod placement;
pub mod prepare;
pub mod profile_set;
mod program_hash;
pub mod proof_store;
pub mod prove;
pub mod root;
pub mod run_info;
pub mod runner;
pub mod selftest;
pub mod session;
pub mod setup;
mod sparse;
pub mod state;
pub mod suite;
pub mod target;
pub mod tools;
mod xdg;
