//! The agent on a machine that is not all ours: a host with AppArmor, whose policy, files, devices, network, sysctls and
//! audit settings stay as they are.
//!
//! Subjects live in namespaces of their own, which a process of ours holds: of files and of the network made from the
//! host's ([`Sandbox::Host`]), or those of a container ([`Sandbox::Container`]). The policy under test is loaded into a
//! policy namespace. All of it ends with the agent; what would outlive an agent that is killed is written down before it
//! is made, and [`repair`] takes it away.

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
