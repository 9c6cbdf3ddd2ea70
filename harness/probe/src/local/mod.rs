//! The agent on a machine that we do not own: a host with AppArmor, whose policy, files, devices, network, sysctls and
//! audit settings stay as they are.
//!
//! Subjects live in namespaces that a holder process keeps alive. Their files and network are made from the host's
//! ([`Sandbox::Host`]), or are those of a container ([`Sandbox::Container`]). The policy under test is loaded into a
//! policy namespace. When the agent ends, it removes all of this. If it is killed, some things remain. The agent records
//! each of these in a file before it makes it, so that [`repair`] can remove it later.

mod engine;
mod holder;
mod loops;
mod modules;
mod mounts;
mod serve;
mod tool;
mod undo;

pub use engine::Engine;
pub use holder::{HOLDER, main as hold};
pub use serve::{Agent, LOCAL, Local, Plan, READY_LINE, Sandbox, main};
pub use undo::{RepairError, Repaired, Traces, repair, traces, unfit};
