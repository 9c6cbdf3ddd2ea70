//! Where cases run.

pub mod accel;
pub mod children;
mod console;
pub mod hardware;
mod qemu;
mod stream;
mod vm;
mod watch;

pub use stream::AgentStream;
pub use vm::{Console, Vm, VmConfig, VmError};
pub use watch::{DeathReason, VmDeath};
